//! The ClientHello itself (RFC 8446 section 4.1.2).

mod parse;

pub(super) use parse::parse;

use super::{Framing, Malformed, names, reader};
use crate::{name::ServerName, text::text};
use serde::Serialize;
use std::{fmt, ops::Range};

/// What a ClientHello says. The whole message is kept: what is not decoded here can be had from it.
///
/// All offsets are in the handshake message, whose 4-byte header is at 0; [`ClientHello::on_wire`] tells where that was on
/// the wire. A hello with faults is one all the same: who decides by what it says asks [`super::Greeting::sound`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The version in the field that was made for it, which TLS 1.3 froze at 0x0303.
    pub legacy_version: u16,
    /// The cipher suites, in the client's order, with GREASE.
    pub cipher_suites: Vec<u16>,
    /// The extensions, in the client's order, with GREASE and those that are sent twice.
    pub extensions: Vec<Extension>,
    /// The server name that the client asks for; the first, where it sends two.
    pub name: Name,
    /// The same as it was sent, where it is UTF-8: capital letters and a trailing dot are still there. Untrusted. None
    /// where it sends two.
    pub authority: Option<String>,
    /// The protocols that it offers by ALPN (RFC 7301), in its order; untrusted bytes.
    pub alpn: Vec<Vec<u8>>,
    /// The versions that it offers, in its order, without GREASE: 0x0304 is TLS 1.3.
    pub versions: Vec<u16>,
    /// What is wrong with the list of extensions, or with one that says where the hello is to go: the server name, ALPN,
    /// the versions. In the order of the wire, with offsets there.
    pub faults: Vec<Malformed>,
    /// How it came.
    pub came: Framing,
    message: Vec<u8>,
    fields: Fields,
}

/// Where the fields that are only bytes stand in the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) random: Range<usize>,
    pub(super) session_id: Range<usize>,
    pub(super) compression_methods: Range<usize>,
}

/// An extension as it stands in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its type, by the registry of IANA.
    pub code: u16,
    /// Where its data stands in the message, after the 4 bytes of type and length.
    pub offset: usize,
    /// Bytes of its data.
    pub length: usize,
}

/// The server name of a hello. What is not a DNS name is kept apart, so that no route can match it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A DNS name.
    Dns(ServerName),
    /// Bytes that are no DNS name, among them IP literals, which RFC 6066 forbids here.
    Other(Vec<u8>),
    /// No server_name extension.
    Absent,
}

impl Name {
    /// The DNS name, where it is one.
    #[must_use]
    pub fn dns(&self) -> Option<&ServerName> {
        match self {
            Self::Dns(name) => Some(name),
            Self::Other(_) | Self::Absent => None,
        }
    }

    /// The name as text for people; bytes that are no UTF-8 are `\xab`. Untrusted.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Dns(name) => Some(name.to_string()),
            Self::Other(bytes) => Some(text(bytes)),
            Self::Absent => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_deref().unwrap_or("-"))
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text().serialize(serializer)
    }
}

impl ClientHello {
    /// The whole handshake message: its 4-byte header and its body, or the message of SSL 2.0 with its 2-byte header.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The data of an extension.
    #[must_use]
    pub fn data(&self, extension: &Extension) -> &[u8] {
        self.message.get(extension.offset..extension.offset + extension.length).unwrap_or_default()
    }

