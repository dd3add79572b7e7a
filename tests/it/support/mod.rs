//! Starting the real program and talking to it. Nothing sleeps: tests wait for events, for bytes and for ends, each with
//! a deadline that only a failing test meets.
#![allow(dead_code, reason = "each of the two test binaries uses its own part")]

mod bytes;
mod program;
mod sockets;

pub use bytes::*;
pub use program::*;
pub use sockets::*;

use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Looks again and again until there is what is waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < DEADLINE, "{what}: never");
    }
}
