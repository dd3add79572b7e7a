use super::*;
use crate::hello::{Name, tests::client_hello};
use std::fmt::Write;

/// The names of all hellos, and how they came.
fn names(input: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let summary = read(input, &mut |sighting| {
        assert_eq!((sighting.time, sighting.flow, sighting.packet), (None, None, None));
        let before: String = sighting.before.iter().flat_map(|before| [before.protocol.to_string(), " ".into()]).collect();
        let second = if sighting.second { " again" } else { "" };
        names.push(match sighting.greeting {
            Greeting::Tls(hello) => format!("{before}{}{second}", hello.name),
            other => format!("{before}{other:?}"),
        });
        ControlFlow::Continue(())
    });
    assert_eq!(summary.unwrap().hellos as usize, names.len(), "{names:?}");
    names
}

fn error(input: &[u8]) -> String {
    read(input, &mut |sighting| panic!("{sighting:?}")).unwrap_err().to_string()
}

fn hex(bytes: &[u8], group: usize, between: &str) -> String {
    let groups: Vec<String> = bytes.chunks(group).map(|chunk| chunk.iter().fold(String::new(), |s, b| s + &format!("{b:02x}"))).collect();
    groups.join(between)
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

#[test]
fn each_form_of_a_hello_is_found_out() {
    let record = client_hello("a.test", &["h2"]);
    let message = &record[5..];
    let columns = |line: &str| line.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\r\n").collect::<String>();
    for bytes in [&record[..], message] {
        assert_eq!(names(bytes), ["a.test"]);
        for text in [
            hex(bytes, 1, ""),
            hex(bytes, 1, " "),
            hex(bytes, 1, ":").to_uppercase(),
            hex(bytes, 4, "\n"),
            format!("\u{feff}{}\n", hex(bytes, 2, " ")),
            format!("{{ 0x{} }};", hex(bytes, 1, ", 0x")),
            format!("\"\\x{}\"", hex(bytes, 1, "\\x")),
            base64(bytes),
            columns(&base64(bytes)),
            base64(bytes).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned(),
            format!("-----BEGIN CLIENT HELLO-----\n{}-----END CLIENT HELLO-----\n", columns(&base64(bytes))),
        ] {
            assert_eq!(names(text.as_bytes()), ["a.test"], "{text}");
        }
    }
}

/// The column of characters, in which some look like digits.
fn characters(row: &[u8]) -> String {
    row.iter().map(|byte| if byte.is_ascii_graphic() { *byte as char } else { '.' }).collect()
}

#[test]
fn dumps_with_offsets_are_read() {
    // The last row is short, and all its characters are digits.
    let mut bytes = client_hello("a.test", &[]);
    bytes.truncate(bytes.len() / 16 * 16);
    bytes.extend(b"ab 12");
    let dump = |row: &dyn Fn(usize, &[u8]) -> String| bytes.chunks(16).enumerate().map(|(i, chunk)| row(16 * i, chunk)).collect::<String>();
    let xxd = dump(&|at, row| format!("{at:08x}: {:39}  {}\n", hex(row, 2, " "), characters(row)));
    let canonical = dump(&|at, row| {
        let (low, high) = row.split_at(row.len().min(8));
        format!("{at:08x}  {:48}  |{}|\n", format!("{}  {}", hex(low, 1, " "), hex(high, 1, " ")), characters(row))
    }) + &format!("{:08x}\n", bytes.len());
    let wireshark = dump(&|at, row| format!("{at:04x}   {:47}   {}\n", hex(row, 1, " "), characters(row)));
    let tcpdump = dump(&|at, row| format!("\t0x{at:04x}:  {:39}  {}\n", hex(row, 2, " "), characters(row)));
    for text in [xxd, canonical, wireshark, tcpdump] {
        assert!(text::decode(text.as_bytes()).first() == Some(&bytes), "{text}");
    }
    // A row that repeats is written once.
    let text = "00000000  01 02 03 04 05 06 07 08  01 02 03 04 05 06 07 08  |........|\n*\n00000030  09  |.|\n00000031\n";
    assert_eq!(text::decode(text.as_bytes())[0], [[1, 2, 3, 4, 5, 6, 7, 8].repeat(6), vec![9]].concat());
    // Offsets that are none are digits of the bytes.
    assert_eq!(text::decode(b"1603 0100\n0001 0002")[0], [0x16, 3, 1, 0, 0, 1, 0, 2]);
    assert!(text::decode(b"00000000  01\n*\nffffffff\n").is_empty());
}

#[test]
fn several_hellos_are_all_found() {
    let (a, b) = (client_hello("a.test", &[]), client_hello("b.test", &[]));
    assert_eq!(names(&[&a[..], &b].concat()), ["a.test", "b.test"]);
    assert_eq!(names(&[&a[5..], &b[5..]].concat()), ["a.test", "b.test"]);
    // The second hello of one client, behind a ChangeCipherSpec.
    assert_eq!(names(&[&a[..], &[20, 3, 3, 0, 1, 1], &a, &b].concat()), ["a.test", "a.test again", "b.test"]);
    let (mut one, mut lines) = (String::new(), String::new());
    for hello in [&a, &b] {
        writeln!(one, "{}", hex(hello, 1, "")).unwrap();
        writeln!(lines, "{}", base64(hello)).unwrap();
    }
    assert_eq!(names(one.as_bytes()), ["a.test", "b.test"]);
    assert_eq!(names(lines.as_bytes()), ["a.test", "b.test"]);
    // What a client says to a proxy first, and what it sends afterwards.
    let bytes = [&b"CONNECT a.test:443 HTTP/1.1\r\n\r\n"[..], &a, &[23, 3, 3, 0, 2, 1, 1]].concat();
    assert_eq!(names(&bytes), ["HTTP CONNECT a.test"]);
}

#[test]
fn a_hello_that_is_not_whole_is_told_as_such() {
    let hello = client_hello("a.test", &[]);
    for bytes in [&hello[..100], &hello[5..100], &hello[..2], b"\x80\x1f\x01\x03\x01\0"] {
        let mut told = Vec::new();
        let summary = read(bytes, &mut |sighting| {
            told.push(sighting.greeting);
            ControlFlow::Continue(())
        });
        assert_eq!(summary.unwrap().malformed, 1);
        assert_eq!(told, [Greeting::Malformed(hello::Malformed { offset: bytes.len(), what: "no end of the hello" })]);
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_what_it_looks_like() {
    for (input, said) in [
        (&b""[..], "it is empty"),
        (b"\x1f\x8b\x08\0", "it is compressed by gzip; decompress it first"),
        (b"hello, world\n", "looks like text"),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "looks like HTTP"),
        (b"SSH-2.0-x\r\n", "looks like SSH"),
        (b"\x16\x03\x03\0\x04\x02\0\0\0", "looks like TLS without a ClientHello"),
        (b"00 01 02", "looks like text that stands for 3 other bytes"),
        (b"\x7fELF\0\xff", "looks like something that begins with the bytes 7f 45 4c 46 00 ff"),
        (&vec![b'x'; MOST + 1], "longer than the 1 MiB"),
    ] {
        let error = error(input);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn no_more_is_told_to_who_wants_no_more() {
    let hello = client_hello("a.test", &[]);
    let mut told = 0;
    let summary = read(&[&hello[..], &hello].concat()[..], &mut |sighting| {
        assert!(matches!(sighting.greeting, Greeting::Tls(hello) if matches!(hello.name, Name::Dns(_))));
        told += 1;
        ControlFlow::Break(())
    });
    assert_eq!((told, summary.unwrap().hellos), (1, 1));
}

#[test]
fn a_datagram_is_read_as_it_is_and_as_text() {
    let datagram = include_bytes!("../../../tests/data/rfc9001-client-initial.datagram");
    assert_eq!(names(datagram), ["example.com"]);
    assert_eq!(names(hex(datagram, 1, " ").as_bytes()), ["example.com"]);
    assert_eq!(names(base64(datagram).as_bytes()), ["example.com"]);
}

#[test]
fn the_older_format_and_a_capture_in_text_are_read() {
    // A hello of SSL 2.0 that offers TLS 1.0: two ciphers, a challenge of 16 bytes.
    let ssl2 = [&[0x80, 0x1f, 1, 3, 1, 0, 6, 0, 0, 0, 16, 0, 0, 0x2f, 0, 0, 0x35][..], &[7; 16]].concat();
    assert_eq!(names(&ssl2), ["-"]);
    let hello = client_hello("a.test", &[]);
    let total = (40 + hello.len()) as u32;
    let header = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x65\0\0\0";
    let mut ip = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    ip[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    let tcp = [0xc0, 0, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0];
    let capture = [&header[..], &[0; 8], &total.to_le_bytes(), &total.to_le_bytes(), &ip, &tcp, &hello].concat();
    for bytes in [capture.clone(), base64(&capture).into_bytes()] {
        let mut flows = Vec::new();
        let summary = read(&bytes[..], &mut |sighting| {
            flows.push(sighting.flow.unwrap().destination.to_string());
            ControlFlow::Continue(())
        });
        assert_eq!((flows, summary.unwrap().packets), (vec!["10.0.0.2:443".to_owned()], 1));
    }
}
