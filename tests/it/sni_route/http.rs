//! HTTP beside TLS: the Host of the first request decides.

use super::rule;
use crate::{support::*, tls};
use std::{io::Write, net::Shutdown};

#[test]
fn a_request_reaches_the_target_of_its_host_beside_tls() {
    let rules = [rule("a.test", "a"), rule("*.b.test", "b"), rule("http://*.b.test", "http b"), rule("tls://c.test", "c")];
    let args: Vec<&str> = ["sni-route", "0"].into_iter().chain(rules.iter().map(String::as_str)).collect();
    let mut tapline = Tapline::start(&args);
    for (head, answer) in [
        ("GET / HTTP/1.1\r\nHost: a.test\r\n", "a"),
        ("POST /x HTTP/1.1\r\nAccept: */*\r\nhost:A.Test.:8080\r\n", "a"),
        ("GET / HTTP/1.0\r\nHost: a.test\r\n", "a"),
        ("GET / HTTP/1.1\r\nHost: x.b.test\r\n", "http b"),
        ("GET http://x.b.test/ HTTP/1.1\r\nHost: a.test\r\n", "http b"),
        ("GET /http://x.b.test/ HTTP/1.1\r\nHost: a.test\r\n", "a"),
    ] {
        assert_eq!(heard(tapline.addr(), format!("{head}\r\n").as_bytes()), answer, "{head:?}");
    }
    assert_eq!(super::hear(tapline.addr(), "x.b.test"), "b");
    assert_eq!(super::hear(tapline.addr(), "c.test"), "c");
    let routed = tapline.event("routed");
    assert_eq!((&routed["scheme"], &routed["name"], &routed["outcome"]), (&"http".into(), &"a.test".into(), &"matched".into()));
    // A rule for TLS alone is none for HTTP.
    assert!(heard(tapline.addr(), b"GET / HTTP/1.1\r\nHost: c.test\r\n\r\n").starts_with("HTTP/1.1 421 Misdirected Request\r\n"));
}

#[test]
fn every_byte_arrives_however_the_head_is_cut_and_what_follows_goes_the_same_way() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["sni-route", "0", &format!("a.test={target}")]);
    let request = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody";
    let mut client = tapline.connect();
    drip(&mut client, request);
    let mut server = accept(&listener);
    assert_eq!(read_n(&mut server, request.len()), request);
    // The first request alone decides.
    let second = b"GET / HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n";
    client.write_all(second).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), second);
    drop(server);
    assert_eq!(tapline.closed()["failed"], false);
}

#[test]
fn refusals_are_answers_of_http() {
    let mut tapline = Tapline::start(&["sni-route", "0", &rule("a.test", "a"), "--hello-timeout", "300ms"]);
    for (request, status, outcome) in [
        (&b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n"[..], "421 Misdirected Request", "unknown_name"),
        (b"GET / HTTP/1.1\r\nHost: a..test\r\n\r\n", "421 Misdirected Request", "unknown_name"),
        (b"GET / HTTP/1.0\r\n\r\n", "421 Misdirected Request", "no_name"),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", "421 Misdirected Request", "no_name"),
        (b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "421 Misdirected Request", "no_name"),
        (b"GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "bad_hello"),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", "400 Bad Request", "bad_hello"),
        (b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", "400 Bad Request", "bad_hello"),
        (b"GET / HTTP/1.1\r\nHost: a.te", "408 Request Timeout", "bad_hello"),
    ] {
        let answer = heard(tapline.addr(), request);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())) && head.ends_with("\r\nConnection: close"), "{head}");
        let routed = tapline.event("routed");
        assert_eq!((&routed["outcome"], &routed["target"]), (&outcome.into(), &serde_json::Value::Null), "{answer}");
        tapline.closed();
    }
    let endless = [&b"GET / HTTP/1.1\r\nHost: a.test\r\nX: "[..], &vec![b'x'; 40_000]].concat();
    assert!(heard(tapline.addr(), &endless).starts_with("HTTP/1.1 431 "));
}

#[test]
fn http_2_without_tls_has_no_name_and_is_told_to_come_back_with_one() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut tapline = Tapline::start(&["sni-route", "0", &rule("**", "any")]);
    let mut client = tapline.connect();
    client.write_all(preface).unwrap();
    // SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED.
    assert_eq!(read_all(&mut client), b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d");
    let routed = tapline.event("routed");
    assert_eq!(routed["outcome"], "no_name");
    assert_eq!(routed["rule"], "no name that can be read: HTTP/2 without TLS");
    let tapline = Tapline::start(&["sni-route", "0", &rule("**", "any"), "--no-name", &naming("unnamed").to_string()]);
    assert_eq!(heard(tapline.addr(), preface), "unnamed");
}

#[test]
fn a_target_is_told_the_host_as_it_was_sent() {
    let (listener, target) = listener();
    let tapline = Tapline::start(&["sni-route", "0", &format!("a.test={target}"), "--send-proxy", "v2"]);
    let mut client = tapline.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: A.Test.:80\r\n\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let got = read_all(&mut accept(&listener));
    // PP2_TYPE_AUTHORITY, its length, the name.
    assert!(got.windows(10).any(|window| window == b"\x02\0\x07A.Test."), "{got:?}");
    assert!(got.ends_with(b"Host: A.Test.:80\r\n\r\n"));
}

#[test]
fn tls_and_http_of_one_name_share_a_rule() {
    let (issued, to) = super::tls_naming("a.test");
    let tapline = Tapline::start(&["sni-route", "0", &format!("tls://a.test={to}"), &rule("http://a.test", "use https")]);
    let mut client = tls::client(tapline.connect(), tls::trusting(&issued.ca, &["h2"]), "a.test");
    client.write_all(b"?").unwrap();
    assert_eq!(read_n(&mut client, 6), b"a.test");
    assert_eq!(heard(tapline.addr(), b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"), "use https");
}
