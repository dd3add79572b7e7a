//! `tapline demo`: the main job with nothing else installed: three backends, lb7 in front, clients, and a backend that
//! dies half-way and comes back.

mod load;

use super::lb7::Balanced;
use crate::{
    report::{self, Look, span},
    serve::Session,
};
use anyhow::Context;
use load::{Load, Phase};
use std::{
    net::SocketAddr,
    num::NonZeroU32,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tapline::{
    addr::{Builtin, HostPort, ListenAddr, Target, TargetSpec},
    builtin::Running,
    dial::Dialer,
    event::{Event, Events, Sink},
    health::{Checks, Probe},
    http::{Balancer, Timeouts},
    pool::{Policy, Pool},
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

const REQUESTS: usize = 300;
const CHECK: Duration = Duration::from_millis(100);

impl Demo {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let Session { reporter, shutdown } = session;
        let mut backends = Vec::new();
        for name in ["alpha", "beta", "gamma"] {
            backends.push(Running::start(Builtin::Http, name, None).await.context("cannot start a backend")?);
        }
        let addrs: Vec<SocketAddr> = backends.iter().map(Running::addr).collect();
        let specs: Vec<_> = addrs.iter().map(|addr| TargetSpec { target: Target::Tcp(HostPort::at(*addr)), weight: 1 }).collect();
        let pool = Pool::new(&specs, Policy::RoundRobin).await?;
        let dialer = Dialer { connect_timeout: Duration::from_secs(1), tls: ClientTls::new(&Trust::PublicRoots)? };
        let timeouts = Timeouts { response: Duration::from_secs(5), idle: Duration::from_secs(5) };
        let handler = Balanced(Balancer::new(pool.clone(), dialer.clone(), timeouts));
        let retries = Arc::new(AtomicU64::new(0));
        let events = Events::new(Counted { retries: retries.clone(), events: reporter.events() });

        let server = Server::bind(&"0".parse::<ListenAddr>()?).await?;
        let addr = server.addr().clone();
        events.emit(Event::Listening { addr: addr.clone() });
        for (name, addr) in ["alpha", "beta", "gamma"].iter().zip(&addrs) {
            reporter.note(format!("backend {name} is builtin:http on {addr}"));
        }
        let few = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let checks = Checks { probe: Probe::Http("/".into()), every: CHECK, timeout: Duration::from_secs(1), rise: few(1), fall: few(2) };
        let stop = shutdown.child();
        for backend in pool.backends() {
            tokio::spawn(tapline::health::watch(backend.clone(), checks.clone(), dialer.clone(), stop.clone(), events.clone()));
        }
        let limits = Limits { max_connections: 1000, connections: None, grace: Duration::from_secs(2) };
        let serving = {
            let (stop, events) = (stop.clone(), events.clone());
            tokio::spawn(async move { server.serve(Arc::new(handler), &limits, &stop, &events).await })
        };

        let mut load = Load::new(format!("http://{addr}/"), reporter, REQUESTS)?;
        let killed = addrs[1];
        let story = async {
            load.run(Phase::Before, REQUESTS / 3).await;
            reporter.note("beta is killed: its connections are reset and its port is closed");
            let gone = backends.remove(1);
            gone.stop().await;
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
        if finished.is_none() {
            anyhow::bail!("interrupted after {} of {REQUESTS} requests", load.answered());
        }
        let _ = reporter.to_stdout(summary(&load, retries.load(Relaxed), reporter.style().stdout).into_bytes()).await;
        let good = load.failed() == 0
            && load.count("beta", Phase::Before) > 0
            && load.count("beta", Phase::Dead) == 0
            && load.count("beta", Phase::After) > 0;
        if !good || served.aborted > 0 {
            anyhow::bail!(
                "this is not what should have happened: {} requests failed, {} connections were cut",
                load.failed(),
                served.aborted
            );
        }
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

fn summary(load: &Load, retries: u64, look: Look) -> String {
    let mut table = report::table(look, &["backend", "all alive", "beta dead", "beta back", "median", "99th", "slowest"]);
    for name in ["alpha", "beta", "gamma"] {
        let times = load.latencies(name);
        let at = |share: f64| {
            times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1))).map_or("-".into(), |time| span(*time))
        };
        let counts = [Phase::Before, Phase::Dead, Phase::After].map(|phase| load.count(name, phase).to_string());
        let [before, dead, after] = counts;
        table.add_row([name.to_owned(), before, dead, after, at(0.5), at(0.99), at(1.0)]);
    }
    format!(
        "{}{} requests, {} failed, {retries} retried on another backend\n\n\
         the same by hand:\n  tapline lb7 8080 builtin:http builtin:http builtin:http --health /\n  curl http://127.0.0.1:8080/\n",
        report::text(&table),
        load.answered(),
        load.failed()
    )
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
