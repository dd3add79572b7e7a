//! `--starttls`: TLS that begins within PostgreSQL or SMTP, on both sides.

use crate::{
    support::*,
    tls::{self, alert, hello},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
pub const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
pub const STARTUP: &[u8] = b"\0\0\0\x11\0\x03\0\0user\0me\0\0";

fn route(to: SocketAddr, protocol: &str, more: &[&str]) -> Tapline {
    Tapline::start(&[&["sni-route", "0", &format!("a.test={to}"), "--starttls", protocol][..], more].concat())
}

/// A server that expects these bytes, answers with those, in turn, and then serves TLS that says its name.
fn upgrading(script: Script) -> (tls::Issued, SocketAddr) {
    let issued = tls::issue(&["a.test"]);
    let config = issued.server_config();
    let addr = server(move |mut stream| {
        for (expected, answer) in script {
            let mut got = vec![0; expected.len()];
            if stream.read_exact(&mut got).is_err() || got != *expected || stream.write_all(answer).is_err() {
                return;
            }
        }
        let session = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream);
        let _ = stream.write_all(b"inside");
        let _ = stream.flush();
        let _ = stream.read(&mut [0]);
    });
    (issued, addr)
}

/// TLS that goes through, from the hello on.
fn inside(client: TcpStream, issued: &tls::Issued) {
    let mut client = tls::client(client, tls::trusting(&issued.ca, &["postgresql"]), "a.test");
    client.flush().unwrap();
    assert_eq!(read_n(&mut client, 6), b"inside");
}

#[test]
fn a_client_of_postgres_gets_to_the_target_of_its_name_by_ssl_request() {
    let (issued, to) = upgrading(&[(&SSL_REQUEST, b"S")]);
    let mut tapline = route(to, "postgres", &[]);
    // With and without encryption by GSSAPI asked for first, and in single bytes.
    for gss in [false, true] {
        let mut client = tapline.connect();
        if gss {
            drip(&mut client, &GSSENC_REQUEST);
            assert_eq!(read_n(&mut client, 1), b"N");
        }
        drip(&mut client, &SSL_REQUEST);
        assert_eq!(read_n(&mut client, 1), b"S");
        inside(client, &issued);
        let routed = tapline.event("routed");
        assert_eq!((&routed["outcome"], &routed["rule"]), (&"matched".into(), &"a.test".into()));
        tapline.closed();
    }
}

#[test]
fn a_client_of_postgres_that_begins_with_tls_is_sent_on_as_it_is() {
    let (issued, to) = upgrading(&[]);
    let tapline = route(to, "postgres", &[]);
    inside(tapline.connect(), &issued);
}

#[test]
fn a_client_of_postgres_without_tls_is_not_tls_and_is_told_so() {
    let (listener, to) = listener();
    let mut tapline = route(to, "postgres", &[]);
    let mut client = tapline.connect();
    client.write_all(&GSSENC_REQUEST).unwrap();
    assert_eq!(read_n(&mut client, 1), b"N");
    client.write_all(STARTUP).unwrap();
    let answer = read_all(&mut client);
    assert!(answer.starts_with(b"E") && answer.windows(6).any(|window| window == b"C28000"), "{answer:?}");
    assert_eq!(tapline.event("routed")["outcome"], "not_tls");
    // Where there is a route for it, the startup message arrives and nothing before it.
    let tapline = route(to, "postgres", &["--not-tls", &to.to_string()]);
    let mut client = tapline.connect();
    client.write_all(STARTUP).unwrap();
    assert_eq!(read_n(&mut accept(&listener), STARTUP.len()), STARTUP);
}

#[test]
fn what_was_said_in_clear_is_never_taken_for_what_is_said_under_tls() {
    let (_listener, to) = listener();
    let mut tapline = route(to, "postgres", &[]);
    let mut client = tapline.connect();
    client.write_all(&[&SSL_REQUEST[..], &hello("a.test", &[])].concat()).unwrap();
    assert_eq!(read_all(&mut client), b"");
    let why = "bytes after SSLRequest that did not wait for the answer";
    assert_eq!(end_of(&tapline.closed()), ("client", "hello", why, true));
    let mut tapline = route(to, "smtp", &[]);
    let mut client = tapline.connect();
    client.write_all(b"EHLO x\r\nSTARTTLS\r\nRSET\r\n").unwrap();
    let answer = String::from_utf8(read_all(&mut client)).unwrap();
    assert!(answer.lines().last().unwrap().starts_with("554 "), "{answer}");
    assert_eq!(end_of(&tapline.closed()).2, "bytes after STARTTLS that did not wait for the answer");
}

#[test]
fn a_target_that_speaks_no_tls_is_named_and_the_next_one_is_tried() {
    let plain = server(|mut stream| {
        let _ = stream.read(&mut [0; 8]);
        let _ = stream.write_all(b"N");
        let _ = stream.read(&mut [0]);
    });
    let mut tapline = route(plain, "postgres", &[]);
    let mut client = tapline.connect();
    client.write_all(&SSL_REQUEST).unwrap();
    assert_eq!(read_n(&mut client, 1), b"S");
    client.write_all(&hello("a.test", &[])).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let why = format!("{plain}: speaks no TLS: it answered SSLRequest with N");
    assert_eq!(end_of(&tapline.closed()), ("target", "dial", why.as_str(), true));

    let (issued, to) = upgrading(&[(&SSL_REQUEST, b"S")]);
    let rule = format!("a.test={plain},{to}");
    let mut tapline = Tapline::start(&["sni-route", "0", &rule, "--starttls", "postgres", "--no-checks"]);
    let mut client = tapline.connect();
    client.write_all(&SSL_REQUEST).unwrap();
    assert_eq!(read_n(&mut client, 1), b"S");
    inside(client, &issued);
    assert_eq!(tapline.event("dial_failed")["next"], true);
}

