//! `tapline sni-peek`: the first words of each client.

mod datagrams;
mod files;
mod forms;
mod then;

use crate::{
    support::*,
    tls::{self, alert, hello, hello_with_name, in_records},
};
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr},
    time::Duration,
};

/// Shows one client whose first words are `bytes`, and returns the result, its `closed` and what the client got.
fn peek(bytes: &[u8]) -> (Value, Value, Vec<u8>) {
    let mut tapline = Tapline::start(&["sni-peek", "0", "--connections", "1"]);
    let mut client = tapline.connect();
    client.write_all(bytes).unwrap();
    // An end and not a reset: what came before it was read.
    let got = read_all(&mut client);
    drop(client);
    let closed = tapline.closed();
    assert_eq!(tapline.wait().code(), Some(i32::from(closed["failed"] == true)));
    let mut all = results(&mut tapline);
    assert_eq!(all.len(), 1, "{all:#?}");
    (all.remove(0), closed, got)
}

/// What people see of one client.
fn peek_for_people(bytes: &[u8]) -> String {
    let mut command = program();
    let mut child = command.args(["sni-peek", "0", "--connections", "1"]).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut first).unwrap();
    let addr: SocketAddr = first.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    let mut client = connect(addr);
    client.write_all(bytes).unwrap();
    read_all(&mut client);
    drop(client);
    let (mut rest, mut stdout) = (String::new(), String::new());
    stderr.read_to_string(&mut rest).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.wait().unwrap();
    for text in [&rest, &stdout] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    stdout
}

#[test]
fn a_hello_is_shown_with_everything_that_it_says() {
    let bytes = hello("www.example.test", &["h2", "http/1.1"]);
    let (seen, closed, got) = peek(&bytes);
    assert_eq!((&seen["event"], &seen["id"]), (&"hello".into(), &1.into()));
    assert_eq!(seen["sni"], "www.example.test");
    assert_eq!(seen["alpn"], json!(["h2", "http/1.1"]));
    assert_eq!(seen["versions"], json!(["TLSv1.3", "TLSv1.2"]));
    assert_eq!((&seen["size"], &seen["records"]), (&bytes.len().into(), &1.into()));
    assert!(seen["ciphers"].as_u64().unwrap() > 5 && seen["extensions"].as_u64().unwrap() > 5, "{seen}");
    assert_eq!(seen["peer"], closed["peer"]);
    assert_eq!(got, alert(40));
    assert_eq!(end_of(&closed), ("rule", "hello", "shown", false));
}

#[test]
fn a_real_client_is_told_by_an_alert_that_it_goes_no_further() {
    let mut tapline = Tapline::start(&["sni-peek", "0", "--connections", "1"]);
    let mut client = tls::client(tapline.connect(), tls::trusting("", &[]), "a.test");
    let error = client.write_all(b"hello").unwrap_err().to_string();
    assert!(error.contains("HandshakeFailure"), "{error}");
    drop(client);
    assert_eq!(tapline.wait().code(), Some(0));
    assert_eq!(results(&mut tapline)[0]["sni"], "a.test");
}

#[test]
fn people_get_one_line_for_each_hello() {
    let mut command = program();
    let mut child = command.args(["sni-peek", "0", "--connections", "2"]).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut first).unwrap();
    let addr: SocketAddr = first.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    for name in ["one.test", "127.0.0.1"] {
        let mut client = connect(addr);
        client.write_all(&hello(name, &[])).unwrap();
        assert_eq!(read_all(&mut client), alert(40));
    }
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{stdout}");
    assert!(lines[0].contains(" sni=one.test alpn=- versions=TLSv1.3,TLSv1.2 ciphers="), "{stdout}");
    assert!(lines[1].contains(" sni=- "), "{stdout}");
}

#[test]
fn a_hello_in_many_records_is_read_whole() {
    let whole = hello("www.example.test", &["h2"]);
    // Cut inside of the name, and everywhere.
    let name = whole.windows(4).position(|bytes| bytes == b"exam").unwrap();
    for size in [name + 2 - 5, 1] {
        let bytes = in_records(&whole, size);
        let (seen, _, got) = peek(&bytes);
        assert_eq!(seen["sni"], "www.example.test", "records of {size}");
        assert_eq!((&seen["records"], &seen["size"]), (&(whole.len() - 5).div_ceil(size).into(), &bytes.len().into()));
        assert_eq!(got, alert(40));
    }
}

