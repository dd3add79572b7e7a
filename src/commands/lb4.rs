//! `tapline lb4`: balances TCP connections.

use super::proxy::Relayed;
use crate::{args, serve::Session};
use std::process::ExitCode;
use tapline::{
    addr::{ListenAddr, TargetSpec},
    forward::Forward,
    health::Probe,
    pool::Pool,
};

/// Balance TCP connections over backends
///
/// A backend that does not take a connection is passed over at once and the next one is tried; backends are checked by
/// connecting to them.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline lb4 8080 h1:80 h2:80", after_help = AFTER)]
pub struct Lb4 {
    /// Where to listen
    listen: ListenAddr,
    /// The backends, each with an optional weight: h2:80,weight=3
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<TargetSpec>,
    #[command(flatten)]
    balance: args::Balance,
    #[command(flatten)]
    connect: args::Connect,
    #[command(flatten)]
    announce: args::Announce,
    #[command(flatten)]
    relay: args::Relay,
    #[command(flatten)]
    serve: args::Serve,
}

const AFTER: &str = "\
Examples:
  tapline lb4 :5432 db1:5432 db2:5432 --policy least-connections
  tapline lb4 0 builtin:echo builtin:echo -- nc -N {host} {port}";

impl Lb4 {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let pool = Pool::new(&self.targets, self.balance.policy.into()).await?;
        let dialer = session.reading(move || self.connect.dialer()).await?;
        let announce = self.announce.version();
        let checks = self.balance.checks(Probe::Connect(announce));
        let (server, relay, watching) = self.relay.bind(&self.serve, &self.listen, session).await?;
        let forward = Forward { pool: pool.clone(), dialer: dialer.clone(), announce, relay };
        let relay = forward.relay.clone();
        let started = |_: &_| {
            pool.announce(&session.reporter.events());
            relay.announce(&session.reporter.events());
            if let Some(checks) = checks {
                session.check(&pool, &checks, &dialer);
            }
        };
        let served = self.serve.run(server, Relayed(forward), session, started).await;
        Pool::report(&[pool], &session.reporter.events());
        watching.finish(served, session).await
    }
}
