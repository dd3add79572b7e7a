//! QUIC (RFC 9000): the ClientHello of each connection, from the Initial packets of its client, whose keys anybody can derive.

mod frame;
mod packet;

use super::{Alert, Framing, Greeting, MOST, Malformed, Protocol, QuicVersion, pieces::Pieces, reader::HEADER};
use packet::{Kind, Packet, Start};
use rustls::quic::Keys;
use std::fmt;

/// Connections of a flow that are known at a time: some clients use one socket for several.
const MOST_CONNECTIONS: usize = 4;
/// Clients pad the datagrams of their Initials to at least this (RFC 9000 section 14.1), in whatever version. A shorter one
/// is no reason to believe that what looks like a version is one.
const LEAST_DATAGRAM: usize = 1200;
/// What a connection costs besides its bytes, roughly: its keys, most of all.
const OVERHEAD: usize = 4096;

/// A number of variable length (RFC 9000 section 16), and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = 1 << (bytes.first()? >> 6);
    let (number, rest) = bytes.split_at_checked(length)?;
    let number = number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    // The two bits that said the length.
    Some((number & (u64::MAX >> (66 - 8 * length)), rest))
}

/// What is known of a flow.
#[derive(Debug, Default)]
pub(super) struct Quic {
    /// The one that was heard of last comes last.
    connections: Vec<Connection>,
    /// There was an Initial that no keys fit.
    unopened: bool,
    /// How many datagrams have come.
    datagrams: u64,
    unknown: Option<Unknown>,
}

/// A client that speaks another version.
#[derive(Debug)]
struct Unknown {
    destination: Vec<u8>,
    source: Vec<u8>,
}

impl Quic {
    /// Takes a datagram of the client's; `None` where it is not certain to be QUIC.
    pub(super) fn take(&mut self, datagram: &[u8]) -> Option<Vec<Greeting>> {
        self.datagrams += 1;
        let (mut greetings, mut rest, mut is_quic) = (Vec::new(), datagram, false);
        loop {
            let offset = datagram.len() - rest.len();
            match packet::read(rest) {
                Start::Packet(packet, after) => {
                    (is_quic, rest) = (true, after);
                    // To derive keys takes much longer than to send a short packet: once a datagram is enough.
                    if packet.kind == Kind::Initial && !self.initial(&packet, offset, &mut greetings) {
                        break;
                    }
                }
                Start::Negotiation => return Some(greetings),
                Start::Unknown { version, destination, source } if !is_quic && datagram.len() >= LEAST_DATAGRAM => {
                    let unknown = Unknown { destination: destination.to_vec(), source: source.to_vec() };
                    // Said once; one that looks for a version tries several.
                    if self.unknown.replace(unknown).is_none() {
                        greetings.push(Greeting::NotTls(Protocol::Quic(QuicVersion(version))));
                    }
                    return Some(greetings);
                }
                Start::Unknown { .. } | Start::Nothing => break,
            }
        }
        // Padding, or packets of a connection that is established, may follow.
        is_quic.then_some(greetings)
    }

    /// Takes an Initial; false where no keys fit it.
    fn initial(&mut self, packet: &Packet<'_>, offset: usize, greetings: &mut Vec<Greeting>) -> bool {
        let Some((mut connection, opened)) = self.opened(packet) else {
            self.unopened = true;
            return false;
        };
        connection.expected = connection.expected.max(opened.number + 1);
        connection.datagrams += usize::from(connection.latest.replace(self.datagrams) != Some(self.datagrams));
        let told = connection.take(&opened, offset);
        // After a Retry a client says the same again to another id (RFC 9000 section 17.2.5.2).
        let known = |greeting: &Greeting| match greeting {
            Greeting::Tls(hello) => self.connections.iter().any(|other| other.first() == Some(hello.message())),
            _ => false,
        };
        greetings.extend(told.into_iter().filter(|greeting| !known(greeting)));
        if self.connections.len() == MOST_CONNECTIONS {
            self.connections.remove(0);
        }
        self.connections.push(connection);
        true
    }

    /// The connection of a packet, taken out of the list, or a new one; and what was in the packet.
    fn opened(&mut self, packet: &Packet<'_>) -> Option<(Connection, packet::Opened)> {
        // From its second flight on, a client sends to the id that its server has chosen; the keys stay those of the first.
        for at in (0..self.connections.len()).rev() {
            let connection = &self.connections[at];
            if connection.version == packet.version
                && connection.source == packet.source
                && let Some(opened) = packet.open(&connection.keys.remote, connection.expected)
            {
                return Some((self.connections.remove(at), opened));
            }
        }
        let connection = Connection::new(packet)?;
        let opened = packet.open(&connection.keys.remote, 0)?;
        Some((connection, opened))
    }

