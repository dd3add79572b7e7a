//! Draws by weight.

use crate::random::Shared;
use std::num::NonZeroU32;

/// Weights laid one after the other: a number falls into one of them.
#[derive(Debug)]
pub(super) struct Wheel {
    ends: Vec<u64>,
    /// Of as many parts of the same length, who is at the beginning of each: from there it is one step on the average (Chen, Asau 1974).
    guide: Vec<u32>,
    /// Parts for each unit of weight.
    density: f64,
}

impl Wheel {
    pub(super) fn new(weights: impl Iterator<Item = NonZeroU32>) -> Self {
        let ends = weights.scan(0, |end, weight| {
            *end += u64::from(weight.get());
            Some(*end)
        });
        let ends: Vec<u64> = ends.collect();
        let sum = ends.last().copied().unwrap_or(1);
        let part = |part| part as u64 * sum / ends.len() as u64;
        let guide = (0..ends.len()).map(|at| ends.partition_point(|end| *end <= part(at)) as u32).collect();
        let density = ends.len() as f64 / sum as f64;
        Self { ends, guide, density }
    }

    /// One, as likely as its weight says.
    pub(super) fn draw(&self, random: &Shared) -> Option<usize> {
        let sum = *self.ends.last()?;
        Some(self.at(random.below(sum)))
    }

    /// Two different ones, the second as likely among the others as its weight says.
    pub(super) fn draw_two(&self, random: &Shared) -> Option<(usize, Option<usize>)> {
        let one = self.draw(random)?;
        let sum = *self.ends.last()?;
        let (start, end) = (one.checked_sub(1).map_or(0, |before| self.ends[before]), self.ends[one]);
        let others = sum - (end - start);
        if others == 0 {
            return Some((one, None));
        }
        let point = random.below(others);
        // The first one is not there.
        Some((one, Some(self.at(if point < start { point } else { point + (end - start) }))))
    }

    fn at(&self, point: u64) -> usize {
        let part = ((point as f64 * self.density) as usize).min(self.guide.len() - 1);
        let mut at = self.guide[part] as usize;
        // A double may be rounded up into the next part.
        while at > 0 && self.ends[at - 1] > point {
            at -= 1;
        }
        while self.ends[at] <= point {
            at += 1;
        }
        at
    }
}
