//! Backends, and whose turn it is.

mod backend;
mod cut;
mod ejection;
mod members;
mod picks;
mod queue;
mod serving;
mod settings;
mod slow_start;
mod stats;
mod tally;
mod trouble;

pub use backend::{Backend, Lease, Standing, Totals};
pub use cut::Cut;
pub use ejection::{Ejection, Record};
pub use members::{AddError, Changes, SourceId};
pub use picks::{Asked, Drawn, Picked, Picks};
pub use queue::{Found, Limits, Queue, Unplaced, Waiting};
pub use serving::Serving;
pub use settings::{Settings, WhenAllDown};
pub use slow_start::SlowStart;
pub use stats::{LastCause, Seen};
pub use tally::Tally;

use crate::{
    addr::{Endpoint, TargetSpec},
    balance::{Candidate, Chooser, Client, Loads, Seat},
    event::{Event, Events},
};
use arc_swap::ArcSwap;
use members::Members;
use std::{
    collections::HashMap,
    io,
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
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
    settings: Settings,
    /// What counts, where the policy must know what each one has now.
    loads: Option<Arc<Loads>>,
    queue: Arc<Queue>,
    members: Mutex<Members>,
    /// How all of it is now, for those who look without waiting.
    now: ArcSwap<Now>,
    /// Tells that backends have come or gone, or stand otherwise.
    changed: watch::Sender<()>,
    /// Whether connections may be cut off while they go on.
    controlled: AtomicBool,
    /// Whether somebody is on the way back to its whole share, and a task sees to it.
    growing: AtomicBool,
}

/// A pool at one time.
#[derive(Debug)]
struct Now {
    all: Vec<Arc<Backend>>,
    /// Those that may be chosen.
    eligible: Vec<Arc<Backend>>,
    /// Those that are tried where none of these takes a connection.
    otherwise: Vec<Arc<Backend>>,
    serving: Serving,
    chooser: Arc<Chooser>,
}

impl Now {
    fn new(settings: &Settings, all: Vec<Arc<Backend>>, loads: Option<&Arc<Loads>>, before: Option<&Self>) -> Self {
        let standings: Vec<_> = all.iter().map(|backend| backend.standing()).collect();
        let (serving, eligible) = serving::eligible(&standings, settings.when_all_down);
        let otherwise = serving::otherwise(&standings, serving);
        let whole: Vec<_> = eligible.iter().map(|at| (standings[*at].weight, standings[*at].slow_start)).collect();
        let weights = slow_start::weights(&whole);
        let candidate = |(at, weight): (&usize, NonZeroU32)| Candidate {
            name: all[*at].label.clone(),
            weight,
            most: standings[*at].most.or(settings.limits.most),
            seat: all[*at].seat.as_ref().map(Seat::at),
        };
        let candidates: Vec<_> = eligible.iter().zip(weights).map(candidate).collect();
        // Some policies take a while to be made ready, and not all that changes is of concern to them.
        let chooser = match before.filter(|before| before.chooser.candidates() == candidates) {
            Some(before) => before.chooser.clone(),
            None => Arc::new(Chooser::new(&settings.balance, candidates, loads, before.map(|before| &*before.chooser))),
        };
        let eligible = eligible.iter().map(|at| all[*at].clone()).collect();
        let otherwise = otherwise.iter().map(|at| all[*at].clone()).collect();
        Self { all, eligible, otherwise, serving, chooser }
    }

    /// One of those that may be chosen, or, numbered after them, of those that are tried otherwise.
    fn usable(&self, at: usize) -> &Arc<Backend> {
        self.eligible.get(at).unwrap_or_else(|| &self.otherwise[at - self.eligible.len()])
    }

    /// What one of those that may be chosen has now.
    fn open(&self, at: usize) -> usize {
        self.eligible[at].open()
    }
}

impl Pool {
    /// A pool of these targets. `builtin:` targets are started, each on a loopback port of its own.
    ///
    /// # Errors
    /// A builtin server could not be started.
    pub async fn new(specs: &[TargetSpec], settings: impl Into<Settings>) -> io::Result<Self> {
        let settings = settings.into();
        let loads = settings.balance.loads();
        let now = ArcSwap::from_pointee(Now::new(&settings, Vec::new(), loads.as_ref(), None));
        let queue = Arc::new(Queue::new(settings.limits));
        let (members, changed) = (Mutex::new(Members::new(queue.clone(), loads.clone())), watch::Sender::new(()));
        let (controlled, growing) = (AtomicBool::new(false), AtomicBool::new(false));
        let pool = Self(Arc::new(Shared { settings, loads, queue, members, now, changed, controlled, growing }));
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

    /// Adds a target ([`SourceId::ADMIN`]), also one that was removed.
    ///
    /// # Errors
    /// It is there already, or too many were added, or a builtin server could not be started; everything is as it was.
    pub async fn add(&self, spec: &TargetSpec) -> Result<Arc<Backend>, AddError> {
        let label = spec.target.to_string();
        if self.find(&label).is_some() {
            return Err(AddError::Exists);
        }
        let started = Members::start_builtins(|label| self.members().has(label), SourceId::ADMIN, std::slice::from_ref(spec)).await?;
        let mut members = self.members();
        members.add(spec, started)?;
        self.renew(&members);
        members.backends().into_iter().find(|backend| *backend.label == *label).ok_or(AddError::Exists)
    }

    /// Takes a target out, whatever source it is from: it gets no new connections, those that it has go on. It comes back when it
    /// is added, or when no source has listed it for a time and one lists it again.
    #[must_use]
    pub fn remove(&self, label: &str) -> Option<Arc<Backend>> {
        let mut members = self.members();
        let backend = members.backends().into_iter().find(|backend| *backend.label == *label)?;
        members.remove(label);
        self.renew(&members);
        Some(backend)
    }

    /// The backend of this name.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<Arc<Backend>> {
        self.0.now.load().all.iter().find(|backend| *backend.label == *label).cloned()
    }

