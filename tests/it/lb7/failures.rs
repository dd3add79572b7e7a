//! Backends that refuse, close, stall and answer nonsense.

use super::*;
use std::{net::Shutdown, time::Duration};

#[test]
fn a_refusing_backend_is_passed_over_and_the_event_counts_it() {
    let ((_held, refusing), (good, got)) = (refusing(), backend(OK));
    let mut tapline = balancer(&[refusing, good], &[]);
    assert_eq!(get(&tapline).text(), "ok");
    let failed = tapline.event("dial_failed");
    assert_eq!((&failed["target"], &failed["why"]), (&refusing.to_string().into(), &"refused".into()));
    let request = tapline.event("request");
    assert_eq!((&request["retries"], &request["target"], &request["why"]), (&1.into(), &good.to_string().into(), &().into()));
    // A body is still whole at the next backend.
    let mut client = tapline.connect();
    for _ in 0..2 {
        assert_eq!(exchange(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").text(), "ok");
    }
    assert_eq!(got.try_iter().map(|message| message.text()).collect::<Vec<_>>(), ["", "body", "body"]);
}

#[test]
fn where_all_refuse_the_answer_says_so() {
    let ((_a, a), (_b, b)) = (refusing(), refusing());
    let mut tapline = balancer(&[a, b], &[]);
    let mut client = tapline.connect();
    let answer = exchange(&mut client, GET);
    assert!(answer.start().starts_with("HTTP/1.1 503 "), "{}", answer.head);
    assert!(answer.text().contains("refused") && answer.text().contains(&b.to_string()), "{}", answer.text());
    let request = tapline.event("request");
    assert_eq!((&request["status"], &request["target"], &request["retries"]), (&503.into(), &().into(), &1.into()));
    // The client's connection goes on.
    assert!(exchange(&mut client, GET).start().starts_with("HTTP/1.1 503 "));
}

#[test]
fn a_backend_that_closes_or_answers_nonsense_is_a_502() {
    for answer in ["", "HTTP/1.1 200", "this is no HTTP\r\n\r\n", "HTTP/1.1 999999 x\r\n\r\n"] {
        let addr = server(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
        });
        let mut tapline = balancer(&[addr], &[]);
        let got = get(&tapline);
        assert!(got.start().starts_with("HTTP/1.1 502 "), "{answer:?}: {}", got.head);
        assert!(got.text().contains(&addr.to_string()), "{}", got.text());
        let request = tapline.event("request");
        assert_eq!((&request["status"], &request["retries"]), (&502.into(), &0.into()));
        assert!(request["why"].is_string(), "{request}");
    }
}

#[test]
fn a_backend_that_does_not_answer_in_time_is_a_504() {
    let addr = server(|mut stream| {
        // Reads, and never answers; ends when the balancer does.
        read_to_any_end(&mut stream).1.ok();
    });
    let mut tapline = balancer(&[addr], &["--response-timeout", "200ms"]);
    let answer = get(&tapline);
    assert!(answer.start().starts_with("HTTP/1.1 504 "), "{}", answer.head);
    assert!(answer.text().contains("200ms"), "{}", answer.text());
    assert_eq!(tapline.event("request")["status"], 504);
}

/// A backend that answers one request of a connection and closes it as soon as `close` says so.
fn one_answer_each(requests: std::sync::mpsc::Sender<String>) -> SocketAddr {
    server(move |mut stream| {
        if let Some(message) = Message::read(&mut stream) {
            let _ = requests.send(message.start().to_owned());
            let _ = stream.write_all(OK.as_bytes());
            let _ = stream.shutdown(Shutdown::Both);
        }
    })
}

#[test]
fn a_kept_connection_that_the_backend_has_closed_is_nobodys_error() {
    let (send, got) = channel();
    let addr = one_answer_each(send);
    let tapline = balancer(&[addr], &[]);
    let mut client = tapline.connect();
    for _ in 0..200 {
        let answer = exchange(&mut client, GET);
        assert_eq!((answer.start(), answer.text().as_str()), ("HTTP/1.1 200 OK", "ok"));
    }
    assert_eq!(got.try_iter().count(), 200);
}

#[test]
fn a_request_that_must_not_be_repeated_is_sent_once() {
    // The backend takes the second request of a connection and closes instead of answering.
    let (send, got) = channel();
    let addr = server(move |mut stream| {
        for answer in [OK, ""] {
            if let Some(message) = Message::read(&mut stream) {
                let _ = send.send(message.start().to_owned());
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    let mut tapline = balancer(&[addr], &[]);
    let mut client = tapline.connect();
    exchange(&mut client, GET);
    let post = "POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    assert!(exchange(&mut client, post).start().starts_with("HTTP/1.1 502 "));
    assert_eq!(got.try_iter().collect::<Vec<_>>(), ["GET / HTTP/1.1", "POST /pay HTTP/1.1"]);
    let requests = [tapline.event("request"), tapline.event("request")];
    assert_eq!((&requests[1]["status"], &requests[1]["retries"]), (&502.into(), &0.into()));
    // The same for GET is repeated on a fresh connection.
    exchange(&mut client, GET);
    assert_eq!(exchange(&mut client, GET).text(), "ok");
    assert_eq!(got.try_iter().count(), 3);
}

#[test]
fn a_slow_head_is_cut_off() {
    let (addr, _got) = backend(OK);
    let mut tapline = balancer(&[addr], &["--idle-timeout", "300ms"]);
    let mut client = tapline.connect();
    client.write_all(b"GET / HT").unwrap();
    read_to_any_end(&mut client).1.ok();
    let closed = tapline.closed();
    assert_eq!((&closed["by"], &closed["during"], &closed["failed"]), (&"timeout".into(), &"request".into(), &true.into()), "{closed}");
    // Byte by byte, so that there is never silence.
    let mut client = tapline.connect();
    let started = std::time::Instant::now();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut byte = [0];
    let ended = loop {
        assert!(started.elapsed() < DEADLINE, "it goes on for ever");
        match client.write_all(b"x").and_then(|()| client.read(&mut byte)) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            ended => break ended,
        }
    };
    assert!(!matches!(ended, Ok(1)), "{ended:?} {byte:?}");
    assert_eq!(tapline.closed()["by"], "timeout");
}

#[test]
fn an_idle_connection_is_closed_with_an_end() {
    let (addr, _got) = backend(OK);
    let mut tapline = balancer(&[addr], &["--idle-timeout", "200ms"]);
    let mut client = tapline.connect();
    exchange(&mut client, GET);
    assert_eq!(read_to_any_end(&mut client), (vec![], Ok(())));
    let closed = tapline.closed();
    assert_eq!((&closed["by"], &closed["failed"]), (&"timeout".into(), &false.into()), "{closed}");
}

#[test]
fn an_idle_timeout_can_be_switched_off() {
    let (addr, _got) = backend(OK);
    let mut tapline = balancer(&[addr], &["--idle-timeout", "off"]);
    let mut client = tapline.connect();
    exchange(&mut client, GET);
    assert_open_and_silent(&mut client, Duration::from_millis(100));
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha").unwrap();
    assert_open_and_silent(&mut client, Duration::from_millis(100));
    client.write_all(b"lf").unwrap();
    assert_eq!(Message::read(&mut client).unwrap().text(), "ok");
    drop(client);
    assert_eq!(tapline.closed()["failed"], false);
}

#[test]
fn a_client_that_goes_away_hurts_nobody() {
    let ((send, asked), (go, wait)) = (channel(), channel());
    let wait = std::sync::Mutex::new(wait);
    let addr = server(move |mut stream| {
        while let Some(message) = Message::read(&mut stream) {
            if message.start().contains("/slow") {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
                let _ = send.send(());
                let _ = wait.lock().unwrap().recv_timeout(DEADLINE);
                let _ = stream.write_all(&[b'x'; 996]);
            } else {
                let _ = stream.write_all(OK.as_bytes());
            }
        }
    });
    let mut tapline = balancer(&[addr], &[]);
    for _ in 0..3 {
        let mut client = tapline.connect();
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(read_head(&mut client).is_some());
        asked.recv_timeout(DEADLINE).unwrap();
        reset(client);
        // Others are served while its answer is still under way, and after.
        assert_eq!(get(&tapline).text(), "ok");
        assert_eq!(tapline.closed()["failed"], false);
        go.send(()).unwrap();
        let closed = tapline.closed();
        assert_eq!((&closed["by"], &closed["failed"]), (&"client".into(), &true.into()), "{closed}");
        assert_eq!(get(&tapline).text(), "ok");
        assert_eq!(tapline.closed()["failed"], false);
    }
    // In the middle of its own request.
    let mut client = tapline.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    reset(client);
    assert_eq!(tapline.closed()["by"], "client");
    assert_eq!(get(&tapline).text(), "ok");
}

#[test]
fn a_check_that_this_machine_cannot_make_is_no_verdict() {
    for probe in [&[][..], &["--health", "/"]] {
        let (asked, checks) = std::sync::mpsc::channel();
        let backend = server(move |mut stream| {
            // Whoever checks by connecting alone says nothing, and resets.
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let _ = asked.send(());
        })
        .to_string();
        let args = ["lb7", "0", &backend, "--check-interval", "20ms", "--check-timeout", "200ms", "--fall", "1", "--connect-timeout", "1h"];
        let mut tapline = Tapline::start(&[&args, probe].concat());
        ask(tapline.addr(), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        tapline.closed();
        let starved = starve(&tapline);
        assert_eq!(tapline.event("note")["text"], format!("cannot check {backend}: Too many open files (os error 24)"));
        while checks.try_recv().is_ok() {}
        drop(starved);
        checks.recv_timeout(DEADLINE).unwrap();
        assert_eq!(tapline.stop(), Some(0));
        assert!(tapline.seen.iter().all(|event| event["event"] != "health"), "{:?}", tapline.seen);
    }
}
