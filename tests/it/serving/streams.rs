//! stdout and stderr, read and unread.

use crate::support::*;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// A ClientHello without extensions: short, and TLS all the same.
pub const HELLO: &[u8] = &[
    22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0,
    0, 2, 0, 47, 1, 0,
];

/// Starts a command and reads the line that says where it listens; the rest of stderr is the caller's.
pub fn listening(command: &mut Command) -> (Child, BufReader<std::process::ChildStderr>, SocketAddr) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let addr = match serde_json::from_str::<Value>(&line) {
        Ok(event) => event["addr"].as_str().unwrap().parse().unwrap(),
        Err(_) => line.trim().rsplit(' ').next().unwrap().parse().unwrap(),
    };
    (child, stderr, addr)
}

#[test]
fn an_unread_stderr_stops_no_connection_and_what_was_dropped_is_counted() {
    const CONNECTIONS: u64 = 2000;
    let count = CONNECTIONS.to_string();
    let (mut child, mut stderr, addr) = listening(program().args(["--json", "proxy", "0", "builtin:echo", "--connections", &count]));
    for _ in 0..CONNECTIONS {
        assert_eq!(ask(addr, b"hello"), b"hello");
    }
    // Read at last: what was kept, and how much was not.
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let lost: u64 = events.iter().filter(|event| event["event"] == "dropped").map(|event| event["events"].as_u64().unwrap()).sum();
    let kept = events.iter().filter(|event| event["event"] != "dropped").count() as u64;
    assert!(lost > 0, "the pipe was large enough for {kept}");
    // `builtin`, three events for each connection, and `target`.
    assert_eq!(kept + lost, 1 + 3 * CONNECTIONS + 1);
}

#[test]
fn dropped_lines_are_counted_for_people_too() {
    let (mut child, mut stderr, addr) = listening(program().args(["--explain", "proxy", "0", "builtin:echo", "--connections", "2000"]));
    for _ in 0..2000 {
        assert_eq!(ask(addr, b"hello"), b"hello");
    }
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    assert!(text.contains("lines not shown: they came faster than they were read)"), "{}", &text[text.len().saturating_sub(500)..]);
}

#[test]
fn a_stderr_that_is_never_read_delays_the_end_by_a_moment_only() {
    let (mut child, _stderr, addr) = listening(program().args(["--json", "proxy", "0", "builtin:echo", "--connections", "2000"]));
    for _ in 0..2000 {
        assert_eq!(ask(addr, b"hello"), b"hello");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_reason_for_the_exit_status_is_not_among_what_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, reader) = fifo(&dir);
    let mut command = program();
    command.args(["--json", "proxy", "0", "builtin:echo", "--connections", "2000", "--record"]).arg(&pipe);
    let (mut child, mut stderr, addr) = listening(&mut command);
    drop(reader);
    for _ in 0..2000 {
        assert_eq!(ask(addr, b"hello"), b"hello");
    }
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(text.contains("\"event\":\"dropped\""), "the pipe was large enough");
    assert!(text.lines().any(|line| line.starts_with("{\"event\":\"error\"")), "{}", &text[text.len() - 500..]);
}

#[test]
fn an_unread_stdout_does_not_outlast_a_second_signal() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, _unread) = fifo(&dir);
    let mut command = outside("sh");
    command.args(["-c", "exec \"$@\" > \"$0\""]).arg(&pipe);
    let mut tapline = Tapline::from(command.args([env!("CARGO_BIN_EXE_tapline"), "--json", "listen", "0", "--output", "-"]));
    // More than a pipe holds, less than waits to be written: the connection ends, and its bytes are still here.
    assert_eq!(ask(tapline.addr(), &pattern(3_000_000)), b"");
    assert_eq!(tapline.closed()["failed"], false);
    tapline.signal("INT");
    tapline.signal("TERM");
    assert_eq!(tapline.wait().code(), Some(5));
}

