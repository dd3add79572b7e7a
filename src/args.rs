//! The command line: groups of flags that commands share, each of which becomes a value of the core.

use clap::{ArgAction, Args, Parser, ValueEnum};
use std::{
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};
use tapline::{
    dial::Dialer,
    health::{Checks, Probe},
    pool::Policy,
    relay::Timeouts,
    tls::{ClientTls, IdentityError, Trust},
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
0: done as asked. 1: the answer is no (nothing open; a connection failed under --connections). 2: wrong usage. \
3: could not start or not be completed (address, file, name). 4: nothing happened before --for. 5: the drain was cut \
short by --grace or a second signal. With -- COMMAND: its status, or 128 and the number of the signal that ended it.";

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
    #[arg(long, value_name = "N")]
    pub max_connections: Option<NonZeroUsize>,
    /// Stop after N connections; exit 1 if one of them failed
    #[arg(long, value_name = "N")]
    pub connections: Option<NonZeroU64>,
    /// Stop after this time; exit 4 if nothing happened
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub lasting: Option<Duration>,
    /// How long connections may go on after SIGINT or SIGTERM; a second signal ends them
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub grace: Duration,
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
        Ok(Dialer { connect_timeout: self.connect_timeout, tls: ClientTls::new(&trust)? })
    }
}

/// When a relay gives up.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Relaying")]
pub struct Relay {
    /// Without a byte in either direction; noticed up to a quarter later ("off" for never)
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = limit)]
    pub idle_timeout: Limit,
    /// The same, once one side has ended ("off" for never)
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = limit)]
    pub half_close_timeout: Limit,
}

impl From<Relay> for Timeouts {
    fn from(relay: Relay) -> Self {
        Self { idle: relay.idle_timeout.0, half_close: relay.half_close_timeout.0 }
    }
}

/// Reading what clients say first.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Reading the hello")]
pub struct Hello {
    /// For the whole ClientHello, from the accept on
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub hello_timeout: Duration,
}

/// How the next backend is chosen, and which are well.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Balancing")]
pub struct Balance {
    /// How the next backend is chosen
    #[arg(long, value_name = "POLICY", default_value = "round-robin")]
    pub policy: PolicyName,
    /// From one check of a backend to the next
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub check_interval: Duration,
    /// For one check
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub check_timeout: Duration,
    /// Good checks in a row that bring a backend up
    #[arg(long, value_name = "N", default_value = "2")]
    pub rise: NonZeroU32,
    /// Failed checks in a row that take it down; the first check of all decides alone
    #[arg(long, value_name = "N", default_value = "3")]
    pub fall: NonZeroU32,
    /// Do not check; a backend that refuses is still passed over
    #[arg(long)]
    pub no_checks: bool,
}

impl Balance {
    pub fn checks(&self, probe: Probe) -> Option<Checks> {
        let checks = Checks { probe, every: self.check_interval, timeout: self.check_timeout, rise: self.rise, fall: self.fall };
        (!self.no_checks).then_some(checks)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PolicyName {
    /// In turn, by weight
    RoundRobin,
    /// The one with the fewest open for its weight
    LeastConnections,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::RoundRobin => Self::RoundRobin,
            PolicyName::LeastConnections => Self::LeastConnections,
        }
    }
}

/// The server's certificate.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct Tls {
    /// Certificate chain (PEM), leaf first [default: made in memory, with a CA for clients]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// A name for the certificate made in memory; may be given again [default: localhost and the loopback addresses]
    #[arg(long, value_name = "NAME", conflicts_with = "cert", action = ArgAction::Append)]
    pub name: Vec<String>,
    /// For the TLS handshake, after the hello
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub handshake_timeout: Duration,
}

/// A timeout that can be switched off.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub Option<Duration>);

/// A time above zero, such as 500ms, 5s, 10m or 1h30m.
pub fn duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| format!("{error}; write a time such as 500ms, 5s or 10m"))?;
    if time.is_zero() { Err("a time above zero is needed".into()) } else { Ok(time) }
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
