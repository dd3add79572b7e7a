//! Every way in which a relayed connection ends.

use crate::support::*;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

const MIB: usize = 1 << 20;

/// A proxy and the two ends of a connection through it.
fn pair(flags: &[&str]) -> (Tapline, TcpStream, TcpStream) {
    let (listener, target) = listener();
    let tapline = Tapline::start(&[&["proxy", "0", &target.to_string()], flags].concat());
    let (client, server) = meet(&tapline, &listener);
    (tapline, client, server)
}

fn meet(tapline: &Tapline, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = tapline.connect();
    (client, accept(listener))
}

/// Sends and ends in a thread.
fn send_and_end(stream: &TcpStream, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let mut stream = stream.try_clone().unwrap();
    thread::spawn(move || {
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    })
}

#[test]
fn an_end_with_a_megabyte_in_flight_cuts_nothing_whoever_ends_first() {
    for client_first in [true, false] {
        let (mut tapline, client, server) = pair(&[]);
        let (mut first, mut second) = if client_first { (client, server) } else { (server, client) };
        let sender = send_and_end(&first, pattern(MIB));
        assert_eq!(read_slowly(&mut second), pattern(MIB));
        sender.join().unwrap();
        // The other direction is open still, and takes as much.
        let sender = send_and_end(&second, pattern(MIB + 1));
        assert_eq!(read_slowly(&mut first), pattern(MIB + 1));
        sender.join().unwrap();
        let closed = tapline.closed();
        assert_eq!(end_of(&closed), (if client_first { "client" } else { "target" }, "relay", "done", false));
    }
}

#[test]
fn ends_that_cross_each_other_cut_nothing() {
    let (mut tapline, mut client, mut server) = pair(&[]);
    let senders = [send_and_end(&client, pattern(MIB)), send_and_end(&server, pattern(MIB + 7))];
    let reader = thread::spawn(move || read_slowly(&mut client));
    assert_eq!(read_slowly(&mut server), pattern(MIB));
    assert_eq!(reader.join().unwrap(), pattern(MIB + 7));
    for sender in senders {
        sender.join().unwrap();
    }
    let closed = tapline.closed();
    assert_eq!((&closed["failed"], &closed["received"], &closed["sent"]), (&false.into(), &MIB.into(), &(MIB + 7).into()));
}

#[test]
fn an_end_reaches_a_reader_that_starts_only_afterwards() {
    let (mut tapline, mut client, mut server) = pair(&[]);
    // Small enough for the kernel to hold: the end is sent before anyone reads.
    client.write_all(&pattern(100_000)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.write_all(&pattern(100_001)).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(tapline.closed()["failed"], false);
    assert_eq!(read_all(&mut server), pattern(100_000));
    assert_eq!(read_all(&mut client), pattern(100_001));
}

#[test]
fn a_reset_by_the_client_reaches_the_server_as_a_reset_after_what_was_sent_before() {
    let (mut tapline, mut client, mut server) = pair(&[]);
    client.write_all(b"half of a quest").unwrap();
    assert_eq!(read_n(&mut server, 15), b"half of a quest");
    reset(client);
    assert_eq!(read_to_any_end(&mut server), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "reset", true));
}

#[test]
fn a_question_sent_just_before_a_reset_by_the_client_arrives_whole() {
    let (mut tapline, mut client, mut server) = pair(&[]);
    client.write_all(&pattern(300_000)).unwrap();
    wait_sent(&client);
    reset(client);
    assert_eq!(read_to_any_end(&mut server), (pattern(300_000), Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "reset", true));
}

