//! The rows: what one side and the other do, and what the connection has come to then.

use super::Peer;
use crate::support::*;
use serde_json::Value;
use std::thread;

/// What happens on a connection.
pub struct Situation {
    /// Continues "the client" or "the target".
    pub name: &'static str,
    pub flags: &'static [&'static str],
    /// The leading side and the other.
    pub play: fn(Peer, Peer),
    /// What is told of it where the client leads, and where the target does.
    pub client: Cause,
    pub target: Cause,
    /// Why, where the leading side is a target with a Unix socket: what its closing is to whoever writes to it.
    pub unix: Option<&'static str>,
    pub is_bulk: bool,
}

/// The `closed` event: by, during, why, failed. Where two sides race to be the first, `by` is both.
#[derive(Clone, Copy)]
pub struct Cause(pub &'static str, pub &'static str, pub &'static str, pub bool);

impl Situation {
    /// What is to be told where the client leads, or else the target, by this kind of socket.
    pub fn cause(&self, client_leads: bool, leader_is_unix: bool) -> Cause {
        match (client_leads, self.unix) {
            (true, _) => self.client,
            (false, Some(why)) if leader_is_unix => Cause(self.target.0, self.target.1, why, self.target.3),
            (false, _) => self.target,
        }
    }
}

impl Cause {
    pub fn check(self, closed: &Value) {
        let (by, during, why, failed) = end_of(closed);
        assert!(self.0.split('|').any(|side| side == by), "{closed}");
        assert_eq!((during, why, failed), (self.1, self.2, self.3), "{closed}");
    }

    pub fn is_done(self) -> bool {
        self.2 == "done"
    }
}

/// Bytes in each direction at once. As much as 1 GiB goes both ways in tests/outside/relay.rs.
const BULK: u64 = 48 << 20;

const MIB: usize = 1 << 20;

const DONE: Situation = Situation {
    name: "",
    flags: &[],
    play: |_, _| {},
    client: Cause("client", "relay", "done", false),
    target: Cause("target", "relay", "done", false),
    unix: None,
    is_bulk: false,
};

const RESET: Situation =
    Situation { client: Cause("client", "relay", "reset", true), target: Cause("target", "relay", "reset", true), ..DONE };

const IDLE: Cause = Cause("timeout", "relay", "nothing for 200ms", true);
const HALF_CLOSED: Cause = Cause("timeout", "half_close", "nothing for 200ms", true);

pub const SITUATIONS: &[Situation] = &[
    Situation {
        name: "ends and has its answer",
        play: |one, other| {
            one.send(b"question");
            one.end();
            other.sees_end(b"question");
            other.send(b"late answer");
            drop(other);
            one.sees_end(b"late answer");
        },
        ..DONE
    },
    Situation {
        name: "goes at once without a word",
        play: |one, other| {
            drop(one);
            other.sees_end(b"");
        },
        ..DONE
    },
    Situation {
        name: "ends with all in flight that fits between it and a reader that waits",
        play: |one, other| {
            let sent = one.fill();
            one.end();
            other.sees_end(&sent);
            // The other direction is open still, and takes as much.
            let sent = other.fill();
            drop(other);
            one.sees_end(&sent);
        },
        is_bulk: true,
        ..DONE
    },
    Situation {
        name: "ends before the other does, and both read only then",
        play: |one, other| {
            // Small enough for the kernel to hold.
            one.send(&pattern(50_000));
            one.end();
            other.wait_for_end();
            other.send(&pattern(50_001));
            other.end();
            one.wait_for_end();
            other.sees_end(&pattern(50_000));
            one.sees_end(&pattern(50_001));
        },
        ..DONE
    },
    Situation {
        name: "ends at the same moment as the other",
        play: |one, other| {
            one.end();
            other.end();
            one.sees_end(b"");
            other.sees_end(b"");
        },
        client: Cause("client|target", "relay", "done", false),
        target: Cause("client|target", "relay", "done", false),
        ..DONE
    },
    Situation {
        name: "ends while the other does, with a megabyte each in flight",
        play: |one, other| {
            let senders = [one.send_and_end(pattern(MIB)), other.send_and_end(pattern(MIB + 7))];
            thread::scope(|scope| {
                scope.spawn(|| one.sees_end(&pattern(MIB + 7)));
                other.sees_end(&pattern(MIB));
            });
            for sender in senders {
                sender.join().unwrap();
            }
        },
        client: Cause("client|target", "relay", "done", false),
        target: Cause("client|target", "relay", "done", false),
        ..DONE
    },
    Situation {
        name: "writes single bytes and is answered by single bytes",
        play: |one, other| {
            for byte in 0..200 {
                one.send(&[byte]);
                assert_eq!(other.read_n(1), [byte]);
                other.send(&[byte, !byte]);
                assert_eq!(one.read_n(2), [byte, !byte]);
            }
            // Without waiting for each other.
            let bytes = pattern(1000);
            bytes.chunks(1).for_each(|byte| one.send(byte));
            bytes.chunks(1).for_each(|byte| other.send(byte));
            one.end();
            other.sees_end(&bytes);
            other.end();
            one.sees_end(&bytes);
        },
        ..DONE
    },
    Situation {
        name: "and the other send as fast as they can, at once",
        play: |one, other| {
            both_ways_at_once(one.socket(), other.socket(), BULK);
            one.count(BULK, BULK);
            other.count(BULK, BULK);
            one.end();
            other.sees_end(b"");
            other.end();
            one.sees_end(b"");
        },
        is_bulk: true,
        ..DONE
    },
    Situation {
        name: "resets",
        play: |one, other| {
            one.will_reset(&other);
            one.reset();
            other.sees_reset(b"");
        },
        ..RESET
    },
    Situation {
        name: "resets right after what it sent, to a slow reader",
        play: |one, other| {
            one.will_reset(&other);
            one.send(&pattern(150_000));
            one.wait_sent();
            one.reset();
            other.sees_reset(&pattern(150_000));
        },
        ..RESET
    },
    Situation {
        name: "resets in the middle of what the other sends",
        play: |one, other| {
            other.fill();
            one.reset();
            other.sees_reset_of_what_it_sent(b"");
        },
        ..RESET
    },
    Situation {
        name: "says why and closes in the middle of what the other sends",
        play: |one, other| {
            other.fill();
            one.send(b"413 too large");
            // Closing with unread bytes makes the kernel send RST.
            drop(one);
            other.sees_reset_of_what_it_sent(b"413 too large");
        },
        ..RESET
    },
    Situation {
        name: "resets after the other has ended",
        play: |one, other| {
            one.will_reset(&other);
            other.end();
            one.wait_for_end();
            one.reset();
            other.sees_reset(b"");
        },
        // Not called a failure: the target had said that it was done.
        client: Cause("client", "half_close", "reset after the target had ended", false),
        target: Cause("target", "half_close", "reset", true),
        ..DONE
    },
    Situation {
        name: "resets right after what it sent, after the other has ended",
        play: |one, other| {
            one.will_reset(&other);
            other.end();
            one.wait_for_end();
            one.send(&pattern(50_000));
            one.wait_sent();
            one.reset();
            other.sees_reset(&pattern(50_000));
        },
        client: Cause("client", "half_close", "reset after the target had ended", false),
        target: Cause("target", "half_close", "reset", true),
        ..DONE
    },
    Situation {
        name: "resets after its own end, and the other is silent",
        play: |one, other| {
            one.will_reset(&other);
            one.end();
            other.wait_for_end();
            // Where a Unix socket takes part, only a write finds out.
            let waits = !one.is_unix() && !other.is_unix();
            one.reset();
            if waits {
                other.sees_that_it_is_broken();
            } else {
                other.write_until_it_fails();
            }
        },
        client: Cause("client", "half_close", "left before the last bytes", false),
        target: Cause("target", "half_close", "reset", true),
        unix: Some("closed while being written to"),
        ..DONE
    },
    Situation {
        name: "resets after its own end, in the middle of what the other sends",
        play: |one, other| {
            one.send(b"question");
            one.end();
            assert_eq!(other.read_n(8), b"question");
            other.fill();
            one.reset();
            other.sees_that_it_is_broken();
        },
        client: Cause("client", "half_close", "left before the last bytes", false),
        target: Cause("target", "half_close", "reset", true),
        unix: Some("closed while being written to"),
        ..DONE
    },
    Situation {
        name: "and the other are silent for too long",
        flags: &["--idle-timeout", "200ms"],
        play: |one, other| {
            one.sees_reset(b"");
            other.sees_reset(b"");
        },
        client: IDLE,
        target: IDLE,
        ..DONE
    },
    Situation {
        name: "ends, and both are silent for too long",
        flags: &["--half-close-timeout", "200ms"],
        play: |one, other| {
            one.end();
            other.sees_end(b"");
            one.sees_reset_after_its_end();
            // It has had its end, and is not reset: its last bytes could still be on their way. Its answer comes too late.
            other.write_until_it_fails();
        },
        client: HALF_CLOSED,
        target: HALF_CLOSED,
        ..DONE
    },
];
