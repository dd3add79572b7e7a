//! nmap and ncat as witnesses.

use crate::support::*;

#[test]
fn scan_and_nmap_say_the_same() {
    let open: Vec<_> = (0..5).map(|_| listener()).collect();
    let (_held, closed) = refusing();
    let mut ports: Vec<_> = open.iter().map(|(_, addr)| addr.port()).chain([closed.port()]).collect();
    ports.sort_unstable();
    let list = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let nmap = finish(outside("nmap").args(["-sT", "-Pn", "-n", "-oG", "-", "-p", &list, "127.0.0.1"]));
    let theirs: Vec<_> =
        ports.iter().map(|port| (*port, if nmap.stdout.contains(&format!(" {port}/open/tcp")) { "open" } else { "closed" })).collect();
    let ours = run(&["--json", "--quiet", "scan", "127.0.0.1", "-p", &list, "--all"]);
    let mut ours: Vec<(u16, String)> = ours
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|port| (port["port"].as_u64().unwrap() as u16, port["state"].as_str().unwrap().to_owned()))
        .collect();
    ours.sort();
    assert_eq!(ours, theirs.iter().map(|(port, state)| (*port, (*state).to_owned())).collect::<Vec<_>>());
    assert_eq!(theirs.iter().filter(|(_, state)| *state == "open").count(), 5, "{}", nmap.stdout);
}

fn ncat(args: &[&str], input: &[u8]) -> Finished {
    finish_fed(outside("ncat").args(args), input)
}

#[test]
fn ncat_gets_the_whole_echo_after_it_has_ended_its_input() {
    let mut tapline = Tapline::start(&["proxy", "0", "builtin:echo"]);
    let (host, port) = (tapline.addr().ip().to_string(), tapline.addr().port().to_string());
    let data = "0123456789".repeat(30_000);
    let echoed = ncat(&[&host, &port], data.as_bytes());
    assert!(echoed.stdout == data, "{} of {} bytes came back: {}", echoed.stdout.len(), data.len(), echoed.stderr);
    assert_eq!(tapline.closed()["failed"], false);
}

#[test]
fn listen_shows_what_ncat_sends() {
    // COMMAND reads the program's own stdin, which `listen` never touches.
    let args = ["listen", "0", "--connections", "1", "--", "ncat", "--send-only", "{host}", "{port}"];
    let seen = finish_fed(program().args(args), b"hello from ncat\n");
    assert!(seen.code == Some(0) && seen.stderr.contains("hello from ncat\n"), "{seen:?}");
}

#[test]
fn ncat_ends_tls_without_close_notify_and_that_is_not_taken_for_an_end() {
    let mut tapline = Tapline::start(&["tls-terminate", "0", "builtin:echo"]);
    let (host, port) = (tapline.addr().ip().to_string(), tapline.addr().port().to_string());
    // ncat 7.93 answers the end of its input with a bare FIN, as an attacker could.
    ncat(&["--ssl", &host, &port], b"over TLS\n");
    let closed = tapline.closed();
    assert_eq!((&closed["by"], &closed["why"]), (&"client".into(), &"ended without close_notify".into()), "{closed}");
}
