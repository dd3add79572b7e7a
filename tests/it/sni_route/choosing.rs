//! Which rule wins beyond its name, which of its targets, and how it is told.

use super::{route, rule};
use crate::{
    support::*,
    tls::{REFUSED, hello, in_records},
};
use std::io::Write;

#[test]
fn the_longest_suffix_wins_and_each_wildcard_has_its_depth() {
    let mut rules =
        [rule("a.b.test", "exact"), rule("*.b.test", "one"), rule("**.b.test", "more"), rule(".b.test", "tree"), rule("**", "any")];
    for _ in 0..2 {
        let tapline = route(&rules);
        for (name, answer) in [
            ("a.b.test", "exact"),
            ("x.b.test", "one"),
            ("y.x.b.test", "more"),
            ("B.test", "tree"),
            ("b.test.evil", "any"),
            ("xb.test", "any"),
        ] {
            assert_eq!(heard(tapline.addr(), &hello(name, &[])), answer, "{name}");
        }
        rules.reverse();
    }
}

#[test]
fn a_challenge_of_acme_goes_to_its_own_target_and_others_by_the_order_of_the_client() {
    let rules = [rule("a.test", "web"), rule("a.test/acme-tls/1", "acme"), rule("a.test/h2", "h2"), rule("*.test/h2", "wild h2")];
    let mut tapline = route(&rules);
    for (name, alpn, answer) in [
        ("a.test", &["acme-tls/1"][..], "acme"),
        ("a.test", &["h2", "acme-tls/1"], "h2"),
        ("a.test", &["http/1.1"], "web"),
        ("a.test", &[], "web"),
        ("b.test", &["h2"], "wild h2"),
        ("b.test", &["http/1.1"], REFUSED),
    ] {
        assert_eq!(heard(tapline.addr(), &hello(name, alpn)), answer, "{name} {alpn:?}");
    }
    let routed = tapline.event("routed");
    assert_eq!((&routed["rule"], &routed["how"]), (&"a.test/acme-tls/1".into(), &"exact name".into()));
    assert_eq!(routed["also"][0], serde_json::json!({ "rule": "a.test", "why": "for any protocol" }));
}

#[test]
fn a_decision_is_explained_in_one_line() {
    let finished = |bytes: &[u8]| {
        let args = ["sni-route", "0", "*.a.test=builtin:discard", ".test=builtin:discard", "--explain", "--connections", "1", "--"];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let send = format!("exec 3<>/dev/tcp/$TAPLINE_HOST/$TAPLINE_PORT; cat {} >&3; exec 3>&-", file.path().display());
        run(&[&args[..], &["bash", "-c", &send]].concat()).stderr
    };
    let bytes = hello("www.a.test", &["h2", "http/1.1"]);
    let stderr = finished(&bytes);
    let line = format!(
        "#1 sni=www.a.test alpn=h2,http/1.1 hello={}B/1 record -> rule *.a.test (wildcard of one label; also matched: .test, less exact) \
         -> builtin:discard",
        bytes.len()
    );
    assert!(stderr.contains(&line), "{stderr}");
    let split = in_records(&bytes, 1000);
    let stderr = finished(&split);
    assert!(stderr.contains(&format!("hello={}B/{} records -> ", split.len(), (bytes.len() - 5).div_ceil(1000))), "{stderr}");
}

#[test]
fn the_targets_of_a_name_are_checked_and_chosen_by_policy_as_in_lb4() {
    let (_held, dead) = refusing();
    let to = format!("a.test={dead},{},{}", naming("1"), naming("2"));
    let mut tapline = route(&[to, "--check-interval".into(), "50ms".into()]);
    let health = tapline.event("health");
    assert_eq!((&health["target"], &health["up"]), (&dead.to_string().into(), &false.into()));
    // What is down is not asked before the others.
    let heard: String = (0..6).map(|_| heard(tapline.addr(), &hello("a.test", &[]))).collect();
    assert_eq!((heard.matches('1').count(), heard.matches('2').count()), (3, 3), "{heard}");
    tapline.stop();
    assert!(tapline.seen.iter().all(|event| event["event"] != "dial_failed"), "{:#?}", tapline.seen);
}

#[test]
fn the_fewest_open_connections_count_over_all_rules_with_the_same_targets() {
    let (one, two) = (listener(), listener());
    let to = format!("{},{}", one.1, two.1);
    let tapline =
        route(&[format!("a.test={to}"), format!("b.test={to}"), "--policy".into(), "least-connections".into(), "--no-checks".into()]);
    let mut held = Vec::new();
    // Were they counted for each rule, the second would go to the first target too.
    for (name, listener) in [("a.test", &one.0), ("b.test", &two.0)] {
        let mut client = tapline.connect();
        client.write_all(&hello(name, &[])).unwrap();
        held.push((client, accept(listener)));
    }
}

#[test]
fn rules_that_a_browser_may_mix_up_are_told_once() {
    let mut tapline = route(&["a.b.test=builtin:echo".into(), "*.b.test=builtin:discard".into(), "c.test=builtin:echo".into()]);
    let text = tapline.event("note")["text"].as_str().unwrap().to_owned();
    assert!(text.contains("*.b.test and a.b.test") && text.starts_with("2 rules"), "{text}");
    tapline.stop();
    assert_eq!(tapline.seen.iter().filter(|event| event["event"] == "note").count(), 1);
    let mut tapline = route(&["a.b.test=builtin:echo".into(), "*.b.test=builtin:echo".into()]);
    tapline.stop();
    assert!(tapline.seen.iter().all(|event| event["event"] != "note"), "{:#?}", tapline.seen);
}