#[test]
fn a_hello_that_comes_byte_by_byte_is_read_whole() {
    let bytes = hello_with_name(b"drop.by.drop.test");
    let mut tapline = Tapline::start(&["sni-peek", "0", "--connections", "1"]);
    let mut client = tapline.connect();
    drip(&mut client, &bytes);
    assert_eq!(read_all(&mut client), alert(40));
    drop(client);
    assert_eq!(tapline.wait().code(), Some(0));
    let seen = results(&mut tapline).remove(0);
    assert_eq!((&seen["sni"], &seen["size"]), (&"drop.by.drop.test".into(), &bytes.len().into()));
}

#[test]
fn what_follows_the_hello_does_not_change_it_or_the_answer() {
    let mut bytes = hello("a.test", &[]);
    let size = bytes.len();
    bytes.extend(pattern(100_000));
    let (seen, closed, got) = peek(&bytes);
    assert_eq!((&seen["sni"], &seen["size"]), (&"a.test".into(), &size.into()));
    assert_eq!(got, alert(40));
    assert_eq!(closed["failed"], false);
}

#[test]
fn a_hello_without_a_name_says_so() {
    let (seen, closed, _) = peek(&hello("127.0.0.1", &[]));
    assert_eq!((&seen["event"], &seen["sni"], &seen["alpn"]), (&"hello".into(), &Value::Null, &json!([])));
    assert_eq!(closed["failed"], false);
}

#[test]
fn what_is_not_tls_is_named_and_closed_without_a_word() {
    for (bytes, protocol, words) in [
        (&b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..], "http", "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2", "HTTP/2 without TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh", "SSH"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n", "proxy_v1", "a PROXY header, version 1"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02", "proxy_v2", "a PROXY header, version 2"),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", "postgres", "PostgreSQL"),
        (b"hello there", "unknown", "unknown"),
    ] {
        let (seen, closed, got) = peek(bytes);
        assert_eq!((&seen["event"], &seen["protocol"]), (&"not_tls".into(), &protocol.into()));
        assert_eq!(got, b"");
        assert_eq!(end_of(&closed), ("client", "hello", format!("not TLS but {words}").as_str(), true));
    }
    assert!(peek_for_people(b"SSH-2.0-x\r\n").ends_with(" not TLS but SSH\n"));
}

#[test]
fn records_that_hold_no_hello_are_a_bad_hello_with_the_place() {
    for (bytes, offset) in [
        (&[22, 3, 1, 0, 5, 2, 0, 0, 1, 0][..], 5),
        (&[22, 3, 1, 0, 0], 3),
        (&[22, 3, 1, 0xff, 0xff], 3),
        (&[22, 3, 1, 0, 8, 1, 0, 0, 4, 9, 9, 9, 9], 9),
    ] {
        let (seen, closed, got) = peek(bytes);
        assert_eq!(seen["event"], "bad_hello", "{bytes:?}");
        assert!(seen["what"].is_string(), "{seen}");
        assert_eq!(seen["offset"], offset, "{seen}");
        assert_eq!(got, alert(50));
        let (by, during, why, failed) = end_of(&closed);
        assert_eq!((by, during, failed), ("client", "hello", true));
        assert!(why.contains(&format!("at byte {}", seen["offset"])), "{why}");
    }
    let line = peek_for_people(&[22, 3, 1, 0, 0]);
    assert!(line.ends_with(" bad hello: an empty record at byte 3\n"), "{line}");
}