#[test]
fn a_refused_client_gets_its_alert_after_the_consent() {
    let (_listener, to) = listener();
    let tapline = route(to, "postgres", &[]);
    let mut client = tapline.connect();
    client.write_all(&SSL_REQUEST).unwrap();
    assert_eq!(read_n(&mut client, 1), b"S");
    client.write_all(&hello("b.test", &[])).unwrap();
    assert_eq!(read_all(&mut client), alert(112));
}

/// One reply of SMTP.
fn reply(client: &mut TcpStream) -> String {
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

fn say(client: &mut TcpStream, command: &str) -> String {
    client.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    reply(client)
}

#[test]
fn a_client_of_smtp_gets_nothing_but_starttls_and_then_the_target_of_its_name() {
    let (issued, to) = upgrading(&[
        (b"", b"220-a.test\r\n220 ready\r\n"),
        (b"EHLO [127.0.0.1]\r\n", b"250-a.test\r\n250-SIZE 1\r\n250-starttls\r\n250 HELP\r\n"),
        (b"STARTTLS\r\n", b"220 go\r\n"),
    ]);
    let tapline = route(to, "smtp", &[]);
    let mut client = tapline.connect();
    assert!(reply(&mut client).starts_with("220 [127.0.0.1] "));
    assert_eq!(say(&mut client, "ehlo client.test"), "250-[127.0.0.1]\r\n250 STARTTLS\r\n");
    for (command, code) in [
        ("NOOP", "250"),
        ("RSET", "250"),
        ("HELO x", "250"),
        ("MAIL FROM:<a@b.test>", "530"),
        ("AUTH PLAIN", "530"),
        ("STARTTLS now", "501"),
        ("XYZZY", "500"),
    ] {
        assert!(say(&mut client, command).starts_with(code), "{command}");
    }
    assert!(say(&mut client, "starttls").starts_with("220 "));
    inside(client, &issued);
}

#[test]
fn the_time_that_is_told_is_the_one_that_was_given() {
    let (_listener, to) = listener();
    let mut tapline = route(to, "postgres", &["--hello-timeout", "1s"]);
    for (said, heard, why) in [(&SSL_REQUEST[..5], &b""[..], "only 5 bytes of a hello in 1s"), (&SSL_REQUEST, b"S", "nothing for 1s")] {
        let mut client = tapline.connect();
        client.write_all(said).unwrap();
        assert_eq!(read_all(&mut client), heard);
        assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", why, true));
    }
}

#[test]
fn clients_of_smtp_end_in_every_other_way_by_name() {
    let (_listener, to) = listener();
    let mut tapline = route(to, "smtp", &["--hello-timeout", "1s"]);
    let mut client = tapline.connect();
    reply(&mut client);
    assert!(say(&mut client, "QUIT").starts_with("221 "));
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(end_of(&tapline.closed()), ("client", "hello", "done", false));

    let mut client = tapline.connect();
    reply(&mut client);
    assert!(reply(&mut client).starts_with("421 "));
    drop(client);
    assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", "no STARTTLS in 1s", true));

    let mut client = tapline.connect();
    reply(&mut client);
    client.write_all(&[b'x'; 4096]).unwrap();
    assert!(reply(&mut client).starts_with("500 "));
    drop(client);
    assert_eq!(end_of(&tapline.closed()).0, "client");

    let mut client = tapline.connect();
    reply(&mut client);
    for _ in 0..32 {
        assert!(say(&mut client, "NOOP").starts_with("250 "));
    }
    assert!(reply(&mut client).starts_with("421 "));
    drop(client);
    assert_eq!(end_of(&tapline.closed()), ("client", "hello", "32 commands without STARTTLS", true));
}

/// What a server expects and answers, in turn.
type Script = &'static [(&'static [u8], &'static [u8])];

#[test]
fn a_mail_server_without_starttls_is_named() {
    const NONE: Script = &[(b"", b"220 x\r\n"), (b"EHLO [127.0.0.1]\r\n", b"250-x\r\n250 SIZE\r\n")];
    const AWAY: Script = &[(b"", b"554 go away\r\n")];
    const MORE: Script =
        &[(b"", b"220 x\r\n"), (b"EHLO [127.0.0.1]\r\n", b"250-x\r\n250 STARTTLS\r\n"), (b"STARTTLS\r\n", b"220 x\r\n250 y\r\n")];
    for (script, why) in [
        (NONE, "offers no STARTTLS"),
        (AWAY, "answered the connection with \"554 go away\""),
        (MORE, "said more than its answer to STARTTLS"),
    ] {
        let (_, to) = upgrading(script);
        let mut tapline = route(to, "smtp", &[]);
        let mut client = tapline.connect();
        reply(&mut client);
        say(&mut client, "EHLO x");
        say(&mut client, "STARTTLS");
        client.write_all(&hello("a.test", &[])).unwrap();
        assert!(read_to_any_end(&mut client).1.is_err());
        assert_eq!(end_of(&tapline.closed()), ("target", "dial", format!("{to}: {why}").as_str(), true));
    }
}

#[test]
fn rules_that_never_fit_and_targets_that_cannot_are_wrong_usage() {
    for (rule, why) in [("http://a.test=1", "never fits"), ("a.test=tls:h:1", "cannot speak smtp before")] {
        let finished = run(&["sni-route", "0", rule, "--starttls", "smtp"]);
        assert_eq!(finished.code, Some(2), "{}", finished.stderr);
        assert!(finished.stderr.contains(why), "{}", finished.stderr);
    }
}
