//! Several targets: in turn, passed over, checked.

use super::start;
use crate::{support::*, tls};
use std::io::Write;

/// Who answers a client.
fn answered(tapline: &Tapline, ca: &str) -> String {
    let mut client = tls::client(tapline.connect(), tls::trusting(ca, &[]), "localhost");
    client.write_all(b"?").unwrap();
    String::from_utf8(read_n(&mut client, 1)).unwrap()
}

#[test]
fn targets_take_turns_by_weight() {
    let [a, b] = ["a", "b"].map(naming);
    let weighted = format!("{b},weight=2");
    let (tapline, ca) = start(&a.to_string(), &[&weighted, "--no-checks"]);
    let mut got: Vec<_> = (0..6).map(|_| answered(&tapline, &ca)).collect();
    got.sort();
    assert_eq!(got.concat(), "aabbbb");
}

#[test]
fn a_target_that_refuses_is_passed_over_before_the_client_notices() {
    let (_held, dead) = refusing();
    let b = naming("b");
    let (mut tapline, ca) = start(&dead.to_string(), &[&b.to_string(), "--no-checks"]);
    for _ in 0..4 {
        assert_eq!(answered(&tapline, &ca), "b");
    }
    let failed = tapline.event("dial_failed");
    assert_eq!((&failed["target"], &failed["next"]), (&dead.to_string().into(), &true.into()));
}

#[test]
fn targets_are_checked_where_there_are_several() {
    let (_held, dead) = refusing();
    let b = naming("b");
    let (mut tapline, ca) = start(&dead.to_string(), &[&b.to_string(), "--check-interval", "100ms"]);
    let health = tapline.event("health");
    assert_eq!((&health["target"], &health["up"]), (&dead.to_string().into(), &false.into()));
    assert_eq!(answered(&tapline, &ca), "b");
}

#[test]
fn a_single_target_is_checked_where_that_is_asked_for_or_decides() {
    for args in [["--check", "connect"], ["--when-all-down", "fail"]] {
        let (_held, dead) = refusing();
        let (mut tapline, _) = start(&dead.to_string(), &args);
        let health = tapline.event("health");
        assert_eq!((&health["target"], &health["up"]), (&dead.to_string().into(), &false.into()), "{args:?}");
    }
}

#[test]
fn what_a_client_has_said_over_tls_goes_to_the_next_target_where_one_gives_no_answer() {
    let mute = server(|mut stream| drop(read_n(&mut stream, 1)));
    let b = server(|mut stream| {
        let said = read_n(&mut stream, 1);
        stream.write_all(&said).unwrap();
    });
    let (mut tapline, ca) = start(&mute.to_string(), &[&b.to_string(), "--no-checks", "--replay"]);
    assert_eq!(answered(&tapline, &ca), "?");
    let replayed = tapline.event("replayed");
    assert_eq!((&replayed["target"], &replayed["bytes"]), (&mute.to_string().into(), &1.into()));
    // The answer ended with FIN, and so does TLS: by close_notify.
    assert_eq!(tapline.closed()["failed"], false);
}
