//! What a connection is relayed to, and what happens where nobody takes it.

use crate::{support::*, tls};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixListener,
    time::Instant,
};

fn file(dir: &tempfile::TempDir, name: &str, content: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn a_refusing_target_is_a_reset_for_the_client_and_named() {
    let (_held, target) = refusing();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string()]);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    assert!(tapline.event("dial_failed")["why"].as_str().unwrap().contains("refused"));
    let closed = tapline.closed();
    let (by, during, why, failed) = end_of(&closed);
    assert_eq!((by, during, failed), ("target", "dial", true));
    assert!(why.contains("refused") && why.contains(&target.to_string()), "{why}");
    // For people, and with the exit status that says so.
    let mut command = program();
    let mut child = command.args(["proxy", "0", &target.to_string(), "--connections", "1"]).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut first).unwrap();
    let addr = first.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    assert_eq!(fate(addr).1, Err(ErrorKind::ConnectionReset));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("failed by target during dial") && rest.contains("refused"), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_target_that_does_not_answer_is_given_up_after_the_connect_timeout() {
    let (_listener, target, _waiting) = full_backlog();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--connect-timeout", "300ms"]);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    let (by, during, why, failed) = end_of(&closed);
    assert_eq!((by, during, failed), ("timeout", "dial", true));
    assert!(why.contains("300ms"), "{why}");
}

#[test]
fn the_connect_timeout_covers_the_tls_handshake() {
    // Takes the connection and says nothing.
    let (_listener, target) = listener();
    let to = format!("tls:{target}");
    let mut tapline = Tapline::start(&["proxy", "0", &to, "--insecure", "--connect-timeout", "300ms"]);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    assert_eq!((end_of(&closed).0, end_of(&closed).1), ("timeout", "dial"));
}

#[test]
fn a_client_that_waits_for_the_dial_loses_nothing_that_it_sent_meanwhile() {
    let issued = tls::issue(&["localhost"]);
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &format!("tls:{target}"), "--insecure"]);
    let mut client = tapline.connect();
    client.write_all(b"early").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let session = rustls::ServerConnection::new(issued.server_config()).unwrap();
    let mut server = rustls::StreamOwned::new(session, accept(&listener));
    let mut question = Vec::new();
    server.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"early");
    server.write_all(b"late").unwrap();
    server.conn.send_close_notify();
    server.flush().unwrap();
    drop(server);
    assert_eq!(read_all(&mut client), b"late");
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "done", false));
}

/// Sends everything back, then ends as TLS ends.
fn tls_echo(mut stream: tls::ServerStream) {
    let mut bytes = Vec::new();
    if stream.read_to_end(&mut bytes).is_ok() {
        let _ = stream.write_all(&bytes);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

#[test]
fn a_tls_target_is_verified_by_the_authority_that_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let issued = tls::issue(&["localhost", "127.0.0.1"]);
    let ca = file(&dir, "ca.pem", &issued.ca);
    let addr = issued.serve(tls_echo);
    for host in ["localhost", "127.0.0.1"] {
        let to = format!("tls:{host}:{}", addr.port());
        let mut tapline = Tapline::start(&["proxy", "0", &to, "--ca", &ca]);
        assert!(ask(tapline.addr(), &pattern(1 << 20)) == pattern(1 << 20));
        let closed = tapline.closed();
        assert_eq!((&closed["failed"], &closed["spliced"], &closed["target"]), (&false.into(), &false.into(), &to.into()));
    }
}

#[test]
fn a_tls_target_that_proves_nothing_is_not_spoken_to_unless_asked() {
    let dir = tempfile::tempdir().unwrap();
    let issued = tls::issue(&["other.test"]);
    let addr = issued.serve(tls_echo);
    let to = format!("tls:localhost:{}", addr.port());
    let (right, wrong) = (file(&dir, "right.pem", &issued.ca), file(&dir, "wrong.pem", &tls::issue(&["x"]).ca));
    for (flags, cause) in [
        (&["--ca", &wrong][..], "the certificate of the target leads to no CA that is trusted here (alert 48 unknown_ca sent)"),
        (&[], "leads to no CA that is trusted here"),
        // The right authority, for another name.
        (&["--ca", &right], "the certificate of the target is not for localhost: it is for"),
    ] {
        let mut tapline = Tapline::start(&[&["proxy", "0", &to], flags].concat());
        assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
        let closed = tapline.closed();
        let (by, during, why, failed) = end_of(&closed);
        assert_eq!((by, during, failed), ("target", "dial", true));
        assert!(why.contains(cause), "{why}");
    }
    let tapline = Tapline::start(&["proxy", "0", &to, "--insecure"]);
    assert_eq!(ask(tapline.addr(), b"whoever you are"), b"whoever you are");
}

#[test]
fn a_tls_target_that_is_cut_is_a_reset_for_the_client() {
    let issued = tls::issue(&["localhost"]);
    // Half of an answer, then FIN without close_notify.
    let addr = issued.serve(|mut stream| {
        let _ = stream.write_all(b"half of an ans");
    });
    let mut tapline = Tapline::start(&["proxy", "0", &format!("tls:{addr}"), "--insecure"]);
    let mut client = tapline.connect();
    assert_eq!(read_to_any_end(&mut client), (b"half of an ans".to_vec(), Err(ErrorKind::ConnectionReset)));
    assert_eq!(end_of(&tapline.closed()), ("target", "relay", "ended without close_notify", true));
}

#[test]
fn a_unix_target_is_relayed_to_and_a_missing_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.sock");
    let listener = patient_listener(UnixListener::bind(&path).unwrap());
    let to = format!("unix:{}", path.display());
    let mut tapline = Tapline::start(&["proxy", "0", &to]);
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    assert!(ask(tapline.addr(), &pattern(1 << 20)) == pattern(1 << 20));
    server.join().unwrap();
    assert_eq!(tapline.event("dialed")["addr"], to.as_str());
    assert_eq!(tapline.closed()["failed"], false);

    std::fs::remove_file(&path).unwrap();
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    assert_eq!((end_of(&closed).0, end_of(&closed).1), ("target", "dial"));
    assert!(end_of(&closed).2.contains("No such file"), "{closed}");
}

