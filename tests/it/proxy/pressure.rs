//! More clients than there is room for, and more ends than anyone can follow: nothing spins, nothing is left over,
//! nobody is forgotten.

use crate::support::*;
use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How long is looked at a process that has nothing to do.
const WHILE: Duration = Duration::from_secs(2);

/// Looks at the process for a while, during which `waiting` gets nothing: it uses next to no CPU, and says one line a
/// second at most. Returns what it said.
fn assert_calm(tapline: &mut Tapline, waiting: &mut TcpStream) -> Vec<serde_json::Value> {
    tapline.said();
    let (before, started) = (cpu_time(tapline.pid()), Instant::now());
    assert_open_and_silent(waiting, WHILE);
    let (after, took) = (cpu_time(tapline.pid()), started.elapsed());
    assert!(after < before + took / 20, "{before:?} to {after:?} of CPU in {took:?}");
    let said = tapline.said();
    assert!(said.len() <= 1 + took.as_secs() as usize, "{said:#?}");
    said
}

/// Clients that ask one thing and end.
fn ask_all(clients: &mut [TcpStream]) {
    for client in clients {
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    }
}

/// Answers so many clients, one after the other.
fn answer_all(listener: &TcpListener, held: Vec<TcpStream>, count: usize) {
    let more = (held.len()..count).map(|_| accept(listener));
    for mut server in held.into_iter().chain(more) {
        assert_eq!(read_all(&mut server), b"question");
        server.write_all(b"answer").unwrap();
    }
}

#[test]
fn five_hundred_clients_with_sixty_four_descriptors_wait_calmly_and_are_all_served() {
    const CLIENTS: usize = 500;
    let _ = tapline::descriptors::raise();
    let (listener, target) = listener();
    let mut tapline = with_descriptors(64, &["proxy", "0", &target.to_string(), "--threads", "1"]);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| tapline.connect()).collect();
    // So many fit.
    let held: Vec<_> = (0..10).map(|_| accept(&listener)).collect();
    (0..held.len()).for_each(|_| drop(tapline.event("dialed")));
    assert_eq!(assert_calm(&mut tapline, &mut clients[CLIENTS - 1]), [] as [serde_json::Value; 0]);
    ask_all(&mut clients);
    answer_all(&listener, held, CLIENTS);
    for client in &mut clients {
        assert_eq!(read_all(client), b"answer");
    }
    for _ in 0..CLIENTS {
        let closed = tapline.closed();
        assert_eq!(end_of(&closed), ("client", "relay", "done", false));
    }
    assert_eq!(tapline.stop(), Some(0));
}

#[test]
fn who_cannot_be_accepted_for_want_of_descriptors_is_told_calmly_and_accepted_later() {
    const CLIENTS: usize = 50;
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string()]);
    let (mut first, mut first_server) = (tapline.connect(), accept(&listener));
    tapline.event("dialed");
    let starved = starve(&tapline);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| tapline.connect()).collect();
    let failed = tapline.event("accept_failed");
    assert_eq!(failed["why"], "Too many open files (os error 24)");
    let said = assert_calm(&mut tapline, &mut clients[0]);
    assert!(!said.is_empty() && said.iter().all(|event| event["event"] == "accept_failed"), "{said:#?}");
    // Whoever was there before is still served, also in bulk: without a pipe to splice through.
    both_ways_at_once(&first, &first_server, 4 << 20);
    first.write_all(b"still here").unwrap();
    assert_eq!(read_n(&mut first_server, 10), b"still here");
    drop(starved);
    ask_all(&mut clients);
    answer_all(&listener, vec![], CLIENTS);
    for client in &mut clients {
        assert_eq!(read_all(client), b"answer");
    }
    drop((first, first_server));
    for _ in 0..=CLIENTS {
        assert_eq!(tapline.closed()["failed"], false, "{:?}", tapline.seen.last());
    }
    assert_eq!(tapline.stop(), Some(0));
}

/// Connections at the same time.
const AT_ONCE: u64 = 64;

/// Makes so many connections, so many at a time, each by `play` with random numbers of its own, and expects exactly one
/// end of each to be told; then nothing may be left of them in the process.
fn churn(tapline: &mut Tapline, count: u64, seed: u64, play: impl Fn(std::io::Result<TcpStream>, &mut Xorshift) + Send + Sync + 'static) {
    // What serves is all there as soon as it has served.
    drop(TcpStream::connect_timeout(&tapline.addr(), DEADLINE));
    tapline.closed();
    let sockets = descriptors(tapline.pid(), "socket:");
    let (ticket, tickets) = mpsc::channel::<u64>();
    let (tickets, play, addr) = (Arc::new(Mutex::new(tickets)), Arc::new(play), tapline.addr());
    let clients: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (tickets, play) = (tickets.clone(), play.clone());
            thread::spawn(move || {
                loop {
                    let Ok(number) = tickets.lock().unwrap().recv() else { return };
                    let mut random = Xorshift::new(seed ^ (number << 20));
                    play(TcpStream::connect_timeout(&addr, DEADLINE).map(patient), &mut random);
                }
            })
        })
        .collect();
    let (mut ends, mut middle) = (BTreeSet::new(), 0);
    (0..AT_ONCE).for_each(|number| ticket.send(number).unwrap());
    for closed in 1..=count {
        let end = tapline.closed();
        assert!(ends.insert(end["id"].as_u64().unwrap()), "told twice: {end}");
        assert!(end["by"] != "local" && end["by"] != "timeout", "{end}");
        // The next one takes the place of the one that has ended.
        if closed + AT_ONCE <= count {
            ticket.send(closed + AT_ONCE).unwrap();
        }
        if closed == count / 2 {
            middle = resident(tapline.pid());
        }
        // Kept for messages only.
        tapline.seen.clear();
    }
    drop(ticket);
    for client in clients {
        assert!(client.join().is_ok(), "a client has seen what it should not");
    }
    assert_eq!(ends.len() as u64, count);
    assert_eq!(descriptors(tapline.pid(), "socket:"), sockets, "sockets are left");
    let end = resident(tapline.pid());
    assert!(end < middle + (1 << 20), "{middle} bytes in the middle, {end} at the end");
    // It waits for every task of a connection.
    assert_eq!(tapline.stop(), Some(0));
    let said: Vec<_> = tapline.seen.iter().map(|event| &event["event"]).collect();
    assert_eq!(said, ["drained", "target"], "{:#?}", tapline.seen);
}

