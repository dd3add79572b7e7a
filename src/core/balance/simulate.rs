//! What a policy makes of some targets, without a socket: shares, and which keys move when targets come or go.

use super::{Candidate, Chooser, Loads, Policy, Seat, Settings};
use crate::random::{Shared, open_unit, stream};
use serde::Serialize;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
};

/// Connections that are open at a time, on the average, for each target: enough for those who count them to have something to count.
pub const OPEN_EACH: u64 = 10;

/// What all random numbers but the policy's own begin with, beside the seed: how long connections last, and which keys clients have.
const LASTING: u64 = 0x6c61_7374;
const KEYS: u64 = 0x6b65_7973;

/// A target of a simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// What it is known by.
    pub name: Arc<str>,
    /// Its share relative to the others.
    pub weight: NonZeroU32,
    /// Connections that it takes at a time.
    pub most: Option<NonZeroUsize>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// How targets were chosen.
    pub policy: Policy,
    /// Clients that came, one after the other.
    pub picks: u64,
    /// Those that no target had room for.
    pub unplaced: u64,
    /// What each target got.
    pub targets: Vec<Share>,
    /// What the target with the most for its weight got, relative to what its weight says; `None` where nobody got anything.
    pub max_over_mean: Option<f64>,
    /// What becomes of keys when targets come or go; `None` where none do, or where the policy knows no keys.
    pub moved: Option<Moved>,
}

/// What a target got.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Its name.
    pub target: Arc<str>,
    /// Its weight.
    pub weight: u32,
    /// Clients that it got.
    pub picks: u64,
    /// What part of all clients that is, in percent.
    pub share_percent: f64,
}

/// Keys that have another target after a change than before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moved {
    /// How many.
    pub keys: u64,
    /// What part of all keys that is, in percent.
    pub percent: f64,
    /// What part must move: what those had that go, and what those are due that come, by weight, in percent.
    pub least_percent: f64,
}

/// Lets so many clients come, each with a key of its own. Connections last for an exponentially distributed time, in which
/// [`OPEN_EACH`] others come for each target on the average (M/M/inf); who has room is asked as a pool asks. Then the same keys come to `after`, where
/// there is one.
#[must_use]
pub fn simulate(settings: &Settings, picks: u64, before: &[Simulated], after: Option<&[Simulated]>) -> Outcome {
    let by_key = settings.policy.is_by_key();
    let first: Vec<Option<u32>> = run(settings, picks, before).collect();
    let mut counts = vec![0_u64; before.len()];
    first.iter().flatten().for_each(|at| counts[*at as usize] += 1);
    let placed: u64 = counts.iter().sum();
    let weights: u64 = before.iter().map(|target| u64::from(target.weight.get())).sum();
    let percent = |part: u64| part as f64 * 100.0 / picks.max(1) as f64;
    let targets = before.iter().zip(&counts).map(|(target, count)| Share {
        target: target.name.clone(),
        weight: target.weight.get(),
        picks: *count,
        share_percent: percent(*count),
    });
    let over = |(target, count): (&Simulated, &u64)| *count as f64 * weights as f64 / (f64::from(target.weight.get()) * placed as f64);
    let max_over_mean = before.iter().zip(&counts).map(over).reduce(f64::max).filter(|_| placed > 0);
    let moved = after.filter(|_| by_key).map(|after| {
        let name = |at: Option<u32>, of: &[Simulated]| at.map(|at| of[at as usize].name.clone());
        let second = run(settings, picks, after);
        let keys = first.iter().zip(second).filter(|(one, other)| name(**one, before) != name(*other, after)).count() as u64;
        Moved { keys, percent: percent(keys), least_percent: least(before, after) * 100.0 }
    });
    Outcome { policy: settings.policy, picks, unplaced: picks - placed, targets: targets.collect(), max_over_mean, moved }
}

/// What part of all keys must move so that everybody has its share: what those lose that have less afterwards.
fn least(before: &[Simulated], after: &[Simulated]) -> f64 {
    let sum = |of: &[Simulated]| of.iter().map(|target| f64::from(target.weight.get())).sum::<f64>();
    let later: std::collections::HashMap<_, _> =
        after.iter().map(|target| (&target.name, f64::from(target.weight.get()) / sum(after))).collect();
    let all = sum(before);
    let lost = before.iter().map(|target| {
        let had = f64::from(target.weight.get()) / all;
        (had - later.get(&target.name).copied().unwrap_or_default()).max(0.0)
    });
    lost.sum()
}

