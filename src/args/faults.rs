//! The flags of `Faults`: what is done on purpose to the bytes of a relay.

use super::{UsageError, duration};
use clap::{ArgAction, Args};
use std::{num::NonZeroU64, str::FromStr, time::Duration};
use tapline::{
    fault::{self, Delay, Direction, Lane, Share},
    random::new_seed,
    relay::Timeouts,
};

/// What is done on purpose to the bytes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Faults (for both directions; up:VALUE is client to target, down:VALUE target to client)")]
pub struct Faults {
    /// Deliver everything later by TIME, give or take up to JITTER, in order; holds 16 MiB a direction at most
    #[arg(long, value_name = "TIME[~JITTER]", action = ArgAction::Append, value_parser = directed(delay))]
    delay: Vec<Directed<Delay>>,
    /// Bytes a second at most; k, M and G are powers of 1024, as in curl --limit-rate
    #[arg(long, value_name = "SIZE", action = ArgAction::Append, value_parser = directed(rate))]
    rate: Vec<Directed<NonZeroU64>>,
    /// Deliver so many bytes, then nothing more; the other direction goes on
    #[arg(long, value_name = "SIZE", action = ArgAction::Append, value_parser = directed(size))]
    stall_after: Vec<Directed<u64>>,
    /// Reset both sides once so many bytes were delivered
    #[arg(long, value_name = "SIZE", action = ArgAction::Append, value_parser = directed(size))]
    cut_after: Vec<Directed<u64>>,
    /// Reset this share of the connections, at a random one of the first 65,535 bytes (the early ones more often) or in
    /// place of the first end
    #[arg(long, value_name = "PERCENT%", action = ArgAction::Append, value_parser = directed(share))]
    reset: Vec<Directed<Share>>,
    /// Repeat the random choices of an earlier run [default: a new one, which is said where there are faults]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// A value and the direction that it is for; without one it is for both.
#[derive(Clone, Copy, Debug)]
struct Directed<T> {
    direction: Option<Direction>,
    value: T,
}

impl Faults {
    /// For where nothing else is random.
    pub fn check_seed(&self) -> Result<(), UsageError> {
        let Self { delay, rate, stall_after, cut_after, reset, seed } = self;
        if seed.is_some() && delay.is_empty() && rate.is_empty() && stall_after.is_empty() && cut_after.is_empty() && reset.is_empty() {
            let why = "--seed has nothing to choose without --delay, --rate, --stall-after, --cut-after or --reset";
            return Err(UsageError(why.into()));
        }
        Ok(())
    }

    /// The faults, where there are any.
    pub fn given(&self, timeouts: Timeouts) -> Result<Option<fault::Faults>, UsageError> {
        let delay = per_direction("--delay", &self.delay)?;
        let rate = per_direction("--rate", &self.rate)?;
        let stall_after = per_direction("--stall-after", &self.stall_after)?;
        let cut_after = per_direction("--cut-after", &self.cut_after)?;
        let [up_reset, down_reset] = per_direction("--reset", &self.reset)?;
        // One for both directions is one choice for each connection, not one for each direction.
        let whole = self.reset.iter().find(|reset| reset.direction.is_none()).map(|reset| reset.value);
        let lane = |at: usize, reset: Option<Share>| Lane {
            delay: delay[at],
            rate: rate[at],
            stall_after: stall_after[at],
            cut_after: cut_after[at],
            reset: reset.filter(|_| whole.is_none()),
        };
        let (up, down) = (lane(0, up_reset), lane(1, down_reset));
        for delay in [up.delay, down.delay].into_iter().flatten() {
            for (flag, limit) in [("--idle-timeout", timeouts.idle), ("--half-close-timeout", timeouts.half_close)] {
                if let Some(limit) = limit.filter(|limit| delay.most() >= *limit) {
                    return Err(UsageError(format!("--delay {delay} outlasts {flag} {limit:?}: every connection would end by it")));
                }
            }
        }
        if up.is_empty() && down.is_empty() && whole.is_none() {
            return Ok(None);
        }
        Ok(Some(fault::Faults { up, down, reset: whole, seed: self.seed.unwrap_or_else(new_seed) }))
    }
}

fn per_direction<T: Copy>(flag: &str, given: &[Directed<T>]) -> Result<[Option<T>; 2], UsageError> {
    let mut values = [None; 2];
    for Directed { direction, value } in given {
        let places = match direction {
            None => 0..2,
            Some(direction) => *direction as usize..*direction as usize + 1,
        };
        for place in &mut values[places] {
            if place.replace(*value).is_some() {
                return Err(UsageError(format!("{flag} is given twice for one direction; up:VALUE and down:VALUE may differ")));
            }
        }
    }
    Ok(values)
}

/// Reads `up:VALUE`, `down:VALUE` or `VALUE`.
fn directed<T>(parse: fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<Directed<T>, String> + Clone + Send + Sync + 'static
where
    T: 'static,
{
    move |text| {
        let (direction, value) = match text.split_once(':') {
            Some(("up", value)) => (Some(Direction::Up), value),
            Some(("down", value)) => (Some(Direction::Down), value),
            Some((other, _)) => return Err(format!("there is no direction {other:?}; write up:VALUE, down:VALUE or VALUE for both")),
            None => (None, text),
        };
        parse(value).map(|value| Directed { direction, value })
    }
}

fn delay(text: &str) -> Result<Delay, String> {
    let (base, jitter) = match text.split_once('~') {
        Some((base, jitter)) => (duration(base)?, duration(jitter)?),
        None => (duration(text)?, Duration::ZERO),
    };
    Delay::new(base, jitter).map_err(|error| error.to_string())
}

fn share(text: &str) -> Result<Share, String> {
    let percent = text.strip_suffix('%').and_then(|number| f64::from_str(number).ok());
    let percent = percent.ok_or("write a share such as 1% or 0.5%, up to 100%")?;
    Share::new(percent).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(size(text)?).ok_or_else(|| "a rate above zero is needed; --stall-after 0 lets nothing through".into())
}

/// A number of bytes as curl's --limit-rate takes it: k, M and G, in either case, are powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" => Some(1),
        "k" | "K" => Some(1 << 10),
        "m" | "M" => Some(1 << 20),
        "g" | "G" => Some(1 << 30),
        _ => None,
    };
    let whole = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
    whole
        .zip(factor)
        .and_then(|(n, factor)| n.checked_mul(factor))
        .ok_or_else(|| "write a number of bytes such as 500, 64k, 1M or 2G (powers of 1024)".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_curl() {
        assert_eq!(["0", "500", "64k", "1m", "1M", "2G"].map(size), [0, 500, 65_536, 1 << 20, 1 << 20, 2 << 30].map(Ok));
        for wrong in ["", "k", "1kb", "60s", "-1", "1.5M", "99999999999G", "+1"] {
            assert!(size(wrong).unwrap_err().contains("64k"), "{wrong}");
        }
    }

    #[test]
    fn a_direction_stands_before_the_value() {
        let parse = directed(delay);
        let up = parse("up:200ms~50ms").unwrap();
        assert_eq!((up.direction, up.value.to_string()), (Some(Direction::Up), "200ms~50ms".to_owned()));
        assert!(parse("200ms").unwrap().direction.is_none());
        assert!(parse("left:200ms").unwrap_err().contains("no direction \"left\""));
        assert!(parse("50ms~200ms").unwrap_err().contains("more than the delay"));
    }

    #[test]
    fn a_share_has_a_percent_sign_and_sense() {
        assert_eq!(share("0.5%").unwrap().to_string(), "0.5%");
        for wrong in ["1", "0%", "101%", "nan%", "%", "-1%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