#[test]
fn a_hello_that_contradicts_itself_is_shown_with_its_faults_and_told_so() {
    let good = hello_with_name(b"a.test");
    // The list of names is said to be longer than the extension.
    let mut bytes = good.clone();
    let at = bytes.len() - 11;
    bytes[at] = 0xff;
    let (seen, closed, got) = peek(&bytes);
    let fault = json!([{ "offset": at, "what": "a server name that cannot be read" }]);
    assert_eq!((&seen["event"], &seen["faults"], &seen["extensions"]), (&"hello".into(), &fault, &1.into()));
    assert_eq!(got, alert(50));
    assert_eq!(end_of(&closed), ("client", "hello", format!("a server name that cannot be read at byte {at}").as_str(), true));
    let line = peek_for_people(&bytes);
    assert!(line.ends_with(&format!(" faults=1: a server name that cannot be read at byte {at}\n")), "{line}");
    assert!(!peek_for_people(&good).contains("faults"));
}

#[test]
fn a_name_with_control_characters_cannot_steer_a_terminal() {
    let name = b"a\x1b[2J\x07\r\n\xe2\x80\xae.test\xff";
    let line = peek_for_people(&hello_with_name(name));
    assert!(line.contains(" sni=a\\u{1b}[2J\\u{7}\\r\\n\\u{202e}.test\\xff "), "{line:?}");
    assert_eq!(line.lines().count(), 1);
    // A program gets it as it is, in JSON that has no control characters either.
    let mut tapline = Tapline::start(&["sni-peek", "0", "--connections", "1"]);
    let mut client = tapline.connect();
    client.write_all(&hello_with_name(name)).unwrap();
    read_all(&mut client);
    drop(client);
    tapline.wait();
    let stdout = tapline.stdout();
    assert!(!stdout.trim_end().chars().any(|c| c.is_control() || c == '\u{202e}'), "{stdout:?}");
    let seen: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(seen["sni"], "a\u{1b}[2J\u{7}\r\n\u{202e}.test\\xff");
}

#[test]
fn a_client_that_says_nothing_or_half_a_hello_is_given_up_after_the_hello_timeout() {
    let unfinished = Some(("\"no end of the hello\"".to_owned(), 40.into()));
    for (bytes, cause, shown, answer) in [
        (&b""[..], "nothing for 200ms", None, (vec![], Err(ErrorKind::ConnectionReset))),
        (&hello("a.test", &[])[..40], "only 40 bytes of a hello in 200ms", unfinished, (vec![21, 3, 3, 0, 2, 2, 50], Ok(()))),
    ] {
        let mut tapline = Tapline::start(&["sni-peek", "0", "--connections", "1", "--hello-timeout", "200ms"]);
        let mut client = tapline.connect();
        client.write_all(bytes).unwrap();
        assert_eq!(read_to_any_end(&mut client), answer);
        drop(client);
        assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", cause, true));
        assert_eq!(tapline.wait().code(), Some(1));
        let stdout = tapline.stdout();
        let seen = (!stdout.is_empty()).then(|| serde_json::from_str::<Value>(&stdout).unwrap());
        assert_eq!(seen.map(|seen| (seen["what"].to_string(), seen["offset"].clone())), shown);
    }
}

#[test]
fn a_drip_does_not_stretch_the_hello_timeout() {
    let mut tapline = Tapline::start(&["sni-peek", "0", "--connections", "1", "--hello-timeout", "300ms"]);
    let mut client = tapline.connect();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let hello = hello("a.test", &[]);
    // A byte now and then, for as long as nothing comes back.
    let end = hello.iter().find_map(|byte| match client.write_all(&[*byte]).and_then(|()| client.read(&mut [0])) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
        other => Some(other.map_err(|error| error.kind())),
    });
    // The first byte of an alert.
    assert_eq!(end, Some(Ok(1)));
    drop(client);
    let closed = tapline.closed();
    assert_eq!((end_of(&closed).0, end_of(&closed).1), ("timeout", "hello"));
    assert!(end_of(&closed).2.starts_with("only "), "{closed}");
}

#[test]
fn a_client_that_ends_before_its_hello_is_whole_is_named() {
    for (bytes, cause) in [(&b""[..], "ended without a hello"), (&hello("a.test", &[])[..40], "ended after 40 bytes of a hello")] {
        let mut tapline = Tapline::start(&["sni-peek", "0", "--connections", "1"]);
        let mut client = tapline.connect();
        client.write_all(bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(end_of(&tapline.closed()), ("client", "hello", cause, true));
        assert_eq!(tapline.wait().code(), Some(1));
    }
}
