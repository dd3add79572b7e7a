//! Who does not come as far as the plaintext: told what was wrong, in its own language, and named with the reason.

use super::{pair, start};
use crate::{
    support::*,
    tls::{self, alert},
};
use serde_json::{Value, json};
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
};

/// A hello of TLS 1.0 in the format of SSL 2.0.
const SSL2: &[u8] = b"\x80\x1f\x01\x03\x01\0\x06\0\0\0\x10\0\0\x2f\x01\0\x80ABCDEFGHIJKLMNOP";

/// What a client reads that sends these bytes and no more, and ends.
fn answer(tapline: &Tapline, bytes: &[u8]) -> Vec<u8> {
    ask(tapline.addr(), bytes)
}

#[test]
fn plain_http_gets_an_answer_that_says_what_is_wrong_and_where_to_go() {
    let (mut tapline, _) = start("builtin:http", &[]);
    let post = [b"POST /x HTTP/1.1\r\nHost: a.test:8443\r\nContent-Length: 100000\r\n\r\n".to_vec(), pattern(100_000)].concat();
    let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(300));
    for (request, place) in [
        (&post[..], "https://a.test:8443/\n"),
        (b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", "https://[::1]/\n"),
        // Whatever is no host is not repeated.
        (b"GET / HTTP/1.1\r\nHost: <b>a\r\n\r\n", "https://...\n"),
        (long.as_bytes(), "https://...\n"),
        (b"GET / HTTP/1.1\r\n\r\n", "https://...\n"),
        (b"GET / HTTP/1.1\r\nHo", "https://...\n"),
    ] {
        let answer = String::from_utf8(answer(&tapline, request)).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head} does not fit {} bytes", body.len());
        assert_eq!(body, format!("this port speaks TLS: try {place}"));
        assert_eq!(end_of(&tapline.closed()), ("client", "hello", "not TLS but HTTP", true));
    }
}

#[test]
fn what_comes_instead_of_tls_is_named_and_answered_where_its_language_is_known() {
    let (mut tapline, _) = start("builtin:http", &[]);
    let h2_goodbye = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0c";
    let half = &tls::hello("localhost", &[])[..100];
    for (bytes, got, why) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], &b""[..], "not TLS but SSH"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", h2_goodbye, "not TLS but HTTP/2 without TLS"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"", "not TLS but a PROXY header, version 1 (--accept-proxy takes it)"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", b"", "not TLS but a PROXY header, version 2 (--accept-proxy takes it)"),
        (b"EHLO a.test\r\n", b"", "not TLS but unknown"),
        (b"\x80\x2e\x01\0\x02\0", b"", "not TLS but an SSL 2.0 hello"),
        (SSL2, &alert(70), "a hello in the format of SSL 2.0"),
        (&[22, 3, 1, 0, 0], &alert(50), "an empty record at byte 3"),
        (half, &alert(50), "ended after 100 bytes of a hello"),
    ] {
        assert_eq!(answer(&tapline, bytes), got, "{why}");
        assert_eq!(end_of(&tapline.closed()), ("client", "hello", why, true));
    }
    // SSLRequest: the answer is a message of PostgreSQL.
    let told = answer(&tapline, b"\0\0\0\x08\x04\xd2\x16\x2f");
    assert!(told.starts_with(b"E") && String::from_utf8_lossy(&told).contains("this port speaks TLS"), "{told:?}");
    assert_eq!(end_of(&tapline.closed()), ("client", "hello", "not TLS but PostgreSQL", true));
    // Nothing of it was a handshake.
    assert!(tapline.seen.iter().all(|event| event["event"] != "handshake_failed"));
}

