//! Wrong arguments and hostile clients: one clear line, the documented exit status, and the others are served.

use crate::support::*;
use std::{
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpStream},
};

/// Every serving command, with what it needs to serve inside of this process.
const SERVING: [&[&str]; 7] = [
    &["listen", "0"],
    &["proxy", "0", "builtin:echo"],
    &["sni-peek", "0"],
    &["sni-route", "0", "a.test=builtin:echo", "--not-tls", "builtin:echo"],
    &["tls-terminate", "0", "builtin:echo"],
    &["lb4", "0", "builtin:echo", "builtin:echo"],
    &["lb7", "0", "builtin:http", "builtin:http"],
];

/// A good client is served by the command.
fn is_served(command: &str, tapline: &mut Tapline) {
    let addr = tapline.addr();
    match command {
        "proxy" | "lb4" => assert_eq!(ask(addr, b"hello"), b"hello"),
        // What is not TLS has a route.
        "sni-route" => assert_eq!(ask(addr, b"SSH-2.0-x\r\n"), b"SSH-2.0-x\r\n"),
        "lb7" => {
            let answer = ask(addr, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        }
        "sni-peek" => {
            // The alert handshake_failure is its answer to a hello that it has shown.
            assert_eq!(ask(addr, super::serving::HELLO), [21, 3, 3, 0, 2, 2, 40]);
        }
        "tls-terminate" => {
            // The hello offers no cipher that is still in use: TLS is spoken, and the alert is the server's.
            assert_eq!(ask(addr, super::serving::HELLO)[..5], [21, 3, 3, 0, 2]);
        }
        _ => {
            ask(addr, b"the good one");
            while tapline.event("data")["text"] != "the good one" {}
        }
    }
}

/// Bytes without sense, the same in every run (xorshift).
fn garbage(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn garbage_hurts_no_serving_command() {
    for args in SERVING {
        let mut tapline = Tapline::start(args);
        for (seed, len) in [1, 2, 5, 16, 100, 1000, 5000, 70_000, 300_000].into_iter().enumerate() {
            let mut bytes = garbage(len, seed as u64 + 1);
            // Every second one begins like TLS, so that it gets further.
            if seed % 2 == 1 && len > 5 {
                bytes[..5].copy_from_slice(&[22, 3, 1, 2, 0]);
            }
            let mut client = tapline.connect();
            let mut reader = client.try_clone().unwrap();
            // An echo is read while it is sent; how it ends is the command's affair, but it ends.
            let end = std::thread::spawn(move || read_to_any_end(&mut reader).1);
            let _ = client.write_all(&bytes);
            let _ = client.shutdown(std::net::Shutdown::Write);
            let end = end.join().unwrap();
            assert!(matches!(end, Ok(()) | Err(ErrorKind::ConnectionReset)), "{args:?} {len}: {end:?}");
        }
        is_served(args[0], &mut tapline);
        assert_eq!(tapline.stop(), Some(0), "{args:?}");
        let panicked = tapline.seen.iter().find(|event| event["by"] == "local" || event["event"] == "not json");
        assert!(panicked.is_none(), "{args:?}: {panicked:?}");
    }
}

#[test]
fn a_hundred_silent_clients_hurt_no_serving_command() {
    for args in SERVING {
        let mut tapline = Tapline::start(args);
        let silent: Vec<_> = (0..100).map(|_| tapline.connect()).collect();
        is_served(args[0], &mut tapline);
        drop(silent);
    }
}

#[test]
fn more_clients_than_descriptors_wait_and_the_service_goes_on() {
    for args in [&["proxy", "0", "builtin:echo"][..], &["lb7", "0", "builtin:http"], &["lb4", "0", "builtin:echo", "builtin:echo"]] {
        let mut tapline = with_descriptors(64, args);
        let clients: Vec<_> = (0..100).map(|_| tapline.connect()).collect();
        // One of the first is there.
        tapline.event("opened");
        drop(clients);
        for _ in 0..20 {
            is_served(args[0], &mut tapline);
        }
        assert_eq!(tapline.stop(), Some(0), "{args:?}");
    }
}

#[test]
fn many_clients_at_once_are_all_served_with_few_descriptors() {
    for args in [&["proxy", "0", "builtin:echo"][..], &["lb7", "0", "builtin:http"]] {
        let tapline = with_descriptors(64, args);
        let addr = tapline.addr();
        let clients: Vec<_> = (0..100)
            .map(|_| {
                std::thread::spawn(move || {
                    let answer = ask(addr, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                    assert!(answer.starts_with(b"HTTP/1.1 200 ") || answer.starts_with(b"GET / "), "{}", String::from_utf8_lossy(&answer));
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
    }
}

#[test]
fn tls_terminate_names_what_came_instead_of_tls() {
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:echo"]);
    for (bytes, answer, why) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &b"HTTP/1.1 400 "[..], "HTTP"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", b"", "SSH"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"", "PROXY"),
    ] {
        let got = ask(tapline.addr(), bytes);
        assert!(got.starts_with(answer) && got.is_empty() == answer.is_empty(), "{}", String::from_utf8_lossy(&got));
        let closed = tapline.closed();
        assert!(closed["why"].as_str().unwrap().contains(why), "{closed}");
        assert_eq!((&closed["by"], &closed["during"], &closed["failed"]), (&"client".into(), &"hello".into(), &true.into()));
    }
}

#[test]
fn an_unknown_target_resets_the_client_and_names_the_resolvers_error() {
    let mut tapline = Tapline::start(&["proxy", "0", "no-such-host.invalid:80"]);
    for _ in 0..2 {
        assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
        let closed = tapline.closed();
        assert_eq!((&closed["during"], &closed["failed"]), (&"dial".into(), &true.into()));
        assert!(closed["why"].as_str().unwrap().contains("cannot resolve no-such-host.invalid"), "{closed}");
    }
    assert_eq!(tapline.stop(), Some(0));
}

/// The lines of an error: one that says what is wrong, hints, and clap's usage.
fn error_lines(text: &str) -> Vec<&str> {
    let more = |line: &&str| {
        line.is_empty() || ["hint: ", "Usage: ", "For more information", "  ", "tip:"].iter().any(|start| line.starts_with(start))
    };
    text.lines().filter(|line| !more(line)).collect()
}

#[test]
fn wrong_arguments_are_one_clear_line_and_2() {
    for (args, word) in [
        (&["listen", "70000"][..], "70000"),
        (&["listen", "--", "-1"], "required"),
        (&["listen", "-1"], "-1"),
        (&["listen", "host:-1"], "-1"),
        (&["listen", "http://a.test/"], "http://a.test/"),
        (&["proxy", "8080"], "TARGET"),
        (&["lb4", "8080"], "TARGET"),
        (&["lb7", "8080"], "TARGET"),
        (&["sni-route", "8443"], "NAME=TARGET"),
        (&["sni-route", "8443", "a.test="], "a.test="),
        (&["sni-route", "8443", "=9000"], "=9000"),
        (&["sni-route", "0", "a.test=builtin:echo", "A.test=builtin:echo"], "a.test"),
        (&["proxy", "0", "builtin:nothing"], "builtin:nothing"),
        (&["proxy", "0", "127.0.0.1:0"], "port 0"),
        (&["lb4", "0", "127.0.0.1:80,weight=0"], "weight"),
        (&["lb4", "0", "127.0.0.1:80,colour=red"], "colour"),
        (&["proxy", "0", "builtin:echo", "--no-such-flag"], "--no-such-flag"),
        (&["proxy", "0", "builtin:echo", "--grace", "5"], "5"),
        (&["proxy", "0", "builtin:echo", "--grace", "0s"], "above zero"),
        (&["lb7", "0", "builtin:http", "--idle-timeout", "500000000000y"], "at most 10 years"),
        (&["listen", "0", "--output", "-", "--", "true"], "--output - and COMMAND would both write to stdout"),
        (&["proxy", "0", "builtin:echo", "--connections", "0"], "0"),
        (&["proxy", "0", "builtin:echo", "--accept-proxy", "10.0.0.5/8"], "host bits"),
        (&["proxy", "0", "builtin:echo", "--accept-proxy", "proxy.test"], "proxy.test"),
        (&["listen", "0", "--accept-proxy", "unix"], "fits no peer of 127.0.0.1:0"),
        (&["listen", "unix:/tmp/x", "--accept-proxy", "10.0.0.0/8"], "fits no peer of unix:/tmp/x"),
        (&["proxy", "0", "127.0.0.1:1", "--udp", "--send-proxy", "v2"], "--send-proxy"),
        (&["proxy", "0", "127.0.0.1:1", "--udp", "--accept-proxy", "10.0.0.0/8"], "--accept-proxy"),
        (&["listen", "0", "--udp", "--accept-proxy", "10.0.0.0/8"], "--accept-proxy"),
        (&["listen", "0", "--proxy-header-timeout", "1s"], "--accept-proxy"),
        (&["proxy", "0", "builtin:echo", "--send-proxy", "v3"], "v3"),
        (&["lb7", "0", "builtin:http", "--send-proxy", "v1"], "--send-proxy"),
        (&["no-such-command"], "no-such-command"),
        (&["scan", "127.0.0.1", "-p", "90-80"], "backwards"),
        (&["scan", "10.0.0.0/33"], "10.0.0.0/33"),
    ] {
        let run = run(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        let lines = error_lines(&run.stderr);
        assert_eq!(lines.len(), 1, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(word), "{args:?}: {}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    }
}

#[test]
fn what_cannot_start_is_one_clear_line_and_3() {
    let (_listener, taken) = listener();
    let taken = taken.to_string();
    for (args, error, hint) in [
        (&["listen", &taken][..], format!("cannot listen on {taken}: "), true),
        (&["proxy", &taken, "builtin:echo"], format!("cannot listen on {taken}: "), true),
        (&["listen", "no-such-host.invalid:80"], "cannot listen on no-such-host.invalid:80: ".into(), false),
        (&["listen", "192.0.2.1:80"], "cannot listen on 192.0.2.1:80: ".into(), true),
        (&["listen", "unix:/no/such/dir/socket"], "cannot listen on unix:/no/such/dir/socket: ".into(), false),
        (&["listen", "0", "--output", "/no/such/dir/file"], "cannot write /no/such/dir/file: ".into(), false),
        (&["tls-terminate", "0", "builtin:echo", "--cert", "/no/such", "--key", "/no/such"], "/no/such".into(), false),
        (&["proxy", "0", "tls:a.test:1", "--ca", "/no/such"], "/no/such".into(), false),
        (&["scan", "no-such-host.invalid"], "cannot resolve no-such-host.invalid: ".into(), false),
    ] {
        let run = run(args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{args:?}: {run:?}");
        let lines = error_lines(&run.stderr);
        assert_eq!(lines.len(), 1, "{args:?}: {}", run.stderr);
        assert!(lines[0].starts_with("tapline: ") && lines[0].contains(&error), "{args:?}: {}", run.stderr);
        assert_eq!(run.stderr.contains("\nhint: "), hint, "{args:?}: {}", run.stderr);
    }
}

#[test]
fn a_start_that_fails_leaves_the_files_alone_that_it_would_have_written() {
    let (_listener, taken) = listener();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept");
    let (taken, path) = (taken.to_string(), file.to_str().unwrap());
    for (args, code) in [
        (&["proxy", &taken, "builtin:echo", "--record", path][..], 3),
        (&["lb4", &taken, "builtin:echo", "--record", path], 3),
        (&["tls-terminate", &taken, "builtin:echo", "--record", path], 3),
        (&["sni-route", &taken, "a.test=builtin:echo", "--record", path], 3),
        (&["listen", &taken, "--output", path], 3),
        (&["sni-route", "0", "a.test=1", "a.test=2", "--record", path], 2),
        (&["proxy", "0", "builtin:echo", "--accept-proxy", "unix", "--record", path], 2),
        (&["proxy", "0", "tls:a.test:1", "--ca", "/no/such", "--record", path], 3),
    ] {
        std::fs::write(&file, "a recording").unwrap();
        assert_eq!(run(args).code, Some(code), "{args:?}");
        assert_eq!(std::fs::read(&file).unwrap(), b"a recording", "{args:?}");
    }
}

#[test]
fn a_signal_ends_it_also_while_nobody_is_at_the_other_end_of_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let pipe = path.to_str().unwrap();
    let catches_sigterm = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
        u64::from_str_radix(caught, 16).unwrap() & (1 << 14) != 0
    };
    // Three sockets are of the runtime, for signals. The next is the listener, which comes before what is written.
    let listens = |pid: u32| descriptors(pid, "socket:") > 3;
    for (args, ready) in [
        (&["listen", "0", "--output", pipe][..], &listens as &dyn Fn(u32) -> bool),
        (&["proxy", "0", "127.0.0.1:1", "--record", pipe], &listens),
        (&["listen", "0", "--reply", pipe], &catches_sigterm),
        (&["tls-terminate", "0", "127.0.0.1:1", "--cert", pipe, "--key", pipe], &catches_sigterm),
        (&["lb4", "0", "127.0.0.1:1", "--ca", pipe], &catches_sigterm),
    ] {
        let mut command = program();
        let child = command.args(args).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let started = std::time::Instant::now();
        while !ready(child.id()) {
            assert!(started.elapsed() < DEADLINE);
            std::thread::yield_now();
        }
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(3), "{args:?} {ended:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("interrupted before it could start"), "{ended:?}");
    }
}

#[test]
fn a_client_that_never_stops_sending_is_cut_off() {
    // Refused by its first bytes; what follows is read for a moment so that it can see why, but not for ever.
    for args in [&["sni-peek", "0"][..], &["sni-route", "0", "a.test=builtin:echo"]] {
        let mut tapline = Tapline::start(args);
        let addr: SocketAddr = tapline.addr();
        let flood = std::thread::spawn(move || {
            let mut client: TcpStream = connect(addr);
            while client.write_all(&[0x41; 8192]).is_ok() {}
        });
        flood.join().unwrap();
        tapline.closed();
        if args[0] == "sni-peek" {
            is_served(args[0], &mut tapline);
        }
    }
}

#[test]
fn more_connections_than_the_limit_on_open_files_allows_are_not_promised() {
    // Each further thread has an event loop of its own, of four descriptors.
    for (limit, threads, fit) in [(64, "1", 10), (64, "4", 6), (256, "16", 54)] {
        let mut tapline = with_descriptors(limit, &["proxy", "0", "builtin:echo", "--max-connections", "1000", "--threads", threads]);
        let note = tapline.event("note");
        assert!(note["text"].as_str().unwrap().contains(&format!("allows {fit} connections at a time, not 1000")), "{note}");
    }
}

#[test]
fn connections_that_were_stuck_leave_descriptors_for_others_under_a_low_limit() {
    use std::io::{Read, Write};
    for (limit, threads, fit) in [(64, "1", 10), (200, "16", 36)] {
        // With what the kernel lets buffers grow to, this many would come near all the memory that it has for TCP (tcp_mem).
        let keep_small = |stream: &TcpStream| {
            let socket = socket2::SockRef::from(stream);
            socket.set_send_buffer_size(1 << 18).unwrap();
            socket.set_recv_buffer_size(1 << 18).unwrap();
        };
        let echo = server(move |mut stream| {
            keep_small(&stream);
            let mut bytes = vec![0; 1 << 16];
            while let Ok(n @ 1..) = stream.read(&mut bytes) {
                if stream.write_all(&bytes[..n]).is_err() {
                    break;
                }
            }
        });
        let mut tapline = with_descriptors(limit, &["proxy", "0", &echo.to_string(), "--threads", threads]);
        let clients: Vec<_> = (0..fit / 2).map(|_| tapline.connect()).collect();
        // Half of those that fit send and do not read, until nothing moves any more: each direction of each holds a pipe.
        let stuck = clients.into_iter().map(|mut client| {
            std::thread::spawn(move || {
                keep_small(&client);
                fill(&mut client);
                client
            })
        });
        let stuck: Vec<_> = stuck.collect::<Vec<_>>().into_iter().map(|client| client.join().unwrap()).collect();
        assert!(descriptors(tapline.pid(), "pipe:") > fit);
        // All at once: none may wait for the others for so long that it is given up.
        let drained = stuck.into_iter().map(|mut client| {
            std::thread::spawn(move || {
                client.shutdown(std::net::Shutdown::Write).unwrap();
                read_all(&mut client);
            })
        });
        for client in drained.collect::<Vec<_>>() {
            client.join().unwrap();
            assert_eq!(tapline.closed()["failed"], false, "{:?}", tapline.seen.last());
        }
        // As many others at once as fit, all of which get their answer while all are open.
        let mut others: Vec<_> = (0..fit).map(|_| tapline.connect()).collect();
        for client in &mut others {
            client.write_all(b"!").unwrap();
        }
        for client in &mut others {
            client.read_exact(&mut [0]).unwrap();
        }
    }
}
