//! Maglev hashing.

use super::Candidate;
use crate::random::{mix, stream};

/// The places of a table, a prime as in the paper's "small" table and Envoy's.
const PLACES: usize = 65_537;
/// Places for each candidate at least, so that nobody's share is off by more than a hundredth (section 5.3 of the paper).
const EACH: usize = 100;
/// Candidates up to which that holds: a table has 4 million places at most, in 16 MiB.
const MOST: usize = 40_000;

/// Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4): a table that candidates fill in turns, each by an order of the places that follows
/// from its name. A look-up is one step; when one goes, about as many keys of others move as there were its own, in a small table.
#[derive(Debug)]
pub(super) struct Maglev(Vec<u32>);

impl Maglev {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        let size = prime_from(PLACES.max(candidates.len().min(MOST) * EACH));
        let places = size as u64;
        // offset and skip, each by a hash of its own.
        let orders = candidates.iter().map(|candidate| {
            let mut numbers = stream(candidate.seed());
            let mut number = |below: u64| numbers.next().map_or(0, |number| number % below);
            (number(places), number(places - 1) + 1)
        });
        let mut orders: Vec<(u64, u64)> = orders.collect();
        let weights: Vec<u64> = candidates.iter().map(|candidate| u64::from(candidate.weight.get())).collect();
        let (sum, many) = (weights.iter().sum::<u64>(), weights.len() as u64);
        let mut table = vec![u32::MAX; size];
        let mut free = if many == 0 { 0 } else { size };
        // Whose turn comes first decides between two that want one place: a name, wherever it stands.
        let mut turns: Vec<usize> = (0..candidates.len()).collect();
        turns.sort_unstable_by_key(|at| &candidates[*at].name);
        // Each round has as many turns as there are candidates, shared by weight; everybody has one in the first.
        let mut round = 0;
        while free > 0 {
            for at in turns.iter().copied() {
                let (place, skip) = &mut orders[at];
                let due = |round: u64| (round * weights[at] * many).div_ceil(sum);
                for _ in due(round)..due(round + 1) {
                    while table[*place as usize] != u32::MAX {
                        *place = (*place + *skip) % places;
                    }
                    table[*place as usize] = at as u32;
                    free -= 1;
                    if free == 0 {
                        return Self(table);
                    }
                }
            }
            round += 1;
        }
        Self(table)
    }

    pub(super) fn find(&self, key: u64) -> Option<usize> {
        // Mixed once more: a key that was found by its upper bits elsewhere is found by others here.
        let place = (u128::from(mix(key)) * self.0.len() as u128) >> 64;
        self.0.get(place as usize).map(|at| *at as usize).filter(|at| *at != u32::MAX as usize)
    }
}

#[cfg(test)]
impl Maglev {
    /// What part of the table each of so many has.
    pub(super) fn shares(&self, many: usize) -> Vec<f64> {
        let mut places = vec![0_u32; many];
        self.0.iter().for_each(|at| places[*at as usize] += 1);
        places.into_iter().map(|places| f64::from(places) / self.0.len() as f64).collect()
    }
}

/// The first prime from `least` on, which is above 2.
fn prime_from(least: usize) -> usize {
    let is_prime = |n: &usize| n % 2 == 1 && (3..).step_by(2).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    // There is one below twice any number (Bertrand, Chebyshev).
    (least..2 * least).find(is_prime).unwrap_or(PLACES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_a_prime_number_of_places() {
        assert_eq!((prime_from(PLACES), prime_from(65_538), prime_from(1_000_000)), (65_537, 65_539, 1_000_003));
    }
}
