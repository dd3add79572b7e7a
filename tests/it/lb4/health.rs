//! Who is left out, when, and what becomes of clients then.

use super::*;
use crate::tls::issue;
use serde_json::{Value, json};

const NO_CHECKS: &str = "--no-checks";

/// Connects until the event comes, and returns it.
fn connect_until(tapline: &mut Tapline, name: &str) -> Value {
    let seen = tapline.seen.len();
    loop {
        let _ = fate(tapline.addr());
        tapline.closed();
        if let Some(event) = tapline.seen[seen..].iter().find(|event| event["event"] == name) {
            return event.clone();
        }
    }
}

fn count(tapline: &Tapline, name: &str) -> usize {
    tapline.seen.iter().filter(|event| event["event"] == name).count()
}

#[test]
fn who_takes_no_connections_is_ejected_and_let_back() {
    let ((socket, refusing), good) = (refusing(), naming("good"));
    let mut tapline = balancer(&[refusing.to_string(), good.to_string()], &[NO_CHECKS, "--eject-for", "200ms"]);
    let ejected = connect_until(&mut tapline, "ejected");
    let expected = json!({ "event": "ejected", "target": refusing.to_string(), "failures": 3, "why": "refused", "penalty_ms": 200.0 });
    assert_eq!(ejected, expected);
    assert_eq!(count(&tapline, "dial_failed"), 3);
    assert_eq!(names(&tapline, 5), counts([("good", 5)]));
    let back = tapline.event("readmitted");
    assert_eq!((&back["target"], &back["why"]), (&refusing.to_string().into(), &"its time is over".into()));
    assert_eq!(count(&tapline, "dial_failed"), 3, "it was left out meanwhile");
    // It is on trial: one failure is enough, and the time is doubled.
    let ejected = connect_until(&mut tapline, "ejected");
    assert_eq!((&ejected["failures"], &ejected["penalty_ms"]), (&4.into(), &400.0.into()));
    socket.listen(16).unwrap();
    tapline.event("readmitted");
    // Now it takes part.
    let clients = [tapline.connect(), tapline.connect()];
    drop((patient_listener(TcpListener::from(socket)).accept().unwrap(), clients));
    assert_eq!(tapline.stop(), Some(0));
    assert_eq!((count(&tapline, "ejected"), count(&tapline, "readmitted")), (2, 2));
}

#[test]
fn the_last_one_is_never_ejected() {
    let (_socket, refusing) = refusing();
    let mut tapline = balancer(&[refusing.to_string()], &[NO_CHECKS, "--eject-after", "2"]);
    for _ in 0..6 {
        assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
        tapline.closed();
    }
    let note = tapline.seen.iter().find(|event| event["event"] == "note").unwrap();
    assert_eq!(note["text"], format!("{refusing} did not take 2 connections in a row and is used on: no other target is left"));
    assert_eq!(tapline.stop(), Some(0));
    assert_eq!((count(&tapline, "ejected"), count(&tapline, "note"), count(&tapline, "dial_failed")), (0, 1, 6));
}

#[test]
fn ejection_can_be_switched_off() {
    let ((_socket, refusing), good) = (refusing(), naming("good"));
    let mut tapline = balancer(&[refusing.to_string(), good.to_string()], &[NO_CHECKS, "--eject-after", "off"]);
    for _ in 0..10 {
        assert_eq!(fate(tapline.addr()).0, b"good");
        tapline.closed();
    }
    assert_eq!((count(&tapline, "ejected"), count(&tapline, "dial_failed")), (0, 5));
}

#[test]
fn a_check_that_finds_it_well_ends_the_first_time_early() {
    let ((socket, flapping), good) = (refusing(), naming("good"));
    let flags = ["--eject-for", "1h", "--fall", "1000000", "--rise", "1", "--check-interval", "100ms"];
    socket.listen(16).unwrap();
    let mut tapline = balancer(&[flapping.to_string(), good.to_string()], &flags);
    let listener = patient_listener(TcpListener::from(socket));
    // Well at first. Then it does not listen any more, and the checks are slow to see it.
    drop(listener.accept().unwrap());
    drop(listener);
    connect_until(&mut tapline, "ejected");
    let _listener = listen_again(flapping);
    let back = tapline.event("readmitted");
    assert_eq!((&back["target"], &back["why"]), (&flapping.to_string().into(), &"takes connections".into()));
    assert_eq!(count(&tapline, "health"), 0);
}

