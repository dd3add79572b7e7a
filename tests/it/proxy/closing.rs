//! What the matrix has no room for: timeouts that are told apart by how long they take.

use super::pair;
use crate::support::*;
use socket2::SockRef;
use std::{
    io::{ErrorKind, Write},
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

#[test]
fn a_byte_in_either_direction_starts_the_idle_timeout_anew() {
    for upwards in [true, false] {
        let (mut tapline, mut client, mut server) = pair(&["--idle-timeout", "1s"]);
        let (from, to) = if upwards { (&mut client, &mut server) } else { (&mut server, &mut client) };
        for _ in 0..6 {
            from.write_all(b"x").unwrap();
            assert_eq!(read_n(to, 1), b"x");
            assert_open_and_silent(from, Duration::from_millis(300));
        }
        let closed = tapline.closed();
        assert_eq!(end_of(&closed), ("timeout", "relay", "nothing for 1s", true));
        assert!(closed["elapsed_ms"].as_f64().unwrap() > 2400.0, "{closed}");
    }
}

#[test]
fn the_half_close_timeout_may_be_longer_than_the_idle_timeout() {
    let (mut tapline, mut client, mut server) = pair(&["--idle-timeout", "200ms", "--half-close-timeout", "off"]);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), b"");
    assert_open_and_silent(&mut client, Duration::from_millis(600));
    server.write_all(b"late").unwrap();
    drop(server);
    assert_eq!(read_all(&mut client), b"late");
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "done", false));
}

#[test]
fn a_client_that_does_not_read_holds_the_reset_of_its_target_up_for_five_seconds() {
    let (mut tapline, mut client, mut server) = pair(&[]);
    // More than the client's side of the kernel takes, and less than with the proxy's.
    server.write_all(&pattern(500_000)).unwrap();
    wait_sent(&server);
    reset(server);
    let started = Instant::now();
    assert_eq!(end_of(&tapline.closed()), ("target", "relay", "reset", true));
    let took = started.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(10), "{took:?}");
    // What the client's kernel holds is there, and it does not look complete.
    let (bytes, end) = read_to_any_end(&mut client);
    assert!(bytes == pattern(500_000)[..bytes.len()] && bytes.len() < 500_000, "{}", bytes.len());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
}

#[test]
fn urgent_data_in_the_middle_of_bulk_data_hides_nothing_that_follows() {
    let (mut tapline, mut client, mut server) = pair(&[]);
    let (before, after) = (pattern(4 << 20), pattern(1 << 20));
    let reader = thread::spawn(move || read_all(&mut server));
    client.write_all(&before).unwrap();
    // The urgent byte itself is out of band: it is in nobody's stream (tcp(7)).
    SockRef::from(&client).send_out_of_band(b"!").unwrap();
    client.write_all(&after).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(reader.join().unwrap() == [before, after].concat());
    let closed = tapline.closed();
    assert_eq!((&closed["why"], &closed["spliced"]), (&"done".into(), &true.into()), "{closed}");
}
