//! tshark and `sni-peek` read the same in the hellos that clients of many kinds send.

use super::facts::{Facts, ours, theirs};
use crate::{browser::Browser, captures::capture, support::*, tls};
use etherparse::PacketBuilder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::UdpSocket,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// What clients send to `addr` is shown as it comes, and recorded on the way there.
struct Watched {
    folder: TempDir,
    peek: Tapline,
    proxy: Tapline,
}

impl Watched {
    fn start(then: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peek = Tapline::start(&["sni-peek", "0", "--then", then]);
        let proxy = Tapline::start(&["proxy", "0", peek.endpoint(), "--record", folder.path().join("all.pcapng").to_str().unwrap()]);
        Self { folder, peek, proxy }
    }

    fn addr(&self) -> String {
        self.proxy.endpoint().to_owned()
    }

    fn port(&self) -> u16 {
        self.proxy.addr().port()
    }

    /// All hellos that came. As they came, as they are in the capture, and as tshark finds them there, they say the same.
    fn end(mut self) -> Vec<Facts> {
        let (file, port) = (self.folder.path().join("all.pcapng"), self.port());
        self.proxy.stop();
        self.peek.stop();
        let recorded = agreed(&file, port, "tls");
        let shown = hellos(&results(&mut self.peek));
        assert!(!shown.is_empty());
        for hello in shown {
            assert!(recorded.contains(&hello), "shown as it came: {hello:#?}; recorded: {recorded:#?}");
        }
        recorded
    }
}

/// The hellos of a capture, in which tapline and tshark have found the same.
fn agreed(file: &Path, port: u16, protocol: &str) -> Vec<Facts> {
    let done = run(&["--json", "sni-peek", file.to_str().unwrap()]);
    let shown: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ours = hellos(&shown);
    let theirs = theirs(file, port, protocol);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len(), "{done:?}");
    ours
}

fn hellos(shown: &[Value]) -> Vec<Facts> {
    shown.iter().filter(|line| line["event"] == "hello").map(ours).collect()
}

fn names(hellos: &[Facts]) -> Vec<&str> {
    hellos.iter().map(|hello| &*hello.name).collect()
}

/// The first connection on which anything came has ended.
fn used(proxy: &mut Tapline) {
    while proxy.closed()["received"] == 0 {}
}

#[test]
fn those_of_curl_openssl_and_gnutls() {
    let watched = Watched::start("alert");
    let (addr, port) = (watched.addr(), watched.port());
    let run = |program: &str, args: &[&str]| finish(outside(program).args(args));
    run("curl", &["-sk", "--resolve", &format!("curl.example.test:{port}:127.0.0.1"), &format!("https://curl.example.test:{port}/")]);
    let s_client = |args: &[&str]| run("openssl", &[&["s_client", "-connect", &addr][..], args].concat());
    s_client(&["-servername", "openssl.example.test", "-alpn", "h2,http/1.1,acme-tls/1"]);
    s_client(&["-noservername", "-tls1_2", "-cipher", "ECDHE+AESGCM"]);
    s_client(&["-servername", "192.0.2.7", "-groups", "P-384:X25519", "-ciphersuites", "TLS_AES_128_GCM_SHA256"]);
    run("gnutls-cli", &["--sni-hostname", "gnutls.example.test", "--alpn", "h2", "-p", &port.to_string(), "127.0.0.1"]);
    let hellos = watched.end();
    assert_eq!(names(&hellos), ["curl.example.test", "openssl.example.test", "", "192.0.2.7", "gnutls.example.test"]);
    assert_eq!(hellos[1].alpn, ["h2", "http/1.1", "acme-tls/1"]);
    assert_eq!((hellos[2].versions.len(), hellos[2].key_shares.len()), (0, 0));
    assert_eq!(hellos[3].key_shares, [(24, 97)]);
}

