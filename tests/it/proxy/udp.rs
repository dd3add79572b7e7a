//! `proxy --udp`: datagrams, in sessions.

use crate::support::*;
use serde_json::json;
use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

fn client(of: SocketAddr) -> UdpSocket {
    let (socket, _) = socket();
    socket.connect(of).unwrap();
    socket
}

fn receive_from(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (n, from) = socket.recv_from(&mut buffer).unwrap();
    buffer.truncate(n);
    (buffer, from)
}

/// The program and its target.
fn start(flags: &[&str]) -> (Tapline, UdpSocket) {
    let (server, target) = socket();
    (Tapline::start(&[&["proxy", "--udp", "0", &target.to_string()], flags].concat()), server)
}

#[test]
fn each_client_has_a_session_and_gets_its_own_answers() {
    let (mut tapline, server) = start(&["--idle-timeout", "400ms"]);
    let clients: Vec<_> = (0..3).map(|_| client(tapline.addr())).collect();
    let mut from = Vec::new();
    for (i, client) in clients.iter().enumerate() {
        client.send(&[i as u8; 10]).unwrap();
        let (datagram, addr) = receive_from(&server);
        assert_eq!(datagram, [i as u8; 10]);
        from.push(addr);
    }
    for (i, addr) in from.iter().enumerate().rev() {
        server.send_to(&[i as u8; 3], addr).unwrap();
    }
    for (i, client) in clients.iter().enumerate() {
        assert_eq!(receive(client), [i as u8; 3]);
        // The second datagram of a client is of the same session.
        client.send(b"again").unwrap();
        assert_eq!(receive_from(&server), (b"again".to_vec(), from[i]));
    }
    for _ in 0..3 {
        let closed = tapline.closed();
        assert_eq!(end_of(&closed), ("timeout", "relay", "no datagram for 400ms", false));
        assert_eq!((&closed["received"], &closed["sent"]), (&json!(15), &json!(3)));
    }
    assert_eq!(tapline.seen.iter().filter(|event| event["event"] == "opened").count(), 3);
    // Who comes again afterwards has a new session.
    clients[0].send(b"later").unwrap();
    assert_eq!(receive(&server), b"later");
    assert_eq!(tapline.event("opened")["id"], 4);
    assert_eq!(tapline.stop(), Some(0));
}

#[test]
fn the_longest_datagram_and_the_empty_one_pass_whole() {
    let (tapline, server) = start(&[]);
    let client = client(tapline.addr());
    for size in [0, 1, 1472, 65_507] {
        client.send(&pattern(size)).unwrap();
        let (datagram, from) = receive_from(&server);
        assert!(datagram == pattern(size), "{size}");
        server.send_to(&datagram, from).unwrap();
        assert!(receive(&client) == pattern(size), "{size}");
    }
}

#[test]
fn datagrams_are_shown_in_both_directions_before_the_end_is_told() {
    let (mut tapline, server) = start(&["--hex", "--idle-timeout", "200ms"]);
    let client = client(tapline.addr());
    client.send(b"question").unwrap();
    let (_, from) = receive_from(&server);
    server.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&client), b"answer");
    tapline.closed();
    let shown: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "data").collect();
    let shown: Vec<_> = shown.iter().map(|data| (data["direction"].as_str().unwrap(), data["text"].as_str().unwrap())).collect();
    assert_eq!(shown, [("received", "question"), ("sent", "answer")]);
}

#[test]
fn an_unreachable_port_ends_the_session_as_refused() {
    // Bound and gone: nobody listens there.
    let (socket, target) = socket();
    drop(socket);
    let mut tapline = Tapline::start(&["proxy", "--udp", "0", &target.to_string(), "--connections", "1"]);
    client(tapline.addr()).send(b"anyone?").unwrap();
    assert_eq!(end_of(&tapline.closed()), ("target", "relay", "refused", true));
    assert_eq!(tapline.wait().code(), Some(1));
}

#[test]
fn a_name_that_does_not_resolve_ends_the_session() {
    let mut tapline = Tapline::start(&["proxy", "--udp", "0", "no-such-name.invalid:53"]);
    client(tapline.addr()).send(b"?").unwrap();
    let closed = tapline.closed();
    let (_, during, why, failed) = end_of(&closed);
    assert_eq!((during, failed), ("dial", true));
    assert!(why.contains("no-such-name.invalid"), "{why}");
}

