//! What a client speaks is named once, and its bytes are shown all the same.

use super::Shown;
use crate::{support::*, tls};
use serde_json::{Value, json};
use std::io::Write;

/// What is said of a client that sends these bytes one by one and ends.
fn recognised(bytes: &[u8]) -> Value {
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1", "--discard"]);
    let mut client = tapline.connect();
    drip(&mut client, bytes);
    drop(client);
    tapline.wait();
    let mut all: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "recognised").cloned().collect();
    assert_eq!(all.len(), 1, "{:#?}", tapline.seen);
    let mut one = all.remove(0);
    assert_eq!((one["event"].take(), one["id"].take()), ("recognised".into(), 1.into()));
    one.as_object_mut().unwrap().retain(|_, value| !value.is_null() && *value != json!([]));
    one
}

#[test]
fn each_protocol_is_named_with_what_it_says_of_itself() {
    for (bytes, what) in [
        (
            &b"POST /form?secret HTTP/1.1\r\nHost: a.test:81\r\n\r\nbody"[..],
            json!({ "protocol": "http", "method": "POST", "path": "/form", "name": "a.test:81", "version": "HTTP/1.1" }),
        ),
        (b"GET /unfinished HTTP/1.0\r\nHo", json!({ "protocol": "http", "method": "GET", "path": "/unfinished", "version": "HTTP/1.0" })),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", json!({ "protocol": "http2" })),
        (b"SSH-2.0-OpenSSH_9.6\r\n", json!({ "protocol": "ssh", "version": "SSH-2.0-OpenSSH_9.6" })),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", json!({ "protocol": "proxy_v1" })),
        (b"\0\0\0\x08\x04\xd2\x16\x2f", json!({ "protocol": "postgres" })),
        (b"hello\n", json!({ "protocol": "unknown" })),
        (b"GE", json!({ "protocol": "unknown" })),
        (
            &tls::hello("www.a.test", &["h2", "http/1.1"]),
            json!({ "protocol": "tls", "name": "www.a.test", "alpn": ["h2", "http/1.1"], "version": "TLSv1.3" }),
        ),
        (&[22, 3, 1, 0, 4, 2, 0, 0, 0], json!({ "protocol": "tls", "malformed": "a handshake message that is no ClientHello at byte 5" })),
    ] {
        assert_eq!(recognised(bytes), what, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn people_read_it_in_one_line_before_the_bytes_and_it_cannot_steer_a_terminal() {
    let mut shown = Shown::start(&["0", "--connections", "1"]);
    let request = b"GET / HTTP/1.1\r\nHost: \x1b[2J\xe2\x80\xae\r\n\r\n";
    let mut client = connect(shown.addr);
    client.write_all(request).unwrap();
    drop(client);
    let line = shown.line();
    // A Host with control characters is no Host.
    assert!(line.starts_with("#1 looks like HTTP: GET /, HTTP/1.1") && !line.contains('\x1b'), "{line}");
    let (rest, code) = shown.rest();
    assert!(rest.starts_with(request), "{}", String::from_utf8_lossy(&rest));
    assert_eq!(code, Some(0));
}

#[test]
fn text_of_no_protocol_has_no_line_of_its_own() {
    let mut shown = Shown::start(&["0", "--connections", "1"]);
    connect(shown.addr).write_all(b"hello\n").unwrap();
    assert_eq!(shown.line(), "hello\n");
    assert!(String::from_utf8(shown.rest().0).unwrap().starts_with("#1 127.0.0.1:"));
}