#[test]
fn an_answer_sent_just_before_a_reset_by_the_server_arrives_whole_at_a_slow_client() {
    let (mut tapline, mut client, mut server) = pair(&[]);
    server.write_all(&pattern(500_000)).unwrap();
    wait_sent(&server);
    reset(server);
    // Only now does the client begin to read.
    let (mut got, mut chunk) = (Vec::<u8>::new(), [0; 1000]);
    let end = loop {
        match client.read(&mut chunk) {
            Ok(0) => break None,
            Ok(n) => got.extend(&chunk[..n]),
            Err(error) => break Some(error.kind()),
        }
        thread::yield_now();
    };
    assert_eq!((got.len(), end), (500_000, Some(ErrorKind::ConnectionReset)));
    assert!(got == pattern(500_000));
    assert_eq!(end_of(&tapline.closed()), ("target", "relay", "reset", true));
}

#[test]
fn a_server_that_resets_during_an_upload_is_seen_as_a_reset_and_never_as_an_end() {
    let (mut tapline, mut client, server) = pair(&[]);
    let sent = fill(&mut client);
    assert!(sent > 100_000, "{sent}");
    reset(server);
    assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    let (by, during, _, failed) = end_of(&closed);
    assert_eq!((by, during, failed), ("target", "relay", true));
}

#[test]
fn a_refusal_in_the_middle_of_an_upload_arrives_before_the_reset() {
    let (mut tapline, mut client, mut server) = pair(&[]);
    assert!(fill(&mut client) > 100_000);
    server.write_all(b"413 too large").unwrap();
    // Closing with unread bytes makes the kernel send RST.
    drop(server);
    assert_eq!(read_to_any_end(&mut client), (b"413 too large".to_vec(), Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()).0, "target");
}

#[test]
fn a_client_that_resets_during_a_download_is_reset_for_the_server() {
    let (mut tapline, client, mut server) = pair(&[]);
    assert!(fill(&mut server) > 100_000);
    reset(client);
    assert_eq!(read_to_any_end(&mut server), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    let (by, during, _, failed) = end_of(&closed);
    assert_eq!((by, during, failed), ("client", "relay", true));
}

#[test]
fn a_reset_after_the_other_side_ended_is_still_a_reset() {
    // The client has ended, the server answers half and resets.
    let (mut tapline, mut client, mut server) = pair(&[]);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), b"");
    server.write_all(b"half of an ans").unwrap();
    wait_sent(&server);
    reset(server);
    assert_eq!(read_to_any_end(&mut client), (b"half of an ans".to_vec(), Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("target", "half_close", "reset", true));
    // The same the other way round.
    let (mut tapline, mut client, mut server) = pair(&[]);
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    client.write_all(b"half of a quest").unwrap();
    wait_sent(&client);
    reset(client);
    assert_eq!(read_to_any_end(&mut server), (b"half of a quest".to_vec(), Err(ErrorKind::ConnectionReset)));
    // Not called a failure: the target had said that it was done.
    assert_eq!(end_of(&tapline.closed()), ("client", "half_close", "reset after the target had ended", false));
}

#[test]
fn a_side_that_ends_and_is_reset_later_resets_the_other_which_is_still_busy() {
    // The client asks, ends, and is killed while the server is silent: the server need not wait for a timeout to learn.
    let (mut tapline, client, mut server) = pair(&[]);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), b"");
    reset(client);
    assert_eq!(end_of(&tapline.closed()), ("client", "half_close", "left before the last bytes", false));
    // The server's reading side has had its end; what it writes meets the reset.
    let error = (0..).find_map(|_| server.write(&[0; 1000]).err()).unwrap();
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

#[test]
fn a_silent_pair_is_closed_by_the_idle_timeout_and_both_sides_see_a_reset() {
    let (mut tapline, mut client, mut server) = pair(&["--idle-timeout", "200ms"]);
    assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(read_to_any_end(&mut server), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("timeout", "relay", "nothing for 200ms", true));
}

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
fn a_half_closed_pair_is_closed_by_the_half_close_timeout() {
    let (mut tapline, mut client, mut server) = pair(&["--half-close-timeout", "200ms"]);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), b"");
    assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("timeout", "half_close", "nothing for 200ms", true));
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
