//! The flags of commands that balance.

use super::duration;
use clap::{Args, ValueEnum};
use std::{num::NonZeroU32, time::Duration};
use tapline::{
    balance::Policy,
    health::{Checks, Probe},
};

/// How the next backend is chosen, and which are well.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Balancing")]
pub struct Balance {
    /// How the next backend is chosen
    #[arg(long, value_name = "POLICY", default_value = "round-robin")]
    pub policy: PolicyName,
    /// From one check of a backend to the next
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub check_interval: Duration,
    /// For one check
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub check_timeout: Duration,
    /// Good checks in a row that bring a backend up
    #[arg(long, value_name = "N", default_value = "2")]
    pub rise: NonZeroU32,
    /// Failed checks in a row that take it down; the first check of all decides alone
    #[arg(long, value_name = "N", default_value = "3")]
    pub fall: NonZeroU32,
    /// Do not check; a backend that refuses is still passed over
    #[arg(long)]
    pub no_checks: bool,
}

impl Balance {
    pub fn checks(&self, probe: Probe) -> Option<Checks> {
        let checks = Checks { probe, every: self.check_interval, timeout: self.check_timeout, rise: self.rise, fall: self.fall };
        (!self.no_checks).then_some(checks)
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
