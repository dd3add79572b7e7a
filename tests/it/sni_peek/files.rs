//! Hellos in files and on stdin.

use crate::{
    packets::{self, capture, header, record, segment, syn},
    support::*,
    tls::{hello_with_name, in_records},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
};

const CURL: &str = "tests/data/curl-openssl3.bin";
const NO_NAME: &str = "tests/data/s_client-no-name.bin";

fn peek(args: &[&str], input: &[u8]) -> Finished {
    finish_fed(program().arg("sni-peek").args(args), input)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// The name in a hello is `name`; it comes in two segments, the second one first.
fn connection(port: u16, name: &str) -> Vec<Vec<u8>> {
    let hello = hello_with_name(name.as_bytes());
    let (first, second) = hello.split_at(hello.len() / 2);
    let after = 101 + u32::try_from(first.len()).unwrap();
    vec![syn(port, 100), segment(port, after, second), segment(port, 101, first)]
}

#[test]
fn a_capture_is_shown_connection_by_connection_and_summed_up() {
    let plain = segment(4000, 1, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let file = capture(&[connection(5000, "one.test"), vec![plain], connection(5001, "two.test")].concat());
    let run = peek(&["-"], &file);
    assert_eq!(run.code, Some(0), "{run:?}");
    let size = hello_with_name(b"one.test").len();
    let line = |port: u16, name: &str| {
        let ja4 = "t12d010100_";
        format!(
            "192.0.2.1:{port} -> 198.51.100.2:443 sni={name} alpn=- versions=TLSv1.2 ciphers=1 extensions=1 size={size} records=1 packets=2 ja4={ja4}"
        )
    };
    let shown: Vec<_> = run.stdout.lines().collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].starts_with(&line(5000, "one.test")) && shown[1].starts_with(&line(5001, "two.test")), "{shown:?}");
    assert_eq!(run.stderr, "-: 7 packets, 3 TCP connections: 2 hellos, 1 not TLS\n");

    // What is not TLS is shown on request.
    let run = peek(&["-", "--all", "--quiet"], &file);
    assert_eq!((run.stdout.lines().count(), run.stderr.as_str()), (3, ""));
    assert!(run.stdout.contains("192.0.2.1:4000 -> 198.51.100.2:443 not TLS but HTTP\n"), "{}", run.stdout);
}

#[test]
fn json_tells_where_and_when_a_captured_hello_was_seen() {
    let run = peek(&["-", "--json"], &capture(&connection(5000, "one.test")));
    let seen = &lines(&run.stdout)[0];
    let ends = (&seen["source"], &seen["destination"], &seen["client"], &seen["transport"]);
    assert_eq!(ends, (&"192.0.2.1:5000".into(), &"198.51.100.2:443".into(), &"192.0.2.1:5000".into(), &"tcp".into()));
    assert_eq!((&seen["id"], &seen["peer"], &seen["file"]), (&Value::Null, &Value::Null, &"-".into()));
    assert_eq!((&seen["packet"], &seen["packets"], &seen["second"], &seen["before"]), (&3.into(), &2.into(), &false.into(), &json!([])));
    // Local time, wherever this runs.
    let time: jiff::Timestamp = seen["time"].as_str().unwrap().parse().unwrap();
    assert_eq!(time.to_string(), "2026-01-01T00:00:02.25Z");
    assert_eq!((&seen["event"], &seen["sni"]), (&"hello".into(), &"one.test".into()));
    let summary = &lines(&run.stderr)[0];
    assert_eq!((&summary["event"], &summary["packets"], &summary["hellos"]), (&"capture".into(), &3.into(), &1.into()));
}

#[test]
fn what_a_client_says_to_a_proxy_first_is_told() {
    let request = b"CONNECT one.test:443 HTTP/1.1\r\n\r\n";
    let after = 101 + u32::try_from(request.len()).unwrap();
    let hello = hello_with_name(b"one.test");
    let file = capture(&[syn(5000, 100), segment(5000, 101, request), segment(5000, after, &hello)]);
    let before = json!([{ "protocol": "connect", "size": request.len(), "target": "one.test:443" }]);
    assert_eq!(lines(&peek(&["-", "--json"], &file).stdout)[0]["before"], before);
    let line = peek(&["-"], &file).stdout;
    assert!(line.ends_with(" after=HTTP CONNECT(one.test:443)\n"), "{line}");
}

