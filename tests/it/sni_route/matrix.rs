//! Every way in which a hello can be cut, grown or spelled: each reaches the target of its name with all of its bytes, or is
//! refused by name. Routers that fall back to a default here are a class of vulnerabilities (CVE-2026-32305).

use crate::{
    support::*,
    tls::{alert, hello, hello_with_name, in_records},
};
use serde_json::Value;
use std::{
    io::Write,
    net::{Shutdown, TcpListener},
};

const NAME: &str = "good.test";

/// A hello with so many bytes of padding (RFC 7685) before its server name, in as few records as it takes.
fn padded(name: &str, padding: usize) -> Vec<u8> {
    let small = hello_with_name(name.as_bytes());
    // The record's header, the message's, the fields, the length of the extensions.
    let (fields, extensions) = (&small[9..9 + 41], &small[9 + 43..]);
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let padding = [&[0, 21], &length(padding)[..], &vec![0; padding]].concat();
    let body = [fields, &length(padding.len() + extensions.len()), &padding, extensions].concat();
    let message = [&[1], &u32::try_from(body.len()).unwrap().to_be_bytes()[1..], &body].concat();
    in_records(&[&[0; 5][..], &message].concat(), 16_384)
}

fn at(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

/// Two TLS records that are cut at this byte of the hello.
fn cut_at(hello: &[u8], at: usize) -> Vec<u8> {
    let message = &hello[5..];
    let record = |part: &[u8]| [&[22, 3, 1], &u16::try_from(part.len()).unwrap().to_be_bytes()[..], part].concat();
    [record(&message[..at - 5]), record(&message[at - 5..])].concat()
}

/// Each part in a segment of its own.
fn arrives(tapline: &mut Tapline, listener: &TcpListener, parts: &[&[u8]], what: &str) {
    let mut client = tapline.connect();
    client.set_nodelay(true).unwrap();
    for part in parts {
        client.write_all(part).unwrap();
        wait_sent(&client);
    }
    client.shutdown(Shutdown::Write).unwrap();
    let mut server = accept(listener);
    assert!(read_all(&mut server) == parts.concat(), "{what}: not the bytes that were sent");
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(read_all(&mut client), b"answer", "{what}");
    let routed = tapline.event("routed");
    assert_eq!((&routed["outcome"], &routed["rule"]), (&"matched".into(), &NAME.into()), "{what}");
    assert_eq!(tapline.closed()["failed"], false, "{what}");
}

#[test]
fn a_hello_reaches_the_target_of_its_name_however_it_comes() {
    let (listener, target) = listener();
    let elsewhere = naming("must not be heard").to_string();
    let flags = ["--unknown-name", "--no-name", "--not-tls", "--bad-hello"].map(|flag| [flag, &elsewhere]).concat();
    let rule = format!("{NAME}={target}");
    let mut tapline = Tapline::start(&[&["sni-route", "0", &rule, &format!("**={elsewhere}")][..], &flags].concat());

    // With a post-quantum key share, as browsers send it: more than one segment of Ethernet.
    let big = hello(NAME, &["h2", "http/1.1"]);
    assert!(big.len() > 1400, "{} bytes", big.len());
    let name = at(&big, NAME);
    let small = hello_with_name(NAME.as_bytes());
    let cut = cut_at(&small, at(&small, NAME) + 4);
    let second = cut_at(&small, at(&small, NAME) - 9);
    let one_byte = [in_records(&small[..6], 1), in_records(&[&[0; 5], &small[6..]].concat(), 16_384)].concat();
    let drops: Vec<&[u8]> = small.chunks(1).collect();
    let single = in_records(&small, 1);
    for (what, parts) in [
        ("one record, one write", &[&big[..]][..]),
        ("two segments", &[&big[..1200], &big[1200..]]),
        ("two segments, cut inside the name", &[&big[..name + 4], &big[name + 4..]]),
        ("byte by byte", &drops),
        ("two records, cut inside the name", &[&cut]),
        ("the same in two writes", &[&cut[..at(&cut, "good") + 4], &cut[at(&cut, "good") + 4..]]),
        ("a first record of one byte", &[&one_byte]),
        ("records of one byte", &[&single]),
        ("records of one byte, byte by byte", &single.chunks(1).collect::<Vec<_>>()),
        ("the name wholly in the second record", &[&second]),
        ("7.5 KB, the name last", &[&padded(NAME, 7_500)]),
        ("13.5 KB, the name last", &[&padded(NAME, 13_500)]),
        ("21 KB, the name last, in two records", &[&padded(NAME, 21_000)]),
        ("60 KB, the name last", &[&padded(NAME, 60_000)]),
        ("upper case", &[&hello_with_name(b"GOOD.Test")]),
        ("a trailing dot", &[&hello_with_name(b"good.test.")]),
        ("upper case and a trailing dot", &[&hello("GOOD.TEST", &[])]),
    ] {
        arrives(&mut tapline, &listener, parts, what);
    }
}

#[test]
fn a_hello_reaches_the_target_of_its_name_wherever_it_is_cut() {
    let (listener, target) = listener();
    let elsewhere = naming("must not be heard").to_string();
    let rule = format!("{NAME}={target}");
    let mut tapline =
        Tapline::start(&["sni-route", "0", &rule, "--unknown-name", &elsewhere, "--no-name", &elsewhere, "--bad-hello", &elsewhere]);
    let mut random = Xorshift::new(7);
    for round in 0..60 {
        let whole = if round % 2 == 0 { hello(NAME, &["h2"]) } else { padded(NAME, random.below(3_000) as usize) };
        // It is in one record yet. Records of any size, and segments that know nothing of them.
        let (message, mut sent) = (whole[5..].to_vec(), Vec::new());
        let mut rest = &message[..];
        while !rest.is_empty() {
            let (part, more) = rest.split_at((1 + random.below(900) as usize).min(rest.len()));
            sent.extend([&[22, 3, 1], &u16::try_from(part.len()).unwrap().to_be_bytes()[..], part].concat());
            rest = more;
        }
        let mut parts = Vec::new();
        let mut left = &sent[..];
        while !left.is_empty() {
            let (part, more) = left.split_at((1 + random.below(1_400) as usize).min(left.len()));
            parts.push(part);
            left = more;
        }
        arrives(&mut tapline, &listener, &parts, &format!("round {round}, {} segments", parts.len()));
    }
}

#[test]
fn what_is_not_that_name_is_refused_and_said_as_what_it_is() {
    let mut tapline = Tapline::start(&["sni-route", "0", &format!("{NAME}=builtin:discard"), "--hello-timeout", "300ms"]);
    let two_names = {
        let mut bytes = hello_with_name(b"good.test");
        let end = bytes.len();
        bytes.extend(b"\0\0\x09good.test");
        for at in [4, 8, end - 19, end - 15, end - 13] {
            bytes[at] += 12;
        }
        bytes
    };
    let whole = hello(NAME, &[]);
    let too_long = padded(NAME, 65_500);
    for (what, bytes, outcome, answer) in [
        ("another name before it", &hello_with_name(b"xgood.test")[..], "unknown_name", &alert(112)[..]),
        ("another name behind it", &hello_with_name(b"good.test.evil"), "unknown_name", &alert(112)),
        ("a NUL inside", &hello_with_name(b"good.test\0.evil"), "unknown_name", &alert(112)),
        ("a NUL behind", &hello_with_name(b"good.test\0"), "unknown_name", &alert(112)),
        ("two trailing dots", &hello_with_name(b"good.test.."), "unknown_name", &alert(112)),
        ("an IP literal", &hello_with_name(b"192.0.2.1"), "unknown_name", &alert(112)),
        ("no server name", &hello("127.0.0.1", &[]), "no_name", &alert(112)),
        ("an empty server name", &hello_with_name(b""), "bad_hello", &alert(50)),
        ("two server names", &two_names, "bad_hello", &alert(50)),
        ("more than 64 KiB", &too_long, "bad_hello", &alert(50)),
        ("a banner of SSH", b"SSH-2.0-OpenSSH_9.6\r\n", "not_tls", b""),
        ("half, then silence", &whole[..whole.len() / 2], "bad_hello", &alert(50)),
        ("silence", b"", "bad_hello", b""),
    ] {
        let mut client = tapline.connect();
        client.write_all(bytes).unwrap();
        assert_eq!(read_all(&mut client), answer, "{what}");
        drop(client);
        let routed = tapline.event("routed");
        assert_eq!((&routed["outcome"], &routed["target"]), (&outcome.into(), &Value::Null), "{what}");
        assert_eq!(tapline.closed()["failed"], true, "{what}");
    }
    let mut client = tapline.connect();
    client.write_all(&whole[..whole.len() / 2]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), alert(50));
}