/// What a client of [`play`] and its target do.
const WAYS: u64 = 8;

/// These bytes come, then this end; a failure does not print all of them.
fn assert_sees(stream: &mut TcpStream, expected: &[u8], end: Result<(), ErrorKind>) {
    let (bytes, came) = read_to_any_end(stream);
    assert_eq!((bytes.len(), came), (expected.len(), end));
    assert!(bytes == expected, "other bytes");
}

fn answer(size: usize) -> Vec<u8> {
    pattern(size + 1)
}

/// A target that [obeys](obey), and a function that waits until all who were connected are done, and fails where one of
/// them has seen what it should not.
fn obedient() -> (SocketAddr, impl FnOnce()) {
    let (listener, addr) = lasting_listener();
    let (done, results) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // Connections come in their order: nobody is behind the one that wakes this up.
            if stopped.load(Relaxed) {
                return;
            }
            let (stream, done) = (patient(stream.unwrap()), done.clone());
            thread::spawn(move || done.send(std::panic::catch_unwind(|| obey(stream)).is_ok()));
        }
    });
    let finish = move || {
        stop.store(true, Relaxed);
        connect(addr);
        assert!(results.iter().all(|seen| seen), "a target has seen what it should not");
    };
    (addr, finish)
}

/// Does what the first bytes of the client say.
fn obey(mut stream: TcpStream) {
    let mut head = [0; 4];
    // One that says nothing has ended or reset at once.
    if stream.read_exact(&mut head).is_err() {
        return;
    }
    let size = usize::from(u16::from_le_bytes([head[2], head[3]]));
    match head[0] {
        // The client resets after what it has sent: all of that comes, and then the reset.
        0 => assert_sees(&mut stream, &pattern(size), Err(ErrorKind::ConnectionReset)),
        1 => reset(stream),
        2 => {
            assert_sees(&mut stream, &pattern(size), Ok(()));
            stream.write_all(&answer(size)).unwrap();
        }
        // Closed with unread bytes, where there are any: a reset behind the answer.
        3 => {
            let _ = stream.write_all(&answer(size));
        }
        4 => {
            stream.write_all(&answer(size)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_sees(&mut stream, &pattern(size), Ok(()));
        }
        _ => drop(read_to_any_end(&mut stream)),
    }
}

/// A client that ends in one of many ways.
fn play(client: std::io::Result<TcpStream>, random: &mut Xorshift) {
    let mut client = client.unwrap();
    let (way, size) = (random.below(WAYS) as u8, random.below(20_000) as usize);
    let [low, high] = (size as u16).to_le_bytes();
    let mut send = |bytes: &[u8]| client.write_all(&[&[way, 0, low, high], bytes].concat());
    match way {
        0 => {
            send(&pattern(size)).unwrap();
            wait_sent(&client);
            reset(client);
        }
        1 => {
            // A reset may meet the rest of what is sent.
            let sent = send(&pattern(size));
            let (bytes, end) = read_to_any_end(&mut client);
            assert!(bytes.is_empty() && (end.is_err() || sent.is_err()), "{end:?}");
        }
        2 => {
            send(&pattern(size)).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            assert_sees(&mut client, &answer(size), Ok(()));
        }
        3 => {
            send(b"").unwrap();
            assert_sees(&mut client, &answer(size), Ok(()));
        }
        4 => {
            send(b"").unwrap();
            assert_sees(&mut client, &answer(size), Ok(()));
            client.write_all(&pattern(size)).unwrap();
        }
        5 => {
            send(&pattern(size)).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            reset(client);
        }
        6 => reset(client),
        _ => drop(client),
    }
}

#[test]
fn twenty_thousand_connections_of_every_end_leave_nothing_behind() {
    let seed: u64 = std::env::var("TAPLINE_TEST_SEED").map_or_else(|_| std::process::id().into(), |seed| seed.parse().unwrap());
    let test = move || {
        let (target, finish) = obedient();
        let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--grace", "1h", "--threads", "2"]);
        churn(&mut tapline, 18_000, seed, play);
        finish();
        // The same with a target that refuses.
        let (_held, target) = refusing();
        let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--grace", "1h", "--threads", "2"]);
        churn(&mut tapline, 2_000, seed, play_with_nobody);
    };
    // The name of the thread is in the message of a panic.
    let test = thread::Builder::new().name(format!("TAPLINE_TEST_SEED={seed}")).spawn(test);
    assert!(test.unwrap().join().is_ok(), "failed with TAPLINE_TEST_SEED={seed}");
}

/// A client whose target refuses.
fn play_with_nobody(client: std::io::Result<TcpStream>, random: &mut Xorshift) {
    // The reset may come before connect(2) returns, or meet what is sent.
    let Ok(mut client) = client else { return };
    let sent = client.write_all(&pattern(random.below(20_000) as usize));
    match random.below(3) {
        0 => reset(client),
        1 => drop(client),
        _ => assert!(read_to_any_end(&mut client).1.is_err() || sent.is_err(), "a refusal is not an end"),
    }
}
