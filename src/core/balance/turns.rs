//! Smooth weighted round robin.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
};

/// Smooth weighted round robin as nginx defines it (ngx_http_upstream_round_robin.c): for each turn everybody's credit grows by
/// its weight, who has the most (the first of equals) has the turn, and pays the sum of all weights.
///
/// The credits of those of one weight grow together, so that only the first of each weight is looked at: a turn costs as many
/// steps as there are different weights, of which there are 1,000 at most, and 20,000 while somebody is on its way back in steps.
#[derive(Debug)]
pub(super) struct Turns {
    weights: Vec<NonZeroU32>,
    groups: Vec<Group>,
    sum: i64,
    /// Turns so far.
    time: i64,
}

/// Those of one weight, who has the most first: a credit without the growth of the time so far, and whose it is.
#[derive(Debug)]
struct Group {
    weight: i64,
    queue: VecDeque<(i64, Reverse<u32>)>,
}

impl Turns {
    /// Begins with these credits, in shares of the sum of all weights; 0 is that of who is new.
    pub(super) fn new(weights: Vec<NonZeroU32>, credits: impl Fn(usize) -> f64) -> Self {
        let sum = weights.iter().map(|weight| i64::from(weight.get())).sum();
        let mut queues: BTreeMap<NonZeroU32, Vec<_>> = BTreeMap::new();
        for (at, weight) in weights.iter().enumerate() {
            // Within these bounds nobody waits long, whatever the weights were before.
            let credit = (credits(at).clamp(-1.0, 1.0) * sum as f64).round() as i64;
            queues.entry(*weight).or_default().push((credit, Reverse(at as u32)));
        }
        let group = |(weight, mut queue): (NonZeroU32, Vec<_>)| {
            queue.sort_unstable_by_key(|first| Reverse(*first));
            Group { weight: i64::from(weight.get()), queue: queue.into() }
        };
        let groups = queues.into_iter().map(group).collect();
        Self { weights, groups, sum, time: 0 }
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<usize> {
        self.time += 1;
        let (mut best, mut most) = (None, (i64::MIN, Reverse(u32::MAX)));
        for (at, group) in self.groups.iter().enumerate() {
            let Some((credit, first)) = group.queue.front() else { continue };
            let has = (credit + group.weight * self.time, *first);
            if has > most {
                (best, most) = (Some(at), has);
            }
        }
        let queue = &mut self.groups[best?].queue;
        let (credit, first) = queue.pop_front()?;
        let paid = (credit - self.sum, first);
        // At the end, but for credits of before that were far apart.
        match queue.back() {
            Some(last) if *last < paid => queue.insert(queue.partition_point(|other| *other > paid), paid),
            _ => queue.push_back(paid),
        }
        Some(first.0 as usize)
    }

    /// A turn of those alone that were not tried, as nginx has it: their credits grow, and who has the turn pays the sum of their weights. Looks at
    /// everybody.
    pub(super) fn next_of_others(&mut self, tried: &[bool]) -> Option<usize> {
        let (mut best, mut sum) = (None, 0);
        for (number, group) in self.groups.iter_mut().enumerate() {
            for (place, (credit, at)) in group.queue.iter_mut().enumerate().filter(|(_, (_, at))| !tried[at.0 as usize]) {
                *credit += group.weight;
                sum += group.weight;
                best = best.max(Some((*credit + group.weight * self.time, *at, number, place)));
            }
        }
        let (_, Reverse(at), number, place) = best?;
        self.groups[number].queue[place].0 -= sum;
        for group in &mut self.groups {
            group.queue.make_contiguous().sort_unstable_by_key(|first| Reverse(*first));
        }
        Some(at as usize)
    }

    /// Everybody's credit, in shares of the sum of all weights.
    pub(super) fn credits(&self) -> Vec<f64> {
        let mut credits = vec![0.0; self.weights.len()];
        for group in &self.groups {
            for (credit, Reverse(at)) in &group.queue {
                credits[*at as usize] = (credit + group.weight * self.time) as f64 / self.sum as f64;
            }
        }
        credits
    }
}
