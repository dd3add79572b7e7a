//! Faults on purpose: each at its place, and nothing else changed.

use super::pair;
use crate::{support::*, tls};
use serde_json::json;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

const RESET: Result<(), ErrorKind> = Err(ErrorKind::ConnectionReset);

#[test]
fn a_delay_is_felt_in_its_direction_only_and_the_end_comes_after_what_it_holds() {
    let (mut tapline, mut client, mut server) = pair(&["--delay", "up:300ms~50ms"]);
    let started = Instant::now();
    client.write_all(b"ques").unwrap();
    client.write_all(b"tion").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.write_all(b"not delayed").unwrap();
    assert_eq!(read_n(&mut client, 11), b"not delayed");
    assert!(started.elapsed() < Duration::from_millis(240), "{:?}", started.elapsed());
    assert_eq!(read_all(&mut server), b"question");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{took:?}");
    drop(server);
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "done", false));
}

#[test]
fn a_delay_does_not_lower_the_throughput() {
    let (_tapline, mut client, mut server) = pair(&["--delay", "400ms"]);
    let started = Instant::now();
    let sender = std::thread::spawn(move || {
        client.write_all(&pattern(12 << 20)).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        client
    });
    assert!(read_all(&mut server) == pattern(12 << 20));
    // With 64 KiB for each delay it would take 77 s.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    drop(sender.join().unwrap());
}

#[test]
fn a_rate_is_held_and_nothing_is_lost() {
    let (mut tapline, mut client, mut server) = pair(&["--rate", "down:256k"]);
    let started = Instant::now();
    server.write_all(&pattern(384 * 1024)).unwrap();
    drop(server);
    assert!(read_all(&mut client) == pattern(384 * 1024));
    // 1.5 s; a loaded machine may be slower, none is faster.
    let took = started.elapsed();
    assert!(took > Duration::from_millis(1400) && took < Duration::from_secs(10), "{took:?}");
    drop(client);
    assert_eq!(tapline.closed()["failed"], false);
}

#[test]
fn a_reset_by_one_side_comes_after_what_a_delay_still_holds() {
    let (mut tapline, mut client, mut server) = pair(&["--delay", "200ms"]);
    server.write_all(b"half of an ans").unwrap();
    wait_sent(&server);
    reset(server);
    assert_eq!(read_to_any_end(&mut client), (b"half of an ans".to_vec(), RESET));
    assert_eq!(end_of(&tapline.closed()), ("target", "relay", "reset", true));
}

#[test]
fn a_reset_after_the_other_side_ended_is_still_a_reset() {
    let (mut tapline, mut client, mut server) = pair(&["--delay", "1ms"]);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), b"");
    server.write_all(b"half").unwrap();
    wait_sent(&server);
    reset(server);
    assert_eq!(read_to_any_end(&mut client), (b"half".to_vec(), RESET));
    assert_eq!(end_of(&tapline.closed()), ("target", "half_close", "reset", true));
    // The client asks, ends, and is killed while the server is silent.
    let (mut tapline, client, mut server) = pair(&["--delay", "1ms"]);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), b"");
    reset(client);
    assert_eq!(end_of(&tapline.closed()), ("client", "half_close", "left before the last bytes", false));
}

#[test]
fn a_stall_lets_exactly_so_many_bytes_through_and_the_other_direction_go_on() {
    let (mut tapline, mut client, mut server) = pair(&["--stall-after", "up:10k"]);
    client.write_all(&pattern(30_000)).unwrap();
    assert_eq!(read_n(&mut server, 10_240), pattern(30_000)[..10_240]);
    assert_open_and_silent(&mut server, Duration::from_millis(300));
    server.write_all(b"still here").unwrap();
    assert_eq!(read_n(&mut client, 10), b"still here");
    let fault = tapline.event("fault");
    assert_eq!((&fault["fault"], &fault["direction"], &fault["after"]), (&json!("stall"), &json!("up"), &json!(10_240)));
    // A reset is noticed all the same.
    reset(client);
    assert_eq!(read_to_any_end(&mut server), (vec![], RESET));
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "reset", true));
}

#[test]
fn what_a_fault_holds_back_ends_with_the_program() {
    for flags in [["--stall-after", "0"], ["--delay", "5m"], ["--rate", "1"]] {
        let (mut tapline, mut client, mut server) = pair(&[&flags[..], &["--grace", "100ms", "--half-close-timeout", "off"]].concat());
        client.write_all(&pattern(100_000)).unwrap();
        let started = Instant::now();
        assert_eq!(tapline.stop(), Some(5));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(read_to_any_end(&mut client).1, RESET);
        assert_eq!(read_to_any_end(&mut server).1, RESET);
    }
}

#[test]
fn a_stalled_pair_ends_by_the_idle_timeout() {
    let (mut tapline, client, mut server) = pair(&["--stall-after", "0", "--idle-timeout", "200ms"]);
    assert_eq!(read_to_any_end(&mut server), (vec![], RESET));
    assert_eq!(end_of(&tapline.closed()).0, "timeout");
    drop(client);
}

