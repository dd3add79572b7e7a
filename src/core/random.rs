//! Random choices that a seed repeats.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// What the state of SplitMix64 grows by with each number.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). Its own few lines: the numbers
/// must be the same in every version and on every machine, which no crate promises.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator of one choice about one connection.
    pub(crate) fn new(seed: u64, id: u64, salt: u64) -> Self {
        let mut random = Self(seed);
        for part in [id, salt] {
            random = Self(random.next() ^ part);
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// From 0 up to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The same generator for several threads: the numbers are the seed's, in the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Shared(AtomicU64);

impl Shared {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        mix(self.0.fetch_add(GAMMA, Relaxed).wrapping_add(GAMMA))
    }

    /// From 0 up to `end`, without it; 0 where that is 0. Unfair by at most `end` / 2^64.
    pub(crate) fn below(&self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

/// The output of SplitMix64 for a state: each bit of it depends on all bits of the state, and no two states have the same.
pub(crate) fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The numbers of SplitMix64 from a state on.
pub(crate) fn stream(seed: u64) -> impl Iterator<Item = u64> {
    let mut random = Random(seed);
    std::iter::repeat_with(move || random.next())
}

/// Above 0 and below 1, from the upper bits of a number.
pub(crate) fn open_unit(number: u64) -> f64 {
    // One bit less than a double has, for the half.
    ((number >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// A seed for a run that was given none, short enough to be typed again.
#[must_use]
pub fn new_seed() -> u64 {
    // The standard library's own source of randomness for its hash maps.
    RandomState::new().build_hasher().finish() >> 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // The first ones of the reference implementation (Vigna, splitmix64.c) for the state 1234567.
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        let shared = Shared::new(1_234_567);
        assert_eq!([(); 3].map(|()| shared.next()), first);
        assert!(stream(1_234_567).take(3).eq(first));
    }

    #[test]
    fn a_number_below_an_end_is_below_it() {
        let random = Shared::new(7);
        assert_eq!(random.below(0), 0);
        assert!((1..1000).all(|end| random.below(end) < end));
        assert!([0, u64::MAX].map(open_unit).iter().all(|unit| 0.0 < *unit && *unit < 1.0));
    }
}
