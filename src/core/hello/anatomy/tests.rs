use super::*;
use crate::hello::{
    Greeting, message, read,
    tests::{SSL2, client_hello, hello_of, in_records, record, tls},
};
use proptest::prelude::*;
use tls_parser::TlsExtension;

const RECORDED: [&[u8]; 7] = [
    include_bytes!("../../../../tests/data/curl-openssl3.bin"),
    include_bytes!("../../../../tests/data/s_client-tls12.bin"),
    include_bytes!("../../../../tests/data/s_client-no-name.bin"),
    include_bytes!("../../../../tests/data/s_client-resumed.bin"),
    include_bytes!("../../../../tests/data/gnutls-3.7.bin"),
    include_bytes!("../../../../tests/data/chromium-156.bin"),
    include_bytes!("../../../../tests/data/firefox-153.bin"),
];

/// The leaves of the tree, in its order.
fn leaves(nodes: &[Node]) -> Vec<&Node> {
    let mut leaves = Vec::new();
    for node in nodes {
        match &node.value {
            Value::List(nodes) | Value::Struct(nodes) => leaves.extend(self::leaves(nodes)),
            _ => leaves.push(node),
        }
    }
    leaves
}

/// All nodes of a name, in the order of the tree.
fn all<'a>(nodes: &'a [Node], name: &str) -> Vec<&'a Node> {
    let inside = |node: &'a Node| {
        let mut found = if node.name == name { vec![node] } else { Vec::new() };
        found.extend(all(node.children(), name));
        found
    };
    nodes.iter().flat_map(inside).collect()
}

/// What is wrong, and where.
fn malformed<'a>(nodes: &'a [Node]) -> Vec<(&'a str, usize, &'a str)> {
    let tell = |leaf: &'a Node| match &leaf.value {
        Value::Malformed { what, .. } => Some((leaf.name.as_ref(), leaf.offset, *what)),
        _ => None,
    };
    leaves(nodes).into_iter().filter_map(tell).collect()
}

/// Every byte of the wire is in exactly one leaf, and the leaf says what it is.
fn tiles(hello: &ClientHello) -> Vec<Node> {
    let wire = hello.wire();
    let nodes = anatomy(hello);
    let mut seen = vec![false; wire.len()];
    for leaf in leaves(&nodes) {
        let pieces = hello.pieces(leaf.offset, leaf.length);
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| wire[piece.clone()].to_vec()).collect();
        assert_eq!(bytes.len(), leaf.length, "{leaf:?}");
        match &leaf.value {
            Value::Number(value) | Value::Code { code: value, .. } => {
                assert!(matches!(bytes.len(), 1..=8), "{leaf:?}");
                let number = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
                // A number of QUIC has its length in its first two bits.
                let short = number & (u64::MAX >> (66 - 8 * bytes.len()));
                assert!(*value == number || *value == short, "{leaf:?}");
            }
            Value::Text(value) | Value::Opaque(value) | Value::Malformed { bytes: value, .. } => assert_eq!(&bytes, value, "{leaf:?}"),
            Value::List(_) | Value::Struct(_) => panic!("{leaf:?}"),
        }
        for at in pieces.into_iter().flatten() {
            assert!(!std::mem::replace(&mut seen[at], true), "byte {at} twice: {leaf:?}");
        }
    }
    assert_eq!(seen.iter().position(|seen| !seen), None, "a byte in no leaf: {nodes:#?}");
    nodes
}

#[test]
fn leaves_tile_the_wire() {
    let mut hellos: Vec<Vec<u8>> = RECORDED.iter().map(|bytes| bytes.to_vec()).collect();
    hellos.push(client_hello("www.example.test", &["h2", "http/1.1"]));
    for bytes in hellos {
        for size in [bytes.len(), 1, 2, 3, 7, 50, 300] {
            let wire = in_records(&bytes, size);
            let hello = tls(&wire);
            assert_eq!(hello.wire(), wire);
            assert_eq!(malformed(&tiles(&hello)), []);
        }
    }
    assert_eq!(malformed(&tiles(&tls(SSL2))), []);
}

