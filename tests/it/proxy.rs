//! `tapline proxy`: the relay and how it ends.

mod closing;
mod faults;
mod hex;
mod matrix;
mod pressure;
mod record;
mod targets;
mod udp;

use crate::support::*;
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    time::{Duration, Instant},
};

/// A proxy and the two ends of a connection through it.
fn pair(flags: &[&str]) -> (Tapline, TcpStream, TcpStream) {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&[&["proxy", "0", &target.to_string()], flags].concat());
    let (client, server) = (tapline.connect(), accept(&listener));
    // A server that resets before would be one that did not take the connection.
    tapline.event("dialed");
    (tapline, client, server)
}

#[test]
fn a_thousand_small_messages_go_to_and_fro_without_a_delay() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo"]);
    let (mut client, message) = (tapline.connect(), pattern(64));
    client.set_nodelay(true).unwrap();
    let started = Instant::now();
    for _ in 0..1000 {
        client.write_all(&message).unwrap();
        assert_eq!(read_n(&mut client, 64), message);
    }
    // One delayed ACK or one held segment costs 40 to 200 ms; a thousand of them 40 s.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    drop(client);
    let closed = tapline.closed();
    assert_eq!((&closed["received"], &closed["sent"], &closed["failed"]), (&64_000.into(), &64_000.into(), &false.into()));
}

#[test]
fn it_listens_on_ipv6_and_on_every_interface() {
    let mut tapline = Tapline::start(&["proxy", "[::1]:0", "builtin:echo"]);
    assert!(tapline.addr().is_ipv6());
    assert_eq!(ask(tapline.addr(), b"six"), b"six");
    assert!(tapline.closed()["peer"].as_str().unwrap().starts_with("[::1]:"));

    let mut tapline = Tapline::start(&["proxy", ":0", "builtin:echo"]);
    for (loopback, peer) in [("127.0.0.1", "127.0.0.1:"), ("::1", "[::1]:")] {
        let addr = (loopback.parse::<std::net::IpAddr>().unwrap(), tapline.addr().port()).into();
        assert_eq!(ask(addr, b"every"), b"every");
        assert!(tapline.closed()["peer"].as_str().unwrap().starts_with(peer));
    }
}

#[test]
fn bytes_that_cross_a_unix_socket_arrive_and_are_not_said_to_be_spliced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let mut tapline = Tapline::start(&["proxy", &format!("unix:{}", path.display()), "builtin:echo"]);
    assert_eq!(tapline.endpoint(), format!("unix:{}", path.display()));
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    let (mut writer, data) = (client.try_clone().unwrap(), pattern(1 << 20));
    let sender = std::thread::spawn(move || {
        writer.write_all(&pattern(1 << 20)).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echoed = Vec::new();
    client.read_to_end(&mut echoed).unwrap();
    assert!(echoed == data);
    sender.join().unwrap();
    let closed = tapline.closed();
    assert_eq!((&closed["spliced"], &closed["failed"], &closed["received"]), (&false.into(), &false.into(), &(1 << 20).into()));
    assert_eq!(tapline.stop(), Some(0));
    assert!(!path.exists(), "the socket is still there");
}

#[test]
fn a_dead_unix_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let at = format!("unix:{}", path.display());
    // A listener that is dropped leaves its socket behind.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let tapline = Tapline::start(&["proxy", &at, "builtin:echo"]);
    let second = run(&["proxy", &at, "builtin:echo"]);
    assert_eq!(second.code, Some(3));
    assert!(second.stderr.contains("another program listens on this socket"), "{}", second.stderr);
    // The one that failed has not taken the socket of the other away.
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"still here").unwrap();
    assert_eq!(read_n(&mut client, 10), b"still here");
    drop((client, tapline));

    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let refused = run(&["proxy", &format!("unix:{}", file.display()), "builtin:echo"]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("is not a socket"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_unix_socket_that_took_the_place_of_its_own_is_left_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("in.sock");
    let at = format!("unix:{}", path.display());
    let mut first = Tapline::start(&["proxy", &at, "builtin:echo"]);
    std::fs::remove_file(&path).unwrap();
    let mut second = Tapline::start(&["proxy", &at, "builtin:echo"]);
    assert_eq!(first.stop(), Some(0));
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"still here").unwrap();
    assert_eq!(read_n(&mut client, 10), b"still here");
    drop(client);
    assert_eq!(second.stop(), Some(0));
    assert!(!path.exists(), "the socket is still there");
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_without_bytes_in_flight_costs_two_sockets_and_no_pipe() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string()]);
    let pid = tapline.pid();
    let count = |kind: &str| descriptors(pid, kind);
    // The threads that serve are up as soon as they have served.
    let mut client = tapline.connect();
    let server = accept(&listener);
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(client);
    tapline.closed();
    let (sockets, pipes) = (count("socket:"), count("pipe:"));
    let mut all = Vec::new();
    for _ in 0..100 {
        let mut client = tapline.connect();
        let mut server = accept(&listener);
        client.write_all(b"ping").unwrap();
        assert_eq!(read_n(&mut server, 4), b"ping");
        server.write_all(b"pong").unwrap();
        assert_eq!(read_n(&mut client, 4), b"pong");
        all.push((client, server));
    }
    assert_eq!(count("socket:") - sockets, 200);
    // The spare pipes of the threads, two ends each, whatever the number of connections.
    let threads = std::thread::available_parallelism().unwrap().get();
    assert!(count("pipe:") - pipes <= 4 * threads, "{} more pipe ends", count("pipe:") - pipes);
}
