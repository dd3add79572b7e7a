//! How a pool's backends are chosen and used.

use super::{Ejection, Limits};
use crate::balance::{self, Policy};
use std::time::Duration;

/// How a pool's backends are chosen and used.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How the next backend is chosen.
    pub balance: balance::Settings,
    /// How many connections backends take, and how many clients wait for a place.
    pub limits: Limits,
    /// When backends are ejected that do not take connections; never, where it is none.
    pub ejection: Option<Ejection>,
    /// What becomes of clients where every backend is down.
    pub when_all_down: WhenAllDown,
    /// How long a backend that comes back from a failure takes to get its whole share.
    pub slow_start: Option<Duration>,
}

impl From<balance::Settings> for Settings {
    /// This way to choose, and the defaults for the rest.
    fn from(balance: balance::Settings) -> Self {
        Self {
            balance,
            limits: Limits::default(),
            ejection: Some(Ejection::default()),
            when_all_down: WhenAllDown::default(),
            slow_start: None,
        }
    }
}

impl From<Policy> for Settings {
    /// This policy, and the defaults for the rest.
    fn from(policy: Policy) -> Self {
        balance::Settings::from(policy).into()
    }
}

/// What becomes of clients where every backend is down by its checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenAllDown {
    /// Each backend is tried all the same: checks can be wrong. Envoy's panic mode, nginx's way too.
    #[default]
    TryAll,
    /// Nobody is tried.
    Fail,
}

impl Default for Settings {
    fn default() -> Self {
        Policy::default().into()
    }
}
