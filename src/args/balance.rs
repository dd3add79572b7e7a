//! The flags of commands that balance.

use super::{Health, Places};
use clap::{Args, ValueEnum};
use tapline::{balance::Policy, pool};

/// How the next backend is chosen, and which are well.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Balancing")]
pub struct Balance {
    /// How the next backend is chosen
    #[arg(long, value_name = "POLICY", default_value = "round-robin")]
    pub policy: PolicyName,
    #[command(flatten)]
    pub health: Health,
}

impl Balance {
    /// How a pool's backends are chosen and used.
    pub fn pool(&self, places: Places) -> pool::Settings {
        pool::Settings {
            policy: self.policy.into(),
            limits: places.into(),
            ejection: self.health.ejection(),
            when_all_down: self.health.when_all_down(),
            slow_start: self.health.slow_start(),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PolicyName {
    /// In turn, by weight
    RoundRobin,
    /// The one with the fewest open for its weight
    LeastConnections,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::RoundRobin => Self::RoundRobin,
            PolicyName::LeastConnections => Self::LeastConnections,
        }
    }
}
