//! Limits: connections of each target, and those that wait for a place.

use super::balancer;
use crate::support::*;
use std::{
    io::{ErrorKind, Write},
    net::TcpListener,
};

/// A connection that the target has taken: both ends.
struct Held {
    client: std::net::TcpStream,
    target: std::net::TcpStream,
}

fn hold(tapline: &mut Tapline, listener: &TcpListener) -> Held {
    let client = tapline.connect();
    let target = accept(listener);
    tapline.event("dialed");
    Held { client, target }
}

#[test]
fn who_finds_no_place_waits_for_one_first_come_first_served() {
    let (listener, addr) = listener();
    let mut tapline = balancer(&[format!("{addr},max=1")], &["--no-checks"]);
    let held = hold(&mut tapline, &listener);
    let mut waiting = Vec::new();
    for before in 0..3 {
        let mut client = tapline.connect();
        client.write_all(&[b'0' + before]).unwrap();
        let queued = tapline.event("queued");
        assert_eq!((&queued["id"], &queued["before"]), (&(2 + before).into(), &before.into()));
        waiting.push(client);
    }
    drop(held);
    for (number, mut client) in waiting.into_iter().enumerate() {
        let mut target = accept(&listener);
        let dialed = tapline.event("dialed");
        assert_eq!(dialed["id"], 2 + number);
        assert!(dialed["waited_ms"].as_f64().unwrap() > 0.0, "{dialed}");
        // What it said while it waited has come, and nothing else.
        assert_eq!(read_n(&mut target, 1), [b'0' + number as u8]);
        target.write_all(b"done").unwrap();
        drop(target);
        assert_eq!(read_all(&mut client), b"done");
    }
    assert_eq!(tapline.stop(), Some(0));
    let of = |kind: &str, key: &str| -> Vec<_> {
        tapline.seen.iter().filter(|event| event["event"] == kind && event["id"] != 1).map(|event| event[key].clone()).collect()
    };
    assert_eq!(of("closed", "failed"), [false; 3]);
    let first = tapline.seen.iter().find(|event| event["event"] == "dialed").unwrap();
    assert!(first["waited_ms"].is_null(), "{first}");
}

#[test]
fn the_limit_for_all_holds_where_a_target_has_none_of_its_own() {
    let ((one, a), (two, b)) = (listener(), listener());
    let mut tapline = balancer(&[format!("{a},max=2"), b.to_string()], &["--no-checks", "--max-per-target", "1", "--grace", "100ms"]);
    let clients: Vec<_> = (0..4).map(|_| tapline.connect()).collect();
    let _taken = (accept(&one), accept(&one), accept(&two));
    if !tapline.said().iter().any(|event| event["event"] == "queued") {
        tapline.event("queued");
    }
    drop(clients);
    tapline.stop();
    let dialed = tapline.seen.iter().filter(|event| event["event"] == "dialed" && event["waited_ms"].is_null());
    assert_eq!(dialed.count(), 3);
}

#[test]
fn the_queue_is_bounded_and_whoever_finds_no_place_in_it_is_reset() {
    let (listener, addr) = listener();
    let target = [format!("{addr},max=1")];
    for (queue, why) in [
        ("0", "every target has all the connections that it may have (--queue 0)"),
        ("1", "queue full: 1 wait for a place already (--queue)"),
    ] {
        let mut tapline = balancer(&target, &["--no-checks", "--queue", queue]);
        let _held = hold(&mut tapline, &listener);
        let _waiting = (queue == "1").then(|| (tapline.connect(), tapline.event("queued")));
        assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
        assert_eq!(end_of(&tapline.closed()), ("rule", "queue", why, true));
    }
}

#[test]
fn the_wait_is_bounded() {
    let (listener, addr) = listener();
    let mut tapline = balancer(&[format!("{addr},max=1")], &["--no-checks", "--queue-timeout", "100ms"]);
    let _held = hold(&mut tapline, &listener);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("timeout", "queue", "no place for 100ms", true));
}

