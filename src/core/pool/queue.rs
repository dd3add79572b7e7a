//! How many connections targets take, and who waits for a place, in turn.

use std::{
    num::NonZeroUsize,
    pin::pin,
    sync::atomic::{
        AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};
use tokio::{
    sync::{Mutex, Notify},
    time::timeout,
};

/// How many connections targets take, and how many clients wait for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections or requests at a time of each target that says nothing else (`max=N`); no limit where there is none.
    pub most: Option<NonZeroUsize>,
    /// Clients that may wait at a time, for all targets of the pool together.
    pub waiting: usize,
    /// How long each of them may wait.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { most: None, waiting: 1024, patience: Duration::from_secs(5) }
    }
}

/// Why a client got no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplaced {
    /// As many as may wait did so already.
    #[error("{}", full(*.0))]
    Full(usize),
    /// No place came free for so long.
    #[error("no place for {0:?}")]
    TimedOut(Duration),
}

fn full(most: usize) -> String {
    match most {
        0 => "every target has all the connections that it may have (--queue 0)".into(),
        most => format!("queue full: {most} wait for a place already (--queue)"),
    }
}

/// The places of one target.
#[derive(Debug)]
pub(super) struct Places {
    taken: AtomicUsize,
    /// `usize::MAX` where there is no limit.
    most: AtomicUsize,
}

impl Default for Places {
    fn default() -> Self {
        Self { taken: AtomicUsize::new(0), most: AtomicUsize::new(usize::MAX) }
    }
}

impl Places {
    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Takes one, whatever the limit.
    pub(super) fn take(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// Takes one where one is free.
    pub(super) fn try_take(&self) -> bool {
        let most = self.most.load(Relaxed);
        if most == usize::MAX {
            self.take();
            return true;
        }
        self.taken.fetch_update(SeqCst, SeqCst, |taken| (taken < most).then(|| taken + 1)).is_ok()
    }

    /// Whether one is free.
    pub(super) fn has_room(&self) -> bool {
        self.taken() < self.most.load(Relaxed)
    }

    /// Gives one back.
    pub(super) fn leave(&self) {
        // See `Queue::freed`.
        self.taken.fetch_sub(1, SeqCst);
    }

    pub(super) fn limit(&self, most: Option<NonZeroUsize>) {
        self.most.store(most.map_or(usize::MAX, NonZeroUsize::get), Relaxed);
    }
}

/// Clients that wait for a place at any target of a pool, first come, first served.
///
/// Only the first of them looks for a place, so that one place wakes one client. Who may not take the places that are free, because
/// it was there already, steps aside for those behind, and looks again in turn when another place comes free. Whoever is dropped leaves
/// nothing behind.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    waiting: AtomicUsize,
    /// Held by the first of those who wait; tokio gives it to the others in the order in which they came.
    first: Mutex<()>,
    freed: Notify,
    /// Wakes those who have stepped aside.
    aside: Notify,
}

/// What a client who waits has found.
#[derive(Debug)]
pub enum Found<T> {
    /// What it waited for.
    Place(T),
    /// Nothing is free.
    Nothing,
    /// Something is free, for others only.
    ForOthers,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, waiting: AtomicUsize::new(0), first: Mutex::default(), freed: Notify::new(), aside: Notify::new() }
    }

    /// How many wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Joins the end of the queue.
    ///
    /// # Errors
    /// [`Unplaced::Full`].
    pub fn join(&self) -> Result<Waiting<'_>, Unplaced> {
        let most = self.limits.waiting;
        match self.waiting.fetch_update(SeqCst, SeqCst, |waiting| (waiting < most).then(|| waiting + 1)) {
            Ok(before) => Ok(Waiting { queue: self, before }),
            Err(_) => Err(Unplaced::Full(most)),
        }
    }

    /// A place came free, or places may have come otherwise. Costs one look where nobody waits.
    pub(super) fn freed(&self) {
        // Who leaves gives the place back and then looks here; who comes is counted here and then looks for a place. In one
        // order for all (SeqCst), one of the two sees the other.
        if self.waiting.load(SeqCst) > 0 {
            self.freed.notify_one();
            self.aside.notify_waiters();
        }
    }
}

/// A client in the queue, until this is dropped.
#[derive(Debug)]
pub struct Waiting<'a> {
    queue: &'a Queue,
    /// How many were before it.
    pub before: usize,
}

impl Waiting<'_> {
    /// Waits for its turn, and then until `look` finds a place.
    ///
    /// # Errors
    /// [`Unplaced::TimedOut`].
    pub async fn turn<T>(self, mut look: impl FnMut() -> Found<T>) -> Result<T, Unplaced> {
        let patience = self.queue.limits.patience;
        let turn = async {
            let Queue { first, freed, aside, .. } = self.queue;
            let mut mine = first.lock().await;
            loop {
                // What comes free from here on is not missed.
                let mut another = pin!(aside.notified());
                another.as_mut().enable();
                match look() {
                    Found::Place(place) => return place,
                    Found::Nothing => freed.notified().await,
                    Found::ForOthers => {
                        drop(mine);
                        another.await;
                        mine = first.lock().await;
                    }
                }
            }
        };
        timeout(patience, turn).await.map_err(|_| Unplaced::TimedOut(patience))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests;