#[test]
fn where_all_are_down_clients_are_refused_if_that_is_asked_for() {
    let (socket, down) = refusing();
    let flags = ["--when-all-down", "fail", "--check-interval", "50ms", "--rise", "1"];
    let mut tapline = balancer(&[down.to_string()], &flags);
    let serving = tapline.event("serving");
    assert_eq!(serving, json!({ "event": "serving", "from": "nobody", "usable": 0, "of": 1, "names": [down.to_string()] }));
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    assert_eq!(end_of(&closed), ("rule", "dial", "all targets are down", true));
    socket.listen(16).unwrap();
    let serving = tapline.event("serving");
    assert_eq!((&serving["from"], &serving["usable"]), (&"regular".into(), &1.into()));
    assert_eq!(tapline.stop(), Some(0));
    assert_eq!((count(&tapline, "dial_failed"), count(&tapline, "serving")), (0, 2));
}

#[test]
fn where_all_are_down_all_are_tried() {
    let ((_socket, down), mute) = (refusing(), naming("I am here"));
    // A check that the second target fails, although it takes connections.
    let flags = ["--check", "expect:welcome", "--check-interval", "50ms"];
    let mut tapline = balancer(&[down.to_string(), mute.to_string()], &flags);
    let serving = tapline.event("serving");
    assert_eq!((&serving["from"], &serving["usable"], &serving["of"]), (&"all".into(), &2.into(), &2.into()));
    assert_eq!(names(&tapline, 4), counts([("I am here", 4)]));
}

#[test]
fn a_backup_is_used_when_no_other_target_can_be() {
    let ((socket, first), backup) = (refusing(), naming("backup"));
    let flags = ["--check-interval", "50ms", "--rise", "1"];
    let mut tapline = balancer(&[first.to_string(), format!("{backup},backup")], &flags);
    let serving = tapline.event("serving");
    assert_eq!((&serving["from"], &serving["usable"], &serving["of"]), (&"backups".into(), &1.into(), &2.into()));
    assert_eq!(names(&tapline, 3), counts([("backup", 3)]));
    socket.listen(16).unwrap();
    let serving = tapline.event("serving");
    assert_eq!((&serving["from"], &serving["usable"]), (&"regular".into(), &1.into()));
    // Not the backup, which would say its name.
    let mut client = tapline.connect();
    client.write_all(b"hello").unwrap();
    let listener = patient_listener(TcpListener::from(socket));
    while accept(&listener).read_exact(&mut [0; 5]).is_err() {}
    drop(client);
    assert_eq!(tapline.stop(), Some(0));
    assert_eq!(count(&tapline, "dial_failed"), 0);
}

#[test]
fn a_backup_takes_the_connection_that_no_other_target_took() {
    let ((_socket, refusing), backup) = (refusing(), naming("backup"));
    let mut tapline = balancer(&[format!("{backup},backup"), refusing.to_string()], &[NO_CHECKS]);
    assert_eq!(names(&tapline, 4), counts([("backup", 4)]));
    assert_eq!(tapline.stop(), Some(0));
    // From the fourth on, it is the only one.
    assert_eq!(count(&tapline, "dial_failed"), 3);
}

#[test]
fn one_that_hangs_after_the_accept_is_found_by_what_it_does_not_say() {
    let ((hanging, silent), good) = (lasting_listener(), naming("220 good"));
    let flags = ["--check", "expect:220 ", "--check-interval", "100ms", "--check-timeout", "200ms"];
    let mut tapline = balancer(&[silent.to_string(), good.to_string()], &flags);
    let down = tapline.event("health");
    let why = r#"did not say "220 ": nothing came, nothing more for 200ms"#;
    assert_eq!(down, json!({ "event": "health", "target": silent.to_string(), "up": false, "why": why }));
    assert_eq!(names(&tapline, 4), counts([("220 good", 4)]));
    drop(hanging);
}

