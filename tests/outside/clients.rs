//! Clients of all kinds connect to `tls-terminate`, and take up their sessions again.

use crate::{browser::Browser, support::*};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
};

/// Answers one request on each connection with a page that asks for more, so that a browser has to come back.
fn pages() -> SocketAddr {
    server(|mut stream: TcpStream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            // A connection that a browser opened and did not need.
            if stream.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head);
        let (kind, body) = if head.starts_with("GET / ") {
            ("text/html", "<!doctype html><title>x</title><script src=/1></script><script src=/2></script><script src=/3></script>done")
        } else {
            ("text/javascript", "document.title += 'x';")
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}");
        // A browser may have been ended meanwhile.
        let _ = stream.write_all(answer.as_bytes());
    })
}

/// A server of TLS before such pages, and the file with what vouches for it.
struct Served {
    tapline: Tapline,
    ca: PathBuf,
}

impl Served {
    fn start(name: &str) -> Self {
        let mut tapline = Tapline::start(&["tls-terminate", "0", &pages().to_string(), "--names", name]);
        let ca = tapline.event("certificate")["ca"].as_str().unwrap().into();
        Self { tapline, ca }
    }

    /// The next handshakes: a full one first, then others until one is resumed.
    fn full_and_resumed(mut self) -> Value {
        let first = self.tapline.event("handshake");
        assert_eq!(first["resumed"], false, "{first}");
        loop {
            let next = self.tapline.event("handshake");
            if next["resumed"] == true {
                assert_eq!(next["version"], first["version"]);
                return first;
            }
        }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.tapline.addr().port())
    }

    fn ca(&self) -> &str {
        self.ca.to_str().unwrap()
    }
}

#[test]
fn openssl_with_tls_1_3_and_1_2() {
    for (flag, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let served = Served::start("openssl.example.test");
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("session").to_str().unwrap().to_owned();
        for (way, said) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
            let mut client = outside("openssl");
            client.args(["s_client", "-connect", served.tapline.endpoint(), "-servername", "openssl.example.test", flag]);
            client.args(["-CAfile", served.ca(), "-verify_return_error", "-ign_eof", way, &session]);
            let done = finish_fed(&mut client, b"GET / HTTP/1.0\r\n\r\n");
            assert!(done.code == Some(0) && done.stdout.contains(&format!("{said}{version}")), "{done:?}");
            assert!(done.stdout.contains("done\n") || done.stdout.contains("</script>done"), "{done:?}");
        }
        assert_eq!(served.full_and_resumed()["version"], version);
    }
}

#[test]
fn gnutls_with_tls_1_3_and_1_2() {
    for (priority, version) in [("NORMAL:-VERS-ALL:+VERS-TLS1.3", "TLSv1.3"), ("NORMAL:-VERS-ALL:+VERS-TLS1.2", "TLSv1.2")] {
        let served = Served::start("gnutls.example.test");
        let mut client = outside("gnutls-cli");
        client.args(["--resume", "--waitresumption", "--sni-hostname", "gnutls.example.test", "--verify-hostname", "gnutls.example.test"]);
        client.args(["--x509cafile", served.ca(), "--priority", priority, "-p", &served.tapline.addr().port().to_string(), "127.0.0.1"]);
        let done = finish_fed(&mut client, b"GET / HTTP/1.0\r\n\r\n");
        assert!(done.stdout.contains("This is a resumed session"), "{done:?}");
        assert_eq!(served.full_and_resumed()["version"], version);
    }
}

#[test]
fn curl_with_tls_1_3_and_1_2() {
    for (flag, version) in [("1.3", "TLSv1.3"), ("1.2", "TLSv1.2")] {
        let served = Served::start("curl.example.test");
        let url = served.url("curl.example.test");
        let to = format!("::{}", served.tapline.endpoint());
        let (least, most) = (format!("--tlsv{flag}"), ["--tls-max", flag]);
        let done =
            finish(outside("curl").args(["-sS", "--cacert", served.ca(), "--connect-to", &to, &least]).args(most).args([&url, &url]));
        assert_eq!((done.code, done.stdout.matches("done").count()), (Some(0), 2), "{done:?}");
        assert_eq!(served.full_and_resumed()["version"], version);
    }
}

#[test]
fn chromium_trusts_it_and_comes_back() {
    let served = Served::start("chromium.example.test");
    let _browser = Browser::chromium(Some(&served.ca), &[], &served.url("chromium.example.test"));
    assert_eq!(served.full_and_resumed()["version"], "TLSv1.3");
}

#[test]
fn firefox_trusts_it_and_comes_back() {
    let served = Served::start("localhost");
    let _browser = Browser::firefox(Some(&served.ca), &served.url("localhost"));
    assert_eq!(served.full_and_resumed()["version"], "TLSv1.3");
}
