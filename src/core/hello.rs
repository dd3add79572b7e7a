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
        /// How many fragments it took.
        fragments: usize,
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
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ClientHello as rustls writes it, in one record.
    pub(crate) fn client_hello(name: &str, alpn: &[&str]) -> Vec<u8> {
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = rustls::RootCertStore::empty();
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let mut client = rustls::ClientConnection::new(config.into(), name.to_owned().try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same handshake message in records of at most `size` bytes.
    pub(crate) fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for part in hello[5..].chunks(size) {
            out.extend([22, 3, 1]);
            out.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            out.extend(part);
        }
        out
    }

    fn tls(bytes: &[u8]) -> ClientHello {
        match read(bytes) {
            Some(Greeting::Tls(hello)) => *hello,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hello_tells_its_name_protocols_and_versions() {
        let bytes = client_hello("www.example.test", &["h2", "http/1.1"]);
        let hello = tls(&bytes);
        assert_eq!(hello.name, Name::Dns("www.example.test".parse().unwrap()));
        assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert_eq!(hello.versions, [0x0304, 0x0303]);
        assert_eq!(hello.size(), bytes.len());
        assert_eq!(hello.records(), 1);
        assert!(hello.ciphers() > 5);
    }

    #[test]
    fn recorded_hellos_are_read() {
        for (bytes, name, alpn, versions) in [
            (&include_bytes!("../../tests/data/curl-openssl3.bin")[..], "www.example.test", &["h2", "http/1.1"][..], 4),
            (include_bytes!("../../tests/data/s_client-tls12.bin"), "www.example.test", &["h2"], 1),
            (include_bytes!("../../tests/data/s_client-no-name.bin"), "-", &[], 4),
        ] {
            let hello = tls(bytes);
            assert_eq!(
                (hello.name.to_string().as_str(), hello.alpn_text(), hello.size()),
                (name, alpn.iter().map(ToString::to_string).collect(), bytes.len())
            );
            assert_eq!(hello.versions.len(), versions, "{:?}", hello.version_text());
        }
    }

    #[test]
    fn a_hello_without_sni_is_read_and_says_so() {
        assert_eq!(tls(&client_hello("127.0.0.1", &[])).name, Name::Absent);
    }

    #[test]
    fn a_hello_in_several_records_is_read_whole() {
        let whole = client_hello("www.example.test", &["h2"]);
        for size in [1, 2, 3, 4, 5, 50, 100, 1000] {
            let split = in_records(&whole, size);
            let hello = tls(&split);
            assert_eq!(hello.name.to_string(), "www.example.test", "records of {size} bytes");
            assert_eq!(hello.records(), (whole.len() - 5).div_ceil(size));
            assert_eq!(hello.size(), split.len());
        }
    }

    #[test]
    fn a_hello_in_several_segments_asks_for_more_until_it_is_whole() {
        let bytes = in_records(&client_hello("www.example.test", &["h2"]), 100);
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), None, "after {end} of {} bytes", bytes.len());
        }
        tls(&bytes);
    }

    #[test]
    fn what_follows_the_hello_is_not_part_of_it() {
        let mut bytes = client_hello("a.test", &[]);
        let size = bytes.len();
        bytes.extend([20, 3, 3, 0, 1, 1]);
        assert_eq!(tls(&bytes).size(), size);
    }

    #[test]
    fn text_is_recognised_at_its_first_byte_and_not_awaited_as_a_record() {
        for text in [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f", b"hello\n"] {
            assert!(matches!(read(text), Some(Greeting::NotTls(_))), "{text:?}");
        }
        assert_eq!(read(b"x"), Some(Greeting::NotTls(Protocol::Unknown)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_mutation_panics_and_a_verdict_stays(at in 0usize..400, to in any::<u8>(), size in 1usize..300) {
            let mut bytes = in_records(&client_hello("www.example.test", &["h2"]), size);
            let at = at % bytes.len();
            bytes[at] = to;
            // Whatever was said of a prefix holds for the whole: more bytes never change a verdict.
            for end in 0..bytes.len() {
                if let Some(verdict) = read(&bytes[..end]) {
                    prop_assert_eq!(Some(verdict), read(&bytes));
                    break;
                }
            }
        }
    }
}
