//! `tapline lb4`: connections over backends.

mod failing_over;
mod health;
mod places;
mod real_run;

use crate::support::*;
use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener},
};

/// Which backends `n` connections in a row got to.
fn names(tapline: &Tapline, n: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        *counts.entry(String::from_utf8(read_all(&mut tapline.connect())).unwrap()).or_insert(0) += 1;
    }
    counts
}

fn counts<const N: usize>(of: [(&str, usize); N]) -> BTreeMap<String, usize> {
    of.map(|(name, n)| (name.to_owned(), n)).into()
}

/// Starts with these targets and flags; without `--no-checks` every backend is connected to by checks too.
fn balancer(targets: &[String], more: &[&str]) -> Tapline {
    let mut args = vec!["lb4", "0"];
    args.extend(targets.iter().map(String::as_str));
    args.extend(more);
    Tapline::start(&args)
}

/// Listens again where `addr` was listened on before.
fn listen_again(addr: SocketAddr) -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&addr.into()).unwrap();
    socket.listen(128).unwrap();
    socket.into()
}

#[test]
fn connections_are_spread_evenly() {
    let targets = [naming("a"), naming("b"), naming("c")].map(|addr| addr.to_string());
    let tapline = balancer(&targets, &[]);
    assert_eq!(names(&tapline, 9), counts([("a", 3), ("b", 3), ("c", 3)]));
}

#[test]
fn weights_are_kept() {
    let targets = [format!("{},weight=3", naming("a")), naming("b").to_string()];
    let tapline = balancer(&targets, &[]);
    assert_eq!(names(&tapline, 12), counts([("a", 9), ("b", 3)]));
}

#[test]
fn least_connections_prefers_the_idle_backend() {
    let ((a, to_a), b) = (listener(), naming("b"));
    let mut tapline = balancer(&[to_a.to_string(), b.to_string()], &["--policy", "least-connections", "--no-checks"]);
    // The first connection stays open at the first backend.
    let mut held = tapline.connect();
    let mut at_a = accept(&a);
    for _ in 0..4 {
        assert_eq!(read_all(&mut tapline.connect()), b"b");
        // Closed here means that it no longer counts as open there.
        tapline.closed();
    }
    at_a.write_all(b"bye").unwrap();
    drop(at_a);
    assert_eq!(read_all(&mut held), b"bye");
}

#[test]
fn a_refusing_backend_is_passed_over_at_once() {
    let ((_held, refusing), good) = (refusing(), naming("good"));
    let mut tapline = balancer(&[refusing.to_string(), good.to_string()], &["--no-checks"]);
    assert_eq!(names(&tapline, 4), counts([("good", 4)]));
    let failed = tapline.event("dial_failed");
    assert_eq!((&failed["target"], &failed["why"]), (&refusing.to_string().into(), &"refused".into()));
    let closed = tapline.closed();
    assert_eq!((&closed["target"], &closed["failed"]), (&good.to_string().into(), &false.into()));
    assert!(closed["elapsed_ms"].as_f64().unwrap() < 4000.0, "it waited for a timeout: {closed}");
}

#[test]
fn where_every_backend_refuses_the_client_is_reset_and_the_cause_is_named() {
    let ((_a, a), (_b, b)) = (refusing(), refusing());
    for checks in [&["--no-checks"][..], &["--check-interval", "50ms"]] {
        let mut tapline = balancer(&[a.to_string(), b.to_string()], checks);
        if checks.len() > 1 {
            // All down are tried all the same.
            for _ in 0..2 {
                assert_eq!(tapline.event("health")["up"], false);
            }
        }
        assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
        assert!([a, b].iter().any(|addr| tapline.event("dial_failed")["target"] == addr.to_string()));
        let closed = tapline.closed();
        assert_eq!((&closed["by"], &closed["during"], &closed["failed"]), (&"target".into(), &"dial".into(), &true.into()));
        assert!(closed["why"].as_str().unwrap().contains("refused"), "{closed}");
    }
}

