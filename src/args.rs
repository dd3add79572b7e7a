//! The command line: groups of flags that commands share, each of which becomes a value of the core.

mod balance;
mod control;
mod faults;
mod given;
mod health;
mod limits;
mod policy;
mod routes;
mod sources;
mod tls;

pub use balance::Balance;
pub use control::{Control, Figures};
pub use faults::Faults;
pub use given::Given;
pub use health::Health;
pub use limits::{Failover, Places};
pub use policy::{Choosing, Known};
pub use routes::Routes;
pub use sources::Sources;
pub use tls::{StarttlsName, Tls};

pub use crate::top::Top;

use crate::{
    serve::Session,
    watching::{Watch, Watching},
};
use clap::{ArgAction, Args, Parser, ValueEnum};
use std::{
    net::IpAddr,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};
pub use tapline::duration::duration;
use tapline::{
    addr::ListenAddr,
    announced::Announcer,
    dial::{Dialer, Options, Reach},
    identity::IdentityError,
    proxy_header::Version,
    relay::{Settings, Timeouts},
    server::Server,
    tls::{ClientTls, Trust},
};

const ABOUT: &str = "Networking tools for TCP, TLS and HTTP: debug from a terminal, script, teach.";

const TEMPLATE: &str = "\
{about}
{usage-heading} {usage}
Commands:
{subcommands}

Options:
{options}

Addresses and targets: 8080 (loopback), HOST:PORT, :8080 (every interface),
unix:/PATH, tls:HOST:PORT, builtin:echo|http|discard. Exit status: man tapline.";

/// The exit statuses, for the man page.
#[cfg(test)]
pub const EXIT_STATUS: &str = "\
0: done as asked. 1: the answer is no (nothing open, no hello, another fingerprint, no route; a connection failed under --connections). 2: wrong usage. \
3: could not start or not be completed (address, file, name). 4: nothing, or fewer than --connections, had come before --for. 5: the drain was cut \
short by --grace or a second signal, or what nobody had read by then was lost. With -- COMMAND: its status, or 128 and the number of the signal that ended it.";

#[derive(Parser)]
#[command(name = "tapline", version, about = ABOUT, help_template = TEMPLATE, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: crate::commands::Command,
    #[command(flatten)]
    pub output: Output,
}

/// What is said, and in which form.
#[derive(Args, Clone, Debug)]
pub struct Output {
    /// JSON Lines on both streams, with stable keys
    #[arg(long, global = true)]
    pub json: bool,
    /// Only results and errors
    #[arg(long, short, global = true, conflicts_with = "explain")]
    pub quiet: bool,
    /// Say each step of each connection
    #[arg(long, global = true)]
    pub explain: bool,
    /// Colour: auto, always or never
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_possible_values = true)]
    pub color: Color,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// How long and how much is served.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Serving")]
pub struct Serve {
    /// Connections at a time; more wait in the backlog [default: what the limit on open files allows]
    ///
    /// Clients that still wait at the end are reset, and counted in a note.
    #[arg(long, value_name = "N")]
    pub max_connections: Option<NonZeroUsize>,
    /// Threads that connections are served on [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub threads: Option<NonZeroUsize>,
    /// Take N connections and no more, stop when they have ended; exit 1 if one of them failed. With COMMAND, stop when that
    /// ends, with its status
    #[arg(long, value_name = "N")]
    pub connections: Option<NonZeroU64>,
    /// Stop after this time; exit 4 if nothing, or fewer than --connections, had come
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub lasting: Option<Duration>,
    /// How long connections may go on after SIGINT or SIGTERM; a second signal ends them. Half a second later, what is not
    /// read on stdout is lost (exit 5)
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub grace: Duration,
    /// Peers that must begin with a PROXY header and are believed: a network, an address, "unix"; may be given again
    ///
    /// Before such a peer's header (v1 or v2) is whole, nothing is done: no hello is read, no target connected to. One
    /// that is missing, malformed or late ends the connection by a reset. Who is announced is shown and told to targets
    /// (--send-proxy, X-Forwarded-For); with LOCAL and UNKNOWN the connection's own ends count. Any other peer is a
    /// direct client, whose bytes are never looked at for a header.
    #[arg(long, value_name = "CIDR", action = ArgAction::Append)]
    pub accept_proxy: Vec<Announcer>,
    /// For the whole PROXY header, from the accept on
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration, requires = "accept_proxy")]
    pub proxy_header_timeout: Duration,
    /// Run COMMAND once listening, stop when it ends, exit with its status; {addr}, {host}, {port} are replaced
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// How targets are connected to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connecting")]
pub struct Connect {
    /// For connecting to a target, from the resolver to its TLS handshake
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub connect_timeout: Duration,
    /// The address of this machine that connections to targets come from
    #[arg(long, value_name = "IP")]
    pub bind_source: Option<IpAddr>,
    /// Probe clients and targets (TCP) after so long without a byte; the third unanswered probe ends the
    /// connection. Whole seconds, at most 32767
    #[arg(long, value_name = "TIME", value_parser = whole_seconds)]
    pub keepalive: Option<Duration>,
    /// Certificates (PEM) that tls: targets must lead to [default: Mozilla's roots]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Do not check who a tls: target is
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
}

