//! Segments, in whatever order and number.

use super::*;
use crate::hello::tests::in_records;
use proptest::prelude::*;

/// The sequence number of the first byte, so that it wraps within the hello.
const FIRST: u32 = u32::MAX - 99;

/// A connection of which the client says this in segments of so many bytes, and ends.
fn conversation(says: &[u8], size: usize) -> Fed {
    let mut fed = Fed::default();
    fed.segment(true, FIRST.wrapping_sub(1), "S", b"");
    fed.segment(false, 7, "SA", b"");
    for (i, part) in says.chunks(size).enumerate() {
        fed.segment(true, FIRST.wrapping_add((i * size) as u32), "A", part);
    }
    fed.segment(true, FIRST.wrapping_add(says.len() as u32), "FA", b"");
    fed
}

#[test]
fn a_hello_is_told_with_its_last_packet() {
    let hello = client_hello("a.test", &["h2"]);
    let mut fed = Fed::default();
    fed.segment(true, FIRST.wrapping_sub(1), "S", b"");
    fed.segment(true, FIRST, "A", &hello[..100]);
    assert!(fed.sightings.is_empty());
    fed.segment(true, FIRST.wrapping_add(100), "A", &hello[100..]);
    let [sighting] = &fed.sightings[..] else { panic!("{:?}", fed.said()) };
    assert_eq!((sighting.packet, sighting.packets, sighting.time), (Some(3), 2, Some(UNIX_EPOCH + Duration::from_secs(2))));
    let flow = Flow { transport: Transport::Tcp, source: CLIENT.into(), destination: SERVER.into() };
    assert_eq!(sighting.flow, Some(flow));
    let (said, summary) = fed.end();
    assert_eq!((said.len(), summary.packets, summary.streams, summary.hellos, summary.not_tls), (1, 3, 1, 1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_hello_in_any_segments_in_any_order_is_the_same(
        cuts in proptest::collection::vec(0usize..600, 0..20),
        overlaps in proptest::collection::vec((0usize..600, 1usize..200), 0..10),
        shuffle in any::<u64>(),
        record in 1usize..400,
        syn in any::<bool>(),
    ) {
        let hello = in_records(&client_hello("www.example.test", &["h2"]), record);
        let mut segments: Vec<(usize, &[u8])> = Vec::new();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % hello.len()).chain([0, hello.len()]).collect();
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            segments.push((pair[0], &hello[pair[0]..pair[1]]));
        }
        for (start, length) in overlaps {
            let start = start % hello.len();
            segments.push((start, &hello[start..hello.len().min(start + length)]));
        }
        let mut random = shuffle | 1;
        for i in (1..segments.len()).rev() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            segments.swap(i, (random % (i as u64 + 1)) as usize);
        }
        // Without a SYN it is not known what comes first, so that the first has to be first.
        if !syn {
            segments.sort_by_key(|(start, bytes)| (*start != 0 || bytes.len() < 12, *start));
        }
        let mut fed = Fed::default();
        if syn {
            fed.segment(true, FIRST.wrapping_sub(1), "S", b"");
        }
        for (start, bytes) in segments {
            fed.segment(true, FIRST.wrapping_add(start as u32), "A", bytes);
        }
        let [Sighting { greeting: Greeting::Tls(found), .. }] = &fed.sightings[..] else { panic!("{:?}", fed.said()) };
        prop_assert_eq!(found.name.to_string(), "www.example.test");
        prop_assert_eq!(found.size(), hello.len());
        prop_assert_eq!(&fed.end().1.malformed, &0);
    }
}

#[test]
fn of_two_copies_of_a_byte_the_first_counts() {
    let hello = client_hello("a.test", &[]);
    let mut fed = Fed::default();
    fed.segment(true, FIRST.wrapping_sub(1), "S", b"");
    // Before its turn, then once more with other bytes.
    fed.segment(true, FIRST.wrapping_add(50), "A", &hello[50..150]);
    fed.segment(true, FIRST.wrapping_add(40), "A", &[&hello[40..50], &[0xff; 100][..]].concat());
    fed.segment(true, FIRST, "A", &[&hello[..40], &[0xff; 60]].concat());
    fed.segment(true, FIRST.wrapping_add(150), "A", &hello[150..]);
    assert_eq!(fed.said(), ["a.test in 4"]);
}

