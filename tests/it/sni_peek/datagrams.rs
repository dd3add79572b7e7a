//! `sni-peek --udp`.

use crate::{support::*, tls::hello_with_name};
use serde_json::{Value, json};
use std::{io::ErrorKind, net::UdpSocket};

/// The client's Initial of RFC 9001 appendix A.2, to this connection id, from an empty one.
const INITIAL: &[u8] = include_bytes!("../../data/rfc9001-client-initial.datagram");
const DESTINATION: &[u8] = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";

fn client(tapline: &Tapline) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.connect(tapline.addr()).unwrap();
    socket
}

/// A record of DTLS 1.2 for each fragment of so many bytes of a hello.
fn dtls(name: &str, size: usize) -> Vec<Vec<u8>> {
    let message = &hello_with_name(name.as_bytes())[5..];
    let after_session_id = 39 + usize::from(message[38]);
    let body = [b"\xfe\xfd", &message[6..after_session_id], b"\0", &message[after_session_id..]].concat();
    let number = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
    let fragment = |(n, part): (usize, &[u8])| {
        let header = [&[1][..], &number(body.len()), &[0, 0], &number(n * size), &number(part.len())].concat();
        let length = ((header.len() + part.len()) as u16).to_be_bytes();
        [b"\x16\xfe\xff\0\0\0\0\0\0\0", &[n as u8][..], &length, &header, part].concat()
    };
    body.chunks(size).enumerate().map(fragment).collect()
}

