//! One place to send to: what is known of it, and who uses it.

use super::{
    BackendId, Record, SlowStart,
    queue::{Places, Queue},
    trouble::Failures,
};
use crate::{
    addr::{Target, TargetSpec},
    builtin,
    event::Traffic,
};
use std::{
    num::{NonZeroU32, NonZeroUsize},
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
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
    /// Who waits for a place here or at another target of the pool.
    pub(super) queue: Arc<Queue>,
    pub(super) failures: Failures,
    pub(super) totals: Totals,
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
}

/// What a backend has come to over the run: of connections that have ended.
#[derive(Debug, Default)]
pub struct Totals {
    /// Connections that it took.
    pub connections: AtomicU64,
    /// Those that it did not take.
    pub failed: AtomicU64,
    /// Bytes that came from it.
    pub received: AtomicU64,
    /// Bytes that it was sent.
    pub sent: AtomicU64,
}

/// A use of a backend: it counts as busy until this is dropped.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    /// The bytes of its connection, where it has one of its own.
    traffic: Option<Arc<Traffic>>,
}

impl Lease {
    /// Counts the backend as busy, however busy it is.
    #[must_use]
    pub fn new(backend: Arc<Backend>) -> Self {
        backend.places.take();
        Self { backend, traffic: None }
    }

    /// The same where the backend has a place free, by the limit that holds for it.
    #[must_use]
    pub fn take(backend: &Arc<Backend>) -> Option<Self> {
        backend.places.try_take().then(|| Self { backend: backend.clone(), traffic: None })
    }

    /// The backend has taken a connection; its bytes are added to the backend's when this is dropped.
    #[must_use]
    pub fn taken(mut self, traffic: &Arc<Traffic>) -> Self {
        self.backend.took();
        self.backend.totals.connections.fetch_add(1, Relaxed);
        self.traffic = Some(traffic.clone());
        self
    }

    /// The backend has not taken a connection, for a reason of its own. [`super::Pool::failed`] decides what follows from it.
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
        self.backend.places.leave();
        self.backend.queue.freed();
        if let Some(traffic) = &self.traffic {
            self.backend.totals.received.fetch_add(traffic.received(), Relaxed);
            self.backend.totals.sent.fetch_add(traffic.sent(), Relaxed);
        }
    }
}
