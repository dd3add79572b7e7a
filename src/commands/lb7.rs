//! `tapline lb7`: balances HTTP requests.

use crate::{
    args::{self, Limit},
    balancing::Balancing,
    serve::Session,
};
use std::{process::ExitCode, sync::Arc, time::Duration};
use tapline::{
    addr::{Endpoint, ListenAddr},
    event::End,
    health::Step,
    http::{self, Balancer, Timeouts},
    server::{Conn, Handler},
};

/// Balance HTTP/1.1 requests over backends
///
/// Connections are kept on both sides; hop-by-hop headers are removed; X-Forwarded-For, -Proto and -Host say who asked;
/// a request that no backend took is sent to the next one, and answered with 502, 503 or 504 and the reason where none
/// is left. Upgrades (WebSocket) are not passed on.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline lb7 8080 h1:80 h2:80,weight=3", after_help = AFTER)]
// Requests differ more than connections: the better of two copes with that.
#[command(mut_arg("policy", |policy| policy.help("How the next backend is chosen").default_value("p2c")))]
pub struct Lb7 {
    /// Where to listen
    listen: ListenAddr,
    #[command(flatten)]
    sources: args::Sources,
    #[command(flatten)]
    balance: args::Balance,
    #[command(flatten)]
    places: args::Places,
    #[command(flatten)]
    control: args::Control,
    /// Check backends by GET on this path; 200 to 399 is well. The same as --check http:PATH [default: by connecting]
    #[arg(long, value_name = "PATH", value_parser = Step::http, help_heading = "Checking", conflicts_with = "check")]
    health: Option<Step>,
    /// Repeat the random choices of an earlier run [default: a new one]
    #[arg(long, value_name = "N", help_heading = "Balancing")]
    seed: Option<u64>,
    #[command(flatten)]
    connect: args::Connect,
    /// From the end of a request to the head of the backend's answer
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = args::duration, help_heading = "HTTP")]
    response_timeout: Duration,
    /// For a client that neither asks nor reads, and a body that does not go on ("off" for never)
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = args::limit, help_heading = "HTTP")]
    idle_timeout: Limit,
    #[command(flatten)]
    top: args::Top,
    #[command(flatten)]
    serve: args::Serve,
}

const AFTER: &str = "\
Examples:
  tapline lb7 8080 10.0.0.1:80 10.0.0.2:80 --health /healthz
  tapline lb7 0 builtin:http builtin:http -- curl -s http://{addr}/";

impl Lb7 {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let sources = self.sources.read(&self.serve, self.top)?;
        let mut seeing = self.top.open(&self.serve, &[], session)?;
        let dialer = session.reading(move || self.connect.dialer()).await?;
        let checks = self.balance.health.checks(self.health, None)?;
        let timeouts = Timeouts { response: self.response_timeout, idle: self.idle_timeout.0 };
        let settings = self.balance.pool(self.places, self.seed, &self.serve, args::Known::Nothing)?;
        let balancing = Balancing::new(&sources, settings, checks, dialer.clone(), session).await?;
        let handler = Balanced(Balancer::new(balancing.pool.clone(), dialer, timeouts));
        let server = self.serve.bind(&self.listen, session).await?;
        // Requests are not cut off: hyper has their connections.
        self.control.bind("lb7", balancing.named("lb7"), false, session).await?;
        let started = |addr: &Endpoint| {
            balancing.start(session);
            seeing.start("lb7", addr, balancing.named("lb7"), session);
        };
        let served = self.serve.run(server, handler, session, started).await;
        seeing.finish();
        served
    }
}

/// Answers every request from a backend.
pub struct Balanced(pub Arc<Balancer>);

impl Handler for Balanced {
    async fn handle(&self, conn: Conn) -> End {
        http::serve(conn, self.0.clone()).await
    }
}