    /// The first extension of a type.
    #[must_use]
    pub fn extension(&self, code: u16) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.code == code)
    }

    /// The 32 random bytes; the challenge of SSL 2.0 has 16 to 32.
    #[must_use]
    pub fn random(&self) -> &[u8] {
        self.message.get(self.fields.random.clone()).unwrap_or_default()
    }

    /// The session id, at most 32 bytes; TLS 1.3 has no use for it.
    #[must_use]
    pub fn session_id(&self) -> &[u8] {
        self.message.get(self.fields.session_id.clone()).unwrap_or_default()
    }

    /// The compression methods, in the client's order; 0 is none.
    #[must_use]
    pub fn compression_methods(&self) -> &[u8] {
        self.message.get(self.fields.compression_methods.clone()).unwrap_or_default()
    }

    /// The groups for key exchange that it offers (RFC 8446 section 4.2.7), in its order, with GREASE; as far as the
    /// extension can be read.
    #[must_use]
    pub fn groups(&self) -> Vec<u16> {
        const SUPPORTED_GROUPS: u16 = 10;
        list(self.extension(SUPPORTED_GROUPS).map(|extension| self.data(extension)), |rest| {
            let (group, rest) = rest.split_first_chunk()?;
            Some((u16::from_be_bytes(*group), rest))
        })
    }

    /// The groups that it sends key shares for (RFC 8446 section 4.2.8), the same way.
    #[must_use]
    pub fn key_shares(&self) -> Vec<u16> {
        const KEY_SHARE: u16 = 51;
        list(self.extension(KEY_SHARE).map(|extension| self.data(extension)), |rest| {
            let ([a, b, length @ ..], rest) = rest.split_first_chunk::<4>()?;
            let rest = rest.get(usize::from(u16::from_be_bytes(*length))..)?;
            Some((u16::from_be_bytes([*a, *b]), rest))
        })
    }

    /// How many cipher suites it offers, without GREASE.
    #[must_use]
    pub fn ciphers(&self) -> usize {
        self.cipher_suites.iter().filter(|cipher| !is_grease(**cipher)).count()
    }

    /// Bytes on the wire, record headers included, up to the end of the last record, whatever else that one holds; the
    /// bytes of the message where it came without records.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.came {
            Framing::Records { size, .. } => *size,
            _ => self.message.len(),
        }
    }

    /// How many TLS records it came in.
    #[must_use]
    pub fn records(&self) -> usize {
        match &self.came {
            Framing::Records { records, .. } => records.len(),
            _ => 0,
        }
    }

    /// The bytes of the wire up to the end of the hello, as far as it is known: with record headers, where it came in records.
    #[must_use]
    pub fn wire(&self) -> Vec<u8> {
        match &self.came {
            Framing::Records { records, .. } => reader::wire(records, &self.message),
            _ => self.message.clone(),
        }
    }

    /// The pieces of [`ClientHello::wire`] that a part of the hello takes, by where it begins on the wire and its own bytes:
    /// one, unless record headers stand between.
    #[must_use]
    pub fn pieces(&self, offset: usize, length: usize) -> Vec<Range<usize>> {
        match &self.came {
            Framing::Records { records, .. } => reader::pieces(records, offset, length),
            _ => std::iter::once(offset..offset + length).collect(),
        }
    }

    /// Where a byte of the message stood on the wire: behind its record's header, where it came in records.
    #[must_use]
    pub fn on_wire(&self, offset: usize) -> usize {
        self.came.on_wire(offset)
    }

    /// The ALPN protocols as text for people; bytes that are no UTF-8 are `\xab`. Untrusted.
    #[must_use]
    pub fn alpn_text(&self) -> Vec<String> {
        self.alpn.iter().map(|protocol| text(protocol)).collect()
    }

    /// The versions in the usual spelling, `TLSv1.3`; unknown ones in hexadecimal.
    #[must_use]
    pub fn version_text(&self) -> Vec<String> {
        self.versions.iter().map(|version| names::version_text(*version)).collect()
    }

    /// The highest version of TLS among them, wherever the client prefers it, in the same spelling; of DTLS, where there is
    /// none of TLS.
    #[must_use]
    pub fn highest_version(&self) -> Option<String> {
        // The numbers of drafts do not count upwards, those of DTLS count downwards.
        let of = |major| self.versions.iter().copied().filter(move |version| version >> 8 == major);
        of(0x03).max().or_else(|| of(0xfe).min()).map(names::version_text)
    }

    fn faulty(&mut self, offset: usize, what: &'static str) {
        self.faults.push(Malformed { offset: self.came.on_wire(offset), what });
    }
}

/// The items of a list with a 16-bit length, as far as they can be read: `item` takes one off.
fn list(data: Option<&[u8]>, item: impl Fn(&[u8]) -> Option<(u16, &[u8])>) -> Vec<u16> {
    let mut rest = data.and_then(|data| data.get(2..)).unwrap_or_default();
    let mut items = Vec::new();
    while let Some((next, after)) = item(rest) {
        items.push(next);
        rest = after;
    }
    items
}

/// The 16 values of RFC 8701, not the 256 that a bare mask would take.
#[must_use]
pub fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}