#[test]
fn a_client_that_leaves_the_queue_is_noticed_and_takes_no_place() {
    let (listener, addr) = listener();
    let mut tapline = balancer(&[format!("{addr},max=1")], &["--no-checks", "--queue-timeout", "1h"]);
    let held = hold(&mut tapline, &listener);
    let leaving = tapline.connect();
    tapline.event("queued");
    let mut staying = tapline.connect();
    assert_eq!(tapline.event("queued")["before"], 1);
    reset(leaving);
    let closed = tapline.closed();
    assert_eq!((&closed["id"], end_of(&closed)), (&2.into(), ("client", "queue", "reset", true)));
    drop(held);
    let mut target = accept(&listener);
    assert_eq!(tapline.event("dialed")["id"], 3);
    target.write_all(b"hello").unwrap();
    assert_eq!(read_n(&mut staying, 5), b"hello");
}

#[test]
fn a_client_that_has_said_all_it_has_to_say_still_waits_for_its_answer() {
    let (listener, addr) = listener();
    let mut tapline = balancer(&[format!("{addr},max=1")], &["--no-checks"]);
    let held = hold(&mut tapline, &listener);
    let mut client = tapline.connect();
    client.write_all(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    tapline.event("queued");
    drop(held);
    let mut target = accept(&listener);
    assert_eq!(read_all(&mut target), b"question");
    target.write_all(b"answer").unwrap();
    drop(target);
    assert_eq!(read_all(&mut client), b"answer");
}

#[test]
fn where_a_target_refuses_the_wait_is_for_the_others() {
    let ((_held, refusing), (listener, addr)) = (refusing(), listener());
    let mut tapline = balancer(&[format!("{addr},max=1"), refusing.to_string()], &["--no-checks"]);
    let held = hold(&mut tapline, &listener);
    let mut client = tapline.connect();
    let failed = tapline.event("dial_failed");
    assert_eq!((&failed["id"], &failed["target"], &failed["next"]), (&2.into(), &refusing.to_string().into(), &true.into()));
    assert_eq!(tapline.event("queued")["id"], 2);
    let Held { client: first, target } = held;
    drop((first, target));
    let mut target = accept(&listener);
    target.write_all(b"here").unwrap();
    assert_eq!(read_n(&mut client, 4), b"here");
}

#[test]
fn a_drain_does_not_wait_for_those_who_wait() {
    let (listener, addr) = listener();
    let mut tapline = balancer(&[format!("{addr},max=1")], &["--no-checks", "--queue-timeout", "1h", "--grace", "200ms"]);
    let _held = hold(&mut tapline, &listener);
    let mut waiting = tapline.connect();
    tapline.event("queued");
    assert_eq!(tapline.stop(), Some(5));
    assert_eq!(read_to_any_end(&mut waiting).1, Err(ErrorKind::ConnectionReset));
    let closed = tapline.seen.iter().filter(|event| event["event"] == "closed");
    let phases: Vec<_> = closed.map(|event| (event["by"].clone(), event["during"].clone())).collect();
    assert!(phases.contains(&("shutdown".into(), "queue".into())), "{phases:?}");
}

#[test]
fn old_connections_are_reset_on_both_sides_after_what_was_said() {
    let (listener, addr) = listener();
    let mut tapline = balancer(&[addr.to_string()], &["--no-checks", "--max-age", "300ms"]);
    let mut client = tapline.connect();
    let mut target = accept(&listener);
    client.write_all(b"up").unwrap();
    target.write_all(b"down").unwrap();
    assert_eq!(read_to_any_end(&mut client), (b"down".to_vec(), Err(ErrorKind::ConnectionReset)));
    assert_eq!(read_to_any_end(&mut target), (b"up".to_vec(), Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("rule", "relay", "older than 300ms (--max-age)", true));
    let elapsed = closed["elapsed_ms"].as_f64().unwrap();
    assert!((270.0..5000.0).contains(&elapsed), "{elapsed}");
}
