//! The flags of who is well, and what becomes of who is not.

use super::{UsageError, duration};
use clap::{ArgAction, Args, ValueEnum};
use std::{num::NonZeroU32, time::Duration};
use tapline::{
    health::{Checks, Probe, Step},
    pool::{Ejection, WhenAllDown},
    proxy_header::Version,
};

/// How backends are found well or not, and what follows.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Checking")]
pub struct Health {
    /// What a check does: connect, tls[:NAME], send:TEXT, expect:TEXT, http:/PATH or exec:COMMAND; may be given again, for
    /// steps in order [default: connect]
    ///
    /// tls shakes hands, with the target's host or NAME as the server name, and verifies the certificate as for tls: targets.
    /// send writes TEXT (with \\r \\n \\t \\0 \\e \\xHH), expect waits until TEXT has come. http asks by GET; a status from 200 to
    /// 399 is well. exec runs COMMAND by the shell with TAPLINE_TARGET, TAPLINE_HOST and TAPLINE_PORT; exit status 0 is well, the
    /// first line that it writes is the reason, and what runs longer than --check-timeout is killed.
    #[arg(long, value_name = "STEP", action = ArgAction::Append)]
    check: Vec<Step>,
    /// From one check of a backend to the next; the first ones are made at once, later ones spread over this time
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
    /// Do not check; a backend that refuses is still passed over, and ejected
    #[arg(long, conflicts_with = "check")]
    pub no_checks: bool,
    /// Leave a backend out that did not take N connections in a row ("off" for never)
    ///
    /// It is never the last one that can be used. A check that finds it well ends the first such time early.
    #[arg(long, value_name = "N", default_value = "3", value_parser = eject_after)]
    eject_after: EjectAfter,
    /// For how long; doubled each time that it fails again right after, up to six times as long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    eject_for: Duration,
    /// Where all backends are down: try all of them, as checks can be wrong, or fail at once
    #[arg(long, value_name = "try-all|fail", default_value = "try-all", hide_possible_values = true)]
    when_all_down: WhenAllDownName,
    /// How long a backend that was down or ejected takes to get its whole share again; for policies that go by no key, and
    /// not for first [default: none]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    slow_start: Option<Duration>,
}

impl Health {
    /// How backends are checked, if at all; `alone` is what is asked where --check says nothing.
    ///
    /// # Errors
    /// The steps have no order that makes sense.
    pub fn checks(&self, alone: Option<Step>, announce: Option<Version>) -> Result<Option<Checks>, UsageError> {
        let steps = if self.check.is_empty() { alone.into_iter().collect() } else { self.check.clone() };
        let probe = Probe::new(steps).map_err(|why| UsageError(format!("--check: {why}")))?;
        let checks = Checks { probe, announce, every: self.check_interval, timeout: self.check_timeout, rise: self.rise, fall: self.fall };
        Ok((!self.no_checks).then_some(checks))
    }

    /// Whether checks change something where there is one target, and never another one.
    pub fn checks_one(&self) -> bool {
        !self.check.is_empty() || matches!(self.when_all_down, WhenAllDownName::Fail)
    }

    pub fn ejection(&self) -> Option<Ejection> {
        self.eject_after.0.map(|after| Ejection { after, penalty: self.eject_for })
    }

    pub fn when_all_down(&self) -> WhenAllDown {
        match self.when_all_down {
            WhenAllDownName::TryAll => WhenAllDown::TryAll,
            WhenAllDownName::Fail => WhenAllDown::Fail,
        }
    }

    pub fn slow_start(&self) -> Option<Duration> {
        self.slow_start
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WhenAllDownName {
    TryAll,
    Fail,
}

/// A number that can be switched off.
#[derive(Clone, Copy, Debug)]
struct EjectAfter(Option<NonZeroU32>);

fn eject_after(text: &str) -> Result<EjectAfter, String> {
    if text == "off" {
        return Ok(EjectAfter(None));
    }
    text.parse().map(|after| EjectAfter(Some(after))).map_err(|_| "a number from 1 on is needed, or off".into())
}
