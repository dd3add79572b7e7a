//! Decodes a whole message: its fields by tls-parser, its extensions here, because tls-parser drops what follows the end of a
//! list.

use super::{ClientHello, Extension, Fields, Name, is_grease};
use crate::hello::{Framing, Malformed, reader::HEADER, ssl2};
use std::ops::Range;
use tls_parser::{nom, parse_tls_handshake_client_hello};

/// Decodes a whole message.
pub(in crate::hello) fn parse(message: Vec<u8>, came: Framing) -> Result<ClientHello, Malformed> {
    let mut hello = ClientHello {
        legacy_version: 0,
        cipher_suites: Vec::new(),
        extensions: Vec::new(),
        name: Name::Absent,
        authority: None,
        alpn: Vec::new(),
        versions: Vec::new(),
        faults: Vec::new(),
        came,
        message,
        fields: Fields::default(),
    };
    if matches!(hello.came, Framing::Ssl2) {
        let fields = ssl2::parse(&hello.message)?;
        (hello.legacy_version, hello.cipher_suites, hello.fields) = (fields.version, fields.cipher_suites(&hello.message), fields.fields());
        hello.versions.push(hello.legacy_version);
        return Ok(hello);
    }
    let cookie = if matches!(hello.came, Framing::Dtls { .. }) { dtls_cookie(&hello.message) } else { None };
    let (start, end) = read_fields(&mut hello, cookie.as_ref())?;
    hello.index_extensions(start, end);
    if end < hello.message.len() {
        // RFC 8446 has nothing there; where no extensions were read, it is those, whose length does not fit.
        let without = hello.fields.compression_methods.end == end;
        hello.faulty(end, if without { "extensions that do not fit the hello" } else { "bytes after the last field of the hello" });
    }
    hello.find_twins();
    hello.read_extensions();
    if hello.versions.is_empty() {
        hello.versions.push(hello.legacy_version);
    }
    if hello.faults.len() > 1 {
        hello.faults.sort_by_key(|fault| fault.offset);
    }
    Ok(hello)
}

impl ClientHello {
    /// Walked here and not by tls-parser's list, which ends silently at the first extension that it cannot read.
    fn index_extensions(&mut self, start: usize, end: usize) {
        // Most have no data at all, or a few dozen bytes; a hello of nothing but headers is rare.
        self.extensions.reserve((end - start).min(2048) / 64 + 8);
        let mut at = start;
        while at < end {
            let header = self.message.get(at..end).and_then(|rest| rest.first_chunk());
            let Some([a, b, c, d]) = header else { return self.faulty(at, "an extension that ends inside its header") };
            let (code, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
            if length > end - at - HEADER {
                return self.faulty(at + 2, "an extension longer than the hello");
            }
            self.extensions.push(Extension { code, offset: at + HEADER, length });
            at += HEADER + length;
        }
    }

    /// RFC 8446 section 4.2: not more than one of a type. Two server names would let two parsers disagree.
    fn find_twins(&mut self) {
        // Sorted, because a hello has room for 16,000 extensions.
        let mut sorted: Vec<(u16, usize)> = self.extensions.iter().map(|extension| (extension.code, extension.offset)).collect();
        sorted.sort_unstable();
        for pair in sorted.windows(2) {
            if let [(first, _), (second, offset)] = pair
                && first == second
            {
                self.faulty(offset - HEADER, "an extension sent twice");
            }
        }
    }

    fn read_extensions(&mut self) {
        for code in [SERVER_NAME, ALPN, SUPPORTED_VERSIONS] {
            let Some(extension) = self.extension(code).copied() else { continue };
            let data = self.data(&extension);
            let fault = match code {
                SERVER_NAME => match server_names(data).as_deref() {
                    Some([name]) => {
                        let (name, authority) = (host_name(name), std::str::from_utf8(name).ok().map(str::to_owned));
                        (self.name, self.authority) = (name, authority);
                        None
                    }
                    // RFC 6066 section 3: not more than one name of a type.
                    Some([first, ..]) => {
                        self.name = host_name(first);
                        Some("two server names")
                    }
                    _ => {
                        self.name = Name::Other(data.to_vec());
                        Some("a server name that cannot be read")
                    }
                },
                ALPN => match alpn(data) {
                    Some(protocols) => {
                        self.alpn = protocols;
                        None
                    }
                    None => Some("ALPN protocols that cannot be read"),
                },
                _ => match versions(data) {
                    Some(versions) => {
                        self.versions = versions;
                        None
                    }
                    None => Some("versions that cannot be read"),
                },
            };
            if let Some(what) = fault {
                self.faulty(extension.offset, what);
            }
        }
    }
}

/// Where the cookie of DTLS stands, with its length (RFC 6347 section 4.2.1): between the session id and the cipher suites.
fn dtls_cookie(message: &[u8]) -> Option<Range<usize>> {
    let start = SESSION_ID + 1 + usize::from(*message.get(SESSION_ID)?);
    Some(start..start + 1 + usize::from(*message.get(start)?))
}

/// Where the length of the session id stands: after the header, the version and the random bytes.
const SESSION_ID: usize = HEADER + 2 + 32;

/// Reads the fields before the extensions; says where those are. The cookie is left out: tls-parser knows the fields of TLS.
fn read_fields(hello: &mut ClientHello, cookie: Option<&Range<usize>>) -> Result<(usize, usize), Malformed> {
    let message = hello.message.as_slice();
    let malformed = |offset, what| Malformed { offset: hello.came.on_wire(offset), what };
    let body = message.get(HEADER..).unwrap_or_default();
    let without_cookie = cookie.map(|cookie| {
        let (before, after) = (message.get(HEADER..cookie.start), message.get(cookie.end..));
        [before.unwrap_or_default(), after.unwrap_or_default()].concat()
    });
    let body = without_cookie.as_deref().unwrap_or(body);
    let (rest, contents) = parse_tls_handshake_client_hello(body).map_err(|error| match error {
        nom::Err::Error(error) | nom::Err::Failure(error) => {
            malformed(message.len() - error.input.len(), "a field that does not fit the hello")
        }
        nom::Err::Incomplete(_) => malformed(HEADER, "a hello whose fields do not fit its length"),
    })?;
    // Counted from the end, where a cookie makes no difference.
    let end = message.len() - rest.len();
    let start = end - contents.ext.map_or(0, <[u8]>::len);
    let (session_id, compression) = (contents.session_id.map_or(0, <[u8]>::len), contents.comp.len());
    let list = if contents.ext.is_some() { start - 2 } else { end };
    let fields = Fields {
        random: HEADER + 2..SESSION_ID,
        session_id: SESSION_ID + 1..SESSION_ID + 1 + session_id,
        compression_methods: list - compression..list,
    };
    hello.legacy_version = contents.version.0;
    // Into the allocation of tls-parser's list.
    hello.cipher_suites = contents.ciphers.into_iter().map(|cipher| cipher.0).collect();
    hello.fields = fields;
    Ok((start, end))
}

/// RFC 6066 section 3.
const SERVER_NAME: u16 = 0;
/// RFC 7301.
const ALPN: u16 = 16;
/// RFC 8446 section 4.2.1.
const SUPPORTED_VERSIONS: u16 = 43;

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
        assert_eq!(host_name(b"\xff").text().as_deref(), Some("\\xff"));
        assert_eq!(host_name(b"A.Test.").dns().map(ToString::to_string).as_deref(), Some("a.test"));
    }
}
