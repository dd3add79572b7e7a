//! Where rules come from beside the command line, and how they change while clients are served.

mod entries;
mod file;
mod follow;
mod kept;
mod live;
mod redis;

pub use crate::{lines::FileError, redis::Server};
pub use entries::{Counts, Entries, Entry};
pub use follow::{Fits, Follow, Loaded, RoutesError, load};
pub use kept::{Forwards, Kept, Known};
pub use live::Live;

use crate::addr::AddrError;
use std::{fmt, path::PathBuf, str::FromStr};

/// Rules that one source may have: memory is bounded, whoever writes them.
pub const MOST_RULES: usize = 1_000_000;

/// The number of the first source: the arguments.
pub const ARGUMENTS: usize = 0;

/// Where rules come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of one rule a line.
    File(PathBuf),
    /// A redis server.
    Redis(Server),
}

impl FromStr for Source {
    type Err = AddrError;

    /// Reads `FILE` or `redis://...`. A password that is in the text is in no error.
    fn from_str(text: &str) -> Result<Self, AddrError> {
        let none = |before: &str| {
            let why = "is no source of rules; write a FILE, redis://HOST, rediss://HOST (TLS) or redis+unix:///PATH";
            Err(AddrError::new(before, why))
        };
        let is_redis = |scheme: &str| ["redis", "rediss", "redis+unix"].contains(&&*scheme.trim().to_ascii_lowercase());
        match (text.split_once("://"), text.split_once(':')) {
            (Some(("redis" | "rediss" | "redis+unix", _)), _) => text.parse().map(Self::Redis),
            // A path may hold anything.
            (Some((scheme, _)), _) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b)) => {
                none(&format!("{scheme}://"))
            }
            // Mistyped, it is no file whose name, with a password in it, an error may repeat.
            (_, Some((scheme, _))) if is_redis(scheme) => none(&format!("{scheme}:")),
            _ if text.is_empty() => Err(AddrError::new(text, "names no file")),
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl fmt::Display for Source {
    /// As it was written, without a user and a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Redis(server) => server.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_shown_as_it_was_written_but_for_its_password() {
        for (text, shown) in [
            ("routes.txt", "routes.txt"),
            ("./a:b", "./a:b"),
            ("/a b://c", "/a b://c"),
            ("redis://h", "redis://h:6379/0"),
            ("redis://h:1/2", "redis://h:1/2"),
            ("redis://user:secret@[::1]", "redis://[::1]:6379/0"),
            ("rediss://:secret@h", "rediss://h:6379/0"),
            ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock?db=0"),
            ("redis+unix:///run/redis.sock?db=3", "redis+unix:///run/redis.sock?db=3"),
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.to_string(), shown);
            assert!(!format!("{source:?}").contains("secret"), "{source:?}");
        }
    }

    #[test]
    fn what_is_no_source_is_refused_and_never_tells_a_password() {
        for (text, why) in [
            ("", "names no file"),
            ("etcd://h", "is no source of rules"),
            ("redis-sentinel://h", "is no source of rules"),
            (" redis://user:secret@h", "is no source of rules"),
            ("redis:/user:secret@h", "is no source of rules"),
            ("Rediss:user:secret@h", "is no source of rules"),
            ("redis://user:secret@", "is not a redis server"),
            ("redis://user:secret@h:70000", "is not a redis server"),
            ("redis://user:secret@h/x", "is not a redis server"),
            ("redis://user:secret@h/1?protocol=3", "is not a redis server"),
            ("redis://:secret@h/-1", "is not a redis server"),
            ("rediss://:secret@h#insecure", "is not a redis server"),
            ("redis+unix://", "is not a redis server"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
