//! `tapline demo`: the main job with nothing else installed: three backends, lb7 in front, clients, and a backend that
//! dies half-way and comes back.

mod load;

use super::lb7::Balanced;
use crate::{
    report::{self, Look, Show, span},
    serve::Session,
};
use anyhow::Context;
use load::{Load, Phase};
use serde::Serialize;
use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tapline::{
    addr::{Builtin, HostPort, ListenAddr, Target, TargetSpec},
    balance::Policy,
    builtin::Running,
    dial::{Dialer, Options},
    event::{Event, Events, Sink},
    health::{Checks, Probe, Step},
    http::{Balancer, Timeouts},
    pool::Pool,
    server::{Limits, Server},
    tls::{ClientTls, Trust},
};

/// See the main job done in a few seconds
///
/// Starts three HTTP backends inside this process and lb7 in front of them, sends a few hundred requests through real
/// sockets, kills one backend half-way and brings it back. Exit status 0 only if no request failed and the backend that
/// died served before and after, and not in between.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline demo")]
pub struct Demo {}

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
const REQUESTS: usize = 300;
const CHECK: Duration = Duration::from_millis(100);

impl Demo {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let Session { reporter, shutdown, .. } = session;
        let mut backends = Vec::new();
        for name in NAMES {
            backends.push(Running::start(Builtin::Http, name, None).await.context("cannot start a backend")?);
        }
        let addrs: Vec<SocketAddr> = backends.iter().map(Running::addr).collect();
        let specs: Vec<_> = addrs.iter().map(|addr| TargetSpec::from(Target::Tcp(HostPort::at(*addr)))).collect();
        let pool = Pool::new(&specs, Policy::RoundRobin).await?;
        let dialer =
            Dialer { connect_timeout: Duration::from_secs(1), options: Options::default(), tls: ClientTls::new(&Trust::PublicRoots)? };
        let timeouts = Timeouts { response: Duration::from_secs(5), idle: Some(Duration::from_secs(5)) };
        let handler = Balanced(Balancer::new(pool.clone(), dialer.clone(), timeouts));
        let retries = Arc::new(AtomicU64::new(0));
        let events = Events::new(Counted { retries: retries.clone(), events: reporter.events() });

        let server = Server::bind(&"0".parse::<ListenAddr>()?).await?;
        let addr = server.addr().clone();
        events.emit(Event::Listening { addr: addr.clone() });
        for (name, addr) in NAMES.iter().zip(&addrs) {
            reporter.note(format!("backend {name} is builtin:http on {addr}"));
        }
        let few = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let probe = Probe::new(vec![Step::http("/")?]).map_err(anyhow::Error::msg)?;
        let checks = Checks { probe, announce: None, every: CHECK, timeout: Duration::from_secs(1), rise: few(1), fall: few(2) };
        let stop = shutdown.child();
        tokio::spawn(tapline::health::watch(pool.clone(), Some(checks), dialer.clone(), stop.clone(), events.clone()));
        let limits = Limits { max_connections: 1000, connections: None, grace: Duration::from_secs(2), threads: NonZeroUsize::MIN };
        let serving = {
            let (stop, events) = (stop.clone(), events.clone());
            tokio::spawn(async move { server.serve(Arc::new(handler), &limits, &stop, &events).await })
        };