#[test]
fn a_backend_that_dies_goes_down_and_comes_back() {
    let good = naming("good");
    let (listener, dying) = listener();
    let more = ["--check-interval", "50ms", "--fall", "2", "--rise", "2"];
    let mut tapline = balancer(&[dying.to_string(), good.to_string()], &more);
    // Well at first, and therefore without a word.
    drop(accept(&listener));
    drop(listener);
    let down = tapline.event("health");
    assert_eq!((&down["target"], &down["up"], &down["why"]), (&dying.to_string().into(), &false.into(), &"refused".into()));
    assert_eq!(names(&tapline, 6), counts([("good", 6)]));
    let listener = listen_again(dying);
    let up = tapline.event("health");
    assert_eq!((&up["target"], &up["up"]), (&dying.to_string().into(), &true.into()));
    assert!(tapline.seen.iter().all(|event| event["event"] != "dial_failed"), "no connection was tried on it while it was down");
    // It takes part again: one of two connections in a row comes here, between the checks.
    let mut clients = [tapline.connect(), tapline.connect()];
    for client in &mut clients {
        client.write_all(b"hello").unwrap();
    }
    loop {
        let mut got = [0; 5];
        // A check connects and goes away without a word.
        if accept(&listener).read_exact(&mut got).is_ok() {
            assert_eq!(&got, b"hello");
            break;
        }
    }
}

#[test]
fn a_backend_that_is_down_from_the_start_is_known_before_long() {
    let ((_held, refusing), good) = (refusing(), naming("good"));
    let mut tapline = balancer(&[refusing.to_string(), good.to_string()], &["--check-interval", "1h"]);
    // The first check of all decides alone, whatever --fall says.
    assert_eq!(tapline.event("health")["target"], refusing.to_string());
    assert_eq!(names(&tapline, 4), counts([("good", 4)]));
    assert!(tapline.seen.iter().all(|event| event["event"] != "dial_failed"));
}

#[test]
fn the_end_tells_what_each_target_has_come_to() {
    let (_held, refused) = refusing();
    let mut tapline = balancer(&["builtin:echo".into(), refused.to_string()], &["--no-checks"]);
    for _ in 0..4 {
        let mut client = tapline.connect();
        client.write_all(b"ping!").unwrap();
        assert_eq!(read_n(&mut client, 5), b"ping!");
        drop(client);
        tapline.closed();
    }
    assert_eq!(tapline.stop(), Some(0));
    let told = tapline.seen.iter().filter(|event| event["event"] == "target");
    let numbers = told.map(|event| ["connections", "failed", "received", "sent"].map(|key| event[key].as_u64().unwrap()));
    // Each second connection is for the one that refuses, and goes on to the other.
    assert_eq!(numbers.collect::<Vec<_>>(), [[4, 0, 20, 20], [0, 2, 0, 0]]);
}

#[test]
fn a_want_of_descriptors_is_told_as_such_and_held_against_no_backend() {
    let ((listening, a), (_b, b)) = (listener(), listener());
    let mut tapline = balancer(&[a.to_string(), b.to_string()], &["--no-checks", "--connect-timeout", "300ms"]);
    // What serves is all there as soon as it has served.
    let client = tapline.connect();
    drop((accept(&listening), client));
    tapline.closed();
    // One for the client, none for a backend.
    let starved = starve_but(&tapline, 1);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("local", "dial", &format!("{b}: Too many open files (os error 24)")[..], true));
    // Another backend would take as many descriptors.
    let failed: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "dial_failed").map(|event| &event["next"]).collect();
    assert_eq!(failed, [false]);
    drop(starved);
    assert_eq!(tapline.stop(), Some(0));
    let targets: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "target").map(|event| &event["failed"]).collect();
    assert_eq!(targets, [0]);
}

#[test]
fn each_pick_is_explained_where_that_is_asked_for() {
    let targets = [naming("a"), naming("b")].map(|addr| addr.to_string());
    let mut tapline = balancer(&[format!("{},weight=3", targets[0]), targets[1].clone()], &["--no-checks", "--explain"]);
    names(&tapline, 1);
    let picked = tapline.event("picked");
    let drawn = serde_json::json!([{ "target": targets[0], "open": 0, "weight": 3 }, { "target": targets[1], "open": 0, "weight": 1 }]);
    assert_eq!((&picked["id"], &picked["policy"], &picked["drawn"], &picked["of"]), (&1.into(), &"round-robin".into(), &drawn, &2.into()));
    assert_eq!((&picked["winner"], &picked["why"], &picked["key"]), (&targets[0].clone().into(), &"has its turn".into(), &().into()));
    assert_eq!(tapline.event("dialed")["target"], targets[0]);
    // It costs nothing where nobody asks.
    let mut tapline = balancer(&targets, &["--no-checks"]);
    names(&tapline, 2);
    tapline.stop();
    assert!(tapline.seen.iter().all(|event| event["event"] != "picked"));
}