#[test]
fn a_capture_that_began_late_may_be_out_of_order() {
    let hello = client_hello("a.test", &[]);
    for syn in [false, true] {
        let mut fed = Fed::default();
        fed.segment(true, FIRST.wrapping_add(120), "A", &hello[120..]);
        fed.segment(true, FIRST.wrapping_add(60), "A", &hello[60..120]);
        if syn {
            fed.segment(true, FIRST.wrapping_sub(1), "S", b"");
        }
        fed.segment(true, FIRST, "A", &hello[..60]);
        assert_eq!(fed.said(), ["a.test in 3"]);
    }
}

#[test]
fn what_was_taken_for_the_first_bytes_says_nothing_of_those_before() {
    let mut fed = Fed::default();
    fed.segment(true, 120, "A", b"x: y\r\n");
    fed.segment(true, 100, "A", b"GET / HTTP/1.1\r\nA: b");
    assert_eq!(fed.end().0, ["not TLS: HTTP"]);
}

#[test]
fn a_malformed_hello_came_in_all_the_packets_that_it_took_to_see_it() {
    let mut hello = client_hello("a.test", &[]);
    // The length of the session id, which stands far before the end of the hello.
    hello[43] = 255;
    assert_eq!(
        conversation(&hello, 60).end().0,
        [format!("a field that does not fit the hello at byte 43 in {}", hello.len().div_ceil(60))]
    );
}

#[test]
fn what_is_not_whole_at_the_end_is_told_as_unfinished() {
    let hello = client_hello("a.test", &[]);
    for flags in ["FA", "RA", "end", "server"] {
        let mut fed = Fed::default();
        fed.segment(true, FIRST.wrapping_sub(1), "S", b"");
        fed.segment(true, FIRST, "A", &hello[..100]);
        match flags {
            "end" => {}
            "server" => fed.segment(false, 8, "RA", b""),
            flags => fed.segment(true, FIRST.wrapping_add(100), flags, b""),
        }
        let before = fed.sightings.len();
        assert_eq!(before, usize::from(flags != "end"));
        let (said, summary) = fed.end();
        assert_eq!(said, ["no end of the hello at byte 100 in 1"], "{flags}");
        assert_eq!((summary.malformed, summary.hellos, summary.not_tls), (1, 0, 0));
    }
    // Its first bytes are those of TLS, and there is no telling what they would have become.
    assert_eq!(conversation(&hello[..3], 1).end().0, ["no end of the hello at byte 3 in 3"]);
    // Nor in the format of SSL 2.0.
    assert_eq!(conversation(b"\x80\x1f\x01\x03\x01\0\x06\0", 3).end().0, ["no end of the hello at byte 8 in 3"]);
}

#[test]
fn a_hello_with_a_hole_is_unfinished_and_one_behind_a_hole_is_found() {
    let hello = client_hello("a.test", &[]);
    // As a capture with a short snaplen leaves it.
    let mut fed = Fed::default();
    fed.segment(true, FIRST.wrapping_sub(1), "S", b"");
    fed.segment(true, FIRST, "A", &hello[..60]);
    fed.segment(true, FIRST.wrapping_add(100), "A", &hello[100..]);
    assert_eq!(fed.end().0, ["no end of the hello at byte 60 in 1"]);
    // What the client says to the proxy first was lost.
    let mut fed = Fed::default();
    fed.segment(true, FIRST.wrapping_sub(1), "S", b"");
    fed.segment(true, FIRST.wrapping_add(10), "A", b"\r\n\r\n");
    fed.segment(true, FIRST.wrapping_add(40), "A", &hello);
    assert!(fed.sightings.is_empty());
    assert_eq!(fed.end().0, ["a.test in 1"]);
}

