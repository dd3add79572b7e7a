//! Times as people write them.

use std::time::Duration;

/// 10 years: beyond that a deadline may be one that no clock can show.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Reads a time above zero and up to 10 years, such as 500ms, 5s, 10m or 1h30m.
///
/// # Errors
/// What is wrong with it, as the end of a message that names it.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text).map_err(|error| format!("{error}; write a time such as 500ms, 5s or 10m"))? {
        time if time.is_zero() => Err("a time above zero is needed".into()),
        time if time > LONGEST => Err("a time of at most 10 years is needed".into()),
        time => Ok(time),
    }
}
