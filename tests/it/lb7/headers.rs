//! What passes and what does not.

use super::*;

#[test]
fn headers_for_one_hop_are_removed_and_all_others_pass() {
    let (addr, got) = backend(
        "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=9\r\nX-Hop: 1\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-End: e\r\n\r\nok",
    );
    let tapline = balancer(&[addr], &[]);
    let answer = exchange(
        &mut tapline.connect(),
        "GET /p?q=1 HTTP/1.1\r\nHost: a.test:81\r\nConnection: X-Private, Host, Cookie, Authorization, Content-Length\r\nX-Private: 1\r\n\
         Cookie: c=1\r\nAuthorization: Basic x\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: y\r\n\
         Upgrade: websocket\r\nTE: trailers, gzip\r\nAccept: */*\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n",
    );
    let asked = got.recv().unwrap();
    assert_eq!(asked.start(), "GET /p?q=1 HTTP/1.1");
    for gone in ["Connection", "X-Private", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Upgrade"] {
        assert_eq!(asked.all(gone), [""; 0], "{gone}");
    }
    for (name, values) in [
        ("Host", &["a.test:81"][..]),
        ("Cookie", &["c=1"]),
        ("Authorization", &["Basic x"]),
        ("TE", &["trailers"]),
        ("Accept", &["*/*"]),
        ("X-Two", &["1", "2"]),
    ] {
        assert_eq!(asked.all(name), values, "{name}");
    }
    assert_eq!((answer.start(), answer.text().as_str()), ("HTTP/1.1 200 Fine", "ok"));
    for gone in ["Connection", "Keep-Alive", "X-Hop", "Proxy-Authenticate", "Upgrade", "Date", "Server", "Via"] {
        assert_eq!(answer.all(gone), [""; 0], "{gone}");
    }
    assert_eq!((answer.all("set-cookie"), answer.all("x-end")), (vec!["a=1", "b=2"], vec!["e"]));
    assert!(answer.head.contains("Set-Cookie:") && asked.head.contains("X-Two:"), "the spelling of names is kept");
}

#[test]
fn who_asked_is_what_was_seen_and_not_what_the_client_says() {
    let (addr, got) = backend(OK);
    let tapline = balancer(&[addr], &[]);
    exchange(
        &mut tapline.connect(),
        "GET / HTTP/1.1\r\nHost: www.a.test\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil.test\r\nForwarded: for=1.2.3.4\r\n\r\n",
    );
    let asked = got.recv().unwrap();
    assert_eq!(asked.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(asked.all("x-forwarded-proto"), ["http"]);
    assert_eq!(asked.all("x-forwarded-host"), ["www.a.test"]);
    assert_eq!(asked.all("forwarded"), [""; 0]);
    assert_eq!(asked.all("host"), ["www.a.test"]);
}

#[test]
fn an_absolute_target_becomes_a_path_and_its_host_wins() {
    let (addr, got) = backend(OK);
    let tapline = balancer(&[addr], &[]);
    exchange(&mut tapline.connect(), "GET http://b.test:8/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let asked = got.recv().unwrap();
    assert_eq!((asked.start(), asked.all("host")), ("GET /x?y HTTP/1.1", vec!["b.test:8"]));
}

#[test]
fn redirects_and_errors_of_a_backend_pass_unchanged() {
    for (status, extra, body) in [
        ("302 Found", "Location: http://127.0.0.1:1/else\r\n", ""),
        ("500 Oh No", "", "the reason"),
        ("503 Busy", "Retry-After: 7\r\n", "later"),
    ] {
        let (addr, got) = backend(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{extra}\r\n{body}", body.len()));
        let mut tapline = balancer(&[addr], &[]);
        let answer = get(&tapline);
        assert_eq!((answer.start(), answer.text().as_str()), (&*format!("HTTP/1.1 {status}"), body));
        assert!(answer.head.contains(extra.trim_end()), "{}", answer.head);
        got.recv().unwrap();
        assert!(got.try_recv().is_err(), "it was asked once");
        assert_eq!(tapline.event("request")["retries"], 0);
    }
}

#[test]
fn a_request_of_http_1_0_gets_an_answer_that_ends_with_the_connection() {
    let (addr, got) = backend("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    let tapline = balancer(&[addr], &[]);
    let mut client = tapline.connect();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let answer = String::from_utf8(read_all(&mut client)).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") || answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nabcde"), "no chunks for a client that knows none: {answer}");
    let asked = got.recv().unwrap();
    assert_eq!((asked.start(), asked.all("x-forwarded-host")), ("GET / HTTP/1.1", vec![]));
}

#[test]
fn a_client_that_ends_its_side_after_the_request_gets_the_answer() {
    let (addr, _got) = backend(OK);
    let tapline = balancer(&[addr], &[]);
    assert!(String::from_utf8(ask(tapline.addr(), GET.as_bytes())).unwrap().ends_with("\r\n\r\nok"));
    let builtin = Tapline::start(&["proxy", "0", "builtin:http"]);
    assert!(String::from_utf8(ask(builtin.addr(), GET.as_bytes())).unwrap().contains("body: 0 bytes"));
}

#[test]
fn requests_that_two_readers_could_read_differently_are_refused_and_the_others_are_served() {
    let (addr, got) = backend(OK);
    let tapline = balancer(&[addr], &[]);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", Some("400")),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Some("400")),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Some("400")),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", Some("400")),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Some("400")),
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", Some("405")),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Some("400")),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", None),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n", None),
    ] {
        let mut client = tapline.connect();
        client.write_all(request.as_bytes()).unwrap();
        let (answer, _) = match status {
            // An answer that is kept alive leaves the connection open.
            Some(_) => (read_head(&mut client).unwrap_or_default().into_bytes(), Ok(())),
            None => read_to_any_end(&mut client),
        };
        let answer = String::from_utf8(answer).unwrap();
        let expected = status.map_or(answer.is_empty(), |status| answer.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(expected || (status.is_none() && answer.starts_with("HTTP/1.1 4")), "{request:?}: {answer:?}");
    }
    assert!(got.try_recv().is_err(), "a backend got one of them");
    assert_eq!(get(&tapline).text(), "ok");
}

#[test]
fn of_a_length_and_chunks_only_the_chunks_count_and_the_connection_ends() {
    let (addr, got) = backend(OK);
    let tapline = balancer(&[addr], &[]);
    for lines in ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"] {
        let mut client = tapline.connect();
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        let answer = Message::read(&mut client).unwrap();
        let asked = got.recv().unwrap();
        assert_eq!((asked.text().as_str(), asked.all("content-length")), ("hello", vec![]), "{lines}");
        assert!(answer.all("connection") == ["close"], "{lines}: {}", answer.head);
        assert!(read_to_any_end(&mut client).0.is_empty());
        assert!(got.try_recv().is_err());
    }
}
