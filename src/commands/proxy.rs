//! `tapline proxy`: relays TCP to one target.

use crate::{args, serve::Session};
use std::process::ExitCode;
use tapline::{
    addr::{ListenAddr, TargetSpec},
    event::End,
    forward::Forward,
    pool::{Policy, Pool},
    server::{Conn, Handler},
};

/// Relay TCP to one target
///
/// An end of one side is passed on and the other direction goes on; a reset is passed on as a reset; on Linux the bytes
/// of plain TCP never enter this process (splice).
#[derive(clap::Args)]
#[command(before_help = "Example: tapline proxy 8080 example.test:80", after_help = AFTER)]
pub struct Proxy {
    /// Where to listen
    listen: ListenAddr,
    /// Where to send
    target: TargetSpec,
    #[command(flatten)]
    connect: args::Connect,
    #[command(flatten)]
    relay: args::Relay,
    #[command(flatten)]
    serve: args::Serve,
}

const AFTER: &str = "\
Examples:
  tapline proxy 8080 tls:example.test:443              plain here, TLS there
  tapline proxy unix:/tmp/web.sock 127.0.0.1:80        from a Unix socket
  tapline proxy 0 builtin:echo -- nc -N {host} {port}  with a port of the kernel's choice";

impl Proxy {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let pool = Pool::new(&[self.target], Policy::default()).await?;
        let forward = Forward { pool: pool.clone(), dialer: self.connect.dialer()?, timeouts: self.relay.into() };
        self.serve.run(&self.listen, Relayed(forward), session, |_| pool.announce(&session.reporter.events())).await
    }
}

/// Relays every connection.
pub struct Relayed(pub Forward);

impl Handler for Relayed {
    async fn handle(&self, conn: Conn) -> End {
        self.0.run(conn).await
    }
}
