//! How much and how long is served.

use crate::support::*;
use std::{
    io::{Read, Write},
    time::Duration,
};

#[test]
fn the_first_event_names_the_real_port() {
    // `start` asserts that `listening` is the first event; the port that it names is the one that is served.
    let tapline = Tapline::start(&["proxy", "0", "builtin:echo"]);
    assert_ne!(tapline.addr().port(), 0);
    assert_eq!(ask(tapline.addr(), b"hello"), b"hello");
}

#[test]
fn after_so_many_connections_it_ends_with_0() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--connections", "3"]);
    let addr = tapline.addr();
    for _ in 0..3 {
        assert_eq!(ask(addr, b"hello"), b"hello");
    }
    assert_eq!(tapline.wait().code(), Some(0));
    assert_eq!(tapline.seen.iter().filter(|event| event["event"] == "closed").count(), 3);
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[test]
fn one_that_failed_makes_it_1() {
    let (_held, target) = refusing();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--connections", "1"]);
    assert!(fate(tapline.addr()).1.is_err());
    assert_eq!(tapline.wait().code(), Some(1));
}

#[test]
fn connections_that_go_on_are_waited_for() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--connections", "1"]);
    let mut client = tapline.connect();
    tapline.event("dialed");
    client.write_all(b"still").unwrap();
    let mut back = [0; 5];
    client.read_exact(&mut back).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(tapline.wait().code(), Some(0));
}

#[test]
fn a_time_limit_tells_whether_anything_happened() {
    for (more, connect, code) in [
        (&["--for", "300ms"][..], false, 4),
        (&["--for", "300ms"], true, 0),
        (&["--for", "300ms", "--connections", "2"], true, 4),
        (&["--for", "1h", "--connections", "1"], true, 0),
    ] {
        let mut tapline = Tapline::start(&[&["proxy", "0", "builtin:echo"], more].concat());
        if connect {
            assert_eq!(ask(tapline.addr(), b"hello"), b"hello");
        }
        assert_eq!(tapline.wait().code(), Some(code), "{more:?} {connect}");
    }
}

#[test]
fn with_one_slot_the_next_connection_opens_after_the_last_is_closed() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--max-connections", "1"]);
    let clients: Vec<_> = (0..20)
        .map(|i: u8| {
            let mut client = tapline.connect();
            std::thread::spawn(move || {
                client.write_all(&[i; 100]).unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
                assert_eq!(read_all(&mut client), [i; 100]);
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    for _ in 0..20 {
        tapline.closed();
    }
    let order: Vec<_> = tapline.seen.iter().filter(|e| e["event"] == "opened" || e["event"] == "closed").collect();
    for (i, event) in order.iter().enumerate() {
        let expected = if i % 2 == 0 { "opened" } else { "closed" };
        assert_eq!((&event["event"], &event["id"]), (&expected.into(), &(i / 2 + 1).into()));
    }
}

#[test]
fn clients_beyond_the_limit_wait_and_are_served() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--max-connections", "2"]);
    let mut first = [tapline.connect(), tapline.connect()];
    for client in &mut first {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    let mut third = tapline.connect();
    third.write_all(b"y").unwrap();
    assert_open_and_silent(&mut third, Duration::from_millis(100));
    assert_eq!(tapline.event("opened")["id"], 1);
    drop(first);
    let mut byte = [0];
    third.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"y");
}
