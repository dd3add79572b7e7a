//! `tapline scan`: ports and what is said of them.

use crate::support::*;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};

fn listen_on(addr: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind((addr, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The verdicts of a run with `--json`.
fn ports(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A listener that takes no connection any more: its backlog is full.
fn full(addr: &str) -> (socket2::Socket, Vec<socket2::Socket>, SocketAddr) {
    let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&addr.parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = new();
        let connected = socket.connect_timeout(&addr.into(), Duration::from_millis(200));
        waiting.push(socket);
        if connected.is_err() {
            return (listener, waiting, addr);
        }
    }
}

#[test]
fn open_ports_are_found_and_closed_ones_are_not_listed() {
    let ((_a, a), (_b, b), (_c, closed)) = (listen_on("127.0.0.1"), listen_on("127.0.0.1"), refusing());
    let closed = closed.port();
    let scan = run(&["scan", "127.0.0.1", "-p", &format!("{b},{a},{closed},{a}")]);
    assert_eq!(scan.code, Some(0), "{scan:?}");
    let rows: Vec<Vec<&str>> = scan.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let found: Vec<_> = rows.iter().filter(|row| row.contains(&"open")).map(|row| (row[0], row[1].to_owned())).collect();
    let (first, second) = (a.min(b), a.max(b));
    assert_eq!(found, [("127.0.0.1", format!("{first}/tcp")), ("127.0.0.1", format!("{second}/tcp"))], "sorted, each once");
    assert!(!scan.stdout.contains(&format!("{closed}/tcp")) && !scan.stdout.contains('\u{1b}'), "{}", scan.stdout);
    assert!(scan.stderr.contains("2 open, 1 closed, 0 filtered"), "{}", scan.stderr);
}

#[test]
fn json_is_one_line_for_each_port_and_all_shows_the_closed_too() {
    let ((_a, open), (_c, closed)) = (listen_on("127.0.0.1"), refusing());
    let list = format!("{open},{}", closed.port());
    let scan = run(&["scan", "127.0.0.1", "-p", &list, "--json", "--all"]);
    let mut verdicts = ports(&scan.stdout);
    verdicts.sort_by_key(|verdict| verdict["state"].to_string());
    let seen: Vec<_> =
        verdicts.iter().map(|v| (v["addr"].as_str().unwrap(), v["port"].as_u64().unwrap(), v["state"].as_str().unwrap())).collect();
    assert_eq!(seen, [("127.0.0.1", closed.port().into(), "closed"), ("127.0.0.1", open.into(), "open")]);
    let people = run(&["scan", "127.0.0.1", "-p", &list, "--all", "--quiet"]);
    assert!(people.stdout.contains("closed") && people.stdout.contains("refused"), "{}", people.stdout);
    assert_eq!(people.stderr, "");
}

#[test]
fn the_last_port_of_a_range_and_the_last_of_all_are_asked() {
    let (_listener, port) = listen_on("127.0.0.78");
    let scan = run(&["scan", "127.0.0.78", "-p", &format!("{}-{port}", port - 5), "--json"]);
    assert_eq!(ports(&scan.stdout).iter().map(|v| v["port"].as_u64()).collect::<Vec<_>>(), [Some(port.into())]);
    // An address of its own, so that the port is free.
    let _last = TcpListener::bind("127.0.0.79:65535").unwrap();
    for range in ["65530-65535", "65530-", "65535"] {
        let scan = run(&["scan", "127.0.0.79", "-p", range, "--json"]);
        assert_eq!(ports(&scan.stdout).iter().map(|v| v["port"].as_u64()).collect::<Vec<_>>(), [Some(65535)], "{range}");
    }
}

#[test]
fn hosts_and_ports_given_twice_are_asked_once() {
    let (_listener, port) = listen_on("127.0.0.80");
    let scan = run(&["scan", "127.0.0.80", "127.0.0.80", "127.0.0.80/32", "-p", &format!("{port},{port}-{port}"), "--json"]);
    assert_eq!(ports(&scan.stdout).len(), 1, "{}", scan.stdout);
    // Networks that overlap, too.
    let scan = run(&["scan", "127.0.0.80/31", "127.0.0.80", "127.0.0.80/30", "-p", &port.to_string(), "--json"]);
    assert_eq!(ports(&scan.stdout).len(), 1, "{}", scan.stdout);
    assert!(scan.stderr.contains("1 open, 3 closed"), "{}", scan.stderr);
}

#[test]
fn exit_statuses_tell_what_was_found() {
    let ((_a, open), (_c, closed)) = (listen_on("127.0.0.1"), refusing());
    let (open, closed) = (open.to_string(), closed.port().to_string());
    for (args, code) in [
        (&["127.0.0.1", "-p", &open][..], 0),
        (&["127.0.0.1", "-p", &closed], 1),
        (&["127.0.0.1", "-p", "0"], 2),
        (&["127.0.0.1", "-p", "65536"], 2),
        (&["127.0.0.1", "-p", "90-80"], 2),
        (&["127.0.0.1", "-p", ""], 2),
        (&["fd00::/64", "-p", "1"], 2),
        (&["10.0.0.256", "-p", "1"], 2),
        (&["no-such-host.invalid", "-p", "1"], 3),
        (&[], 2),
    ] {
        let scan = run(&[&["scan"], args].concat());
        assert_eq!((scan.code, scan.stdout.is_empty()), (Some(code), code != 0), "{args:?}: {scan:?}");
    }
    let scan = run(&["scan", "fd00::/64", "-p", "1"]);
    assert!(scan.stderr.contains("18446744073709551616"), "{}", scan.stderr);
    assert_eq!(scan.stderr.lines().count(), 1, "{}", scan.stderr);
}

#[test]
fn host_bits_are_told_and_the_network_is_scanned() {
    let (_listener, port) = listen_on("127.0.0.82");
    let scan = run(&["scan", "127.0.0.83/30", "-p", &port.to_string(), "--json"]);
    assert_eq!(scan.code, Some(0));
    assert!(scan.stderr.contains("127.0.0.83/30 has host bits; scanning 127.0.0.80/30"), "{}", scan.stderr);
    let addrs: BTreeSet<_> = ports(&scan.stdout).iter().map(|v| v["addr"].to_string()).collect();
    assert!(addrs.contains("\"127.0.0.82\""), "{addrs:?}");
}

#[test]
fn a_name_stands_for_all_of_its_addresses() {
    use std::net::ToSocketAddrs;
    let (_v4, port) = listen_on("127.0.0.1");
    let expected: BTreeSet<_> = ("localhost", 0).to_socket_addrs().unwrap().map(|addr| addr.ip().to_string()).collect();
    let scan = run(&["scan", "localhost", "-p", &port.to_string(), "--json", "--all"]);
    let asked: BTreeSet<_> = ports(&scan.stdout).iter().map(|v| v["addr"].as_str().unwrap().to_owned()).collect();
    assert_eq!(asked, expected);
}

#[test]
fn a_port_that_does_not_answer_is_filtered_and_not_closed() {
    let (_listener, _waiting, addr) = full("127.0.0.84:0");
    let port = addr.port().to_string();
    let scan = run(&["scan", "127.0.0.84", "-p", &port, "--all", "--json", "--connect-timeout", "200ms", "--retries", "0"]);
    assert_eq!((ports(&scan.stdout)[0]["state"].as_str(), scan.code), (Some("filtered"), Some(1)), "{scan:?}");
}

// On addresses of its own: a scan of 127.0.0.1 would connect to what other tests listen on. That a probe that meets
// itself is no open port is tested where the source can be chosen, in src/core/scan/probe.rs.
#[test]
fn thousands_of_ports_give_exactly_those_that_listen() {
    let listeners: Vec<_> = (0..20).map(|_| listen_on("127.0.0.77")).collect();
    let within: BTreeSet<u64> = listeners.iter().map(|(_, port)| u64::from(*port)).filter(|port| (32768..=60999).contains(port)).collect();
    // What other tests open on every interface is seen on the neighbour too, and is asked there at the same moment.
    let scan = run(&["scan", "127.0.0.76", "127.0.0.77", "-p", "32768-60999", "--json"]);
    let all = ports(&scan.stdout);
    let on = |addr: &str| -> Vec<u64> { all.iter().filter(|v| v["addr"] == addr).map(|v| v["port"].as_u64().unwrap()).collect() };
    let (neighbour, found) = (on("127.0.0.76"), on("127.0.0.77"));
    let own: BTreeSet<_> = found.iter().copied().filter(|port| !neighbour.contains(port)).collect();
    assert_eq!(own, within);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "each once");
    assert!(neighbour.iter().all(|port| found.contains(port)), "{neighbour:?} {found:?}");
}

#[test]
fn with_few_descriptors_everything_is_found() {
    let listeners: Vec<_> = (0..50).map(|_| listen_on("127.0.0.85")).collect();
    let mut all: Vec<_> = listeners.iter().map(|(_, port)| *port).collect();
    all.sort_unstable();
    let (first, last) = (all[0], all[49]);
    let shell = "ulimit -n 64; exec \"$@\"";
    let range = format!("{first}-{}", last.min(first.saturating_add(8000)));
    let mut command = outside("sh");
    command.args(["-c", shell, "sh", env!("CARGO_BIN_EXE_tapline"), "scan", "127.0.0.85", "-p", &range, "--json"]);
    let scan = finish(&mut command);
    assert_eq!(scan.code, Some(0), "{}", scan.stderr);
    let mut found: Vec<_> = ports(&scan.stdout).iter().map(|v| v["port"].as_u64().unwrap()).collect();
    found.sort_unstable();
    let expected: Vec<_> = all.iter().map(|port| u64::from(*port)).filter(|port| *port <= u64::from(first) + 8000).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_reader_that_goes_away_ends_the_scan_quietly() {
    let listeners: Vec<_> = (0..20).map(|_| listen_on("127.0.0.86")).collect();
    let list: Vec<_> = listeners.iter().map(|(_, port)| port.to_string()).collect();
    let mut command = outside("sh");
    let shell = "\"$@\" | head -n 1";
    command.args(["-c", shell, "sh", env!("CARGO_BIN_EXE_tapline"), "scan", "127.0.0.86", "--json", "-p", &list.join(",")]);
    let run = finish(&mut command);
    assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 1));
    assert!(!run.stderr.contains("panicked") && !run.stderr.contains("roken pipe"), "{}", run.stderr);
}

#[test]
fn an_interrupt_leaves_what_was_found_and_says_that_it_is_not_all() {
    let (_listener, _waiting, slow) = full("127.0.0.87:0");
    let (_open, open) = listen_on("127.0.0.87");
    let list = format!("{open},{}", slow.port());
    let mut scan =
        program().args(["scan", "127.0.0.87", "-p", &list, "--connect-timeout", "1h", "--json"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(scan.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["port"], open);
    let pid = rustix::process::Pid::from_raw(scan.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = scan.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("\"error\"") && stderr.contains("1 left when it was interrupted"), "{stderr}");
}

#[test]
fn what_could_not_be_asked_is_the_reason_for_the_status_also_under_quiet() {
    let (_listener, port) = listen_on("127.0.0.89");
    // Nobody connects to the broadcast address: the kernel refuses to ask.
    let args = ["--quiet", "scan", "127.0.0.89", "255.255.255.255", "-p", &port.to_string()];
    let scan = run(&args);
    assert_eq!(scan.code, Some(3));
    assert!(
        scan.stderr.starts_with("tapline: not completed: 1 open, 0 closed, 0 filtered, 1 not asked (255.255.255.255: "),
        "{}",
        scan.stderr
    );
    assert!(scan.stdout.contains("127.0.0.89") && !scan.stdout.contains("255.255.255.255"), "{}", scan.stdout);
    assert!(run(&[&args[..], &["--all"]].concat()).stdout.contains("error"));
}
