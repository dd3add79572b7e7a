//! What a client says first: a TLS ClientHello, or what it is instead. Pure: bytes in, facts out, no I/O.

mod anatomy;
mod datagram;
mod dtls;
mod fingerprint;
mod message;
pub mod names;
mod pieces;
mod protocol;
mod quic;
mod reader;
mod recognised;
mod ssl2;

pub use anatomy::{Node, Value, anatomy};
pub use datagram::Datagrams;
pub use fingerprint::{Ja3, Ja4, ja3, ja3n, ja4};
pub use message::{ClientHello, Extension, Name, is_grease};
pub use protocol::{Protocol, QuicVersion};
pub(crate) use reader::MOST_IN_RECORD;
pub use reader::{Reader, Record};
pub use recognised::{Recognised, Recogniser};

use std::fmt;

/// The most bytes that are read in the hope of a complete hello. Hellos with post-quantum keys take 2 KiB, hellos
/// with many certificates or tickets 20 KiB; nginx stops at 16 KiB.
pub const MOST: usize = 64 * 1024;
/// The same with the headers of the records that it comes in.
pub const MOST_ON_WIRE: usize = MOST + 4096;

/// What the first bytes of a client are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// A complete ClientHello.
    Tls(Box<ClientHello>),
    /// Not TLS, and what it looks like.
    NotTls(Protocol),
    /// TLS records that hold no well-formed ClientHello.
    Malformed(Malformed),
}

/// Why bytes that begin like TLS are not a ClientHello, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Offset of the offending byte in what the client sent.
    pub offset: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Malformed {
    /// A hello of which no more comes, or is read, than these bytes.
    #[must_use]
    pub fn unfinished(bytes: &[u8]) -> Self {
        Self { offset: bytes.len(), what: "no end of the hello" }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for Malformed {}

/// TLS alerts, as a description byte of a fatal alert (RFC 8446 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alert {
    /// The hello is malformed.
    DecodeError = 50,
    /// The handshake goes no further, and nothing is wrong with the hello.
    HandshakeFailure = 40,
    /// No version of TLS that is spoken here.
    ProtocolVersion = 70,
    /// No route or certificate has this name (RFC 6066 section 3).
    UnrecognizedName = 112,
    /// None of the protocols that are spoken here (RFC 7301 section 3.2).
    NoApplicationProtocol = 120,
}

/// How a ClientHello came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// In TLS records.
    Records {
        /// Their headers. There is at least one.
        records: Vec<Record>,
        /// Bytes of the wire up to the end of the last of them, whatever else that one holds.
        size: usize,
    },
    /// As a handshake message without anything around it.
    Bare,
    /// In the format of SSL 2.0, whose 2-byte header counts as part of the message.
    Ssl2,
    /// In CRYPTO frames of QUIC.
    Quic {
        /// The version of QUIC in the packets' headers.
        version: u32,
        /// How many Initial packets had come when it was whole.
        packets: usize,
        /// How many datagrams they came in.
        datagrams: usize,
        /// The connection id that the first of them was sent to, 20 bytes at most.
        destination: Vec<u8>,
        /// The connection id that the client has chosen for itself, 20 bytes at most; empty where it needs none.
        source: Vec<u8>,
    },
    /// In fragments of DTLS.
    Dtls {
        /// The version in the records' headers.
        version: u16,
        /// How many datagrams its fragments came in.
        datagrams: usize,
    },
}

impl Framing {
    /// Where a byte of the handshake message stood on the wire; without records, in the message.
    fn on_wire(&self, offset: usize) -> usize {
        match self {
            Self::Records { records, .. } => reader::on_wire(records, offset),
            _ => offset,
        }
    }
}

impl Greeting {
    /// The same for whoever decides by what a hello says: one with faults is malformed, and the first of them says why.
    #[must_use]
    pub fn sound(self) -> Self {
        match self {
            Self::Tls(hello) => match hello.faults.first() {
                Some(fault) => Self::Malformed(fault.clone()),
                None => Self::Tls(hello),
            },
            other => other,
        }
    }
}

/// Reads what a client has sent so far, once; [`Reader`] is for bytes that are still coming. `None` asks for more: it is
/// certain neither that this is a hello nor that it is none.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Greeting> {
    Reader::new().read(bytes)
}

/// Reads a whole handshake message that came otherwise than in TLS records: type 1, 24-bit length, body. That of DTLS has a
/// cookie, and the same 4-byte header, without the sequence and the fragment (RFC 6347 section 4.2.2).
///
/// # Errors
/// It is no ClientHello, its length is not that of the bytes or more than 64 KiB, or its fields do not fit in it.
pub fn message(message: &[u8], came: Framing) -> Result<ClientHello, Malformed> {
    let wrong = |offset, what| Err(Malformed { offset, what });
    match (message, &came) {
        (_, Framing::Ssl2) => {}
        ([1, a, b, c, body @ ..], _) => match u32::from_be_bytes([0, *a, *b, *c]) as usize {
            length if length > MOST => return wrong(1, "a hello longer than 64 KiB"),
            length if length != body.len() => return wrong(1, "a message whose length is not that of its bytes"),
            _ => {}
        },
        ([] | [1, ..], _) => return Err(Malformed::unfinished(message)),
        _ => return wrong(0, "a handshake message that is no ClientHello"),
    }
    message::parse(message.to_vec(), came)
}

#[cfg(test)]
pub(crate) mod tests;
