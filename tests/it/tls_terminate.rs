//! `tapline tls-terminate`: TLS in front, plaintext behind, and each end kept apart.

mod clients;
mod closing;
mod crowd;
mod explaining;
mod failing;
mod identity;
mod matrix;
mod protocol;
mod reload;
mod seeing;
mod several;
mod starttls;
mod targets;

use crate::{
    support::*,
    tls::{self, ClientStream},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpListener,
};

/// The program before `target`, with the authority of its own certificate.
fn start(target: &str, flags: &[&str]) -> (Tapline, String) {
    let mut tapline = Tapline::start(&[&["tls-terminate", "0", target], flags].concat());
    let certificate = tapline.event("certificate");
    let ca = std::fs::read_to_string(certificate["ca"].as_str().unwrap()).unwrap();
    (tapline, ca)
}

/// A client that has shaken hands, and the plain connection behind it.
fn pair(tapline: &Tapline, ca: &str, listener: &TcpListener) -> (ClientStream, std::net::TcpStream) {
    let mut client = tls::client(tapline.connect(), tls::trusting(ca, &[]), "localhost");
    client.write_all(b"!").unwrap();
    let mut server = accept(listener);
    assert_eq!(read_n(&mut server, 1), b"!");
    (client, server)
}

/// The program, a client of it and the plain connection behind that.
fn terminated() -> (Tapline, ClientStream, std::net::TcpStream) {
    let (listener, target) = listener();
    let (tapline, ca) = start(&target.to_string(), &[]);
    let (client, server) = pair(&tapline, &ca, &listener);
    (tapline, client, server)
}

#[test]
fn plaintext_arrives_at_the_target_and_the_handshake_is_told() {
    let (listener, target) = listener();
    let (mut tapline, ca) = start(&target.to_string(), &[]);
    let (mut client, mut server) = pair(&tapline, &ca, &listener);
    client.write_all(b"secret").unwrap();
    assert_eq!(read_n(&mut server, 6), b"secret");
    server.write_all(b"answer").unwrap();
    assert_eq!(read_n(&mut client, 6), b"answer");
    let handshake = tapline.event("handshake");
    assert_eq!((&handshake["name"], &handshake["version"], &handshake["resumed"]), (&"localhost".into(), &"TLSv1.3".into(), &false.into()));
    assert!(handshake["cipher"].as_str().unwrap().starts_with("TLS_AES_"), "{handshake}");
}

#[test]
fn five_megabytes_go_both_ways_at_once() {
    const SIZE: usize = 5 << 20;
    let target = server(|mut stream| {
        let mut writer = stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            writer.write_all(&pattern(SIZE + 1)).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let got = read_all(&mut stream);
        sender.join().unwrap();
        assert!(got == pattern(SIZE), "the upload arrived as {} other bytes", got.len());
    });
    let (mut tapline, ca) = start(&target.to_string(), &[]);
    let mut client = tls::client(tapline.connect(), tls::trusting(&ca, &[]), "localhost");
    // rustls is one state for both directions: the client takes turns.
    let (upload, mut download) = (pattern(SIZE), Vec::new());
    for part in upload.chunks(16 * 1024) {
        client.write_all(part).unwrap();
        download.extend(read_n(&mut client, 8 * 1024));
    }
    client.conn.send_close_notify();
    client.flush().unwrap();
    client.read_to_end(&mut download).unwrap();
    assert_eq!(download.len(), SIZE + 1);
    assert!(download == pattern(SIZE + 1));
    let closed = tapline.closed();
    assert_eq!((&closed["failed"], &closed["spliced"]), (&false.into(), &false.into()), "{closed}");
    // Bytes are counted at the socket: the records around them too.
    assert!(closed["received"].as_u64().unwrap() > SIZE as u64 && closed["sent"].as_u64().unwrap() > SIZE as u64, "{closed}");
}

#[test]
fn a_second_session_of_a_client_is_resumed() {
    let (mut tapline, ca) = start("builtin:echo", &[]);
    let config = tls::trusting(&ca, &[]);
    for resumed in [false, true] {
        let mut client = tls::client(tapline.connect(), config.clone(), "localhost");
        client.write_all(b"x").unwrap();
        assert_eq!(read_n(&mut client, 1), b"x");
        assert_eq!(tapline.event("handshake")["resumed"], resumed);
    }
}

#[test]
fn tls_1_2_is_spoken_too() {
    let (mut tapline, ca) = start("builtin:echo", &[]);
    let mut client = tls::client(tapline.connect(), tls::trusting_with(&ca, &[], &[&rustls::version::TLS12]), "localhost");
    client.write_all(b"old").unwrap();
    assert_eq!(read_n(&mut client, 3), b"old");
    assert_eq!(tapline.event("handshake")["version"], "TLSv1.2");
}

#[test]
fn a_hello_in_small_records_and_segments_is_taken() {
    let (mut tapline, ca) = start("builtin:echo", &[]);
    let tcp = tapline.connect();
    let mut client = tls::client(tcp, tls::trusting(&ca, &[]), "localhost");
    let mut hello = Vec::new();
    client.conn.write_tls(&mut hello).unwrap();
    drip(&mut client.sock, &tls::in_records(&hello, 50));
    client.write_all(b"x").unwrap();
    assert_eq!(read_n(&mut client, 1), b"x");
    assert_eq!(tapline.event("handshake")["name"], "localhost");
}

#[test]
fn a_target_that_refuses_is_a_reset_and_never_a_close_notify() {
    let (_held, target) = refusing();
    let (mut tapline, ca) = start(&target.to_string(), &[]);
    let mut client = tls::client(tapline.connect(), tls::trusting(&ca, &[]), "localhost");
    let error = client.write_all(b"x").and_then(|()| client.read(&mut [0]).map(drop)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error:?}");
    let closed = tapline.closed();
    assert_eq!((end_of(&closed).0, end_of(&closed).1, end_of(&closed).3), ("target", "dial", true));
}