#[test]
fn a_second_hello_is_marked_and_a_third_is_none() {
    let hello = client_hello("a.test", &[]);
    let change = [20, 3, 3, 0, 1, 1];
    for between in [&b""[..], &change] {
        let bytes = [&hello[..], between, &hello, &hello].concat();
        for size in [1, 50, 10_000] {
            let (said, summary) = conversation(&bytes, size).end();
            let packets = |from: usize, to: usize| to.div_ceil(size) - from / size;
            let second = hello.len() + between.len();
            let wanted =
                [format!("a.test in {}", packets(0, hello.len())), format!("again a.test in {}", packets(second, second + hello.len()))];
            assert_eq!(said, wanted, "segments of {size} bytes");
            assert_eq!((summary.hellos, summary.streams), (2, 1));
        }
    }
    // What follows a hello most often.
    for rest in [&[20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 1, 1][..], &[22, 3, 3, 0, 2, 16, 0], &[23, 3, 3, 0, 1, 1]] {
        assert_eq!(conversation(&[&hello[..], rest].concat(), 30).end().0.len(), 1);
    }
}

#[test]
fn a_port_that_is_used_again_begins_anew() {
    let (a, b) = (client_hello("a.test", &[]), client_hello("b.test", &[]));
    let mut fed = conversation(&a, 10_000);
    // The same SYN once more is a retransmission.
    fed.segment(true, FIRST.wrapping_sub(1), "S", b"");
    fed.segment(true, 4999, "S", b"");
    fed.segment(true, 5000, "A", &b);
    let (said, summary) = fed.end();
    assert_eq!(said, ["a.test in 1", "b.test in 1"]);
    assert_eq!(summary.streams, 2);
    // A capture of nothing but hellos.
    let mut fed = Fed::default();
    for (sequence, hello) in [(1000, &a), (1000, &a), (900_000, &b), (900_000, &b), (7, &a)] {
        fed.segment(true, sequence, "A", hello);
    }
    assert_eq!(fed.end().0, ["a.test in 1", "b.test in 1", "a.test in 1"]);
}

