//! How long things took, counted by size: cheap to count, exact to add up, and enough for percentiles.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the buckets, in seconds, each inclusive; the last bucket has none.
pub const BOUNDS: [f64; 17] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// The same in microseconds.
const MICROS: [u64; BOUNDS.len()] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    60_000_000,
];

/// Durations, counted by size. To count one takes two relaxed additions.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    /// In microseconds: 580,000 years fit.
    sum: AtomicU64,
}

/// What a [`Histogram`] has counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// How many were in each bucket; they do not include those of the buckets before.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All durations together, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Counts one.
    pub fn add(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(micros, Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted { buckets: std::array::from_fn(|at| self.buckets[at].load(Relaxed)), sum: self.sum.load(Relaxed) as f64 / 1e6 }
    }
}

impl Counted {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The duration that this share (0 to 1) of them did not exceed, as if those of a bucket were spread over it evenly: 0.5 is
    /// the median. Of those beyond the last bound it is that bound. Nothing where there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = (share * self.count() as f64).ceil().max(1.0);
        let (mut from, mut before) = (0.0, 0.0);
        for (count, bound) in self.buckets.iter().zip(BOUNDS) {
            let sum = before + *count as f64;
            if sum >= wanted {
                return Some(Duration::from_secs_f64(from + (bound - from) * (wanted - before) / (sum - before)));
            }
            (from, before) = (bound, sum);
        }
        (self.count() > 0).then(|| Duration::from_secs_f64(from))
    }

    /// Those that have come since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let buckets = std::array::from_fn(|at| self.buckets[at].saturating_sub(earlier.buckets[at]));
        Self { buckets, sum: self.sum - earlier.sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_smallest_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 1_000, 60_000_000, 60_000_001] {
            histogram.add(Duration::from_micros(micros));
        }
        let counted = histogram.counted();
        assert_eq!(counted.count(), 6);
        assert_eq!((counted.buckets[0], counted.buckets[1], counted.buckets[3], counted.buckets[16], counted.buckets[17]), (2, 1, 1, 1, 1));
        assert!((counted.sum - 120.001_202).abs() < 1e-9, "{}", counted.sum);
    }

    #[test]
    fn quantiles_lie_in_the_bucket_of_their_duration() {
        let histogram = Histogram::default();
        assert_eq!(histogram.counted().quantile(0.5), None);
        (1..=1000).for_each(|n| histogram.add(Duration::from_micros(n * 100)));
        let first = histogram.counted();
        // Spread evenly, as they are, they are told exactly.
        for (share, millis) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 0.1)] {
            let told = first.quantile(share).unwrap().as_secs_f64() * 1e3;
            assert!((told / millis - 1.0).abs() < 0.01, "{share}: {told} ms, not {millis}");
        }
        (0..10).for_each(|_| histogram.add(Duration::from_secs(90)));
        let later = histogram.counted().since(&first);
        assert_eq!((later.count(), later.quantile(0.5)), (10, Some(Duration::from_mins(1))));
    }

    #[test]
    fn the_bounds_are_the_same_in_both_units_and_ascend() {
        assert!(BOUNDS.iter().zip(MICROS).all(|(seconds, micros)| (seconds * 1e6).round() as u64 == micros));
        assert!(MICROS.is_sorted());
    }
}
