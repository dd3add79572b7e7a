//! The ClientHello itself (RFC 8446 section 4.1.2), decoded once it is whole: its fields by tls-parser, its extensions here,
//! because tls-parser drops what follows the end of a list.

use super::{Malformed, record::Message};
use crate::name::ServerName;
use serde::Serialize;
use std::fmt;
use tls_parser::parse_tls_handshake_client_hello;

/// What a ClientHello says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name that the client asks for.
    pub name: Name,
    /// The same as it was sent, where it is UTF-8: capital letters and a trailing dot are still there. Untrusted.
    pub authority: Option<String>,
    /// The protocols that it offers by ALPN (RFC 7301), in its order; untrusted bytes.
    pub alpn: Vec<Vec<u8>>,
    /// The versions that it offers, in its order, without GREASE: 0x0304 is TLS 1.3.
    pub versions: Vec<u16>,
    /// How many cipher suites it offers, without GREASE.
    pub ciphers: usize,
    /// How many extensions it sends, with GREASE.
    pub extensions: usize,
    /// Bytes on the wire, record headers included.
    pub size: usize,
    /// How many TLS records it came in.
    pub records: usize,
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

    /// The name as text for people; bytes that are no UTF-8 are replaced. Untrusted.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Dns(name) => Some(name.to_string()),
            Self::Other(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
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
    /// The ALPN protocols as text for people; bytes that are no UTF-8 are replaced. Untrusted.
    #[must_use]
    pub fn alpn_text(&self) -> Vec<String> {
        self.alpn.iter().map(|protocol| String::from_utf8_lossy(protocol).into_owned()).collect()
    }

    /// The versions in the usual spelling, `TLSv1.3`; unknown ones in hexadecimal.
    #[must_use]
    pub fn version_text(&self) -> Vec<String> {
        self.versions.iter().map(|version| version_text(*version)).collect()
    }

    /// The highest version of TLS among them, wherever the client prefers it, in the same spelling.
    #[must_use]
    pub fn highest_version(&self) -> Option<String> {
        // The numbers of drafts and of DTLS do not count upwards.
        self.versions.iter().filter(|version| **version >> 8 == 3).max().map(|version| version_text(*version))
    }
}

fn version_text(version: u16) -> String {
    match version {
        0x0304 => "TLSv1.3".into(),
        0x0303 => "TLSv1.2".into(),
        0x0302 => "TLSv1.1".into(),
        0x0301 => "TLSv1.0".into(),
        0x0300 => "SSLv3".into(),
        other => format!("0x{other:04x}"),
    }
}

/// The 16 values of RFC 8701, not the 256 that a bare mask would take.
fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// Decodes a whole message.
pub(super) fn parse(message: &Message) -> Result<ClientHello, Malformed> {
    let malformed = |offset: usize, what| Malformed { offset: message.on_wire(offset), what };
    let body = message.body.as_slice();
    let (rest, contents) =
        parse_tls_handshake_client_hello(body).map_err(|_| malformed(0, "a hello whose fields do not fit its length"))?;
    let extensions = contents.ext.unwrap_or_default();
    let start = body.len() - rest.len() - extensions.len();
    // tls-parser leaves what follows the last field; RFC 8446 has nothing there.
    if !rest.is_empty() {
        return Err(malformed(body.len() - rest.len(), "bytes after the last field of the hello"));
    }
    let mut hello = ClientHello {
        name: Name::Absent,
        authority: None,
        alpn: Vec::new(),
        versions: Vec::new(),
        ciphers: contents.ciphers.iter().filter(|cipher| !is_grease(cipher.0)).count(),
        extensions: 0,
        size: message.size,
        records: message.records,
    };
    let (mut at, mut seen) = (0, Vec::new());
    // Walked here and not by tls-parser's list, which ends silently at the first extension that it cannot read.
    while at < extensions.len() {
        let offset = start + at;
        let [a, b, c, d, rest @ ..] = &extensions[at..] else { return Err(malformed(offset, "an extension that ends inside its header")) };
        let (kind, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
        if length > rest.len() {
            return Err(malformed(offset + 2, "an extension longer than the hello"));
        }
        if seen.contains(&kind) {
            // RFC 8446 section 4.2: not more than one of a type. Two server names would let two parsers disagree.
            return Err(malformed(offset, "an extension sent twice"));
        }
        seen.push(kind);
        read_extension(&mut hello, kind, &rest[..length]).map_err(|what| malformed(offset + 4, what))?;
        at += 4 + length;
    }
    hello.extensions = seen.len();
    if hello.versions.is_empty() {
        hello.versions.push(contents.version.0);
    }
    Ok(hello)
}

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

fn read_extension(hello: &mut ClientHello, kind: u16, data: &[u8]) -> Result<(), &'static str> {
    match kind {
        SERVER_NAME => {
            let names = server_names(data).ok_or("a server name that cannot be read")?;
            // RFC 6066 section 3: not more than one name of a type.
            let [name] = names[..] else { return Err("two server names") };
            hello.name = host_name(name);
            hello.authority = std::str::from_utf8(name).ok().map(str::to_owned);
        }
        ALPN => hello.alpn = alpn(data).ok_or("ALPN protocols that cannot be read")?,
        SUPPORTED_VERSIONS => hello.versions = versions(data).ok_or("versions that cannot be read")?,
        _ => {}
    }
    Ok(())
}

