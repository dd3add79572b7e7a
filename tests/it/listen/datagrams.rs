//! `listen --udp`.

use crate::support::*;
use serde_json::json;
use std::net::UdpSocket;

fn client(tapline: &Tapline) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.connect(tapline.addr()).unwrap();
    socket
}

#[test]
fn each_datagram_is_shown_by_itself_and_clients_are_told_apart() {
    let mut tapline = Tapline::start(&["listen", "--udp", "0", "--idle-timeout", "300ms"]);
    let (one, two) = (client(&tapline), client(&tapline));
    for (socket, bytes, id, offset) in [(&one, "first", 1, 0), (&one, "second", 1, 5), (&two, "third", 2, 0), (&two, "", 2, 5)] {
        socket.send(bytes.as_bytes()).unwrap();
        let data = tapline.event("data");
        assert_eq!((&data["id"], &data["offset"], &data["text"]), (&json!(id), &json!(offset), &json!(bytes)));
        assert_eq!((&data["direction"], &data["peer"]), (&json!("received"), &json!(socket.local_addr().unwrap().to_string())));
    }
    one.send(&vec![0xff; 65_507]).unwrap();
    assert_eq!(tapline.event("data")["bytes"], 65_507);
    for _ in 0..2 {
        assert_eq!(end_of(&tapline.closed()), ("timeout", "relay", "no datagram for 300ms", false));
    }
    assert_eq!(tapline.stop(), Some(0));
}

#[test]
fn datagrams_are_answered_one_by_one() {
    for (flags, answers) in [(&["--echo"][..], ["a", "bc"]), (&["--reply", "pong\\n"], ["pong\n", "pong\n"])] {
        let tapline = Tapline::start(&[&["listen", "--udp", "0"], flags].concat());
        let client = client(&tapline);
        for (question, answer) in ["a", "bc"].into_iter().zip(answers) {
            client.send(question.as_bytes()).unwrap();
            assert_eq!(receive(&client), answer.as_bytes());
        }
    }
}

#[test]
fn they_are_kept_in_a_file_for_each_client_and_a_signal_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut tapline = Tapline::start(&["listen", "--udp", "0", "--save", dir.path().to_str().unwrap()]);
    let client = client(&tapline);
    client.send(b"one").unwrap();
    let saved = tapline.event("saved");
    client.send(b"two").unwrap();
    assert_eq!(tapline.stop(), Some(0));
    assert_eq!(std::fs::read(saved["path"].as_str().unwrap()).unwrap(), b"onetwo");
    let closed = tapline.seen.iter().find(|event| event["event"] == "closed").unwrap();
    assert_eq!(end_of(closed), ("shutdown", "relay", "done", false));
}

#[test]
fn it_stops_after_so_many_sessions() {
    let mut tapline = Tapline::start(&["listen", "--udp", "0", "--connections", "1", "--idle-timeout", "200ms"]);
    client(&tapline).send(b"x").unwrap();
    assert_eq!(tapline.wait().code(), Some(0));
    assert_eq!(run(&["listen", "--udp", "0", "--for", "50ms"]).code, Some(4));
}

#[test]
fn what_datagrams_do_not_have_is_wrong_usage() {
    for args in [&["0", "--tls"][..], &["0", "--greet", "x"], &["unix:/tmp/x"]] {
        assert_eq!(run(&[&["listen", "--udp"], args].concat()).code, Some(2), "{args:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("long");
    std::fs::write(&file, pattern(65_508)).unwrap();
    let refused = run(&["listen", "--udp", "0", "--reply", file.to_str().unwrap()]);
    assert_eq!((refused.code, refused.stderr.contains("65507 at most")), (Some(2), true), "{}", refused.stderr);
}