#[test]
fn the_header_of_each_record_is_shown_and_what_follows_the_hello_is_told() {
    let whole = record(&hello_of(&[0x1301], &[]));
    let mut wire = in_records(&whole, 30);
    // The last record holds three bytes more.
    let last = wire.len() - (whole.len() - 5) % 30 - 1;
    wire[last] += 3;
    wire.extend(b"abc");
    let hello = tls(&wire);
    let nodes = tiles(&hello);
    let headers = all(&nodes, "TLSPlaintext");
    assert_eq!(headers.iter().map(|header| header.offset).collect::<Vec<_>>(), [0, 35]);
    let notes: Vec<_> = headers.iter().map(|header| header.children()[2].note.as_deref()).collect();
    assert_eq!(notes, [None, Some(format!("3 bytes of it come after the hello; its records end at byte {}", wire.len()).as_str())]);
}

/// An extension of every kind that is taken apart, in the form that its RFC gives it.
const EXTENSIONS: &[(u16, &[u8])] = &[
    (0, b"\0\x09\0\0\x06a.test"),
    (1, b"\x02"),
    (2, b""),
    (4, b""),
    (5, b"\x01\0\x05\0\x03abc\0\x01x"),
    (10, b"\0\x06\x2a\x2a\x11\xec\0\x1d"),
    (11, b"\x02\0\x01"),
    (12, b"\x04user"),
    (13, b"\0\x06\x0a\x0a\x09\x04\x04\x03"),
    (14, b"\0\x04\0\x01\0\x07\0"),
    (15, b"\x01"),
    (16, b"\0\x0c\x02h2\x08http/1.1"),
    (17, b"\0\x07\x02\0\x04\0\0\0\0"),
    (18, b""),
    (19, b"\x02\0\x02"),
    (20, b"\x01\x02"),
    (21, &[0; 20]),
    (22, b""),
    (23, b""),
    (24, b"\x01\0\x02\x01\x02"),
    (25, b"\0\x04\x01\x02ab"),
    (27, b"\x04\0\x02\0\x01"),
    (28, b"\x40\x01"),
    (34, b"\0\x04\x04\x03\x08\x04"),
    (35, b"ticket"),
    (41, b"\0\x09\0\x03abc\0\0\x0e\x10\0\x21\x20bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"),
    (42, b""),
    (43, b"\x06\x5a\x5a\x03\x04\x7f\x1c"),
    (44, b"\0\x03abc"),
    (45, b"\x02\x01\x0b"),
    (47, b"\0\x05\0\x03abc"),
    (49, b""),
    (50, b"\0\x02\x08\x07"),
    (51, b"\0\x0b\0\x1d\0\x02kk\x11\xec\0\x01q"),
    (54, b"\x02id"),
    (55, b"\0"),
    (56, b"\x01i"),
    // max_idle_timeout, GREASE, version_information, user_agent, initial_source_connection_id.
    (57, b"\x01\x02\x40\x64\x1b\x01x\x11\x08\0\0\0\x01\x0a\x1a\x2a\x3a\x71\x29\x02ua\x0f\0"),
    (58, b"\x02\x01"),
    (59, b"\x01\xbb"),
    (61, b""),
    (62, b"\x01\x01"),
    (13172, b""),
    (17513, b"\0\x03\x02h2"),
    (17613, b"\0\x03\x02h2"),
    (30032, b""),
    (0xca34, b"\0\x05\x04\x81\xfd\x59\x01"),
    (0xfe0d, b"\0\0\x01\0\x01\x2a\0\x02en\0\x03pay"),
    (0xff01, b"\0"),
    (0xffce, b"\x13\x01\0\x1d\0\x02kk\0\x01d\0\x01e"),
    (0xfafa, b"\0"),
    (0x7777, b"unknown"),
];

