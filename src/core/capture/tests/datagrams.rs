//! Datagrams.

use super::*;

/// The client's Initial of RFC 9001 appendix A.2.
const INITIAL: &[u8] = include_bytes!("../../../../tests/data/rfc9001-client-initial.datagram");

fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(from.0, to.0, 64).udp(from.1, to.1).write(&mut packet, payload).unwrap();
    packet
}

/// A ClientHello of DTLS 1.2 for `d.test`, without its header.
fn dtls_hello(cookie: &[u8]) -> Vec<u8> {
    let name = [&[0, 0, 0, 11, 0, 9, 0, 0, 6][..], b"d.test"].concat();
    let cookie = [&[cookie.len() as u8][..], cookie].concat();
    [&[0xfe, 0xfd][..], &[7; 32], &[0], &cookie, &[0, 2, 0xc0, 0x2b, 1, 0], &(name.len() as u16).to_be_bytes(), &name].concat()
}

/// A part of it in a record.
fn dtls_fragment(sequence: u8, body: &[u8], part: std::ops::Range<usize>) -> Vec<u8> {
    let three = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
    let header = [&[1][..], &three(body.len()), &[0, sequence], &three(part.start), &three(part.len())].concat();
    let length = (header.len() + part.len()) as u16;
    [&[22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, sequence][..], &length.to_be_bytes(), &header, &body[part]].concat()
}

#[test]
fn quic_is_told_with_its_flow_and_what_the_server_says_is_not() {
    let mut fed = Fed::default();
    fed.packet(Link::Ip, &udp(CLIENT, SERVER, INITIAL));
    let [sighting] = &fed.sightings[..] else { panic!("{:?}", fed.said()) };
    assert_eq!(said(sighting), "example.com in 1");
    assert_eq!(sighting.flow, Some(Flow { transport: Transport::Udp, source: CLIENT.into(), destination: SERVER.into() }));
    // Once more, the other way round, and what comes later.
    for packet in [udp(CLIENT, SERVER, INITIAL), udp(SERVER, CLIENT, INITIAL), udp(CLIENT, SERVER, b"\x41 short header")] {
        fed.packet(Link::Ip, &packet);
    }
    let (said, summary) = fed.end();
    assert_eq!((said.len(), summary.datagram_flows, summary.hellos, summary.malformed, summary.streams), (1, 1, 1, 0, 0));
    // The server is heard first, with what no keys of a client open.
    let mut answer = INITIAL.to_vec();
    answer[300] ^= 1;
    let mut fed = Fed::default();
    for packet in [udp(SERVER, CLIENT, &answer), udp(CLIENT, SERVER, INITIAL), udp(SERVER, CLIENT, &answer)] {
        fed.packet(Link::Ip, &packet);
    }
    let (said, summary) = fed.end();
    assert_eq!((said, summary.datagram_flows, summary.malformed), (vec!["example.com in 1".to_owned()], 1, 0));
}

#[test]
fn dtls_is_told_and_its_hello_with_a_cookie_is_the_second() {
    let (first, second) = (dtls_hello(b""), dtls_hello(b"cookie"));
    let mut fed = Fed::default();
    fed.packet(Link::Ip, &udp(CLIENT, SERVER, &dtls_fragment(0, &first, 30..first.len())));
    fed.packet(Link::Ip, &udp(CLIENT, SERVER, &dtls_fragment(0, &first, 0..30)));
    // HelloVerifyRequest.
    fed.packet(Link::Ip, &udp(SERVER, CLIENT, b"\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x15\x03\0\0\x09\0\0\0\0\0\0\0\x09\xfe\xff\x06cookie"));
    fed.packet(Link::Ip, &udp(CLIENT, SERVER, &dtls_fragment(1, &second, 0..second.len())));
    let (said, summary) = fed.end();
    assert_eq!(said, ["d.test in 2", "again d.test in 1"]);
    assert_eq!((summary.hellos, summary.datagram_flows), (2, 1));
}

#[test]
fn what_has_begun_and_is_not_whole_is_told_at_the_end() {
    let hello = dtls_hello(b"");
    let mut fed = Fed::default();
    fed.packet(Link::Ip, &udp(CLIENT, SERVER, &dtls_fragment(0, &hello, 0..30)));
    let (said, summary) = fed.end();
    assert!(said.len() == 1 && said[0].contains("no end of the hello"), "{said:?}");
    assert_eq!(summary.malformed, 1);
}

#[test]
fn other_datagrams_are_passed_over() {
    // What looks like a version of QUIC that nobody knows, and is longer than anybody's hello.
    let long = [&[0xc0, 0x60, 0x12, 0x34, 0, 8][..], &[7; 1300]].concat();
    let mut fed = Fed::default();
    fed.packet(Link::Ip, &udp(CLIENT, ([192, 0, 2, 1], 5004), &long));
    assert_eq!((fed.said().len(), fed.capture.summary.datagram_flows), (0, 0));
    fed.packet(Link::Ip, &udp(CLIENT, SERVER, &long));
    assert_eq!((fed.said().len(), fed.capture.summary.not_tls), (1, 1));
    let mut fed = Fed::default();
    for payload in [
        // DNS, RTP, STUN, the middle of a connection of QUIC and of DTLS.
        &b"\xc0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01"[..],
        b"\x80\x60\x12\x34\0\0\0\x01\0\0\0\x02data",
        b"\0\x01\0\0\x21\x12\xa4\x42",
        b"\x41\x02\x03",
        b"\x17\xfe\xfd\0\x01\0\0\0\0\0\x01\0\x01\x01",
        b"",
    ] {
        fed.packet(Link::Ip, &udp(CLIENT, SERVER, payload));
    }
    let (said, summary) = fed.end();
    assert_eq!((said.len(), summary.datagram_flows, summary.packets, summary.other_packets), (0, 0, 6, 0), "{said:?}");
}

#[test]
fn flows_are_bounded() {
    let hello = dtls_hello(b"");
    let part = dtls_fragment(0, &hello, 0..30);
    let mut fed = Fed::default();
    for i in 0..super::super::table::MOST + 10 {
        fed.packet(Link::Ip, &udp(([10, 0, (i >> 8) as u8, i as u8], 50_000), SERVER, &part));
    }
    assert_eq!((fed.sightings.len(), fed.capture.summary.given_up), (10, 10));
}
