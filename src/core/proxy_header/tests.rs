use super::*;
use proptest::{collection::vec, option, prelude::*};
use std::net::SocketAddr;

fn tcp(text: &str) -> Endpoint {
    Endpoint::Tcp(text.parse().unwrap())
}

#[expect(clippy::unnecessary_wraps, reason = "headers have them so")]
fn ends(source: &str, destination: &str) -> Option<Ends> {
    Some(Ends { source: tcp(source), destination: tcp(destination) })
}

fn good(bytes: &[u8]) -> Header {
    match read(bytes) {
        Some(Ok(header)) => header,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

fn why(bytes: &[u8]) -> String {
    match read(bytes) {
        Some(Err(malformed)) => malformed.to_string(),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// Version 2 by hand.
fn v2(command: u8, form: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[0x20 | command, form], &length, rest].concat()
}

const INET: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 1, 0xbb];

fn inet(tlvs: &[u8]) -> Vec<u8> {
    v2(1, 0x11, &[&INET[..], tlvs].concat())
}

#[test]
fn lines_are_read() {
    for (line, source, destination) in [
        ("PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n", "192.0.2.1:12345", "198.51.100.2:443"),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", "255.255.255.255:65535", "0.0.0.0:0"),
        ("PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2\r\n", "[2001:db8::1]:1", "[2001:db8::2]:2"),
        ("PROXY TCP6 2001:0db8::0001 ::1 1 2\r\n", "[2001:db8::1]:1", "[::1]:2"),
        // As inet_ntop(3) writes a mapped address, and so haproxy.
        ("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n", "192.0.2.1:1", "[2001:db8::2]:2"),
    ] {
        let header = good(format!("{line}rest").as_bytes());
        assert_eq!(header.ends, ends(source, destination), "{line}");
        assert_eq!((header.version, header.command, header.transport), (Version::V1, Command::Proxy, Transport::Stream));
        assert_eq!(header.size, line.len());
    }
}

#[test]
fn unknown_ignores_the_rest_of_its_line() {
    let longest = format!("PROXY UNKNOWN {0} {0} 65535 65535\r\n", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    assert_eq!(longest.len(), 107);
    for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n", "PROXY UNKNOWN what ever\x01\r\n", &longest] {
        let header = good(line.as_bytes());
        assert_eq!((header.ends, header.transport, header.size), (None, Transport::Unspecified, line.len()), "{line}");
    }
}

#[test]
fn wrong_lines_are_refused_with_the_reason() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(long.len(), 108);
    for (line, reason) in [
        ("GET / HTTP/1.1\r\n", "byte 0 is 0x47"),
        ("PROXYTCP4", "byte 5 is 0x54"),
        ("proxy ", "byte 0 is 0x70"),
        ("PROXY\t", "byte 5 is 0x09"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", "a single LF at byte 30"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx", "a single CR at byte 30"),
        ("PROXY UNKNOWN a\nb\r\n", "a single LF at byte 15"),
        (&long, "without CR LF in its first 107 bytes"),
        ("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", "\"tcp4\""),
        ("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", "\"TCP5\""),
        ("PROXY UNKNOWNS\r\n", "\"UNKNOWNS\""),
        ("PROXY \r\n", "for \"\""),
        ("PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "for \"\""),
        ("PROXY TCP4\r\n", "0 fields after TCP4"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "3 fields after TCP4"),
        ("PROXY TCP6 ::1 ::1 1 2 3\r\n", "5 fields after TCP6"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", "5 fields"),
        ("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", "5 fields"),
        ("PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n", "source address \"1.2.3.04\""),
        ("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", "source address \"1.2.3\""),
        ("PROXY TCP4 1.2.3.4 5.6.7.256 1 2\r\n", "destination address \"5.6.7.256\""),
        ("PROXY TCP4 ::1 ::1 1 2\r\n", "no IPv4 address"),
        ("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "no IPv6 address"),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "\"fe80::1%eth0\""),
        ("PROXY TCP6 1::2::3 ::1 1 2\r\n", "\"1::2::3\""),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", "source port \"01\""),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 00\r\n", "destination port \"00\""),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", "source port \"65536\""),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", "source port \"+1\""),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n", "destination port \"-2\""),
    ] {
        assert!(why(line.as_bytes()).contains(reason), "{line:?}: {}", why(line.as_bytes()));
    }
    assert!(why(b"PROXY TCP4 1.2.3.\xff 5.6.7.8 1 2\r\n").contains("source address"));
}

