//! How much each one has now, in an order that is kept up to date.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How far along a ring somebody with room is looked for, before it is looked whether there is anybody: targets are fewer than points.
const NEAR: usize = 64;

/// Who comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Who has the fewest for its weight; of equals, who was chosen longest ago.
    Fewest,
    /// Who stands first.
    Place,
    /// Nobody: only what is open is counted.
    Count,
}

/// What each one has open now: a tournament, in which finding the best is one step, and a change as many as the logarithm of how
/// many there are. It outlives the choosers: who comes and goes, or has another weight, keeps its connections and its turn.
#[derive(Debug)]
pub struct Loads {
    by: By,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    leaves: Vec<Leaf>,
    free: Vec<usize>,
    /// The winner of each pair, then of each pair of pairs; the last winner of all is number 1, the leaves are the second half.
    winners: Vec<Entry>,
    open: u64,
    /// How many have room.
    with_room: usize,
    /// Counts choices.
    now: u64,
}

/// What is known of one.
#[derive(Clone, Copy, Debug, Default)]
struct Leaf {
    open: u64,
    /// `None` where it may not be chosen.
    terms: Option<Terms>,
    chosen: u64,
}

/// How one stands in the tournament, the smaller the better, and who it is.
type Entry = (u64, u64, u32);

#[derive(Clone, Copy, Debug)]
struct Terms {
    weight: u64,
    most: u64,
    place: u32,
}

/// The place of one among the loads. It is given back when this is dropped.
#[derive(Debug)]
pub struct Seat {
    loads: Arc<Loads>,
    at: usize,
}

impl Seat {
    /// One more is open; it counts as chosen now.
    pub fn enter(&self) {
        let mut inner = self.loads.lock();
        inner.enter(self.loads.by, self.at);
    }

    /// One fewer is open.
    pub fn leave(&self) {
        self.loads.leave(self.at);
    }

    /// Its number.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.loads.lock();
        let open = inner.leaves[self.at].open;
        inner.open -= open;
        inner.change(self.loads.by, self.at, |leaf| *leaf = Leaf::default());
        inner.free.push(self.at);
    }
}

impl Loads {
    pub(super) fn new(by: By) -> Arc<Self> {
        Arc::new(Self { by, inner: Mutex::default() })
    }

    /// A place for one more, who may not be chosen yet.
    #[must_use]
    pub fn seat(self: &Arc<Self>) -> Seat {
        let mut inner = self.lock();
        let at = inner.free.pop().unwrap_or_else(|| {
            let before = inner.leaves.len();
            let leaves = (before + 1).next_power_of_two();
            inner.leaves.resize(leaves, Leaf::default());
            inner.free.extend((before + 1..leaves).rev());
            inner.crown(self.by);
            before
        });
        Seat { loads: self.clone(), at }
    }

    /// Who may be chosen from now on, in which order, on which terms.
    pub(super) fn arrange(&self, all: impl Iterator<Item = (usize, NonZeroU32, Option<NonZeroUsize>)>) {
        let mut inner = self.lock();
        inner.leaves.iter_mut().for_each(|leaf| leaf.terms = None);
        for (place, (at, weight, most)) in all.enumerate() {
            let most = most.map_or(u64::MAX, |most| most.get() as u64);
            inner.leaves[at].terms = Some(Terms { weight: u64::from(weight.get()), most, place: place as u32 });
        }
        inner.with_room = inner.leaves.iter().filter(|leaf| leaf.has_room()).count();
        inner.crown(self.by);
    }

    /// Who comes first of those that have room, who has one more open with that.
    pub(super) fn enter_first(&self) -> Option<usize> {
        let mut inner = self.lock();
        let at = match inner.leaves.len() {
            0 => return None,
            1 => 0,
            _ => inner.winners[1].2 as usize,
        };
        inner.enter_where_room(self.by, at)
    }

    /// The first of these who has room and no more than `percent` of its share by weight of what is open, with one more, who has one more open with that.
    /// Where nobody is above 100 % of all weights, somebody is always found.
    pub(super) fn enter_within(&self, percent: u64, all: impl Iterator<Item = usize>, weights: u64) -> Option<usize> {
        let mut inner = self.lock();
        if inner.with_room == 0 {
            return None;
        }
        let of = u128::from(percent) * u128::from(inner.open + 1);
        // open + 1 <= ceil(percent % of the share), without a division.
        let has_room =
            |leaf: &Leaf| leaf.terms.is_some_and(|terms| u128::from(leaf.open) * 100 * u128::from(weights) < of * u128::from(terms.weight));
        let fits = |leaf: &Leaf| has_room(leaf) && leaf.has_room();
        let mut all = all;
        let near = all.by_ref().take(NEAR).find(|at| fits(&inner.leaves[*at]));
        let at = match near {
            Some(at) => at,
            None if inner.leaves.iter().any(fits) => all.find(|at| fits(&inner.leaves[*at]))?,
            None => return None,
        };
        inner.enter_where_room(self.by, at)
    }

