//! What is kept for a rule as long as it is in force: its pool, whose turn it is in it, and its checks.

use super::{Entry, Live};
use crate::{
    addr::TargetSpec,
    event::Events,
    forward::{Forward, Settings},
    health::{self, Checks},
    pool::{self, Pool, Tally},
    shutdown::Shutdown,
};
use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::{runtime::Handle, sync::OnceCell};
use tokio_util::sync::CancellationToken;

/// How many pools may be over before it is looked which are.
const ROOM: usize = 1000;
/// Targets of rules that are gone whose sums are told at the end.
const MOST_TOLD: usize = 100_000;

/// What is kept for a rule. It takes little until its first client comes: most rules of many have none.
#[derive(Debug, Default)]
pub struct Kept(OnceCell<Arc<InUse>>);

/// The pool of one or more rules, which goes with the last of them; its connections go on.
#[derive(Debug)]
struct InUse {
    forward: Arc<Forward>,
    past: Arc<Mutex<Past>>,
    begun: AtomicBool,
    checks: CancellationToken,
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.checks.cancel();
        self.past.lock().unwrap_or_else(PoisonError::into_inner).put_apart(self.forward.pool.clone());
    }
}

/// How the connections of all rules go on.
pub struct Forwards {
    /// How they reach targets.
    pub settings: Arc<Settings>,
    /// How the targets of a rule are chosen and used.
    pub pool: pool::Settings,
    /// Whether and how targets are checked.
    pub checks: Option<Checks>,
    /// Whether a target is checked also where it is the only one of its rule.
    pub checks_one: bool,
    /// Whether connections are told when their target is cut off.
    pub controlled: bool,
    /// When checks are to end.
    pub shutdown: Shutdown,
    /// Where all of it is told.
    pub events: Events,
    /// Where checks run.
    pub runtime: Handle,
    /// What it knows by itself.
    pub known: Known,
}

/// The pools of all rules.
#[derive(Debug, Default)]
pub struct Known {
    /// Rules with the same several targets have one pool: turns and checks count for all of them.
    shared: Mutex<HashMap<String, Weak<InUse>>>,
    past: Arc<Mutex<Past>>,
}

/// What the pools whose rules are gone have come to.
#[derive(Debug, Default)]
struct Past {
    /// Those that may still have connections.
    apart: Vec<Pool>,
    /// With how many of them it is looked which are over.
    room: usize,
    tally: Tally,
}

impl Forwards {
    /// The way to the targets of a rule. Its pool is made for its first client, and from then on its targets are checked.
    ///
    /// # Errors
    /// A builtin server could not be started.
    pub async fn of(&self, entry: &Entry<Kept>, targets: &[TargetSpec]) -> io::Result<Arc<Forward>> {
        let make = async || {
            let used = self.make(targets).await?;
            self.begin(&used);
            io::Result::Ok(used)
        };
        entry.state.0.get_or_try_init(make).await.map(|used| used.forward.clone())
    }

    /// Makes the pool of a rule before anything is served; nothing is told and nobody is checked until [`Forwards::begin_all`].
    ///
    /// # Errors
    /// A builtin server could not be started.
    pub async fn prepare(&self, entry: &Entry<Kept>, targets: &[TargetSpec]) -> io::Result<()> {
        entry.state.0.get_or_try_init(|| self.make(targets)).await.map(|_| ())
    }

    /// Tells where the builtin servers of the pools that were prepared listen, and begins to check.
    pub fn begin_all(&self, live: &Live<Kept>) {
        for used in in_use(live) {
            self.begin(&used);
        }
    }

