//! `--test`: what would be decided, without a socket.

use crate::support::*;
use serde_json::{Value, json};

const RULES: [&str; 6] = [
    "a.test=h1:443,h2:443",
    "a.test/acme-tls/1=h3:443",
    "*.test=h4:443",
    "http://*.test=h5:80",
    "**.p.test=passthrough:443",
    ".q.test=h6:1",
];

fn test(listen: &str, args: &[&str]) -> Finished {
    run(&[&["sni-route", listen][..], &RULES, args].concat())
}

#[test]
fn the_rule_that_wins_is_told_with_those_that_lose() {
    let finished = test("0", &["--test", "A.test", "a.test/h2,acme-tls/1", "http://b.test", "b.test", "x.y.p.test", "none.example"]);
    let lines: Vec<_> = finished.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "a.test -> rule a.test (exact name; also matched: a.test/acme-tls/1, not offered by ALPN; *.test, less exact; http://*.test, for \
             HTTP only) -> h1:443,h2:443",
            "a.test/h2,acme-tls/1 -> rule a.test/acme-tls/1 (exact name; also matched: a.test, for any protocol; *.test, less exact; \
             http://*.test, for HTTP only) -> h3:443",
            "http://b.test -> rule http://*.test (wildcard of one label; also matched: *.test, for TLS and HTTP) -> h5:80",
            "b.test -> rule *.test (wildcard of one label; also matched: http://*.test, for HTTP only) -> h4:443",
            "x.y.p.test -> rule **.p.test (wildcard of one or more labels) -> x.y.p.test:443",
            "none.example -> unknown name -> refused",
        ],
        "{}",
        finished.stderr
    );
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(1), ""));
}

#[test]
fn it_is_the_answer_whether_all_have_a_route() {
    assert_eq!(test("0", &["--test", "a.test", "q.test"]).code, Some(0));
    let with_flag = test("0", &["--unknown-name", "h9:1", "--test", "none.example"]);
    assert_eq!((with_flag.code, with_flag.stdout.as_str()), (Some(0), "none.example -> unknown name -> h9:1\n"));
    assert_eq!(test("0", &["--test", "a.test"]).code, Some(0));
    for wrong in ["127.0.0.1", "a..test", "http://a.test/h2", "a.test/"] {
        assert_eq!(test("0", &["--test", wrong]).code, Some(2), "{wrong}");
    }
}

#[test]
fn no_socket_is_opened() {
    // Nobody can listen there, and it does not matter.
    let (_held, taken) = listener();
    assert_eq!(test(&taken.to_string(), &["--test", "a.test"]).code, Some(0));
}

#[test]
fn json_has_the_same_in_keys() {
    let finished = test("0", &["--json", "--test", "b.test/h2", "none.example"]);
    let lines: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines,
        [
            json!({
                "event": "route", "outcome": "matched", "scheme": "tls", "name": "b.test", "alpn": ["h2"], "rule": "*.test",
                "how": "wildcard of one label", "also": [{ "rule": "http://*.test", "why": "for HTTP only" }], "target": "h4:443",
            }),
            json!({
                "event": "route", "outcome": "unknown_name", "scheme": "tls", "name": "none.example", "alpn": [], "rule": null, "how": null,
                "also": [], "target": null,
            }),
        ]
    );
}
