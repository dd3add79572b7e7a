//! A backend that comes back from a failure gets its share step by step: caches are cold, and everybody waits for it.

use std::{num::NonZeroU32, time::Duration};
use tokio::time::Instant;

/// In how many steps. Each renews what all picks look at.
const STEPS: u32 = 20;

/// How far a backend is on its way back to its whole share: so many twentieths of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowStart {
    since: Instant,
    step: u32,
}

impl SlowStart {
    /// With the first step.
    pub(super) fn begin(now: Instant) -> Self {
        Self { since: now, step: 1 }
    }

    /// How often somebody has a step where all of them take `time`.
    pub(super) fn every(time: Duration) -> Duration {
        time / STEPS
    }

    /// The step that is due by now, where all of them take `time`; none where it has its whole share.
    pub(super) fn by(self, now: Instant, time: Duration) -> Option<Self> {
        let mut way = Some(self);
        while let Some((_, next)) = way.map(|way| way.next(time)).filter(|(due, _)| *due <= now) {
            way = next;
        }
        way
    }

    /// The step after this one, and when it is due where all of them take `time`; none where it has its whole share then.
    fn next(self, time: Duration) -> (Instant, Option<Self>) {
        let due = self.since + time.saturating_mul(self.step) / STEPS;
        let next = Self { step: self.step + 1, ..self };
        (due, (next.step < STEPS).then_some(next))
    }

    /// What part of its whole share it has now, above 0 and below 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        f64::from(self.step) / f64::from(STEPS)
    }
}

/// The weights that count now, of backends with these weights. They are the whole ones where nobody is on the way back,
/// and else in twentieths of them.
pub(super) fn weights(of: &[(NonZeroU32, Option<SlowStart>)]) -> Vec<NonZeroU32> {
    let whole = of.iter().any(|(_, way)| way.is_some()).then(|| NonZeroU32::new(STEPS)).flatten().unwrap_or(NonZeroU32::MIN);
    let step = |way: &Option<SlowStart>| way.as_ref().and_then(|way| NonZeroU32::new(way.step)).unwrap_or(whole);
    of.iter().map(|(weight, way)| weight.saturating_mul(step(way))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_in_even_steps_from_a_twentieth_to_all_of_it() {
        let (begun, time) = (Instant::now(), Duration::from_secs(10));
        let (mut way, mut steps) = (Some(SlowStart::begin(begun)), Vec::new());
        while let Some(now) = way {
            let (due, next) = now.next(time);
            steps.push(((due - begun).as_millis(), now.share()));
            way = next;
        }
        let expected: Vec<_> = (1_u32..20).map(|step| (u128::from(step) * 500, f64::from(step) / 20.0)).collect();
        assert_eq!(steps, expected);
    }

    #[test]
    fn weights_keep_their_proportion_to_each_other() {
        let weight = |n| NonZeroU32::new(n).unwrap();
        let first = SlowStart::begin(Instant::now());
        assert_eq!(weights(&[(weight(1), None), (weight(1000), None)]), [1, 1000].map(weight));
        assert_eq!(weights(&[(weight(3), None), (weight(1), Some(first))]), [60, 1].map(weight));
    }
}