#[test]
fn a_live_view_is_refused_where_it_could_not_be_seen() {
    let lb4 = ["lb4", "0", "builtin:echo", "--top"];
    for (args, why) in [
        (&lb4[..], "neither stderr nor stdout is one"),
        (&[&["--json"], &lb4[..]].concat(), "what --json would say"),
        (&[&lb4[..], &["-q"]].concat(), "what --quiet would say"),
        (&[&lb4[..], &["--hex"]].concat(), "what --hex would say"),
        (&[&lb4[..], &["--", "true"]].concat(), "--top and COMMAND"),
        (&["sni-route", "0", "a.test=1", "--top", "--test", "a.test"], "what --test would say"),
        (&["proxy", "--udp", "0", "127.0.0.1:1", "--top"], "--top"),
    ] {
        let finished = run(args);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{args:?}: {finished:?}");
        assert!(finished.stderr.contains(why), "{args:?}: {finished:?}");
    }
}

#[test]
fn a_policy_by_key_keeps_a_client_at_its_target() {
    for policy in ["rendezvous", "ring", "maglev"] {
        let mut lb = Tapline::start(&["lb4", "0", "builtin:echo", "builtin:echo", "builtin:echo", "--policy", policy]);
        let targets: std::collections::BTreeSet<_> = (0..6)
            .map(|_| {
                drop(lb.connect());
                lb.closed()["target"].to_string()
            })
            .collect();
        assert_eq!(targets.len(), 1, "{policy}: {targets:?}");
    }
}

#[test]
fn a_simulation_opens_no_socket_and_is_repeated_by_its_seed() {
    let simulate = |seed| run(&["lb4", "--simulate", "5000", "--remove", "h2", "--add", "h4,weight=2", "--seed", seed, "h1", "h2", "h3"]);
    let (once, again, other) = (simulate("7"), simulate("7"), simulate("8"));
    assert_eq!((once.code, once.stderr.as_str()), (Some(0), ""));
    assert_eq!(once.stdout, again.stdout);
    assert_ne!(once.stdout, other.stdout);
    for policy in ["round-robin", "random", "least-connections", "p2c", "first", "rendezvous", "ring", "maglev", "keys moved", "due"] {
        assert!(once.stdout.contains(policy), "{policy}: {}", once.stdout);
    }
    let bars = run(&["lb4", "--simulate", "100", "--policy", "round-robin", "--plot", "h1,weight=3", "h2"]).stdout;
    assert!(bars.contains("75.00 % █") && bars.contains("25.00 % █"), "{bars}");
}

#[test]
fn what_a_policy_cannot_use_is_refused() {
    for (args, why) in [
        (&["0", "h1:80", "--hash", "ip"][..], "has no key"),
        (&["0", "h1:80", "--policy", "ring", "--hash", "sni"], "not read here"),
        (&["0", "h1:80", "--policy", "ring", "--hash", "proxy-src"], "needs --accept-proxy"),
        (&["0", "h1:80", "--hash-balance", "125"], "has no ring"),
        (&["nowhere", "h1:80"], "is not an address to listen on"),
        (&["0", "h1"], "is not a target"),
        (&["--simulate", "10", "--remove", "h3", "h1", "h2"], "no such target"),
        (&["--simulate", "10", "--remove", "h1", "--remove", "h2", "h1", "h2"], "leaves no target"),
        (&["--simulate", "10", "h1", "h1"], "is there twice"),
        (&["--simulate", "10", "h1,weight=0", "h2"], "not a weight"),
        (&["0", "h1:80", "--plot"], "--simulate"),
    ] {
        let finished = run(&[&["lb4"], args].concat());
        assert!(finished.code == Some(2) && finished.stderr.contains(why), "{args:?}: {}", finished.stderr);
    }
}