#[test]
fn binary_headers_are_read() {
    let header = good(&[&inet(b"")[..], b"payload"].concat());
    assert_eq!(header.ends, ends("192.0.2.1:12345", "198.51.100.2:443"));
    assert_eq!((header.version, header.command, header.transport, header.size), (Version::V2, Command::Proxy, Transport::Stream, 28));
    assert_eq!(good(&v2(1, 0x12, &INET)).transport, Transport::Datagram);

    let mut six = vec![0x20, 1, 0x0d, 0xb8];
    six.extend([0; 11]);
    six.push(1);
    let both = [&six[..], &six[..], &[0, 1, 0, 2]].concat();
    assert_eq!(good(&v2(1, 0x21, &both)).ends, ends("[2001:db8::1]:1", "[2001:db8::1]:2"));

    let mut paths = [0; 216];
    paths[..6].copy_from_slice(b"/a\0/x\0");
    let unix = |path: Option<&str>| Endpoint::Unix(path.map(Into::into));
    assert_eq!(good(&v2(1, 0x31, &paths)).ends, Some(Ends { source: unix(Some("/a")), destination: unix(None) }));
    paths[108..].fill(b'x');
    assert_eq!(good(&v2(1, 0x31, &paths)).ends.unwrap().destination, unix(Some(&"x".repeat(108))));
}

#[test]
fn local_is_skipped_whatever_is_in_it() {
    for (form, rest) in [(0x00, &b""[..]), (0x11, &INET), (0x11, b"short"), (0xff, b"\x03\0\x04nono"), (0x00, &[7; 300])] {
        let header = good(&[&v2(0, form, rest)[..], b"payload"].concat());
        assert_eq!((header.command, header.ends, header.tlvs, header.size), (Command::Local, None, Tlvs::default(), 16 + rest.len()));
    }
    assert_eq!(local(), v2(0, 0, b""));
}

#[test]
fn without_a_family_or_a_transport_the_addresses_are_unknown() {
    for form in [0x00, 0x01, 0x02] {
        let header = good(&v2(1, form, b"\x02\0\x06a.test"));
        assert_eq!((header.command, header.ends, header.tlvs.authority.as_deref()), (Command::Proxy, None, Some("a.test")));
    }
    let header = good(&v2(1, 0x10, &[&INET[..], b"\x02\0\x06a.test"].concat()));
    assert_eq!((header.ends, header.tlvs.authority.as_deref()), (None, Some("a.test")));
}

#[test]
fn tlvs_are_read() {
    let ssl = b"\x20\0\x21\x07\0\0\0\x01\x21\0\x07TLSv1.3\x22\0\x04A.B.\x23\0\x05XYZ-1\x99\0\0";
    let bytes = [&b"\x01\0\x02h2\x02\0\x06a.test\x04\0\0\x04\0\x02xx\x05\0\x03id1\x30\0\x02ns\xea\0\x01v\xea\0\0"[..], ssl].concat();
    let tlvs = good(&inet(&bytes)).tlvs;
    let expected = Ssl {
        client: 7,
        verify: 1,
        version: Some("TLSv1.3".into()),
        common_name: Some("A.B.".into()),
        cipher: Some("XYZ-1".into()),
        others: vec![(0x99, vec![])],
        ..Ssl::default()
    };
    assert!(expected.is_tls());
    assert_eq!(
        tlvs,
        Tlvs {
            alpn: Some(b"h2".to_vec()),
            authority: Some("a.test".into()),
            unique_id: Some(b"id1".to_vec()),
            ssl: Some(expected),
            netns: Some("ns".into()),
            others: vec![(0xea, b"v".to_vec()), (0xea, vec![])],
        }
    );
}

