//! A client's Initials, sealed with its keys, and what is read from them.

use super::{packet::keys, *};
use crate::hello::{Datagrams, Name};
use proptest::prelude::*;
use rustls::{
    Side,
    crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{ClientConnection, Version},
};
use std::sync::Arc;

const V1: (u32, Version) = (1, Version::V1);
const V2: (u32, Version) = (0x6b33_43cf, Version::V2);
const DRAFT: (u32, Version) = (0xff00_001d, Version::V1Draft);

/// One packet as a client sends it.
#[derive(Clone)]
struct Initial<'a> {
    version: (u32, Version),
    destination: &'a [u8],
    /// The id whose keys seal it.
    first: &'a [u8],
    source: &'a [u8],
    token: &'a [u8],
    number: u64,
    number_length: usize,
}

const INITIAL: Initial<'_> =
    Initial { version: V1, destination: b"destined", first: b"destined", source: b"", token: b"", number: 0, number_length: 2 };

fn client_keys(version: Version, first: &[u8]) -> Keys {
    TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite().unwrap().keys(first, Side::Client, version)
}

fn varint_of(number: usize) -> [u8; 4] {
    (0x8000_0000 | number as u32).to_be_bytes()
}

impl Initial<'_> {
    fn seal(&self, frames: &[u8]) -> Vec<u8> {
        let keys = client_keys(self.version.1, self.first).local;
        let kind = if self.version.0 == V2.0 { 0x10 } else { 0 };
        let mut packet = vec![0xc0 | kind | (self.number_length - 1) as u8];
        packet.extend(self.version.0.to_be_bytes());
        for id in [self.destination, self.source] {
            packet.push(id.len() as u8);
            packet.extend(id);
        }
        packet.extend(varint_of(self.token.len()));
        packet.extend(self.token);
        // The sample of header protection needs 4 bytes after the start of the number.
        let mut payload = [frames, &[0; 4]].concat();
        packet.extend(varint_of(self.number_length + payload.len() + 16));
        let at = packet.len();
        packet.extend(&self.number.to_be_bytes()[8 - self.number_length..]);
        let tag = keys.packet.encrypt_in_place(self.number, &packet, &mut payload).unwrap();
        packet.extend(&payload);
        packet.extend(tag.as_ref());
        let sample: Vec<u8> = packet[at + 4..at + 20].to_vec();
        let (first, rest) = packet.split_first_mut().unwrap();
        keys.header.encrypt_in_place(&sample, first, &mut rest[at - 1..at - 1 + self.number_length]).unwrap();
        packet
    }
}

fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
    [&[6][..], &varint_of(offset), &varint_of(data.len()), data].concat()
}

/// The hello of a QUIC client as rustls writes it: with a post-quantum key share, so that it takes more than one packet.
fn hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    let mut client =
        ClientConnection::new(config.into(), Version::V1, name.to_owned().try_into().unwrap(), vec![1, 2, 0x40, 0x64]).unwrap();
    let mut message = Vec::new();
    assert!(client.write_hs(&mut message).is_none());
    message
}

fn tls(greetings: &[Greeting]) -> Vec<&crate::hello::ClientHello> {
    let hellos = greetings.iter().map(|greeting| match greeting {
        Greeting::Tls(hello) => &**hello,
        other => panic!("{other:?}"),
    });
    hellos.collect()
}

