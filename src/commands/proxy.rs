//! `tapline proxy`: relays TCP to one target.

use crate::{
    args::{self, UsageError},
    serve::Session,
};
use std::{process::ExitCode, sync::Arc, time::Duration};
use tapline::{
    addr::{Endpoint, ListenAddr, Target, TargetSpec},
    balance::Policy,
    datagram::{DatagramRelay, DatagramServer},
    event::End,
    forward::{Forward, Settings},
    pool::Pool,
    server::{Conn, Handler},
};

/// Relay TCP or UDP to one target
///
/// An end of one side is passed on and the other direction goes on; a reset is passed on as a reset, except to a Unix socket,
/// which knows none: there a cut stream looks complete. On Linux bulk data of plain TCP never enters this process (splice).
#[derive(clap::Args)]
#[command(before_help = "Example: tapline proxy 8080 example.test:80", after_help = AFTER)]
pub struct Proxy {
    /// Where to listen
    listen: ListenAddr,
    /// Where to send
    target: TargetSpec,
    /// Relay UDP: a session for each client address, which ends without a datagram for --idle-timeout (2m unless given) or
    /// when the target's port is unreachable. The datagrams of more sessions than --max-connections are lost
    #[arg(long, conflicts_with_all = NOT_WITH_UDP)]
    udp: bool,
    #[command(flatten)]
    connect: args::Connect,
    #[command(flatten)]
    announce: args::Announce,
    #[command(flatten)]
    figures: args::Figures,
    #[command(flatten)]
    relay: args::Relay,
    #[command(flatten)]
    top: args::Top,
    #[command(flatten)]
    serve: args::Serve,
}

const AFTER: &str = "\
Examples:
  tapline proxy 8080 tls:example.test:443 --hex
  tapline proxy 8080 tls:example.test:443              plain here, TLS there
  tapline proxy unix:/tmp/web.sock 127.0.0.1:80        from a Unix socket
  tapline proxy 8080 tls:example.test:443 --record - | tshark -r -
  tapline proxy 8080 web:80 --delay 200ms~50ms --rate down:64k --reset 1% --seed 7
  tapline proxy --udp 5353 9.9.9.9:53                  DNS
  tapline proxy 0 builtin:echo -- nc -N {host} {port}  with a port of the kernel's choice";

/// What datagrams do not have: faults, recordings and PROXY headers are of streams.
const NOT_WITH_UDP: [&str; 16] = [
    "top",
    "bind_source",
    "keepalive",
    "accept_proxy",
    "proxy_header_timeout",
    "send_proxy",
    "delay",
    "rate",
    "stall_after",
    "cut_after",
    "reset",
    "seed",
    "record",
    "half_close_timeout",
    "ca",
    "insecure",
];
/// As long as a NAT keeps a mapping at least (RFC 4787 section 4.3).
const UDP_IDLE: Duration = Duration::from_mins(2);

impl Proxy {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        if self.udp {
            return self.run_udp(session).await;
        }
        self.relay.faults.check_seed()?;
        let mut seeing = self.top.open(&self.serve, &[("--hex", self.relay.watch.shows_bytes())], session)?;
        let pool = Pool::new(&[self.target], Policy::default()).await?;
        let dialer = session.reading(move || self.connect.dialer()).await?;
        let (server, relay, watching) = self.relay.bind(&self.serve, &self.listen, session).await?;
        let named = vec![("proxy".into(), pool.clone())];
        self.figures.bind("proxy", named.clone(), session).await?;
        let settings = Arc::new(Settings::new(dialer, self.announce.version(), relay));
        let forward = Forward { pool: pool.clone(), settings: settings.clone() };
        let started = |addr: &Endpoint| {
            pool.announce(&session.reporter.events());
            settings.relay.announce(&session.reporter.events());
            seeing.start("proxy", addr, named, session);
        };
        let served = self.serve.run(server, Relayed(forward), session, started).await;
        seeing.finish();
        Pool::report(&[pool], &session.reporter.events());
        watching.finish(served, session).await
    }
}

impl Proxy {
    async fn run_udp(self, session: &Session) -> anyhow::Result<ExitCode> {
        let Target::Tcp(target) = self.target.target else {
            return Err(UsageError(format!("--udp sends to HOST:PORT, not to {}", self.target.target)).into());
        };
        if let ListenAddr::Unix(_) = self.listen {
            return Err(UsageError(format!("--udp listens on HOST:PORT, not on {}", self.listen)).into());
        }
        let idle = self.relay.idle_timeout.map_or(Some(UDP_IDLE), |limit| limit.0);
        let server = session.preparing(DatagramServer::bind(&self.listen)).await??;
        let (taps, watching) = session.preparing(self.relay.watch.start(&session.reporter)).await??;
        self.figures.bind("proxy", Vec::new(), session).await?;
        let relay = DatagramRelay { target, connect_timeout: self.connect.connect_timeout, idle, taps };
        let served = self.serve.run_datagrams(server, relay, session, |_| {}).await;
        watching.finish(served, session).await
    }
}

/// Relays every connection.
pub struct Relayed(pub Forward);

impl Handler for Relayed {
    fn handle(&self, mut conn: Conn) -> impl Future<Output = End> + Send {
        async move { self.0.run(&mut conn).await }
    }
}
