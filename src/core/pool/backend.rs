//! One place to send to: what is known of it, and who uses it.

use super::{
    BackendId, Record, SlowStart,
    cut::{Cut, Cuts},
    queue::{Places, Queue},
    stats::LastCause,
    trouble::Failures,
};
use crate::{
    addr::{Target, TargetSpec},
    balance::Seat,
    builtin,
    dial::{Cause, DialError},
    event::Traffic,
    histogram::Histogram,
};
use std::{
    num::{NonZeroU32, NonZeroUsize},
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// One place to send to.
#[derive(Debug)]
pub struct Backend {
    /// Its number, which no other one of its pool ever has.
    pub id: BackendId,
    /// The name in events: as it was written, numbered where it was written more than once.
    pub label: Arc<str>,
    /// Where to connect.
    pub target: Target,
    pub(super) standing: Mutex<Standing>,
    pub(super) places: Places,
    /// Where those places are counted as well, for a policy that must know.
    pub(super) seat: Option<Seat>,
    /// Who waits for a place here or at another target of the pool.
    pub(super) queue: Arc<Queue>,
    pub(super) failures: Failures,
    pub(super) totals: Totals,
    pub(super) cuts: Cuts,
    // A builtin target lives as long as its backend.
    pub(super) builtin: Option<builtin::Running>,
}

/// What decides whether a backend may be chosen, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the active checks find it well; true before the first.
    pub up: bool,
    /// Whether it is left out because it did not take connections, and how often it was.
    pub ejection: Record,
    /// Where it comes back from a failure: how far it is.
    pub slow_start: Option<SlowStart>,
    /// Whether it takes no new connections because it was asked to; those that it has go on.
    pub draining: bool,
    /// Its share of the traffic relative to the others.
    pub weight: NonZeroU32,
    /// Whether it is for when no other one may be chosen.
    pub backup: bool,
    /// Connections or requests that it may have at a time.
    pub most: Option<NonZeroUsize>,
}

impl Standing {
    /// That of a target that nothing is known of yet.
    #[must_use]
    pub fn new(spec: &TargetSpec) -> Self {
        Self {
            up: true,
            ejection: Record::default(),
            slow_start: None,
            draining: false,
            weight: spec.weight,
            backup: spec.backup,
            most: spec.most,
        }
    }

    /// Whether it may be chosen, unless others go before it.
    #[must_use]
    pub fn is_eligible(&self) -> bool {
        self.up && !self.draining && !self.ejection.is_ejected()
    }
}

impl Backend {
    /// What decides whether it may be chosen. [`super::Pool::stand`] changes it.
    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the active checks find it well; true before the first.
    pub fn is_up(&self) -> bool {
        self.standing().up
    }

    /// Connections or requests that it has now.
    pub fn open(&self) -> usize {
        self.places.taken()
    }

    /// It has taken a connection: a row of failures is over.
    pub fn took(&self) {
        self.failures.clear();
    }

    /// What it has come to.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Ends the connections that it has now, also those that are still being made, where somebody waits for [`Lease::cut`]. Each is
    /// reset.
    pub fn cut(&self) {
        self.cuts.cut();
    }

    /// It has taken a connection, after so long.
    pub fn taken(&self, elapsed: Duration) {
        self.took();
        self.totals.connections.fetch_add(1, Relaxed);
        self.totals.connecting.add(elapsed);
    }

    /// Over a connection to it has passed so much: what was not told before is added.
    pub fn passed(&self, traffic: &Traffic) {
        let (received, sent) = traffic.uncounted();
        self.totals.received.fetch_add(received, Relaxed);
        self.totals.sent.fetch_add(sent, Relaxed);
    }

    /// It has not taken a connection. What this machine is the cause of is not held against it.
    pub fn failed(&self, error: &DialError) {
        let cause = error.cause();
        if cause != Cause::Local {
            self.totals.failed.fetch_add(1, Relaxed);
        }
        self.totals.causes[cause as usize].fetch_add(1, Relaxed);
        self.blame(&error.words());
    }

    /// It has broken off a connection that it took.
    pub fn broke(&self, why: &str) {
        self.totals.broken.fetch_add(1, Relaxed);
        self.blame(why);
    }
}

/// What a backend has come to over the run.
#[derive(Debug, Default)]
pub struct Totals {
    /// Connections that it took.
    pub connections: AtomicU64,
    /// Those that it did not take.
    pub failed: AtomicU64,
    /// Those that it took and broke off.
    pub broken: AtomicU64,
    /// Bytes that came from it, of connections that have ended or were counted by [`Backend::passed`].
    pub received: AtomicU64,
    /// Bytes that it was sent, in the same way.
    pub sent: AtomicU64,
    /// Why it did not take connections; those that this machine is the cause of are counted here alone.
    pub causes: [AtomicU64; Cause::ALL.len()],
    /// How long those took that it did take, from the resolver to its TLS handshake.
    pub connecting: Histogram,
    pub(super) last: Mutex<Option<LastCause>>,
}

/// A use of a backend: it counts as busy until this is dropped.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    /// How often its backend had cut off connections when this began.
    cuts: usize,
    /// The bytes of its connection, where it has one of its own.
    traffic: Option<Arc<Traffic>>,
}

impl Lease {
    /// Counts the backend as busy, however busy it is.
    #[must_use]
    pub fn new(backend: Arc<Backend>) -> Self {
        backend.places.take();
        backend.seat.iter().for_each(Seat::enter);
        Self::placed(backend)
    }

    /// The same where the backend has a place free, by the limit that holds for it. `entered` says that its seat has counted it.
    pub(super) fn take(backend: &Arc<Backend>, entered: bool) -> Option<Self> {
        let taken = backend.places.try_take();
        match (taken, entered) {
            (true, false) => backend.seat.iter().for_each(Seat::enter),
            (false, true) => backend.seat.iter().for_each(Seat::leave),
            _ => {}
        }
        taken.then(|| Self::placed(backend.clone()))
    }

    fn placed(backend: Arc<Backend>) -> Self {
        Self { cuts: backend.cuts.count(), backend, traffic: None }
    }

    /// The backend has taken a connection, after so long; its bytes are added to the backend's when this is dropped.
    #[must_use]
    pub fn taken(mut self, traffic: &Arc<Traffic>, elapsed: Duration) -> Self {
        self.backend.taken(elapsed);
        self.traffic = Some(traffic.clone());
        self
    }

    /// Completes when the backend is cut off ([`Backend::cut`]), at once where it was since this began.
    #[must_use]
    pub fn cut(&self) -> Cut {
        self.backend.cuts.since(self.cuts)
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
        self.backend.places.leave();
        self.backend.seat.iter().for_each(Seat::leave);
        self.backend.queue.freed();
        if let Some(traffic) = &self.traffic {
            self.backend.passed(traffic);
        }
    }
}
