//! `tapline sni-route`: which name leads where, and that nothing else does.

mod choosing;
mod http;
mod matrix;
mod offline;
mod passthrough;
mod refusing;
pub mod starttls;

use crate::{
    support::*,
    tls::{self, REFUSED, hear, hello, hello_with_name, in_records},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

/// A rule for `name` that leads to a server which says `answer` and ends.
fn rule(name: &str, answer: &'static str) -> String {
    format!("{name}={}", naming(answer))
}

fn route(args: &[String]) -> Tapline {
    let args: Vec<&str> = ["sni-route", "0"].into_iter().chain(args.iter().map(String::as_str)).collect();
    Tapline::start(&args)
}

#[test]
fn an_exact_name_wins_over_a_wildcard_in_whatever_order_they_are_given() {
    let mut rules = [rule("a.b.test", "exact"), rule("*.b.test", "wildcard"), rule("good.test", "good")];
    for _ in 0..2 {
        let tapline = route(&rules);
        for (name, answer) in [
            ("a.b.test", "exact"),
            ("A.B.Test", "exact"),
            ("a.b.test.", "exact"),
            ("x.b.test", "wildcard"),
            ("X.b.TEST.", "wildcard"),
            ("good.test", "good"),
            // One label, not two and not none.
            ("x.y.b.test", REFUSED),
            ("b.test", REFUSED),
            ("good.test.evil", REFUSED),
            ("xgood.test", REFUSED),
            ("x.good.test", REFUSED),
            ("good.test\0.evil", REFUSED),
            ("*.b.test", REFUSED),
        ] {
            assert_eq!(hear(tapline.addr(), name), answer, "{name:?}");
        }
        rules.reverse();
    }
}

#[test]
fn the_rule_that_was_chosen_is_told() {
    let to = naming("x");
    let mut tapline = route(&[format!("*.b.test={to}")]);
    hear(tapline.addr(), "A.b.test");
    let routed = tapline.event("routed");
    assert_eq!((&routed["name"], &routed["rule"], &routed["target"]), (&"a.b.test".into(), &"*.b.test".into(), &to.to_string().into()));
    assert_eq!(tapline.closed()["target"], to.to_string());
}

#[test]
fn several_targets_of_a_name_are_taken_in_turn() {
    let tapline = route(&[format!("a.test={},{},{}", naming("1"), naming("2"), naming("3"))]);
    let heard: String = (0..9).map(|_| hear(tapline.addr(), "a.test")).collect();
    assert_eq!(heard, heard[..3].repeat(3));
    let mut turn: Vec<_> = heard[..3].chars().collect();
    turn.sort_unstable();
    assert_eq!(turn, ['1', '2', '3']);
}

#[test]
fn a_target_that_refuses_is_passed_over() {
    let (_held, dead) = crate::support::refusing();
    // No check has found out before.
    let mut tapline = route(&[format!("a.test={dead},{}", naming("alive")), "--no-checks".into()]);
    for _ in 0..4 {
        assert_eq!(hear(tapline.addr(), "a.test"), "alive");
    }
    assert_eq!(tapline.event("dial_failed")["target"], dead.to_string());
}

#[test]
fn the_hello_reaches_the_target_byte_for_byte_however_it_is_cut() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["sni-route", "0", &format!("a.test={target}")]);
    let whole = hello("a.test", &["h2"]);
    for size in [usize::from(u16::MAX), 100, 7, 1] {
        // What comes with the hello in one segment goes with it.
        let sent = [in_records(&whole, size.min(16_000)), b"early data".to_vec()].concat();
        let mut client = tapline.connect();
        client.write_all(&sent).unwrap();
        let mut server = accept(&listener);
        assert_eq!(read_n(&mut server, sent.len()), sent);
        client.write_all(b"later").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut server), b"later");
        server.write_all(b"answer").unwrap();
        drop(server);
        assert_eq!(read_all(&mut client), b"answer");
        let closed = tapline.closed();
        assert_eq!(end_of(&closed), ("client", "relay", "done", false));
        assert_eq!((&closed["received"], &closed["sent"]), (&(sent.len() + 5).into(), &6.into()));
    }
    // In segments of one byte.
    let sent = hello_with_name(b"a.test");
    let mut client = tapline.connect();
    drip(&mut client, &sent);
    let mut server = accept(&listener);
    assert_eq!(read_n(&mut server, sent.len()), sent);
}

