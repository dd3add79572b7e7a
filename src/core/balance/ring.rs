//! Consistent hashing on a ring.

use super::Candidate;
use crate::random::stream;

/// Points for each unit of weight, as nginx has for `hash ... consistent`. A share is off by 8 % (1/sqrt(160)) as a rule. There is no least
/// number of points of a ring: with one, those who stay would have more points as soon as another goes, and move keys among them.
const POINTS: u64 = 160;
/// Points that a ring has at most, but for the one that everybody has: 2 MiB, which a processor's cache holds. Where weights ask for
/// more, everybody has half of them, or half of that, and so on: it is the same number for each unit of weight until the sum of all
/// weights passes a power of two, and only then those who stay move keys among them.
const MOST: u64 = 1 << 18;
/// The lower bits of a point, which say whose it is: more than there can be targets. The 40 above them are its place.
const OWNER: u32 = 24;
/// Points for each entry of the index, as a power of two: what is searched is one line of a cache.
const SEARCHED: u32 = 3;

/// Consistent hashing (Karger et al. 1997) by many points for each name, as ketama does it: a key belongs to the first point from its own
/// hash on. A new name takes its share from all others, and leaves what it has to all others.
#[derive(Debug)]
pub(super) struct Ring {
    /// In order, each with its owner: one look at memory finds both.
    points: Vec<u64>,
    /// For each value of the upper bits of a hash, the first point that is not before it.
    index: Vec<u32>,
    shift: u32,
}

impl Ring {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let weight = |candidate: &Candidate| u64::from(candidate.weight.get());
        let sum: u64 = candidates.iter().map(weight).sum();
        let halvings = (0..u64::BITS).find(|n| (sum * POINTS) >> n <= MOST).unwrap_or_default();
        let mut points = Vec::with_capacity(((sum * POINTS) >> halvings) as usize + candidates.len());
        for (at, candidate) in candidates.iter().enumerate() {
            let many = ((weight(candidate) * POINTS) >> halvings).max(1);
            points.extend(stream(candidate.seed()).take(many as usize).map(|point| point >> OWNER << OWNER | at as u64));
        }
        points.sort_unstable();
        let bits = (points.len().next_power_of_two().trailing_zeros().saturating_sub(SEARCHED)).max(1);
        let shift = u64::BITS - bits;
        let mut index = Vec::with_capacity(1 << bits);
        let mut at = 0;
        for bucket in 0..1_u64 << bits {
            while points.get(at).is_some_and(|point| *point < bucket << shift) {
                at += 1;
            }
            index.push(at as u32);
        }
        Self { points, index, shift }
    }

    /// Whose the key is.
    pub(super) fn first(&self, key: u64) -> Option<usize> {
        (!self.points.is_empty()).then(|| self.owner(self.start(key), 0))
    }

    /// The point of the key: the first that is not before it.
    pub(super) fn start(&self, key: u64) -> usize {
        let mut at = self.index[(key >> self.shift) as usize] as usize;
        let key = key >> OWNER << OWNER;
        while self.points.get(at).is_some_and(|point| *point < key) {
            at += 1;
        }
        at
    }

    /// Whose point it is so many steps further, around the end; there are [`Ring::len`] of them.
    pub(super) fn owner(&self, start: usize, step: usize) -> usize {
        // Around the end at most once, and without a division.
        let at = start + step;
        let at = if at < self.points.len() { at } else { at - self.points.len() };
        (self.points[at] & ((1 << OWNER) - 1)) as usize
    }

    pub(super) fn len(&self) -> usize {
        self.points.len()
    }
}

#[cfg(test)]
impl Ring {
    /// What part of the ring each of so many has.
    pub(super) fn arcs(&self, many: usize) -> Vec<f64> {
        let mut arcs = vec![0.0; many];
        let before = std::iter::once(self.points.last().copied().unwrap_or_default()).chain(self.points.iter().copied());
        for (point, before) in self.points.iter().zip(before) {
            arcs[(point & ((1 << OWNER) - 1)) as usize] +=
                (point >> OWNER << OWNER).wrapping_sub(before >> OWNER << OWNER) as f64 / u64::MAX as f64;
        }
        arcs
    }
}
