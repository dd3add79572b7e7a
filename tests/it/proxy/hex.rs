//! `--hex`: both directions on stderr.

use crate::support::*;
use serde_json::{Value, json};
use std::{io::Write, net::Shutdown};

#[test]
fn both_directions_are_shown_before_the_end_is_told() {
    let (listener, target) = listener();
    let mut tapline = Tapline::start(&["proxy", "0", &target.to_string(), "--hex"]);
    let mut client = tapline.connect();
    let mut server = accept(&listener);
    client.write_all(b"question").unwrap();
    assert_eq!(read_n(&mut server, 8), b"question");
    server.write_all(b"\xff\xfe").unwrap();
    assert_eq!(read_n(&mut client, 2), b"\xff\xfe");
    client.write_all(b"more").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), b"more");
    drop(server);
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(tapline.closed()["spliced"], false);
    let data: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "data").collect();
    let of = |data: &Value| (data["direction"].clone(), data["offset"].clone(), data["text"].clone(), data["hex"].clone());
    assert_eq!(
        data.iter().map(|data| of(data)).collect::<Vec<_>>(),
        [
            (json!("received"), json!(0), json!("question"), json!(null)),
            (json!("sent"), json!(0), json!(null), json!("fffe")),
            (json!("received"), json!(8), json!("more"), json!(null)),
        ]
    );
}

#[test]
fn a_large_exchange_is_shown_whole_however_slowly_it_is_read() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo", "--hex"]);
    let sent = pattern(1 << 20);
    assert!(ask_in_parts(tapline.addr(), &sent) == sent);
    tapline.closed();
    for direction in ["received", "sent"] {
        let of = |event: &&Value| event["event"] == "data" && event["direction"] == direction;
        let bytes: u64 = tapline.seen.iter().filter(of).map(|event| event["bytes"].as_u64().unwrap()).sum();
        assert_eq!(bytes, 1 << 20, "{direction}");
    }
}

/// Asks while the answer is read: nothing waits for the other side.
fn ask_in_parts(addr: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(addr);
    let (mut writer, bytes) = (stream.try_clone().unwrap(), bytes.to_vec());
    let sender = std::thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let back = read_all(&mut stream);
    sender.join().unwrap();
    back
}

#[test]
fn people_get_a_dump_with_directions() {
    let dump =
        run(&["proxy", "0", "builtin:echo", "--hex", "--", "bash", "-c", "exec 3<>/dev/tcp/{host}/{port}; echo hello >&3; head -1 <&3"]);
    assert_eq!((dump.code, dump.stdout.as_str()), (Some(0), "hello\n"), "{}", dump.stderr);
    let shown: Vec<_> = dump.stderr.lines().filter(|line| line.contains("|hello.|")).collect();
    assert_eq!(shown, ["00000000  68 65 6c 6c 6f 0a                                 |hello.|"; 2]);
    for sign in [" > ", " < "] {
        assert!(
            dump.stderr
                .lines()
                .any(|line| line.starts_with("#1 127.0.0.1:") && line.contains(sign) && line.contains("length=6 from=0 to=5"))
        );
    }
}

#[test]
fn a_dump_and_a_recording_and_faults_go_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.pcapng");
    let args = ["proxy", "0", "builtin:echo", "--hex", "--record", path.to_str().unwrap(), "--cut-after", "down:3"];
    let mut tapline = Tapline::start(&args);
    let mut client = tapline.connect();
    client.write_all(b"hello").unwrap();
    assert_eq!(read_to_any_end(&mut client).0, b"hel");
    tapline.closed();
    let sent: Vec<_> = tapline.seen.iter().filter(|event| event["direction"] == "sent").collect();
    // What was never delivered is not shown.
    assert_eq!((sent.len(), &sent[0]["text"]), (1, &json!("hel")));
    assert_eq!(tapline.stop(), Some(0));
    assert!(std::fs::metadata(&path).unwrap().len() > 300);
}