#[test]
fn wrong_binary_headers_are_refused_with_the_reason() {
    let version = [&SIGNATURE[..], &[0x11]].concat();
    let id = [&b"\x05\0\x81"[..], &[b'x'; 129]].concat();
    for (bytes, reason) in [
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), "byte 11 is 0x0d"),
        (b"\r\n\r\nx".to_vec(), "byte 4 is 0x78"),
        (version, "version 1"),
        (v2(2, 0x11, &INET), "command 2"),
        (v2(1, 0x41, &INET), "address family 4"),
        (v2(1, 0x13, &INET), "transport 3"),
        (v2(1, 0x11, &INET[..11]), "length 11, too short for the 12 bytes of its two IPv4 addresses"),
        (v2(1, 0x21, &INET), "length 12, too short for the 36 bytes of its two IPv6 addresses"),
        (v2(1, 0x31, &[0; 215]), "length 215, too short for the 216"),
        (inet(b"\x04"), "1 stray bytes after its last TLV, at byte 28"),
        (inet(b"\x04\0\0\x04\0"), "2 stray bytes after its last TLV, at byte 31"),
        (inet(b"\x04\0\x02x"), "TLV 0x04 at byte 28 has length 2, and 1 bytes are left"),
        (inet(b"\x02\0\x01\xff"), "TLV 0x02 at byte 28 is not UTF-8"),
        (inet(b"\x02\0\x01a\x02\0\x01b"), "TLV 0x02 at byte 32 is there twice"),
        (inet(&id), "TLV 0x05 at byte 28 is longer than 128 bytes"),
        (inet(b"\x03\0\x03abc"), "TLV 0x03 at byte 28 has not the 4 bytes of a CRC32C"),
        (inet(b"\x03\0\x04\0\0\0\0"), "with the CRC32C 0x00000000; its bytes have 0x"),
        (inet(b"\x20\0\x04\x01\0\0\0"), "TLV 0x20 at byte 28 has fewer than 5 bytes"),
        (inet(b"\x20\0\x06\x01\0\0\0\0\x21"), "1 stray bytes after its last TLV, at byte 36"),
        (inet(b"\x20\0\x08\x01\0\0\0\0\x21\0\x01"), "TLV 0x21 at byte 36 has length 1, and 0 bytes are left"),
        (inet(b"\x30\0\x02\xc3\xa9"), "TLV 0x30 at byte 28 is not ASCII"),
    ] {
        assert!(why(&bytes).contains(reason), "{reason}: {}", why(&bytes));
    }
}

/// The first value is that of RFC 3720 appendix B.4.
#[test]
fn the_checksum_is_crc32c() {
    assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    let mut bytes = write(Version::V2, &Announcement { ends: ends("192.0.2.1:1", "192.0.2.2:2"), tlvs: Tlvs::default() }).unwrap();
    assert_eq!(good(&bytes).size, bytes.len());
    for at in 16..bytes.len() {
        bytes[at] ^= 1;
        assert!(matches!(read(&bytes), Some(Err(_))), "a bit of byte {at} is another one");
        bytes[at] ^= 1;
    }
}

