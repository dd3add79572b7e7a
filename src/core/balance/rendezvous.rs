//! Rendezvous hashing: the highest score for the key wins.

use super::Candidate;
use crate::random::{mix, open_unit};

/// Weighted rendezvous hashing (Thaler, Ravishankar 1998; Schindelhauer, Schomaker 2005 for the weights): each one's score for a key is
/// ln(u) / weight, where u is a number from 0 to 1 that follows from the key and the name. Nobody's score depends on who else is
/// there, so that only the keys of who goes move.
#[derive(Debug)]
pub(super) struct Rendezvous(Vec<(u64, f64)>);

impl Rendezvous {
    pub(super) fn new(candidates: &[Candidate]) -> Self {
        Self(candidates.iter().map(|candidate| (candidate.seed(), f64::from(candidate.weight.get()))).collect())
    }

    pub(super) fn find(&self, key: u64) -> Option<usize> {
        let scores = self.scores(key).enumerate();
        scores.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(at, _)| at)
    }

    /// Everybody's score, below 0.
    pub(super) fn scores(&self, key: u64) -> impl Iterator<Item = f64> {
        self.0.iter().map(move |(seed, weight)| open_unit(mix(key ^ seed)).ln() / weight)
    }
}