#[test]
fn a_cut_delivers_exactly_so_many_bytes_and_resets_both_sides() {
    for (flag, upwards) in [("up:10k", true), ("down:10k", false)] {
        let (mut tapline, client, server) = pair(&["--cut-after", flag]);
        let (mut from, mut to) = if upwards { (client, server) } else { (server, client) };
        from.write_all(&pattern(12_000)).unwrap();
        assert_eq!(read_to_any_end(&mut to), (pattern(12_000)[..10_240].to_vec(), RESET));
        assert_eq!(read_to_any_end(&mut from), (vec![], RESET));
        let direction = if upwards { "up" } else { "down" };
        let why = format!("cut after 10240 B {direction} (--cut-after)");
        assert_eq!(end_of(&tapline.closed()), ("fault", "relay", why.as_str(), true));
    }
}

#[test]
fn a_cut_strikes_bytes_that_came_in_pieces_and_after_the_other_side_ended() {
    let (mut tapline, mut client, mut server) = pair(&["--cut-after", "up:5"]);
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    drip(&mut client, b"1234");
    assert_eq!(read_n(&mut server, 4), b"1234");
    client.write_all(b"56").unwrap();
    assert_eq!(read_to_any_end(&mut server), (b"5".to_vec(), RESET));
    assert_eq!(end_of(&tapline.closed()).0, "fault");
}

/// Which of 40 connections were reset, and how many bytes of 100,000 those got.
fn resets(seed: &str) -> Vec<Option<usize>> {
    let target = server(|mut stream| {
        // A reset before connect(2) returns would hide what was sent before it.
        let _ = stream.read(&mut [0]);
        let _ = stream.write_all(&pattern(100_000));
    });
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--reset", "down:30%", "--seed", seed]);
    let all = (0..40).map(|_| {
        // A reset after 0 bytes may come before connect(2) returns.
        let (got, end) = match TcpStream::connect_timeout(&tapline.addr(), DEADLINE).map(patient) {
            Ok(mut client) => {
                let _ = client.write_all(b"?");
                read_to_any_end(&mut client)
            }
            Err(error) => (vec![], Err(error.kind())),
        };
        assert!(got == pattern(100_000)[..got.len()]);
        assert_eq!(end.is_ok(), got.len() == 100_000);
        assert_eq!(tapline.closed()["by"] == "fault", end.is_err());
        end.is_err().then_some(got.len())
    });
    all.collect()
}

#[test]
fn the_same_seed_gives_the_same_resets_at_the_same_bytes() {
    let (first, again, other) = (resets("7"), resets("7"), resets("8"));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let struck = first.iter().flatten().count();
    assert!((4..=24).contains(&struck), "{first:?}");
}

#[test]
fn a_seed_that_was_chosen_is_said_and_repeats_the_run() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--reset", "1%", "--delay", "down:20ms~5ms"]);
    let faults = tapline.event("faults");
    assert_eq!(faults["reset_percent"], json!(1.0));
    assert_eq!(faults["down"]["delay"], json!({ "base_ms": 20.0, "jitter_ms": 5.0 }));
    assert_eq!(faults["up"]["delay"], json!(null));
    assert!(faults["seed"].as_u64().is_some());
}

#[test]
fn a_connection_shorter_than_its_reset_point_is_reset_in_place_of_its_end() {
    let (mut tapline, mut client, mut server) = pair(&["--reset", "100%", "--seed", "7"]);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_any_end(&mut server), (vec![], RESET));
    assert_eq!(read_to_any_end(&mut client), (vec![], RESET));
    assert_eq!(end_of(&tapline.closed()).0, "fault");
}

#[test]
fn faults_work_on_unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let at = format!("unix:{}", path.display());
    let mut tapline = Tapline::start(&["proxy", &at, "builtin:echo", "--rate", "1M", "--delay", "1ms"]);
    let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    client.write_all(&pattern(100_000)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_n(&mut client, 100_000) == pattern(100_000));
    let closed = tapline.closed();
    assert_eq!((&closed["failed"], &closed["spliced"]), (&json!(false), &json!(false)));
}

#[test]
fn a_fault_under_tls_counts_plaintext_and_the_client_sees_no_close_notify() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["tls-terminate", "0", &target.to_string(), "--cut-after", "down:5"]);
    let ca = std::fs::read_to_string(tapline.event("certificate")["ca"].as_str().unwrap()).unwrap();
    let mut client = tls::client(tapline.connect(), tls::trusting(&ca, &[]), "localhost");
    client.write_all(b"question").unwrap();
    let mut server = accept(&listener);
    assert_eq!(read_n(&mut server, 8), b"question");
    server.write_all(b"answer").unwrap();
    let mut got = Vec::new();
    assert_eq!(client.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(got, b"answe");
    assert_eq!(read_to_any_end(&mut server), (vec![], RESET));
    assert_eq!(end_of(&tapline.closed()).2, "cut after 5 B down (--cut-after)");
}

#[test]
fn faults_that_make_no_sense_are_wrong_usage() {
    for (flags, why) in [
        (&["--seed", "7"][..], "nothing to choose"),
        (&["--delay", "1s", "--delay", "up:2s"], "given twice for one direction"),
        (&["--delay", "20m"], "outlasts --idle-timeout"),
        (&["--delay", "50ms~60ms"], "more than the delay"),
        (&["--rate", "0"], "above zero"),
        (&["--stall-after", "60s"], "64k"),
        (&["--reset", "1"], "1%"),
        (&["--cut-after", "sideways:1k"], "no direction"),
    ] {
        let refused = run(&[&["proxy", "0", "builtin:echo"], flags].concat());
        assert_eq!(refused.code, Some(2), "{flags:?}");
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}
