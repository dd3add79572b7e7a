//! Where targets come from while clients are served: DNS, files, redis, stdin.

mod dns;
mod file;
mod follow;
mod lines;
mod redis;
mod resolver;
mod source;

pub use follow::{Loaded, SourceError, Sources};
pub use source::{DnsName, TargetSource};

use crate::{addr::TargetSpec, reading::Skipped};

/// Targets that one source may have: memory is bounded, whoever writes them.
pub const MOST_TARGETS: usize = 10_000;

/// What a reading of a source has found.
#[derive(Debug)]
enum Found {
    /// All of its targets, and what was skipped.
    All { targets: Vec<TargetSpec>, skipped: Skipped },
    /// None that can be used, and why.
    Nothing(String),
}

impl From<Result<Vec<TargetSpec>, String>> for Found {
    fn from(read: Result<Vec<TargetSpec>, String>) -> Self {
        read.map_or_else(Self::Nothing, |targets| Self::All { targets, skipped: Skipped::default() })
    }
}
