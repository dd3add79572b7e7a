//! Where in a client's bytes its hellos are.

use super::{
    preface::{self, Before},
    reassembly::MOST_BEFORE,
};
use crate::hello::{self, Greeting, MOST_IN_RECORD, MOST_ON_WIRE, Malformed, Protocol, Reader};
use std::ops::Range;

/// Looks for hellos in the bytes of one sender, which only grow between two looks.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    stage: Stage,
    /// What was read of the hello that has begun.
    reader: Reader,
    /// The first hello was found or begun.
    found: bool,
    /// The bytes are TLS, hello or not.
    tls: bool,
    protocol: Option<Protocol>,
}

#[derive(Debug)]
enum Stage {
    /// No hello begins before this.
    Seeking(usize),
    /// One begins here.
    Reading {
        at: usize,
        second: bool,
    },
    /// One has ended here; the answer to a HelloRetryRequest may follow.
    After(usize),
    Done,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Seeking(0)
    }
}

/// A hello, whole or not.
#[derive(Debug)]
pub(crate) struct Found {
    /// Which bytes it has; those before the first are the preface.
    pub(crate) range: Range<usize>,
    pub(crate) before: Vec<Before>,
    pub(crate) second: bool,
    pub(crate) greeting: Greeting,
}

impl Finder {
    /// The next hello, as soon as it is certain. To be asked again until there is none. `from_start`: the first byte is what
    /// the sender has said first.
    pub(crate) fn look(&mut self, bytes: &[u8], from_start: bool) -> Option<Found> {
        loop {
            match self.stage {
                Stage::Seeking(from) => self.stage = self.seek(bytes, from, from_start)?,
                Stage::Reading { at, second } => {
                    let rest = bytes.get(at..)?;
                    let greeting = match self.reader.read(&rest[..rest.len().min(MOST_ON_WIRE)]) {
                        None if rest.len() < MOST_ON_WIRE => return None,
                        None => Greeting::Malformed(Malformed::unfinished(&rest[..MOST_ON_WIRE])),
                        Some(greeting) => greeting,
                    };
                    self.reader = Reader::new();
                    let end = at + size(&greeting);
                    self.stage = if matches!(greeting, Greeting::Tls(_)) && !second { Stage::After(end) } else { Stage::Done };
                    return Some(Found { range: at..end, before: before(bytes, at, second), second, greeting });
                }
                Stage::After(at) => self.stage = after(bytes.get(at..)?, at)?,
                Stage::Done => return None,
            }
        }
    }

    /// No more bytes come: what is said of a hello that has begun.
    pub(crate) fn end(&mut self, bytes: &[u8], from_start: bool) -> Option<Found> {
        let (at, second) = match self.stage {
            Stage::Reading { at, second } => (at, second),
            // Two bytes of it are TLS and nothing else; one is still anything.
            Stage::Seeking(0) if from_start && matches!(bytes, [22, 3] | [22, 3, _] | [22, 3, _, _] | [22, 3, _, _, _]) => {
                self.found = true;
                (0, false)
            }
            Stage::Seeking(_) | Stage::After(_) | Stage::Done => {
                self.stage = Stage::Done;
                // It may have been waited for what the request asks for.
                if let (None, Some(Greeting::NotTls(protocol))) = (self.protocol, hello::read(bytes)) {
                    self.protocol = Some(protocol);
                }
                return None;
            }
        };
        self.stage = Stage::Done;
        let greeting = Greeting::Malformed(Malformed::unfinished(bytes.get(at..)?));
        Some(Found { range: at..bytes.len(), before: before(bytes, at, second), second, greeting })
    }

    /// The bytes are others than before: what lies behind a hole.
    pub(crate) fn restart(&mut self) {
        self.stage = Stage::Seeking(0);
    }

    /// Nothing more will be found.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// A hello has begun somewhere.
    pub(crate) fn has_found(&self) -> bool {
        self.found
    }

    /// The bytes are TLS, whether a hello is among them or not.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// What the bytes are that are not TLS, as far as that is known.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol.unwrap_or(Protocol::Unknown)
    }

    /// Bytes of memory that this takes, roughly.
    pub(super) fn cost(&self) -> usize {
        self.reader.cost()
    }

    /// What to do next, as far as that is certain.
    fn seek(&mut self, bytes: &[u8], from: usize, from_start: bool) -> Option<Stage> {
        if from == 0 {
            match first(bytes, from_start)? {
                First::Hello => {
                    (self.found, self.tls) = (true, true);
                    return Some(Stage::Reading { at: 0, second: false });
                }
                First::Tls => {
                    self.tls = true;
                    return Some(Stage::Done);
                }
                First::Other(protocol, goes_on) => {
                    self.protocol.get_or_insert(protocol);
                    if !goes_on {
                        return Some(Stage::Done);
                    }
                }
            }
        }
        for at in from..bytes.len().min(MOST_BEFORE) {
            match begins(&bytes[at..]) {
                Some(true) => {
                    (self.found, self.tls) = (true, true);
                    return Some(Stage::Reading { at, second: false });
                }
                Some(false) => {}
                None => {
                    // The first byte is judged above.
                    self.stage = Stage::Seeking(at.max(1));
                    return None;
                }
            }
        }
        if bytes.len() >= MOST_BEFORE {
            return Some(Stage::Done);
        }
        self.stage = Stage::Seeking(bytes.len().max(1));
        None
    }
}

