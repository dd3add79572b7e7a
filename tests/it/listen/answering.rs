//! What clients are sent, and that all of it arrives.

use crate::support::*;
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

/// More than the kernel keeps for a connection on both of its sides.
const LARGE: usize = 24 << 20;

/// The program with a single connection to come.
fn start(flags: &[&str]) -> Tapline {
    Tapline::start(&[&["listen", "0", "--connections", "1", "--discard"], flags].concat())
}

/// A file of `pattern`, and its path.
fn file(folder: &tempfile::TempDir, size: usize) -> String {
    let path = folder.path().join("content");
    std::fs::write(&path, pattern(size)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn echo_sends_everything_back_and_then_ends() {
    let mut tapline = start(&["--echo"]);
    let mut client = tapline.connect();
    let mut writer = client.try_clone().unwrap();
    let sender = thread::spawn(move || {
        writer.write_all(&pattern(LARGE)).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(read_all(&mut client) == pattern(LARGE));
    sender.join().unwrap();
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("client", "relay", "done", false));
    assert_eq!((&closed["received"], &closed["sent"]), (&LARGE.into(), &LARGE.into()));
    assert_eq!(tapline.wait().code(), Some(0));
}

#[test]
fn a_reply_comes_after_the_first_bytes_and_the_client_is_read_on() {
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1", "--reply", r"HTTP/1.0 200 OK\r\n\r\nhello\n"]);
    let mut client = tapline.connect();
    assert_open_and_silent(&mut client, Duration::from_millis(100));
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(read_all(&mut client), b"HTTP/1.0 200 OK\r\n\r\nhello\n");
    assert_eq!(tapline.event("data")["direction"], "received");
    let sent = tapline.event("data");
    assert_eq!((&sent["direction"], &sent["offset"], &sent["text"]), (&"sent".into(), &0.into(), &"HTTP/1.0 200 OK\r\n\r\nhello\n".into()));
    client.write_all(b"later").unwrap();
    let later = tapline.event("data");
    assert_eq!((&later["direction"], &later["offset"], &later["text"]), (&"received".into(), &18.into(), &"later".into()));
    drop(client);
    assert_eq!(end_of(&tapline.closed()), ("client", "half_close", "done", false));
    assert_eq!(tapline.wait().code(), Some(0));
}

#[test]
fn a_client_that_only_ends_gets_the_reply_too() {
    let mut tapline = start(&["--reply", r"\x00\xffé\t\\"]);
    assert_eq!(ask(tapline.addr(), b""), b"\0\xff\xc3\xa9\t\\");
    assert_eq!(tapline.wait().code(), Some(0));
    // As Redis and POP3 begin their errors.
    assert_eq!(ask(start(&["--reply", r"-ERR no\r\n"]).addr(), b"PING\r\n"), b"-ERR no\r\n");
}

#[test]
fn a_greeting_comes_at_once_and_the_connection_goes_on() {
    let mut tapline = start(&["--greet", r"SSH-2.0-test\r\n", "--echo"]);
    let mut client = tapline.connect();
    assert_eq!(read_n(&mut client, 14), b"SSH-2.0-test\r\n");
    client.write_all(b"hello").unwrap();
    assert_eq!(read_n(&mut client, 5), b"hello");
    drop(client);
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "done", false));

    // A greeting, then a reply.
    let tapline = start(&["--greet", "220 hello\\n", "--reply", "221 bye\\n"]);
    let mut client = tapline.connect();
    assert_eq!(read_n(&mut client, 10), b"220 hello\n");
    client.write_all(b"QUIT\n").unwrap();
    assert_eq!(read_all(&mut client), b"221 bye\n");
}

#[test]
fn a_large_file_is_sent_whole_to_who_first_sends_as_much() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, LARGE);
    for flag in ["--reply", "--greet"] {
        let mut tapline = start(&[flag, &path]);
        // All is written before anything is read: neither direction waits for the other.
        assert!(ask(tapline.addr(), &pattern(LARGE)) == pattern(LARGE), "{flag}");
        let closed = tapline.closed();
        assert_eq!((&closed["received"], &closed["sent"], &closed["failed"]), (&LARGE.into(), &LARGE.into(), &false.into()));
        assert_eq!(tapline.wait().code(), Some(0));
    }
}

#[test]
fn what_is_owed_when_the_end_is_asked_for_is_still_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut tapline = start(&["--greet", &format!("@{}", file(&folder, LARGE))]);
    let mut client = tapline.connect();
    assert_eq!(read_n(&mut client, 1), pattern(1));
    tapline.signal("TERM");
    tapline.event("draining");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert!(rest == pattern(LARGE)[1..]);
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("shutdown", "relay", "closed", false));
    assert_eq!(tapline.wait().code(), Some(0));
}

#[test]
fn a_client_that_does_not_take_what_it_is_owed_fails_by_the_idle_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let mut tapline = start(&["--greet", &file(&folder, LARGE), "--idle-timeout", "200ms"]);
    let client = tapline.connect();
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("timeout", "relay", "nothing for 200ms", true));
    assert_eq!(tapline.wait().code(), Some(1));
    drop(client);
}

#[test]
fn the_last_words_of_a_client_that_resets_are_heard() {
    for flags in [&["--echo"][..], &["--greet", "hello"]] {
        let mut tapline = Tapline::start(&[&["listen", "0", "--connections", "1"], flags].concat());
        let mut client = tapline.connect();
        client.write_all(b"last words").unwrap();
        // Something is there that will not be read: closing resets.
        client.peek(&mut [0]).unwrap();
        drop(client);
        loop {
            let data = tapline.event("data");
            if data["direction"] == "received" {
                assert_eq!(data["text"], "last words");
                break;
            }
        }
        let closed = tapline.closed();
        let (by, during, why, failed) = end_of(&closed);
        assert_eq!((by, during, failed), ("client", "relay", true), "{closed}");
        assert!(why == "reset" || why == "closed while being written to", "{why}");
        assert_eq!(tapline.wait().code(), Some(1));
    }
}

#[test]
fn a_reset_after_the_whole_reply_is_no_failure() {
    let mut tapline = start(&["--reply", "bye"]);
    let mut client = tapline.connect();
    client.write_all(b"hello").unwrap();
    assert_eq!(read_to_any_end(&mut client), (b"bye".to_vec(), Ok(())));
    reset(client);
    assert_eq!(end_of(&tapline.closed()), ("client", "half_close", "reset after the reply", false));
}

#[test]
fn a_file_that_cannot_be_read_is_named_before_anyone_connects() {
    for (value, path) in [("@no-such-file", "no-such-file"), ("./no-such-file", "./no-such-file"), ("/no/such/file", "/no/such/file")] {
        let refused = run(&["listen", "0", "--reply", value]);
        assert_eq!(refused.code, Some(3));
        assert!(refused.stderr.contains(&format!("cannot read {path}: No such file")), "{}", refused.stderr);
    }
    let refused = run(&["listen", "0", "--greet", "/dev/zero"]);
    assert!(refused.code == Some(3) && refused.stderr.contains("/dev/zero is larger than 256 MiB"), "{refused:?}");
}

#[test]
fn echo_works_on_a_unix_socket_and_leaves_none_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let mut tapline = Tapline::start(&["listen", &format!("unix:{}", path.display()), "--connections", "1", "--echo"]);
    let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut back = String::new();
    client.read_to_string(&mut back).unwrap();
    assert_eq!(back, "hello");
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "done", false));
    assert_eq!(tapline.wait().code(), Some(0));
    assert_eq!(std::fs::metadata(&path).unwrap_err().kind(), ErrorKind::NotFound);
}