/// RFC 6066 section 3. There is no type but that of host names.
fn server_names(data: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut list, []) = vector(data, 2)? else { return None };
    let mut names = Vec::new();
    while let Some((kind, rest)) = list.split_first() {
        let (name, rest) = vector(rest, 2).filter(|_| *kind == 0)?;
        names.push(name);
        list = rest;
    }
    Some(names)
}

/// RFC 7301 section 3.1.
fn alpn(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut list, []) = vector(data, 2)? else { return None };
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let (protocol, rest) = vector(list, 1)?;
        protocols.push(protocol.to_vec());
        list = rest;
    }
    Some(protocols)
}

/// RFC 8446 section 4.2.1, without GREASE.
fn versions(data: &[u8]) -> Option<Vec<u16>> {
    let (list, []) = vector(data, 1)? else { return None };
    let (versions, []) = list.as_chunks() else { return None };
    Some(versions.iter().map(|version| u16::from_be_bytes(*version)).filter(|version| !is_grease(*version)).collect())
}

/// What is in a vector (RFC 8446 section 3.4) whose length has so many bytes, and what follows it; None where it does not
/// fit or is empty.
fn vector(bytes: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length).filter(|(data, _)| !data.is_empty())
}

fn host_name(bytes: &[u8]) -> Name {
    let dns = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    dns.map_or_else(|| Name::Other(bytes.to_vec()), Name::Dns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grease_is_sixteen_values() {
        assert_eq!((0..=u16::MAX).filter(|value| is_grease(*value)).count(), 16);
        assert!(is_grease(0x0a0a) && is_grease(0xfafa) && !is_grease(0x0a1a));
    }

    #[test]
    fn lists_fit_to_the_last_byte_and_have_no_empty_items() {
        assert_eq!(server_names(b"\0\x09\0\0\x06a.test"), Some(vec![&b"a.test"[..]]));
        for wrong in [
            &b""[..],
            b"\0",
            b"\0\0",
            b"\0\x03\0\0\0",
            b"\0\x09\0\0\x06a.tes",
            b"\0\x0a\0\0\x06a.test\0",
            b"\0\x09\0\0\x06a.test\0\0\x06b.test",
            b"\0\x09\x01\0\x06a.test",
        ] {
            assert_eq!(server_names(wrong), None, "{wrong:?}");
        }
        assert_eq!(alpn(b"\0\x06\x02h2\x02h3"), Some(vec![b"h2".to_vec(), b"h3".to_vec()]));
        for wrong in [&b""[..], b"\0\0", b"\0\x01\0", b"\0\x04\x02h2\x09", b"\0\x03\x02h2\x02h3", b"\0\x04\x02h2\0"] {
            assert_eq!(alpn(wrong), None, "{wrong:?}");
        }
        assert_eq!(versions(&[6, 0x0a, 0x0a, 3, 4, 3, 3]), Some(vec![0x0304, 0x0303]));
        for wrong in [&[][..], &[0], &[3, 4], &[1, 3], &[3, 3, 4, 3], &[2, 3, 4, 3, 3], &[4, 3, 4]] {
            assert_eq!(versions(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_name_that_is_no_dns_name_matches_nothing() {
        assert_eq!(host_name(b"127.0.0.1").dns(), None);
        assert_eq!(host_name(b"a\0b").dns(), None);
        assert_eq!(host_name(b"\xff").text().as_deref(), Some("\u{fffd}"));
        assert_eq!(host_name(b"A.Test.").dns().map(ToString::to_string).as_deref(), Some("a.test"));
    }
}