#[test]
fn a_client_that_stops_in_the_hello_or_in_the_handshake_is_given_up() {
    let flags = ["--hello-timeout", "200ms", "--handshake-timeout", "300ms"];
    let (mut tapline, _) = start("builtin:echo", &flags);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", "nothing for 200ms", true));
    let hello = tls::hello("localhost", &[]);
    // Half a hello: the alert is for whoever waits for an answer.
    let mut client = tapline.connect();
    client.write_all(&hello[..100]).unwrap();
    assert_eq!(read_all(&mut client), alert(50));
    drop(client);
    assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", "only 100 bytes of a hello in 200ms", true));
    // A hello, and then nothing more.
    let mut client = tapline.connect();
    client.write_all(&hello).unwrap();
    let (bytes, end) = read_to_any_end(&mut client);
    assert_eq!((bytes[0], end), (22, Err(ErrorKind::ConnectionReset)));
    let failed = tapline.event("handshake_failed");
    assert_eq!((&failed["why"], &failed["alert"]), (&"not complete in 300ms".into(), &Value::Null));
    let why = "not complete in 300ms; name localhost, offered TLSv1.3, TLSv1.2";
    assert_eq!(end_of(&tapline.closed()), ("timeout", "handshake", why, true));
}

#[test]
fn a_client_that_rejects_the_certificate_is_named_with_its_alert_and_what_that_means() {
    let (mut tapline, _) = start("builtin:echo", &[]);
    let other = tls::issue(&["localhost"]);
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let mut client = tls::client(tapline.connect(), tls::trusting_with(&other.ca, &[], versions), "localhost");
        let error = client.write_all(b"x").unwrap_err().to_string();
        assert!(error.contains("UnknownIssuer"), "{error}");
        drop(client);
        let (failed, version) = (tapline.event("handshake_failed"), versions[0].version.as_str().unwrap().replace('_', "."));
        let what = "client does not trust this certificate: it leads to no CA that it knows";
        assert_eq!(failed["name"], "localhost");
        assert_eq!(failed["versions"], json!([version]));
        assert_eq!(failed["alert"], json!({ "code": 48, "name": "unknown_ca", "sent_by": "client" }));
        assert_eq!(failed["why"], what);
        let why = format!("{what} (alert 48 unknown_ca received); name localhost, offered {version}");
        assert_eq!(end_of(&tapline.closed()), ("client", "handshake", &*why, true));
    }
}

#[test]
fn a_client_with_nothing_in_common_reads_the_alert() {
    let (mut tapline, _) = start("builtin:echo", &[]);
    // One cipher suite and no more; in the second, of TLS 1.1.
    let mut old = tls::hello_with_name(b"localhost");
    old[10] = 2;
    for (hello, code, name, version, what) in [
        (tls::hello_with_name(b"localhost"), 40, "handshake_failure", "TLSv1.2", "client does not say which signatures it takes"),
        (old, 70, "protocol_version", "TLSv1.1", "no version of TLS in common with client"),
    ] {
        let mut client = tapline.connect();
        client.write_all(&hello).unwrap();
        assert_eq!(read_all(&mut client)[..], alert(code));
        drop(client);
        let failed = tapline.event("handshake_failed");
        assert_eq!(failed["alert"], json!({ "code": code, "name": name, "sent_by": "tapline" }));
        assert_eq!((&failed["why"], &failed["versions"]), (&what.into(), &json!([version])));
        let why = format!("{what} (alert {code} {name} sent); name localhost, offered {version}");
        assert_eq!(end_of(&tapline.closed()), ("client", "handshake", &*why, true));
    }
}

#[test]
fn a_client_that_leaves_in_the_handshake_is_told_from_one_that_resets() {
    let (mut tapline, _) = start("builtin:echo", &[]);
    // In clear, as a client sends it that gives up: TLS 1.3 is bound to take it for no end.
    let close_notify: &[u8] = &[21, 3, 3, 0, 2, 1, 0];
    for (last, resets, what) in [(&b""[..], false, "left"), (close_notify, false, "left"), (b"", true, "reset")] {
        let mut client = tapline.connect();
        // TLS 1.2: the server's flight is in clear, and so is the alert.
        let config = tls::trusting_with("", &[], &[&rustls::version::TLS12]);
        let mut session = rustls::ClientConnection::new(config.into(), "localhost".try_into().unwrap()).unwrap();
        session.write_tls(&mut client).unwrap();
        assert_eq!(read_n(&mut client, 1), [22]);
        client.write_all(last).unwrap();
        if resets {
            reset(client);
        } else {
            client.shutdown(Shutdown::Write).unwrap();
            // An end, whatever was not read.
            assert!(read_to_any_end(&mut client).1.is_ok());
        }
        let failed = tapline.event("handshake_failed");
        assert_eq!(failed["alert"], Value::Null);
        let why =
            format!("{what}: it may not trust the certificate, which not every client says by an alert; name localhost, offered TLSv1.2");
        assert_eq!(end_of(&tapline.closed()), ("client", "handshake", &*why, true));
    }
}

