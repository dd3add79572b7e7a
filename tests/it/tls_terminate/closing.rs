//! Ends that take long: a large answer after the end of the client, and timeouts. The others are in `matrix.rs`.

use super::{pair, start, terminated};
use crate::support::*;
use std::io::{ErrorKind, Read, Write};

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
