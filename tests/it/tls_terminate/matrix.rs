//! Every way of ending over TLS in front and over plain or TLS targets behind: rows are situations (`situations.rs`), columns
//! are the kinds below. Bytes are exact, the cause is exact, and so is what each end sees: close_notify, FIN or RST.

mod early;
mod side;
mod situations;

use super::start;
use crate::{support::*, tls};
use rustls::{
    ClientConnection, ServerConnection, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use side::Side;
use situations::{SITUATIONS, Situation};
use std::{net::TcpListener, sync::Arc, thread};

type Version = &'static SupportedProtocolVersion;

/// How a client and a target speak.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    client: Version,
    /// That of a `tls:` target.
    target: Option<Version>,
    flags: &'static [&'static str],
}

const NEW: Kind = Kind { name: "TLS 1.3 before plain", client: &TLS13, target: None, flags: &[] };
const OLD: Kind = Kind { name: "TLS 1.2 before plain", client: &TLS12, ..NEW };
const NEW_TO_TLS: Kind = Kind { name: "TLS 1.3 before TLS 1.3", target: Some(&TLS13), flags: &["--insecure"], ..NEW };
const OLD_TO_TLS: Kind = Kind { name: "TLS 1.2 before TLS 1.2", client: &TLS12, target: Some(&TLS12), ..NEW_TO_TLS };
/// Through the buffers of the relay that disturbs and shows what passes.
const DELAYED: Kind =
    Kind { name: "TLS 1.3 before TLS 1.2, delayed", target: Some(&TLS12), flags: &["--insecure", "--delay", "1ms"], ..NEW };

/// The program between a client and a target of a kind.
struct Relay {
    kind: Kind,
    tapline: Tapline,
    ca: String,
    listener: TcpListener,
    issued: tls::Issued,
}

impl Kind {
    fn relay(self) -> Relay {
        let (listener, addr) = listener();
        let target = if self.target.is_some() { format!("tls:{addr}") } else { addr.to_string() };
        let (tapline, ca) = start(&target, self.flags);
        Relay { kind: self, tapline, ca, listener, issued: tls::issue(&["127.0.0.1"]) }
    }

    /// Plays every situation, once with the client in the leading part and once with the target. All that fails is reported.
    fn play(self) {
        let mut relay = None;
        let mut failed = Vec::new();
        for situation in SITUATIONS {
            for client_leads in [true, false] {
                if situation.needs_tls && !client_leads && self.target.is_none() {
                    continue;
                }
                let mut at = relay.take().unwrap_or_else(|| self.relay());
                // The name of the thread is in the message of a panic.
                let name = format!("{}: the {} {}", self.name, if client_leads { "client" } else { "target" }, situation.name);
                let played = thread::Builder::new().name(name.clone()).spawn(move || {
                    at.play(situation, client_leads);
                    at
                });
                match played.unwrap().join() {
                    Ok(at) => relay = Some(at),
                    Err(_) => failed.push(name),
                }
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
        // Nothing else was said of them, and nothing is left.
        let mut relay = relay.unwrap();
        assert_eq!(relay.tapline.stop(), Some(0));
        let count = |name: &str| relay.tapline.seen.iter().filter(|event| event["event"] == name).count();
        assert_eq!(count("opened"), count("closed"));
    }
}

impl Relay {
    fn play(&mut self, situation: &Situation, client_leads: bool) {
        let client = self.client();
        let target = self.target();
        let (mut client, mut target) = (client, target.handshake());
        client.send(b"!");
        assert_eq!(target.read_n(1), b"!");
        if client_leads {
            (situation.play)(client, target);
        } else {
            (situation.play)(target, client);
        }
        let cause = if client_leads { situation.client } else { situation.target };
        let closed = self.tapline.closed();
        assert_eq!(end_of(&closed), (cause.0, cause.1, cause.2, cause.3), "{closed}");
    }

    /// A client that has shaken hands.
    fn client(&self) -> Side {
        let config = tls::trusting_with(&self.ca, &[], &[self.kind.client]);
        let session = ClientConnection::new(config.into(), "localhost".try_into().unwrap()).unwrap();
        Side::tls(self.tapline.connect(), session.into()).handshake()
    }

    /// The target of the next connection, before its handshake where it has one.
    fn target(&self) -> Side {
        let tcp = accept(&self.listener);
        match self.kind.target {
            Some(version) => {
                let mut config = Arc::unwrap_or_clone(self.issued.server_config_with(&[version]));
                // Nothing is written after the handshake that a reset could meet.
                config.send_tls13_tickets = 0;
                let session = ServerConnection::new(config.into()).unwrap();
                Side::tls(tcp, session.into())
            }
            None => Side::plain(tcp),
        }
    }
}

#[test]
fn tls_1_3_before_plain() {
    NEW.play();
}

#[test]
fn tls_1_2_before_plain() {
    OLD.play();
}

#[test]
fn tls_1_3_before_tls_1_3() {
    NEW_TO_TLS.play();
}

#[test]
fn tls_1_2_before_tls_1_2() {
    OLD_TO_TLS.play();
}

#[test]
fn tls_1_3_before_tls_1_2_and_delayed() {
    DELAYED.play();
}