#[test]
fn extensions_of_every_kind_are_taken_apart() {
    let hello = message(&hello_of(&[0x1301], EXTENSIONS), Framing::Bare).unwrap();
    assert_eq!(hello.faults, []);
    let nodes = tiles(&hello);
    assert_eq!(malformed(&nodes), []);
    let extensions = all(&nodes, "Extension");
    assert_eq!(extensions.len(), EXTENSIONS.len());
    for (extension, (code, data)) in extensions.iter().zip(EXTENSIONS) {
        let [kind, length, inside] = extension.children() else { panic!("{extension:?}") };
        let Value::Code { code: value, meaning } = &kind.value else { panic!("{kind:?}") };
        assert_eq!((*value, inside.length, length.length), (u64::from(*code), data.len(), 2));
        assert_eq!(meaning.is_some(), *code != 0x7777, "{code}");
        // Nothing is left as it is but what nobody knows, tickets and padding.
        let opaque = matches!(inside.children(), [Node { value: Value::Opaque(_), .. }]);
        assert_eq!(opaque, matches!(code, 21 | 35 | 0xfafa | 0x7777), "{inside:?}");
    }
    let meaning = |name: &str| -> Vec<String> {
        let meanings = all(&nodes, name).into_iter().map(|node| match &node.value {
            Value::Code { meaning, .. } => meaning.as_deref().unwrap_or("-").to_owned(),
            other => panic!("{other:?}"),
        });
        meanings.collect()
    };
    assert_eq!(meaning("named_group"), ["GREASE", "X25519MLKEM768", "x25519"]);
    assert_eq!(meaning("group"), ["x25519", "X25519MLKEM768", "x25519"]);
    assert_eq!(meaning("version")[..3], ["GREASE", "TLSv1.3", "TLSv1.3 draft 28"]);
    assert_eq!(
        meaning("signature_scheme"),
        ["GREASE", "mldsa44", "ecdsa_secp256r1_sha256", "ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256", "ed25519"]
    );
    assert_eq!(meaning("ke_mode"), ["psk_dhe_ke", "GREASE"]);
    assert_eq!(meaning("algorithm"), ["brotli", "zlib"]);
    assert_eq!(meaning("id"), ["max_idle_timeout", "GREASE", "version_information", "user_agent (Google)", "initial_source_connection_id"]);
    assert_eq!((meaning("chosen_version"), meaning("version").pop()), (vec!["QUICv1".into()], Some("GREASE".into())));
    assert_eq!((meaning("kdf_id"), meaning("aead_id")), (vec!["HKDF-SHA256".into()], vec!["AES-128-GCM".into()]));
    let Value::Number(age) = all(&nodes, "obfuscated_ticket_age")[0].value else { panic!("no age") };
    assert_eq!(age, 3600);
}

#[test]
fn a_length_or_a_limit_is_no_grease_whatever_its_number() {
    let long = [0; 0x0a0a];
    let hello = message(&hello_of(&[0x0a0a], &[(21, &long), (28, b"\x0a\x0a")]), Framing::Bare).unwrap();
    let nodes = tiles(&hello);
    let noted = |name: &str| all(&nodes, name).iter().any(|node| node.note.as_deref().is_some_and(|note| note.starts_with("GREASE")));
    assert!(noted("cipher_suite") && !noted("extension_data_length") && !noted("record_size_limit"));
    assert_eq!(all(&nodes, "record_size_limit")[0].value, Value::Number(0x0a0a));
}

