//! `-- COMMAND`.

use crate::support::*;

/// What a run of `proxy 0 builtin:echo -- sh -c SCRIPT` came to.
fn with(script: &str) -> Finished {
    run(&["proxy", "0", "builtin:echo", "--", "sh", "-c", script])
}

#[test]
fn the_address_is_in_its_arguments_and_its_environment() {
    let done = with("echo {addr} {host} {port} $TAPLINE_ADDR $TAPLINE_HOST $TAPLINE_PORT");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let words: Vec<_> = done.stdout.split_whitespace().collect();
    let addr: std::net::SocketAddr = words[0].parse().unwrap();
    let (host, port) = (addr.ip().to_string(), addr.port().to_string());
    assert_eq!(words[1..], [&host, &port, words[0], &host, &port]);
    assert!(done.stderr.starts_with(&format!("listening on {addr}\n")), "{}", done.stderr);
}

#[test]
fn its_limit_on_open_files_is_not_raised() {
    let mut command = outside("sh");
    command.args(["-c", "ulimit -Sn 123; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_tapline"), "listen", "0", "--", "sh", "-c", "ulimit -Sn"]);
    let done = finish(&mut command);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "123\n"), "{}", done.stderr);
}

#[test]
fn every_interface_is_reached_over_loopback() {
    let done = run(&["proxy", ":0", "builtin:echo", "--", "sh", "-c", "echo {host}"]);
    assert!(["127.0.0.1", "::1"].contains(&done.stdout.trim()), "{done:?}");
}

#[test]
fn its_status_becomes_ours() {
    for (script, code) in [("true", 0), ("exit 7", 7), ("kill -KILL $$", 128 + 9), ("kill -TERM $$", 128 + 15)] {
        assert_eq!(with(script).code, Some(code), "{script}");
    }
}

#[test]
fn one_that_cannot_be_run_is_one_line_and_3() {
    let done = run(&["proxy", "0", "builtin:echo", "--", "/no/such/program"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(3), ""));
    let errors: Vec<_> = done.stderr.lines().filter(|line| line.starts_with("tapline: ")).collect();
    assert_eq!(errors, ["tapline: cannot run /no/such/program: No such file or directory (os error 2)"], "{}", done.stderr);
}

#[test]
fn it_is_ended_where_tapline_is_ended() {
    for (script, signals, code) in [
        ("echo ready; while :; do :; done", 1, 128 + 15),
        ("trap 'exit 9' TERM; echo ready; while :; do :; done", 1, 9),
        // One that does not listen is killed by the second signal, long before the grace is over.
        ("trap '' TERM; echo ready; while :; do :; done", 2, 128 + 9),
    ] {
        let mut command = program();
        let mut child = command.args(["listen", "0", "--grace", "1h", "--", "sh", "-c", script]).spawn().unwrap();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        // Read to the end: whoever goes away from what `listen` shows ends it.
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap());
        if signals == 2 {
            // Two signals at once would be one; the first has arrived when the listener is gone.
            let mut stderr = String::new();
            while !stderr.contains("listening on") {
                std::io::BufRead::read_line(&mut lines, &mut stderr).unwrap();
            }
            let addr = stderr.trim().rsplit(' ').next().unwrap().to_owned();
            while std::net::TcpStream::connect(&addr).is_ok() {}
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{script}");
    }
}
