//! What is agreed on in a handshake: the version, the group, the protocol.

use super::start;
use crate::{
    support::*,
    tls::{self, ClientStream},
};
use rustls::{
    ClientConfig, NamedGroup,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use std::{
    io::{Read, Write},
    sync::Arc,
};

/// A client that has echoed a byte.
fn echoed(tapline: &Tapline, config: ClientConfig) -> std::io::Result<ClientStream> {
    let mut client = tls::client(tapline.connect(), config, "localhost");
    client.write_all(b"x")?;
    client.read_exact(&mut [0])?;
    Ok(client)
}

#[test]
fn a_client_of_an_older_version_than_is_spoken_reads_the_alert() {
    let (mut tapline, ca) = start("builtin:echo", &["--min-tls", "1.3"]);
    let error = echoed(&tapline, tls::trusting_with(&ca, &[], &[&TLS12])).unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    let closed = tapline.closed();
    assert_eq!((end_of(&closed).0, end_of(&closed).1), ("client", "handshake"));
    drop(echoed(&tapline, tls::trusting_with(&ca, &[], &[&TLS13])).unwrap());
    assert_eq!(tapline.event("handshake")["version"], "TLSv1.3");
    assert_eq!(run(&["tls-terminate", "0", "1", "--min-tls", "1.1"]).code, Some(2));
}

#[test]
fn the_group_that_was_agreed_on_is_told_and_the_post_quantum_one_goes_first() {
    let (mut tapline, ca) = start("builtin:echo", &[]);
    let all = aws_lc_rs::default_provider().kx_groups;
    for (groups, agreed) in [
        (&[NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1][..], "X25519MLKEM768"),
        (&[NamedGroup::X25519, NamedGroup::secp256r1], "x25519"),
        (&[NamedGroup::secp256r1], "secp256r1"),
        (&[NamedGroup::secp384r1], "secp384r1"),
    ] {
        let kx_groups = groups.iter().map(|name| *all.iter().find(|group| group.name() == *name).unwrap()).collect();
        let provider = Arc::new(rustls::crypto::CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() });
        drop(echoed(&tapline, tls::with_provider(&ca, provider)).unwrap());
        assert_eq!(tapline.event("handshake")["group"], agreed);
    }
}

#[test]
fn the_first_of_the_given_protocols_that_the_client_offers_is_agreed_on() {
    let (mut tapline, ca) = start("builtin:echo", &["--alpn", "h2,http/1.1"]);
    for (offered, agreed) in [(&["http/1.1", "h2"][..], Some("h2")), (&["foo", "http/1.1"], Some("http/1.1")), (&[], None)] {
        let client = echoed(&tapline, tls::trusting(&ca, offered)).unwrap();
        assert_eq!(client.conn.alpn_protocol(), agreed.map(str::as_bytes));
        assert_eq!(tapline.event("handshake")["alpn"].as_str(), agreed);
        drop(client);
        tapline.closed();
    }
    let error = echoed(&tapline, tls::trusting(&ca, &["foo"])).err().unwrap();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    let closed = tapline.closed();
    assert_eq!((end_of(&closed).0, end_of(&closed).1), ("client", "handshake"));
    assert!(end_of(&closed).2.contains("ALPN that is spoken here: foo there, h2, http/1.1 here (--alpn) (alert 120"), "{closed}");
    // Without the flag nothing is answered, whatever is offered.
    let (tapline, ca) = start("builtin:echo", &[]);
    assert_eq!(echoed(&tapline, tls::trusting(&ca, &["h2"])).unwrap().conn.alpn_protocol(), None);
    for wrong in ["", "h2,", &"x".repeat(256)] {
        assert_eq!(run(&["tls-terminate", "0", "1", "--alpn", wrong]).code, Some(2), "{wrong:?}");
    }
}

/// A target of TLS that says what it has agreed on, and its authority.
fn speaking(protocols: &[&str]) -> (std::net::SocketAddr, tempfile::NamedTempFile) {
    let issued = tls::issue(&["127.0.0.1"]);
    let mut config = rustls::ServerConfig::clone(&issued.server_config());
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let config = Arc::new(config);
    let addr = server(move |tcp| {
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), tcp);
        if stream.read_exact(&mut [0]).is_err() {
            return;
        }
        let agreed = stream.conn.alpn_protocol().map_or(&b"-"[..], <[u8]>::as_ref).to_vec();
        let _ = stream.write_all(&agreed);
        let _ = stream.flush();
        let _ = stream.read(&mut [0]);
    });
    let mut ca = tempfile::NamedTempFile::new().unwrap();
    ca.write_all(issued.ca.as_bytes()).unwrap();
    (addr, ca)
}

#[test]
fn a_target_of_tls_agrees_on_the_protocol_that_the_client_got() {
    let (addr, trusted) = speaking(&["http/1.1", "h2"]);
    let flags = ["--alpn", "h2,http/1.1", "--ca", trusted.path().to_str().unwrap()];
    let (tapline, ca) = start(&format!("tls:{addr}"), &flags);
    for (offered, agreed) in [(&["h2"][..], "h2"), (&["http/1.1"], "http/1.1"), (&[], "-"), (&["h2"], "h2")] {
        let mut client = tls::client(tapline.connect(), tls::trusting(&ca, offered), "localhost");
        client.write_all(b"x").unwrap();
        assert_eq!(read_n(&mut client, agreed.len()), agreed.as_bytes());
    }
}

#[test]
fn a_target_of_tls_that_does_not_agree_has_not_taken_the_connection() {
    for (protocols, why) in [(&["http/1.1"][..], "no_application_protocol received"), (&[], "does not speak h2")] {
        let (addr, trusted) = speaking(protocols);
        let flags = ["--alpn", "h2,http/1.1", "--ca", trusted.path().to_str().unwrap()];
        let (mut tapline, ca) = start(&format!("tls:{addr}"), &flags);
        let mut client = tls::client(tapline.connect(), tls::trusting(&ca, &["h2"]), "localhost");
        let error = client.write_all(b"x").and_then(|()| client.read(&mut [0]).map(drop));
        assert!(error.is_err());
        let closed = tapline.closed();
        let (by, during, told, failed) = end_of(&closed);
        assert_eq!((by, during, failed), ("target", "dial", true));
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn a_target_that_knows_no_alpn_is_believed_to_speak_anything_but_http_2() {
    let (addr, trusted) = speaking(&[]);
    let (tapline, ca) = start(&format!("tls:{addr}"), &["--alpn", "http/1.1", "--ca", trusted.path().to_str().unwrap()]);
    let mut client = tls::client(tapline.connect(), tls::trusting(&ca, &["http/1.1"]), "localhost");
    client.write_all(b"x").unwrap();
    assert_eq!(read_n(&mut client, 1), b"-");
}
