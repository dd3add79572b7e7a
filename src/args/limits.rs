//! The flags of commands that balance connections: going on to the next target, and how many connections and how old.

use super::duration;
use crate::report::Style;
use clap::Args;
use std::{num::NonZeroUsize, time::Duration};
use tapline::{dial::Dialer, forward, pool, proxy_header::Version, random::new_seed, relay};

/// How many connections a target has at a time, and who waits.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Places {
    /// Connections at a time of each target that has no max=N of its own; more wait in a queue for the first that has a place
    #[arg(long, value_name = "N")]
    max_per_target: Option<NonZeroUsize>,
    /// Places in that queue, first come, first served; whoever finds none is refused at once (0 for no queue)
    #[arg(long, value_name = "N", default_value_t = pool::Limits::default().waiting)]
    queue: usize,
    /// For the wait in the queue
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    queue_timeout: Duration,
}

impl From<Places> for pool::Limits {
    fn from(places: Places) -> Self {
        Self { most: places.max_per_target, waiting: places.queue, patience: places.queue_timeout }
    }
}

/// How far a connection goes to get an answer, and how old it may become.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Failing over")]
pub struct Failover {
    /// For connecting to all targets that are tried for a connection, one after the other [default: twice --connect-timeout]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    failover_timeout: Option<Duration>,
    /// Where a target takes a connection and ends or resets it before its first byte, send the next target what the client has
    /// said so far, up to 64 KiB
    ///
    /// Only for protocols whose requests may be sent twice: the first target may have acted on what it was told, which nobody
    /// here can know. Each time is said (event replayed). The last target's end is passed on as it is.
    #[arg(long, conflicts_with_all = TREATMENTS)]
    replay: bool,
    /// Leave a target also when its first byte has not come for so long after the client's last one
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "replay")]
    replay_after: Option<Duration>,
    /// Reset connections that are older than this, up to a tenth more or less, so that long ones are balanced anew
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Limits")]
    max_age: Option<Duration>,
}

/// What is done to bytes and told of them is done to each once.
const TREATMENTS: [&str; 7] = ["delay", "rate", "stall_after", "cut_after", "reset", "hex", "record"];

impl Failover {
    /// How connections go to targets; picks are told in this style of telling.
    pub fn settings(
        self,
        dialer: Dialer,
        announce: Option<Version>,
        relay: relay::Settings,
        seed: Option<u64>,
        style: Style,
    ) -> forward::Settings {
        let settings = forward::Settings::new(dialer, announce, relay);
        forward::Settings {
            connect_budget: self.failover_timeout.unwrap_or(settings.connect_budget),
            replay: self.replay.then_some(forward::Replay { after: self.replay_after }),
            max_age: self.max_age.map(|age| forward::MaxAge { age, seed: seed.unwrap_or_else(new_seed) }),
            explain: style.explain,
            ..settings
        }
    }
}
