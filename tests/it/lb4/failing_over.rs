//! Failing over: one target after the other, and what the client has said reaches one of them, once.

use super::balancer;
use crate::support::*;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// A server that says which bytes it was sent, once they ended, by sending them back behind its name.
fn reflecting(name: &'static str) -> SocketAddr {
    server(move |mut stream| {
        let (bytes, _) = read_to_any_end(&mut stream);
        let _ = stream.write_all(name.as_bytes()).and_then(|()| stream.write_all(&bytes));
    })
}

/// A server that takes `most` bytes, keeps them in the list, and then does this.
fn taking(most: usize, then: fn(TcpStream)) -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let taken = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let keep = taken.clone();
    let addr = server(move |mut stream| {
        let mut bytes = vec![0; most];
        if stream.read_exact(&mut bytes).is_ok() {
            keep.lock().unwrap().push(bytes);
            then(stream);
        }
    });
    (addr, taken)
}

/// Says nothing for as long as the other side is there.
fn hang(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn nothing_is_lost_or_doubled_where_the_first_targets_take_no_connection() {
    let ((_held, refused), (_listener, full, _waiting)) = (refusing(), full_backlog());
    let (resetting, good) = (server(reset), reflecting("good:"));
    // Refused, no answer, reset in the middle of the TLS handshake.
    let targets = [refused.to_string(), full.to_string(), format!("tls:{resetting}"), good.to_string()];
    let said = pattern(3000);
    for more in [&[][..], &["--send-proxy", "v1"]] {
        let flags = [&["--no-checks", "--connect-timeout", "300ms", "--failover-timeout", "10s", "--policy", "round-robin"], more].concat();
        let mut tapline = balancer(&targets, &flags);
        let mut client = tapline.connect();
        client.write_all(&said).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let back = read_all(&mut client);
        let header = match more {
            [] => String::new(),
            _ => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", client.local_addr().unwrap().port(), tapline.addr().port()),
        };
        assert_eq!(back, [b"good:", header.as_bytes(), &said].concat());
        tapline.closed();
        let failed: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "dial_failed").collect();
        assert_eq!(failed.iter().map(|event| &event["next"]).collect::<Vec<_>>(), [true; 3]);
        assert_eq!((&failed[0]["why"], &failed[1]["why"]), (&"refused".into(), &"no answer for 300ms".into()));
    }
}

#[test]
fn all_targets_together_have_one_budget() {
    let full: Vec<_> = (0..4).map(|_| full_backlog()).collect();
    let targets: Vec<_> = full.iter().map(|(_, addr, _)| addr.to_string()).collect();
    let mut tapline = balancer(&targets, &["--no-checks", "--connect-timeout", "300ms", "--failover-timeout", "500ms"]);
    let started = Instant::now();
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
    let closed = tapline.closed();
    let (by, during, why, failed) = end_of(&closed);
    assert_eq!((by, during, failed), ("timeout", "dial", true));
    assert!(why.starts_with(&targets[1]) && why.ends_with("; no more time, 500ms are for all targets (--failover-timeout)"), "{why}");
    let tried: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "dial_failed").map(|event| event["next"].clone()).collect();
    assert_eq!(tried, [true, false]);
}

#[test]
fn a_target_that_ends_without_an_answer_ends_the_connection_unless_replay_is_asked_for() {
    let (ending, _) = taking(1, drop);
    let (resetting, _) = taking(1, reset);
    for (target, end) in [(ending, Ok(())), (resetting, Err(ErrorKind::ConnectionReset))] {
        let tapline = balancer(&[target.to_string(), reflecting("other:").to_string()], &["--no-checks"]);
        let mut client = tapline.connect();
        client.write_all(b"?").unwrap();
        assert_eq!(read_to_any_end(&mut client), (vec![], end));
    }
}

#[test]
fn what_was_said_goes_to_the_next_target_where_one_gives_no_answer() {
    for (then, flags, why) in [
        (drop::<TcpStream> as fn(TcpStream), &["--replay"][..], "ended before its first byte"),
        (reset, &["--replay"], "reset before its first byte"),
        (hang, &["--replay", "--replay-after", "300ms"], "no first byte for 300ms"),
    ] {
        for more in [&[][..], &["--send-proxy", "v1"]] {
            let said = pattern(5000);
            let header = if more.is_empty() { 0 } else { "PROXY TCP4 127.0.0.1 127.0.0.1 00000 00000\r\n".len() };
            let (bad, taken) = taking(header + said.len(), then);
            let mut tapline = balancer(&[bad.to_string(), reflecting("good:").to_string()], &[&["--no-checks"], flags, more].concat());
            let mut client = tapline.connect();
            let ports = (client.local_addr().unwrap().port(), tapline.addr().port());
            let header =
                if more.is_empty() { String::new() } else { format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", ports.0, ports.1) };
            client.write_all(&said).unwrap();
            let replayed = tapline.event("replayed");
            assert_eq!((&replayed["target"], &replayed["why"], &replayed["bytes"]), (&bad.to_string().into(), &why.into(), &5000.into()));
            // What comes later follows what was said again.
            client.write_all(b"more").unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(&mut client), [b"good:", header.as_bytes(), &said, b"more"].concat(), "{why}");
            let closed = tapline.closed();
            assert_eq!((&closed["failed"], &closed["received"]), (&false.into(), &5004.into()));
            assert!(taken.lock().unwrap().iter().all(|bytes| bytes.ends_with(&said)));
        }
    }
}

