//! Every way of ending over every kind of connection: rows are situations (`situations.rs`), columns are the kinds below.
//! Bytes are exact, the cause is exact, and so is what each end sees: an end stays an end, a reset stays a reset.

mod early;
mod peer;
mod situations;

use crate::{support::*, tls::hello_with_name};
use peer::Peer;
use situations::{SITUATIONS, Situation};
use socket2::Socket;
use std::{
    collections::BTreeMap,
    fmt, io,
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
};

/// Situations with the same flags are played over so many processes at once: most of their time they wait.
const LANES: usize = 8;

/// How a client, tapline and a target are connected.
struct Kind {
    name: &'static str,
    /// The command line; `IN` is the address to listen on, `OUT` the target.
    args: &'static [&'static str],
    client_is_unix: bool,
    target_is_unix: bool,
    /// What the client sends before anything else; it arrives at the target as it is.
    opening: fn() -> Vec<u8>,
    /// In which phase a client is that has said nothing yet, where anyone looks before the dial.
    before_the_dial: Option<&'static str>,
    /// Whether bulk data stays out of the process.
    spliced: bool,
}

fn no_opening() -> Vec<u8> {
    Vec::new()
}

const PLAIN: Kind = Kind {
    name: "plain",
    args: &["proxy", "IN", "OUT"],
    client_is_unix: false,
    target_is_unix: false,
    opening: no_opening,
    before_the_dial: Some("accept"),
    spliced: cfg!(target_os = "linux"),
};

const PEEKED: Kind = Kind {
    name: "peeked",
    args: &["sni-route", "IN", "a.test=OUT"],
    opening: || hello_with_name(b"a.test"),
    before_the_dial: Some("hello"),
    ..PLAIN
};

const ONE_THREAD: Kind = Kind { name: "one thread", args: &["proxy", "IN", "OUT", "--threads", "1"], ..PLAIN };

/// As the client is announced, so it is announced on.
const ANNOUNCED: Kind = Kind {
    name: "announced",
    args: &["proxy", "IN", "OUT", "--accept-proxy", "127.0.0.1", "--send-proxy", "v1"],
    opening: || HEADER.into(),
    before_the_dial: Some("proxy_header"),
    ..PLAIN
};

const ANNOUNCED_AND_PEEKED: Kind = Kind {
    name: "announced and peeked",
    args: &["sni-route", "IN", "a.test=OUT", "--accept-proxy", "127.0.0.1", "--send-proxy", "v1"],
    opening: || [HEADER, &hello_with_name(b"a.test")].concat(),
    ..ANNOUNCED
};

const ANNOUNCED_AND_DELAYED_UNIX: Kind = Kind {
    name: "announced and delayed unix",
    args: &["proxy", "IN", "OUT", "--accept-proxy", "unix", "--send-proxy", "v1", "--delay", "1ms"],
    opening: ANNOUNCED.opening,
    ..UNIX
};

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 1111 80\r\n";

const DELAYED: Kind =
    Kind { name: "delayed", args: &["proxy", "IN", "OUT", "--delay", "1ms"], before_the_dial: None, spliced: false, ..PLAIN };

const DELAYED_PEEKED: Kind = Kind {
    name: "delayed and peeked",
    args: &["sni-route", "IN", "a.test=OUT", "--delay", "1ms~1ms", "--rate", "10G"],
    spliced: false,
    ..PEEKED
};

const DELAYED_UNIX: Kind = Kind { name: "delayed unix", args: DELAYED.args, ..UNIX };

const UNIX: Kind = Kind { name: "unix", client_is_unix: true, target_is_unix: true, spliced: false, ..PLAIN };

const FROM_UNIX: Kind = Kind { name: "from unix", target_is_unix: false, ..UNIX };

const TO_UNIX: Kind = Kind { name: "to unix", client_is_unix: false, ..UNIX };

/// The program and the listener of its target.
struct Relay {
    tapline: Tapline,
    listener: Socket,
    target_is_unix: bool,
}

impl Kind {
    /// Starts the program between a client and `target`.
    fn start(&self, folder: &Path, target: &str, flags: &[&str]) -> Tapline {
        let at = if self.client_is_unix { format!("unix:{}/in", folder.display()) } else { "0".into() };
        let args: Vec<_> = self.args.iter().map(|arg| arg.replace("IN", &at).replace("OUT", target)).collect();
        let args: Vec<_> = args.iter().map(String::as_str).chain(flags.iter().copied()).collect();
        Tapline::start(&args)
    }

    /// The same, with a target that listens.
    fn relay(&self, folder: &Path, flags: &[&str]) -> Relay {
        let (listener, target) = if self.target_is_unix {
            let path = folder.join("out");
            (Socket::from(patient_listener(UnixListener::bind(&path).unwrap())), format!("unix:{}", path.display()))
        } else {
            let (listener, addr): (TcpListener, _) = listener();
            (listener.into(), addr.to_string())
        };
        let tapline = self.start(folder, &target, flags);
        Relay { tapline, listener, target_is_unix: self.target_is_unix }
    }

