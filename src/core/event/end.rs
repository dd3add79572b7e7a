//! How a connection ended: by whom, in which phase, and why.

use super::{io_words, is_local};
use crate::tls::{Failure, Peer};
use serde::Serialize;
use std::{borrow::Cow, fmt, io, time::Duration};

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// Who ended it.
    pub by: By,
    /// In which phase.
    pub during: Phase,
    /// The cause, in a few words; `done` where everything went as it should.
    pub why: Cow<'static, str>,
    /// Whether the connection did not do what it was there for.
    pub failed: bool,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The client.
    Client,
    /// The target.
    Target,
    /// A timeout; the phase tells which.
    Timeout,
    /// A rule: no route, a refusal by policy.
    Rule,
    /// A fault that was asked for.
    Fault,
    /// The end of the program.
    Shutdown,
    /// Something within this process or machine: no descriptors, a panic.
    Local,
}

impl fmt::Display for By {
    /// As in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What a connection is doing. The flags of timeouts are named after these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Phase {
    /// Accepted, nothing done yet.
    Accept,
    /// Reading the PROXY header of the proxy in front.
    ProxyHeader,
    /// Reading the first bytes of the client.
    Hello,
    /// TLS handshake with the client.
    Handshake,
    /// Waiting for a place at a target.
    Queue,
    /// Choosing a target and connecting to it.
    Dial,
    /// Bytes flow.
    Relay,
    /// One direction has ended, the other goes on.
    HalfClose,
    /// Reading a request's head.
    Request,
    /// Waiting for a backend's answer, or passing it on.
    Response,
}

pub(crate) const PHASES: [Phase; 10] = [
    Phase::Accept,
    Phase::ProxyHeader,
    Phase::Hello,
    Phase::Handshake,
    Phase::Queue,
    Phase::Dial,
    Phase::Relay,
    Phase::HalfClose,
    Phase::Request,
    Phase::Response,
];

impl fmt::Display for Phase {
    /// As in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl End {
    /// Ended as it should, by whoever ended first.
    #[must_use]
    pub fn done(by: By, during: Phase) -> Self {
        Self { by, during, why: "done".into(), failed: false }
    }

    /// Ended by a failure.
    #[must_use]
    pub fn failed(by: By, during: Phase, why: impl fmt::Display) -> Self {
        Self { by, during, why: why.to_string().into(), failed: true }
    }

    /// Ended by an I/O error, in the field's usual words.
    #[must_use]
    pub fn io(by: By, during: Phase, error: &io::Error) -> Self {
        let by = if is_local(error) { By::Local } else { by };
        Self::failed(by, during, io_words(error))
    }

    /// Ended by an error of an open stream. Of TLS, an unexpected end is FIN without close_notify: anyone on the way may have
    /// cut the stream (RFC 8446 section 6.1); an alert may come at any time, and is told in words.
    #[must_use]
    pub fn stream(by: By, during: Phase, error: &io::Error) -> Self {
        if let Some(failure) = Peer::of(by).and_then(|peer| Failure::of(error, peer)) {
            return Self::failed(by, during, failure);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::failed(by, during, "ended without close_notify"),
            _ => Self::io(by, during, error),
        }
    }

    /// Ended because `limit` went by.
    #[must_use]
    pub fn timeout(during: Phase, limit: Duration) -> Self {
        Self::failed(By::Timeout, during, format!("nothing for {limit:?}"))
    }
}
