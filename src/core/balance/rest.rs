//! Who is tried next, after the first.

use super::{Chooser, Method};
use crate::random::open_unit;
use std::{cmp::Reverse, collections::BinaryHeap, sync::PoisonError};

/// How many stand in by turns for one client. Each looks at everybody: where so many fail, the others come as they are listed.
const MOST_TURNS: usize = 8;

/// Those that were not tried yet, in the policy's order, found one by one. Each comes once.
#[derive(Debug)]
pub struct Rest {
    tried: Vec<bool>,
    /// How many were not.
    left: usize,
    order: Order,
}

#[derive(Debug)]
enum Order {
    /// So many more by turns of those that are left; then all of them from a place on.
    Turns { left: usize, place: usize },
    /// By score, the highest first; of equals, who stands next behind the one that was tried first.
    Scores(BinaryHeap<(u64, Reverse<usize>, usize)>),
    /// Those of a draw; who is held came off worse in the draw before.
    Pairs { drawn: BinaryHeap<(u64, Reverse<usize>, usize)>, held: Option<usize> },
    /// Along the ring.
    Ring { start: usize, step: usize },
}

impl Chooser {
    /// The others, once the first that was chosen, if one was, could not be used. In turn: by turns of their own. Random: drawn by
    /// weight. Fewest: fewest first. Two choices: the better of the one that came off worse and another that is drawn. First: in order.
    /// Rendezvous and Maglev: by rendezvous. Ring: along the ring.
    pub fn rest(&self, key: Option<u64>, first: Option<usize>, open: impl Fn(usize) -> usize) -> Rest {
        let many = self.candidates.len();
        let mut tried = vec![false; many];
        let behind = first.map_or(0, |first| first + 1);
        if let Some(first) = first {
            tried[first] = true;
        }
        let key = || key.unwrap_or_else(|| self.random.next());
        let scores = |scores: &mut dyn Iterator<Item = f64>| {
            let others = scores.enumerate().filter(|(at, _)| Some(*at) != first);
            others.map(|(at, score)| (ordered(score), Reverse((at + many - behind) % many), at)).collect()
        };
        let drawn = || {
            // A draw without replacement: the largest u^(1/weight) (Efraimidis, Spirakis 2006), compared as logarithms.
            let weights = self.candidates.iter().map(|candidate| f64::from(candidate.weight.get()));
            scores(&mut weights.map(|weight| open_unit(self.random.next()).ln() / weight))
        };
        let order = match &self.method {
            Method::Turns(_) => Order::Turns { left: MOST_TURNS, place: 0 },
            Method::Random(_) => Order::Scores(drawn()),
            Method::TwoChoices(_) => Order::Pairs { drawn: drawn(), held: None },
            Method::Loads(loads, _) if loads.is_by_place() => Order::Scores(scores(&mut (0..many).map(|at| -(at as f64)))),
            Method::Loads(..) => {
                let load = |at: usize| open(at) as f64 / f64::from(self.candidates[at].weight.get());
                Order::Scores(scores(&mut (0..many).map(|at| -load(at))))
            }
            Method::Rendezvous(rendezvous) | Method::Maglev(_, rendezvous) => Order::Scores(scores(&mut rendezvous.scores(key()))),
            Method::Ring(ring, _) => Order::Ring { start: ring.start(key()), step: 0 },
        };
        Rest { left: many - usize::from(first.is_some()), tried, order }
    }

    /// Who is next.
    pub fn next(&self, rest: &mut Rest, open: impl Fn(usize) -> usize) -> Option<usize> {
        if rest.left == 0 {
            return None;
        }
        let at = match &mut rest.order {
            Order::Turns { left: 0, place } => {
                let at = (*place..rest.tried.len()).find(|at| !rest.tried[*at])?;
                *place = at + 1;
                at
            }
            // Whoever stands in pays for it: else the neighbour of one that fails would have the turns of both.
            Order::Turns { left, .. } => {
                *left -= 1;
                let Method::Turns(turns) = &self.method else { return None };
                turns.lock().unwrap_or_else(PoisonError::into_inner).next_of_others(&rest.tried)?
            }
            Order::Scores(scores) => scores.pop()?.2,
            Order::Pairs { drawn, held } => match (held.take().or_else(|| Some(drawn.pop()?.2))?, drawn.pop()) {
                (one, Some((.., other))) => {
                    let (better, worse) = if self.load(other, &open) < self.load(one, &open) { (other, one) } else { (one, other) };
                    *held = Some(worse);
                    better
                }
                (last, None) => last,
            },
            Order::Ring { start, step } => {
                let Method::Ring(ring, _) = &self.method else { return None };
                let owners = (*step..ring.len()).map(|step| (step, ring.owner(*start, step)));
                let (found, at) = owners.into_iter().find(|(_, at)| !rest.tried[*at])?;
                *step = found + 1;
                at
            }
        };
        rest.tried[at] = true;
        rest.left -= 1;
        Some(at)
    }
}

/// A number that is larger for a larger `score`, none of which is above 1.
fn ordered(score: f64) -> u64 {
    // IEEE 754 orders as integers do, but for the sign.
    let bits = score.to_bits();
    if score.is_sign_negative() { !bits } else { bits | 1 << 63 }
}
