//! `--starttls`: TLS that begins within PostgreSQL or SMTP, and ends here.

use super::start;
use crate::{
    sni_route::starttls::{GSSENC_REQUEST, SSL_REQUEST, STARTUP},
    support::*,
    tls::{self, ClientStream, alert},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

/// A client of PostgreSQL after the server's consent.
fn consented(tapline: &Tapline) -> TcpStream {
    let mut client = tapline.connect();
    drip(&mut client, &GSSENC_REQUEST);
    assert_eq!(read_n(&mut client, 1), b"N");
    drip(&mut client, &SSL_REQUEST);
    assert_eq!(read_n(&mut client, 1), b"S");
    client
}

#[test]
fn what_a_client_of_postgres_says_within_tls_is_the_first_that_the_target_gets() {
    let (listener, to) = listener();
    let (mut tapline, ca) = start(&to.to_string(), &["--starttls", "postgres"]);
    // After SSLRequest, without ALPN as clients before version 17 and with it; and TLS from the first byte.
    for (tcp, alpn) in [(consented(&tapline), &[][..]), (consented(&tapline), &["postgresql"]), (tapline.connect(), &["postgresql"])] {
        let mut client = tls::client(tcp, tls::trusting(&ca, alpn), "localhost");
        client.write_all(STARTUP).unwrap();
        let mut target = accept(&listener);
        assert_eq!(read_n(&mut target, STARTUP.len()), STARTUP);
        target.write_all(b"R").unwrap();
        assert_eq!(read_n(&mut client, 1), b"R");
        assert_eq!(tapline.event("handshake")["alpn"].as_str(), alpn.first().copied());
    }
    // Another protocol would be misled (RFC 7301, and ALPACA).
    let mut client = tls::client(tapline.connect(), tls::trusting(&ca, &["h2"]), "localhost");
    let error = client.write_all(STARTUP).unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[test]
fn a_client_of_postgres_without_tls_is_told_that_it_is_required() {
    let (_listener, to) = listener();
    let (mut tapline, _) = start(&to.to_string(), &["--starttls", "postgres"]);
    let mut client = tapline.connect();
    client.write_all(STARTUP).unwrap();
    let answer = read_all(&mut client);
    assert!(answer.starts_with(b"E") && answer.windows(6).any(|window| window == b"C28000"), "{answer:?}");
    assert!(String::from_utf8_lossy(&answer).contains("TLS is required"), "{answer:?}");
    drop(client);
    let closed = tapline.closed();
    assert_eq!((end_of(&closed).0, end_of(&closed).1, end_of(&closed).3), ("client", "hello", true));
}

#[test]
fn what_was_said_in_clear_is_never_taken_for_what_is_said_under_tls() {
    let (_listener, to) = listener();
    let (mut tapline, _) = start(&to.to_string(), &["--starttls", "postgres"]);
    let mut client = tapline.connect();
    client.write_all(&[&SSL_REQUEST[..], &tls::hello("localhost", &[])].concat()).unwrap();
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(end_of(&tapline.closed()).2, "bytes after SSLRequest that did not wait for the answer");
    let (mut tapline, _) = start(&to.to_string(), &["--starttls", "smtp"]);
    let mut client = tapline.connect();
    client.write_all(b"EHLO x\r\nSTARTTLS\r\nRSET\r\n").unwrap();
    assert!(String::from_utf8(read_all(&mut client)).unwrap().lines().last().unwrap().starts_with("554 "));
    assert_eq!(end_of(&tapline.closed()).2, "bytes after STARTTLS that did not wait for the answer");
}

#[test]
fn the_time_for_what_is_said_before_is_that_of_the_hello() {
    let (_listener, to) = listener();
    let (mut tapline, _) = start(&to.to_string(), &["--starttls", "postgres", "--hello-timeout", "1s"]);
    let mut client = tapline.connect();
    client.write_all(&SSL_REQUEST).unwrap();
    assert_eq!(read_n(&mut client, 1), b"S");
    let _ = read_to_any_end(&mut client);
    assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", "nothing for 1s", true));
    let (mut tapline, _) = start(&to.to_string(), &["--starttls", "smtp", "--hello-timeout", "1s"]);
    let mut client = tapline.connect();
    assert!(reply(&mut client).starts_with("220 "));
    assert!(reply(&mut client).starts_with("421 "));
    drop(client);
    assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", "no STARTTLS in 1s", true));
}

/// One reply of SMTP.
fn reply(client: &mut impl Read) -> String {
    let mut text = String::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.extend(read_n(client, 1));
        }
        text.push_str(&String::from_utf8(line.clone()).unwrap());
        if line.get(3) != Some(&b'-') {
            return text;
        }
    }
}