/// What stood before a hello. Before the second stands the first.
fn before(bytes: &[u8], at: usize, second: bool) -> Vec<Before> {
    if second { Vec::new() } else { preface::name(&bytes[..at]) }
}

/// What a sender begins with.
enum First {
    /// A hello, well-formed or not.
    Hello,
    /// TLS of another kind: a server's answer, or the middle of a connection.
    Tls,
    /// Something else; whether a hello may come after it.
    Other(Protocol, bool),
}

fn first(bytes: &[u8], from_start: bool) -> Option<First> {
    match bytes {
        [] | [20..=23] => return None,
        // A record's header, and the type of the handshake message in it.
        [22, 3, _, _, _, 1, ..] if from_start => return Some(First::Hello),
        [22, 3, ..] if bytes.len() < 6 => return None,
        [22, 3, ..] => match begins(bytes) {
            None => return None,
            Some(true) => return Some(First::Hello),
            Some(false) => return Some(First::Tls),
        },
        [20 | 21 | 23, 3, 0..=4, ..] => return Some(First::Tls),
        _ => {}
    }
    if b"HTTP/1.".starts_with(bytes) {
        return None;
    }
    // A server's answer to HTTP; one to CONNECT is followed by TLS of its own, not by a hello.
    if bytes.starts_with(b"HTTP/1.") {
        return Some(First::Other(Protocol::Http, false));
    }
    let mut reader = Reader::new();
    match reader.read(bytes) {
        Some(Greeting::NotTls(protocol @ (Protocol::Http2 | Protocol::Ssh))) => Some(First::Other(protocol, false)),
        Some(Greeting::NotTls(Protocol::Http)) => preface::http_goes_on(bytes).map(|goes_on| First::Other(Protocol::Http, goes_on)),
        Some(Greeting::NotTls(protocol)) => Some(First::Other(protocol, true)),
        // In the format of SSL 2.0: what begins with records is judged above.
        Some(Greeting::Tls(_) | Greeting::Malformed(_)) => Some(First::Hello),
        None if reader.is_tls() => Some(First::Hello),
        None => None,
    }
}

/// Whether a segment begins with a hello.
pub(super) fn is_hello(payload: &[u8]) -> bool {
    begins(payload) == Some(true)
}

/// Whether a ClientHello begins here, among other bytes: a record of handshake, the message's type, its length below 2^17, and
/// a version. `None` while there are too few bytes to tell.
fn begins(bytes: &[u8]) -> Option<bool> {
    let fits = |at: usize, least: u8, most: u8| bytes.get(at).map(|byte| (least..=most).contains(byte));
    for (at, least, most) in [(0, 22, 22), (1, 3, 3), (2, 0, 4)] {
        if !fits(at, least, most)? {
            return Some(false);
        }
    }
    let length = usize::from(u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]));
    if !(1..=MOST_IN_RECORD).contains(&length) || !fits(5, 1, 1)? {
        return Some(false);
    }
    if length < 6 {
        // The message goes on in the next record.
        return Some(fits(5 + length, 22, 22)? && fits(6 + length, 3, 3)?);
    }
    Some(fits(6, 0, 1)? && fits(9, 3, 3)? && fits(10, 0, 4)?)
}

/// What follows a hello: a second one, perhaps behind a ChangeCipherSpec (RFC 8446 appendix D.4), or nothing that is looked
/// for. A second one behind early data is not: to find it, all of every connection would have to be held.
fn after(rest: &[u8], at: usize) -> Option<Stage> {
    match rest {
        [] | [20 | 22] => None,
        [20 | 22, 3, ..] if rest.len() < 6 => None,
        [20, 3, _, 0, 1, 1, ..] => Some(Stage::After(at + 6)),
        [22, 3, _, _, _, 1, ..] => Some(Stage::Reading { at, second: true }),
        _ => Some(Stage::Done),
    }
}

/// How many bytes of the wire are used up.
fn size(greeting: &Greeting) -> usize {
    match greeting {
        Greeting::Tls(hello) => hello.size(),
        Greeting::Malformed(malformed) => malformed.offset,
        Greeting::NotTls(_) => 0,
    }
}