        let mut load = Load::new(format!("http://{addr}/"), reporter, REQUESTS)?;
        let (killed, progress) = (addrs[1], load.progress());
        let story = async {
            // In the middle of the traffic, as it would happen.
            let gone = backends.remove(1);
            let kill = async {
                wait_until(|| progress() >= REQUESTS / 6).await;
                reporter.note("beta is killed: its connections are reset and its port is closed");
                gone.stop().await;
            };
            tokio::join!(load.run(Phase::Before, REQUESTS / 3), kill);
            load.run(Phase::Dead, REQUESTS / 3).await;
            wait_until(|| !pool.backends()[1].is_up()).await;
            let again = Running::start(Builtin::Http, "beta", Some(killed.port())).await.context("cannot bring beta back on its port")?;
            reporter.note("beta is back on the same port; the next good check brings it up");
            wait_until(|| pool.backends()[1].is_up()).await;
            load.run(Phase::After, REQUESTS - 2 * (REQUESTS / 3)).await;
            anyhow::Ok(again)
        };
        let finished = tokio::select! {
            again = story => Some(again?),
            () = shutdown.draining() => None,
        };
        load.finish();
        stop.drain();
        let served = serving.await.context("the balancer failed")?;
        let outcome = Outcome::new(&load, retries.load(Relaxed), reporter.style().stdout);
        // Whoever closed stdout does not want to know.
        let _ = reporter.result(&outcome).await;
        anyhow::ensure!(finished.is_some(), "interrupted after {} of {REQUESTS} requests", load.answered());
        anyhow::ensure!(
            outcome.is_as_promised() && served.aborted == 0,
            "this is not what should have happened: {} requests failed, {} connections were cut",
            outcome.failed,
            served.aborted
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// Checks run every tenth of a second; the wait is for their verdict and no longer than a few of them.
async fn wait_until(done: impl Fn() -> bool) {
    for _ in 0..50 {
        if done() {
            return;
        }
        tokio::time::sleep(CHECK / 2).await;
    }
}

/// What came of the demo.
#[derive(Serialize)]
#[serde(tag = "event", rename = "demo", rename_all = "snake_case")]
struct Outcome {
    requests: usize,
    failed: usize,
    retries: u64,
    backends: Vec<Served>,
    #[serde(skip)]
    look: Look,
}

/// What one backend did: answers in each phase, and how long they took in milliseconds.
#[derive(Serialize)]
struct Served {
    name: &'static str,
    until_killed: usize,
    dead: usize,
    back: usize,
    median_ms: f64,
    p99_ms: f64,
    slowest_ms: f64,
}

impl Outcome {
    fn new(load: &Load, retries: u64, look: Look) -> Self {
        let served = |name| {
            let times = load.latencies(name);
            let at = |share: f64| {
                times
                    .get((times.len() as f64 * share) as usize)
                    .or(times.last())
                    .map_or(0.0, |time| (time.as_secs_f64() * 1e6).round() / 1e3)
            };
            let [until_killed, dead, back] = [Phase::Before, Phase::Dead, Phase::After].map(|phase| load.count(name, phase));
            Served { name, until_killed, dead, back, median_ms: at(0.5), p99_ms: at(0.99), slowest_ms: at(1.0) }
        };
        Self { requests: load.answered(), failed: load.failed(), retries, backends: NAMES.map(served).into(), look }
    }

    /// No request failed, and the backend that died served before and after, and not in between.
    fn is_as_promised(&self) -> bool {
        let beta = &self.backends[1];
        self.failed == 0 && self.requests == REQUESTS && beta.until_killed > 0 && beta.dead == 0 && beta.back > 0
    }
}

impl Show for Outcome {
    fn line(&self) -> String {
        let mut table = report::table(self.look, &["backend", "until beta dies", "beta dead", "beta back", "median", "99th", "slowest"]);
        for backend in &self.backends {
            let time = |ms: f64| span(Duration::from_secs_f64(ms / 1e3));
            let counts = [backend.until_killed, backend.dead, backend.back].map(|count| count.to_string());
            let times = [backend.median_ms, backend.p99_ms, backend.slowest_ms].map(time);
            table.add_row([backend.name.to_owned()].into_iter().chain(counts).chain(times));
        }
        format!(
            "{}{} requests, {} failed, {} sent again to another backend\n\n\
             the same by hand:\n  tapline lb7 8080 builtin:http builtin:http builtin:http --health /\n  curl http://127.0.0.1:8080/",
            report::text(&table),
            self.requests,
            self.failed,
            self.retries
        )
    }
}

/// Counts retries, and passes on what a spectator wants to see.
struct Counted {
    retries: Arc<AtomicU64>,
    events: Events,
}

impl Sink for Counted {
    fn emit(&self, event: Event) {
        match event {
            Event::Request { retries, .. } => _ = self.retries.fetch_add(retries.into(), Relaxed),
            Event::Listening { .. } | Event::Health { .. } => self.events.emit(event),
            _ => {}
        }
    }
}
