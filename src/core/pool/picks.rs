//! The backends for one connection, one after the other.

use super::{BackendId, Found, Lease, Now, Pool, Unplaced};
use crate::balance::{Choice, Policy, Rest, Seat};
use serde::Serialize;
use std::{collections::BTreeSet, sync::Arc};

/// What is known of who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// What the same client always comes with; [`Pool::key`] finds it. Where there is none, a policy by key draws one.
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
    stage: Stage,
    picked: Option<Picked>,
    last: Option<BackendId>,
    /// Those before the last.
    tried: BTreeSet<BackendId>,
    is_full: bool,
    /// Whether one has a place free that was tried before.
    has_passed: bool,
}

/// Whom the policy is asked for next.
#[derive(Debug)]
enum Stage {
    First,
    /// The others; with the number of the first, where there was one.
    Second(Option<usize>),
    Later(Box<Rest>),
    /// Those that are tried where none of these took the connection; with the number of the next.
    Otherwise(usize),
}

impl Picks {
    pub(super) fn new(pool: Pool, asked: Asked) -> Self {
        let now = pool.0.now.load_full();
        Self { pool, now, asked, stage: Stage::First, picked: None, last: None, tried: BTreeSet::new(), is_full: false, has_passed: false }
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
            (self.stage, self.is_full, self.has_passed, self.picked) = (Stage::First, false, false, None);
            match self.next() {
                None if self.is_full && self.has_passed => Found::ForOthers,
                None if self.is_full => Found::Nothing,
                lease => Found::Place(lease),
            }
        };
        waiting.turn(look).await
    }

    /// The next one by the policy, with whether it is counted already.
    fn candidate(&mut self) -> Option<(usize, bool)> {
        let now = &self.now;
        let open = |at| now.open(at);
        loop {
            match &mut self.stage {
                Stage::First => {
                    let choice = now.chooser.choose(self.asked.key, open);
                    self.stage = Stage::Second(choice.map(|choice| choice.at));
                    let Some(choice) = choice else { continue };
                    if self.asked.explain {
                        self.picked = Some(self.explain(choice));
                    }
                    return Some((choice.at, choice.entered));
                }
                Stage::Second(first) => self.stage = Stage::Later(Box::new(now.chooser.rest(self.asked.key, *first, open))),
                Stage::Later(rest) => match now.chooser.next(rest, open) {
                    Some(at) => return Some((at, false)),
                    None => self.stage = Stage::Otherwise(now.eligible.len()),
                },
                // Whoever has no place free is not down: he is waited for.
                Stage::Otherwise(_) if self.is_full => return None,
                Stage::Otherwise(at) => {
                    let next = *at;
                    *at += 1;
                    return (next < now.eligible.len() + now.otherwise.len()).then_some((next, false));
                }
            }
        }
    }

    fn explain(&self, choice: Choice) -> Picked {
        let (now, policy) = (&self.now, self.pool.0.settings.balance.policy);
        let candidates = now.chooser.candidates();
        let drawn =
            |at: usize| Drawn { target: candidates[at].name.clone(), open: now.open(at), weight: now.usable(at).standing().weight.get() };
        let drawn = match choice.over {
            Some(over) => vec![drawn(choice.at), drawn(over)],
            None => (0..candidates.len()).take(MOST_TOLD).map(drawn).collect(),
        };
        let why = match policy {
            _ if candidates.len() == 1 => "is the only one",
            Policy::RoundRobin => "has its turn",
            Policy::Random => "was drawn",
            Policy::LeastConnections => "has the fewest open for its weight, or of equals was chosen longest ago",
            Policy::P2c => "has fewer open for its weight, or of equals was drawn first",
            Policy::First => "is the first that has room",
            Policy::Rendezvous => "has the highest score for the key",
            Policy::Ring => "has the next point on the ring, of those that have no more than they may",
            Policy::Maglev => "has the key's place in the table",
        };
        let winner = candidates[choice.at].name.clone();
        Picked { policy, key: self.asked.key, drawn, of: candidates.len(), winner, why }
    }
}

impl Iterator for Picks {
    type Item = Lease;

    fn next(&mut self) -> Option<Lease> {
        self.tried.extend(self.last.take());
        while let Some((at, entered)) = self.candidate() {
            let backend = self.now.usable(at);
            if self.tried.contains(&backend.id) {
                // Of a draw whose winner is passed over nothing is told.
                self.picked = None;
                self.has_passed |= backend.places.has_room();
                backend.seat.iter().filter(|_| entered).for_each(Seat::leave);
                continue;
            }
            match Lease::take(backend, entered) {
                None => (self.is_full, self.picked) = (true, None),
                lease => {
                    self.last = Some(backend.id);
                    return lease;
                }
            }
        }
        None
    }
}
