//! `tapline proxy`: the relay and how it ends.

use crate::support::*;
use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
};

#[test]
fn bytes_go_both_ways_and_are_spliced() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string()]);
    let (mut client, data) = (tapline.connect(), pattern(3_000_000));
    let mut server = accept(&listener);
    let sent = data.clone();
    let writer = std::thread::spawn(move || {
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        read_all(&mut client)
    });
    assert_eq!(read_all(&mut server), data);
    server.write_all(b"answer").unwrap();
    drop(server);
    assert_eq!(writer.join().unwrap(), b"answer");
    let closed = tapline.closed();
    assert_eq!(
        (&closed["failed"], &closed["by"], &closed["spliced"]),
        (&false.into(), &"client".into(), &cfg!(target_os = "linux").into())
    );
    assert_eq!((&closed["received"], &closed["sent"]), (&3_000_000.into(), &6.into()));
}

#[test]
fn half_close_keeps_the_other_direction_open() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string()]);
    // The client ends first and still gets its answer.
    let mut client = tapline.connect();
    let mut server = accept(&listener);
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), b"question");
    server.write_all(b"late answer").unwrap();
    drop(server);
    assert_eq!(read_all(&mut client), b"late answer");
    assert_eq!(tapline.closed()["failed"], false);
    // The server ends first and still gets what the client sends.
    let mut client = tapline.connect();
    let mut server = accept(&listener);
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    client.write_all(b"late question").unwrap();
    drop(client);
    assert_eq!(read_all(&mut server), b"late question");
    let closed = tapline.closed();
    assert_eq!((&closed["failed"], &closed["by"]), (&false.into(), &"target".into()));
}

#[test]
fn a_reset_by_the_server_reaches_the_client_as_a_reset_after_what_was_sent_before() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string()]);
    let mut client = tapline.connect();
    let mut server = accept(&listener);
    server.write_all(b"half of an ans").unwrap();
    let mut half = [0; 14];
    client.read_exact(&mut half).unwrap();
    reset(server);
    assert_eq!(read_to_any_end(&mut client), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    assert_eq!(
        (&closed["by"], &closed["during"], &closed["why"], &closed["failed"]),
        (&"target".into(), &"relay".into(), &"reset".into(), &true.into())
    );
}
