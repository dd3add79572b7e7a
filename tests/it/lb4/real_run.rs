//! A real run: four backends, of which one is killed, one hangs and one refuses, under load, and then all of them; and what the
//! clients notice of it. By hand, with more of it: `REAL_RUN=2000 cargo test --release --test it real_run -- --nocapture`, where the
//! number is that of new connections a second.

use super::balancer;
use crate::support::*;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::SocketAddr,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What became of a connection, and when it began.
struct Outcome {
    began: Instant,
    /// What the backend said, or how it failed.
    said: Result<String, String>,
    took: Duration,
}

/// Connections at a steady rate, whether they are answered or not.
struct Load {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    outcomes: Receiver<Outcome>,
    thread: std::thread::JoinHandle<()>,
}

impl Load {
    fn start(addr: SocketAddr, rate: u32) -> Self {
        let (send, outcomes) = channel();
        let stop = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
                let mut tasks = tokio::task::JoinSet::new();
                while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    ticks.tick().await;
                    let send = send.clone();
                    tasks.spawn(async move {
                        let began = Instant::now();
                        let said = match timeout(DEADLINE, one(addr)).await {
                            Ok(said) => said.map_err(|error| error.to_string()),
                            Err(_) => Err("no answer".into()),
                        };
                        // Whoever looks at it may be done.
                        let _ = send.send(Outcome { began, said, took: began.elapsed() });
                    });
                    while tasks.try_join_next().is_some() {}
                }
                while tasks.join_next().await.is_some() {}
            });
        });
        Self { stop, outcomes, thread }
    }

    /// Lets it go on until as many more connections have come to something.
    fn outcomes(&self, count: usize) -> Vec<Outcome> {
        (0..count).map(|_| self.outcomes.recv_timeout(2 * DEADLINE).unwrap()).collect()
    }

    fn stop(self) -> Vec<Outcome> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.join().unwrap();
        self.outcomes.iter().collect()
    }
}

/// Connects, says a line, and reads the answer to its end.
async fn one(addr: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(b"who is there?\n").await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    match said.strip_suffix('\n') {
        Some(name) => Ok(name.to_owned()),
        None => Err(std::io::Error::new(ErrorKind::UnexpectedEof, format!("ended after {said:?}"))),
    }
}

/// A backend: a process of its own, which says its name to whoever speaks.
struct Backend {
    name: &'static str,
    addr: String,
    process: Tapline,
}

impl Backend {
    fn start(name: &'static str, addr: &str) -> Self {
        let process = Tapline::start(&["listen", addr, "--discard", "--reply", &format!("{name}\n"), "--grace", "1s"]);
        Self { name, addr: process.addr().to_string(), process }
    }

    /// SIGKILL, as it is where the kernel is short of memory.
    fn killed(self) -> (&'static str, String) {
        let Self { name, addr, process } = self;
        drop(process);
        (name, addr)
    }
}