#[test]
fn a_target_that_is_only_slow_is_kept_where_no_other_one_takes_the_connection() {
    let ((_held, refusing), (listener, addr)) = (refusing(), listener());
    let targets = [addr.to_string(), refusing.to_string()];
    let mut tapline = balancer(&targets, &["--no-checks", "--replay", "--replay-after", "100ms"]);
    let mut client = tapline.connect();
    client.write_all(b"?").unwrap();
    let mut target = accept(&listener);
    assert_eq!(tapline.event("replayed")["target"], targets[0]);
    assert_eq!(tapline.event("dial_failed")["target"], targets[1]);
    assert_eq!(read_n(&mut target, 1), b"?");
    target.write_all(b"late").unwrap();
    drop(target);
    assert_eq!(read_all(&mut client), b"late");
    drop(client);
    let closed = tapline.closed();
    assert_eq!((&closed["target"], &closed["failed"]), (&targets[0].clone().into(), &false.into()));
}

#[test]
fn the_end_of_the_client_is_replayed_too() {
    // It answers nobody, and ends once its client has ended.
    let mute = server(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let mut tapline = balancer(&[mute.to_string(), reflecting("good:").to_string()], &["--no-checks", "--replay"]);
    let mut client = tapline.connect();
    client.write_all(b"all of it").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"good:all of it");
    assert_eq!(tapline.closed()["failed"], false);
    assert_eq!(tapline.seen.iter().filter(|event| event["event"] == "replayed").count(), 1);
}

#[test]
fn the_end_of_the_last_target_is_passed_on_as_it_is() {
    for (then, end) in [(drop::<TcpStream> as fn(TcpStream), Ok(())), (reset, Err(ErrorKind::ConnectionReset))] {
        let (one, first) = taking(4, then);
        let (two, second) = taking(4, then);
        let mut tapline = balancer(&[one.to_string(), two.to_string()], &["--no-checks", "--replay"]);
        let mut client = tapline.connect();
        client.write_all(b"ping").unwrap();
        assert_eq!(read_to_any_end(&mut client), (vec![], end));
        drop(client);
        let closed = tapline.closed();
        assert_eq!(closed["target"], two.to_string());
        assert_eq!(closed["failed"], end.is_err(), "{closed}");
        assert_eq!((first.lock().unwrap().len(), second.lock().unwrap().len()), (1, 1));
    }
}

#[test]
fn who_says_more_than_is_kept_stays_with_its_target() {
    const SAID: usize = 1024 * 1024;
    let (bad, taken) = taking(SAID, reset);
    let mut tapline = balancer(&[bad.to_string(), reflecting("other:").to_string()], &["--no-checks", "--replay"]);
    let mut client = tapline.connect();
    client.write_all(&pattern(SAID)).unwrap();
    assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(tapline.closed()["by"], "target");
    assert_eq!(taken.lock().unwrap()[0], pattern(SAID));
    assert!(tapline.seen.iter().all(|event| event["event"] != "replayed"));
}

#[test]
fn who_says_nothing_is_not_taken_for_one_who_waits() {
    let (listener, addr) = listener();
    let mut tapline =
        balancer(&[addr.to_string(), reflecting("other:").to_string()], &["--no-checks", "--replay", "--replay-after", "50ms"]);
    let mut client = tapline.connect();
    let mut target = accept(&listener);
    assert_open_and_silent(&mut client, Duration::from_millis(300));
    // A server may speak first, and then it is an ordinary relay.
    target.write_all(b"welcome").unwrap();
    assert_eq!(read_n(&mut client, 7), b"welcome");
    client.write_all(b"thanks").unwrap();
    assert_eq!(read_n(&mut target, 6), b"thanks");
    assert_open_and_silent(&mut client, Duration::from_millis(300));
    assert!(tapline.said().iter().all(|event| event["event"] != "replayed"));
}

#[test]
fn after_the_first_byte_bulk_data_takes_the_fast_path_and_a_cut_stays_a_cut() {
    const SENT: usize = 8 * 1024 * 1024;
    let target = server(|mut stream| {
        let asked = read_n(&mut stream, 3);
        assert_eq!(asked, b"get");
        stream.write_all(&pattern(SENT)).unwrap();
        wait_sent(&stream);
        reset(stream);
    });
    let mut tapline = balancer(&[target.to_string(), reflecting("other:").to_string()], &["--no-checks", "--replay"]);
    let mut client = tapline.connect();
    client.write_all(b"get").unwrap();
    let (bytes, end) = read_to_any_end(&mut client);
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert!(pattern(SENT).starts_with(&bytes));
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("target", "relay", "reset", true));
    assert_eq!(closed["spliced"], cfg!(target_os = "linux"));
}