#[test]
fn a_stderr_that_is_gone_does_not_end_the_service() {
    let (mut child, stderr, addr) = listening(program().args(["--json", "proxy", "0", "builtin:echo", "--connections", "20"]));
    drop(stderr);
    for _ in 0..20 {
        assert_eq!(ask(addr, b"hello"), b"hello");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut command = outside("sh");
    let script = "\"$@\" 2>&-";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_tapline"), "proxy", "0", "builtin:echo", "--", "true"]);
    assert_eq!(finish(&mut command).code, Some(0));
}

#[test]
fn a_reader_of_results_that_goes_away_ends_it_quietly() {
    let mut command = outside("sh");
    // The shell's own status is that of `head`; the program's is written by the shell.
    let script = "{ \"$@\"; echo status $? >&2; } | head -n 1";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_tapline"), "--json", "sni-peek", "0"]);
    let (mut child, mut stderr, addr) = listening(&mut command);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    let mut peer = connect(addr);
    peer.write_all(HELLO).unwrap();
    stdout.read_line(&mut first).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap()["event"], "hello");
    // `head` goes; with one of the next results that is noticed.
    let mut text = String::new();
    while let Ok(mut client) = std::net::TcpStream::connect(addr) {
        let _ = client.write_all(HELLO);
        let _ = client.read(&mut [0; 7]);
    }
    stderr.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("status 0\n"), "{text}");
    assert!(!text.contains("panicked") && !text.contains("roken pipe") && !text.contains("\"error\""), "{text}");
    child.wait().unwrap();
}

#[test]
fn a_reader_that_goes_away_is_noticed_while_connections_end_too() {
    let mut command = program();
    command.args(["--json", "proxy", "0", "builtin:echo", "--record", "-", "--for", "200ms", "--grace", "1h"]).stdout(Stdio::piped());
    let (mut child, mut stderr, addr) = listening(&mut command);
    let mut client = connect(addr);
    let mut line = String::new();
    while !line.contains("\"draining\"") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0);
    }
    drop(child.stdout.take());
    // With one of the next bytes it is noticed.
    let started = std::time::Instant::now();
    while client.write_all(b"?").and_then(|()| client.read_exact(&mut [0])).is_ok() {
        assert!(started.elapsed() < DEADLINE);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn quiet_says_nothing_of_what_goes_well() {
    for command in [&["proxy", "0", "builtin:echo"][..], &["lb4", "0", "builtin:echo"], &["lb7", "0", "builtin:http"], &["listen", "0"]] {
        let done = run(&[&["--quiet"], command, &["--", "true"]].concat());
        assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "", ""), "{command:?}");
    }
    // Errors are said all the same.
    assert!(run(&["--quiet", "proxy", "unix:/no/such/dir/socket", "builtin:echo"]).stderr.starts_with("tapline: cannot listen on "));
}

/// A run for people with one relayed connection, and what it said.
fn said(more: &[&str], env: &[(&str, &str)]) -> String {
    let (_held, target) = refusing();
    let mut command = program();
    command.args(more).args(["proxy", "0", &target.to_string(), "--connections", "1"]).envs(env.iter().copied());
    let mut child = command.spawn().unwrap();
    let mut text = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    while !text.contains("listening on ") {
        stderr.read_line(&mut text).unwrap();
    }
    let addr = text.trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(fate(addr).1.is_err());
    stderr.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    text
}

#[test]
fn lines_for_people_have_colour_only_where_it_was_asked_for() {
    for (more, env, colored) in [
        (&[][..], &[][..], false),
        (&["--color", "never"], &[], false),
        (&["--color", "always"], &[], true),
        (&[], &[("NO_COLOR", "1")], false),
        (&["--explain"], &[], false),
        (&["--explain", "--color", "always"], &[], true),
    ] {
        let text = said(more, env);
        assert_eq!(text.contains('\u{1b}'), colored, "{more:?} {env:?}: {text:?}");
        assert!(text.contains("failed by target during dial") && text.contains("refused"), "{text}");
        // The end of the connection says it; the step before that says it again only where each step is asked for.
        assert_eq!(text.contains("cannot connect to"), more.contains(&"--explain"), "{text}");
    }
}

#[test]
fn explain_says_each_step() {
    let mut command = program();
    command.args(["--explain", "proxy", "0", "builtin:echo", "--connections", "1"]);
    let mut child = command.spawn().unwrap();
    let mut text = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut text).unwrap();
    let addr = text.trim().rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(ask(addr, b"hello"), b"hello");
    stderr.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("no {needle:?} in {text}"));
    assert!(
        at("listening on") < at("connected\n")
            && at("connected\n") < at("connected to builtin:echo")
            && at("connected to") < at("done by client")
    );
    // And without it, only the end is said.
    assert!(!said(&[], &[]).contains(" connected\n"));
    assert_eq!(run(&["--explain", "--quiet", "listen", "0"]).code, Some(2));
}
