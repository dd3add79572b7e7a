//! The flags of commands that balance.

use super::{Choosing, Health, Known, Places, Serve, UsageError};
use clap::Args;
use tapline::pool::Settings;

/// How the next backend is chosen, and which are well.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Balancing")]
pub struct Balance {
    #[command(flatten)]
    pub choosing: Choosing,
    #[command(flatten)]
    pub health: Health,
}

impl Balance {
    /// How a pool's backends are chosen and used. `known` tells what is known of a client when one is chosen.
    pub fn pool(&self, places: Places, seed: Option<u64>, serve: &Serve, known: Known) -> Result<Settings, UsageError> {
        Ok(Settings {
            balance: self.choosing.settings(seed, serve, known)?,
            limits: places.into(),
            ejection: self.health.ejection(),
            when_all_down: self.health.when_all_down(),
            slow_start: self.health.slow_start(),
        })
    }
}
