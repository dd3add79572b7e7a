//! The backends for one connection, one after the other.

use super::{BackendId, Lease, Now, Pool, Unplaced};
use std::{collections::BTreeSet, sync::Arc};

/// Backends in the order in which they are to be tried, each at most once, and each with a place that was taken when it was asked
/// for.
#[derive(Debug)]
pub struct Picks {
    pool: Pool,
    now: Arc<Now>,
    first: Option<usize>,
    looked_at: usize,
    last: Option<BackendId>,
    /// Those before the last.
    tried: BTreeSet<BackendId>,
    is_full: bool,
}

impl Picks {
    pub(super) fn new(pool: Pool) -> Self {
        let now = pool.0.now.load_full();
        let first = now.choose();
        Self { pool, now, first, looked_at: 0, last: None, tried: BTreeSet::new(), is_full: false }
    }

    /// Whether one was passed over because it had no place free.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The first one; whoever waits for a place goes before whoever comes.
    pub fn first(&mut self) -> Option<Lease> {
        if self.pool.queue().waiting() > 0 {
            self.is_full = true;
            return None;
        }
        self.next()
    }

    /// Waits in the pool's queue until one that was not tried yet has a place free; none where no such one is left. `joined` is
    /// told how many wait before.
    ///
    /// # Errors
    /// Too many wait, or no place came free in time.
    pub async fn wait(&mut self, joined: impl FnOnce(usize)) -> Result<Option<Lease>, Unplaced> {
        let pool = self.pool.clone();
        let waiting = pool.queue().join()?;
        joined(waiting.before);
        let look = || {
            self.tried.extend(self.last.take());
            self.now = self.pool.0.now.load_full();
            (self.first, self.looked_at, self.is_full) = (self.now.choose(), 0, false);
            match self.next() {
                None if self.is_full => None,
                lease => Some(lease),
            }
        };
        waiting.turn(look).await
    }
}

impl Iterator for Picks {
    type Item = Lease;

    fn next(&mut self) -> Option<Lease> {
        let (first, eligible) = (self.first?, &self.now.eligible);
        self.tried.extend(self.last.take());
        loop {
            let at = match self.looked_at.checked_sub(eligible.len()) {
                None => eligible[(first + self.looked_at) % eligible.len()],
                // Whoever has no place free is not down: he is waited for.
                Some(_) if self.is_full => return None,
                Some(more) => *self.now.otherwise.get(more)?,
            };
            let backend = &self.now.all[at];
            self.looked_at += 1;
            if self.tried.contains(&backend.id) {
                continue;
            }
            match Lease::take(backend) {
                None => self.is_full = true,
                lease => {
                    self.last = Some(backend.id);
                    return lease;
                }
            }
        }
    }
}