#[test]
fn an_answer_of_a_target_that_does_not_wait_for_the_hello_arrives_before_its_reset() {
    let target = server(|mut stream| {
        let _ = stream.write_all(b"go away");
        wait_sent(&stream);
        reset(stream);
    });
    let mut tapline = Tapline::start(&["sni-route", "0", &format!("a.test={target}")]);
    let sent = in_records(&hello("a.test", &[]), 1);
    for _ in 0..200 {
        let mut client = tapline.connect();
        client.write_all(&sent).unwrap();
        let got = read_to_any_end(&mut client);
        let closed = tapline.closed();
        // Where the reset comes before connect(2) has returned, there is no connection to read from.
        let answer: &[u8] = if closed["during"] == "dial" { b"" } else { b"go away" };
        assert_eq!(got, (answer.to_vec(), Err(ErrorKind::ConnectionReset)), "{closed}");
        assert_eq!((end_of(&closed).0, end_of(&closed).3), ("target", true));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_follows_the_hello_is_spliced() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["sni-route", "0", &format!("a.test={target}")]);
    let mut client = tapline.connect();
    let sent = hello("a.test", &[]);
    client.write_all(&sent).unwrap();
    let mut server = accept(&listener);
    assert_eq!(read_n(&mut server, sent.len()), sent);
    let sender = std::thread::spawn(move || {
        client.write_all(&pattern(1 << 20)).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        read_all(&mut client)
    });
    assert!(read_all(&mut server) == pattern(1 << 20));
    drop(server);
    assert_eq!(sender.join().unwrap(), b"");
    let closed = tapline.closed();
    assert_eq!((&closed["spliced"], &closed["failed"]), (&true.into(), &false.into()));
}

/// A TLS server for `name` that answers each byte by its name.
fn tls_naming(name: &'static str) -> (tls::Issued, SocketAddr) {
    let issued = tls::issue(&[name]);
    let addr = issued.serve(move |mut stream| {
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            if stream.write_all(name.as_bytes()).is_err() {
                break;
            }
        }
    });
    (issued, addr)
}

#[test]
fn a_whole_tls_session_goes_through_undecrypted() {
    let (issued, addr) = tls_naming("a.test");
    let mut tapline = Tapline::start(&["sni-route", "0", &format!("a.test={addr}")]);
    // The client trusts the server's authority and nobody else: nothing in between can have its hands in it.
    let mut client = tls::client(tapline.connect(), tls::trusting(&issued.ca, &[]), "a.test");
    for _ in 0..100 {
        client.write_all(b"?").unwrap();
        assert_eq!(read_n(&mut client, 6), b"a.test");
    }
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(client.sock.shutdown(Shutdown::Write).ok(), Some(()));
    assert_eq!(tapline.closed()["target"], addr.to_string());
}

#[test]
fn twenty_clients_at_once_never_reach_another_names_backend() {
    const NAMES: [&str; 4] = ["a.test", "b.test", "x.c.test", "y.c.test"];
    let servers = NAMES.map(tls_naming);
    let rules = [("a.test", 0), ("b.test", 1), ("x.c.test", 2), ("*.c.test", 3)];
    let tapline = route(&rules.map(|(pattern, at)| format!("{pattern}={}", servers[at].1)));
    let cas: String = servers.iter().map(|(issued, _)| issued.ca.as_str()).collect();
    let (addr, cas) = (tapline.addr(), std::sync::Arc::new(cas));
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let cas = cas.clone();
            std::thread::spawn(move || {
                for round in 0..15 {
                    let name = NAMES[(number + round) % NAMES.len()];
                    // The certificate and the answer must both be of that name.
                    let mut client = tls::client(connect(addr), tls::trusting(&cas, &[]), name);
                    client.write_all(b"?").unwrap();
                    assert_eq!(read_n(&mut client, name.len()), name.as_bytes());
                }
                15
            })
        })
        .collect();
    assert_eq!(clients.into_iter().map(|client| client.join().unwrap()).sum::<i32>(), 300);
}

#[test]
fn a_hello_that_goes_to_a_tls_target_arrives_within_the_outer_session() {
    let issued = tls::issue(&["localhost"]);
    let sent = hello_with_name(b"a.test");
    let expected = sent.clone();
    let addr = issued.serve(move |mut stream| {
        let inner = read_n(&mut stream, expected.len());
        let _ = stream.write_all(if inner == expected { b"the same" } else { b"another!" });
    });
    let tapline = Tapline::start(&["sni-route", "0", &format!("a.test=tls:{addr}"), "--insecure"]);
    let mut client: TcpStream = tapline.connect();
    client.write_all(&sent).unwrap();
    assert_eq!(read_n(&mut client, 8), b"the same");
}

#[test]
fn a_target_of_several_rules_is_summed_up_in_one_line() {
    let to = naming("both");
    let mut tapline = route(&[format!("a.test={to}"), format!("*.b.test={to}"), "c.test=builtin:echo".into()]);
    for name in ["a.test", "x.b.test", "y.b.test"] {
        assert_eq!(hear(tapline.addr(), name), "both");
        tapline.closed();
    }
    tapline.stop();
    let told: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "target").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["target"], &told[0]["connections"]), (&to.to_string().into(), &3.into()));
}

#[test]
fn a_hello_goes_to_the_next_target_where_one_gives_no_answer() {
    let sent = hello_with_name(b"a.test");
    let length = sent.len();
    let mute = server(move |mut stream| drop(read_n(&mut stream, length)));
    let good = server(move |mut stream| {
        let hello = read_n(&mut stream, length);
        stream.write_all(&hello).unwrap();
    });
    let mut tapline = route(&[format!("a.test={mute},{good}"), "--no-checks".into(), "--replay".into()]);
    let mut client = tapline.connect();
    client.write_all(&sent).unwrap();
    assert_eq!(read_all(&mut client), sent);
    assert_eq!(tapline.event("replayed")["bytes"], length);
}
