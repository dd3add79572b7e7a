//! Whether real clients of TLS can tell a reply that was cut from one that is complete, and have theirs cut likewise.

use crate::support::*;
use std::{
    io::{ErrorKind, Write},
    net::{Shutdown, SocketAddr},
    process::{Command, Stdio},
};

/// A reply whose length nothing tells but its end.
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall or half of it\n";

/// A server that says its reply once it has read something, and ends or resets.
fn replying(resets: bool) -> SocketAddr {
    server(move |mut stream| {
        read_n(&mut stream, 1);
        stream.write_all(REPLY).unwrap();
        if resets {
            wait_sent(&stream);
            reset(stream);
        } else {
            stream.shutdown(Shutdown::Write).unwrap();
            // The rest of the request is read, so that closing is no reset.
            let _ = read_to_any_end(&mut stream);
        }
    })
}

/// What a client says of a whole reply and of one that was cut.
fn both(client: impl Fn(SocketAddr) -> Finished) -> [Finished; 2] {
    [false, true].map(|resets| {
        let tapline = Tapline::start(&["tls-terminate", "0", &replying(resets).to_string()]);
        client(tapline.addr())
    })
}

/// A client that asks, and keeps its input open until it has its answer.
fn asking(command: &mut Command) -> Finished {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let done = finished(child);
    drop(stdin);
    done
}

#[test]
fn curl_tells_a_cut_reply_from_a_whole_one() {
    let [whole, cut] = both(|addr| finish(outside("curl").args(["-sSk", "--max-time", "20", &format!("https://{addr}/")])));
    assert_eq!((whole.code, whole.stdout.as_str()), (Some(0), "all or half of it\n"), "{whole:?}");
    // CURLE_RECV_ERROR.
    assert_eq!((cut.code, cut.stdout.as_str()), (Some(56), "all or half of it\n"), "{cut:?}");
}

#[test]
fn openssl_tells_a_cut_reply_from_a_whole_one() {
    for version in ["-tls1_3", "-tls1_2"] {
        let [whole, cut] = both(|addr| asking(outside("openssl").args(["s_client", "-quiet", version, "-connect", &addr.to_string()])));
        assert!(whole.code == Some(0) && whole.stdout.ends_with("all or half of it\n"), "{whole:?}");
        assert!(cut.stdout.ends_with("all or half of it\n") && cut.stderr.contains("errno=104"), "{cut:?}");
        assert!(!whole.stderr.contains("errno"), "{whole:?}");
    }
}

#[test]
fn gnutls_tells_a_cut_reply_from_a_whole_one() {
    let [whole, cut] = both(|addr| {
        let (host, port) = (addr.ip().to_string(), addr.port().to_string());
        asking(outside("gnutls-cli").args(["--insecure", "--port", &port, &host]))
    });
    assert!(whole.stdout.contains("all or half of it") && whole.stdout.contains("Peer has closed the GnuTLS connection"), "{whole:?}");
    assert!(cut.stdout.contains("all or half of it") && !cut.stdout.contains("Peer has closed the GnuTLS connection"), "{cut:?}");
    assert!(cut.stderr.contains("Error in the pull function"), "{cut:?}");
}

#[test]
fn a_client_that_is_killed_is_a_reset_for_the_target() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["tls-terminate", "0", &target.to_string()]);
    let mut client =
        outside("openssl").args(["s_client", "-quiet", "-connect", &tapline.addr().to_string()]).stdin(Stdio::piped()).spawn().unwrap();
    client.stdin.as_mut().unwrap().write_all(b"half of a quest").unwrap();
    let mut server = accept(&listener);
    assert_eq!(read_n(&mut server, 15), b"half of a quest");
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(read_to_any_end(&mut server), (vec![], Err(ErrorKind::ConnectionReset)));
    let closed = tapline.closed();
    let (by, during, why, failed) = end_of(&closed);
    assert_eq!((by, during, failed), ("client", "relay", true));
    // FIN where it had read everything, else RST.
    assert!(["ended without close_notify", "reset"].contains(&why), "{why}");
}