    /// All backends, and those that were taken out and still have connections, at one time.
    #[must_use]
    pub fn here_and_leaving(&self) -> (Vec<Arc<Backend>>, Vec<Arc<Backend>>) {
        let members = self.members();
        (members.backends(), members.leaving())
    }

    /// Names a source as people write it, without secrets.
    pub fn name_source(&self, source: SourceId, name: &str) {
        self.members().name(source, name);
    }

    /// The source of each target, by the target's name: `arguments`, `admin`, or as it was named.
    #[must_use]
    pub fn sources(&self) -> HashMap<String, Arc<str>> {
        self.members().sources()
    }

    /// How many backends may be chosen now.
    #[must_use]
    pub fn eligible(&self) -> usize {
        self.0.now.load().eligible.len()
    }

    /// From now on connections are told when their backend is cut off ([`Backend::cut`]).
    pub fn control(&self) {
        self.0.controlled.store(true, Relaxed);
    }

    /// Whether connections are to be told when their backend is cut off.
    #[must_use]
    pub fn is_controlled(&self) -> bool {
        self.0.controlled.load(Relaxed)
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

    /// A backend takes new connections again that was draining or ejected; what its checks say of it stays.
    pub fn ready(&self, backend: &Backend) {
        self.stand(backend, |standing| {
            standing.draining = false;
            standing.ejection.let_back(tokio::time::Instant::now());
        });
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts into force how the members stand now.
    fn renew(&self, members: &Members) {
        let all = members.backends();
        let limits = self.0.queue.limits();
        for backend in &all {
            backend.places.limit(backend.standing().most.or(limits.most));
        }
        let Shared { settings, loads, now, .. } = &*self.0;
        now.store(Arc::new(Now::new(settings, all, loads.as_ref(), Some(&now.load()))));
        self.0.changed.send_replace(());
        // Another one may take whoever waits.
        self.0.queue.freed();
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

    /// Those who wait for a place.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// What the policy knows a client by; `None` where it goes by no key.
    #[must_use]
    pub fn key(&self, client: Client<'_>) -> Option<u64> {
        let balance = &self.0.settings.balance;
        balance.policy.is_by_key().then(|| balance.hash.key(client))
    }

    /// Backends in the order in which they are to be tried: the policy's choice, then the other eligible ones by the policy. [`Serving`]
    /// tells which these are. Those without a free place are passed over.
    #[must_use]
    pub fn pick(&self, asked: Asked) -> Picks {
        Picks::new(self.clone(), asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Policy;

    async fn pool(text: &str, policy: Policy) -> Pool {
        Pool::new(&TargetSpec::list(text).unwrap(), policy).await.unwrap()
    }

    fn firsts(pool: &Pool, n: usize) -> String {
        (0..n).map(|_| pool.pick(Asked::default()).next().unwrap().label.chars().next().unwrap()).collect()
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
            held.push(pool.pick(Asked::default()).next().unwrap());
        }
        assert_eq!(pool.backends().iter().map(|b| b.open()).collect::<Vec<_>>(), [30, 10]);
    }

    #[tokio::test]
    async fn those_that_are_down_come_last_and_all_are_tried_when_all_are_down() {
        let pool = pool("a:1,b:1,c:1", Policy::RoundRobin).await;
        pool.stand(&pool.backends()[0], |standing| standing.up = false);
        assert_eq!(firsts(&pool, 4), "bcbc");
        let order: String = pool.pick(Asked::default()).map(|lease| lease.label.chars().next().unwrap()).collect();
        assert_eq!(order, "bc");
        pool.backends().iter().for_each(|backend| pool.stand(backend, |standing| standing.up = false));
        assert_eq!(pool.pick(Asked::default()).count(), 3);
    }

    #[tokio::test]
    async fn a_draw_is_told_where_its_winner_is_taken_and_only_then() {
        let pool = pool("a:1,max=1,b:1", Policy::RoundRobin).await;
        let asked = Asked { key: None, explain: true };
        let mut picks = pool.pick(asked);
        let held = picks.first().unwrap();
        assert_eq!((&*picks.picked().unwrap().winner, &*held.label), ("a:1", "a:1"));
        let mut told = Vec::new();
        for _ in 0..4 {
            let mut picks = pool.pick(asked);
            assert_eq!(&*picks.first().unwrap().label, "b:1");
            told.extend(picks.picked().map(|picked| picked.winner.to_string()));
        }
        // Where it was the turn of the one that is full, there is no winner to tell of.
        assert!((1..4).contains(&told.len()) && told.iter().all(|winner| winner == "b:1"), "{told:?}");
    }
}
