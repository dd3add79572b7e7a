//! tshark reads what `--record`, `--record-tls` and `--keylog` write.

use crate::support::*;
use std::{io::Write, net::Shutdown, path::Path};

fn tshark(file: &Path, args: &[&str]) -> String {
    let done =
        finish(outside("tshark").arg("-r").arg(file).args(["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]).args(args));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout
}

/// The two directions of a stream, as `follow` puts them together again.
fn follow(file: &Path, stream: usize) -> (Vec<u8>, Vec<u8>) {
    let text = tshark(file, &["-q", "-z", &format!("follow,tcp,raw,{stream}")]);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| line.trim_start().bytes().all(|b| b.is_ascii_hexdigit()) && !line.is_empty()) {
        let hex = line.trim_start().as_bytes();
        let bytes = hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        if line.starts_with('\t') { down.extend(bytes) } else { up.extend(bytes) }
    }
    (up, down)
}

#[test]
fn wireshark_finds_the_exact_bytes_and_nothing_to_complain_about() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.pcapng");
    let (listener, target) = listener();
    for (listen, ipv6) in [("0", false), ("[::1]:0", true)] {
        let mut tapline = Tapline::start(&["proxy", listen, &target.to_string(), "--record", path.to_str().unwrap()]);
        for (size, ends) in [(1_000_000, true), (10, false)] {
            let (mut client, mut server) = (tapline.connect(), accept(&listener));
            let writer = std::thread::spawn(move || {
                client.write_all(&pattern(size)).unwrap();
                // A server that resets may be faster.
                let _ = client.shutdown(Shutdown::Write);
                (read_to_any_end(&mut client).0, client)
            });
            assert!(read_n(&mut server, size) == pattern(size));
            server.write_all(b"answer").unwrap();
            wait_sent(&server);
            if ends {
                drop(server);
            } else {
                reset(server);
            }
            assert_eq!(writer.join().unwrap().0, b"answer");
            tapline.closed();
        }
        assert_eq!(tapline.stop(), Some(0));
        for (stream, size) in [1_000_000, 10].into_iter().enumerate() {
            let (up, down) = follow(&path, stream);
            assert!(up == pattern(size), "{} of {size}", up.len());
            assert_eq!(down, b"answer");
        }
        let complaints =
            tshark(&path, &["-Y", "tcp.analysis.flags || tcp.checksum.status == 0 || ip.checksum.status == 0 || _ws.malformed"]);
        assert_eq!(complaints, "");
        assert_eq!(tshark(&path, &["-Y", "tcp.checksum.status == 1 && frame.comment contains \"connection #2\""]).lines().count(), 1);
        assert_eq!(tshark(&path, &["-Y", "tcp.flags.reset == 1"]).lines().count(), 1);
        assert_eq!(tshark(&path, &["-Y", "ipv6"]).is_empty(), !ipv6);
    }
}

#[test]
fn what_tls_terminate_decrypts_is_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clear.pcapng");
    let args = ["tls-terminate", "0", "builtin:http", "--record", path.to_str().unwrap(), "--", "curl", "-sk", "https://{addr}/hello"];
    let done = run(&args);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    // On a port that tshark does not know for HTTP, the heuristic finds it.
    let port = tshark(&path, &["-T", "fields", "-e", "tcp.dstport"]).lines().next().unwrap().to_owned();
    let requests = tshark(&path, &["-d", &format!("tcp.port=={port},http"), "-T", "fields", "-e", "http.request.uri"]);
    assert!(requests.contains("/hello"), "{requests}");
}

/// The requests that tshark finds in a capture of one connection or more that is TLS on any port.
fn decrypted(file: &Path, more: &[&str]) -> Vec<String> {
    let fields = [more, &["-Y", "http.request", "-T", "fields", "-e", "http.request.uri"]].concat();
    tshark(file, &fields).lines().map(str::to_owned).collect()
}