#[test]
fn with_no_room_left_a_datagram_is_lost_and_said_to_be() {
    let (mut tapline, server) = start(&["--max-connections", "1"]);
    let (first, second) = (client(tapline.addr()), client(tapline.addr()));
    first.send(b"first").unwrap();
    assert_eq!(receive(&server), b"first");
    second.send(b"second").unwrap();
    let lost = tapline.event("lost");
    assert_eq!((&lost["id"], &lost["datagrams"]), (&json!(null), &json!(1)));
    assert!(lost["why"].as_str().unwrap().contains("--max-connections"), "{lost}");
    first.send(b"still first").unwrap();
    assert_eq!(receive(&server), b"still first");
}

#[test]
fn so_many_sessions_and_no_more() {
    let (mut tapline, server) = start(&["--connections", "1", "--idle-timeout", "300ms"]);
    let (first, second) = (client(tapline.addr()), client(tapline.addr()));
    first.send(b"first").unwrap();
    let (_, from) = receive_from(&server);
    second.send(b"second").unwrap();
    // The one session goes on to its end.
    server.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&first), b"answer");
    assert_eq!(tapline.wait().code(), Some(0));
    assert_eq!(tapline.seen.iter().filter(|event| event["event"] == "closed").count(), 1);
    assert!(tapline.seen.iter().any(|event| event["event"] == "lost"), "{:?}", tapline.seen);
}

#[test]
fn a_signal_lets_silent_sessions_end_and_the_grace_ends_busy_ones() {
    let (mut tapline, server) = start(&["--idle-timeout", "off"]);
    client(tapline.addr()).send(b"x").unwrap();
    receive(&server);
    assert_eq!(tapline.stop(), Some(0));
    let closed = tapline.seen.iter().find(|event| event["event"] == "closed").unwrap();
    assert_eq!(end_of(closed), ("shutdown", "relay", "done", false));

    let (mut tapline, server) = start(&["--grace", "1s"]);
    let (client, stop) = (client(tapline.addr()), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    client.send(b"x").unwrap();
    receive(&server);
    let (stopped, target) = (stop.clone(), server.local_addr().unwrap());
    let busy = std::thread::spawn(move || {
        // As long as the target answers, the session is not silent.
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let _ = client.send(b"busy");
            let _ = server.recv(&mut [0; 10]);
        }
    });
    assert_eq!(tapline.stop(), Some(5), "{target}");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    busy.join().unwrap();
}

#[test]
fn nothing_before_the_time_is_over_is_status_4() {
    assert_eq!(run(&["proxy", "--udp", "0", "127.0.0.1:9", "--for", "50ms"]).code, Some(4));
}

#[test]
fn it_listens_on_ipv6_and_on_every_interface() {
    let (server, target) = socket();
    for listen in ["[::1]:0", ":0"] {
        let tapline = Tapline::start(&["proxy", "--udp", listen, &target.to_string()]);
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.send_to(b"six", (std::net::Ipv6Addr::LOCALHOST, tapline.addr().port())).unwrap();
        let (datagram, from) = receive_from(&server);
        assert_eq!(datagram, b"six");
        server.send_to(b"back", from).unwrap();
        assert_eq!(receive(&socket), b"back");
    }
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    for listen in [":0", "0.0.0.0:0"] {
        let (server, target) = socket();
        let mut tapline = Tapline::start(&["proxy", "--udp", listen, &target.to_string()]);
        let (client, _) = socket();
        // Of one client two sessions: it tells them apart as well.
        for ip in [[127, 0, 0, 1], [127, 0, 0, 2]] {
            let asked = SocketAddr::from((ip, tapline.addr().port()));
            // One that takes answers from there only, and one that takes them from everywhere.
            let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
            connected.set_read_timeout(Some(DEADLINE)).unwrap();
            connected.connect(asked).unwrap();
            connected.send(b"connected").unwrap();
            let (_, from) = receive_from(&server);
            server.send_to(b"answer", from).unwrap();
            assert_eq!(receive(&connected), b"answer");
            client.send_to(b"question", asked).unwrap();
            let (_, from) = receive_from(&server);
            server.send_to(b"answer", from).unwrap();
            assert_eq!(receive_from(&client), (b"answer".to_vec(), asked));
        }
        assert_eq!(tapline.stop(), Some(0));
        assert_eq!(tapline.seen.iter().filter(|event| event["event"] == "closed").count(), 4);
    }
}

