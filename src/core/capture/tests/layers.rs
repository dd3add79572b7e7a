//! What may stand around a segment.

use super::*;
use etherparse::{IpFragOffset, Ipv6Header};

/// What a packet of this link type says.
fn one(link: Link, packet: &[u8]) -> Vec<String> {
    let mut fed = Fed::default();
    fed.packet(link, packet);
    // Whatever is cut off, nothing panics.
    for end in 0..packet.len() {
        Fed::default().packet(link, &packet[..end]);
    }
    fed.said()
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &ether_type.to_be_bytes(), payload].concat()
}

/// IPv4 around something.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = etherparse::Ipv4Header::new(payload.len() as u16, 64, protocol.into(), [10, 9, 9, 9], [10, 9, 9, 8]).unwrap();
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 9, 9, 9], [10, 9, 9, 8], 64).udp(50_001, port).write(&mut packet, payload).unwrap();
    packet
}

fn ipv6(payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(50_000, 443, 1000, 65_535);
    builder.write(&mut packet, payload).unwrap();
    packet
}

#[test]
fn each_link_type_leads_to_the_hello() {
    let packet = hello_packet("a.test");
    let six = ipv6(&client_hello("a.test", &[]));
    let sll = |protocol: [u8; 2]| [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &protocol].concat();
    let sll2 = |protocol: [u8; 2]| [&protocol[..], &[0; 18]].concat();
    for (number, before, before_six) in [
        (0, vec![2, 0, 0, 0], vec![10, 0, 0, 0]),
        (0, vec![0, 0, 0, 2], vec![30, 0, 0, 0]),
        (108, vec![0, 0, 0, 2], vec![0, 0, 0, 24]),
        (1, ethernet(0x0800, &[]), ethernet(0x86dd, &[])),
        (9, vec![0xff, 3, 0, 0x21], vec![0, 0x57]),
        (50, vec![0x21], vec![0xff, 3, 0x57]),
        (12, vec![], vec![]),
        (14, vec![], vec![]),
        (101, vec![], vec![]),
        (228, vec![], vec![]),
        (229, vec![], vec![]),
        (113, sll([8, 0]), sll([0x86, 0xdd])),
        (276, sll2([8, 0]), sll2([0x86, 0xdd])),
    ] {
        let link = Link::from_number(number).unwrap();
        assert_eq!(one(link, &[&before[..], &packet].concat()), ["a.test in 1"], "{number}");
        assert_eq!(one(link, &[&before_six[..], &six].concat()), ["a.test in 1"], "{number}");
    }
    assert_eq!(Link::from_number(127).unwrap_err().to_string(), "link type 127 (radiotap and IEEE 802.11)");
    assert_eq!(Link::from_number(4711).unwrap_err().to_string(), "link type 4711");
}

#[test]
fn tags_and_tunnels_are_looked_through() {
    let packet = hello_packet("a.test");
    let frame = ethernet(0x0800, &packet);
    let erspan3 =
        |platform: u8| [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1][..], &[0; 11], &[platform], &vec![0; 8 * usize::from(platform)]].concat();
    for (name, wrapped) in [
        ("VLAN", ethernet(0x8100, &[&[0, 7, 8, 0][..], &packet].concat())),
        ("QinQ", ethernet(0x88a8, &[&[0, 7, 0x81, 0, 0, 8, 8, 0][..], &packet].concat())),
        ("SNAP", ethernet(8 + packet.len() as u16, &[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &packet].concat())),
        ("MPLS", ethernet(0x8847, &[&[0, 1, 0, 64, 0, 1, 1, 64][..], &packet].concat())),
        ("MPLS with Ethernet", ethernet(0x8847, &[&[0, 1, 1, 64, 0, 0, 0, 0][..], &frame].concat())),
        ("PPPoE", ethernet(0x8864, &[&[0x11, 0, 0, 1, 0, 100, 0, 0x21][..], &packet].concat())),
        ("IP in IP", ethernet(0x0800, &ipv4(4, &packet))),
        ("GRE", ethernet(0x0800, &ipv4(47, &[&[0, 0, 8, 0][..], &packet].concat()))),
        ("GRE with options", ethernet(0x0800, &ipv4(47, &[&[0xb0, 0, 8, 0][..], &[0; 12], &packet].concat()))),
        ("GRE with Ethernet", ethernet(0x0800, &ipv4(47, &[&[0, 0, 0x65, 0x58][..], &frame].concat()))),
        ("ERSPAN I", ethernet(0x0800, &ipv4(47, &[&[0, 0, 0x88, 0xbe][..], &frame].concat()))),
        ("ERSPAN II", ethernet(0x0800, &ipv4(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..], &frame].concat()))),
        ("ERSPAN III", ethernet(0x0800, &ipv4(47, &[&erspan3(0)[..], &frame].concat()))),
        ("ERSPAN III with a platform", ethernet(0x0800, &ipv4(47, &[&erspan3(1)[..], &frame].concat()))),
        ("VXLAN", ethernet(0x0800, &udp(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &frame].concat()))),
        ("Geneve", ethernet(0x0800, &udp(6081, &[&[1, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 4][..], &frame].concat()))),
    ] {
        let mut fed = Fed::default();
        fed.packet(Link::Ethernet, &wrapped);
        let [sighting] = &fed.sightings[..] else { panic!("{name}: {:?}", fed.said()) };
        // The inner ends.
        assert_eq!(sighting.flow.map(|flow| flow.source), Some(CLIENT.into()), "{name}");
        assert_eq!(one(Link::Ethernet, &wrapped), ["a.test in 1"], "{name}");
    }
    // As many as an attacker likes end somewhere.
    let deep = (0..100).fold(packet, |packet, _| ipv4(4, &packet));
    assert_eq!(one(Link::Ip, &deep), [""; 0]);
}

