//! What happens, as values: everything that tapline could say about its work is an [`Event`], and every connection
//! ends with an [`End`] that names who ended it, in which phase, and why.

mod admin;
mod end;
mod handshake;
mod progress;

pub use admin::{AdminAction, Beside};
pub(crate) use end::PHASES;
pub use end::{By, End, Phase};
pub use handshake::{Client, Handshake, Offered, group_text};
pub use progress::{Progress, Traffic};

use crate::{
    addr::Endpoint,
    announced::Told,
    capture::Summary,
    fault::{Direction, Kind, Lane, Share},
    hello::Recognised,
    pool::Picked,
    pool::Serving,
    reload::What,
    route::Routed,
    tls::SentAlert,
};
use serde::Serialize;
use std::{fmt, io, sync::Arc, time::Duration};

/// Something that happened. Serialized, it is an object whose `event` holds the name of the variant.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// Clients can connect. Always the first event; the address is the real one where port 0 was asked for.
    Listening { addr: Endpoint },
    /// A server inside this process stands for a `builtin:` target.
    Builtin { target: String, addr: Endpoint },
    /// Certificates are made in memory for these `names` (patterns and addresses), each when a client asks for it; `ca` is the file
    /// with their authority.
    Certificate { names: Vec<String>, ca: String, try_with: String },
    /// Certificates were read from files, at the start or again. `names` are those that they are for, of many the first; `changed`
    /// counts those that are new, other ones, or gone; `why` tells what stays as it was, or is left out.
    Loaded { what: What, certificates: usize, names: Vec<String>, changed: usize, why: Option<String> },
    /// A connection was accepted.
    Opened { id: ConnId, peer: Endpoint },
    /// A PROXY header was read: the proxy in front says who the client is.
    Announced(Box<Told>),
    /// The start of a connection was read and a rule was chosen for it, or none.
    Routed(Box<Routed>),
    /// A TLS handshake with the client is complete.
    Handshake(Box<Handshake>),
    /// A TLS handshake with a client failed, whose hello was read: the `name` that it asked for, the `versions` that it
    /// offered, and the alert that told one end of it.
    HandshakeFailed { id: ConnId, name: Option<String>, versions: Vec<String>, alert: Option<SentAlert>, why: String },
    /// What a client speaks, by its first bytes.
    Recognised {
        id: ConnId,
        #[serde(flatten)]
        what: Recognised,
    },
    /// What a client sends goes to a file of its own, made with its first byte.
    Saved { id: ConnId, path: String },
    /// A target did not take a connection. `next` tells whether another one is tried.
    DialFailed { id: ConnId, target: Arc<str>, why: String, next: bool },
    /// A target took a connection.
    Dialed {
        id: ConnId,
        target: Arc<str>,
        addr: Endpoint,
        #[serde(rename = "elapsed_ms", serialize_with = "millis")]
        elapsed: Duration,
        /// In the queue for a place.
        #[serde(rename = "waited_ms", serialize_with = "maybe_millis")]
        waited: Option<Duration>,
    },
    /// A target was chosen for a connection: who was in the draw, and why one won. Only where it is asked for.
    Picked {
        id: ConnId,
        #[serde(flatten)]
        picked: Box<Picked>,
    },
    /// A connection waits for a place at a target: all that may be chosen have as many as they may have. `before` others wait
    /// already.
    Queued { id: ConnId, before: usize },
    /// A target has taken a connection and was left before its first byte: the next one is told again what the client has said.
    Replayed { id: ConnId, target: Arc<str>, why: String, bytes: usize },
    /// An HTTP request was answered. `target` is absent where no backend gave the answer.
    Request {
        id: ConnId,
        target: Option<String>,
        method: String,
        path: String,
        status: u16,
        retries: u32,
        why: Option<String>,
        #[serde(rename = "elapsed_ms", serialize_with = "millis")]
        elapsed: Duration,
    },
    /// What is done on purpose to every connection, and the seed that makes a run repeat it.
    Faults { seed: u64, up: Lane, down: Lane, reset_percent: Option<Share> },
    /// A fault struck a connection, once so many bytes of the direction were delivered.
    Fault { id: ConnId, fault: Kind, direction: Direction, after: u64 },
    /// A connection ended. `client` is the peer, or who was announced in its place; `received` and `sent` are bytes at the
    /// peer's socket.
    Closed {
        id: ConnId,
        peer: Endpoint,
        client: Endpoint,
        target: Option<Arc<str>>,
        #[serde(flatten)]
        end: End,
        received: u64,
        sent: u64,
        spliced: bool,
        #[serde(rename = "elapsed_ms", serialize_with = "millis")]
        elapsed: Duration,
    },
    /// What a target has come to over the whole run: connections that it took, and those that it did not; bytes at its
    /// sockets.
    Target { target: Arc<str>, connections: u64, failed: u64, received: u64, sent: u64 },
    /// A backend went up or down by its active checks.
    Health { target: String, up: bool, why: String },
    /// Somebody asked for a change of a target while it runs, who is known as `by`; it was done in these pools.
    Admin {
        by: String,
        #[serde(flatten)]
        action: AdminAction,
        target: Arc<str>,
        pools: Vec<String>,
    },
    /// The deadline of a drain was over: so many connections of a target are reset, each of which tells of its own end.
    Cut { pool: String, target: Arc<str>, connections: usize },
    /// There is another address to ask at, beside that of the traffic.
    Beside { what: Beside, addr: Endpoint },
    /// A target was left out because it did not take so many connections in a row; `why` is the cause of the last one.
    Ejected {
        target: Arc<str>,
        failures: u32,
        why: String,
        #[serde(rename = "penalty_ms", serialize_with = "millis")]
        penalty: Duration,
    },
    /// A target that was ejected may be chosen again.
    Readmitted { target: Arc<str>, why: String },
    /// Another kind of targets than before is chosen from: `usable` of `of`. `names` are the targets of the pool, of many the first.
    Serving { from: Serving, usable: usize, of: usize, names: Vec<Arc<str>> },
    /// A source of rules was read. `why` tells what was skipped, or why all is as it was.
    Routes { source: String, rules: usize, added: usize, removed: usize, changed: usize, skipped: usize, why: Option<String> },
    /// A source of targets was read. `why` tells what was skipped, or why its targets are as they were.
    Targets { source: String, targets: usize, added: usize, removed: usize, changed: usize, skipped: usize, why: Option<String> },
    /// A connection could not be accepted; the next attempt comes after the pause.
    AcceptFailed {
        why: String,
        #[serde(rename = "retry_in_ms", serialize_with = "millis")]
        retry_in: Duration,
    },
    /// No connection is accepted any more; those that are open may end by themselves until the grace is over.
    Draining {
        open: usize,
        #[serde(rename = "grace_ms", serialize_with = "millis")]
        grace: Duration,
    },
    /// The drain ended. `aborted` connections were reset.
    Drained { aborted: usize },
    /// Datagrams were not passed on; those that belong to no session have no `id`.
    Lost { id: Option<ConnId>, datagrams: u64, why: String },
    /// A capture was read to its end.
    Capture {
        file: String,
        #[serde(flatten)]
        summary: Summary,
    },
    /// Events were lost because nobody read them fast enough.
    Dropped { events: u64 },
    /// Something worth knowing that stops nothing.
    Note { text: String },
}

