//! Who is connected now: a list that is kept only where somebody wants to look at it.

use crate::{
    addr::Endpoint,
    event::{ConnId, Progress, Traffic},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Connections begin and end on several threads, which rarely wait for each other with so many parts.
const PARTS: usize = 16;

/// The connections of a server that are open, and how many there were. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    open: [Mutex<HashMap<u64, Arc<Open>>>; PARTS],
    opened: AtomicU64,
    failed: AtomicU64,
}

/// A connection that is open, or was when it was looked at.
#[derive(Debug)]
pub struct Open {
    /// Its number.
    pub id: ConnId,
    /// The other end of its socket.
    pub peer: Endpoint,
    /// When it was accepted.
    pub since: Instant,
    /// What it has come to.
    pub progress: Arc<Progress>,
    /// The bytes at the peer's socket.
    pub traffic: Arc<Traffic>,
}

impl Open {
    /// The client: who was announced, else the peer.
    #[must_use]
    pub fn client(&self) -> &Endpoint {
        self.progress.client().unwrap_or(&self.peer)
    }
}

impl Connections {
    /// All that are open, in no order.
    #[must_use]
    pub fn open(&self) -> Vec<Arc<Open>> {
        (0..PARTS).flat_map(|part| self.part(part).values().cloned().collect::<Vec<_>>()).collect()
    }

    /// How many there were, those that are open among them.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.0.opened.load(Relaxed)
    }

    /// How many of those that have ended failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Relaxed)
    }

    /// Adds the bytes of open connections to what their backends have come to: without this, they are added when they end.
    pub fn count(&self) {
        for open in self.open() {
            open.progress.count();
        }
    }

    pub(crate) fn enter(&self, open: Open) {
        self.0.opened.fetch_add(1, Relaxed);
        let id = open.id.0;
        self.part_of(id).insert(id, Arc::new(open));
    }

    pub(crate) fn leave(&self, id: ConnId, failed: bool) {
        self.0.failed.fetch_add(failed.into(), Relaxed);
        self.part_of(id.0).remove(&id.0);
    }

    fn part_of(&self, id: u64) -> MutexGuard<'_, HashMap<u64, Arc<Open>>> {
        self.part((id % PARTS as u64) as usize)
    }

    fn part(&self, at: usize) -> MutexGuard<'_, HashMap<u64, Arc<Open>>> {
        self.0.open[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_ended_are_gone_and_counted() {
        let connections = Connections::default();
        for id in 1..=100 {
            let peer = Endpoint::tcp(([127, 0, 0, 1], 1).into());
            connections.enter(Open { id: ConnId(id), peer, since: Instant::now(), progress: Arc::default(), traffic: Arc::default() });
        }
        (1..=98).for_each(|id| connections.leave(ConnId(id), id <= 5));
        let mut left: Vec<_> = connections.open().iter().map(|open| open.id.0).collect();
        left.sort_unstable();
        assert_eq!((left, connections.opened(), connections.failed()), (vec![99, 100], 100, 5));
    }
}
