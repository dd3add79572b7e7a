//! What a client speaks, by its first bytes; here, what it speaks if not TLS.

use crate::proxy_header::{LINE, SIGNATURE};
use serde::Serialize;
use std::fmt;

/// A protocol by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TLS records. [`super::read`] tells more of them than this.
    Tls,
    /// An HTTP/1 request line.
    Http,
    /// The HTTP/2 preface without TLS (RFC 9113 section 3.4).
    Http2,
    /// An SSH identification (RFC 4253 section 4.2).
    Ssh,
    /// A PROXY protocol header, version 1 (text).
    ProxyV1,
    /// A PROXY protocol header, version 2 (binary).
    ProxyV2,
    /// A hello of SSL 2.0 itself, which nobody may accept (RFC 6176). One of TLS in the same format is a hello.
    Ssl2,
    /// A startup or SSLRequest message of PostgreSQL.
    Postgres,
    /// None of these.
    Unknown,
    /// QUIC of a version whose Initials nobody here can open.
    #[serde(untagged)]
    Quic(QuicVersion),
}

/// The version of QUIC in a long header (RFC 8999 section 5.1), such as 0x00000001 for that of RFC 9000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicVersion(pub u32);

impl fmt::Display for QuicVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08x}", self.0)
    }
}

impl Serialize for QuicVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("quic_{self}"))
    }
}

const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n";
/// Those of HTTP itself (RFC 9110, 5789), of WebDAV and its kin (RFC 4918, 3253, 4791, 5323), and QUERY.
const METHODS: [&[u8]; 25] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
    b"PROPFIND ",
    b"PROPPATCH ",
    b"MKCOL ",
    b"COPY ",
    b"MOVE ",
    b"LOCK ",
    b"UNLOCK ",
    b"REPORT ",
    b"SEARCH ",
    b"MKCALENDAR ",
    b"MKACTIVITY ",
    b"CHECKOUT ",
    b"MERGE ",
    b"VERSION-CONTROL ",
    b"ACL ",
    b"QUERY ",
];

/// Names what the bytes are the start of; `None` while they could still become one of several.
pub(super) fn recognise(bytes: &[u8]) -> Option<Protocol> {
    let texts = METHODS.iter().map(|method| (*method, Protocol::Http));
    let texts =
        texts.chain([(HTTP2, Protocol::Http2), (b"SSH-", Protocol::Ssh), (LINE, Protocol::ProxyV1), (SIGNATURE, Protocol::ProxyV2)]);
    let mut possible = false;
    for (text, protocol) in texts {
        if bytes.starts_with(text) {
            return Some(protocol);
        }
        possible |= text.starts_with(bytes);
    }
    match bytes {
        _ if possible => None,
        // A two-byte length with its high bit set, then type 1 and version 0.2.
        [0x80..=0xff, _, 1, 0, 2, ..] => Some(Protocol::Ssl2),
        [0x80..=0xff] | [0x80..=0xff, _] | [0x80..=0xff, _, 1] | [0x80..=0xff, _, 1, 0] => None,
        // A length below 2^16, then protocol 3.0 or the code of SSLRequest.
        [0, 0, _, _, 0, 3, 0, 0, ..] | [0, 0, _, _, 4, 0xd2, 0x16, 0x2f, ..] => Some(Protocol::Postgres),
        [0, rest @ ..] if rest.len() < 7 && may_be_postgres(rest) => None,
        _ => Some(Protocol::Unknown),
    }
}

/// Whether what follows a first zero byte fits the two messages so far: the rest of the length, then the code.
fn may_be_postgres(rest: &[u8]) -> bool {
    let fits = |code: [u8; 4]| rest.first().is_none_or(|b| *b == 0) && rest.iter().skip(3).zip(code).all(|(a, b)| *a == b);
    fits([0, 3, 0, 0]) || fits([4, 0xd2, 0x16, 0x2f])
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "TLS",
            Self::Http => "HTTP",
            Self::Http2 => "HTTP/2 without TLS",
            Self::Ssh => "SSH",
            Self::ProxyV1 => "a PROXY header, version 1",
            Self::ProxyV2 => "a PROXY header, version 2",
            Self::Ssl2 => "an SSL 2.0 hello",
            Self::Postgres => "PostgreSQL",
            Self::Unknown => "unknown",
            Self::Quic(version) => return write!(f, "QUIC of version {version}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_is_named_once_it_is_certain_and_awaited_until_then() {
        for (bytes, protocol) in [
            (&b"GET / HTTP/1.1\r\n"[..], Protocol::Http),
            (b"DELETE /x HTTP/1.1\r\n", Protocol::Http),
            (b"PROPFIND /x HTTP/1.1\r\n", Protocol::Http),
            (b"VERSION-CONTROL /x HTTP/1.1\r\n", Protocol::Http),
            (HTTP2, Protocol::Http2),
            (b"SSH-2.0-OpenSSH_9\r\n", Protocol::Ssh),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", Protocol::ProxyV1),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", Protocol::ProxyV2),
            (b"\x80\x2e\x01\0\x02\0", Protocol::Ssl2),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Protocol::Postgres),
            (b"\0\0\0\x29\0\x03\0\0user\0", Protocol::Postgres),
        ] {
            let certain = (1..=bytes.len()).find(|end| recognise(&bytes[..*end]).is_some()).unwrap();
            assert_eq!(recognise(&bytes[..certain]), Some(protocol));
            assert_eq!(recognise(bytes), Some(protocol));
        }
        for unknown in [&b"hello"[..], b"GETX", b"\0\x01", b"\xff\xfe\xfd\xfc", b"PRIX", b"\r\nx"] {
            assert_eq!(recognise(unknown), Some(Protocol::Unknown), "{unknown:?}");
        }
    }
}
