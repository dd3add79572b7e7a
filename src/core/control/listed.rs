//! A target as it is told to those who ask.

use super::{Control, key};
use crate::pool::{Backend, Seen, Standing};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::{Duration, Instant},
};

/// A target of a pool, how it stands, and what it has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The name of the pool.
    pub pool: String,
    /// Its name, by which it is drained, removed and so on.
    pub target: String,
    /// Where it comes from: `arguments`, `admin`, or a source as it was written; absent where it was removed.
    pub source: Option<String>,
    /// How it stands, in a word.
    pub state: State,
    /// Whether its checks find it well.
    pub up: bool,
    /// Whether it is for when no other one may be chosen.
    pub backup: bool,
    /// Its share of the traffic relative to the others.
    pub weight: NonZeroU32,
    /// Connections or requests that it may have at a time.
    pub max: Option<NonZeroUsize>,
    /// Connections or requests that it has now.
    pub open: usize,
    /// After how many milliseconds these are reset.
    pub reset_in_ms: Option<u64>,
    /// After how many milliseconds it may be chosen again, where it was ejected.
    pub ejected_for_ms: Option<u64>,
    /// Connections that it took.
    pub connections: u64,
    /// Those that it did not take.
    pub failed: u64,
    /// Those that it took and broke off.
    pub broken: u64,
    /// Bytes that came from it so far; for HTTP, of connections to it that have ended.
    pub received: u64,
    /// Bytes that it was sent so far; for HTTP, of connections to it that have ended.
    pub sent: u64,
    /// Why it failed last, and how long ago.
    pub last: Option<Last>,
}

/// Why a target failed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// The cause, in a few words; it may hold untrusted text.
    pub why: String,
    /// Milliseconds since then.
    pub ago_ms: u64,
}

/// How a target stands, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It takes connections.
    Up,
    /// Its checks have failed.
    Down,
    /// It is left out for a while, because it did not take connections.
    Ejected,
    /// It takes no new connections, because it was asked to.
    Draining,
    /// It was taken out, and has connections left.
    Removed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl State {
    /// That of a backend that is in its pool.
    #[must_use]
    pub fn of(standing: &Standing) -> Self {
        match standing {
            Standing { draining: true, .. } => Self::Draining,
            Standing { up: false, .. } => Self::Down,
            _ if standing.ejection.is_ejected() => Self::Ejected,
            _ => Self::Up,
        }
    }
}

impl Control {
    pub(super) fn listed(&self, pool: &Arc<str>, backend: &Arc<Backend>, source: Option<&Arc<str>>, removed: bool) -> Listed {
        let Seen { standing, open, connections, failed, broken, received, sent, last, .. } = backend.seen();
        let deadline = self.deadlines().get(&key(backend)).map(|deadline| deadline.at);
        // Who came back by its source is not reset any more.
        let deadline = deadline.filter(|_| removed || standing.draining);
        let until = |at: Instant| millis(at.saturating_duration_since(Instant::now()));
        Listed {
            pool: pool.to_string(),
            target: backend.label.to_string(),
            source: source.map(ToString::to_string),
            state: if removed { State::Removed } else { State::of(&standing) },
            up: standing.up,
            backup: standing.backup,
            weight: standing.weight,
            max: standing.most,
            open,
            reset_in_ms: deadline.map(until),
            ejected_for_ms: standing.ejection.until().map(|at| until(at.into_std())),
            connections,
            failed,
            broken,
            received,
            sent,
            last: last.map(|last| Last { why: last.why.to_string(), ago_ms: millis(last.at.elapsed()) }),
        }
    }
}

fn millis(left: Duration) -> u64 {
    u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
}
