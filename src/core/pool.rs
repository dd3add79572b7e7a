//! Backends, and whose turn it is.

mod backend;
mod members;
mod tally;

pub use backend::{Backend, Lease, Standing, Totals};
pub use members::{Changes, SourceId};
pub use tally::Tally;

use crate::{
    addr::{Endpoint, TargetSpec},
    balance::{Candidate, Chooser, Policy},
    event::{Event, Events},
};
use arc_swap::ArcSwap;
use members::Members;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// The number of a backend within its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(pub u64);

/// Backends under one policy. Clones share their state.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    policy: Policy,
    members: Mutex<Members>,
    /// How all of it is now, for those who look without waiting.
    now: ArcSwap<Now>,
    /// Tells that backends have come or gone, or stand otherwise.
    changed: watch::Sender<()>,
}

/// A pool at one time.
#[derive(Debug)]
struct Now {
    all: Vec<Arc<Backend>>,
    /// The numbers in `all` of those that may be chosen; of all of them, where none may.
    eligible: Vec<usize>,
    chooser: Chooser,
}

impl Now {
    fn new(policy: Policy, all: Vec<Arc<Backend>>) -> Self {
        let standings: Vec<_> = all.iter().map(|backend| backend.standing()).collect();
        let of = |backup| (0..all.len()).filter(|at| standings[*at].is_eligible() && standings[*at].backup == backup).collect();
        let mut eligible: Vec<_> = of(false);
        if eligible.is_empty() {
            eligible = of(true);
        }
        if eligible.is_empty() {
            // Checks can be wrong.
            eligible = (0..all.len()).filter(|at| !standings[*at].draining).collect();
        }
        let candidate = |at: &usize| Candidate { name: all[*at].label.clone(), weight: standings[*at].weight };
        let chooser = Chooser::new(policy, eligible.iter().map(candidate).collect());
        Self { all, eligible, chooser }
    }
}

impl Pool {
    /// A pool of these targets. `builtin:` targets are started, each on a loopback port of its own.
    ///
    /// # Errors
    /// A builtin server could not be started.
    pub async fn new(specs: &[TargetSpec], policy: Policy) -> io::Result<Self> {
        let now = ArcSwap::from_pointee(Now::new(policy, Vec::new()));
        let pool = Self(Arc::new(Shared { policy, members: Mutex::default(), now, changed: watch::Sender::new(()) }));
        pool.update(SourceId::ARGUMENTS, specs).await?;
        Ok(pool)
    }

    /// All backends, in the order in which they were given.
    #[must_use]
    pub fn backends(&self) -> Vec<Arc<Backend>> {
        self.0.now.load().all.clone()
    }

    /// Completes each time that backends have come or gone, or stand otherwise.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// Replaces the targets that come from a source. Those that stay keep their connections, their counts and their standing; those
    /// that go take no new connections, and theirs go on.
    ///
    /// # Errors
    /// A builtin server could not be started; everything is as it was.
    pub async fn update(&self, source: SourceId, specs: &[TargetSpec]) -> io::Result<Changes> {
        let started = Members::start_builtins(|label| self.members().has(label), source, specs).await?;
        let mut members = self.members();
        let changes = members.update(source, specs, started);
        self.renew(&members);
        Ok(changes)
    }

    /// Changes what decides whether a backend may be chosen, for all picks from now on.
    pub fn stand<R>(&self, backend: &Backend, change: impl FnOnce(&mut Standing) -> R) -> R {
        let members = self.members();
        let mut standing = backend.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = standing.clone();
        let result = change(&mut standing);
        let same = before == *standing;
        drop(standing);
        if !same {
            self.renew(&members);
        }
        result
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts into force how the members stand now.
    fn renew(&self, members: &Members) {
        self.0.now.store(Arc::new(Now::new(self.0.policy, members.backends())));
        self.0.changed.send_replace(());
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
        self.all_ever().iter().all(|backend| backend.open() == 0)
    }

    /// Also those that are gone.
    fn all_ever(&self) -> Vec<Arc<Backend>> {
        self.members().all_ever()
    }

    /// Backends in the order in which they are to be tried: the policy's choice, then the other eligible ones in turn. When all
    /// are down they are tried all the same: checks can be wrong.
    pub fn pick(&self) -> impl Iterator<Item = Lease> + use<> {
        let now = self.0.now.load_full();
        let first = now.chooser.choose(|at| now.all[now.eligible[at]].open());
        let many = now.eligible.len();
        first.into_iter().flat_map(move |first| {
            let now = now.clone();
            (0..many).map(move |i| Lease::new(now.all[now.eligible[(first + i) % many]].clone()))
        })
    }
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
        let held: Vec<_> = [0, 0, 1].map(|i| Lease::new(pool.backends()[i].clone())).into();
        assert_eq!(firsts(&pool, 2), "cc");
        drop(held);
        assert_eq!(pool.backends().iter().map(|b| b.open()).sum::<usize>(), 0);
    }

    #[tokio::test]
    async fn least_connections_counts_by_weight() {
        let pool = pool("a:1,weight=3,b:1", Policy::LeastConnections).await;
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(pool.pick().next().unwrap());
        }
        assert_eq!(pool.backends().iter().map(|b| b.open()).collect::<Vec<_>>(), [30, 10]);
    }

    #[tokio::test]
    async fn those_that_are_down_come_last_and_all_are_tried_when_all_are_down() {
        let pool = pool("a:1,b:1,c:1", Policy::RoundRobin).await;
        pool.stand(&pool.backends()[0], |standing| standing.up = false);
        assert_eq!(firsts(&pool, 4), "bcbc");
        let order: String = pool.pick().map(|lease| lease.label.chars().next().unwrap()).collect();
        assert_eq!(order, "bc");
        pool.backends().iter().for_each(|backend| pool.stand(backend, |standing| standing.up = false));
        assert_eq!(pool.pick().count(), 3);
    }
}