#[test]
fn a_live_capture_is_shown_as_it_comes_and_a_signal_sums_it_up() {
    let mut child = program().args(["sni-peek", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(&header()).unwrap();
    for (port, name) in [(5000, "one.test"), (5001, "two.test")] {
        for packet in connection(port, name) {
            // A pipe may cut packets anywhere.
            for piece in record(0, &packet).chunks(20) {
                stdin.write_all(piece).unwrap();
            }
        }
        let mut line = String::new();
        // Nothing more comes for now, and the pipe stays open.
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains(&format!(" sni={name} ")), "{line}");
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "-: 6 packets, 2 TCP connections: 2 hellos\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn hellos_by_themselves_are_read_in_whatever_form() {
    let record = std::fs::read(CURL).unwrap();
    let hex = record.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    for (input, framing, records) in [
        (record.clone(), "records", 1),
        (in_records(&record, 100), "records", 6),
        (record[5..].to_vec(), "bare", 0),
        (hex.into_bytes(), "records", 1),
    ] {
        let run = peek(&["-", "--json"], &input);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        let seen = &lines(&run.stdout)[0];
        assert_eq!((&seen["sni"], &seen["framing"], &seen["records"]), (&"www.example.test".into(), &framing.into(), &records.into()));
        assert_eq!(
            (&seen["file"], &seen["source"], &seen["time"], &seen["packets"]),
            (&"-".into(), &Value::Null, &Value::Null, &Value::Null)
        );
        assert_eq!(seen["ja4"], "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6");
    }
    let run = peek(&["-"], &record);
    assert!(run.stdout.starts_with("-: sni=www.example.test alpn=h2,http/1.1 "), "{}", run.stdout);
}

#[test]
fn several_files_are_told_apart() {
    let run = peek(&[CURL, "-", NO_NAME], &capture(&connection(5000, "one.test")));
    let beginnings: Vec<_> = run.stdout.lines().map(|line| line.split(" alpn").next().unwrap().to_owned()).collect();
    let expected =
        [format!("{CURL}: sni=www.example.test"), "-: 192.0.2.1:5000 -> 198.51.100.2:443 sni=one.test".into(), format!("{NO_NAME}: sni=-")];
    assert_eq!((run.code, beginnings), (Some(0), expected.to_vec()));
}

#[test]
fn the_status_says_whether_a_hello_was_shown_and_errors_name_the_file() {
    let run = peek(&["-"], &capture(&[segment(4000, 1, b"SSH-2.0-x\r\n")]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    let half = hello_with_name(b"one.test");
    let run = peek(&["-"], &capture(&[syn(5000, 100), segment(5000, 101, &half[..40])]));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(run.stderr, "-: 2 packets, 1 TCP connection: 0 hellos, 1 malformed or not whole\n");
    assert!(run.stdout.contains(" bad hello: no end of the hello at byte 40\n"), "{}", run.stdout);
    for (input, why) in [(&b""[..], "it is empty"), (b"hello there", "it is neither a capture nor a ClientHello: it looks like ")] {
        let run = peek(&["-"], input);
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""));
        assert!(run.stderr.starts_with(&format!("tapline: cannot read -: {why}")), "{}", run.stderr);
    }
    let run = peek(&["./missing"], b"");
    assert_eq!((run.code, run.stderr.as_str()), (Some(3), "tapline: cannot read ./missing: No such file or directory (os error 2)\n"));
}

/// /dev/full: every write to it finds the disk full.
#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_written_are_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let done = program().args(["sni-peek", CURL]).stdout(full).output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert!(stderr.starts_with("tapline: cannot write to stdout: No space left on device"), "{stderr}");
    assert_eq!(done.status.code(), Some(3));
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for (args, why) in [
        (&["missing.pcap"][..], "is no file that is there, and not an address to listen on"),
        (&["8443", CURL], "127.0.0.1:8443 is an address: give one address to listen on, or files only"),
        (&[CURL, "--connections", "1"], "--connections is for clients that connect, and tests/data/curl-openssl3.bin is a file"),
        (&[CURL, "--then", "close"], "--then is for clients that connect"),
        (&[CURL, "--", "true"], "COMMAND is for clients that connect"),
        (&["0", "--diff"], "--diff is for files, and 127.0.0.1:0 is an address"),
        (&[CURL, "--detail", "--json"], "--detail is a form of its own"),
        (&[CURL, "--detail", "--anatomy"], "cannot be used with"),
        (&[CURL, "--fields", "sni,nonsense"], "[possible values: client, source, "),
        (&[CURL, "--diff", CURL, CURL], "--diff compares two hellos, and 3 files are given"),
    ] {
        let run = run(&[&["sni-peek"], args].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
}

#[test]
fn a_reader_that_goes_ends_it_quietly() {
    let mut child = program().args(["sni-peek", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    stdin.write_all(&packets::capture(&connection(5000, "one.test"))).unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
