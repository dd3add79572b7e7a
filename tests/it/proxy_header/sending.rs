//! `--send-proxy`.

use super::*;
use crate::tls;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
};
use tapline::{
    addr::Endpoint,
    proxy_header::{Command, Header, Version, read},
};

/// The header that a target gets; the stream is left with what comes after it.
fn header(stream: &mut impl Read) -> Header {
    let mut bytes = Vec::new();
    loop {
        bytes.extend(read_n(stream, 1));
        if let Some(verdict) = read(&bytes) {
            return verdict.unwrap();
        }
    }
}

fn tcp(addr: SocketAddr) -> Endpoint {
    Endpoint::Tcp(addr)
}

fn ends(header: &Header) -> (String, String) {
    let ends = header.ends.as_ref().unwrap();
    (ends.source.to_string(), ends.destination.to_string())
}

/// The program before a target of ours, and flags for it.
fn before(listener: &TcpListener, command: &str, flags: &[&str]) -> Tapline {
    let target = listener.local_addr().unwrap().to_string();
    Tapline::start(&[&[command, "0", &target], flags].concat())
}

#[test]
fn the_target_is_told_who_the_client_is_before_the_client_says_a_word() {
    for command in ["proxy", "lb4"] {
        let (listener, _) = listener();
        let tapline = before(&listener, command, &["--send-proxy", "v1", "--no-checks"][..if command == "lb4" { 3 } else { 2 }]);
        let mut client = tapline.connect();
        let mut target = accept(&listener);
        let (source, destination) = (client.local_addr().unwrap(), tapline.addr());
        let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", source.port(), destination.port());
        // One write is one segment: one read sees all of it.
        let mut bytes = [0; 200];
        let n = target.read(&mut bytes).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes[..n]), line);
        send(&mut client, b"hello");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut target), b"hello");
    }
}