#[test]
fn what_stands_before_a_hello_is_named() {
    let hello = client_hello("a.test", &[]);
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x08\0\x07\0\x08";
    let mut mysql = [0; 36];
    mysql[..6].copy_from_slice(&[32, 0, 0, 1, 0, 0x0a]);
    for (before, said) in [
        (&b"CONNECT a.test:443 HTTP/1.1\r\nHost: x\r\n\r\n"[..], "HTTP CONNECT a.test:443"),
        (b"OPTIONS * HTTP/1.1\r\nUpgrade: TLS/1.0\r\n\r\n", "HTTP Upgrade -"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.8 7 8\r\n", "PROXY 192.0.2.7:7"),
        (v2, "PROXY 192.0.2.7:7"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.8 7 8\r\nCONNECT a.test:443 HTTP/1.1\r\n\r\n", "PROXY 192.0.2.7:7 HTTP CONNECT a.test:443"),
        (b"\x04\x01\x01\xbb\xc0\0\x02\x01user\0", "SOCKS4 192.0.2.1:443"),
        (b"\x04\x01\x01\xbb\0\0\0\x01\0a.test\0", "SOCKS4 a.test:443"),
        (b"\x05\x01\0\x05\x01\0\x03\x06a.test\x01\xbb", "SOCKS5 a.test:443"),
        (b"\x05\x02\0\x02\x01\x04user\x04word\x05\x01\0\x01\xc0\0\x02\x01\x01\xbb", "SOCKS5 192.0.2.1:443"),
        (b"\x05\x01\0\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb", "SOCKS5 [::1]:443"),
        (b"EHLO x\r\nSTARTTLS\r\n", "SMTP STARTTLS -"),
        (b"LHLO x\r\nstarttls\r\n", "SMTP STARTTLS -"),
        (b"a1 CAPABILITY\r\na2 STARTTLS\r\n", "IMAP STARTTLS -"),
        (b"CAPA\r\nSTLS\r\n", "POP3 STLS -"),
        (b"AUTH TLS\r\n", "FTP AUTH -"),
        (b"CAPABILITIES\r\nSTARTTLS\r\n", "STARTTLS -"),
        (b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037", "LDAP StartTLS -"),
        (b"<stream:stream to='a.test'><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "XMPP starttls -"),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", "PostgreSQL SSLRequest -"),
        (&mysql, "MySQL SSLRequest -"),
        (b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0", "RDP -"),
        (b"\x12\x01\0\x08\0\0\0\0\x12\x01\x02\0\0\0\0\0", "TDS prelogin -"),
        (b"something\0else", "unknown -"),
    ] {
        for size in [1, 7, 10_000] {
            let fed = conversation(&[before, &hello].concat(), size);
            let [sighting] = &fed.sightings[..] else { panic!("{said} in segments of {size}: {:?}", fed.said()) };
            assert!(super::said(sighting).starts_with(&format!("{said} a.test in ")), "{said}: {}", super::said(sighting));
            assert_eq!(sighting.before.iter().map(|before| before.size).sum::<usize>(), before.len(), "{said}");
        }
    }
}

#[test]
fn what_is_no_tls_is_named_once_and_what_is_tls_without_a_hello_is_counted() {
    for (client, server, said) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], &b"HTTP/1.1 200 OK\r\n\r\n"[..], &["not TLS: HTTP"][..]),
        (b"GET / HTTP/1.1\r\nHost: a.t", b"", &["not TLS: HTTP"]),
        (b"SSH-2.0-x\r\n", b"SSH-2.0-y\r\n", &["not TLS: SSH"]),
        (b"hello\n", b"world\n", &["not TLS: unknown"]),
        (b"", b"220 ready\r\n", &["not TLS: unknown"]),
        // A hello in what is uploaded is none.
        (b"POST / HTTP/1.1\r\n\r\n\x16\x03\x01\0\x2a\x01\0\0\x26\x03\x03", b"", &["not TLS: HTTP"]),
        (b"", b"", &[]),
        (b"", b"\x16\x03\x03\0\x30\x02\0\0\x2c\x03\x03", &[]),
        (b"\x17\x03\x03\0\x01\x01", b"\x17\x03\x03\0\x01\x01", &[]),
    ] {
        for syn in [true, false] {
            let mut fed = Fed::default();
            if syn {
                fed.segment(true, 99, "S", b"");
                fed.segment(false, 6, "SA", b"");
            }
            fed.segment(true, 100, "A", client);
            fed.segment(false, 7, "A", server);
            let (all, summary) = fed.end();
            assert_eq!(all, said);
            let data = u64::from(!client.is_empty() || !server.is_empty());
            assert_eq!((summary.streams, summary.not_tls), (data, said.len() as u64));
            assert_eq!(summary.without_hello, data - said.len() as u64);
        }
    }
}

#[test]
fn what_is_held_is_bounded() {
    // More connections than are remembered: the oldest are told, and given up.
    let mut fed = Fed::default();
    let hello = client_hello("a.test", &[]);
    for i in 0..super::super::table::MOST + 10 {
        let client = ([10, 0, (i >> 8) as u8, i as u8], 50_000);
        fed.packet(Link::Ip, &tcp(client, SERVER, 1, "A", &hello[..100]));
    }
    assert_eq!(fed.said(), vec!["no end of the hello at byte 100 in 1"; 10]);
    assert_eq!(fed.capture.summary.given_up, 10);
    // More bytes than are held.
    let mut fed = Fed::default();
    let long = [&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0, 3, 3][..], &[0; 16_000]].concat();
    for i in 0..4000_u32 {
        let client = ([10, 0, (i >> 8) as u8, i as u8], 50_000);
        fed.packet(Link::Ip, &tcp(client, SERVER, 1, "A", &long));
    }
    assert!(fed.capture.summary.given_up > 1000, "{:?}", fed.capture.summary);
    // What never ends is not read to its end.
    let (said, _) = conversation(&vec![0xaa; 200_000], 1000).end();
    assert_eq!(said, ["not TLS: unknown"]);
    let endless = in_records(&[&hello[..7], &[0xff; 2], &vec![0; 70_000]].concat(), 50);
    assert_eq!(conversation(&endless, 1000).end().0, ["no end of the hello at byte 69632 in 70"]);
}
