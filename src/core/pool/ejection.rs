//! Passive ejection: who fails connections in a row is left out for a while. Plain values; the caller has the clock.

use std::{num::NonZeroU32, time::Duration};
use tokio::time::Instant;

/// When a backend is ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Connections in a row that it did not take.
    pub after: NonZeroU32,
    /// How long for the first time. It doubles each time that the backend fails again right after it was let back, up to
    /// [`Ejection::longest`].
    pub penalty: Duration,
}

impl Ejection {
    /// The penalties grow to so many times the first one.
    const GROWTH: u32 = 6;

    /// The longest penalty. Whoever has done well for so long begins with the first one again.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.penalty.saturating_mul(Self::GROWTH)
    }
}

impl Default for Ejection {
    /// After 3 failures, for 10 s, then 20 s, 40 s and 60 s.
    fn default() -> Self {
        Self { after: NonZeroU32::MIN.saturating_add(2), penalty: Duration::from_secs(10) }
    }
}

/// Whether a backend is ejected, and how often it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    until: Option<Instant>,
    /// When it was let back the last time.
    back: Option<Instant>,
    in_a_row: u32,
}

impl Record {
    /// Until when it is ejected.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether it is ejected now.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.until.is_some()
    }

    /// How often it was ejected without a good while between.
    #[must_use]
    pub fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Ejects it, and tells for how long.
    pub fn eject(&mut self, now: Instant, rules: &Ejection) -> Duration {
        let soon = self.back.is_some_and(|back| now.saturating_duration_since(back) < rules.longest());
        self.in_a_row = if soon { self.in_a_row.saturating_add(1) } else { 1 };
        let doubled = rules.penalty.saturating_mul(2_u32.saturating_pow(self.in_a_row - 1));
        let penalty = doubled.min(rules.longest());
        self.until = Some(now + penalty);
        penalty
    }

    /// Lets it back; returns false where it was not ejected.
    pub fn let_back(&mut self, now: Instant) -> bool {
        let ejected = self.until.take().is_some();
        if ejected {
            self.back = Some(now);
        }
        ejected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn penalties_double_to_the_longest_and_begin_anew_after_a_good_while() {
        let (rules, mut now, mut record) = (Ejection::default(), Instant::now(), Record::default());
        let mut penalties = Vec::new();
        for well in [0, 59, 1, 1, 61, 59] {
            now += Duration::from_secs(well);
            let penalty = record.eject(now, &rules);
            penalties.push(penalty.as_secs());
            now += penalty;
            assert!(record.let_back(now) && !record.let_back(now));
        }
        assert_eq!(penalties, [10, 20, 40, 60, 10, 20]);
    }

    proptest! {
        #[test]
        fn penalties_are_bounded_and_grow_by_doubling_only(pauses in prop::collection::vec(0_u64..100_000, 1..200), first in 1_u64..100_000) {
            let rules = Ejection { penalty: Duration::from_millis(first), ..Ejection::default() };
            let (mut now, mut record, mut last) = (Instant::now(), Record::default(), None);
            for pause in pauses {
                now += Duration::from_millis(pause);
                let penalty = record.eject(now, &rules);
                prop_assert!(penalty >= rules.penalty && penalty <= rules.longest());
                let expected = match last {
                    Some(last) if Duration::from_millis(pause) < rules.longest() => rules.longest().min(2 * last),
                    _ => rules.penalty,
                };
                prop_assert_eq!(penalty, expected);
                prop_assert_eq!(record.until(), Some(now + penalty));
                last = Some(penalty);
                now += penalty;
                prop_assert!(record.let_back(now));
            }
        }
    }
}
