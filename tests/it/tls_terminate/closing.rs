//! The ends of TLS and the ends of TCP, each passed on as what it is.

use super::{pair, start, terminated};
use crate::support::*;
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
};

#[test]
fn close_notify_is_an_end_for_the_target_which_may_still_answer() {
    let (mut tapline, mut client, mut server) = terminated();
    client.write_all(b"question").unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(read_all(&mut server), b"question");
    server.write_all(&pattern(1 << 20)).unwrap();
    drop(server);
    let mut answer = Vec::new();
    // Ok: it ends with close_notify.
    client.read_to_end(&mut answer).unwrap();
    assert!(answer == pattern(1 << 20));
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "done", false));
}

#[test]
fn the_targets_end_is_a_close_notify_and_the_client_may_still_send() {
    let (mut tapline, mut client, mut server) = terminated();
    server.write_all(b"greeting").unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    let mut greeting = Vec::new();
    client.read_to_end(&mut greeting).unwrap();
    assert_eq!(greeting, b"greeting");
    client.write_all(b"late").unwrap();
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(read_all(&mut server), b"late");
    assert_eq!(end_of(&tapline.closed()), ("target", "relay", "done", false));
}

#[test]
fn a_reset_by_the_target_is_no_close_notify_also_after_the_clients_end() {
    for (client_ended, phase) in [(false, "relay"), (true, "half_close")] {
        let (mut tapline, mut client, mut server) = terminated();
        if client_ended {
            client.conn.send_close_notify();
            client.flush().unwrap();
            assert_eq!(read_all(&mut server), b"");
        }
        server.write_all(b"half of an ans").unwrap();
        wait_sent(&server);
        reset(server);
        let mut answer = Vec::new();
        let error = client.read_to_end(&mut answer).unwrap_err();
        // RST, or FIN without close_notify: either says that something is missing.
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error:?}");
        assert_eq!(answer, b"half of an ans");
        assert_eq!(end_of(&tapline.closed()), ("target", phase, "reset", true));
    }
}

#[test]
fn an_end_without_close_notify_is_a_reset_for_the_target_after_what_came_before() {
    let (mut tapline, mut client, mut server) = terminated();
    client.write_all(b"half of a quest").unwrap();
    client.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_any_end(&mut server), (b"half of a quest".to_vec(), Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "ended without close_notify", true));
}

#[test]
fn a_reset_by_the_client_is_a_reset_for_the_target() {
    let (mut tapline, client, mut server) = terminated();
    reset(client.sock);
    assert_eq!(read_to_any_end(&mut server), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "reset", true));
}

#[test]
fn altered_bytes_are_an_error_and_never_reach_the_target() {
    let (mut tapline, mut client, mut server) = terminated();
    // A record of application data that nobody has the key of.
    client.sock.write_all(&[23, 3, 3, 0, 32, 7, 7, 7]).unwrap();
    client.sock.write_all(&[7; 29]).unwrap();
    assert_eq!(read_to_any_end(&mut server), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    let (by, during, why, failed) = end_of(&closed);
    assert_eq!((by, during, failed), ("client", "relay", true));
    assert!(why.contains("bad_record_mac"), "{why}");
}

#[test]
fn timeouts_cut_a_tls_client_as_they_cut_any_other() {
    let (listener, target) = listener();
    let (mut tapline, ca) = start(&target.to_string(), &["--idle-timeout", "200ms", "--half-close-timeout", "200ms"]);
    for half_closed in [false, true] {
        let (mut client, mut server) = pair(&tapline, &ca, &listener);
        if half_closed {
            client.conn.send_close_notify();
            client.flush().unwrap();
            assert_eq!(read_all(&mut server), b"");
        }
        let error = client.read(&mut [0]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error:?}");
        let phase = if half_closed { "half_close" } else { "relay" };
        assert_eq!(end_of(&tapline.closed()), ("timeout", phase, "nothing for 200ms", true));
    }
}
