//! The rows: what one side and the other do, and what is told of it.

use super::side::{Seen, Side};
use crate::support::pattern;

/// What happens on a connection.
pub struct Situation {
    /// Continues "the client" or "the target".
    pub name: &'static str,
    /// The leading side does what only TLS knows.
    pub needs_tls: bool,
    /// The leading side and the other.
    pub play: fn(Side, Side),
    /// What is told of it where the client leads, and where the target does.
    pub client: Cause,
    pub target: Cause,
}

/// The `closed` event: by, during, why, failed.
#[derive(Clone, Copy)]
pub struct Cause(pub &'static str, pub &'static str, pub &'static str, pub bool);

/// Small enough for the kernel to hold.
const MUCH: usize = 100_000;

const DONE: Situation = Situation {
    name: "",
    needs_tls: false,
    play: |_, _| {},
    client: Cause("client", "relay", "done", false),
    target: Cause("target", "relay", "done", false),
};

const RESET: Situation =
    Situation { client: Cause("client", "relay", "reset", true), target: Cause("target", "relay", "reset", true), ..DONE };

const CUT: Situation = Situation {
    needs_tls: true,
    client: Cause("client", "relay", "ended without close_notify", true),
    target: Cause("target", "relay", "ended without close_notify", true),
    ..DONE
};

pub const SITUATIONS: &[Situation] = &[
    Situation {
        name: "ends and has its answer",
        play: |mut one, mut other| {
            one.send(b"question");
            one.end();
            other.sees(b"question", Seen::End);
            other.send(b"late answer");
            other.end();
            one.sees(b"late answer", Seen::End);
        },
        ..DONE
    },
    Situation {
        name: "ends by close_notify and FIN, and has its answer",
        needs_tls: true,
        play: |mut one, mut other| {
            one.send(b"question");
            one.end();
            one.fin();
            other.sees(b"question", Seen::End);
            other.send(&pattern(MUCH));
            other.end();
            one.sees(&pattern(MUCH), Seen::End);
        },
        ..DONE
    },
    Situation {
        name: "ends with much in flight both ways",
        play: |mut one, mut other| {
            one.send(&pattern(MUCH));
            other.send(&pattern(MUCH + 1));
            one.end();
            other.sees(&pattern(MUCH), Seen::End);
            other.end();
            one.sees(&pattern(MUCH + 1), Seen::End);
        },
        ..DONE
    },
    Situation {
        name: "ends, and the other goes on sending",
        play: |mut one, mut other| {
            one.end();
            other.sees(b"", Seen::End);
            for part in pattern(3 * MUCH).chunks(MUCH) {
                other.send(part);
                assert!(one.read_n(part.len()) == part);
            }
            other.end();
            one.sees(b"", Seen::End);
        },
        ..DONE
    },
    Situation {
        name: "is cut",
        play: |mut one, mut other| {
            one.send(b"half of a quest");
            one.fin();
            other.sees(b"half of a quest", Seen::Reset);
            one.sees(b"", Seen::Reset);
        },
        ..CUT
    },
    Situation {
        name: "is cut with much in flight both ways",
        play: |mut one, mut other| {
            one.send(&pattern(MUCH));
            other.send(b"an answer");
            assert_eq!(one.read_n(9), b"an answer");
            one.fin();
            other.sees(&pattern(MUCH), Seen::Reset);
        },
        ..CUT
    },
    Situation {
        name: "is cut after the other has ended",
        play: |mut one, mut other| {
            other.send(b"answer");
            other.end();
            one.sees(b"answer", Seen::End);
            one.send(b"late");
            one.fin();
            other.sees(b"late", Seen::Reset);
        },
        // Not called a failure: the target had said that it was done.
        client: Cause("client", "half_close", "ended without close_notify after the target had ended", false),
        target: Cause("target", "half_close", "ended without close_notify", true),
        ..CUT
    },
    Situation {
        name: "resets",
        play: |one, mut other| {
            one.reset();
            other.sees(b"", Seen::Reset);
        },
        ..RESET
    },
    Situation {
        name: "resets right after what it sent",
        play: |mut one, mut other| {
            one.send(&pattern(MUCH));
            one.reset();
            other.sees(&pattern(MUCH), Seen::Reset);
        },
        ..RESET
    },
    Situation {
        name: "resets with much in flight both ways",
        play: |mut one, mut other| {
            other.send(&pattern(MUCH));
            one.send(b"413 too large");
            one.reset();
            other.sees(b"413 too large", Seen::Reset);
        },
        ..RESET
    },
    Situation {
        name: "resets after the other has ended",
        play: |mut one, mut other| {
            other.end();
            one.sees(b"", Seen::End);
            one.send(b"late");
            one.reset();
            other.sees(b"late", Seen::Reset);
        },
        client: Cause("client", "half_close", "reset after the target had ended", false),
        target: Cause("target", "half_close", "reset", true),
        ..DONE
    },
    Situation {
        name: "resets after its own end, and the other goes on sending",
        play: |mut one, mut other| {
            one.send(b"question");
            one.end();
            other.sees(b"question", Seen::End);
            one.reset();
            other.write_until_it_fails();
        },
        client: Cause("client", "half_close", "left before the last bytes", false),
        target: Cause("target", "half_close", "reset", true),
        ..DONE
    },
];
