//! What comes after a hello was shown: `--then`.

use crate::{
    support::*,
    tls::{hello, in_records, issue, trusting},
};
use std::{
    io::{Read, Write},
    net::Shutdown,
    sync::mpsc::channel,
};

#[test]
fn close_says_nothing_to_a_good_hello_and_to_a_bad_one() {
    for (bytes, why, failed) in [
        (&hello("a.test", &[])[..], "shown", false),
        (&[22, 3, 1, 0, 0], "an empty record at byte 3", true),
        (b"SSH-2.0-x\r\n", "not TLS but SSH", true),
    ] {
        let mut tapline = Tapline::start(&["sni-peek", "0", "--then", "close", "--connections", "1"]);
        let mut client = tapline.connect();
        client.write_all(bytes).unwrap();
        // An end, and no reset.
        assert_eq!(read_all(&mut client), b"");
        drop(client);
        let closed = tapline.closed();
        assert_eq!((end_of(&closed).2, end_of(&closed).3), (why, failed));
        tapline.wait();
        assert_eq!(results(&mut tapline).len(), 1);
    }
}

#[test]
fn a_target_gets_every_byte_whatever_the_first_ones_are() {
    let whole = in_records(&hello("www.example.test", &["h2"]), 100);
    let (half, rest) = whole.split_at(whole.len() / 2);
    for (event, writes) in [
        ("hello", vec![half, rest, b"and more"]),
        ("not_tls", vec![&b"GET / HTTP/1.1\r\n\r\n"[..]]),
        ("bad_hello", vec![&[22, 3, 1, 0, 0, 9, 9][..]]),
    ] {
        let (send, got) = channel();
        let target = server(move |mut client| {
            let mut bytes = Vec::new();
            client.read_to_end(&mut bytes).unwrap();
            client.write_all(b"answer").unwrap();
            send.send(bytes).unwrap();
        });
        let mut tapline = Tapline::start(&["sni-peek", "0", "--then", &target.to_string(), "--connections", "1"]);
        let mut client = tapline.connect();
        for bytes in &writes {
            client.write_all(bytes).unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut client), b"answer");
        assert_eq!(got.recv().unwrap(), writes.concat());
        let closed = tapline.closed();
        assert_eq!((end_of(&closed), &closed["target"]), (("client", "relay", "done", false), &target.to_string().into()));
        assert_eq!(tapline.wait().code(), Some(0));
        assert_eq!(results(&mut tapline)[0]["event"], event);
    }
}

#[test]
fn a_real_handshake_goes_through_and_its_hello_is_shown() {
    let issued = issue(&["a.test"]);
    let target = issued.serve(|mut stream| {
        stream.write_all(b"welcome").unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    });
    let mut tapline = Tapline::start(&["sni-peek", "0", "--then", &target.to_string(), "--connections", "1"]);
    let mut client = crate::tls::client(tapline.connect(), trusting(&issued.ca, &[]), "a.test");
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "welcome");
    drop(client);
    tapline.wait();
    assert_eq!(results(&mut tapline)[0]["sni"], "a.test");
}

#[test]
fn flags_of_what_goes_on_need_a_target() {
    for (args, flag) in [
        (&["--hex"][..], "--hex"),
        (&["--then", "close", "--connect-timeout", "1s"], "--connect-timeout"),
        (&["--then", "alert", "--send-proxy", "v2"], "--send-proxy"),
    ] {
        let run = run(&[&["sni-peek", "0"], args].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
        assert_eq!(run.stderr, format!("tapline: {flag} is for what goes on; say where to with --then TARGET\n"));
    }
    let run = run(&["sni-peek", "0", "--then", "shut"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("neither alert nor close"), "{}", run.stderr);
}
