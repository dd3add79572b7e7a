//! The backends for one connection, one after the other.

use super::{BackendId, Lease, Now, Pool, Unplaced};
use crate::balance::Policy;
use serde::Serialize;
use std::{collections::BTreeSet, sync::Arc};

/// What is known of who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// What the same client always comes with.
    pub key: Option<u64>,
    /// Whether it is to be known who was in the draw.
    pub explain: bool,
}

/// Who was in the draw, and why one won.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Picked {
    /// How it was chosen.
    pub policy: Policy,
    /// The key, where the policy goes by key and there is one.
    pub key: Option<u64>,
    /// Who was in the draw, 16 at most: of two choices the winner and the other one, else those that could be chosen.
    pub drawn: Vec<Drawn>,
    /// How many could be chosen.
    pub of: usize,
    /// Who won.
    pub winner: Arc<str>,
    /// Why, as the end of a sentence that begins with the winner.
    pub why: &'static str,
}

/// Someone in the draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drawn {
    /// Its label.
    pub target: Arc<str>,
    /// Its open connections or requests before the pick.
    pub open: usize,
    /// Its weight.
    pub weight: u32,
}

/// How many of a draw are told.
const MOST_TOLD: usize = 16;

/// Backends in the order in which they are to be tried, each at most once, and each with a place that was taken when it was asked
/// for.
#[derive(Debug)]
pub struct Picks {
    pool: Pool,
    now: Arc<Now>,
    asked: Asked,
    picked: Option<Picked>,
    first: Option<usize>,
    looked_at: usize,
    last: Option<BackendId>,
    /// Those before the last.
    tried: BTreeSet<BackendId>,
    is_full: bool,
}

impl Picks {
    pub(super) fn new(pool: Pool, asked: Asked) -> Self {
        let now = pool.0.now.load_full();
        let first = now.choose();
        let picked = first.filter(|_| asked.explain).map(|first| pool.explain(&now, first));
        Self { pool, now, asked, picked, first, looked_at: 0, last: None, tried: BTreeSet::new(), is_full: false }
    }

    /// Whether one was passed over because it had no place free.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Who was in the last draw, and why one won; where that was asked for, and there was a draw.
    #[must_use]
    pub fn picked(&self) -> Option<&Picked> {
        self.picked.as_ref()
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
            self.picked = self.first.filter(|_| self.asked.explain).map(|first| self.pool.explain(&self.now, first));
            match self.next() {
                None if self.is_full => None,
                lease => Some(lease),
            }
        };
        waiting.turn(look).await
    }
}

impl Pool {
    fn explain(&self, now: &Now, first: usize) -> Picked {
        let backend = |at: &usize| &now.all[*at];
        let drawn = now.eligible.iter().take(MOST_TOLD).map(backend).map(|backend| Drawn {
            target: backend.label.clone(),
            open: backend.open(),
            weight: backend.standing().weight.get(),
        });
        let policy = self.0.settings.policy;
        let why = match policy {
            _ if now.eligible.len() == 1 => "is the only one",
            Policy::RoundRobin => "has its turn",
            Policy::LeastConnections => "has the fewest open for its weight, or its turn among equals",
        };
        let winner = backend(&now.eligible[first]).label.clone();
        Picked { policy, key: None, drawn: drawn.collect(), of: now.eligible.len(), winner, why }
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
