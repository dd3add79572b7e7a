//! How many files and sockets this process may have open.

use std::num::NonZeroUsize;

/// Descriptors that are not connections: the three standard ones, those of the caller's event loop, listeners, and some
/// to spare.
const OWN: u64 = 32;
/// What the event loop of each further thread needs: epoll(7) twice, eventfd(2), and the end where signals arrive.
const LOOP: u64 = 4;
/// What one relayed connection needs: two sockets and, while bytes flow, half of the time a pipe.
const EACH: u64 = 3;

/// Raises the soft limit to the hard one (RLIMIT_NOFILE, getrlimit(2)) and says what it is; the soft limit is kept low
/// for select(2), which nothing here uses. `None` where there is no limit or it cannot be read.
#[cfg(unix)]
#[must_use]
pub fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).is_ok() {
        return limit.maximum;
    }
    limit.current
}

/// The soft limit as it is.
#[cfg(unix)]
#[must_use]
pub fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// There is no such limit on this system.
#[cfg(not(unix))]
#[must_use]
pub fn limit() -> Option<u64> {
    None
}

/// There is no such limit on this system.
#[cfg(not(unix))]
#[must_use]
pub fn raise() -> Option<u64> {
    None
}

/// How many connections, served on so many threads, fit into a limit on descriptors; at least one.
#[must_use]
pub fn connections_within(limit: u64, threads: NonZeroUsize) -> usize {
    let loops = u64::try_from(threads.get() - 1).unwrap_or(u64::MAX).saturating_mul(LOOP);
    usize::try_from(limit.saturating_sub(OWN.saturating_add(loops)) / EACH).unwrap_or(usize::MAX).max(1)
}
