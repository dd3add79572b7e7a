//! Why targets do not take connections, in classes few enough to be counted.

use super::DialError;
use crate::{
    event::is_local,
    tls::{Failure, Peer},
};
use std::{fmt, io::ErrorKind};

/// A class of reasons why a target did not take a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// Nobody listens there.
    Refused,
    /// No answer in time, tapline's or the kernel's.
    Timeout,
    /// It took the connection, and reset it before it was in use.
    Reset,
    /// There is no way to it.
    Unreachable,
    /// Its name has no address, or the resolver gave no answer.
    Unresolved,
    /// It is not who it should be, or speaks another TLS.
    Tls,
    /// This process or machine.
    Local,
    /// Anything else.
    Other,
}

/// A name that has no address; the text says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unresolved(pub(super) String);

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] =
        [Self::Refused, Self::Timeout, Self::Reset, Self::Unreachable, Self::Unresolved, Self::Tls, Self::Local, Self::Other];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Unreachable => "unreachable",
            Self::Unresolved => "unresolved",
            Self::Tls => "tls",
            Self::Local => "local",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl DialError {
    /// The class of the reason.
    #[must_use]
    pub fn cause(&self) -> Cause {
        if self.timed_out {
            return Cause::Timeout;
        }
        if is_local(&self.error) {
            return Cause::Local;
        }
        if self.is_forbidden() {
            return Cause::Unreachable;
        }
        if matches!(self.error.get_ref(), Some(inner) if inner.is::<Unresolved>()) {
            return Cause::Unresolved;
        }
        if Failure::of(&self.error, Peer::Target).is_some() {
            return Cause::Tls;
        }
        match self.error.kind() {
            ErrorKind::ConnectionRefused => Cause::Refused,
            ErrorKind::TimedOut => Cause::Timeout,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => Cause::Reset,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Cause::Unreachable,
            _ => Cause::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Target;
    use std::io;
    use std::time::Duration;

    #[test]
    fn each_reason_has_the_class_that_people_look_for() {
        let cause = |error: io::Error, timed_out| {
            DialError { target: Target::Unix("/x".into()), error, timed_out, elapsed: Duration::ZERO }.cause()
        };
        assert_eq!(cause(ErrorKind::ConnectionRefused.into(), false), Cause::Refused);
        assert_eq!(cause(ErrorKind::ConnectionReset.into(), false), Cause::Reset);
        assert_eq!(cause(ErrorKind::AddrNotAvailable.into(), true), Cause::Timeout);
        assert_eq!(cause(ErrorKind::AddrNotAvailable.into(), false), Cause::Local);
        assert_eq!(cause(ErrorKind::HostUnreachable.into(), false), Cause::Unreachable);
        assert_eq!(cause(io::Error::new(ErrorKind::NotFound, Unresolved("a.test has no address".into())), false), Cause::Unresolved);
        assert_eq!(cause(ErrorKind::PermissionDenied.into(), false), Cause::Other);
        assert!(Cause::ALL.iter().enumerate().all(|(number, cause)| *cause as usize == number));
    }
}