#[test]
fn a_check_by_tls_verifies_the_name() {
    let issued = issue(&["a.test"]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("ca"), &issued.ca).unwrap();
    std::fs::write(path("own"), issued.cert + &issued.key).unwrap();
    let plain = naming("plain").to_string();
    let start = || Tapline::start(&["tls-terminate", "0", "builtin:echo", "--cert", &path("own")]);
    let is_well = |scheme: &str, check: &[&str]| {
        let mut server = start();
        let targets = [format!("{scheme}{}", server.addr()), plain.clone()];
        let mut tapline = balancer(&targets, &[check, &["--check-interval", "50ms", "--fall", "1"]].concat());
        assert_eq!(tapline.event("health")["target"], plain);
        // Each begins when the one before has come to something.
        for _ in 0..4 {
            server.event("handshake");
        }
        tapline.said();
        let others = tapline.seen.iter().filter(|event| event["event"] == "health" && event["target"] != plain);
        assert_eq!(others.collect::<Vec<_>>(), [&json!(null); 0]);
    };
    // Its name is asked for and verified.
    is_well("", &["--check", "tls:a.test", "--ca", &path("ca")]);
    // Nobody is to be verified.
    is_well("", &["--check", "tls", "--insecure"]);
    // As the target itself asks for it, and by a name of the check's own.
    is_well("tls:", &["--check", "tls:a.test", "--check", "send:x", "--check", "expect:x", "--ca", &path("ca")]);
    // Its address is no name of its certificate.
    let server = start();
    let target = server.addr().to_string();
    let mut tapline = balancer(std::slice::from_ref(&target), &["--check", "tls", "--ca", &path("ca")]);
    let down = tapline.event("health");
    assert_eq!((&down["target"], &down["up"]), (&target.into(), &false.into()));
    assert!(down["why"].as_str().unwrap().contains("certificate"), "{down}");
}

#[test]
fn a_command_decides() {
    let folder = tempfile::tempdir().unwrap();
    let well = folder.path().join("well");
    let (a, b) = (naming("a").to_string(), naming("b").to_string());
    let check = format!("exec:[ $TAPLINE_TARGET = {b} ] || cat {}", well.display());
    let mut tapline = balancer(&[a.clone(), b], &["--check", &check, "--check-interval", "50ms", "--rise", "1"]);
    let down = tapline.event("health");
    assert_eq!((&down["target"], &down["up"]), (&a.clone().into(), &false.into()));
    assert!(down["why"].as_str().unwrap().contains("No such file"), "{down}");
    assert_eq!(names(&tapline, 2), counts([("b", 2)]));
    let half = folder.path().join("half");
    std::fs::write(&half, "\x1b[31mfine\n").unwrap();
    std::fs::rename(half, well).unwrap();
    let up = tapline.event("health");
    assert_eq!((&up["target"], &up["up"], &up["why"]), (&a.into(), &true.into(), &"\u{1b}[31mfine".into()));
    assert_eq!(names(&tapline, 2), counts([("a", 1), ("b", 1)]));
}

#[test]
fn one_that_comes_back_gets_its_share_slowly() {
    let ((socket, back), good) = (refusing(), naming("good"));
    let flags = [NO_CHECKS, "--eject-for", "100ms", "--slow-start", "1h"];
    let mut tapline = balancer(&[back.to_string(), good.to_string()], &flags);
    connect_until(&mut tapline, "ejected");
    socket.listen(64).unwrap();
    std::thread::spawn(move || {
        let listener = TcpListener::from(socket);
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"back");
        }
    });
    tapline.event("readmitted");
    // A twentieth of its share: one of 21.
    assert_eq!(names(&tapline, 42), counts([("back", 2), ("good", 40)]));
}

#[test]
fn steps_that_make_no_sense_are_wrong_usage() {
    for (steps, why) in [
        (&["--check", "ping"][..], "is no check"),
        (&["--check", "exec:true", "--check", "connect"], "a check by exec: has no other step"),
        (&["--check", "send:x", "--check", "tls"], "tls is the first step"),
        (&["--check", "tls", "--no-checks"], "cannot be used with"),
        (&["--eject-after", "0"], "a number from 1 on is needed, or off"),
    ] {
        let run = run(&[&["lb4", "0", "127.0.0.1:1"], steps].concat());
        assert_eq!(run.code, Some(2), "{}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
}

#[test]
fn a_check_by_http_reads_the_answer_and_ends_by_fin() {
    let (send, ends) = std::sync::mpsc::channel();
    let target = server(move |mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(read_n(&mut stream, 1));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n").unwrap();
        let _ = stream.write_all(&pattern(20000));
        let _ = send.send(read_to_any_end(&mut stream));
    });
    let _tapline = balancer(&[target.to_string(), naming("other").to_string()], &["--check", "http:/"]);
    assert_eq!(ends.recv_timeout(DEADLINE), Ok((vec![], Ok(()))));
}
