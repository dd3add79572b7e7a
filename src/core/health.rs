//! Active checks: one task a backend, an event only when the verdict changes.

mod exec;
mod probe;
mod step;
#[cfg(test)]
mod tests;

pub use step::{Probe, Step};

use crate::{
    dial::Dialer,
    event::{Event, Events},
    pool::{Backend, BackendId, Pool, Serving},
    proxy_header::Version,
    shutdown::Shutdown,
};
use probe::{Unasked, Verdict, check};
use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::{CancellationToken, DropGuard};

/// So many targets are named where it is told of a whole pool.
const NAMES: usize = 5;

/// How backends are checked.
#[derive(Clone, Debug)]
pub struct Checks {
    /// What is asked.
    pub probe: Probe,
    /// Whether a connection begins with a PROXY header that names no client: a backend that waits for one would report a check
    /// without it as an error.
    pub announce: Option<Version>,
    /// From the start of one check to the start of the next.
    pub every: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Successes in a row that bring a backend up.
    pub rise: NonZeroU32,
    /// Failures in a row that take it down.
    pub fall: NonZeroU32,
}

/// Counts verdicts in a row.
#[derive(Debug, Default)]
struct Observed {
    known: bool,
    against: u32,
}

impl Observed {
    /// Takes one verdict; returns true where it turns the state. The first verdict of all decides at once.
    fn turns(&mut self, up: bool, ok: bool, checks: &Checks) -> bool {
        let needed = match (self.known, ok) {
            (false, _) => 1,
            (true, true) => checks.rise.get(),
            (true, false) => checks.fall.get(),
        };
        self.known = true;
        self.against = if ok == up { 0 } else { self.against + 1 };
        let turned = self.against >= needed;
        if turned {
            self.against = 0;
        }
        turned
    }
}

/// Follows a pool until the shutdown begins: says which of its backends are chosen from whenever that changes, and checks every one
/// for as long as it is in it.
pub async fn watch(pool: Pool, checks: Option<Checks>, dialer: Dialer, shutdown: Shutdown, events: Events) {
    let mut changes = pool.changes();
    let mut watched: HashMap<BackendId, DropGuard> = HashMap::new();
    let mut said = Serving::Regular;
    loop {
        let (from, usable, of) = pool.serving();
        if std::mem::replace(&mut said, from) != from {
            let names = pool.backends().iter().take(NAMES).map(|backend| backend.label.clone()).collect();
            events.emit(Event::Serving { from, usable, of, names });
        }
        if let Some(checks) = &checks {
            let backends = pool.backends();
            let members: HashSet<_> = backends.iter().map(|backend| backend.id).collect();
            watched.retain(|id, _| members.contains(id));
            for backend in backends {
                watched.entry(backend.id).or_insert_with(|| {
                    let stop = CancellationToken::new();
                    let watching = one(pool.clone(), backend, checks.clone(), dialer.clone(), events.clone());
                    let ended = stop.clone();
                    tokio::spawn(async move { ended.run_until_cancelled(watching).await });
                    stop.drop_guard()
                });
            }
        }
        if !matches!(shutdown.unless_draining(changes.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

/// Checks one backend until it is dropped.
async fn one(pool: Pool, backend: Arc<Backend>, checks: Checks, dialer: Dialer, events: Events) {
    let mut observed = Observed::default();
    let begun = Instant::now();
    let mut ticks = interval_at(begun + second(backend.id, checks.every), checks.every);
    // After a check that took long the next one waits its full time: a slow backend is not asked more often.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A shortage is told before the time for the check is over.
    let dialer = Dialer { connect_timeout: dialer.connect_timeout.min(checks.timeout), ..dialer };
    let mut said_unasked = false;
    loop {
        match check(&backend, &checks, &dialer).await {
            Ok(verdict) => {
                said_unasked = false;
                judge(&pool, &backend, &mut observed, verdict, &checks, &events);
            }
            Err(Unasked(why)) => {
                if !std::mem::replace(&mut said_unasked, true) {
                    events.emit(Event::Note { text: format!("cannot check {}: {why}", backend.label) });
                }
            }
        }
        ticks.tick().await;
    }
}

/// When the second check begins, from the first one on, with which all begin at once: half an interval to one and a half, so that
/// the checks of many backends are spread over the whole of it from then on. Steps of the golden ratio leave no gap, whoever
/// comes and goes.
fn second(id: BackendId, every: Duration) -> Duration {
    const GOLDEN: u32 = 2_654_435_769; // 2^32 / 1.618...
    let place = (id.0 as u32).wrapping_mul(GOLDEN);
    every / 2 + every.mul_f64(f64::from(place) / f64::from(u32::MAX))
}

fn judge(pool: &Pool, backend: &Arc<Backend>, observed: &mut Observed, verdict: Verdict, checks: &Checks, events: &Events) {
    let up = backend.is_up();
    let ok = verdict.is_ok();
    let why = verdict.unwrap_or_else(|why| why);
    if observed.turns(up, ok, checks) {
        pool.set_up(backend, !up);
        if up {
            backend.blame(&why);
        }
        events.emit(Event::Health { target: backend.label.to_string(), up: !up, why });
    } else if up && ok {
        pool.checked_well(backend, &why, events);
    }
}