    /// Why there is no hello, where one was begun.
    pub(super) fn unfinished(&self) -> Option<Malformed> {
        let begun = self.connections.iter().rev().find(|connection| !connection.done);
        match begun {
            Some(connection) => Some(Malformed::unfinished(connection.pieces.whole())),
            None if self.connections.is_empty() && self.unopened => {
                Some(Malformed { offset: 0, what: "a QUIC Initial that its keys do not open" })
            }
            None => None,
        }
    }

    /// Bytes of memory that this takes, roughly.
    pub(super) fn cost(&self) -> usize {
        self.connections.iter().map(|connection| OVERHEAD + connection.pieces.cost()).sum()
    }

    /// The datagram that refuses the client that was heard of last, by an alert of TLS (RFC 9001 section 4.8).
    pub(super) fn refusal(&self, alert: Alert) -> Option<Vec<u8>> {
        let connection = self.connections.last()?;
        // CONNECTION_CLOSE with a CRYPTO_ERROR, for a CRYPTO frame, with no reason in words.
        let frames = [frame::CONNECTION_CLOSE as u8, 0x41, alert as u8, frame::CRYPTO as u8, 0];
        packet::seal(connection.version, &connection.keys.local, &connection.source, &connection.destination, &frames)
    }

    /// The datagram that names the versions that are known to a client that speaks another one (RFC 8999 section 6).
    pub(super) fn negotiation(&self) -> Option<Vec<u8>> {
        let unknown = self.unknown.as_ref()?;
        Some(packet::negotiation(&unknown.source, &unknown.destination))
    }
}

/// A connection as its client's Initials tell it.
struct Connection {
    version: u32,
    /// The ids of its first packet.
    destination: Vec<u8>,
    source: Vec<u8>,
    keys: Keys,
    /// The packet number after the highest.
    expected: u64,
    packets: usize,
    datagrams: usize,
    /// The datagram of the latest.
    latest: Option<u64>,
    /// The handshake messages.
    pieces: Pieces,
    /// How many bytes of them were told.
    told: usize,
    /// How many of these the first hello has.
    first: Option<usize>,
    /// A hello was told, or why there is none.
    done: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("version", &self.version).field("destination", &self.destination).finish_non_exhaustive()
    }
}

impl Connection {
    fn new(packet: &Packet<'_>) -> Option<Self> {
        Some(Self {
            version: packet.version,
            destination: packet.destination.to_vec(),
            source: packet.source.to_vec(),
            keys: packet::keys(packet.version, packet.destination)?,
            expected: 0,
            packets: 0,
            datagrams: 0,
            latest: None,
            pieces: Pieces::default(),
            told: 0,
            first: None,
            done: false,
        })
    }

    /// Takes what was in a packet, which stood at `offset` of its datagram.
    fn take(&mut self, opened: &packet::Opened, offset: usize) -> Vec<Greeting> {
        self.packets += 1;
        let (frames, wrong) = frame::crypto(&opened.payload);
        let mut greetings = Vec::new();
        for (at, data) in frames {
            if let Err(what) = self.pieces.put(usize::try_from(at).unwrap_or(usize::MAX), data) {
                greetings.extend(self.fail(Malformed { offset: self.pieces.whole().len(), what }));
                return greetings;
            }
            greetings.extend(self.messages());
        }
        if let Some(Malformed { offset: at, what }) = wrong {
            greetings.extend(self.fail(Malformed { offset: offset + opened.start + at, what }));
        }
        greetings
    }

    /// The hellos that are whole now: after a HelloRetryRequest there is a second one (RFC 8446 section 4.1.4).
    fn messages(&mut self) -> Vec<Greeting> {
        let mut greetings = Vec::new();
        while let Some([kind, a, b, c, ..]) = self.pieces.whole().get(self.told..) {
            let length = HEADER + u32::from_be_bytes([0, *a, *b, *c]) as usize;
            if *kind != 1 || length > HEADER + MOST {
                let what = if *kind == 1 { "a hello longer than 64 KiB" } else { "a handshake message that is no ClientHello" };
                greetings.extend(self.fail(Malformed { offset: self.told, what }));
                break;
            }
            let Some(message) = self.pieces.whole().get(self.told..self.told + length) else { break };
            greetings.push(super::message(message, self.came()).map_or_else(Greeting::Malformed, |hello| Greeting::Tls(Box::new(hello))));
            self.first.get_or_insert(length);
            self.told += length;
            self.done = true;
        }
        greetings
    }

    /// The first hello, once it was told.
    fn first(&self) -> Option<&[u8]> {
        self.pieces.whole().get(..self.first?)
    }

    fn came(&self) -> Framing {
        Framing::Quic {
            version: self.version,
            packets: self.packets,
            datagrams: self.datagrams,
            destination: self.destination.clone(),
            source: self.source.clone(),
        }
    }

    /// Tells what is wrong, once, and only where no hello was told.
    fn fail(&mut self, malformed: Malformed) -> Option<Greeting> {
        (!std::mem::replace(&mut self.done, true)).then_some(Greeting::Malformed(malformed))
    }
}

#[cfg(test)]
mod tests;