    pub(super) fn is_by_place(&self) -> bool {
        self.by == By::Place
    }

    pub(super) fn leave(&self, at: usize) {
        let mut inner = self.lock();
        inner.open -= 1;
        inner.change(self.by, at, |leaf| leaf.open -= 1);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leaf {
    fn entry(&self, by: By, at: usize) -> Entry {
        let at = at as u32;
        match self.terms.filter(|_| self.has_room()) {
            None => (u64::MAX, u64::MAX, at),
            Some(terms) if by == By::Place => (u64::from(terms.place), 0, at),
            // Quotients of equal loads are equal, and those of others differ by more than a double's precision: weights have 15 bits. Doubles that are not
            // negative order as their bits do (IEEE 754). Who was never chosen comes in order.
            Some(terms) => {
                let load = self.open as f64 / terms.weight as f64;
                let since = if self.chosen == 0 { u64::from(terms.place) } else { u64::from(u32::MAX) + self.chosen };
                (load.to_bits(), since, at)
            }
        }
    }

    fn has_room(&self) -> bool {
        self.terms.is_some_and(|terms| self.open < terms.most)
    }
}

impl Inner {
    fn enter_where_room(&mut self, by: By, at: usize) -> Option<usize> {
        self.leaves[at].has_room().then(|| self.enter(by, at))
    }

    fn enter(&mut self, by: By, at: usize) -> usize {
        self.now += 1;
        let now = self.now;
        self.open += 1;
        self.change(by, at, |leaf| (leaf.open, leaf.chosen) = (leaf.open + 1, now));
        at
    }

    fn change(&mut self, by: By, at: usize, change: impl FnOnce(&mut Leaf)) {
        let leaf = &mut self.leaves[at];
        let before = leaf.has_room();
        change(leaf);
        self.with_room = self.with_room + usize::from(leaf.has_room()) - usize::from(before);
        if by == By::Count {
            return;
        }
        let mut node = self.leaves.len() + at;
        let mut winner = self.leaves[at].entry(by, at);
        self.winners[node] = winner;
        while node > 1 {
            winner = winner.min(self.winners[node ^ 1]);
            node /= 2;
            // Nobody above sees anything new.
            if self.winners[node] == winner {
                return;
            }
            self.winners[node] = winner;
        }
    }

    /// All winners anew.
    fn crown(&mut self, by: By) {
        if by == By::Count {
            return;
        }
        let many = self.leaves.len();
        self.winners.resize(2 * many, Entry::default());
        for (at, leaf) in self.leaves.iter().enumerate() {
            self.winners[many + at] = leaf.entry(by, at);
        }
        for node in (1..many).rev() {
            self.winners[node] = self.winners[2 * node].min(self.winners[2 * node + 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_winner_is_the_best_of_all(
            weights in proptest::collection::vec(1_u32..9, 1..40),
            steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..200),
            fewest in any::<bool>(),
        ) {
            let loads = Loads::new(if fewest { By::Fewest } else { By::Place });
            let seats: Vec<_> = weights.iter().map(|_| loads.seat()).collect();
            let most = NonZeroUsize::new(5);
            loads.arrange(seats.iter().zip(&weights).map(|(seat, weight)| (seat.at, NonZeroU32::new(*weight).unwrap(), most)));
            let (mut open, mut chosen) = (vec![0_u64; weights.len()], vec![0_usize; weights.len()]);
            for (now, (enters, index)) in steps.into_iter().enumerate() {
                if enters {
                    let room = (0..weights.len()).filter(|at| open[*at] < 5);
                    let best = room.min_by(|one, other| if fewest {
                        (open[*one] * u64::from(weights[*other]), chosen[*one], one)
                            .cmp(&(open[*other] * u64::from(weights[*one]), chosen[*other], other))
                    } else {
                        one.cmp(other)
                    });
                    prop_assert_eq!(loads.enter_first(), best.map(|at| seats[at].at));
                    if let Some(at) = best {
                        (open[at], chosen[at]) = (open[at] + 1, now + 1);
                    }
                } else {
                    let at = index.index(weights.len());
                    if open[at] > 0 {
                        seats[at].leave();
                        open[at] -= 1;
                    }
                }
            }
        }
    }
}
