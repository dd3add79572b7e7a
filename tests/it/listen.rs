//! `tapline listen`: what arrives is shown, kept and answered.

mod answering;
mod datagrams;
mod keeping;
mod recognising;
mod streams;
mod tls;

use crate::support::*;
use std::{
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

/// The program as people see it: raw bytes on stderr.
struct Shown {
    child: Child,
    stderr: BufReader<ChildStderr>,
    addr: SocketAddr,
}

impl Shown {
    fn start(args: &[&str]) -> Self {
        Self::from(program().arg("listen").args(args))
    }

    fn from(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        stderr.read_line(&mut first).unwrap();
        let addr = first.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}")).parse().unwrap();
        Self { child, stderr, addr }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    /// Everything else on stderr, and the exit status.
    fn rest(mut self) -> (Vec<u8>, Option<i32>) {
        let mut rest = Vec::new();
        self.stderr.read_to_end(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().code())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(addr: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(addr);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"");
}

#[test]
fn the_bytes_of_one_client_come_unlabelled() {
    let shown = Shown::start(&["0", "--connections", "1"]);
    say(shown.addr, b"first\nsecond\nwithout an end");
    let (rest, code) = shown.rest();
    let text = String::from_utf8(rest).unwrap();
    // What comes next begins a line of its own.
    assert!(text.starts_with("first\nsecond\nwithout an end\n#1 127.0.0.1:"), "{text}");
    assert!(text.contains("done by client, 27 B in, 0 B out"), "{text}");
    assert_eq!(code, Some(0));
}

#[test]
fn a_megabyte_of_any_bytes_arrives_on_stderr_as_it_is() {
    let mut shown = Shown::start(&["0", "--connections", "1"]);
    let (addr, data) = (shown.addr, pattern(1 << 20));
    let sender = thread::spawn(move || say(addr, &pattern(1 << 20)));
    let got = read_n(&mut shown.stderr, 1 << 20);
    assert!(got == data);
    sender.join().unwrap();
    assert_eq!(shown.rest().1, Some(0));
}

#[test]
fn the_lines_of_several_clients_say_whose_they_are() {
    let mut shown = Shown::start(&["0", "--connections", "2"]);
    let mut first = connect(shown.addr);
    first.write_all(b"alone\n").unwrap();
    assert_eq!(shown.line(), "alone\n");
    let mut second = connect(shown.addr);
    second.write_all(b"from the second\nin two lines\n").unwrap();
    let label = |id: usize, stream: &TcpStream| format!("#{id} {} | ", stream.local_addr().unwrap());
    assert_eq!(shown.line(), label(2, &second) + "from the second\n");
    assert_eq!(shown.line(), label(2, &second) + "in two lines\n");
    first.write_all(b"from the first\n").unwrap();
    assert_eq!(shown.line(), label(1, &first) + "from the first\n");
    // Half a line of one is not continued by the other's.
    second.write_all(b"half ").unwrap();
    let half = label(2, &second) + "half ";
    assert_eq!(read_n(&mut shown.stderr, half.len()), half.as_bytes());
    first.write_all(b"whole\n").unwrap();
    assert_eq!(shown.line(), "\n");
    assert_eq!(shown.line(), label(1, &first) + "whole\n");
    drop((first, second));
    assert_eq!(shown.rest().1, Some(0));
}

#[test]
fn hex_shows_offsets_that_go_on_from_one_read_to_the_next() {
    let mut shown = Shown::start(&["0", "--hex", "--connections", "1"]);
    let mut client = connect(shown.addr);
    let label = format!("#1 {} > ", client.local_addr().unwrap());
    client.write_all(b"\x00\xff\x1b[2Jhello\n").unwrap();
    let header = shown.line();
    let (time, place) = header.strip_prefix(&label).unwrap().split_at("2026-01-31 23:59:59.123456".len());
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!((shape.as_str(), place), ("0000-00-00 00:00:00.000000", " length=12 from=0 to=11\n"));
    assert_eq!(shown.line(), "00000000  00 ff 1b 5b 32 4a 68 65  6c 6c 6f 0a              |...[2Jhello.|\n");
    client.write_all(b"0123456789abcdefg").unwrap();
    assert!(shown.line().ends_with(" length=17 from=12 to=28\n"));
    assert_eq!(shown.line(), "0000000c  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n");
    assert_eq!(shown.line(), "0000001c  67                                                |g|\n");
    drop(client);
    assert_eq!(shown.rest().1, Some(0));
}

#[test]
fn output_to_a_file_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1", "--output", path.to_str().unwrap()]);
    say(tapline.addr(), &pattern(1 << 20));
    let closed = tapline.closed();
    assert_eq!((&closed["received"], &closed["failed"]), (&(1 << 20).into(), &false.into()));
    assert_eq!(tapline.wait().code(), Some(0));
    assert!(std::fs::read(&path).unwrap() == pattern(1 << 20));
}

#[test]
fn output_to_stdout_is_exact() {
    let mut shown = Shown::start(&["0", "--connections", "1", "--output", "-"]);
    let mut stdout = shown.child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap();
        bytes
    });
    say(shown.addr, &pattern(1 << 20));
    assert!(reader.join().unwrap() == pattern(1 << 20));
    let (rest, code) = shown.rest();
    // Nothing of it is on stderr.
    assert!(rest.len() < 200, "{}", String::from_utf8_lossy(&rest));
    assert_eq!(code, Some(0));
}