#[test]
fn what_is_malformed_is_shown_where_it_is_and_the_rest_all_the_same() {
    // Where the data of the first extension begins in the message.
    const DATA: usize = 4 + 34 + 1 + 2 + 2 + 2 + 2 + 4;
    for ((code, data), name, offset, what) in [
        ((10, &b"\0\x08\0\x1d"[..]), "named_group_list", DATA + 2, "a length beyond what holds it"),
        ((10, b"\0\x03\0\x1d\0"), "named_group", DATA + 4, "the field does not fit what holds it"),
        ((10, b"\0\x02\0\x1d\0\0"), "rest", DATA + 4, "bytes after the last field"),
        ((10, b""), "named_group_list_length", DATA, "the field does not fit what holds it"),
        ((23, b"x"), "rest", DATA, "bytes after the last field"),
        ((51, b"\0\x07\0\x1d\0\x02kk\0"), "group", DATA + 8, "the field does not fit what holds it"),
        ((57, b"\x01\x05\0"), "value", DATA + 2, "a length beyond what holds it"),
        ((57, b"\xc0"), "id", DATA, "the field does not fit what holds it"),
        ((0xfe0d, b"\0\0\x01"), "aead_id", DATA + 3, "the field does not fit what holds it"),
    ] {
        let hello = message(&hello_of(&[0x1301], &[(code, data), (23, b""), (16, b"\0\x03\x02h2")]), Framing::Bare).unwrap();
        let nodes = tiles(&hello);
        assert_eq!(malformed(&nodes), [(name, offset, what)], "{code} {data:?}");
        assert_eq!(all(&nodes, "Extension").len(), 3);
        assert_eq!(all(&nodes, "ProtocolName")[0].value, Value::Text(b"h2".to_vec()));
    }
}

#[test]
fn odd_names_are_noted() {
    let note_of = |name: &str| {
        let list = [
            &u16::try_from(name.len() + 3).unwrap().to_be_bytes()[..],
            &[0],
            &u16::try_from(name.len()).unwrap().to_be_bytes(),
            name.as_bytes(),
        ];
        let hello = message(&hello_of(&[0x1301], &[(0, &list.concat())]), Framing::Bare).unwrap();
        all(&tiles(&hello), "host_name")[0].note.as_deref().map(str::to_owned)
    };
    assert_eq!(note_of("www.example.test"), None);
    for (name, what) in [
        ("", "an empty name"),
        ("192.0.2.1", "an IP address"),
        ("2001:db8::1", "an IP address"),
        ("a.test.", "a dot at its end"),
        ("a b", "no DNS name"),
    ] {
        assert!(note_of(name).is_some_and(|note| note.starts_with(what)), "{name}");
    }
    let twice = message(&hello_of(&[0x1301], &[(0, b""), (0, b"")]), Framing::Bare).unwrap();
    let notes: Vec<_> = all(&anatomy(&twice), "Extension").iter().map(|extension| extension.note.is_some()).collect();
    assert_eq!(notes, [false, true]);
}

