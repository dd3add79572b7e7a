//! Many clients that hold a connection and do not come to the point.

use super::start;
use crate::{support::*, tls};
use std::io::Write;

/// As many as fit into the usual limit on open files (1024) at this end.
const CROWD: usize = 800;
/// The most memory for each: the socket's state here, what it has sent, the room for an answer. About 8 KiB are seen.
const EACH: u64 = 32 * 1024;

#[test]
fn a_crowd_that_says_nothing_or_half_a_hello_takes_little_memory_and_nobody_elses_place() {
    let (mut tapline, ca) = start("builtin:echo", &["--hello-timeout", "3s"]);
    let echo = || {
        let mut client = tls::client(tapline.connect(), tls::trusting(&ca, &[]), "localhost");
        client.write_all(b"served").unwrap();
        assert_eq!(read_n(&mut client, 6), b"served");
    };
    // What is needed once is there before it is measured.
    (0..20).for_each(|_| echo());
    let before = resident(tapline.pid());
    let half = &tls::hello("localhost", &[])[..200];
    let crowd: Vec<_> = (0..CROWD)
        .map(|number| {
            let mut client = tapline.connect();
            if number % 2 == 0 {
                client.write_all(half).unwrap();
            }
            client
        })
        .collect();
    (0..20).for_each(|_| echo());
    let grown = resident(tapline.pid()).saturating_sub(before);
    assert!(grown < EACH * CROWD as u64, "{grown} bytes for {CROWD} clients");
    let (mut silent, mut halves) = (0, 0);
    while silent + halves < CROWD {
        let closed = tapline.closed();
        match end_of(&closed) {
            ("timeout", "hello", "nothing for 3s", true) => silent += 1,
            ("timeout", "hello", "only 200 bytes of a hello in 3s", true) => halves += 1,
            ("client", "relay", "ended without close_notify", true) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((silent, halves), (CROWD / 2, CROWD / 2));
    drop(crowd);
}

#[test]
fn where_silent_clients_hold_every_place_the_next_waits_no_longer_than_for_their_hello() {
    let (mut tapline, ca) = start("builtin:echo", &["--max-connections", "2", "--hello-timeout", "300ms"]);
    let _silent = [tapline.connect(), tapline.connect()];
    for _ in 0..2 {
        tapline.event("opened");
    }
    let mut client = tls::client(tapline.connect(), tls::trusting(&ca, &[]), "localhost");
    client.write_all(b"served").unwrap();
    assert_eq!(read_n(&mut client, 6), b"served");
    for _ in 0..2 {
        assert_eq!(end_of(&tapline.closed()), ("timeout", "hello", "nothing for 300ms", true));
    }
}