#[test]
fn those_of_rustls_when_it_resumes_and_of_openssl_when_it_is_asked_again() {
    let issued = tls::issue(&["localhost"]);
    let server = issued.serve(|mut stream| {
        // A client that ends before is as good.
        let _ = stream.read_exact(&mut [0]).and_then(|()| stream.write_all(b"x")).and_then(|()| stream.read_to_end(&mut Vec::new()));
    });
    let mut watched = Watched::start(&server.to_string());
    let config = tls::trusting(&issued.ca, &["h2"]);
    for _ in 0..2 {
        let mut client = tls::client(watched.proxy.connect(), config.clone(), "localhost");
        client.write_all(b"x").unwrap();
        // The tickets come before it.
        client.read_exact(&mut [0]).unwrap();
        drop(client);
        watched.proxy.closed();
    }
    // A key of a group that the server does not have, and one that it has without a key.
    finish(outside("openssl").args(["s_client", "-connect", &watched.addr(), "-servername", "again.test", "-groups", "P-521:P-256"]));
    let hellos = watched.end();
    assert_eq!(names(&hellos), ["localhost", "localhost", "again.test", "again.test"]);
    let offers_key = |hello: &Facts| hello.extensions.last().unwrap().0 == 41;
    assert_eq!((offers_key(&hellos[0]), offers_key(&hellos[1])), (false, true));
    assert_eq!((&*hellos[2].key_shares, &*hellos[3].key_shares), (&[(25, 133)][..], &[(23, 65)][..]));
    assert_eq!(hellos[2].random, hellos[3].random);
}

#[test]
fn those_of_chromium() {
    let mut watched = Watched::start("alert");
    let client = Browser::chromium(None, &["--ignore-certificate-errors"], &format!("https://chromium.example.test:{}/", watched.port()));
    used(&mut watched.proxy);
    drop(client);
    let hellos = watched.end();
    assert_eq!((&*hellos[0].name, &hellos[0].alpn[0][..]), ("chromium.example.test", "h2"));
    assert!(hellos[0].key_shares.contains(&(0x11ec, 1216)), "{:?}", hellos[0]);
}

#[test]
fn those_of_firefox() {
    let mut watched = Watched::start("alert");
    let client = Browser::firefox(None, &format!("https://localhost:{}/", watched.port()));
    used(&mut watched.proxy);
    drop(client);
    let hellos = watched.end();
    assert_eq!((&*hellos[0].name, &hellos[0].alpn[0][..]), ("localhost", "h2"));
    assert!(hellos[0].key_shares.contains(&(0x11ec, 1216)), "{:?}", hellos[0]);
}

/// Passes datagrams on between a client and `sni-peek --udp` until that answers what it has shown, and makes a capture of the
/// client's.
fn relayed(front: &UdpSocket, peek: &Tapline, folder: &Path, port: u16) -> PathBuf {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.connect(peek.addr()).unwrap();
    let (mut packets, mut datagram) = (Vec::new(), vec![0; 65_536]);
    loop {
        let mut ready = [PollFd::new(front, PollFlags::IN), PollFd::new(&server, PollFlags::IN)];
        let deadline = Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
        assert_ne!(poll(&mut ready, Some(&deadline)).unwrap(), 0, "nothing came after {} datagrams", packets.len());
        if ready[1].revents().contains(PollFlags::IN) {
            return capture(folder, 101, "pcap", &packets);
        }
        let (n, _) = front.recv_from(&mut datagram).unwrap();
        let mut packet = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [192, 0, 2, 1], 64).udp(50_000, port).write(&mut packet, &datagram[..n]).unwrap();
        packets.push(packet);
        server.send(&datagram[..n]).unwrap();
    }
}

#[test]
fn those_of_chromium_in_quic_and_of_openssl_in_dtls() {
    for (protocol, port) in [("quic", 443), ("dtls", 4433)] {
        let folder = tempfile::tempdir().unwrap();
        let mut peek = Tapline::start(&["sni-peek", "--udp", "0"]);
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        let here = front.local_addr().unwrap();
        let client = if protocol == "quic" {
            let origin = format!("chromium.example.test:{}", here.port());
            Browser::chromium(
                None,
                &["--ignore-certificate-errors", &format!("--origin-to-force-quic-on={origin}")],
                &format!("https://{origin}/"),
            )
        } else {
            let mut command = outside("openssl");
            command.args(["s_client", "-dtls1_2", "-mtu", "300", "-connect", &here.to_string(), "-alpn", "h2,http/1.1"]);
            command.args(["-servername", "openssl.example.test"]);
            Browser::start(&mut command, tempfile::tempdir().unwrap())
        };
        let file = relayed(&front, &peek, folder.path(), port);
        drop(client);
        peek.stop();
        let hellos_of_file = agreed(&file, port, protocol);
        assert_eq!(hellos(&results(&mut peek)), hellos_of_file);
        let name = if protocol == "quic" { "chromium.example.test" } else { "openssl.example.test" };
        assert_eq!(names(&hellos_of_file), [name]);
    }
}
