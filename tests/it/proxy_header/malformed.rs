//! Headers that are none: each ends its connection with one line that says what is wrong.

use super::*;
use crate::serving::listening;
use std::{
    io::{ErrorKind, Read},
    net::Shutdown,
};

/// What is sent, and a part of what is said about it.
fn table() -> Vec<(Vec<u8>, &'static str)> {
    let line = |text: &str| text.as_bytes().to_vec();
    let bits = |at: usize| {
        let ends = tapline::proxy_header::Ends {
            source: tapline::addr::Endpoint::Tcp("192.0.2.1:1".parse().unwrap()),
            destination: tapline::addr::Endpoint::Tcp("192.0.2.2:2".parse().unwrap()),
        };
        let announcement = tapline::proxy_header::Announcement { ends: Some(ends), ..Default::default() };
        let mut bytes = tapline::proxy_header::write(tapline::proxy_header::Version::V2, &announcement).unwrap();
        bytes[at] ^= 0x80;
        bytes
    };
    vec![
        // Nothing of the kind.
        (line("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "not a PROXY header: byte 0 is 0x47"),
        (line("SSH-2.0-x\r\n"), "byte 0 is 0x53"),
        (vec![22, 3, 1, 2, 0], "byte 0 is 0x16"),
        (line("PROXY\tTCP4"), "byte 5 is 0x09"),
        (line("proxy tcp4"), "byte 0 is 0x70"),
        (line("\r\n\r\nGET"), "byte 4 is 0x47"),
        // Version 1.
        (line("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\nGET"), "a single LF at byte 30"),
        (line("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rGET"), "a single CR at byte 30"),
        (line(&format!("PROXY UNKNOWN {}\r\n", "x".repeat(92))), "without CR LF in its first 107 bytes"),
        (line("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n"), "\"TCP5\""),
        (line("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n"), "\"tcp4\""),
        (line("PROXY UNKNOWN2\r\n"), "\"UNKNOWN2\""),
        (line("PROXY TCP4\r\n"), "0 fields"),
        (line("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"), "3 fields"),
        (line("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n"), "5 fields"),
        (line("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n"), "5 fields"),
        (line("PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n"), "source address \"1.2.3.04\""),
        (line("PROXY TCP4 1.2.3.4 a.test 1 2\r\n"), "destination address \"a.test\""),
        (line("PROXY TCP4 ::1 ::1 1 2\r\n"), "no IPv4 address"),
        (line("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n"), "no IPv6 address"),
        (line("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n"), "source port \"01\""),
        (line("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n"), "destination port \"65536\""),
        (line("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n"), "source port \"+1\""),
        (b"PROXY TCP4 1.2.3.4\x1b[31m 5.6.7.8 1 2\r\n".to_vec(), "[31m"),
        // Version 2.
        ([&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x11]].concat(), "version 1"),
        (v2(2, 0x11, &INET), "command 2"),
        (v2(1, 0x41, &INET), "address family 4"),
        (v2(1, 0x13, &INET), "transport 3"),
        (v2(1, 0x11, &INET[..11]), "length 11, too short for the 12 bytes"),
        (v2(1, 0x21, &INET), "length 12, too short for the 36 bytes"),
        (v2(1, 0x31, &[0; 215]), "length 215, too short for the 216 bytes"),
        (inet(b"\x04"), "1 stray bytes"),
        (inet(b"\x04\0\x02x"), "has length 2, and 1 bytes are left"),
        (inet(b"\x02\0\x01\xff"), "is not UTF-8"),
        (inet(&[&b"\x05\0\x81"[..], &[b'x'; 129]].concat()), "is longer than 128 bytes"),
        (inet(b"\x03\0\x04\0\0\0\0"), "with the CRC32C 0x00000000"),
        (bits(17), "with the CRC32C 0x"),
        (inet(b"\x20\0\x01\x01"), "has fewer than 5 bytes"),
        (inet(b"\x20\0\x08\x01\0\0\0\0\x21\0\x09"), "TLV 0x21"),
    ]
}

#[test]
fn each_is_refused_with_one_line_and_reaches_no_target() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo"]);
    for (bytes, reason) in table() {
        let mut client = tapline.connect();
        send(&mut client, &bytes);
        assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)), "{reason}");
        let closed = tapline.closed();
        let (by, during, why, failed) = end_of(&closed);
        assert_eq!((by, during, failed), ("client", "proxy_header", true), "{closed}");
        assert!(why.contains(reason) && !why.contains('\n'), "{reason}: {why}");
        assert!(closed["target"].is_null() && closed["client"] == closed["peer"], "{closed}");
    }
    echoes(&tapline, LINE);
    let untouched = tapline.seen.iter().all(|event| event["event"] != "dialed" && event["event"] != "announced");
    assert!(untouched, "{:?}", tapline.seen);
}

#[test]
fn each_is_one_line_for_people() {
    let table = table();
    let count = table.len().to_string();
    let (mut child, mut stderr, addr) =
        listening(program().args(["proxy", "0", "builtin:echo", "--connections", &count, "--max-connections", "1"]).args(ACCEPT));
    for (bytes, _) in &table {
        let mut client = connect(addr);
        send(&mut client, bytes);
        assert_eq!(read_to_any_end(&mut client).0, b"");
    }
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), table.len(), "{text}");
    for (line, (_, reason)) in lines.iter().zip(&table) {
        assert!(line.contains(": failed by client during PROXY header: ") && line.contains(reason), "{reason}: {line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
}

#[test]
fn one_that_never_comes_is_named() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo"]);
    for (bytes, reason) in [(&b""[..], "ended without a PROXY header"), (&LINE[..20], "ended after 20 bytes of a PROXY header")] {
        let mut client = tapline.connect();
        send(&mut client, bytes);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
        assert_eq!(end_of(&tapline.closed()), ("client", "proxy_header", reason, true));
    }
}

#[test]
fn one_that_is_late_ends_at_the_deadline_and_nothing_was_dialed() {
    let target = naming("server first");
    let mut tapline = accepting(&["proxy", "0", &target.to_string(), "--proxy-header-timeout", "200ms"]);
    let partial = inet(b"");
    for (bytes, reason) in [
        (&b""[..], "nothing for 200ms"),
        (&LINE[..LINE.len() - 1], "only 44 bytes of a PROXY header in 200ms"),
        (&partial[..16], "only 16 bytes of a PROXY header in 200ms"),
    ] {
        let mut client = tapline.connect();
        send(&mut client, bytes);
        assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
        assert_eq!(end_of(&tapline.closed()), ("timeout", "proxy_header", reason, true));
    }
    assert!(tapline.seen.iter().all(|event| event["event"] != "dialed"), "{:?}", tapline.seen);
}

#[test]
fn the_line_for_people_names_the_flag_of_the_deadline() {
    let args = ["proxy", "0", "builtin:echo", "--connections", "1", "--proxy-header-timeout", "100ms"];
    let (mut child, mut stderr, addr) = listening(program().args(args).args(ACCEPT));
    assert!(fate(addr).1.is_err());
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    assert!(text.contains("failed by timeout during PROXY header: nothing for 100ms (--proxy-header-timeout)"), "{text}");
}