    async fn make(&self, targets: &[TargetSpec]) -> io::Result<Arc<InUse>> {
        let several = (targets.len() > 1).then(|| format!("{targets:?}"));
        if let Some(used) = several.as_ref().and_then(|several| self.shared().get(several).and_then(Weak::upgrade)) {
            return Ok(used);
        }
        let pool = Pool::new(targets, self.pool).await?;
        if self.controlled {
            pool.control();
        }
        let forward = Forward { pool, settings: self.settings.clone() };
        let (past, checks) = (self.known.past.clone(), CancellationToken::new());
        let used = Arc::new(InUse { forward: Arc::new(forward), past, begun: AtomicBool::new(false), checks });
        let Some(several) = several else { return Ok(used) };
        let mut shared = self.shared();
        if shared.len() == shared.capacity() {
            shared.retain(|_, used| used.strong_count() > 0);
        }
        if let Some(other) = shared.get(&several).and_then(Weak::upgrade) {
            return Ok(other); // It was made meanwhile.
        }
        shared.insert(several, Arc::downgrade(&used));
        Ok(used)
    }

    fn shared(&self) -> MutexGuard<'_, HashMap<String, Weak<InUse>>> {
        self.known.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, used: &InUse) {
        if !used.begun.swap(true, Relaxed) {
            self.begin_pool(&used.forward.pool, used.checks.clone());
        }
    }

    /// Tells where the builtin servers of a pool listen, and begins to check its targets, until `end` or the shutdown.
    pub fn begin_pool(&self, pool: &Pool, end: CancellationToken) {
        pool.announce(&self.events);
        // Where there is one target alone, and will be, it is tried whatever a check says, as a rule.
        if pool.backends().len() < 2 && !self.controlled && !self.checks_one {
            return;
        }
        let dialer = self.settings.dialer.clone();
        let watching = health::watch(pool.clone(), self.checks.clone(), dialer, self.shutdown.clone(), self.events.clone());
        self.runtime.spawn(async move { end.run_until_cancelled(watching).await });
    }

    /// The pools of the rules in force, by the rule; that of several rules has the name of the first in the order of the alphabet.
    /// A rule that has had no client has none, unless it was prepared.
    #[must_use]
    pub fn pools(live: &Live<Kept>) -> Vec<(Arc<str>, Pool)> {
        let mut named: Vec<(Arc<str>, Arc<InUse>)> = live.look(|table| {
            let entries = table.iter().filter_map(|found| {
                let entry = found.to();
                let used = entry.state.0.get()?.clone();
                Some((entry.rule.matcher.to_string().into(), used))
            });
            entries.collect()
        });
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut seen = HashSet::new();
        named.retain(|(_, used)| seen.insert(Arc::as_ptr(used)));
        named.into_iter().map(|(name, used)| (name, used.forward.pool.clone())).collect()
    }

    /// Says what each target that was asked has come to, of the rules in force, of those that are gone, and of these pools.
    pub fn report(&self, live: &Live<Kept>, others: &[Pool]) {
        let used = in_use(live);
        let mut past = self.known.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.fold(|_| true);
        for pool in used.iter().map(|used| &used.forward.pool).chain(others) {
            past.tally.add(pool);
        }
        past.tally.tell(&self.events);
    }
}

/// The pools of the rules in force, each once.
fn in_use(live: &Live<Kept>) -> Vec<Arc<InUse>> {
    let mut used: Vec<_> = live.look(|table| table.iter().filter_map(|found| found.to().state.0.get().cloned()).collect());
    used.sort_by_key(Arc::as_ptr);
    used.dedup_by_key(|used| Arc::as_ptr(used));
    used
}

impl Past {
    fn put_apart(&mut self, pool: Pool) {
        self.apart.push(pool);
        if self.apart.len() > self.room.max(ROOM) {
            self.fold(Pool::is_idle);
            // Not at each one, where all of them last.
            self.room = 2 * self.apart.len();
        }
    }

    /// Adds up the pools that are over.
    fn fold(&mut self, is_over: impl Fn(&Pool) -> bool) {
        self.apart.retain(|pool| {
            let over = is_over(pool);
            // Targets come and go for months: what is remembered of them is bounded.
            if over && self.tally.len() < MOST_TOLD {
                self.tally.add(pool);
            }
            !over
        });
    }
}
