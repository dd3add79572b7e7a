//! `--tls`: the plaintext is shown, kept and answered.

use crate::{
    support::*,
    tls::{self, ClientStream},
};
use std::io::{Read, Write};

fn start(flags: &[&str]) -> (Tapline, String) {
    let mut tapline = Tapline::start(&[&["listen", "0", "--connections", "1", "--tls"], flags].concat());
    let certificate = tapline.event("certificate");
    assert!(certificate["try_with"].as_str().unwrap().starts_with("curl --cacert "), "{certificate}");
    let ca = std::fs::read_to_string(certificate["ca"].as_str().unwrap()).unwrap();
    (tapline, ca)
}

fn client(tapline: &Tapline, ca: &str) -> ClientStream {
    tls::client(tapline.connect(), tls::trusting(ca, &[]), "localhost")
}

fn read_to_end(client: &mut ClientStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Without close_notify this is an error.
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn the_plaintext_is_shown_and_answered_and_both_ends_are_told() {
    let (mut tapline, ca) = start(&["--greet", "hello ", "--reply", "and bye"]);
    let mut client = client(&tapline, &ca);
    client.write_all(b"GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(read_to_end(&mut client), b"hello and bye");
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(tapline.event("handshake")["name"], "localhost");
    tapline.wait();
    let events = |name: &str| tapline.seen.iter().filter(|event| event["event"] == name).cloned().collect::<Vec<_>>();
    let recognised = events("recognised");
    assert_eq!((recognised.len(), &recognised[0]["protocol"], &recognised[0]["path"]), (1, &"http".into(), &"/secret".into()));
    let texts: Vec<_> =
        events("data").into_iter().filter(|data| data["direction"] == "received").map(|data| data["text"].clone()).collect();
    assert_eq!(texts, ["GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n"]);
    assert_eq!(end_of(&events("closed")[0]), ("client", "half_close", "done", false));
}

#[test]
fn echo_is_exact_and_a_connection_that_is_cut_is_told_from_one_that_ended() {
    for end in [true, false] {
        let (mut tapline, ca) = start(&["--echo", "--discard"]);
        let mut client = client(&tapline, &ca);
        for part in pattern(1 << 20).chunks(10_000) {
            client.write_all(part).unwrap();
            assert!(read_n(&mut client, part.len()) == part);
        }
        if end {
            client.conn.send_close_notify();
            client.flush().unwrap();
            assert_eq!(read_to_end(&mut client), b"");
        }
        drop(client);
        let closed = tapline.closed();
        let expected = if end { ("client", "relay", "done", false) } else { ("client", "relay", "ended without close_notify", true) };
        assert_eq!(end_of(&closed), expected);
    }
}

#[test]
fn a_client_without_tls_is_told_so() {
    let (mut tapline, _) = start(&[]);
    let answer = ask(tapline.addr(), b"GET / HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 400 Bad Request"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(end_of(&tapline.closed()), ("client", "hello", "not TLS but HTTP", true));
    assert!(tapline.seen.iter().all(|event| event["event"] != "data"));
}

#[test]
fn a_given_certificate_is_shown() {
    let issued = tls::issue(&["localhost"]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) = (path("cert", &issued.cert), path("key", &issued.key));
    let tapline = Tapline::start(&["listen", "0", "--tls", "--cert", &cert, "--key", &key, "--echo"]);
    let mut client = client(&tapline, &issued.ca);
    client.write_all(b"hello").unwrap();
    assert_eq!(read_n(&mut client, 5), b"hello");
}
