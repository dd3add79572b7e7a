//! What ends before there are two ends: clients that are gone before the dial, and targets that refuse.

use super::{
    ANNOUNCED, ANNOUNCED_AND_DELAYED_UNIX, ANNOUNCED_AND_PEEKED, DELAYED, DELAYED_PEEKED, DELAYED_UNIX, FROM_UNIX, Kind, ONE_THREAD,
    PEEKED, PLAIN, TO_UNIX, UNIX, client_of,
};
use crate::support::*;
use std::io::ErrorKind;

const ALL: &[&Kind] = &[
    &PLAIN,
    &PEEKED,
    &ONE_THREAD,
    &UNIX,
    &FROM_UNIX,
    &TO_UNIX,
    &DELAYED,
    &DELAYED_PEEKED,
    &DELAYED_UNIX,
    &ANNOUNCED,
    &ANNOUNCED_AND_PEEKED,
    &ANNOUNCED_AND_DELAYED_UNIX,
];

#[test]
fn what_a_client_sent_that_reset_before_the_dial_arrives_and_then_the_reset() {
    for kind in ALL {
        let folder = tempfile::tempdir().unwrap();
        let mut relay = kind.relay(folder.path(), &["--max-connections", "1"]);
        let opening = (kind.opening)();
        // As long as this one is there, the next waits in the backlog.
        let (first, first_target) = relay.meet(&opening);
        let second = relay.client();
        second.send(&[&opening[..], &pattern(10_000)].concat());
        second.wait_sent();
        // A Unix socket cannot: nothing is there that it has not read.
        let resets = !second.is_unix();
        second.reset();
        drop(first);
        first_target.sees_end(b"");
        drop(first_target);
        relay.tapline.closed();
        let target = relay.target();
        assert_eq!(target.read_n(opening.len()), opening, "{}", kind.name);
        if resets {
            target.sees_reset(&pattern(10_000));
            drop(target);
            assert_eq!(end_of(&relay.tapline.closed()), ("client", "relay", "reset", true), "{}", kind.name);
        } else {
            target.sees_end(&pattern(10_000));
            drop(target);
            assert_eq!(end_of(&relay.tapline.closed()), ("client", "relay", "done", false), "{}", kind.name);
        }
    }
}

#[test]
fn a_client_that_reset_before_the_dial_and_said_nothing_costs_no_target_a_connection() {
    for kind in ALL.iter().filter(|kind| !kind.client_is_unix) {
        let Some(before_the_dial) = kind.before_the_dial else { continue };
        let folder = tempfile::tempdir().unwrap();
        let mut relay = kind.relay(folder.path(), &["--max-connections", "1"]);
        let opening = (kind.opening)();
        let (first, first_target) = relay.meet(&opening);
        relay.client().reset();
        drop(first);
        first_target.sees_end(b"");
        drop(first_target);
        relay.tapline.closed();
        assert_eq!(end_of(&relay.tapline.closed()), ("client", before_the_dial, "reset", true), "{}", kind.name);
        // The next that the target sees is the next client.
        let (client, target) = relay.meet(&opening);
        client.send(b"next");
        assert_eq!(target.read_n(4), b"next");
        drop((client, target));
        relay.tapline.closed();
        assert_eq!(relay.tapline.stop(), Some(0));
        assert_eq!(relay.tapline.seen.iter().filter(|event| event["event"] == "dialed").count(), 2);
    }
}

#[test]
fn a_target_that_refuses_is_a_reset_for_the_client_whatever_it_has_sent_already() {
    for kind in ALL {
        let folder = tempfile::tempdir().unwrap();
        let (_held, refused) = refusing();
        let (target, why) = if kind.target_is_unix {
            (format!("unix:{}/nobody", folder.path().display()), "No such file or directory (os error 2)")
        } else {
            (refused.to_string(), "refused")
        };
        let mut tapline = kind.start(folder.path(), &target, &[]);
        for data in [&b""[..], b"early", &pattern(50_000)] {
            let bytes = [&(kind.opening)()[..], data].concat();
            let end = client_of(&tapline).and_then(|client| client.ask(&bytes)).map_err(|error| error.kind());
            let expected = match end {
                // What was not taken from a Unix socket resets it; one that has sent nothing sees an end.
                Ok(n) => n == 0 && kind.client_is_unix,
                Err(error) => matches!(error, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            };
            assert!(expected, "{}: {end:?}", kind.name);
            let closed = tapline.closed();
            let target = closed["why"].as_str().unwrap().split(": ").next().unwrap();
            assert_eq!(end_of(&closed), ("target", "dial", format!("{target}: {why}").as_str(), true), "{}", kind.name);
        }
    }
}