pub(crate) fn millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // Whole microseconds keep the text short; more digits would be noise.
    serializer.serialize_f64((duration.as_secs_f64() * 1e6).round() / 1e3)
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference to the field")]
pub(crate) fn maybe_millis<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => millis(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// The number of a connection within one run, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Whether an error of an open stream tells that the peer is gone, and not of this machine or of the way.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof)
}

/// An I/O error in the words that a network person expects.
#[must_use]
pub fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "reset".into(),
        io::ErrorKind::ConnectionRefused => "refused".into(),
        io::ErrorKind::BrokenPipe => "closed while being written to".into(),
        // tapline's own deadlines are errors of this kind too, and say which one it was.
        io::ErrorKind::TimedOut if error.raw_os_error().is_some() => "timed out in the kernel".into(),
        io::ErrorKind::HostUnreachable => "host unreachable".into(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".into(),
        _ => error.to_string(),
    }
}

/// The innermost cause of an error, which says what happened in the fewest words; HTTP libraries wrap it in several
/// layers of "error sending request".
#[must_use]
pub fn cause_words(error: &(dyn std::error::Error + 'static)) -> String {
    let cause = innermost(error);
    cause.downcast_ref().map_or_else(|| cause.to_string(), io_words)
}

/// Whether the innermost cause of an error is local, as [`is_local`] says it.
#[must_use]
pub fn is_local_cause(error: &(dyn std::error::Error + 'static)) -> bool {
    innermost(error).downcast_ref().is_some_and(is_local)
}

fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}

/// The start of a text that may be of any length, for a message.
pub(crate) fn brief(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether an error tells of this process or machine and not of the other side: out of descriptors, buffers, memory,
/// local ports; EPERM, which its own packet filter gives. EACCES also stands for an ICMPv6 answer, "administratively
/// prohibited" (icmpv6_err_convert in Linux), and for the permissions of a Unix socket.
#[must_use]
pub fn is_local(error: &io::Error) -> bool {
    #[cfg(unix)]
    if rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::PERM) {
        return true;
    }
    is_shortage(error) || matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// EMFILE, ENFILE, ENOBUFS, ENOMEM (accept(2), socket(2)): the process or the machine has no descriptor, buffer or memory
/// left, which passes.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS)) {
            return true;
        }
    }
    error.kind() == io::ErrorKind::OutOfMemory // ENOMEM
}

/// Where events go.
pub trait Sink: Send + Sync + 'static {
    /// Takes an event. Must not block: it is called between the reads and writes of connections.
    fn emit(&self, event: Event);
}

/// A shared [`Sink`].
#[derive(Clone)]
pub struct Events(Arc<dyn Sink>);

impl Events {
    /// Events that go to `sink`.
    pub fn new(sink: impl Sink) -> Self {
        Self(Arc::new(sink))
    }

    /// Events that go nowhere.
    #[must_use]
    pub fn silent() -> Self {
        struct Silent;
        impl Sink for Silent {
            fn emit(&self, _: Event) {}
        }
        Self::new(Silent)
    }

    /// Hands an event to the sink.
    pub fn emit(&self, event: Event) {
        self.0.emit(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_of_this_process_is_not_blamed_on_the_kernel() {
        assert_eq!(io_words(&io::Error::from_raw_os_error(110)), "timed out in the kernel");
        assert_eq!(io_words(&io::Error::new(io::ErrorKind::TimedOut, "no answer for 5s")), "no answer for 5s");
    }

    #[cfg(unix)]
    #[test]
    fn a_local_error_is_never_blamed_on_the_other_side() {
        use rustix::io::Errno;
        for errno in [Errno::MFILE, Errno::NOBUFS, Errno::NOMEM, Errno::PERM, Errno::ADDRNOTAVAIL] {
            assert_eq!(End::io(By::Target, Phase::Dial, &errno.into()).by, By::Local);
        }
        // A firewall on the way.
        assert_eq!(End::io(By::Target, Phase::Dial, &Errno::ACCESS.into()).by, By::Target);
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(End::io(By::Target, Phase::Relay, &reset).by, By::Target);
    }
}