#[test]
fn a_client_that_goes_before_the_first_byte_takes_its_target_with_it() {
    let (listener, addr): (TcpListener, _) = listener();
    let mut tapline = balancer(&[addr.to_string(), reflecting("other:").to_string()], &["--no-checks", "--replay"]);
    let mut client = tapline.connect();
    client.write_all(b"never mind").unwrap();
    let mut target = accept(&listener);
    assert_eq!(read_n(&mut target, 10), b"never mind");
    reset(client);
    assert_eq!(read_to_any_end(&mut target), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "reset", true));
}

#[test]
fn replay_is_refused_with_what_is_done_to_each_byte_once() {
    for flag in [&["--hex"][..], &["--delay", "1ms"], &["--record", "x"]] {
        let refused = run(&[&["lb4", "0", "h:1", "--replay"], flag].concat());
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(flag[0]), "{refused:?}");
    }
}

#[test]
fn an_answer_that_came_before_the_target_broke_off_is_passed_on() {
    // More than it takes waits there when it closes: RST, behind its answer.
    let target = server(|mut stream| {
        assert_eq!(read_n(&mut stream, 1).len(), 1);
        stream.write_all(b"no").unwrap();
    });
    for _ in 0..20 {
        let mut tapline = balancer(&[target.to_string(), reflecting("other:").to_string()], &["--no-checks", "--replay"]);
        let mut client = tapline.connect();
        client.write_all(&pattern(16 * 1024)).unwrap();
        assert_eq!(read_to_any_end(&mut client).0, b"no");
        tapline.closed();
        assert!(tapline.seen.iter().all(|event| event["event"] != "replayed"));
    }
}

#[test]
fn a_client_that_is_reset_in_the_queue_has_not_ended_for_the_target_that_was_left() {
    let ((left, addr), (busy, other)) = (listener(), listener());
    let targets = [addr.to_string(), format!("{other},max=1")];
    let mut tapline = balancer(&targets, &["--no-checks", "--replay", "--queue-timeout", "1h"]);
    let mut first = tapline.connect();
    first.write_all(b"a").unwrap();
    let mut mute = accept(&left);
    let mut holding = tapline.connect();
    holding.write_all(b"b").unwrap();
    let mut held = accept(&busy);
    held.write_all(b"b").unwrap();
    assert_eq!(read_n(&mut holding, 1), b"b");
    // It ends without an answer, and the other one has no place.
    assert_eq!(read_n(&mut mute, 1), b"a");
    mute.shutdown(Shutdown::Write).unwrap();
    tapline.event("queued");
    reset(first);
    assert_eq!(read_to_any_end(&mut mute), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("client", "queue", "reset", true));
}

#[test]
fn a_target_that_is_only_slow_is_not_left_for_a_place_in_the_queue() {
    let ((slow, addr), (busy, other)) = (listener(), listener());
    let targets = [addr.to_string(), format!("{other},max=1")];
    let mut tapline = balancer(&targets, &["--no-checks", "--replay", "--replay-after", "100ms", "--queue-timeout", "1h"]);
    let mut first = tapline.connect();
    let mut target = accept(&slow);
    // Who says nothing waits for nothing: the other one's only place is taken for good.
    let _holding = tapline.connect();
    let _held = accept(&busy);
    first.write_all(b"?").unwrap();
    assert_eq!(read_n(&mut target, 1), b"?");
    assert_open_and_silent(&mut first, Duration::from_millis(300));
    target.write_all(b"late").unwrap();
    assert_eq!(read_n(&mut first, 4), b"late");
    assert!(tapline.said().iter().chain(&tapline.seen).all(|event| event["event"] != "queued"));
}

#[test]
fn the_age_of_a_connection_counts_before_the_first_byte_too() {
    let (listener, addr) = listener();
    let mut tapline = balancer(&[addr.to_string()], &["--no-checks", "--replay", "--max-age", "300ms"]);
    let mut client = tapline.connect();
    let mut target = accept(&listener);
    assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(read_to_any_end(&mut target), (vec![], Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("rule", "relay", "older than 300ms (--max-age)", true));
}

#[test]
fn the_limit_of_a_half_close_starts_with_the_end_of_the_client() {
    let (listener, addr) = listener();
    let flags = ["--no-checks", "--replay", "--idle-timeout", "1h", "--half-close-timeout", "800ms"];
    let mut tapline = balancer(&[addr.to_string()], &flags);
    let mut client = tapline.connect();
    let mut target = accept(&listener);
    assert_open_and_silent(&mut client, Duration::from_millis(700));
    let ended = Instant::now();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_any_end(&mut target).0, b"");
    let closed = tapline.closed();
    assert_eq!((&closed["by"], &closed["during"]), (&"timeout".into(), &"half_close".into()));
    assert!(ended.elapsed() >= Duration::from_millis(800), "{:?}", ended.elapsed());
}
