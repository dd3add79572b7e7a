//! The PROXY protocol, versions 1 and 2: the proxy in front tells who the client is. Pure: bytes in, a header out, and
//! the other way round, no I/O. Its source is haproxy's doc/proxy-protocol.txt, "the specification" below.

mod read;
mod tlv;
mod write;

pub use read::{Malformed, read};
pub use tlv::{Ssl, Tlvs};
pub use write::{Unwritable, local, write};

use crate::addr::Endpoint;
use serde::{Serialize, Serializer};
use std::fmt;

/// The most bytes that a header can have: 16 and the 65535 that its length field can say.
pub const MOST: usize = 16 + u16::MAX as usize;

/// What every header of version 1 begins with.
pub(crate) const LINE: &[u8; 6] = b"PROXY ";
/// What every header of version 2 begins with. Few protocols take it for anything of theirs.
pub(crate) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// In which form it came.
    pub version: Version,
    /// Whether it tells of somebody else.
    pub command: Command,
    /// Over what the client came.
    pub transport: Transport,
    /// The two ends of the client's connection. None for LOCAL, UNKNOWN and UNSPEC: then the connection's own ends count.
    pub ends: Option<Ends>,
    /// What else is told.
    pub tlvs: Tlvs,
    /// How many bytes the header has; what follows is payload.
    pub size: usize,
}

impl Header {
    /// The client, where it is told.
    #[must_use]
    pub fn client(&self) -> Option<&Endpoint> {
        self.ends.as_ref().map(|ends| &ends.source)
    }
}

/// What is told of a client to whom it may concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// The two ends of the client's connection, where they are known.
    pub ends: Option<Ends>,
    /// What else is known; version 1 has no room for it.
    pub tlvs: Tlvs,
}

/// The two ends of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: Endpoint,
    /// What the client connected to.
    pub destination: Endpoint,
}

/// The form of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with room for more than addresses.
    V2,
}

/// Why a connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Command {
    /// By the proxy for itself, such as a health check: the connection's own ends count.
    Local,
    /// On behalf of a client.
    Proxy,
}

/// Over what a client came to the proxy in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Unknown, or none that the protocol has a number for.
    Unspecified,
    /// TCP, or a stream over a Unix socket.
    Stream,
    /// UDP, or datagrams over a Unix socket.
    Datagram,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