/// What tls-parser knows of an extension, and the same from the tree.
#[test]
fn extensions_are_read_as_tls_parser_reads_them() {
    let mut compared = 0;
    let mut hellos: Vec<ClientHello> = RECORDED.iter().map(|bytes| tls(bytes)).collect();
    // Without those of GREASE, where tls-parser changes the number.
    let known: Vec<_> = EXTENSIONS.iter().copied().filter(|(code, _)| *code != 0xfafa).collect();
    hellos.push(message(&hello_of(&[0x1301], &known), Framing::Bare).unwrap());
    for hello in hellos {
        let nodes = anatomy(&hello);
        for (extension, node) in hello.extensions.iter().zip(all(&nodes, "Extension")) {
            let raw = &hello.message()[extension.offset - 4..extension.offset + extension.length];
            let Ok((_, theirs)) = tls_parser::parse_tls_client_hello_extension(raw) else {
                panic!("tls-parser cannot read {}", extension.code)
            };
            let inside = node.children()[2].children();
            let numbers = |name: &str| -> Vec<u64> {
                let numbers = all(inside, name).into_iter().map(|node| match node.value {
                    Value::Number(value) | Value::Code { code: value, .. } => value,
                    _ => panic!("{node:?}"),
                });
                numbers.collect()
            };
            let bytes = |name: &str| -> Vec<Vec<u8>> {
                let bytes = all(inside, name).into_iter().map(|node| match &node.value {
                    Value::Text(bytes) | Value::Opaque(bytes) => bytes.clone(),
                    _ => panic!("{node:?}"),
                });
                bytes.collect()
            };
            let wide = |all: &[u16]| all.iter().map(|number| u64::from(*number)).collect::<Vec<_>>();
            match theirs {
                TlsExtension::SNI(names) => assert_eq!(bytes("host_name"), names.iter().map(|(_, name)| name.to_vec()).collect::<Vec<_>>()),
                TlsExtension::MaxFragmentLength(code) => assert_eq!(numbers("max_fragment_length"), [u64::from(code)]),
                TlsExtension::StatusRequest(Some((kind, _))) => assert_eq!(numbers("status_type"), [u64::from(kind.0)]),
                TlsExtension::EllipticCurves(groups) => {
                    assert_eq!(numbers("named_group"), groups.iter().map(|group| u64::from(group.0)).collect::<Vec<_>>());
                }
                TlsExtension::EcPointFormats(formats) => {
                    assert_eq!(numbers("ec_point_format"), formats.iter().map(|format| u64::from(*format)).collect::<Vec<_>>());
                }
                TlsExtension::SignatureAlgorithms(schemes) => assert_eq!(numbers("signature_scheme"), wide(&schemes)),
                TlsExtension::RecordSizeLimit(limit) => assert_eq!(numbers("record_size_limit"), [u64::from(limit)]),
                TlsExtension::SessionTicket(ticket) => assert_eq!(bytes("ticket").concat(), ticket),
                TlsExtension::SupportedVersions(versions) => {
                    assert_eq!(numbers("version"), versions.iter().map(|version| u64::from(version.0)).collect::<Vec<_>>());
                }
                TlsExtension::PskExchangeModes(modes) => {
                    assert_eq!(numbers("ke_mode"), modes.iter().map(|mode| u64::from(*mode)).collect::<Vec<_>>());
                }
                TlsExtension::Heartbeat(mode) => assert_eq!(numbers("mode"), [u64::from(mode)]),
                TlsExtension::ALPN(protocols) => {
                    assert_eq!(bytes("ProtocolName"), protocols.iter().map(|protocol| protocol.to_vec()).collect::<Vec<_>>());
                }
                TlsExtension::Padding(padding) => assert_eq!(bytes("padding").concat(), padding),
                TlsExtension::RenegotiationInfo(info) => assert_eq!(bytes("renegotiated_connection").concat(), info),
                TlsExtension::EncryptedServerName { group, key_share, record_digest, encrypted_sni, ciphersuite } => {
                    assert_eq!((numbers("suite"), numbers("group")), (vec![ciphersuite.0.into()], vec![group.0.into()]));
                    assert_eq!(bytes("key_exchange").concat(), key_share);
                    assert_eq!(
                        (bytes("record_digest").concat(), bytes("encrypted_sni").concat()),
                        (record_digest.into(), encrypted_sni.into())
                    );
                }
                // These it gives back as bytes, or only says that they are there.
                _ => continue,
            }
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_panics_or_leaves_a_byte_out(at in 5usize..2000, to in any::<u8>(), which in 0usize..6, size in 20usize..3000) {
        let mut bytes = RECORDED.get(which).map_or_else(|| record(&hello_of(&[0x1301], EXTENSIONS)), |bytes| bytes.to_vec());
        let at = at % bytes.len();
        bytes[at] = to;
        if let Some(Greeting::Tls(hello)) = read(&in_records(&bytes, size)) {
            tiles(&hello);
            let _ = crate::hello::ja4(&hello);
            let _ = crate::hello::ja3(&hello);
        }
    }
}