/// What is wrong in the only greeting.
fn malformed(greetings: &[Greeting]) -> (usize, &'static str) {
    match greetings {
        [Greeting::Malformed(malformed)] => (malformed.offset, malformed.what),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_packets_of_the_rfcs_are_opened_to_the_byte() {
    // RFC 9001 appendix A.2 and RFC 9369 appendix A.2 protect the same payload.
    const FRAME: &[u8] = b"\x06\x00\x40\xf1\x01\x00\x00\xed\x03\x03\xeb\xf8\xfa\x56\xf1\x29\x39\xb9\x58\x4a\x38\x96\x47\x2e";
    for (datagram, version) in [
        (&include_bytes!("../../../../tests/data/rfc9001-client-initial.datagram")[..], V1.0),
        (include_bytes!("../../../../tests/data/rfc9369-client-initial.datagram"), V2.0),
    ] {
        let Start::Packet(packet, []) = packet::read(datagram) else { panic!("{version:x}") };
        assert_eq!((packet.version, packet.destination, packet.source), (version, &b"\x83\x94\xc8\xf0\x3e\x51\x57\x08"[..], &b""[..]));
        let opened = packet.open(&keys(version, packet.destination).unwrap().remote, 0).unwrap();
        assert_eq!((opened.number, opened.payload.len()), (2, 1162));
        assert!(opened.payload.starts_with(FRAME) && opened.payload[245..].iter().all(|byte| *byte == 0));

        let greetings = Datagrams::default().take(datagram);
        let [hello] = tls(&greetings)[..] else { panic!("{greetings:?}") };
        assert_eq!((hello.name.to_string().as_str(), hello.alpn_text()), ("example.com", vec!["alpn".to_owned()]));
        assert_eq!(hello.message(), &opened.payload[4..245]);
        assert!(matches!(hello.came, Framing::Quic { version: v, packets: 1, .. } if v == version), "{:?}", hello.came);
    }
}

#[test]
fn a_hello_in_several_packets_is_told_once_when_it_is_whole() {
    let message = hello("www.example.test");
    assert!(message.len() > 1200, "{}", message.len());
    let (head, tail) = message.split_at(700);
    for version in [V1, V2, DRAFT] {
        let packet = Initial { version, ..INITIAL };
        let second = Initial { number: 1, ..packet.clone() }.seal(&crypto(0, head));
        let mut flow = Datagrams::default();
        assert_eq!(flow.take(&packet.seal(&crypto(head.len(), tail))), []);
        assert!(flow.unfinished().unwrap().what.contains("no end"));
        let greetings = flow.take(&second);
        let [hello] = tls(&greetings)[..] else { panic!() };
        assert_eq!((hello.message(), &hello.name), (&message[..], &Name::Dns("www.example.test".parse().unwrap())));
        assert!(matches!(hello.came, Framing::Quic { version: v, packets: 2, datagrams: 2, .. } if v == version.0), "{:?}", hello.came);
        assert_eq!((flow.take(&second), flow.unfinished()), (vec![], None));
    }
}

#[test]
fn packets_of_one_datagram_are_all_read() {
    let message = hello("a.test");
    let packets: Vec<u8> = message
        .chunks(300)
        .enumerate()
        .flat_map(|(n, part)| Initial { number: n as u64, ..INITIAL }.seal(&crypto(300 * n, part)))
        .collect();
    // A Handshake packet between them would be skipped by its length; a packet with a short header ends the datagram.
    let handshake = [&[0xe0, 0, 0, 0, 1, 0, 0][..], &[3, 9, 9, 9]].concat();
    let datagram = [&handshake, &packets[..], b"\x40short"].concat();
    let greetings = Datagrams::default().take(&datagram);
    let Framing::Quic { packets, datagrams, destination, .. } = &tls(&greetings)[0].came else { panic!() };
    assert_eq!((*packets, *datagrams, &destination[..]), (message.len().div_ceil(300), 1, INITIAL.destination));
}

#[test]
fn a_later_flight_to_the_id_of_the_server_is_opened_with_the_first_keys() {
    let message = hello("a.test");
    let mut flow = Datagrams::default();
    flow.take(&INITIAL.seal(&crypto(0, &message[..100])));
    let later = Initial { destination: b"server's", number: 300, number_length: 1, ..INITIAL };
    // The number is sent in one byte, and the highest so far is 0: 300 is 44 for the reader.
    assert_eq!(flow.take(&later.seal(&crypto(100, &message[100..]))), []);
    let later = Initial { destination: b"server's", number: 1, ..INITIAL };
    assert_eq!(tls(&flow.take(&later.seal(&crypto(100, &message[100..])))).len(), 1);
}

#[test]
fn a_hello_that_comes_again_after_a_retry_is_told_once_and_a_second_hello_is_told() {
    let message = hello("a.test");
    let mut flow = Datagrams::default();
    assert_eq!(tls(&flow.take(&INITIAL.seal(&crypto(0, &message)))).len(), 1);
    let again = Initial { destination: b"retry", first: b"retry", token: b"token", number: 1, ..INITIAL };
    assert_eq!(flow.take(&again.seal(&crypto(0, &message))), []);
    // After a HelloRetryRequest, in the same stream.
    let second = hello("a.test");
    let greetings = flow.take(&Initial { number: 2, ..again.clone() }.seal(&crypto(message.len(), &second)));
    assert_eq!(tls(&greetings)[0].message(), second);
}

#[test]
fn connections_that_share_a_socket_are_told_apart_and_bounded() {
    let mut flow = Quic::default();
    for n in 0..20u8 {
        let destination = [n; 8];
        let packet = Initial { destination: &destination, first: &destination, ..INITIAL };
        let greetings = flow.take(&packet.seal(&crypto(0, &hello(&format!("a{n}.test"))))).unwrap();
        assert_eq!(tls(&greetings)[0].name.to_string(), format!("a{n}.test"));
    }
    assert_eq!(flow.connections.len(), MOST_CONNECTIONS);
    // What is held is the keys and one hello of each.
    let bytes: usize = flow.connections.iter().map(|connection| connection.pieces.whole().len()).sum();
    assert!((MOST_CONNECTIONS * OVERHEAD + bytes..).contains(&flow.cost()), "{}", flow.cost());
}

#[test]
fn other_versions_are_named_once_and_answered_with_those_that_are_known() {
    let long = |version: u32| {
        let mut datagram = [&[0xc0][..], &version.to_be_bytes(), b"\x08destined\x02me"].concat();
        datagram.resize(LEAST_DATAGRAM, 0);
        datagram
    };
    let mut flow = Datagrams::default();
    let told = flow.take(&long(0x5130_3530));
    let [Greeting::NotTls(protocol)] = told[..] else { panic!("{told:?}") };
    assert_eq!(
        (protocol.to_string(), serde_json::to_value(protocol).unwrap()),
        ("QUIC of version 0x51303530".into(), "quic_0x51303530".into())
    );
    let answer = [b"\xc0\0\0\0\0\x02me\x08destined\0\0\0\x01".as_slice(), &V2.0.to_be_bytes()].concat();
    assert_eq!(flow.refusal(Alert::HandshakeFailure), Some(answer.clone()));
    assert_eq!(flow.take(&long(0x1a2a_3a4a)), []);
    assert_eq!(tls(&flow.take(&INITIAL.seal(&crypto(0, &hello("a.test"))))).len(), 1);
    // The list itself is nobody's hello, nor is what is too short to come from a client of QUIC.
    assert_eq!(Datagrams::default().take(&answer), []);
    let mut short_id = long(0x5130_3530);
    short_id[5] = 7;
    for unlike in [&long(0x5130_3530)[..100], &short_id] {
        assert_eq!(Datagrams::default().take(unlike), [Greeting::NotTls(Protocol::Unknown)]);
    }
}

#[test]
fn what_is_wrong_is_told_once_with_its_place() {
    let take = |frames: &[&[u8]]| Datagrams::default().take(&INITIAL.seal(&frames.concat()));
    // The payload begins after a header of 25 bytes.
    assert_eq!(malformed(&take(&[b"\x01", b"\x08"])), (26, "a QUIC frame that Initials may not carry"));
    assert_eq!(malformed(&take(&[&crypto(0, b"\x02\0\0\0")])), (0, "a handshake message that is no ClientHello"));
    assert_eq!(malformed(&take(&[&crypto(0, b"\x01\xff\0\0")])).1, "a hello longer than 64 KiB");
    assert_eq!(malformed(&take(&[&crypto(1 << 20, b"x")])).1, "a hello longer than 64 KiB");
    let mut flow = Datagrams::default();
    assert_eq!(flow.take(&INITIAL.seal(&crypto(0, b"\x01\0\x01"))), []);
    let differs = Initial { number: 1, ..INITIAL }.seal(&crypto(1, b"x"));
    assert_eq!(malformed(&flow.take(&differs)), (3, "bytes of the hello that come again and differ"));
    assert_eq!((flow.take(&differs), flow.unfinished()), (vec![], None));
    // A packet that was damaged, and one that is sealed with other keys.
    let mut damaged = INITIAL.seal(&crypto(0, &hello("a.test")));
    *damaged.last_mut().unwrap() ^= 1;
    for packet in [damaged, Initial { first: b"other", ..INITIAL }.seal(b"\x01")] {
        let mut flow = Datagrams::default();
        assert_eq!(flow.take(&packet), []);
        assert!(flow.unfinished().unwrap().what.contains("keys"));
    }
}

#[test]
fn keys_are_derived_once_for_a_datagram() {
    let message = hello("a.test");
    let foreign = Initial { first: b"other", ..INITIAL }.seal(b"\x01");
    let own = INITIAL.seal(&crypto(0, &message));
    let mut flow = Datagrams::default();
    assert_eq!(flow.take(&[&foreign[..], &own].concat()), []);
    // A damaged packet in front is what it costs; the client sends again.
    assert_eq!(tls(&flow.take(&own)).len(), 1);
    assert_eq!(tls(&Datagrams::default().take(&[&own[..], &foreign].concat())).len(), 1);
}

#[test]
fn a_refusal_is_an_initial_that_the_client_can_open() {
    for version in [V1, V2, DRAFT] {
        let mut flow = Datagrams::default();
        assert_eq!(flow.refusal(Alert::HandshakeFailure), None);
        flow.take(&Initial { version, source: b"client", ..INITIAL }.seal(&crypto(0, &hello("a.test"))));
        let refusal = flow.refusal(Alert::HandshakeFailure).unwrap();
        let Start::Packet(packet, []) = packet::read(&refusal) else { panic!("{refusal:?}") };
        assert_eq!((packet.kind, packet.version, packet.destination), (Kind::Initial, version.0, &b"client"[..]));
        let opened = packet.open(&client_keys(version.1, INITIAL.first).remote, 0).unwrap();
        // CONNECTION_CLOSE, error 0x128 (handshake_failure), for a CRYPTO frame, no words.
        assert_eq!(opened.payload, b"\x1c\x41\x28\x06\0");
    }
}

#[test]
fn numbers_of_variable_length_are_those_of_the_rfc() {
    // RFC 9000 appendix A.1.
    for (bytes, number) in [
        (&b"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c"[..], 151_288_809_941_952_652),
        (b"\x9d\x7f\x3e\x7d", 494_878_333),
        (b"\x7b\xbd", 15_293),
        (b"\x40\x25", 37),
        (b"\x25", 37),
    ] {
        assert_eq!(varint(bytes), Some((number, &b""[..])));
        assert_eq!(varint(&bytes[..bytes.len() - 1]), None);
    }
}

/// Frames as clients shuffle them: any cuts, some of them twice and overlapping, among others.
fn shuffled() -> impl Strategy<Value = (Vec<(usize, usize)>, Vec<u8>, usize)> {
    (proptest::collection::vec((0usize..2000, 1usize..400), 0..20), proptest::collection::vec(0u8..4, 64), 1usize..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    // Single bytes, shuffled, would be more pieces than may wait.
    fn any_frames_in_any_packets_give_the_hello((extra, between, packets) in shuffled(), order in any::<u64>(), step in 2usize..500) {
        let message = hello("www.example.test");
        let mut cuts: Vec<(usize, usize)> = (0..message.len()).step_by(step).map(|at| (at, step)).chain(extra).collect();
        // Any order will do, as long as it differs from run to run.
        cuts.sort_by_key(|(at, length)| (*at as u64).wrapping_mul(order | 1) ^ *length as u64);
        let frames: Vec<Vec<u8>> = cuts
            .iter()
            .zip(between.iter().cycle())
            .filter(|((at, _), _)| *at < message.len())
            .map(|((at, length), between)| {
                let frame = crypto(*at, &message[*at..message.len().min(at + length)]);
                [[&b""[..], b"\0\0\0", b"\x01", b"\x02\x05\0\0\x02"][usize::from(*between)], &frame].concat()
            })
            .collect();
        let mut flow = Datagrams::default();
        let told: Vec<_> = frames
            .chunks(frames.len().div_ceil(packets))
            .enumerate()
            .flat_map(|(n, frames)| flow.take(&Initial { number: n as u64, ..INITIAL }.seal(&frames.concat())))
            .collect();
        prop_assert_eq!(tls(&told).iter().map(|hello| hello.message()).collect::<Vec<_>>(), [&message[..]]);
    }

    #[test]
    fn no_datagrams_panic(datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..4), version in 0usize..4) {
        let mut flow = Datagrams::default();
        for mut datagram in datagrams {
            let version = [1, V2.0, DRAFT.0, 0][version];
            if datagram.len() > 9 {
                datagram[0] |= 0x80;
                datagram[1..5].copy_from_slice(&u32::to_be_bytes(version));
                datagram[5] &= 7;
            }
            flow.take(&datagram);
            let sealed = INITIAL.seal(&datagram);
            flow.take(&sealed);
        }
        let _ = (flow.unfinished(), flow.refusal(Alert::HandshakeFailure));
    }
}