#[test]
fn a_datagram_too_long_for_the_other_side_is_lost_and_nothing_else() {
    // IPv6 carries eight bytes more than IPv4.
    let long = pattern(65_515);
    for (listen, at) in [("127.0.0.1:0", "[::1]:0"), ("[::1]:0", "127.0.0.1:0")] {
        let server = UdpSocket::bind(at).unwrap();
        server.set_read_timeout(Some(DEADLINE)).unwrap();
        let target = server.local_addr().unwrap().to_string();
        let mut tapline = Tapline::start(&["proxy", "--udp", "--hex", listen, &target, "--idle-timeout", "2s"]);
        let client = UdpSocket::bind((tapline.addr().ip(), 0)).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        client.connect(tapline.addr()).unwrap();
        client.send(b"before").unwrap();
        let (_, from) = receive_from(&server);
        if client.send(&long).is_err() {
            server.send_to(&long, from).unwrap();
        }
        client.send(b"after").unwrap();
        assert_eq!(receive_from(&server), (b"after".to_vec(), from));
        server.send_to(b"answer", from).unwrap();
        assert_eq!(receive(&client), b"answer");
        let lost = tapline.event("lost");
        assert_eq!((&lost["id"], &lost["datagrams"]), (&json!(1), &json!(1)));
        assert!(lost["why"].as_str().unwrap().contains("longer"), "{lost}");
        assert_eq!(end_of(&tapline.closed()).0, "timeout");
    }
}

#[test]
fn what_has_arrived_before_an_error_is_passed_on() {
    for _ in 0..8 {
        let (mut tapline, server) = start(&["--threads", "1"]);
        let client = client(tapline.addr());
        client.send(b"1").unwrap();
        let (_, from) = receive_from(&server);
        // While it stands still: an answer, a target that goes, and what makes it notice.
        tapline.signal("STOP");
        server.send_to(b"answer", from).unwrap();
        drop(server);
        client.send(b"2").unwrap();
        client.send(b"3").unwrap();
        tapline.signal("CONT");
        assert_eq!(receive(&client), b"answer");
        assert_eq!(end_of(&tapline.closed()), ("target", "relay", "refused", true));
    }
}

#[test]
fn empty_datagrams_keep_a_session_open() {
    let (tapline, server) = start(&["--idle-timeout", "1s"]);
    let (client, started) = (client(tapline.addr()), std::time::Instant::now());
    client.send(b"").unwrap();
    let (_, session) = receive_from(&server);
    while started.elapsed() < Duration::from_millis(2500) {
        client.send(b"").unwrap();
        assert_eq!(receive_from(&server), (vec![], session));
    }
}

#[test]
fn what_datagrams_do_not_have_is_wrong_usage() {
    for (args, why) in [
        (&["0", "tls:localhost:1"][..], "--udp sends to HOST:PORT"),
        (&["0", "builtin:echo"], "--udp sends to HOST:PORT"),
        (&["unix:/tmp/x", "127.0.0.1:1"], "--udp listens on HOST:PORT"),
        (&["0", "127.0.0.1:1", "--delay", "1ms"], "cannot be used with"),
        (&["0", "127.0.0.1:1", "--record", "x"], "cannot be used with"),
        (&["0", "127.0.0.1:1", "--half-close-timeout", "1s"], "cannot be used with"),
    ] {
        let refused = run(&[&["proxy", "--udp"], args].concat());
        assert_eq!((refused.code, refused.stderr.contains(why)), (Some(2), true), "{args:?}: {}", refused.stderr);
    }
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = run(&["proxy", "--udp", &taken.local_addr().unwrap().to_string(), "127.0.0.1:1"]);
    assert_eq!((refused.code, refused.stderr.contains("cannot listen on")), (Some(3), true), "{}", refused.stderr);
}