#[test]
fn lines_are_written() {
    let line = |ends| String::from_utf8(write(Version::V1, &Announcement { ends, tlvs: Tlvs::default() }).unwrap()).unwrap();
    let unix = Endpoint::Unix(Some("/a".into()));
    assert_eq!(line(ends("192.0.2.1:1", "198.51.100.2:65535")), "PROXY TCP4 192.0.2.1 198.51.100.2 1 65535\r\n");
    assert_eq!(line(ends("[2001:db8::1]:1", "[::1]:2")), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
    assert_eq!(line(ends("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2")), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    assert_eq!(line(ends("[::ffff:192.0.2.1]:1", "192.0.2.2:2")), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    assert_eq!(line(ends("192.0.2.1:1", "[2001:db8::1]:2")), "PROXY TCP6 ::ffff:c000:201 2001:db8::1 1 2\r\n");
    assert_eq!(line(Some(Ends { source: unix.clone(), destination: unix.clone() })), "PROXY UNKNOWN\r\n");
    assert_eq!(line(Some(Ends { source: tcp("1.2.3.4:5"), destination: unix })), "PROXY UNKNOWN\r\n");
    assert_eq!(line(None), "PROXY UNKNOWN\r\n");
}

#[test]
fn what_has_no_ip_addresses_is_written_as_local() {
    let unix = |path: Option<&str>| Endpoint::Unix(path.map(Into::into));
    let mixed = Ends { source: tcp("1.2.3.4:5"), destination: unix(None) };
    let both = Ends { source: unix(None), destination: unix(Some("/a")) };
    for ends in [None, Some(mixed), Some(both)] {
        let tlvs = Tlvs { authority: Some("a.test".into()), ..Tlvs::default() };
        assert_eq!(write(Version::V2, &Announcement { ends, tlvs }).unwrap(), local());
    }
}

#[test]
fn what_does_not_fit_is_not_written() {
    let with = |tlvs| write(Version::V2, &Announcement { ends: ends("192.0.2.1:1", "192.0.2.2:2"), tlvs });
    let id = |bytes: usize| Tlvs { unique_id: Some(vec![b'x'; bytes]), ..Tlvs::default() };
    assert!(with(id(128)).is_ok());
    assert_eq!(with(id(129)), Err(Unwritable::UniqueId(129)));
    let others = |bytes: usize| Tlvs { others: vec![(0xe0, vec![0; bytes])], ..Tlvs::default() };
    // 16 fixed bytes, 12 of addresses, 7 for the checksum, 3 before the value.
    assert_eq!(with(others(65513)).unwrap().len(), MOST);
    assert!(matches!(with(others(65514)), Err(Unwritable::Long(_))));
    assert!(matches!(with(others(70000)), Err(Unwritable::Long(_))));
}

fn socket_addr() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![(any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from), (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from)]
}

fn any_ends() -> impl Strategy<Value = Option<Ends>> {
    let tcp = || socket_addr().prop_map(Endpoint::tcp);
    let both = (tcp(), tcp()).prop_map(|(source, destination)| Ends { source, destination });
    let unix = || option::of("/[a-z]{1,107}".prop_map(Into::into)).prop_map(Endpoint::Unix);
    let unix = (unix(), unix()).prop_map(|(source, destination)| Ends { source, destination });
    option::of(prop_oneof![3 => both, 1 => unix])
}

fn any_tlvs() -> impl Strategy<Value = Tlvs> {
    let bytes = |most| option::of(vec(any::<u8>(), 0..most));
    let text = || option::of("[^\u{0}]{0,40}");
    let others = || vec((0xe0..=0xffu8, vec(any::<u8>(), 0..50)), 0..3);
    let ssl = (any::<u8>(), any::<u32>(), text(), text(), text(), text(), text(), text(), text(), bytes(100), others()).prop_map(
        |(
            client,
            verify,
            version,
            common_name,
            cipher,
            signature_algorithm,
            key_algorithm,
            group,
            signature_scheme,
            client_cert,
            others,
        )| {
            Ssl {
                client,
                verify,
                version,
                common_name,
                cipher,
                signature_algorithm,
                key_algorithm,
                group,
                signature_scheme,
                client_cert,
                others,
            }
        },
    );
    (bytes(20), text(), bytes(129), option::of(ssl), option::of("[a-z]{0,20}"), others())
        .prop_map(|(alpn, authority, unique_id, ssl, netns, others)| Tlvs { alpn, authority, unique_id, ssl, netns, others })
}

/// What is written as it is, and not as unknown.
fn with_a_form(ends: &Ends) -> Option<Ends> {
    match (&ends.source, &ends.destination) {
        (Endpoint::Tcp(_), Endpoint::Tcp(_)) => Some(ends.clone()),
        _ => None,
    }
}

fn every_prefix_asks_for_more(bytes: &[u8]) {
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes[..end]), None, "after {end} of {} bytes", bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(ends in any_ends(), tlvs in any_tlvs(), payload in vec(any::<u8>(), 0..20)) {
        let announcement = Announcement { ends: ends.clone(), tlvs: tlvs.clone() };
        let bytes = write(Version::V2, &announcement).unwrap();
        every_prefix_asks_for_more(&bytes);
        let header = good(&[&bytes[..], &payload].concat());
        let ends = ends.as_ref().and_then(with_a_form);
        let tlvs = if ends.is_some() { tlvs } else { Tlvs::default() };
        prop_assert_eq!((header.size, &header.ends, header.tlvs), (bytes.len(), &ends, tlvs));

        let line = write(Version::V1, &announcement).unwrap();
        every_prefix_asks_for_more(&line);
        let header = good(&[&line[..], &payload].concat());
        prop_assert_eq!((header.size, header.ends), (line.len(), ends));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), start in 0usize..3) {
        let start: &[u8] = [&b""[..], b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x40"][start];
        let _ = read(&[start, &bytes].concat());
    }

    #[test]
    fn no_mutation_panics_and_a_verdict_stays(ends in any_ends(), tlvs in any_tlvs(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        for version in [Version::V1, Version::V2] {
            let mut bytes = write(version, &Announcement { ends: ends.clone(), tlvs: tlvs.clone() }).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = to;
            bytes.extend(b"payload");
            // Whatever was said of a prefix holds for the whole.
            for end in 0..bytes.len() {
                if let Some(verdict) = read(&bytes[..end]) {
                    prop_assert_eq!(Some(verdict), read(&bytes));
                    break;
                }
            }
        }
    }
}
