//! Backends, and whose turn it is.

use crate::{
    addr::{Endpoint, HostPort, Target, TargetSpec},
    builtin,
    event::{Event, Events, Traffic},
};
use std::{
    collections::HashMap,
    io,
    num::NonZeroU32,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// How the next backend is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// In turn, by weight and evenly spread (nginx's smooth weighted round robin).
    #[default]
    RoundRobin,
    /// The one with the fewest open connections or requests for its weight; in turn among equals.
    LeastConnections,
}

/// One place to send to.
#[derive(Debug)]
pub struct Backend {
    /// The name in events: as it was written, numbered where it was written more than once.
    pub label: Arc<str>,
    /// Where to connect.
    pub target: Target,
    /// Its place in the pool, from 0.
    pub index: usize,
    weight: NonZeroU32,
    up: AtomicBool,
    open: AtomicUsize,
    totals: Totals,
    // A builtin target lives as long as its backend.
    builtin: Option<builtin::Running>,
}

impl Backend {
    /// Whether the active checks find it well; true before the first.
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// Sets what the active checks found.
    pub fn set_up(&self, up: bool) {
        self.up.store(up, Relaxed);
    }

    /// Connections or requests that it has now.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }
}

/// What a backend has come to over the run: of connections that have ended.
#[derive(Debug, Default)]
struct Totals {
    connections: AtomicU64,
    failed: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

/// A use of a backend: it counts as busy until this is dropped.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    /// The bytes of its connection, where it has one of its own.
    traffic: Option<Arc<Traffic>>,
}

impl Lease {
    /// Counts the backend as busy.
    #[must_use]
    pub fn new(backend: Arc<Backend>) -> Self {
        backend.open.fetch_add(1, Relaxed);
        Self { backend, traffic: None }
    }

    /// The backend has taken a connection; its bytes are added to the backend's when this is dropped.
    #[must_use]
    pub fn taken(mut self, traffic: &Arc<Traffic>) -> Self {
        self.backend.totals.connections.fetch_add(1, Relaxed);
        self.traffic = Some(traffic.clone());
        self
    }

    /// The backend has not taken a connection, for a reason of its own.
    pub fn failed(&self) {
        self.backend.totals.failed.fetch_add(1, Relaxed);
    }

    /// The backend, to be kept longer than the lease.
    #[must_use]
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Deref for Lease {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        &self.backend
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.open.fetch_sub(1, Relaxed);
        if let Some(traffic) = &self.traffic {
            self.backend.totals.received.fetch_add(traffic.received(), Relaxed);
            self.backend.totals.sent.fetch_add(traffic.sent(), Relaxed);
        }
    }
}

/// Backends under one policy. Clones share their state.
#[derive(Clone, Debug)]
pub struct Pool {
    backends: Arc<[Arc<Backend>]>,
    policy: Policy,
    /// What each backend has saved up, for smooth weighted round robin.
    turns: Arc<Mutex<Vec<i64>>>,
}

impl Pool {
    /// A pool of one or more targets. `builtin:` targets are started, each on a loopback port of its own.
    ///
    /// # Errors
    /// A builtin server could not be started.
    ///
    /// # Panics
    /// There is no target.
    pub async fn new(specs: &[TargetSpec], policy: Policy) -> io::Result<Self> {
        assert!(!specs.is_empty(), "a pool has at least one target");
        let mut backends = Vec::with_capacity(specs.len());
        for (index, (spec, label)) in specs.iter().zip(labels(specs)).enumerate() {
            let (target, running) = match spec.target {
                Target::Builtin(kind) => {
                    let running = builtin::Running::start(kind, &label, None).await?;
                    (Target::Tcp(HostPort::at(running.addr())), Some(running))
                }
                ref other => (other.clone(), None),
            };
            backends.push(Arc::new(Backend {
                label: label.into(),
                target,
                index,
                weight: NonZeroU32::new(spec.weight).unwrap_or(NonZeroU32::MIN),
                up: AtomicBool::new(true),
                open: AtomicUsize::new(0),
                totals: Totals::default(),
                builtin: running,
            }));
        }
        let turns = vec![0; backends.len()];
        Ok(Self { backends: backends.into(), policy, turns: Arc::new(Mutex::new(turns)) })
    }

    /// All backends, in the order in which they were given.
    #[must_use]
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// Says where the builtin targets listen.
    pub fn announce(&self, events: &Events) {
        for backend in self.backends() {
            if let Some(running) = &backend.builtin {
                events.emit(Event::Builtin { target: backend.label.to_string(), addr: Endpoint::Tcp(running.addr()) });
            }
        }
    }

    /// Says what each target that was asked has come to: once for each name, in however many pools it is.
    pub fn report(pools: &[Self], events: &Events) {
        let mut tally = Tally::default();
        for pool in pools {
            tally.add(pool);
        }
        tally.tell(events);
    }

