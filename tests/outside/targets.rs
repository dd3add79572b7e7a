//! Targets from a real resolver and a real redis, which change, fail and return while clients are served.

use crate::{
    servers::{Server, redis},
    support::*,
};
use serde_json::Value;
use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Instant,
};
use tempfile::TempDir;

/// dnsmasq on a loopback port of its own.
struct Dns {
    child: Option<Child>,
    folder: TempDir,
    addr: SocketAddr,
}

impl Dns {
    /// Answers for the zone "test" from these lines of a hosts file, with so many seconds to live.
    fn start(hosts: &str, args: &[&str]) -> Self {
        // dnsmasq cannot choose a port by itself: 0 is none to it.
        let addr = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            if UdpSocket::bind(tcp.local_addr().unwrap()).is_ok() {
                break tcp.local_addr().unwrap();
            }
        };
        let mut dns = Self { child: None, folder: tempfile::tempdir().unwrap(), addr };
        dns.write(hosts);
        dns.again(&[&["--local=/test/"], args].concat());
        dns
    }

    fn hosts(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }

    fn write(&self, hosts: &str) {
        std::fs::write(self.hosts(), hosts).unwrap();
    }

    /// Other hosts from now on.
    fn change(&self, hosts: &str) {
        self.write(hosts);
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().unwrap());
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn again(&mut self, args: &[&str]) {
        let child = outside("dnsmasq")
            .args(["--keep-in-foreground", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"])
            .args(["--listen-address=127.0.0.1", "--local-ttl=1", "--user=root", "--group=root", "--pid-file="])
            .arg(format!("--port={}", self.addr.port()))
            .arg(format!("--addn-hosts={}", self.hosts().display()))
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq is installed");
        self.child = Some(child);
        let started = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            assert!(started.elapsed() < DEADLINE, "dnsmasq does not listen");
            std::thread::yield_now();
        }
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Servers on 127.0.0.2 and so on that send their names, all on one port.
fn alike<const N: usize>(names: [&'static str; N]) -> u16 {
    let bound = loop {
        let first = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let others = (3..).take(N - 1).map(|last| TcpListener::bind(SocketAddr::from(([127, 0, 0, last], port))));
        let all: Result<Vec<_>, _> = std::iter::once(Ok(first)).chain(others).collect();
        if let Ok(all) = all {
            break all;
        }
    };
    let port = bound[0].local_addr().unwrap().port();
    for (listener, name) in bound.into_iter().zip(names) {
        std::thread::spawn(move || {
            for client in listener.incoming() {
                // A client that has gone is no matter.
                let _ = client.unwrap().write_all(name.as_bytes());
            }
        });
    }
    port
}

/// A client after the other, each of which must be served.
struct Clients {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Clients {
    fn start(tapline: &Tapline) -> Self {
        let (stop, addr) = (Arc::new(AtomicBool::new(false)), tapline.addr());
        let asked = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut served = 0;
            while !asked.load(Relaxed) {
                assert!(!read_all(&mut connect(addr)).is_empty(), "a client got nothing after {served} that got something");
                served += 1;
            }
            served
        });
        Self { stop, thread: Some(thread) }
    }

    /// All of them were served.
    fn finish(mut self) {
        self.stop.store(true, Relaxed);
        assert!(self.thread.take().unwrap().join().unwrap() > 0);
    }
}

/// Targets, added, removed, changed, skipped; and why.
fn next(tapline: &mut Tapline) -> ([u64; 5], String) {
    let event = tapline.event("targets");
    let counts = ["targets", "added", "removed", "changed", "skipped"].map(|key| event[key].as_u64().unwrap());
    (counts, event["why"].as_str().unwrap_or_default().to_owned())
}

fn good(targets: u64, added: u64, removed: u64) -> ([u64; 5], String) {
    ([targets, added, removed, 0, 0], String::new())
}

/// Who answers clients, in alphabetical order, each once. There are other clients meanwhile, who take turns with these.
fn who(tapline: &Tapline) -> String {
    let mut all: Vec<_> = (0..40).map(|_| String::from_utf8(read_all(&mut tapline.connect())).unwrap()).collect();
    all.sort();
    all.dedup();
    all.join(" ")
}

/// How many events of targets there were in all, and that no connection failed.
fn all_well(tapline: &mut Tapline, told: usize) {
    assert_eq!(tapline.stop(), Some(0));
    let count = |test: &dyn Fn(&&Value) -> bool| tapline.seen.iter().filter(test).count();
    assert_eq!(count(&|event| event["event"] == "closed" && event["failed"] == true), 0);
    assert_eq!(count(&|event| event["event"] == "dial_failed"), 0);
    assert_eq!(count(&|event| event["event"] == "targets"), told);
}

#[test]
fn addresses_change_fail_and_return_and_no_client_notices() {
    let port = alike(["two", "three", "four"]);
    let mut dns = Dns::start("127.0.0.2 a.test\n127.0.0.3 a.test\n", &[]);
    let server = dns.addr.to_string();
    let mut tapline = Tapline::start(&["lb4", "0", &format!("dns:a.test.:{port}"), "--resolver", &server, "--no-checks"]);
    assert_eq!(next(&mut tapline), good(2, 2, 0));
    assert_eq!(who(&tapline), "three two");
    let clients = Clients::start(&tapline);
    dns.change("127.0.0.4 a.test\n127.0.0.3 a.test\n");
    assert_eq!(next(&mut tapline), good(2, 1, 1));
    assert_eq!(who(&tapline), "four three");
    // Each way to fail is told once, and so is each return.
    dns.change("");
    assert_eq!(next(&mut tapline), ([2, 0, 0, 0, 0], "no such name (NXDOMAIN); its last targets stay".into()));
    assert_eq!(who(&tapline), "four three");
    dns.change("127.0.0.2 a.test\n127.0.0.3 a.test\n");
    assert_eq!(next(&mut tapline), good(2, 1, 1));
    dns.kill();
    let (counts, why) = next(&mut tapline);
    assert_eq!(counts, [2, 0, 0, 0, 0]);
    assert!(why.ends_with("; its last targets stay"), "{why}");
    assert_eq!(who(&tapline), "three two");
    dns.write("127.0.0.3 a.test\n127.0.0.2 a.test\n::1 b.test\n");
    dns.again(&["--local=/test/"]);
    // Whoever asks does not want to wait for the next attempt.
    tapline.signal("HUP");
    assert_eq!(next(&mut tapline), good(2, 0, 0));
    clients.finish();
    all_well(&mut tapline, 6);
}

#[test]
fn a_name_without_addresses_has_no_targets_and_a_refusal_leaves_them() {
    let port = alike(["two"]);
    let mut dns = Dns::start("127.0.0.2 a.test\n", &["--txt-record=a.test,here"]);
    let server = dns.addr.to_string();
    let target = format!("dns:a.test.:{port}");
    let mut tapline = Tapline::start(&["lb4", "0", &target, "--resolver", &server, "--no-checks"]);
    assert_eq!(next(&mut tapline), good(1, 1, 0));
    dns.kill();
    // Without a zone of its own and a server to ask it refuses.
    dns.write("");
    dns.again(&[]);
    let (counts, why) = next(&mut tapline);
    assert!(counts == [1, 0, 0, 0, 0] && why.ends_with("; its last targets stay"), "{why}");
    assert_eq!(who(&tapline), "two");
    let refused = run(&["lb4", "0", &target, "--resolver", &server]);
    assert!(refused.code == Some(3) && refused.stderr.contains(&format!("there is no target: {target} (REFUSED)")), "{refused:?}");
    dns.kill();
    dns.again(&["--local=/test/", "--txt-record=a.test,here"]);
    tapline.signal("HUP");
    assert_eq!(next(&mut tapline), good(0, 0, 1));
    assert!(fate(tapline.addr()).1.is_err());
    assert_eq!(end_of(&tapline.closed()), ("rule", "dial", "no target", true));
    dns.change("127.0.0.2 a.test\n");
    assert_eq!(next(&mut tapline), good(1, 1, 0));
    assert_eq!(who(&tapline), "two");
}

#[test]
fn services_have_priorities_weights_and_ports() {
    let (port, other) = (alike(["two", "three"]), naming("other").port());
    let srv =
        |priority: u16, weight: u16, host: &str, port: u16| format!("--srv-host=_x._tcp.a.test,{host}.test,{port},{priority},{weight}");
    let (one, two, backup) = (srv(10, 3, "one", port), srv(10, 1, "two", port), srv(20, 0, "back", other));
    let hosts = "127.0.0.2 one.test\n127.0.0.3 two.test\n127.0.0.1 back.test\n";
    let mut dns = Dns::start(hosts, &[&one, &two, &backup]);
    let server = dns.addr.to_string();
    let mut tapline = Tapline::start(&["lb4", "0", "srv:_x._tcp.a.test.", "--resolver", &server, "--no-checks"]);
    assert_eq!(next(&mut tapline), good(3, 3, 0));
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..40 {
        *counts.entry(String::from_utf8(read_all(&mut tapline.connect())).unwrap()).or_insert(0) += 1;
    }
    assert_eq!(counts, [("two".to_owned(), 30), ("three".to_owned(), 10)].into());
    let clients = Clients::start(&tapline);
    // The first priority is gone: the second is the first now.
    dns.kill();
    dns.again(&["--local=/test/", &backup]);
    tapline.signal("HUP");
    // Away, where it was asked in between; its backup is none any more.
    let mut last = next(&mut tapline);
    while last.0[0] != 1 {
        last = next(&mut tapline);
    }
    assert_eq!(last, ([1, 0, 2, 1, 0], String::new()));
    assert_eq!(who(&tapline), "other");
    clients.finish();
    assert_eq!(tapline.stop(), Some(0));
    assert!(tapline.seen.iter().all(|event| event["event"] != "closed" || event["failed"] == false));
}

#[test]
fn an_answer_that_fits_no_datagram_comes_whole() {
    let hosts: String = (0..600).map(|n| format!("127.1.{}.{} big.test", n / 250, 1 + n % 250)).collect::<Vec<_>>().join("\n");
    let dns = Dns::start(&hosts, &[]);
    let mut tapline = Tapline::start(&["lb4", "0", "dns:big.test.:80", "--resolver", &dns.addr.to_string(), "--no-checks"]);
    assert_eq!(next(&mut tapline), good(600, 600, 0));
}

fn cli(server: &Server, args: &[&str]) {
    let socket = server.socket();
    let done = finish(outside("redis-cli").args(["-s", socket.to_str().unwrap()]).args(args));
    assert!(done.code == Some(0) && !done.stdout.contains("ERR"), "{args:?}: {done:?}");
}

#[test]
fn members_of_redis_change_and_it_is_restarted_and_no_client_notices() {
    let mut server = Server::redis();
    let [one, two, three] = ["one", "two", "three"].map(|name| naming(name).to_string());
    cli(&server, &["sadd", "web", &one, &format!("{two},weight=2"), "unix:/etc/passwd"]);
    let source = format!("redis+unix://{}?key=web", server.socket().display());
    let mut tapline = Tapline::start(&["lb4", "0", &source, "--no-checks", "--targets-interval", "1h"]);
    let told = tapline.event("targets");
    assert_eq!((told["targets"].as_u64(), told["skipped"].as_u64()), (Some(2), Some(1)));
    assert!(told["why"].as_str().unwrap().contains("\"unix:/etc/passwd\" is not HOST:PORT"), "{told}");
    assert_eq!(told["source"], format!("redis+unix://{}?db=0&key=web", server.socket().display()));
    let clients = Clients::start(&tapline);
    // Other keys that begin alike are no matter.
    cli(&server, &["sadd", "web2", &three]);
    cli(&server, &["srem", "web", "unix:/etc/passwd"]);
    assert_eq!(next(&mut tapline), good(2, 0, 0));
    cli(&server, &["sadd", "web", &three]);
    assert_eq!(next(&mut tapline), good(3, 1, 0));
    assert_eq!(who(&tapline), "one three two");
    // A type that holds no targets keeps them; a hash does, with weights.
    cli(&server, &["set", "web", "x"]);
    let (counts, why) = next(&mut tapline);
    assert!(counts[0] == 3 && why.contains("is a string, and no set, list or hash; its last targets stay"), "{why}");
    cli(&server, &["eval", "redis.call('del', KEYS[1]); redis.call('hset', KEYS[1], ARGV[1], 1, ARGV[2], 5)", "1", "web", &one, &two]);
    assert_eq!(next(&mut tapline), ([2, 0, 1, 1, 0], String::new()));
    server.kill();
    let (counts, why) = next(&mut tapline);
    assert!(counts == [2, 0, 0, 0, 0] && why.ends_with("its last targets stay"), "{why}");
    assert_eq!(who(&tapline), "one two");
    // It is back, and has forgotten everything.
    server.again(|folder| redis(folder, &[]));
    let (counts, why) = next(&mut tapline);
    assert!(counts == [2, 0, 0, 0, 0] && why.contains("has none now; its last targets stay"), "{why}");
    cli(&server, &["rpush", "web", &one, &three]);
    assert_eq!(next(&mut tapline), good(2, 1, 1));
    assert_eq!(who(&tapline), "one three");
    clients.finish();
    all_well(&mut tapline, 8);
}
