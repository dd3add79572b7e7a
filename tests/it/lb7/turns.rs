//! Whose turn it is, and which connection is used.

use super::*;
use std::{collections::BTreeMap, sync::Arc, sync::atomic::AtomicBool};

#[test]
fn three_builtin_backends_take_turns() {
    let mut tapline = Tapline::start(&["lb7", "0", "--policy", "round-robin", "builtin:http", "builtin:http", "builtin:http"]);
    let mut client = tapline.connect();
    let mut counts = BTreeMap::new();
    for _ in 0..9 {
        let answer = exchange(&mut client, GET).text();
        *counts.entry(answer.lines().next().unwrap().to_owned()).or_insert(0) += 1;
    }
    let even = ["#1", "#2", "#3"].map(|n| (format!("backend: builtin:http{n}"), 3));
    assert_eq!(counts, even.into());
    let request = tapline.event("request");
    assert_eq!((&request["method"], &request["path"], &request["status"]), (&"GET".into(), &"/".into(), &200.into()));
}

#[test]
fn weights_are_kept() {
    let ((a, got_a), (b, got_b)) = (backend(OK), backend(OK));
    let tapline = Tapline::start(&["lb7", "0", "--policy", "round-robin", "--no-checks", &format!("{a},weight=3"), &b.to_string()]);
    let mut client = tapline.connect();
    for _ in 0..8 {
        exchange(&mut client, GET);
    }
    assert_eq!((got_a.try_iter().count(), got_b.try_iter().count()), (6, 2));
}

#[test]
fn connections_are_kept_on_both_sides() {
    let (addr, got) = backend(OK);
    let mut tapline = balancer(&[addr], &[]);
    let mut client = tapline.connect();
    for _ in 0..20 {
        assert_eq!(exchange(&mut client, GET).text(), "ok");
    }
    drop(client);
    // Another client gets the same connection.
    assert_eq!(get(&tapline).text(), "ok");
    assert_eq!(got.try_iter().map(|message| message.conn).collect::<Vec<_>>(), [1; 21]);
    assert_eq!(tapline.closed()["failed"], false);
}

#[test]
fn requests_sent_at_once_are_answered_in_their_order() {
    let addr = server(|mut stream| {
        while let Some(head) = read_head(&mut stream) {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
        }
    });
    let tapline = balancer(&[addr], &[]);
    let mut client = tapline.connect();
    let all = [0, 1, 2, 3, 4].map(|i| format!("GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n")).concat();
    client.write_all(all.as_bytes()).unwrap();
    let answers: Vec<_> = (0..5).map(|_| Message::read(&mut client).unwrap().text()).collect();
    assert_eq!(answers, ["/0", "/1", "/2", "/3", "/4"]);
}

#[test]
fn a_client_library_sees_nothing_unusual() {
    let tapline = Tapline::start(&["lb7", "0", "builtin:http"]);
    let url = format!("http://{}/path?q=1", tapline.addr());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.post(url).body(vec![7; 100_000]).send().await.unwrap().text().await.unwrap()
    });
    assert!(text.contains("request: POST /path?q=1") && text.contains("body: 100000 bytes"), "{text}");
}

#[test]
fn a_health_path_that_answers_500_takes_the_backend_out_until_it_is_well() {
    let sick = Arc::new(AtomicBool::new(true));
    let state = sick.clone();
    let bad = server(move |mut stream| {
        while let Some(head) = read_head(&mut stream) {
            let fail = head.starts_with("GET /x ") && state.load(Relaxed);
            let _ = stream.write_all(if fail {
                b"HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
            });
        }
    });
    let (good, _got) = backend(OK);
    let flags = ["--policy", "round-robin", "--health", "/x", "--check-interval", "50ms", "--rise", "2"];
    let mut tapline = Tapline::start(&[&["lb7", "0", &bad.to_string(), &good.to_string()], &flags[..]].concat());
    let down = tapline.event("health");
    assert_eq!((&down["target"], &down["up"]), (&bad.to_string().into(), &false.into()));
    assert!(down["why"].as_str().unwrap().contains("500"), "{down}");
    for _ in 0..6 {
        assert_eq!(get(&tapline).text(), "ok");
    }
    sick.store(false, Relaxed);
    let up = tapline.event("health");
    assert_eq!((&up["target"], &up["up"]), (&bad.to_string().into(), &true.into()));
    let answers: Vec<_> = (0..4).map(|_| get(&tapline).text()).collect();
    assert_eq!(answers.iter().filter(|text| *text == "bad").count(), 2, "{answers:?}");
}

#[test]
fn a_health_path_is_asked_for_by_https_at_a_target_of_tls() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let ca = ca.to_str().unwrap();
    let terminator = Tapline::start(&["tls-terminate", "0", "builtin:http", "--names", "localhost", "--ca-out", ca]);
    let target = format!("tls:localhost:{}", terminator.addr().port());
    let unknown = Tapline::start(&["lb7", "0", &target, "--health", "/"]).event("health");
    assert_eq!((&unknown["target"], &unknown["up"]), (&target.clone().into(), &false.into()));
    assert!(unknown["why"].as_str().unwrap().contains("certificate"), "{unknown}");
    let other = backend(b"HTTP/1.1 500 Busy\r\nContent-Length: 0\r\n\r\n").0.to_string();
    let mut tapline = Tapline::start(&["lb7", "0", &other, &target, "--health", "/", "--ca", ca, "--check-interval", "50ms"]);
    assert_eq!(tapline.event("health")["why"], "answered 500 Internal Server Error");
    assert!(get(&tapline).head.starts_with("HTTP/1.1 200 "));
    assert_eq!(tapline.stop(), Some(0));
    let checked = tapline.seen.iter().filter(|event| event["event"] == "health").map(|event| &event["target"]);
    assert_eq!(checked.collect::<Vec<_>>(), [&other]);
}

#[test]
fn requests_wait_for_a_place_where_backends_have_all_that_they_may_have() {
    let (listener, addr) = listener();
    let target = format!("{addr},max=1");
    let mut tapline = Tapline::start(&["lb7", "0", "--no-checks", &target, "--queue-timeout", "300ms"]);
    let request = |tapline: &Tapline| {
        let mut client = tapline.connect();
        client.write_all(GET.as_bytes()).unwrap();
        client
    };
    let answer = |backend: &mut TcpStream| {
        read_head(backend).unwrap();
        backend.write_all(OK.as_bytes()).unwrap();
    };
    let mut first = request(&tapline);
    let mut backend = accept(&listener);
    let mut second = request(&tapline);
    let refused = Message::read(&mut second).unwrap();
    assert_eq!(refused.start(), "HTTP/1.1 503 Service Unavailable");
    assert!(refused.text().contains("no place for 300ms"), "{}", refused.text());
    let mut third = request(&tapline);
    answer(&mut backend);
    assert_eq!(Message::read(&mut first).unwrap().text(), "ok");
    answer(&mut backend);
    assert_eq!(Message::read(&mut third).unwrap().text(), "ok");
    assert_eq!(tapline.event("request")["status"], 503);
}