    /// Whether nobody uses it now.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.backends.iter().all(|backend| backend.open() == 0)
    }

    /// Backends in the order in which they are to be tried: the policy's choice, then the others in turn, those that
    /// are up before those that are down. When all are down they are tried all the same: checks can be wrong.
    pub fn pick(&self) -> impl Iterator<Item = Lease> + use<> {
        let first = self.choose();
        let mut order: Vec<_> = (0..self.backends.len()).map(|i| self.backends[(first + i) % self.backends.len()].clone()).collect();
        // Stable: the turn is kept among those that are up.
        order.sort_by_key(|backend| !backend.is_up());
        order.into_iter().map(Lease::new)
    }

    fn choose(&self) -> usize {
        if self.backends.len() == 1 {
            return 0;
        }
        let any_up = self.backends.iter().any(|backend| backend.is_up());
        let eligible = |backend: &Backend| !any_up || backend.is_up();
        let least = |backend: &Backend| (backend.open() as u64, u64::from(backend.weight.get()));
        // Fewer open for each unit of weight, compared without a division: a/v < b/w as a*w < b*v.
        let fewest = match self.policy {
            Policy::RoundRobin => None,
            Policy::LeastConnections => self
                .backends
                .iter()
                .map(|b| &**b)
                .filter(|b| eligible(b))
                .map(least)
                .reduce(|a, b| if b.0 * a.1 < a.0 * b.1 { b } else { a }),
        };
        let tied = |backend: &Backend| fewest.is_none_or(|(open, weight)| least(backend).0 * weight == open * least(backend).1);
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut best, mut total) = (None, 0);
        for (i, backend) in self.backends.iter().enumerate().filter(|(_, backend)| eligible(backend) && tied(backend)) {
            let weight = i64::from(backend.weight.get());
            turns[i] += weight;
            total += weight;
            if best.is_none_or(|best: usize| turns[i] > turns[best]) {
                best = Some(i);
            }
        }
        // Loads change while they are read: where nobody is tied any more, the first will do.
        let best = best.unwrap_or(0);
        turns[best] -= total;
        best
    }
}

/// What targets have come to, added up by their names, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Tally {
    sums: Vec<(Arc<str>, [u64; 4])>,
    places: HashMap<Arc<str>, usize>,
}

impl Tally {
    /// Adds what the targets of a pool have come to, those that were asked at all.
    pub fn add(&mut self, pool: &Pool) {
        for backend in pool.backends() {
            let Totals { connections, failed, received, sent } = &backend.totals;
            let counts = [connections, failed, received, sent].map(|count| count.load(Relaxed));
            if counts[..2] == [0, 0] {
                continue;
            }
            let place = *self.places.entry(backend.label.clone()).or_insert_with(|| {
                self.sums.push((backend.label.clone(), [0; 4]));
                self.sums.len() - 1
            });
            self.sums[place].1.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    /// How many targets there are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether no target was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Says all of it.
    pub fn tell(&self, events: &Events) {
        for (target, [connections, failed, received, sent]) in self.sums.iter().cloned() {
            events.emit(Event::Target { target, connections, failed, received, sent });
        }
    }
}

fn labels(specs: &[TargetSpec]) -> Vec<String> {
    let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
    for spec in specs {
        counts.entry(spec.target.to_string()).or_default().0 += 1;
    }
    let numbered = specs.iter().map(|spec| {
        let label = spec.target.to_string();
        let (of, seen) = counts.get_mut(&label).expect("every label was counted");
        *seen += 1;
        if *of > 1 { format!("{label}#{seen}") } else { label }
    });
    numbered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pool(text: &str, policy: Policy) -> Pool {
        Pool::new(&TargetSpec::list(text).unwrap(), policy).await.unwrap()
    }

    fn firsts(pool: &Pool, n: usize) -> String {
        (0..n).map(|_| pool.pick().next().unwrap().label.chars().next().unwrap()).collect()
    }

    #[tokio::test]
    async fn round_robin_is_smooth_and_weighted() {
        assert_eq!(firsts(&pool("a:1,b:1,c:1", Policy::RoundRobin).await, 7), "abcabca");
        // nginx's own example of the algorithm: weights 5, 1, 1.
        assert_eq!(firsts(&pool("a:1,weight=5,b:1,c:1", Policy::RoundRobin).await, 7), "aabacaa");
    }

    #[tokio::test]
    async fn the_fewest_open_wins_and_equals_take_turns() {
        let pool = pool("a:1,b:1,c:1", Policy::LeastConnections).await;
        assert_eq!(firsts(&pool, 6), "abcabc");
        let held: Vec<_> = [0, 0, 1].map(|i| Lease::new(pool.backends[i].clone())).into();
        assert_eq!(firsts(&pool, 2), "cc");
        drop(held);
        assert_eq!(pool.backends.iter().map(|b| b.open()).sum::<usize>(), 0);
    }

    #[tokio::test]
    async fn least_connections_counts_by_weight() {
        let pool = pool("a:1,weight=3,b:1", Policy::LeastConnections).await;
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(pool.pick().next().unwrap());
        }
        assert_eq!(pool.backends.iter().map(|b| b.open()).collect::<Vec<_>>(), [30, 10]);
    }

    #[tokio::test]
    async fn those_that_are_down_come_last_and_all_are_tried_when_all_are_down() {
        let pool = pool("a:1,b:1,c:1", Policy::RoundRobin).await;
        pool.backends[0].set_up(false);
        assert_eq!(firsts(&pool, 4), "bcbc");
        let order: String = pool.pick().map(|lease| lease.label.chars().next().unwrap()).collect();
        assert_eq!(order, "bca");
        pool.backends.iter().for_each(|backend| backend.set_up(false));
        assert_eq!(pool.pick().count(), 3);
    }

    #[test]
    fn the_same_target_twice_is_told_apart() {
        let specs = TargetSpec::list("builtin:http,h:1,builtin:http").unwrap();
        assert_eq!(labels(&specs), ["builtin:http#1", "h:1", "builtin:http#2"]);
    }
}
