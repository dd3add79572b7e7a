//! Signals.

use crate::support::*;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

/// A relay that is under way: the client and the target's end.
fn relayed(more: &[&str]) -> (Tapline, TcpStream, TcpStream) {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&[&["proxy", "0", &target.to_string()], more].concat());
    let mut client = tapline.connect();
    let mut server = accept(&listener);
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    tapline.event("dialed");
    (tapline, client, server)
}

/// How many connections were cut short, as is said at the end, before what each target has come to.
fn aborted(tapline: &Tapline) -> &serde_json::Value {
    let [.., drained, target] = &tapline.seen[..] else { panic!("{:?}", tapline.seen) };
    assert_eq!((&drained["event"], &target["event"]), (&"drained".into(), &"target".into()));
    &drained["aborted"]
}

#[test]
fn a_signal_lets_relays_finish_and_refuses_new_connections() {
    for signal in ["TERM", "INT"] {
        let (mut tapline, mut client, mut server) = relayed(&[]);
        tapline.signal(signal);
        let draining = tapline.event("draining");
        assert_eq!((&draining["open"], &draining["grace_ms"]), (&1.into(), &10_000.0.into()));
        assert_eq!(TcpStream::connect(tapline.addr()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // Both directions go on.
        server.write_all(b"late answer").unwrap();
        client.write_all(b"late question").unwrap();
        let (mut answer, mut question) = ([0; 11], [0; 13]);
        client.read_exact(&mut answer).unwrap();
        server.read_exact(&mut question).unwrap();
        assert_eq!((&answer, &question), (b"late answer", b"late question"));
        drop(server);
        assert_eq!(read_all(&mut client), b"");
        drop(client);
        assert_eq!(tapline.wait().code(), Some(0));
        assert_eq!(aborted(&tapline), 0);
    }
}

#[test]
fn with_nothing_open_it_ends_at_once() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--grace", "1h"]);
    assert_eq!(tapline.stop(), Some(0));
}

#[test]
fn who_outlives_the_grace_is_reset() {
    let (mut tapline, mut client, mut server) = relayed(&["--grace", "200ms"]);
    tapline.signal("TERM");
    assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(read_to_any_end(&mut server), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    assert_eq!((&closed["by"], &closed["during"], &closed["failed"]), (&"shutdown".into(), &"relay".into(), &true.into()));
    assert_eq!(tapline.wait().code(), Some(5));
    assert_eq!(aborted(&tapline), 1);
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let (mut tapline, mut client, _server) = relayed(&["--grace", "1h"]);
    tapline.signal("INT");
    tapline.event("draining");
    tapline.signal("TERM");
    assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    assert_eq!((&closed["by"], &closed["why"]), (&"shutdown".into(), &"a signal while draining".into()), "{closed}");
    assert_eq!(tapline.wait().code(), Some(5));
}

#[test]
fn who_still_waits_for_a_slot_at_the_end_is_reset_and_counted() {
    let (mut tapline, client, server) = relayed(&["--max-connections", "1"]);
    let mut waiting: Vec<_> = (0..2).map(|_| tapline.connect()).collect();
    waiting[0].write_all(b"anyone?").unwrap();
    tapline.signal("TERM");
    let note = tapline.event("note");
    assert_eq!(note["text"], "2 clients that waited were not served: no connection is accepted any more");
    for client in &mut waiting {
        assert_eq!(read_to_any_end(client), (vec![], Err(ErrorKind::ConnectionReset)));
    }
    drop((client, server));
    assert_eq!(tapline.wait().code(), Some(0));
    assert_eq!(aborted(&tapline), 0);
}

#[test]
fn the_first_signal_of_all_ends_what_the_time_limit_let_drain() {
    let (mut tapline, _client, _server) = relayed(&["--for", "1s", "--grace", "1h"]);
    tapline.event("draining");
    tapline.signal("INT");
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("shutdown", "relay", "a signal while draining", true));
    assert_eq!(tapline.wait().code(), Some(5));
}