#[test]
fn builtin_echo_sends_back_and_builtin_discard_is_silent() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo"]);
    assert_eq!(tapline.event("builtin")["target"], "builtin:echo");
    let mut client = tapline.connect();
    for part in [&b"one"[..], b"two"] {
        client.write_all(part).unwrap();
        assert_eq!(read_n(&mut client, 3), part);
    }
    drop(client);
    assert_eq!(tapline.closed()["target"], "builtin:echo");

    let mut tapline = Tapline::start(&["proxy", "0", "builtin:discard"]);
    assert_eq!(ask(tapline.addr(), &pattern(1 << 20)), b"");
    let closed = tapline.closed();
    assert_eq!((&closed["failed"], &closed["received"], &closed["sent"]), (&false.into(), &(1 << 20).into(), &0.into()));
}

#[test]
fn a_name_is_resolved_and_every_address_of_it_is_tried() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &format!("localhost:{}", target.port())]);
    let mut client = tapline.connect();
    let mut server = accept(&listener);
    client.write_all(b"by name").unwrap();
    assert_eq!(read_n(&mut server, 7), b"by name");
    assert_eq!(tapline.event("dialed")["addr"], target.to_string());
    drop((client, server));
    assert_eq!(tapline.closed()["target"], format!("localhost:{}", target.port()));

    let mut tapline = Tapline::start(&["proxy", "0", "no-such-host.invalid:80"]);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    let (_, during, why, failed) = end_of(&closed);
    assert_eq!((during, failed), ("dial", true));
    assert!(why.contains("cannot resolve no-such-host.invalid"), "{why}");
}

#[test]
fn connections_come_from_the_address_that_is_asked_for() {
    let (listener, target) = listener();
    let tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--bind-source", "127.0.0.77"]);
    let mut client = tapline.connect();
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.77");
    client.write_all(b"ping").unwrap();
    assert_eq!(read_n(&mut server, 4), b"ping");

    for (source, why) in
        [("::1", "::1 cannot be the source of a connection to 127.0.0.1"), ("192.0.2.1", "Cannot assign requested address")]
    {
        let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--bind-source", source]);
        assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
        let closed = tapline.closed();
        let (by, during, said, failed) = end_of(&closed);
        assert_eq!((by, during, failed), ("local", "dial", true));
        assert!(said.contains(why), "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn both_ends_are_probed_when_silent_where_that_is_asked_for() {
    // The timers of a socket by its two ports, proc_net_tcp: 02 is the one of keep-alive.
    let timer = |local: u16, remote: u16| {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let ends = (format!(":{local:04X}"), format!(":{remote:04X}"));
        let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut found = row.filter(|row| row[1].ends_with(&ends.0) && row[2].ends_with(&ends.1));
        found.next().expect("the socket is there")[5][..2].to_owned()
    };
    for (flags, expected) in [(&["--keepalive", "30s"][..], "02"), (&[], "00")] {
        let (listener, target) = listener();
        let tapline = Tapline::start(&[&["proxy", "0", &target.to_string()], flags].concat());
        let mut client = tapline.connect();
        let (mut server, peer) = listener.accept().unwrap();
        // One byte each way, so that nothing waits for an acknowledgement any more.
        client.write_all(b"a").unwrap();
        assert_eq!(read_n(&mut server, 1), b"a");
        server.write_all(b"b").unwrap();
        assert_eq!(read_n(&mut client, 1), b"b");
        for (local, remote) in [(peer.port(), target.port()), (tapline.addr().port(), client.local_addr().unwrap().port())] {
            // A retransmission timer may run for a moment: the ACK of the last byte is on its way.
            let since = Instant::now();
            while timer(local, remote) != expected {
                assert!(since.elapsed() < DEADLINE, "{flags:?}: timer {}", timer(local, remote));
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn a_keepalive_that_the_kernel_cannot_hold_is_refused() {
    for time in ["1500ms", "10h", "0s"] {
        assert_eq!(run(&["proxy", "0", "1", "--keepalive", time]).code, Some(2), "{time}");
    }
}