    /// Plays every situation, once with the client in the leading part and once with the target, and checks what is told
    /// of it. All that fails is reported.
    fn play(&'static self) {
        let mut lanes: BTreeMap<_, Vec<Cell>> = BTreeMap::new();
        for (number, situation) in SITUATIONS.iter().enumerate() {
            let cells = [true, false].map(|client_leads| Cell { kind: self, situation, client_leads });
            lanes.entry((situation.flags, number % LANES)).or_default().extend(cells);
        }
        let lanes: Vec<_> = lanes.into_iter().map(|((flags, _), cells)| thread::spawn(move || self.play_in_turn(flags, cells))).collect();
        let failed: Vec<_> = lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }

    /// Plays over one process, or over a new one after a failure; returns what failed.
    fn play_in_turn(&self, flags: &[&str], cells: Vec<Cell>) -> Vec<String> {
        let mut failed = Vec::new();
        let mut shared = None;
        for cell in cells {
            let (folder, mut relay) = shared.take().unwrap_or_else(|| {
                let folder = tempfile::tempdir().unwrap();
                let relay = self.relay(folder.path(), flags);
                (folder, relay)
            });
            // The name of the thread is in the message of a panic.
            let name = cell.to_string();
            let played = thread::Builder::new().name(name.clone()).spawn(move || {
                cell.play(&mut relay);
                relay
            });
            match played.unwrap().join() {
                Ok(relay) => shared = Some((folder, relay)),
                Err(_) => failed.push(name),
            }
        }
        // Nothing else was said of them, and nothing is left.
        if let Some((_folder, mut relay)) = shared {
            assert_eq!(relay.tapline.stop(), Some(0));
            let count = |name: &str| relay.tapline.seen.iter().filter(|event| event["event"] == name).count();
            assert_eq!(count("opened"), count("closed"));
        }
        failed
    }
}

/// One situation over one kind of connection.
struct Cell {
    kind: &'static Kind,
    situation: &'static Situation,
    client_leads: bool,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the {} {}", self.kind.name, if self.client_leads { "client" } else { "target" }, self.situation.name)
    }
}

impl Cell {
    fn play(&self, relay: &mut Relay) {
        let (client, target) = relay.meet(&(self.kind.opening)());
        let (counts, play) = (client.counts(), self.situation.play);
        let leader_is_unix = if self.client_leads { client.is_unix() } else { target.is_unix() };
        if self.client_leads {
            play(client, target);
        } else {
            play(target, client);
        }
        let cause = self.situation.cause(self.client_leads, leader_is_unix);
        let closed = relay.tapline.closed();
        cause.check(&closed);
        if cause.is_done() {
            assert_eq!((closed["received"].as_u64(), closed["sent"].as_u64()), (Some(counts.sent()), Some(counts.got())));
        }
        if self.situation.is_bulk {
            assert_eq!(closed["spliced"], self.kind.spliced, "{closed}");
        }
    }
}

/// A new client, without its opening. A reset may come before connect(2) returns.
fn client_of(tapline: &Tapline) -> io::Result<Peer> {
    match tapline.endpoint().strip_prefix("unix:") {
        Some(path) => UnixStream::connect(path).map(|unix| Peer::new(unix.into(), true)),
        None => TcpStream::connect_timeout(&tapline.addr(), DEADLINE).map(|tcp| Peer::new(tcp.into(), false)),
    }
}

impl Relay {
    /// A client, without its opening.
    fn client(&self) -> Peer {
        client_of(&self.tapline).unwrap()
    }

    fn target(&self) -> Peer {
        Peer::new(self.listener.accept().unwrap().0, self.target_is_unix)
    }

    /// A connection: the client and the target, after the opening.
    fn meet(&mut self, opening: &[u8]) -> (Peer, Peer) {
        let client = self.client();
        client.send(opening);
        let target = self.target();
        assert_eq!(target.read_n(opening.len()), opening);
        // The target takes a connection before the program knows; what fails by then has failed during the dial.
        self.tapline.event("dialed");
        (client, target)
    }
}

#[test]
fn plain() {
    PLAIN.play();
}

#[test]
fn peeked() {
    PEEKED.play();
}

#[test]
fn one_thread() {
    ONE_THREAD.play();
}

#[test]
fn unix() {
    UNIX.play();
}

#[test]
fn from_unix() {
    FROM_UNIX.play();
}

#[test]
fn to_unix() {
    TO_UNIX.play();
}

#[test]
fn delayed() {
    DELAYED.play();
}

#[test]
fn delayed_and_peeked() {
    DELAYED_PEEKED.play();
}

#[test]
fn delayed_unix() {
    DELAYED_UNIX.play();
}

#[test]
fn announced() {
    ANNOUNCED.play();
}

#[test]
fn announced_and_peeked() {
    ANNOUNCED_AND_PEEKED.play();
}

#[test]
fn announced_and_delayed_unix() {
    ANNOUNCED_AND_DELAYED_UNIX.play();
}
