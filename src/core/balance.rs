//! Whose turn it is: policies over plain values, without sockets, clocks and events.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

/// How the next target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// In turn, by weight and evenly spread (nginx's smooth weighted round robin).
    #[default]
    RoundRobin,
    /// The one with the fewest open connections or requests for its weight; in turn among equals.
    LeastConnections,
}

/// A target that may be chosen.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What it is known by, wherever it stands in a list.
    pub name: Arc<str>,
    /// Its share of the traffic relative to the others.
    pub weight: NonZeroU32,
}

/// A policy made ready for some targets.
#[derive(Debug)]
pub struct Chooser {
    policy: Policy,
    candidates: Vec<Candidate>,
    /// What each has saved up, for smooth weighted round robin.
    turns: Mutex<Vec<i64>>,
}

impl Chooser {
    /// Makes a policy ready for these targets.
    #[must_use]
    pub fn new(policy: Policy, candidates: Vec<Candidate>) -> Self {
        let turns = Mutex::new(vec![0; candidates.len()]);
        Self { policy, candidates, turns }
    }

    /// The number of the one whose turn it is, of those that it was made for; none where there are none. `open` tells how many
    /// connections or requests one has now.
    pub fn choose(&self, open: impl Fn(usize) -> usize) -> Option<usize> {
        if self.candidates.len() < 2 {
            return (!self.candidates.is_empty()).then_some(0);
        }
        let least = |at: usize| (open(at) as u64, u64::from(self.candidates[at].weight.get()));
        // Fewer open for each unit of weight, compared without a division: a/v < b/w as a*w < b*v.
        let fewest = match self.policy {
            Policy::RoundRobin => None,
            Policy::LeastConnections => (0..self.candidates.len()).map(least).reduce(|a, b| if b.0 * a.1 < a.0 * b.1 { b } else { a }),
        };
        let tied = |at: usize| fewest.is_none_or(|(open, weight)| least(at).0 * weight == open * least(at).1);
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut best, mut total) = (None, 0);
        for at in (0..self.candidates.len()).filter(|at| tied(*at)) {
            let weight = i64::from(self.candidates[at].weight.get());
            turns[at] += weight;
            total += weight;
            if best.is_none_or(|best: usize| turns[at] > turns[best]) {
                best = Some(at);
            }
        }
        // Loads change while they are read: where nobody is tied any more, the first will do.
        let best = best.unwrap_or(0);
        turns[best] -= total;
        Some(best)
    }
}
