//! `--accept-proxy`.

use super::*;
use crate::{serving::listening, tls};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::Duration,
};

/// What is told of the one client of a run that sent this header.
fn told(tapline: &mut Tapline, header: &[u8]) -> (Value, Value) {
    echoes(tapline, header);
    let announced = tapline.event("announced");
    let closed = tapline.closed();
    assert_eq!(closed["failed"], false, "{closed}");
    assert!(closed["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{closed}");
    (announced, closed)
}

#[test]
fn the_client_is_who_was_announced() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo"]);
    let six = [&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..]; 2].concat();
    let mut paths = [0; 216];
    paths[..7].copy_from_slice(b"/a.sock");
    for (header, version, transport, source, destination) in [
        (LINE.to_vec(), "v1", "stream", "192.0.2.1:12345", "198.51.100.2:443"),
        (b"PROXY TCP6 2001:db8::1 ::2 1 2\r\n".to_vec(), "v1", "stream", "[2001:db8::1]:1", "[::2]:2"),
        (inet(b""), "v2", "stream", "192.0.2.1:12345", "198.51.100.2:443"),
        (v2(1, 0x12, &INET), "v2", "datagram", "192.0.2.1:12345", "198.51.100.2:443"),
        (v2(1, 0x21, &[&six[..], &[0, 1, 0, 2]].concat()), "v2", "stream", "[2001:db8::1]:1", "[2001:db8::1]:2"),
        (v2(1, 0x31, &paths), "v2", "stream", "unix:/a.sock", "unix"),
    ] {
        let (announced, closed) = told(&mut tapline, &header);
        assert_eq!((&announced["version"], &announced["command"]), (&version.into(), &"PROXY".into()), "{announced}");
        assert_eq!(announced["transport"], transport);
        assert_eq!((&announced["source"], &announced["destination"]), (&source.into(), &destination.into()), "{announced}");
        assert_eq!((&closed["client"], &closed["id"]), (&source.into(), &announced["id"]));
    }
}

#[test]
fn without_an_address_the_client_is_the_peer() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo"]);
    for (header, command) in [
        (b"PROXY UNKNOWN\r\n".to_vec(), "PROXY"),
        (b"PROXY UNKNOWN ffff::1 ::1 65535 65535\r\n".to_vec(), "PROXY"),
        (v2(0, 0, b""), "LOCAL"),
        // What LOCAL carries is skipped, whatever it is.
        (v2(0, 0x11, &INET), "LOCAL"),
        (v2(0, 0xff, b"\x03\0\x04nonsense"), "LOCAL"),
        (v2(1, 0, b""), "PROXY"),
    ] {
        let (announced, closed) = told(&mut tapline, &header);
        assert_eq!(announced["command"], command);
        assert!(announced["source"].is_null() && announced["destination"].is_null(), "{announced}");
        assert_eq!(closed["client"], closed["peer"]);
    }
}

#[test]
fn tlvs_are_told() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo"]);
    let tlvs = b"\x01\0\x02h2\x02\0\x06A.Test\x05\0\x03id1\x30\0\x02ns\x04\0\x01x\xea\0\x01v\
        \x20\0\x18\x03\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x01C\x23\0\x02XY";
    let (announced, _) = told(&mut tapline, &inet(tlvs));
    let tls = json!({ "version": "TLSv1.3", "cipher": "XY", "common_name": "C", "verified": true });
    for (key, value) in
        [("alpn", "h2".into()), ("authority", "A.Test".into()), ("unique_id", "id1".into()), ("netns", "ns".into()), ("tls", tls)]
    {
        assert_eq!(announced[key], value, "{announced}");
    }
    // A client without TLS, and an id that is no text.
    let (announced, _) = told(&mut tapline, &inet(b"\x20\0\x05\0\0\0\0\x01\x05\0\x02\xff\x00"));
    assert_eq!((&announced["tls"], &announced["unique_id"]), (&Value::Null, &"ff00".into()));
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo"]);
    for header in [LINE.to_vec(), inet(b"\x02\0\x06a.test"), v2(0, 0, b"xyz")] {
        let mut client = tapline.connect();
        drip(&mut client, &[&header[..], b"payload"].concat());
        assert_eq!(read_n(&mut client, 7), b"payload");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut client), b"");
        assert_eq!(tapline.closed()["received"], header.len() + 7);
    }
}