impl Connect {
    pub fn dialer(&self) -> Result<Dialer, IdentityError> {
        let trust = match &self.ca {
            Some(path) => Trust::Ca(path.clone()),
            None if self.insecure => Trust::Anyone,
            None => Trust::PublicRoots,
        };
        let options = Options { source: self.bind_source, keepalive: self.keepalive, reach: Reach::default() };
        Ok(Dialer { connect_timeout: self.connect_timeout, options, tls: ClientTls::new(&trust)? })
    }
}

/// How long a relay may be silent, unless it is said.
const IDLE: Duration = Duration::from_mins(10);

/// What targets are told of clients.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Connecting")]
pub struct Announce {
    /// Tell targets who the client is, by a PROXY header before any other byte, also before the TLS of a tls: target
    ///
    /// A client that was announced itself is passed on. v2 carries an id for the connection, a CRC32C and, where they are
    /// known, the server name as it was sent, ALPN, how TLS was spoken and the client's certificate. A client without an IP
    /// address, of a Unix socket, is UNKNOWN in v1 and LOCAL in v2. Health checks name no client: LOCAL in v2, the check's
    /// own addresses in v1.
    #[arg(long, value_name = "v1|v2", hide_possible_values = true)]
    send_proxy: Option<ProxyVersion>,
}

impl Announce {
    pub fn version(self) -> Option<Version> {
        self.send_proxy.map(|version| match version {
            ProxyVersion::V1 => Version::V1,
            ProxyVersion::V2 => Version::V2,
        })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProxyVersion {
    V1,
    V2,
}

/// When a relay gives up.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Relaying")]
pub struct Relay {
    /// Without a byte in either direction; noticed up to a quarter later ("off" for never) [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = limit)]
    pub idle_timeout: Option<Limit>,
    /// The same, once one side has ended ("off" for never)
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = limit)]
    pub half_close_timeout: Limit,
    #[command(flatten)]
    pub faults: Faults,
    #[command(flatten)]
    pub watch: Watch,
}

impl Relay {
    /// Binds, and starts what watches, which is to be waited for at the end.
    pub async fn bind(&self, serve: &Serve, listen: &ListenAddr, session: &Session) -> anyhow::Result<(Server, Settings, Watching)> {
        let timeouts = Timeouts { idle: self.idle_timeout.map_or(Some(IDLE), |limit| limit.0), half_close: self.half_close_timeout.0 };
        let faults = self.faults.given(timeouts)?;
        self.watch.check(serve, session.reporter.style())?;
        let server = serve.bind(listen, session).await?;
        let (taps, watching) = session.preparing(self.watch.start(&session.reporter)).await??;
        Ok((server, Settings { timeouts, faults, taps }, watching))
    }
}

/// Reading what clients say first.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Reading the hello")]
pub struct Hello {
    /// For the whole ClientHello, from the accept or the PROXY header on
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub hello_timeout: Duration,
}

/// A timeout that can be switched off.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub Option<Duration>);

/// A time as in [`duration`], of whole seconds: the kernel counts these in seconds.
pub fn whole_seconds(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time.subsec_nanos() > 0 || time.as_secs() > 32_767 => Err("whole seconds are needed, at most 32767".into()),
        time => Ok(time),
    }
}

/// A time as in [`duration`], or `off`.
pub fn limit(text: &str) -> Result<Limit, String> {
    if text == "off" { Ok(Limit(None)) } else { duration(text).map(|time| Limit(Some(time))) }
}

/// Arguments that are well-formed each, but not together: exit status 2, as for those that clap refuses.
#[derive(Debug)]
pub struct UsageError(pub String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}