/// The two fragments of a packet of IPv4.
fn in_fragments(packet: &[u8], at: u16) -> [Vec<u8>; 2] {
    let (header, _) = etherparse::Ipv4Header::from_slice(packet).unwrap();
    let payload = &packet[20..];
    [(0, at, true), (at, payload.len() as u16, false)].map(|(from, to, more)| {
        let mut header = header.clone();
        header.identification = 77;
        header.more_fragments = more;
        header.fragment_offset = IpFragOffset::try_new(from / 8).unwrap();
        header.set_payload_len(usize::from(to - from)).unwrap();
        [&header.to_bytes()[..], &payload[usize::from(from)..usize::from(to)]].concat()
    })
}

#[test]
fn fragments_are_put_together_in_either_order() {
    let [first, last] = in_fragments(&hello_packet("a.test"), 64);
    for order in [[&first, &last], [&last, &first]] {
        let mut fed = Fed::default();
        // One twice is one.
        for fragment in [order[0], order[0], order[1]] {
            fed.packet(Link::Ip, fragment);
        }
        assert_eq!(fed.said(), ["a.test in 1"]);
        assert_eq!(fed.sightings[0].packet, Some(3));
    }
    // What is not whole holds no more than it may, however much comes.
    let mut fed = Fed::default();
    for i in 0..20_000_u16 {
        let mut fragment = first.clone();
        fragment[4..6].copy_from_slice(&i.to_be_bytes());
        fed.packet(Link::Ip, &fragment);
    }
    assert!(fed.said().is_empty());
    fed.packet(Link::Ip, &first);
    fed.packet(Link::Ip, &last);
    assert_eq!(fed.said(), ["a.test in 1"]);
}

#[test]
fn ipv6_headers_and_fragments_are_read() {
    let packet = ipv6(&client_hello("a.test", &[]));
    let segment = &packet[40..];
    let with = |extensions: &[&[u8]], first: u8| {
        let payload = extensions.concat();
        let header = Ipv6Header {
            payload_length: payload.len() as u16,
            next_header: first.into(),
            hop_limit: 64,
            source: [1; 16],
            destination: [2; 16],
            ..Ipv6Header::default()
        };
        [&header.to_bytes()[..], &payload].concat()
    };
    // Hop-by-hop options, routing, destination options, each naming what follows.
    let options = with(&[&[43, 0, 1, 4, 0, 0, 0, 0], &[60, 0, 0, 0, 0, 0, 0, 0], &[6, 0, 1, 4, 0, 0, 0, 0], segment], 0);
    assert_eq!(one(Link::Ip, &options), ["a.test in 1"]);
    let mut fed = Fed::default();
    let fragments = [(64, segment.len(), 0u8), (0, 64, 1)]
        .map(|(from, to, more)| with(&[&[6, 0, (from >> 8) as u8, from as u8 | more, 0, 0, 0, 9], &segment[from..to]], 44));
    for fragment in &fragments {
        fed.packet(Link::Ip, fragment);
    }
    assert_eq!(fed.said(), ["a.test in 1"]);
    // A fragment header of a packet that is whole (RFC 6946).
    assert_eq!(one(Link::Ip, &with(&[&[6, 0, 0, 0, 0, 0, 0, 9], segment], 44)), ["a.test in 1"]);
}

#[test]
fn padding_is_none_of_the_bytes_and_a_length_of_zero_is_what_was_captured() {
    let hello = client_hello("a.test", &[]);
    let (first, rest) = hello.split_at(3);
    let mut fed = Fed::default();
    fed.packet(Link::Ethernet, &ethernet(0x0800, &[&tcp(CLIENT, SERVER, 1, "A", first)[..], &[0; 6]].concat()));
    // A card that cuts the segments itself is given one of no length.
    let mut packet = tcp(CLIENT, SERVER, 4, "A", rest);
    packet[2..4].fill(0);
    fed.packet(Link::Ethernet, &ethernet(0x0800, &packet));
    assert_eq!(fed.said(), ["a.test in 2"]);
}

#[test]
fn what_is_neither_tcp_nor_udp_is_counted() {
    let mut fed = Fed::default();
    fed.packet(Link::Ethernet, &ethernet(0x0806, &[0; 28]));
    fed.packet(Link::Ip, &ipv4(1, &[8, 0, 0, 0]));
    fed.packet(Link::Ip, b"");
    fed.packet(Link::Ip, &hello_packet("a.test"));
    let (_, summary) = fed.end();
    assert_eq!((summary.packets, summary.other_packets), (4, 3));
}
