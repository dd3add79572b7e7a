//! Saying now and then what may happen all the time.

use std::time::{Duration, Instant};

/// How often it is said at most.
const EVERY: Duration = Duration::from_secs(1);

/// When it was said last.
#[derive(Default)]
pub(crate) struct Seldom(Option<Instant>);

impl Seldom {
    /// Whether it may be said now; then it counts as said.
    pub(crate) fn may_be_said(&mut self) -> bool {
        let may = self.0.is_none_or(|at| at.elapsed() >= EVERY);
        if may {
            self.0 = Some(Instant::now());
        }
        may
    }
}