/// The only result, after the end.
fn only(tapline: &mut Tapline) -> Value {
    let mut all = results(tapline);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// Nothing has come. What was sent over the loopback is there.
fn assert_silent(client: &UdpSocket) {
    client.set_nonblocking(true).unwrap();
    assert_eq!(client.recv(&mut [0; 100]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}

#[test]
fn a_client_of_quic_is_shown_once_and_refused_each_time() {
    let mut tapline = Tapline::start(&["sni-peek", "--udp", "0", "--connections", "1"]);
    let client = client(&tapline);
    for _ in 0..2 {
        client.send(INITIAL).unwrap();
        // A packet of the same version, to the empty id and from that one.
        let refusal = receive(&client);
        let header = [b"\0\0\0\x01\0\x08", DESTINATION].concat();
        assert!(refusal[0] & 0xf0 == 0xc0 && refusal[1..].starts_with(&header), "{refusal:x?}");
    }
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("rule", "hello", "shown", false));
    assert_eq!((&closed["received"], tapline.wait().code()), (&json!(2 * INITIAL.len()), Some(0)));
    let hello = only(&mut tapline);
    assert_eq!((&hello["event"], &hello["sni"], &hello["alpn"]), (&json!("hello"), &json!("example.com"), &json!(["alpn"])));
    assert_eq!((&hello["framing"], &hello["packets"], &hello["transport"]), (&json!("quic"), &json!(1), &json!("udp")));
    assert_eq!((&hello["client"], &hello["destination"]), (&json!(client.local_addr().unwrap().to_string()), &json!(tapline.endpoint())));
    assert!(hello["ja4"].as_str().unwrap().starts_with("q13d"), "{hello}");
}

#[test]
fn a_client_of_dtls_is_shown_when_its_fragments_are_there_and_gets_an_alert() {
    let mut tapline = Tapline::start(&["sni-peek", "--udp", "0", "--connections", "1"]);
    let client = client(&tapline);
    let fragments = dtls("dtls.example.test", 20);
    for fragment in fragments.iter().rev() {
        client.send(fragment).unwrap();
    }
    assert_eq!(receive(&client), b"\x15\xfe\xff\0\0\0\0\0\0\0\0\0\x02\x02\x28");
    assert_eq!((end_of(&tapline.closed()), tapline.wait().code()), (("rule", "hello", "shown", false), Some(0)));
    let hello = only(&mut tapline);
    assert_eq!((&hello["sni"], &hello["framing"]), (&json!("dtls.example.test"), &json!("dtls")));
    assert_eq!(hello["packets"], fragments.len());
}

#[test]
fn another_version_of_quic_is_named_and_told_the_known_ones_and_text_is_no_hello() {
    let mut tapline = Tapline::start(&["sni-peek", "--udp", "0", "--connections", "2"]);
    let quic = client(&tapline);
    let mut long = b"\xc0\x1a\x2a\x3a\x4a\x08destined\x02me".to_vec();
    long.resize(1200, 0);
    quic.send(&long).unwrap();
    assert_eq!(receive(&quic), b"\xc0\0\0\0\0\x02me\x08destined\0\0\0\x01\x6b\x33\x43\xcf");
    let text = client(&tapline);
    text.send(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut whys: Vec<_> = (0..2).map(|_| tapline.closed()["why"].as_str().unwrap().to_owned()).collect();
    whys.sort_unstable();
    assert_eq!(whys, ["not TLS but HTTP", "not TLS but QUIC of version 0x1a2a3a4a"]);
    assert_silent(&text);
    assert_eq!(tapline.wait().code(), Some(1));
    let protocols: Vec<_> = results(&mut tapline).iter().map(|seen| seen["protocol"].clone()).collect();
    assert_eq!(protocols, ["quic_0x1a2a3a4a", "http"]);
}

#[test]
fn without_a_word_means_none_and_what_is_malformed_is_refused() {
    let mut tapline = Tapline::start(&["sni-peek", "--udp", "0", "--then", "close", "--hello-timeout", "300ms", "--connections", "1"]);
    let silent = client(&tapline);
    silent.send(INITIAL).unwrap();
    assert_eq!((end_of(&tapline.closed()), tapline.wait().code()), (("rule", "hello", "shown", false), Some(0)));
    assert_silent(&silent);

    let mut tapline = Tapline::start(&["sni-peek", "--udp", "0", "--connections", "1"]);
    let client = client(&tapline);
    let cut = &dtls("a.test", 1000)[0];
    client.send(&cut[..cut.len() - 1]).unwrap();
    assert_eq!((end_of(&tapline.closed()).3, tapline.wait().code()), (true, Some(1)));
    assert_eq!(only(&mut tapline)["what"], "a DTLS record longer than its datagram");
    // A version is known from the first record that is whole.
    assert_silent(&client);
}

#[test]
fn a_client_that_was_shown_holds_nobody_up() {
    // It is heard for as long as a hello may take.
    let mut tapline = Tapline::start(&["sni-peek", "--udp", "0", "--hello-timeout", "1h"]);
    let client = client(&tapline);
    client.send(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    tapline.event("opened");
    tapline.signal("INT");
    assert_eq!((tapline.closed()["why"].as_str(), tapline.wait().code()), (Some("not TLS but HTTP"), Some(0)));
}

#[test]
fn a_hello_that_does_not_come_in_time_ends_the_session() {
    let mut tapline = Tapline::start(&["sni-peek", "--udp", "0", "--hello-timeout", "200ms", "--connections", "2"]);
    let (half, short) = (client(&tapline), client(&tapline));
    let fragments = dtls("a.test", 20);
    half.send(&fragments[0]).unwrap();
    half.send(&fragments[1]).unwrap();
    assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", "no end of the hello at byte 40 in 200ms", true));
    short.send(b"").unwrap();
    assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", "no hello in 200ms", true));
    assert_eq!(tapline.wait().code(), Some(1));
    // What came of it is shown, and its client is told: decode_error.
    assert_eq!(receive(&half), b"\x15\xfe\xff\0\0\0\0\0\0\0\0\0\x02\x02\x32");
    let shown = only(&mut tapline);
    assert_eq!((&shown["what"], &shown["offset"], &shown["packets"]), (&json!("no end of the hello"), &json!(40), &json!(2)));
}

#[test]
fn what_datagrams_do_not_have_is_wrong_usage() {
    for args in [&["0", "--then", "127.0.0.1:1"][..], &["unix:/tmp/x"], &["0", "--accept-proxy", "127.0.0.0/8"]] {
        assert_eq!(run(&[&["sni-peek", "--udp"], args].concat()).code, Some(2), "{args:?}");
    }
}