/// Who gets each client.
fn run(settings: &Settings, picks: u64, targets: &[Simulated]) -> impl Iterator<Item = Option<u32>> {
    let loads = settings.loads();
    let seats: Vec<Seat> = targets.iter().filter_map(|_| loads.as_ref().map(Loads::seat)).collect();
    let candidates = targets.iter().enumerate().map(|(at, target)| Candidate {
        name: target.name.clone(),
        weight: target.weight,
        most: target.most,
        seat: seats.get(at).map(Seat::at),
    });
    let chooser = Chooser::new(settings, candidates.collect(), loads.as_ref(), None);
    let lasting = Shared::new(settings.seed ^ LASTING);
    let mean = (OPEN_EACH * targets.len() as u64) as f64;
    let most: Vec<usize> = targets.iter().map(|target| target.most.map_or(usize::MAX, NonZeroUsize::get)).collect();
    let mut open = vec![0_usize; targets.len()];
    let mut ends: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
    (0..picks).zip(stream(settings.seed ^ KEYS)).map(move |(now, key)| {
        while let Some(Reverse((_, at))) = ends.peek().filter(|Reverse((end, _))| *end <= now).copied() {
            ends.pop();
            open[at as usize] -= 1;
            seats.get(at as usize).into_iter().for_each(Seat::leave);
        }
        let key = settings.policy.is_by_key().then_some(key);
        let choice = chooser.choose(key, |at| open[at]);
        let at = match choice.filter(|choice| open[choice.at] < most[choice.at]) {
            Some(choice) => Some((choice.at, choice.entered)),
            None => {
                let mut rest = chooser.rest(key, choice.map(|choice| choice.at), |at| open[at]);
                std::iter::from_fn(|| chooser.next(&mut rest, |at| open[at])).find(|at| open[*at] < most[*at]).map(|at| (at, false))
            }
        };
        let (at, entered) = at?;
        open[at] += 1;
        seats.get(at).into_iter().filter(|_| !entered).for_each(Seat::enter);
        let length = -open_unit(lasting.next()).ln() * mean;
        ends.push(Reverse((now + 1 + length as u64, at as u32)));
        Some(at as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(many: usize) -> Vec<Simulated> {
        (1..=many).map(|n| Simulated { name: format!("h{n}").into(), weight: NonZeroU32::MIN, most: None }).collect()
    }

    fn outcome(policy: Policy, before: usize, after: Option<usize>) -> Outcome {
        let after = after.map(targets);
        simulate(&Settings { seed: 7, ..policy.into() }, 20_000, &targets(before), after.as_deref())
    }

    #[test]
    fn shares_are_those_of_the_policy_and_add_up() {
        for policy in Policy::ALL {
            let outcome = outcome(policy, 4, None);
            assert_eq!(outcome.targets.iter().map(|share| share.picks).sum::<u64>() + outcome.unplaced, 20_000);
            assert_eq!((outcome.unplaced, &outcome.moved), (0, &None));
            let over = outcome.max_over_mean.unwrap();
            let most = match policy {
                Policy::First => 4.0,
                Policy::RoundRobin => 1.0,
                Policy::Ring => 1.4,
                _ => 1.05,
            };
            assert!((1.0..=most).contains(&over), "{policy}: {over}");
        }
    }

    #[test]
    fn keys_move_as_they_must_and_only_where_there_are_some() {
        assert_eq!(outcome(Policy::RoundRobin, 4, Some(3)).moved, None);
        for (before, after, least) in [(4, 3, 25.0), (3, 4, 25.0)] {
            for policy in [Policy::Rendezvous, Policy::Ring, Policy::Maglev] {
                let moved = outcome(policy, before, Some(after)).moved.unwrap();
                assert!((moved.least_percent - least).abs() < 1e-9, "{moved:?}");
                assert!((moved.percent - least).abs() < 15.0 && moved.keys > 0, "{policy}: {moved:?}");
            }
        }
        assert_eq!(outcome(Policy::Ring, 4, Some(4)).moved.unwrap().keys, 0);
    }

    #[test]
    fn who_is_full_is_passed_over_and_nobody_gets_more_than_fits() {
        let mut all = targets(3);
        all[0].most = NonZeroUsize::new(2);
        for policy in Policy::ALL {
            let outcome = simulate(&policy.into(), 5000, &all, None);
            assert!(outcome.targets[0].picks < 1000 && outcome.unplaced == 0, "{outcome:?}");
        }
        for target in &mut all {
            target.most = NonZeroUsize::new(1);
        }
        let outcome = simulate(&Policy::First.into(), 5000, &all, None);
        assert!(outcome.unplaced > 2500, "{outcome:?}");
    }
}