#[test]
fn what_follows_the_header_is_payload_and_goes_through_splice() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo"]);
    let payload = pattern(3 << 20);
    for header in [LINE.to_vec(), inet(b"\x02\0\x06a.test")] {
        let mut client = tapline.connect();
        let mut writer = client.try_clone().unwrap();
        let bytes = [&header[..], &payload].concat();
        let writer = std::thread::spawn(move || {
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        assert!(read_all(&mut client) == payload, "other bytes came back");
        writer.join().unwrap();
        let closed = tapline.closed();
        assert_eq!(closed["spliced"], cfg!(target_os = "linux"), "{closed}");
        assert_eq!((&closed["received"], &closed["sent"]), (&(header.len() + payload.len()).into(), &payload.len().into()));
    }
}

#[test]
fn a_header_and_nothing_more_is_enough_where_the_server_speaks_first() {
    let target = naming("server first");
    let mut tapline = accepting(&["proxy", "0", &target.to_string()]);
    for header in [LINE.to_vec(), inet(b"")] {
        let mut client = tapline.connect();
        send(&mut client, &header);
        assert_eq!(read_all(&mut client), b"server first");
        drop(client);
        tapline.closed();
    }
    let order: Vec<_> = tapline.seen.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(order, ["listening", "opened", "announced", "dialed", "closed", "opened", "announced", "dialed", "closed"]);
}

#[test]
fn the_bytes_of_other_peers_are_their_own() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--accept-proxy", "192.0.2.0/24", "--accept-proxy", "2001:db8::/32"]);
    for header in [LINE.to_vec(), inet(b"")] {
        assert_eq!(ask(tapline.addr(), &header), header);
        let closed = tapline.closed();
        assert_eq!((&closed["client"], &closed["failed"]), (&closed["peer"], &false.into()));
    }
    assert!(tapline.seen.iter().all(|event| event["event"] != "announced"));
    let mut plain = Tapline::start(&["proxy", "0", "builtin:echo"]);
    assert_eq!(ask(plain.addr(), LINE), LINE);
    assert_eq!(plain.closed()["failed"], false);
}

#[test]
fn one_of_several_networks_is_enough() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--accept-proxy", "192.0.2.0/24", "--accept-proxy", "127.0.0.1"]);
    assert_eq!(told(&mut tapline, LINE).1["client"], "192.0.2.1:12345");
    let mut six = Tapline::start(&["proxy", "[::1]:0", "builtin:echo", "--accept-proxy", "::1"]);
    echoes(&six, LINE);
    assert_eq!(six.closed()["client"], "192.0.2.1:12345");
    // IPv4 that comes in by a socket of both families.
    let mut every = Tapline::start(&["proxy", ":0", "builtin:echo", "--accept-proxy", "127.0.0.0/8"]);
    let port = every.endpoint().rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(ask((std::net::Ipv4Addr::LOCALHOST, port).into(), &[LINE, b"x"].concat()), b"x");
    assert_eq!(every.closed()["client"], "192.0.2.1:12345");
}

#[test]
fn peers_of_a_unix_socket_can_announce() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listen = format!("unix:{}", path.display());
    let mut tapline = Tapline::start(&["proxy", &listen, "builtin:echo", "--accept-proxy", "unix"]);
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(&[LINE, b"hello"].concat()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::new();
    client.read_to_end(&mut back).unwrap();
    assert_eq!(back, b"hello");
    let closed = tapline.closed();
    assert_eq!((&closed["peer"], &closed["client"]), (&"unix".into(), &"192.0.2.1:12345".into()));
}

#[test]
fn silent_peers_delay_nobody() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo", "--proxy-header-timeout", "10m"]);
    let silent: Vec<_> = (0..200).map(|_| tapline.connect()).collect();
    for _ in 0..5 {
        echoes(&tapline, LINE);
        assert_eq!(tapline.closed()["client"], "192.0.2.1:12345");
    }
    drop(silent);
}

