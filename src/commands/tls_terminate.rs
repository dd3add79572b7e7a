//! `tapline tls-terminate`: decrypts TLS and forwards plaintext.

use crate::{args, serve::Session};
use std::process::ExitCode;
use tapline::{
    addr::{Endpoint, ListenAddr, TargetSpec},
    event::End,
    forward::Forward,
    pool::{Policy, Pool},
    server::{Conn, Handler},
    terminate::Terminator,
};

/// Decrypt TLS and forward plaintext
///
/// Without --cert and --key a certificate is made in memory, and the line for curl is printed. The ends are kept apart:
/// close_notify becomes FIN and FIN becomes close_notify, but a stream that was cut is reset on the other side.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline tls-terminate 8443 127.0.0.1:8080", after_help = AFTER)]
pub struct TlsTerminate {
    /// Where to listen
    listen: ListenAddr,
    /// Where to send
    target: TargetSpec,
    #[command(flatten)]
    tls: args::Tls,
    #[command(flatten)]
    hello: args::Hello,
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
  tapline tls-terminate :443 127.0.0.1:8080 --cert chain.pem --key key.pem
  tapline tls-terminate 8443 builtin:http --name www.a.test";

impl TlsTerminate {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let (terminator, made) = session.reading(move || self.tls.terminator(self.hello.hello_timeout)).await?;
        let pool = Pool::new(&[self.target], Policy::default()).await?;
        let dialer = session.reading(move || self.connect.dialer()).await?;
        let (server, relay, watching) = self.relay.bind(&self.serve, &self.listen, session).await?;
        let forward = Forward { pool: pool.clone(), dialer, announce: self.announce.version(), relay };
        let (events, relay) = (session.reporter.events(), forward.relay.clone());
        let started = |addr: &Endpoint| {
            pool.announce(&events);
            relay.announce(&events);
            if let Some(made) = &made {
                made.announce(addr, &events);
            }
        };
        // `made` owns the CA's file: it is there as long as the command runs.
        let served = self.serve.run(server, Terminated { terminator, forward }, session, started).await;
        Pool::report(&[pool], &events);
        watching.finish(served, session).await
    }
}

struct Terminated {
    terminator: Terminator,
    forward: Forward,
}

impl Handler for Terminated {
    async fn handle(&self, conn: Conn) -> End {
        match self.terminator.accept(conn).await {
            Ok(mut conn) => self.forward.run(&mut conn).await,
            Err(end) => end,
        }
    }
}