#[test]
fn an_output_that_cannot_be_written_is_named_before_anyone_connects() {
    let finished = run(&["listen", "0", "--output", "/no/such/directory/out"]);
    assert_eq!(finished.code, Some(3));
    assert!(finished.stderr.contains("cannot write /no/such/directory/out: No such file"), "{}", finished.stderr);
}

#[test]
fn a_full_disk_is_this_machines_failure() {
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1", "--output", "/dev/full"]);
    let mut client = tapline.connect();
    client.write_all(b"nowhere to go").unwrap();
    let closed = tapline.closed();
    let (by, _, why, failed) = end_of(&closed);
    assert_eq!((by, failed), ("local", true));
    assert!(why.contains("cannot write /dev/full") && why.contains("No space"), "{why}");
    assert_eq!(read_to_any_end(&mut client).1, Err(ErrorKind::ConnectionReset));
    assert_eq!(tapline.wait().code(), Some(1));
}

#[test]
fn a_silent_client_is_closed_by_the_idle_timeout_which_is_no_failure() {
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1", "--idle-timeout", "200ms"]);
    let mut client = tapline.connect();
    client.write_all(b"once").unwrap();
    // An end, not a reset: everything that was sent was taken.
    assert_eq!(read_all(&mut client), b"");
    drop(client);
    let closed = tapline.closed();
    let (by, _, why, failed) = end_of(&closed);
    assert_eq!((by, failed), ("timeout", false));
    assert!(why.contains("200ms") && why.contains("--idle-timeout"), "{why}");
    assert_eq!(tapline.wait().code(), Some(0));
}

#[test]
fn json_tells_each_read_as_text_or_as_hexadecimal() {
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1"]);
    let mut client = tapline.connect();
    client.write_all("grüße\n\u{1b}[2J".as_bytes()).unwrap();
    let data = tapline.event("data");
    assert_eq!((&data["id"], &data["offset"], &data["bytes"]), (&1.into(), &0.into(), &12.into()));
    assert_eq!((&data["direction"], data["time"].as_str().unwrap().len()), (&"received".into(), "2026-01-31T23:59:59.123456+00:00".len()));
    assert_eq!((&data["text"], &data["hex"]), (&"grüße\n\u{1b}[2J".into(), &serde_json::Value::Null));
    assert_eq!(data["peer"], client.local_addr().unwrap().to_string());
    client.write_all(b"\x00\xff\xfe").unwrap();
    let data = tapline.event("data");
    assert_eq!((&data["offset"], &data["hex"], &data["text"]), (&12.into(), &"00fffe".into(), &serde_json::Value::Null));
    drop(client);
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "done", false));
    assert_eq!(tapline.wait().code(), Some(0));
    assert!(tapline.seen.iter().all(|event| event["event"] != "not json"), "{:#?}", tapline.seen);
}

#[test]
fn a_reset_by_the_client_is_reported_after_what_came_before_it() {
    let mut tapline = Tapline::start(&["listen", "0", "--connections", "1"]);
    let mut client = tapline.connect();
    client.write_all(b"last words").unwrap();
    wait_sent(&client);
    reset(client);
    assert_eq!(tapline.event("data")["text"], "last words");
    assert_eq!(end_of(&tapline.closed()), ("client", "relay", "reset", true));
    assert_eq!(tapline.wait().code(), Some(1));
}

