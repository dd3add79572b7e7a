//! `tapline lb4`: balances TCP connections.

mod simulate;

use super::proxy::Relayed;
use crate::{args, balancing::Balancing, serve::Session};
use simulate::{Simulating, Written};
use std::{process::ExitCode, sync::Arc};
use tapline::{
    addr::{Endpoint, ListenAddr},
    forward::Forward,
};

/// Balance TCP connections over backends
///
/// A backend that does not take a connection is passed over at once and the next one is tried; after three such in a row it is left
/// out for a while. Backends are checked by connecting to them, which does not find one that accepts and then says nothing:
/// --check can ask for more. Those with the option backup are for when no other one takes a connection.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline lb4 8080 h1:80 h2:80", after_help = AFTER)]
pub struct Lb4 {
    /// Where to listen
    #[arg(value_name = "LISTEN")]
    listen: Written<ListenAddr>,
    #[command(flatten)]
    sources: args::Sources,
    #[command(flatten)]
    balance: args::Balance,
    #[command(flatten)]
    places: args::Places,
    #[command(flatten)]
    failover: args::Failover,
    #[command(flatten)]
    control: args::Control,
    #[command(flatten)]
    simulating: Simulating,
    #[command(flatten)]
    connect: args::Connect,
    #[command(flatten)]
    announce: args::Announce,
    #[command(flatten)]
    relay: args::Relay,
    #[command(flatten)]
    top: args::Top,
    #[command(flatten)]
    serve: args::Serve,
}

const AFTER: &str = "\
Examples:
  tapline lb4 :5432 db1:5432 db2:5432 --policy least-connections
  tapline lb4 :80 dns:web.internal:8080 @/etc/tapline/more.targets,backup
  tapline lb4 :6379 r1:6379 r2:6379,backup --check 'send:PING\\r\\n' --check expect:+PONG
  tapline lb4 :5432 db1:5432 db2:5432 --check 'exec:pg_isready -h $TAPLINE_HOST -p $TAPLINE_PORT'
  tapline lb4 8080 h1:80 h2:80 h3:80 --policy maglev --hash ip/24
  tapline lb4 --simulate 100000 --remove h3 h1 h2 h3 h4
  tapline lb4 0 builtin:echo builtin:echo -- nc -N {host} {port}";

impl Lb4 {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        if let Some(clients) = self.simulating.simulate {
            let targets: Vec<_> = std::iter::once(self.listen.text()).chain(self.sources.texts()).map(str::to_owned).collect();
            let (choosing, seed) = (&self.balance.choosing, self.relay.faults.seed);
            return self.simulating.run(clients, &targets, choosing, choosing.policy(), seed, &session.reporter).await;
        }
        let listen = self.listen.meant("LISTEN")?;
        let sources = self.sources.read(&self.serve, self.top)?;
        let mut seeing = self.top.open(&self.serve, &[("--hex", self.relay.watch.shows_bytes())], session)?;
        let dialer = session.reading(move || self.connect.dialer()).await?;
        let announce = self.announce.version();
        let checks = self.balance.health.checks(None, announce)?;
        let settings = self.balance.pool(self.places, self.relay.faults.seed, &self.serve, args::Known::Nothing)?;
        let balancing = Balancing::new(&sources, settings, checks, dialer.clone(), session).await?;
        let (server, relay, watching) = self.relay.bind(&self.serve, &listen, session).await?;
        self.control.bind("lb4", balancing.named("lb4"), true, session).await?;
        let settings = Arc::new(self.failover.settings(dialer, announce, relay, self.relay.faults.seed, session.reporter.style()));
        let forward = Forward { pool: balancing.pool.clone(), settings: settings.clone() };
        let started = |addr: &Endpoint| {
            balancing.start(session);
            settings.relay.announce(&session.reporter.events());
            seeing.start("lb4", addr, balancing.named("lb4"), session);
        };
        let served = self.serve.run(server, Relayed(forward), session, started).await;
        seeing.finish();
        balancing.finish(session);
        watching.finish(served, session).await
    }
}