#[test]
fn version_2_carries_a_checksum_and_an_id_of_its_own() {
    let mut ids = Vec::new();
    for _run in 0..2 {
        let (listener, _) = listener();
        let tapline = before(&listener, "proxy", &["--send-proxy", "v2"]);
        for _connection in 0..2 {
            let client = tapline.connect();
            let mut target = accept(&listener);
            let mut bytes = [0; 300];
            let n = target.read(&mut bytes).unwrap();
            let header = read(&bytes[..n]).unwrap().unwrap();
            assert_eq!((header.version, header.command, header.size), (Version::V2, Command::Proxy, n));
            let ends = header.ends.unwrap();
            assert_eq!((ends.source, ends.destination), (tcp(client.local_addr().unwrap()), tcp(tapline.addr())));
            // Right after the addresses: type 3, length 4. That it is the right one, the reader has checked.
            assert_eq!(bytes[28..31], [3, 0, 4]);
            assert_eq!((header.tlvs.authority, header.tlvs.ssl), (None, None));
            ids.push(header.tlvs.unique_id.unwrap());
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
}

#[test]
fn an_announced_client_is_passed_on_in_the_other_version() {
    let (listener, _) = listener();
    for (version, header_in) in
        [("v1", inet(b"\x02\0\x06A.Test\x05\0\x03id1")), ("v2", LINE.to_vec()), ("v2", inet(b"\x02\0\x06A.Test\x05\0\x03id1"))]
    {
        let mut tapline = before(&listener, "proxy", &["--send-proxy", version, "--accept-proxy", "127.0.0.1"]);
        let mut client = tapline.connect();
        send(&mut client, &[&header_in[..], b"hello"].concat());
        let mut target = accept(&listener);
        let header = header(&mut target);
        assert_eq!(header.version.to_string(), version);
        assert_eq!(ends(&header), ("192.0.2.1:12345".into(), "198.51.100.2:443".into()));
        if version == "v2" && header_in != LINE {
            assert_eq!((header.tlvs.authority.as_deref(), header.tlvs.unique_id.as_deref()), (Some("A.Test"), Some(&b"id1"[..])));
        }
        assert_eq!(read_n(&mut target, 5), b"hello");
        drop((client, target));
        assert_eq!(tapline.closed()["client"], "192.0.2.1:12345");
    }
}

#[test]
fn where_nobody_was_announced_the_real_ends_are_told() {
    let (listener, _) = listener();
    let tapline = before(&listener, "proxy", &["--send-proxy", "v1", "--accept-proxy", "127.0.0.1"]);
    for header_in in [v2(0, 0, b""), b"PROXY UNKNOWN 1.2.3.4 5.6.7.8 1 2\r\n".to_vec()] {
        let mut client = tapline.connect();
        send(&mut client, &header_in);
        let header = header(&mut accept(&listener));
        assert_eq!(ends(&header), (client.local_addr().unwrap().to_string(), tapline.addr().to_string()));
    }
}

#[test]
fn a_family_for_both_addresses() {
    let (listener, _) = listener();
    let tapline = before(&listener, "proxy", &["--send-proxy", "v1", "--accept-proxy", "127.0.0.1"]);
    let mut client = tapline.connect();
    send(&mut client, b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
    let line = read_n(&mut accept(&listener), 44);
    assert_eq!(String::from_utf8_lossy(&line), "PROXY TCP6 ::ffff:c000:201 2001:db8::1 1 2\r\n");
}

#[test]
fn a_client_of_a_unix_socket_has_no_address() {
    let folder = tempfile::tempdir().unwrap();
    for version in ["v1", "v2"] {
        let (listener, target) = listener();
        let path = folder.path().join(version);
        let _tapline = Tapline::start(&["proxy", &format!("unix:{}", path.display()), &target.to_string(), "--send-proxy", version]);
        let _client = UnixStream::connect(&path).unwrap();
        let mut stream = accept(&listener);
        let header = if version == "v1" { b"PROXY UNKNOWN\r\n".to_vec() } else { v2(0, 0, b"") };
        assert_eq!(read_n(&mut stream, header.len()), header);
    }
}

#[test]
fn sni_route_tells_the_name_as_it_was_sent() {
    let (listener, target) = listener();
    let router = Tapline::start(&["sni-route", "0", &format!("*.test={target}"), "--send-proxy", "v2"]);
    let hello = tls::hello_with_name(b"WWW.test.");
    let mut client = router.connect();
    send(&mut client, &hello);
    let mut stream = accept(&listener);
    let header = header(&mut stream);
    assert_eq!(header.tlvs.authority.as_deref(), Some("WWW.test."));
    assert_eq!(header.tlvs.ssl, None, "the client has not spoken TLS with this program");
    assert_eq!(ends(&header).0, client.local_addr().unwrap().to_string());
    assert_eq!(read_n(&mut stream, hello.len()), hello);
}

#[test]
fn tls_terminate_tells_how_tls_was_spoken() {
    let (listener, _) = listener();
    let mut tapline = before(&listener, "tls-terminate", &["--send-proxy", "v2"]);
    let ca = std::fs::read_to_string(tapline.event("certificate")["ca"].as_str().unwrap()).unwrap();
    for (versions, version, cipher) in
        [(&[&rustls::version::TLS13][..], "TLSv1.3", "TLS_"), (&[&rustls::version::TLS12], "TLSv1.2", "ECDHE-")]
    {
        let mut client = tls::client(tapline.connect(), tls::trusting_with(&ca, &[], versions), "localhost");
        client.write_all(b"hello").unwrap();
        let mut stream = accept(&listener);
        let header = header(&mut stream);
        assert_eq!(header.tlvs.authority.as_deref(), Some("localhost"));
        let ssl = header.tlvs.ssl.clone().unwrap();
        assert!(ssl.client == 1 && ssl.verify != 0, "no certificate was asked for: {ssl:?}");
        assert_eq!(ssl.version.as_deref(), Some(version));
        let named = ssl.cipher.unwrap();
        assert!(named.starts_with(cipher) && !named.contains("WITH"), "{named}");
        assert_eq!(ends(&header).1, tapline.addr().to_string());
        assert_eq!(read_n(&mut stream, 5), b"hello");
    }
}

#[test]
fn the_header_goes_before_the_tls_of_the_target() {
    let mut inner = Tapline::start(&["tls-terminate", "0", "builtin:echo", "--accept-proxy", "127.0.0.0/8"]);
    for version in ["v1", "v2"] {
        let mut outer = Tapline::start(&["proxy", "0", &format!("tls:{}", inner.addr()), "--insecure", "--send-proxy", version]);
        let mut client = outer.connect();
        let addr = client.local_addr().unwrap().to_string();
        send(&mut client, b"hello");
        assert_eq!(read_n(&mut client, 5), b"hello");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut client), b"");
        assert_eq!(outer.closed()["failed"], false);
        let closed = inner.closed();
        assert_eq!((&closed["client"], &closed["failed"]), (&addr.into(), &false.into()), "{closed}");
    }
}

#[test]
fn the_next_backend_gets_the_header_too_and_once() {
    let (_held, refused) = refusing();
    let (listener, target) = listener();
    let tapline = Tapline::start(&["lb4", "0", &refused.to_string(), &target.to_string(), "--no-checks", "--send-proxy", "v1"]);
    for _ in 0..2 {
        let mut client = tapline.connect();
        send(&mut client, b"hello");
        client.shutdown(Shutdown::Write).unwrap();
        let text = String::from_utf8(read_all(&mut accept(&listener))).unwrap();
        let port = client.local_addr().unwrap().port();
        assert_eq!(text, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\nhello", tapline.addr().port()));
    }
}

#[test]
fn what_is_relayed_after_the_header_goes_through_splice() {
    // What comes in first is the header that the echo sends back.
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--send-proxy", "v1"]);
    let payload = pattern(3 << 20);
    let mut client = tapline.connect();
    let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", client.local_addr().unwrap().port(), tapline.addr().port());
    let (mut writer, bytes) = (client.try_clone().unwrap(), payload.clone());
    let writer = std::thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let back = read_all(&mut client);
    writer.join().unwrap();
    assert!(back == [line.as_bytes(), &payload].concat(), "other bytes came back");
    assert_eq!(tapline.closed()["spliced"], cfg!(target_os = "linux"));
}

/// What a health check sends, up to its end.
fn check(version: &str) -> (Vec<u8>, TcpStream, SocketAddr) {
    let (listener, target) = listener();
    let tapline = Tapline::start(&["lb4", "0", &target.to_string(), "--send-proxy", version]);
    let mut stream = accept(&listener);
    let bytes = read_all(&mut stream);
    drop(tapline);
    (bytes, stream, target)
}

#[test]
fn a_health_check_names_no_client() {
    let (bytes, ..) = check("v2");
    assert_eq!(bytes, v2(0, 0, b""), "LOCAL and nothing else, ended by FIN");
    let (bytes, stream, target) = check("v1");
    let (own, port) = (stream.peer_addr().unwrap().port(), target.port());
    assert_eq!(String::from_utf8(bytes).unwrap(), format!("PROXY TCP4 127.0.0.1 127.0.0.1 {own} {port}\r\n"));
}

#[test]
fn a_target_that_is_gone_before_the_header_is_written_is_no_success() {
    // Whether the write or the relay meets the reset is a matter of time; the client is reset either way.
    let target = server(reset);
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--send-proxy", "v2"]);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    assert_eq!((&closed["by"], &closed["failed"]), (&"target".into(), &true.into()), "{closed}");
}