#[test]
fn for_people_a_failed_handshake_is_one_line_and_what_the_client_chose_is_escaped() {
    for (flags, lines) in [(&[][..], 1), (&["--explain"], 2)] {
        let mut command = program();
        command.args(["tls-terminate", "0", "builtin:echo", "--connections", "1"]).args(flags).args(["--", "bash", "-c"]);
        // The name would paint a terminal red.
        let hello = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&hello, tls::hello_with_name(b"\x1b[31m")).unwrap();
        let script = "exec 3<>/dev/tcp/$TAPLINE_HOST/$TAPLINE_PORT; cat $0 >&3; cat <&3 >/dev/null";
        command.arg(script).arg(hello.path());
        let finished = finish(&mut command);
        assert!(!finished.stderr.contains('\x1b'), "{}", finished.stderr);
        let about: Vec<_> = finished.stderr.lines().filter(|line| line.contains("[31m")).collect();
        assert_eq!(about.len(), lines, "{}", finished.stderr);
        assert!(about.iter().all(|line| line.contains("alert")), "{about:?}");
    }
}

#[test]
fn an_alert_that_comes_after_the_handshake_is_told_too() {
    let (listener, target) = listener();
    let (mut tapline, ca) = start(&target.to_string(), &[]);
    let (mut client, mut server) = pair(&tapline, &ca, &listener);
    client.write_all(b"before").unwrap();
    // A record that this client cannot decrypt: it tells so by an alert.
    let garbage = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
    while client.conn.wants_read() && client.conn.read_tls(&mut &garbage[..]).unwrap() > 0 {
        if client.conn.process_new_packets().is_err() {
            break;
        }
    }
    client.conn.write_tls(&mut client.sock).unwrap();
    assert_eq!(read_to_any_end(&mut server), (b"before".to_vec(), Err(ErrorKind::ConnectionReset)));
    let why = "client cannot decrypt what it was sent: it was altered on the way, or encrypted with other keys (alert 20 bad_record_mac received)";
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", why, true));
}

#[test]
fn what_came_before_a_bad_record_arrives_and_the_alert_reaches_who_sent_it() {
    let (listener, target) = listener();
    let (mut tapline, ca) = start(&target.to_string(), &[]);
    let (mut client, mut server) = pair(&tapline, &ca, &listener);
    // In one segment.
    let mut bytes = Vec::new();
    client.conn.writer().write_all(b"before").unwrap();
    client.conn.write_tls(&mut bytes).unwrap();
    bytes.extend([23, 3, 3, 0, 32]);
    bytes.extend([7; 32]);
    // Much that nobody reads: a close with something unread would be a reset, which overtakes.
    bytes.extend(pattern(100_000));
    client.sock.write_all(&bytes).unwrap();
    assert_eq!(read_to_any_end(&mut server), (b"before".to_vec(), Err(ErrorKind::ConnectionReset)));
    let told = client.read(&mut [0; 1]).unwrap_err();
    assert_eq!(told.to_string(), "received fatal alert: BadRecordMac");
    drop(client);
    let why =
        "what client sent cannot be decrypted: it was altered on the way, or encrypted with other keys (alert 20 bad_record_mac sent)";
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", why, true));
}

#[test]
fn a_target_that_asks_for_a_certificate_says_so_after_its_handshake() {
    use rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    };
    let issued = tls::issue(&["localhost"]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(issued.ca.as_bytes()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(issued.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = std::sync::Arc::new(config.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap());
    let target = server(move |tcp| {
        let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config.clone()).unwrap(), tcp);
        // The handshake fails, and the alert is sent. It waits for the other end, as servers do that want it to be read.
        stream.read(&mut [0]).unwrap_err();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        let _ = read_to_any_end(&mut stream.sock);
    });
    let mut tapline = Tapline::start(&["proxy", "0", &format!("tls:localhost:{}", target.port()), "--insecure"]);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    let why = "target asks for a certificate, and got none (alert 116 certificate_required received)";
    assert_eq!(end_of(&tapline.closed()), ("target", "relay", why, true));
}
