//! Bodies, both ways.

use super::*;

#[test]
fn a_body_with_a_length_keeps_its_length_and_every_byte() {
    let (addr, got) = backend(OK);
    let tapline = balancer(&[addr], &[]);
    for method in ["POST", "PUT", "DELETE", "GET"] {
        let body = pattern(1 << 20);
        let mut request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend(&body);
        assert_eq!(exchange(&mut tapline.connect(), request).text(), "ok");
        let asked = got.recv().unwrap();
        assert_eq!((asked.all("content-length"), asked.all("transfer-encoding")), (vec!["1048576"], vec![]), "{method}");
        assert!(asked.body == body, "{method}");
    }
}

#[test]
fn a_body_in_chunks_arrives_whatever_the_method() {
    let (addr, got) = backend(OK);
    let tapline = balancer(&[addr], &[]);
    for method in ["POST", "PUT", "DELETE", "GET", "OPTIONS"] {
        let request =
            format!("{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
        assert_eq!(exchange(&mut tapline.connect(), request).text(), "ok");
        let asked = got.recv().unwrap();
        assert_eq!((asked.text().as_str(), asked.all("transfer-encoding")), ("hello world", vec!["chunked"]), "{method}");
    }
}

#[test]
fn an_empty_body_is_told_as_it_was() {
    let (addr, got) = backend(OK);
    let tapline = balancer(&[addr], &[]);
    for (lines, length) in [("Content-Length: 0\r\n", &["0"][..]), ("", &[])] {
        exchange(&mut tapline.connect(), format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        let asked = got.recv().unwrap();
        assert!(asked.all("content-length") == length || asked.all("content-length") == ["0"], "{}", asked.head);
        assert_eq!(asked.all("transfer-encoding"), [""; 0]);
    }
}

#[test]
fn large_answers_arrive_by_length_in_chunks_and_by_end() {
    let body = pattern(1 << 20);
    let mut answers = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()).into_bytes(),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(),
    ];
    for answer in &mut answers {
        answer.extend(&body);
    }
    answers[1].extend(b"\r\n0\r\n\r\n");
    for answer in answers {
        let addr = server(move |mut stream| {
            Message::read(&mut stream);
            stream.write_all(&answer).unwrap();
        });
        let tapline = balancer(&[addr], &[]);
        let mut client = tapline.connect();
        assert!(exchange(&mut client, GET).body == body);
        // And the client's connection is still good.
        assert!(exchange(&mut client, GET).body == body);
    }
}

#[test]
fn answers_without_a_body_keep_their_headers() {
    for (request, answer, kept) in [
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "Content-Length: 1234"),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nX-No: length\r\n\r\n", "X-No: length"),
        (GET, "HTTP/1.1 204 No Content\r\nX-Seen: 1\r\n\r\n", "X-Seen: 1"),
        (GET, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1234\r\n\r\n", "ETag: \"x\""),
    ] {
        let addr = server(move |mut stream| while read_head(&mut stream).is_some_and(|_| stream.write_all(answer.as_bytes()).is_ok()) {});
        let tapline = balancer(&[addr], &[]);
        let mut client = tapline.connect();
        for _ in 0..2 {
            client.write_all(request.as_bytes()).unwrap();
            let head = read_head(&mut client).unwrap();
            assert_eq!(head.lines().next(), answer.lines().next());
            assert!(head.contains(kept), "{head}");
            // What was not said must not be made up: a length of 0 is another one than GET would get.
            assert!(answer.contains("Content-Length") || !head.to_lowercase().contains("content-length"), "{head}");
            assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
        }
    }
}

#[test]
fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let (addr, got) = backend(OK);
    let tapline = balancer(&[addr], &[]);
    let mut client = tapline.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut client).unwrap(), "HTTP/1.1 100 Continue");
    client.write_all(b"hello").unwrap();
    assert_eq!(Message::read(&mut client).unwrap().text(), "ok");
    assert_eq!(got.recv().unwrap().text(), "hello");
}

#[test]
fn a_body_that_breaks_off_is_seen_as_broken() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf",
    ] {
        let (seen, wait) = channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let addr = server(move |mut stream| {
            read_head(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
            // The end of a body without a length is complete with FIN; with RST it is not.
            let _ = wait.lock().unwrap().recv_timeout(DEADLINE);
            reset(stream);
        });
        let mut tapline = balancer(&[addr], &[]);
        let mut client = tapline.connect();
        client.write_all(GET.as_bytes()).unwrap();
        let mut text = read_head(&mut client).unwrap();
        while !text.contains("half") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            text.push(byte[0].into());
        }
        seen.send(()).unwrap();
        let (bytes, end) = read_to_any_end(&mut client);
        text += &String::from_utf8(bytes).unwrap();
        assert!(end.is_err(), "a clean end after {text:?}");
        assert!(!text.ends_with("0\r\n\r\n"), "{text}");
        let closed = tapline.closed();
        assert_eq!((&closed["by"], &closed["during"], &closed["failed"]), (&"target".into(), &"response".into(), &true.into()), "{closed}");
        assert!(closed["why"].as_str().unwrap().contains("broke off"), "{closed}");
    }
}

#[test]
fn an_upload_that_goes_on_after_its_answer_holds_nobody_up() {
    // The backend refuses after the head; the client goes on sending, slowly. The connection is not free for another.
    let (addr, _got) = {
        let (send, receive) = channel();
        let addr = server(move |mut stream| {
            while let Some(head) = read_head(&mut stream) {
                let early = head.starts_with("POST");
                let _ = stream.write_all(if early { b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n" } else { OK.as_bytes() });
                let _ = send.send(head);
            }
        });
        (addr, receive)
    };
    let tapline = balancer(&[addr], &[]);
    let mut slow = tapline.connect();
    slow.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx").unwrap();
    assert!(read_head(&mut slow).unwrap().starts_with("HTTP/1.1 413 "));
    for _ in 0..3 {
        assert_eq!(get(&tapline).text(), "ok");
    }
}

#[test]
fn an_upload_may_take_longer_than_the_response_timeout() {
    let (addr, got) = backend(OK);
    let tapline = balancer(&[addr], &["--response-timeout", "200ms"]);
    let mut client = tapline.connect();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").unwrap();
    for _ in 0..10 {
        // Nothing comes while the body is under way.
        assert_open_and_silent(&mut client, std::time::Duration::from_millis(50));
        client.write_all(b"x").unwrap();
    }
    assert_eq!(Message::read(&mut client).unwrap().text(), "ok");
    assert_eq!(got.recv().unwrap().text(), "xxxxxxxxxx");
}

#[test]
fn a_client_that_stops_in_its_body_is_told_so_and_the_backend_is_not_blamed() {
    let (addr, _got) = backend(OK);
    let mut tapline = balancer(&[addr], &["--idle-timeout", "200ms"]);
    let mut client = tapline.connect();
    let answer = exchange(&mut client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    assert!(answer.start().starts_with("HTTP/1.1 408 "), "{}", answer.head);
    let request = tapline.event("request");
    assert_eq!((&request["status"], &request["target"]), (&408.into(), &().into()));
}
