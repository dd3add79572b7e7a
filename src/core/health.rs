//! Active checks: one task a backend, an event only when the verdict changes.

use crate::{
    addr::Target,
    dial::{Dialer, Preamble},
    event::{Event, Events, cause_words, is_local_cause},
    pool::{Backend, BackendId, Pool},
    proxy_header::Version,
    shutdown::Shutdown,
};
use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How backends are checked.
#[derive(Clone, Debug)]
pub struct Checks {
    /// What is asked.
    pub probe: Probe,
    /// From the start of one check to the start of the next.
    pub every: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Successes in a row that bring a backend up.
    pub rise: NonZeroU32,
    /// Failures in a row that take it down.
    pub fall: NonZeroU32,
}

/// What a check asks of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// That it takes a connection, and before anything else a PROXY header that names no client: a backend that waits for
    /// one would report a check without it as an error.
    Connect(Option<Version>),
    /// That it answers GET on this path with a status of 200 to 399.
    Http(String),
}

/// What a check says of a backend, and why.
type Verdict = Result<String, String>;

/// Why this machine could not ask, which says nothing of the backend.
struct Unasked(String);

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

/// Checks every backend of a pool for as long as it is in it, until the shutdown begins.
pub async fn watch(pool: Pool, checks: Checks, dialer: Dialer, shutdown: Shutdown, events: Events) {
    let mut changes = pool.changes();
    let mut watched: HashMap<BackendId, DropGuard> = HashMap::new();
    loop {
        let backends = pool.backends();
        watched.retain(|id, _| backends.iter().any(|backend| backend.id == *id));
        for backend in backends {
            watched.entry(backend.id).or_insert_with(|| {
                let stop = CancellationToken::new();
                let watching = one(pool.clone(), backend, checks.clone(), dialer.clone(), events.clone());
                let ended = stop.clone();
                tokio::spawn(async move { ended.run_until_cancelled(watching).await });
                stop.drop_guard()
            });
        }
        if !matches!(shutdown.unless_draining(changes.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

/// Checks one backend until it is dropped.
async fn one(pool: Pool, backend: Arc<Backend>, checks: Checks, dialer: Dialer, events: Events) {
    let mut observed = Observed::default();
    let mut ticks = interval(checks.every);
    // After a check that took long the next one waits its full time: a slow backend is not asked more often.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let client = client(&checks);
    // A shortage is told before the time for the check is over.
    let dialer = Dialer { connect_timeout: dialer.connect_timeout.min(checks.timeout), ..dialer };
    let mut said_unasked = false;
    loop {
        ticks.tick().await;
        let verdict = match timeout(checks.timeout, check(&backend.target, &checks.probe, &dialer, client.as_ref())).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(Unasked(why))) => {
                if !std::mem::replace(&mut said_unasked, true) {
                    events.emit(Event::Note { text: format!("cannot check {}: {why}", backend.label) });
                }
                continue;
            }
            Err(_) => Err(format!("no answer for {:?}", checks.timeout)),
        };
        said_unasked = false;
        let up = backend.is_up();
        if observed.turns(up, verdict.is_ok(), &checks) {
            pool.stand(&backend, |standing| standing.up = !up);
            let why = verdict.unwrap_or_else(|why| why);
            events.emit(Event::Health { target: backend.label.to_string(), up: !up, why });
        }
    }
}

fn client(checks: &Checks) -> Option<reqwest::Client> {
    let Probe::Http(_) = checks.probe else { return None };
    // A check asks this backend and nobody else: no proxy of the environment, no redirect, no kept connection.
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).pool_max_idle_per_host(0);
    builder.user_agent(concat!("tapline/", env!("CARGO_PKG_VERSION"))).build().ok()
}

async fn check(target: &Target, probe: &Probe, dialer: &Dialer, client: Option<&reqwest::Client>) -> Result<Verdict, Unasked> {
    Ok(match (probe, target, client) {
        (Probe::Http(path), Target::Tcp(to), Some(client)) => match client.get(format!("http://{to}{path}")).send().await {
            // A redirect counts as well: whoever redirects is there.
            Ok(answer) if answer.status().is_success() || answer.status().is_redirection() => Ok(format!("answered {}", answer.status())),
            Ok(answer) => Err(format!("answered {}", answer.status())),
            Err(error) if is_local_cause(&error) => return Err(Unasked(cause_words(&error))),
            Err(error) => Err(cause_words(&error)),
        },
        (Probe::Http(_), other, _) => Err(format!("{other} cannot be checked by HTTP")),
        (Probe::Connect(announce), ..) => match dialer.dial(target, announce.map_or(Preamble::None, Preamble::Own), &[]).await {
            Ok(mut dialed) => {
                if announce.is_some() {
                    // FIN and not the RST of a stream that is dropped, which could overtake the header. A backend that
                    // closed first has taken the connection all the same.
                    let _ = dialed.stream.shutdown().await;
                }
                Ok("takes connections".to_owned())
            }
            Err(error) if error.is_local() => return Err(Unasked(error.words())),
            Err(error) => Err(error.words()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_verdict_decides_and_later_ones_count() {
        let three = NonZeroU32::new(3).unwrap();
        let two = NonZeroU32::new(2).unwrap();
        let checks = Checks { probe: Probe::Connect(None), every: Duration::ZERO, timeout: Duration::ZERO, rise: two, fall: three };
        let (mut observed, mut up) = (Observed::default(), true);
        let mut states = String::new();
        for ok in [false, true, true, false, false, true, false, false, false, true, false, true, true] {
            up ^= observed.turns(up, ok, &checks);
            states.push(if up { '1' } else { '0' });
        }
        assert_eq!(states, "0011111100001");
    }
}