/// What openssl's clients get for requests in a first session and, by its ticket, a second one of this version.
fn twice(addr: &str, ca: &Path, version: &str, folder: &Path) {
    let session = folder.join(format!("session{version}"));
    for (flag, said) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
        let mut command = outside("openssl");
        command
            .args(["s_client", "-connect", addr, "-servername", "localhost", "-CAfile"])
            .arg(ca)
            .args([version, "-ign_eof", flag])
            .arg(&session);
        let done = finish_fed(&mut command, format!("GET /{}{version} HTTP/1.0\r\n\r\n", flag.trim_start_matches('-')).as_bytes());
        assert!(done.stdout.contains(said) && done.stdout.contains(" 200 OK"), "{}{}", done.stdout, done.stderr);
    }
}

#[test]
fn the_recording_of_tls_is_decrypted_by_the_keys_in_it_in_one_pass() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wire.pcapng");
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:http", "--record-tls", path.to_str().unwrap()]);
    let ca = tapline.event("certificate")["ca"].as_str().unwrap().to_owned();
    for version in ["-tls1_3", "-tls1_2"] {
        twice(tapline.endpoint(), Path::new(&ca), version, dir.path());
    }
    // One that does not like the certificate.
    let wary = finish(outside("curl").args(["-s", &format!("https://{}/", tapline.endpoint())]));
    assert_eq!(wary.code, Some(60));
    for _ in 0..5 {
        tapline.closed();
    }
    assert_eq!(tapline.stop(), Some(0));
    assert_eq!(decrypted(&path, &[]), ["/sess_out-tls1_3", "/sess_in-tls1_3", "/sess_out-tls1_2", "/sess_in-tls1_2"]);
    for stream in 0..4 {
        let text = tshark(&path, &["-q", "-z", &format!("follow,tls,ascii,{stream}")]);
        assert!(text.contains("GET /sess_") && text.contains(" 200 OK"), "{text}");
    }
    // The alert is encrypted in TLS 1.3: unknown_ca, from the client.
    let alerts = tshark(&path, &["-Y", "tcp.stream == 4 && tls.alert_message.desc == 48", "-T", "fields", "-e", "tcp.dstport"]);
    assert_eq!(alerts.trim(), tapline.addr().port().to_string());
    assert_eq!(tshark(&path, &["-Y", "tcp.analysis.flags || tcp.checksum.status == 0 || ip.checksum.status == 0 || _ws.malformed"]), "");
}

#[test]
fn the_recording_of_tls_shows_the_proxy_header_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wire.pcapng");
    let args = ["tls-terminate", "0", "builtin:http", "--accept-proxy", "127.0.0.1", "--record-tls", path.to_str().unwrap()];
    let mut tapline = Tapline::start(&args);
    let url = format!("https://{}/behind", tapline.endpoint());
    let done = finish(outside("curl").args(["-sk", "--haproxy-protocol", &url]));
    assert!(done.stdout.contains("GET /behind"), "{}", done.stdout);
    tapline.closed();
    assert_eq!(tapline.stop(), Some(0));
    assert_eq!(decrypted(&path, &[]), ["/behind"]);
    assert_eq!(tshark(&path, &["-Y", "proxy"]).lines().count(), 1);
}

#[test]
fn a_key_log_decrypts_what_was_captured_elsewhere_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (keys, front, behind, between) = (file("keys"), file("front"), file("behind"), file("between"));
    // A terminator before a terminator, each of which captures nothing but what its neighbour sees of it: the keys of one
    // decrypt what the other has recorded, without the keys that are in that.
    let mut inner = Tapline::start(&["tls-terminate", "0", "builtin:http", "--record-tls", &behind]);
    let inner_port = inner.addr().port();
    let target = format!("tls:127.0.0.1:{inner_port}");
    let mut outer = Tapline::start(&["tls-terminate", "0", &target, "--insecure", "--keylog", &keys, "--record-tls", &front]);
    let done = finish(outside("curl").args(["-sk", &format!("https://{}/deep", outer.endpoint())]));
    assert!(done.stdout.contains("GET /deep"), "{}", done.stdout);
    outer.closed();
    inner.closed();
    assert_eq!((outer.stop(), inner.stop()), (Some(0), Some(0)));
    for recorded in [&front, &behind] {
        let done = finish(outside("editcap").args(["--discard-all-secrets", recorded, &between]));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert_eq!(decrypted(Path::new(&between), &[]), <[&str; 0]>::default());
        assert_eq!(decrypted(Path::new(&between), &["-o", &format!("tls.keylog_file:{keys}")]), ["/deep"]);
    }
}
