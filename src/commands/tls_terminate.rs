//! `tapline tls-terminate`: decrypts TLS and forwards plaintext.

use crate::{args, balancing::Balancing, serve::Session};
use std::{process::ExitCode, sync::Arc};
use tapline::{
    addr::{Endpoint, ListenAddr},
    event::End,
    forward::Forward,
    server::{Conn, Handler},
    starttls::{Ask, Starttls},
    terminate::Terminator,
};

/// Decrypt TLS and forward plaintext
///
/// Without --cert and --certs certificates are made in memory, and a command line that trusts them is printed. The ends are kept apart:
/// close_notify becomes FIN and FIN becomes close_notify, but a stream that was cut is reset on the other side. A target that
/// does not take a connection is passed over at once and the next one is tried; where there are several, they are checked by
/// connecting to them, and a single one with --check or --when-all-down fail. To a tls: target it is encrypted anew.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline tls-terminate 8443 127.0.0.1:8080", after_help = AFTER)]
pub struct TlsTerminate {
    /// Where to listen
    listen: ListenAddr,
    #[command(flatten)]
    sources: args::Sources,
    #[command(flatten)]
    tls: args::Tls,
    #[command(flatten)]
    hello: args::Hello,
    #[command(flatten)]
    balance: args::Balance,
    #[command(flatten)]
    places: args::Places,
    #[command(flatten)]
    failover: args::Failover,
    #[command(flatten)]
    control: args::Control,
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
  tapline tls-terminate :443 127.0.0.1:8080 --cert chain.pem --key key.pem
  tapline tls-terminate :443 127.0.0.1:8080 --certs /etc/letsencrypt/live --strict-sni
  tapline tls-terminate 8443 builtin:http --names 'www.a.test,*.b.test' --ca-out ca.pem
  tapline tls-terminate :443 web1:80 web2:80 --alpn http/1.1 --send-proxy v2
  tapline tls-terminate 8443 127.0.0.1:8080 --client-ca ca.pem --allow-client '*.staff.a.test'
  tapline tls-terminate :5432 127.0.0.1:5433 --starttls postgres";

impl TlsTerminate {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let sources = self.sources.read(&self.serve, self.top)?;
        let mut seen_live = self.top.open(&self.serve, &[("--hex", self.relay.watch.shows_bytes())], session)?;
        self.tls.watch.check(&self.serve, &session.reporter, &[("--record", self.relay.watch.recorded())])?;
        let seeing = session.preparing(self.tls.watch.open()).await??;
        let keys = seeing.of_clients();
        let starttls = self.tls.starttls.map(Starttls::from);
        let (terminator, mut shown) = session.reading(move || self.tls.terminator(self.hello.hello_timeout, keys)).await?;
        let mut dialer = session.reading(move || self.connect.dialer()).await?;
        if let Some(keys) = seeing.of_targets() {
            dialer.tls = dialer.tls.telling(keys);
        }
        // Also for clients that agree on none: a target whose TLS begins with the first byte may insist on its protocol.
        if let Some(protocol) = starttls.and_then(Starttls::alpn) {
            dialer.tls = dialer.tls.offering(protocol);
        }
        let announce = self.announce.version();
        // Where one target is all there is, what its checks say changes nothing, as a rule.
        let health = &self.balance.health;
        let checked = !sources.is_one() || self.control.is_controlled() || health.checks_one();
        let checks = health.checks(None, announce)?.filter(|_| checked);
        let settings = self.balance.pool(self.places, self.relay.faults.seed, &self.serve, args::Known::Name)?;
        let balancing = Balancing::new(&sources, settings, checks, dialer.clone(), session).await?;
        let (server, relay, mut watching) = self.relay.bind(&self.serve, &self.listen, session).await?;
        self.control.bind("tls-terminate", balancing.named("tls-terminate"), true, session).await?;
        let server = server.watched_by(seeing.wire());
        shown.publish()?;
        let notes = session.preparing(seeing.start(&mut watching, &session.reporter)).await??;
        let settings = Arc::new(self.failover.settings(dialer, announce, relay, self.relay.faults.seed, session.reporter.style()));
        let forward = Forward { pool: balancing.pool.clone(), settings: settings.clone() };
        let events = session.reporter.events();
        let started = |addr: &Endpoint| {
            balancing.start(session);
            settings.relay.announce(&events);
            for note in &notes {
                session.reporter.note(note);
            }
            shown.announce(addr, session);
            seen_live.start("tls-terminate", addr, balancing.named("tls-terminate"), session);
        };
        // `shown` owns the CA's file: it is there as long as the command runs.
        let served = self.serve.run(server, Terminated { terminator, forward }, session, started).await;
        seen_live.finish();
        balancing.finish(session);
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
            Ok(mut conn) => self.forward.run_after(&mut conn, self.terminator.starttls.map(Ask::Greeting)).await,
            Err(end) => end,
        }
    }
}
