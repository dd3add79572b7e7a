//! tshark reads what `--record` writes.

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
