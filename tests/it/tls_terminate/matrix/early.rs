//! What ends before there are two ends: in the hello, in the handshake, and while the target does not answer yet.

use super::{
    NEW, NEW_TO_TLS, OLD, OLD_TO_TLS,
    side::{Seen, Side},
};
use crate::{support::*, tls};
use std::io::Write;

#[test]
fn a_client_that_resets_in_the_hello_or_in_the_handshake_costs_no_target_a_connection() {
    for kind in [NEW, OLD] {
        let mut relay = kind.relay();
        let config = tls::trusting_with(&relay.ca, &[], &[kind.client]);
        let mut session = rustls::ClientConnection::new(config.into(), "localhost".try_into().unwrap()).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        let mut client = relay.tapline.connect();
        client.write_all(&hello[..hello.len() / 2]).unwrap();
        wait_sent(&client);
        reset(client);
        assert_eq!(end_of(&relay.tapline.closed()), ("client", "hello", "reset", true));
        let mut client = relay.tapline.connect();
        client.write_all(&hello).unwrap();
        // The server's flight is there.
        assert_eq!(read_n(&mut client, 1), [22]);
        reset(client);
        let closed = relay.tapline.closed();
        let (by, during, why, failed) = end_of(&closed);
        assert_eq!((by, during, failed), ("client", "handshake", true));
        assert!(why.starts_with("reset: "), "{why}");
        // The next that the target sees is the next client.
        let mut client = relay.client();
        client.send(b"next");
        let mut target = relay.target();
        assert_eq!(target.read_n(4), b"next");
        client.end();
        target.sees(b"", Seen::End);
        target.end();
        client.sees(b"", Seen::End);
        relay.tapline.closed();
        relay.tapline.stop();
        assert_eq!(relay.tapline.seen.iter().filter(|event| event["event"] == "dialed").count(), 1);
    }
}

#[test]
fn what_a_client_does_before_the_target_has_answered_is_passed_on_once_it_has() {
    let end: fn(Side) -> Option<Side> = |mut client| {
        client.end();
        client.fin();
        Some(client)
    };
    let cut: fn(Side) -> Option<Side> = |mut client| {
        client.fin();
        None
    };
    let reset: fn(Side) -> Option<Side> = |client| {
        client.reset();
        None
    };
    for kind in [NEW_TO_TLS, OLD_TO_TLS] {
        let mut relay = kind.relay();
        for (act, seen, (during, why, failed)) in [
            (end, Seen::End, ("relay", "done", false)),
            (cut, Seen::Reset, ("relay", "ended without close_notify", true)),
            (reset, Seen::Reset, ("relay", "reset", true)),
        ] {
            let mut client = relay.client();
            client.send(b"early");
            // Connected, and nothing of its handshake is said yet.
            let target = relay.target();
            let client = act(client);
            let mut target = target.handshake();
            target.sees(b"early", seen);
            if let Some(mut client) = client {
                target.send(b"answer");
                target.end();
                client.sees(b"answer", Seen::End);
            }
            assert_eq!(end_of(&relay.tapline.closed()), ("client", during, why, failed), "{}", kind.name);
        }
    }
}

#[test]
fn a_target_that_goes_in_its_handshake_is_a_reset_for_the_client() {
    for (resets, why) in [(false, "tls handshake eof"), (true, "reset")] {
        let mut relay = NEW_TO_TLS.relay();
        let mut client = relay.client();
        client.send(b"early");
        let mut target = accept(&relay.listener);
        assert_eq!(read_n(&mut target, 1), [22]);
        if resets {
            reset(target);
        } else {
            target.shutdown(std::net::Shutdown::Write).unwrap();
            read_to_any_end(&mut target).1.ok();
        }
        client.sees(b"", Seen::Reset);
        let closed = relay.tapline.closed();
        let (by, during, told, failed) = end_of(&closed);
        assert_eq!((by, during, failed), ("target", "dial", true));
        assert!(told.ends_with(why), "{told}");
    }
}