/// A client of SMTP after STARTTLS.
fn started(tapline: &Tapline, ca: &str) -> ClientStream {
    let mut client = tapline.connect();
    assert!(reply(&mut client).starts_with("220 "));
    client.write_all(b"EHLO client.test\r\n").unwrap();
    assert!(reply(&mut client).contains("250 STARTTLS\r\n"));
    client.write_all(b"STARTTLS\r\n").unwrap();
    assert!(reply(&mut client).starts_with("220 "));
    tls::client(client, tls::trusting(ca, &[]), "localhost")
}

/// A mail server without TLS that greets like this.
fn mail(greeting: &'static str) -> SocketAddr {
    server(move |mut stream| {
        if stream.write_all(greeting.as_bytes()).is_err() {
            return;
        }
        let mut said = [0; 18];
        if stream.read_exact(&mut said).is_ok() {
            assert_eq!(&said, b"EHLO client.test\r\n", "nothing comes before the client's own words");
            let _ = stream.write_all(b"250-mail.test\r\n250 8BITMIME\r\n");
            let _ = stream.read(&mut [0]);
        }
    })
}

#[test]
fn a_client_of_smtp_begins_anew_within_tls_and_sees_no_second_greeting() {
    let to = mail("220-mail.test\r\n220 ready\r\n");
    let (tapline, ca) = start(&to.to_string(), &["--starttls", "smtp"]);
    let mut client = started(&tapline, &ca);
    client.write_all(b"EHLO client.test\r\n").unwrap();
    assert_eq!(reply(&mut client), "250-mail.test\r\n250 8BITMIME\r\n");
}

#[test]
fn a_mail_server_that_turns_its_clients_away_is_passed_over_or_told() {
    let (away, well) = (mail("421 too busy\r\n"), mail("220 ready\r\n"));
    let (mut tapline, ca) = start(&away.to_string(), &[&well.to_string(), "--starttls", "smtp", "--no-checks"]);
    for _ in 0..2 {
        let mut client = started(&tapline, &ca);
        client.write_all(b"EHLO client.test\r\n").unwrap();
        assert!(reply(&mut client).starts_with("250-mail.test"));
    }
    let failed = tapline.event("dial_failed");
    assert_eq!((&failed["target"], &failed["next"]), (&away.to_string().into(), &true.into()));
    assert!(failed["why"].as_str().unwrap().contains("421 too busy"), "{failed}");

    let (_listener, silent) = lasting_listener();
    for (to, flags, by, why) in [
        (away, &[][..], "target", "421 too busy"),
        (silent, &["--connect-timeout", "300ms"], "timeout", "no greeting in 300ms"),
        (mail("220 x\r\n250 y\r\n"), &[], "target", "said more than its answer"),
        (mail(""), &["--connect-timeout", "300ms"], "timeout", "no greeting in 300ms"),
    ] {
        let (mut tapline, ca) = start(&to.to_string(), &[&["--starttls", "smtp"], flags].concat());
        let mut client = started(&tapline, &ca);
        assert!(client.write_all(b"EHLO client.test\r\n").and_then(|()| client.read(&mut [0]).map(drop)).is_err());
        let closed = tapline.closed();
        assert_eq!((end_of(&closed).0, end_of(&closed).1, end_of(&closed).3), (by, "dial", true), "{closed}");
        assert!(end_of(&closed).2.contains(why), "{closed}");
    }
}

#[test]
fn after_consent_a_malformed_hello_gets_an_alert() {
    let (_listener, to) = listener();
    let (tapline, _) = start(&to.to_string(), &["--starttls", "postgres"]);
    let mut client = consented(&tapline);
    client.write_all(&[22, 3, 1, 0, 0]).unwrap();
    assert_eq!(read_all(&mut client), alert(50));
}

#[test]
fn the_same_server_can_be_played_by_listen() {
    let mut tapline = Tapline::start(&["listen", "0", "--tls", "--echo", "--starttls", "postgres"]);
    let ca = std::fs::read_to_string(tapline.event("certificate")["ca"].as_str().unwrap()).unwrap();
    let mut client = tls::client(consented(&tapline), tls::trusting(&ca, &["postgresql"]), "localhost");
    client.write_all(STARTUP).unwrap();
    assert_eq!(read_n(&mut client, STARTUP.len()), STARTUP);
}