fn by_name(outcomes: &[Outcome]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for name in outcomes.iter().filter_map(|outcome| outcome.said.as_deref().ok()) {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

fn failures(outcomes: &[Outcome]) -> Vec<&str> {
    outcomes.iter().filter_map(|outcome| outcome.said.as_ref().err().map(String::as_str)).collect()
}

fn slowest(outcomes: &[Outcome]) -> Duration {
    outcomes.iter().map(|outcome| outcome.took).max().unwrap_or_default()
}

/// Why connections failed, as far as it was said.
fn causes(tapline: &mut Tapline) -> Vec<String> {
    tapline.said();
    let failed = tapline.seen.iter().filter(|event| event["event"] == "dropped" || event["failed"] == true);
    failed.map(ToString::to_string).collect()
}

/// Waits until each of these targets is said to be in this state, by whatever means, and tells how long it took.
fn until(tapline: &mut Tapline, since: Instant, targets: &[&str], up: bool) -> Duration {
    let mut missing: Vec<_> = targets.to_vec();
    while !missing.is_empty() {
        let event = tapline.event("health");
        if event["up"] == up {
            missing.retain(|target| event["target"] != **target);
        }
    }
    since.elapsed()
}

const CHECKS: [&str; 12] =
    ["--check", "send:?", "--check", "expect:b", "--check-interval", "200ms", "--check-timeout", "200ms", "--fall", "2", "--rise", "2"];

#[test]
fn clients_notice_nothing_of_backends_that_are_killed_hang_and_refuse() {
    let by_hand: Option<u32> = std::env::var("REAL_RUN").ok().map(|rate| rate.parse().unwrap());
    let rate = by_hand.unwrap_or(100);
    let some = rate as usize * if by_hand.is_some() { 5 } else { 1 };
    let [b1, b2, b3, b4] = ["b1", "b2", "b3", "b4"].map(|name| Backend::start(name, "0"));
    let addrs: Vec<_> = [&b1, &b2, &b3, &b4].map(|backend| backend.addr.clone()).into();
    let flags = [&CHECKS[..], &["--replay", "--replay-after", "500ms"]].concat();
    let mut tapline = balancer(&addrs, &flags);
    let load = Load::start(tapline.addr(), rate);

    let well = load.outcomes(some);
    assert_eq!(failures(&well), [""; 0]);
    let counts = by_name(&well);
    assert_eq!(counts.len(), 4, "{counts:?}");

    // One is killed, one hangs, one refuses.
    let since = Instant::now();
    let (b1, addr1) = b1.killed();
    b2.process.signal("STOP");
    let Backend { name: b3, addr: addr3, process: mut third } = b3;
    third.signal("TERM");
    let gone = [&addr1, &b2.addr, &addr3].map(String::as_str);
    let ejected = until(&mut tapline, since, &gone, false);
    third.wait();
    let trouble = load.outcomes(some);
    let later: Vec<_> = load.outcomes(some);
    assert_eq!(failures(&trouble), [""; 0], "{:?}", causes(&mut tapline));
    let alone: Vec<_> = later.into_iter().filter(|outcome| outcome.began > since + ejected).collect();
    let (failed, names) = (failures(&alone), by_name(&alone).into_keys().collect::<Vec<_>>());
    assert_eq!((failed, names), (vec![], vec!["b4"]), "{:?}", causes(&mut tapline));

    // All come back.
    let since = Instant::now();
    let back = [Backend::start(b1, &addr1), Backend::start(b3, &addr3)];
    b2.process.signal("CONT");
    let readmitted = until(&mut tapline, since, &gone, true);
    let settled = Instant::now();
    let mut after = load.outcomes(some);
    after.extend(load.stop());
    assert_eq!(failures(&after), [""; 0]);
    let even: Vec<_> = after.into_iter().filter(|outcome| outcome.began > settled).collect();
    let counts = by_name(&even);
    let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
    assert!(counts.len() == 4 && most - least <= 3, "{counts:?}");
    let figures = [("well", &well), ("in trouble", &trouble), ("one alone", &alone), ("afterwards", &even)];
    for (when, outcomes) in figures {
        tell(&format!("{when}: {} connections, slowest {:?}, {:?}", outcomes.len(), slowest(outcomes), by_name(outcomes)));
    }
    let replayed = tapline.said().iter().chain(&tapline.seen).filter(|event| event["event"] == "replayed").count();
    tell(&format!("{rate}/s: all three known after {ejected:?}, all four back after {readmitted:?}; {replayed} replayed"));
    drop(back);
}

/// Figures for whoever runs it by hand.
#[expect(clippy::print_stderr, reason = "a test that passes shows it only to who asks for it")]
fn tell(figures: &str) {
    eprintln!("{figures}");
}

/// A connection that says so much, and then stays.
fn held(tapline: &Tapline) -> std::net::TcpStream {
    let mut client = tapline.connect();
    std::io::Write::write_all(&mut client, b"hello").unwrap();
    assert_eq!(read_n(&mut client, 5), b"hello");
    client
}

#[test]
fn the_connections_of_one_that_is_killed_end_and_no_other() {
    let mut backends: Vec<_> = (0..4).map(|_| Tapline::start(&["listen", "0", "--discard", "--echo"])).collect();
    let addrs: Vec<_> = backends.iter().map(|backend| backend.addr().to_string()).collect();
    let mut tapline = balancer(&addrs, &["--no-checks", "--replay"]);
    let mut clients: Vec<_> = (0..8).map(|_| (held(&tapline), tapline.event("dialed")["target"].clone())).collect();
    let killed = Value::from(addrs[2].clone());
    drop(backends.remove(2));
    for (client, target) in &mut clients {
        if *target == killed {
            // As the kernel ends the connections of a process that has read everything: by FIN.
            assert_eq!(read_to_any_end(client), (vec![], Ok(())));
            continue;
        }
        std::io::Write::write_all(client, b"again").unwrap();
        assert_eq!(read_n(client, 5), b"again");
    }
    assert_eq!(clients.iter().filter(|(_, target)| *target == killed).count(), 2);
    // The next ones go on to others.
    for _ in 0..8 {
        held(&tapline);
    }
}

#[test]
fn while_all_backends_are_down_clients_are_told_so_and_all_is_well_afterwards() {
    let [one, two] = ["b1", "b2"].map(|name| Backend::start(name, "0"));
    let addrs = [one.addr.clone(), two.addr.clone()];
    let mut tapline = balancer(&addrs, &[&CHECKS[..], &["--when-all-down", "fail"]].concat());
    let ask = |tapline: &Tapline| heard(tapline.addr(), b"?");
    assert_eq!([ask(&tapline), ask(&tapline)], ["b1\n", "b2\n"]);
    let since = Instant::now();
    let gone = [one.killed(), two.killed()];
    let targets = [&*addrs[0], &*addrs[1]];
    until(&mut tapline, since, &targets, false);
    assert_eq!(fate(tapline.addr()), (vec![], Err(ErrorKind::ConnectionReset)));
    loop {
        let closed = tapline.closed();
        if closed["target"].is_null() {
            assert_eq!(end_of(&closed), ("rule", "dial", "all targets are down", true));
            break;
        }
    }
    let since = Instant::now();
    let _back = gone.map(|(name, addr)| Backend::start(name, &addr));
    until(&mut tapline, since, &targets, true);
    let mut heard: Vec<_> = (0..4).map(|_| ask(&tapline)).collect();
    heard.sort();
    assert_eq!(heard, ["b1\n", "b1\n", "b2\n", "b2\n"]);
}
