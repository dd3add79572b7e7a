//! What is seen of backends, in figures that cost the data path next to nothing: it adds to counters where a connection
//! begins, fails and ends, and whoever wants to see them reads them then.

use super::{Backend, BackendId, Standing};
use crate::histogram::Counted;
use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Instant,
};

/// Why a backend failed last, by a connection or a check.
#[derive(Clone, Debug)]
pub struct LastCause {
    /// In the field's words; it may hold untrusted text.
    pub why: Arc<str>,
    /// When that was.
    pub at: Instant,
}

/// What is seen of a backend at one time. The counts only grow.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its number, which no other one of its pool ever has.
    pub id: BackendId,
    /// Its name in events.
    pub label: Arc<str>,
    /// What decides whether it may be chosen.
    pub standing: Standing,
    /// Connections or requests that it has now.
    pub open: usize,
    /// Connections that it took, those that are open among them.
    pub connections: u64,
    /// Those that it did not take.
    pub failed: u64,
    /// Those that it took and broke off.
    pub broken: u64,
    /// Bytes that came from it; of open connections up to the last [`crate::connections::Connections::count`].
    pub received: u64,
    /// Bytes that it was sent, in the same way.
    pub sent: u64,
    /// How long connecting took, of the connections that it took.
    pub connecting: Counted,
    /// Why it failed last.
    pub last: Option<LastCause>,
}

impl Backend {
    /// What is seen of it now.
    pub fn seen(&self) -> Seen {
        let totals = self.totals();
        Seen {
            id: self.id,
            label: self.label.clone(),
            standing: self.standing(),
            open: self.open(),
            connections: totals.connections.load(Relaxed),
            failed: totals.failed.load(Relaxed),
            broken: totals.broken.load(Relaxed),
            received: totals.received.load(Relaxed),
            sent: totals.sent.load(Relaxed),
            connecting: totals.connecting.counted(),
            last: totals.last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Remembers why it failed, for who asks for the last cause.
    pub fn blame(&self, why: &str) {
        *self.totals.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(LastCause { why: why.into(), at: Instant::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{addr::TargetSpec, balance::Policy, event::Traffic, pool::Pool};
    use std::time::Duration;

    #[tokio::test]
    async fn bytes_of_open_connections_are_counted_once() {
        let pool = Pool::new(&TargetSpec::list("a:1").unwrap(), Policy::default()).await.unwrap();
        let backend = pool.backends()[0].clone();
        let traffic = Arc::new(Traffic::default());
        let lease = pool.pick(crate::pool::Asked::default()).next().unwrap().taken(&traffic, Duration::from_millis(3));
        traffic.add_received(10);
        backend.passed(&traffic);
        assert_eq!((backend.seen().received, backend.seen().sent), (10, 0));
        traffic.add_received(5);
        traffic.add_sent(7);
        backend.passed(&traffic);
        traffic.add_sent(1);
        drop(lease);
        backend.passed(&traffic);
        let seen = backend.seen();
        assert_eq!((seen.received, seen.sent, seen.connections, seen.open, seen.connecting.count()), (15, 8, 1, 0, 1));
    }
}