#[test]
fn nothing_is_lost_of_clients_that_close_at_once_before_the_last_connection_ends() {
    for _ in 0..10 {
        let shown = Shown::start(&["0", "--connections", "3"]);
        for text in [b"one\n", b"two\n", b"six\n"] {
            connect(shown.addr).write_all(text).unwrap();
        }
        let (rest, code) = shown.rest();
        let text = String::from_utf8(rest).unwrap();
        for word in ["one\n", "two\n", "six\n"] {
            assert!(text.contains(word), "{word} is not in {text}");
        }
        assert_eq!(code, Some(0));
    }
}

/// Forwards what a test says to a COMMAND that is a plain `cat`: closing its stdin ends it.
fn with_cat(args: &[&str]) -> (Child, Receiver<String>) {
    let mut child = program().stdin(Stdio::piped()).args(args).args(["--", "cat"]).spawn().unwrap();
    let (send, receive) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    (child, receive)
}

#[test]
fn nothing_is_lost_of_what_was_sent_before_the_command_ended() {
    for round in 0..10 {
        // COMMAND inherits stdin; tapline itself never reads it.
        let (mut child, lines) = with_cat(&["listen", "0"]);
        let first = lines.recv_timeout(DEADLINE).unwrap();
        let addr = first.strip_prefix("listening on ").unwrap().parse().unwrap();
        let mut client = connect(addr);
        let data = format!("{}the last line of round {round}\n", "x\n".repeat(5000));
        client.write_all(data.as_bytes()).unwrap();
        wait_sent(&client);
        // The command ends while the connection is open and has just spoken.
        drop(child.stdin.take());
        assert_eq!(read_to_any_end(&mut client), (vec![], Ok(())));
        drop(client);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let all: Vec<String> = lines.iter().collect();
        assert_eq!(all.iter().filter(|line| *line == "x").count(), 5000);
        assert!(all.contains(&format!("the last line of round {round}")), "{:?}", all.last());
    }
}

#[test]
fn a_client_that_connected_before_the_end_was_asked_for_is_still_heard() {
    for _ in 0..10 {
        let mut tapline = Tapline::start(&["listen", "0"]);
        let mut client = tapline.connect();
        client.write_all(b"just in time").unwrap();
        drop(client);
        assert_eq!(tapline.stop(), Some(0));
        let data: Vec<_> = tapline.seen.iter().filter(|event| event["event"] == "data").collect();
        assert_eq!(data.len(), 1, "{:#?}", tapline.seen);
        assert_eq!(data[0]["text"], "just in time");
    }
}

#[test]
fn hex_shows_both_directions_each_with_its_own_offsets() {
    let mut shown = Shown::start(&["0", "--hex", "--connections", "1", "--reply", "pong\\n"]);
    let mut client = connect(shown.addr);
    client.write_all(b"ping\n").unwrap();
    assert_eq!(read_all(&mut client), b"pong\n");
    let label = format!("#1 {} ", client.local_addr().unwrap());
    for (sign, place, dump) in [
        ("> ", " length=5 from=0 to=4\n", "00000000  70 69 6e 67 0a                                    |ping.|\n"),
        ("< ", " length=5 from=0 to=4\n", "00000000  70 6f 6e 67 0a                                    |pong.|\n"),
    ] {
        let header = shown.line();
        assert!(header.starts_with(&(label.clone() + sign)) && header.ends_with(place), "{header}");
        assert_eq!(shown.line(), dump);
    }
    drop(client);
    assert_eq!(shown.rest().1, Some(0));
}

#[test]
fn flags_that_contradict_each_other_are_wrong_usage() {
    for flags in [
        &["--hex", "--output", "x"][..],
        &["--hex", "--discard"],
        &["--hex", "--save", "x"],
        &["--output", "x", "--save", "x"],
        &["--output", "-", "--discard"],
        &["--save", "x", "--discard"],
        &["--echo", "--reply", "x"],
        &["--names", "a.test"],
        &["--certs", "a"],
        &["--strict-sni"],
        &["--ca-out", "a"],
        &["--tls", "--ca-out", "a", "--cert", "b"],
        &["--tls", "--key", "b"],
        &["--cert", "a", "--key", "b"],
        &["--handshake-timeout", "1s"],
        &["--hello-timeout", "1s"],
        &["--reply", "\\q"],
        &["--greet", "\\x1"],
        // The tests run in the folder of this file, whose bytes may be meant.
        &["--reply", "Cargo.toml"],
    ] {
        let refused = run(&[&["listen", "0"], flags].concat());
        assert_eq!(refused.code, Some(2), "{flags:?}: {refused:?}");
    }
}
