//! stdin, stdout and stderr: not read, gone, slow.

use super::Shown;
use crate::support::*;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    process::Stdio,
    sync::mpsc::channel,
    thread,
    time::Duration,
};

#[test]
fn stdin_is_not_read_and_need_not_be_there() {
    // Closed by whoever reads from the other end of the pipe being gone.
    let mut command = program();
    let mut shown = Shown::from(command.stdin(Stdio::piped()).args(["listen", "0", "--connections", "1"]));
    let mut stdin = shown.child.stdin.take().unwrap();
    stdin.write_all(b"not for the wire\n").unwrap();
    drop(stdin);
    let mut client = connect(shown.addr);
    client.write_all(b"hello\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // Nothing of stdin was sent.
    assert_eq!(read_all(&mut client), b"");
    assert_eq!(shown.line(), "hello\n");
    assert_eq!(shown.rest().1, Some(0));
}

#[test]
fn a_stdin_that_is_closed_is_not_missed() {
    let mut command = outside("sh");
    command.args(["-c", "exec \"$@\" <&-", "sh", env!("CARGO_BIN_EXE_tapline"), "listen", "0", "--connections", "1", "--echo"]);
    let mut shown = Shown::from(&mut command);
    assert_eq!(ask(shown.addr, b"hello\n"), b"hello\n");
    assert_eq!(shown.line(), "hello\n");
    assert_eq!(shown.rest().1, Some(0));
}

/// Talks until a pipeline with `head` has ended, and returns what the program's status was.
fn status_behind_head(script: &str, args: &[&str]) -> String {
    let mut command = outside("sh");
    let mut child = command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_tapline"), "listen", "0"]).args(args).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), BufReader::new(child.stderr.take().unwrap()));
    let mut first = String::new();
    stderr.read_line(&mut first).unwrap();
    let addr = first.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}")).parse().unwrap();
    let mut client = connect(addr);
    while client.write_all(b"a line\n").is_ok() {}
    let (mut seen, mut status) = (String::new(), String::new());
    stdout.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "a line\n");
    stderr.read_to_string(&mut status).unwrap();
    child.wait().unwrap();
    status.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn it_ends_quietly_when_the_reader_of_the_bytes_has_gone() {
    let to_stdout = "{ \"$@\"; echo status $? >&2; } | head -n 1";
    assert_eq!(status_behind_head(to_stdout, &["--output", "-"]), "status 0");
    // The same for stderr, where the bytes are shown. The first line is told apart, so that the test knows where to talk to.
    let to_stderr = "{ \"$@\" 2>&1; echo status $? >&2; } | { read -r first; echo \"$first\" >&2; head -n 1; }";
    assert_eq!(status_behind_head(to_stderr, &[]), "status 0");
}

#[test]
fn an_output_that_nobody_reads_holds_the_client_up_and_the_time_is_not_its_own() {
    let mut shown = Shown::start(&["0", "--connections", "1", "--idle-timeout", "200ms"]);
    let mut client = connect(shown.addr);
    let sent = fill(&mut client);
    // Longer than the timeout: it is the reader who is slow.
    assert_open_and_silent(&mut client, 4 * Duration::from_millis(200));
    let reader = thread::spawn(move || {
        read_n(&mut shown.stderr, sent);
        let (rest, code) = shown.rest();
        (String::from_utf8(rest).unwrap(), code)
    });
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    let (rest, code) = reader.join().unwrap();
    // Every byte was there, and then the end.
    assert!(rest.trim_start().starts_with("#1 127.0.0.1:") && rest.contains("done by client"), "{rest}");
    assert_eq!(code, Some(0));
    assert!(sent < 32 << 20, "{sent} bytes were taken that nobody read");
}

#[test]
fn what_is_not_read_yet_when_the_last_connection_ends_is_not_lost() {
    let shown = Shown::start(&["0", "--connections", "1"]);
    let mut client = connect(shown.addr);
    client.write_all(&pattern(1 << 20)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    // For longer than lines about connections are waited for, nobody reads.
    let (_sender, never) = channel::<()>();
    never.recv_timeout(Duration::from_secs(1)).unwrap_err();
    let (rest, code) = shown.rest();
    assert!(rest[..1 << 20] == pattern(1 << 20) && code == Some(0), "{} bytes", rest.len());
}

#[test]
fn a_second_signal_ends_it_although_nobody_reads() {
    let mut shown = Shown::start(&["0", "--grace", "1h"]);
    let mut client = connect(shown.addr);
    fill(&mut client);
    let pid = rustix::process::Pid::from_child(&shown.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    // Two signals at once would be one; the first has arrived when the listener is gone.
    while TcpStream::connect(shown.addr).is_ok() {}
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(shown.child.wait().unwrap().code(), Some(5));
}