#[test]
fn every_serving_command_reads_it() {
    let hello = tls::hello("a.test", &[]);
    let http = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (args, bytes) in [
        (&["listen", "0"][..], &b"hello"[..]),
        (&["proxy", "0", "builtin:echo"], b"hello"),
        (&["sni-peek", "0"], &hello),
        (&["sni-route", "0", "a.test=builtin:discard"], &hello),
        (&["tls-terminate", "0", "builtin:echo"], &hello),
        (&["lb4", "0", "builtin:echo"], b"hello"),
        (&["lb7", "0", "builtin:http"], http),
    ] {
        let mut tapline = accepting(args);
        let mut client = tapline.connect();
        send(&mut client, &[&inet(b""), bytes].concat());
        client.shutdown(Shutdown::Write).unwrap();
        // How it ends is the command's affair.
        let _ = read_to_any_end(&mut client);
        let closed = tapline.closed();
        assert_eq!(
            (&closed["client"], closed["received"].as_u64()),
            (&"192.0.2.1:12345".into(), Some(28 + bytes.len() as u64)),
            "{closed}"
        );
        assert_ne!(closed["during"], "proxy_header", "{closed}");
        tapline.stop();
        let results = results(&mut tapline);
        for line in tapline.seen.iter().filter(|event| event["event"] == "data").chain(&results) {
            assert_eq!(line["client"], "192.0.2.1:12345", "{line}");
            assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        }
    }
}

#[test]
fn tls_begins_after_the_header() {
    let mut tapline = accepting(&["tls-terminate", "0", "builtin:echo"]);
    let ca = std::fs::read_to_string(tapline.event("certificate")["ca"].as_str().unwrap()).unwrap();
    let mut tcp = tapline.connect();
    send(&mut tcp, LINE);
    let mut client = tls::client(tcp, tls::trusting(&ca, &[]), "localhost");
    client.write_all(b"hello").unwrap();
    assert_eq!(read_n(&mut client, 5), b"hello");
    drop(client);
    assert_eq!(tapline.closed()["client"], "192.0.2.1:12345");
}

#[test]
fn lb7_tells_backends_of_the_client() {
    let tapline = accepting(&["lb7", "0", "builtin:http"]);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n";
    let tls = inet(b"\x20\0\x0f\x01\0\0\0\x01\x21\0\x07TLSv1.3");
    for (header, proto) in [(LINE, "http"), (&tls, "https")] {
        let answer = String::from_utf8(ask_with(&tapline, header, request)).unwrap();
        assert!(answer.contains("\nx-forwarded-for: 192.0.2.1\n"), "{answer}");
        assert!(answer.contains(&format!("\nx-forwarded-proto: {proto}\n")), "{answer}");
    }
}

#[test]
fn people_see_the_client_and_the_way_it_came() {
    let mut path = [0; 216];
    path[..8].copy_from_slice(b"/\x1b[31m/a");
    let headers = [LINE.to_vec(), v2(0, 0, b""), b"PROXY UNKNOWN\r\n".to_vec(), v2(1, 0x31, &path)];
    let args = ["--explain", "proxy", "0", "builtin:echo", "--connections", "4", "--max-connections", "1"];
    let (mut child, mut stderr, addr) = listening(program().args(args).args(ACCEPT));
    for header in headers {
        assert_eq!(ask(addr, &[&header[..], b"x"].concat()), b"x");
    }
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    for part in [
        "#1 PROXY v1 header: client 192.0.2.1:12345, connected to 198.51.100.2:443\n",
        "#1 192.0.2.1:12345 via 127.0.0.1:",
        "#2 PROXY v2 header: LOCAL, the proxy's own connection\n",
        "#2 127.0.0.1:",
        "#3 PROXY v1 header: client unknown\n",
        "#4 unix:/\\u{1b}[31m/a via 127.0.0.1:",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn the_deadline_is_over_with_the_header() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo", "--proxy-header-timeout", "100ms"]);
    let mut client = tapline.connect();
    send(&mut client, LINE);
    tapline.event("announced");
    assert_open_and_silent(&mut client, Duration::from_millis(300));
    send(&mut client, b"late");
    assert_eq!(read_n(&mut client, 4), b"late");
}

#[test]
fn shown_bytes_are_the_clients_and_the_header_is_none_of_them() {
    let mut tapline = accepting(&["proxy", "0", "builtin:echo", "--hex"]);
    echoes(&tapline, LINE);
    let data = tapline.event("data");
    assert_eq!((&data["client"], &data["text"], &data["offset"]), (&"192.0.2.1:12345".into(), &"payload".into(), &0.into()), "{data}");
    assert!(data["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{data}");
}
