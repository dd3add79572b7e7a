use super::*;
use proptest::prelude::*;

fn table(rules: &[&str]) -> Table<usize> {
    Table::new(rules.iter().enumerate().map(|(at, rule)| (rule.parse().unwrap(), at))).unwrap()
}

fn asked<'a>(scheme: Scheme, name: &'a ServerName, alpn: &'a [Vec<u8>]) -> Asked<'a> {
    Asked { scheme, name, alpn }
}

/// The rule that a TLS client gets who offers these protocols, as it is written.
fn tls(table: &Table<usize>, name: &str, alpn: &[&str]) -> Option<String> {
    let (name, alpn): (_, Vec<_>) = (name.parse().unwrap(), alpn.iter().map(|p| p.as_bytes().to_vec()).collect());
    let asked = asked(Scheme::Tls, &name, &alpn);
    let found = table.find(asked).map(|found| found.to_string());
    let first = table.candidates(asked).into_iter().find(|candidate| candidate.unfit.is_none());
    assert_eq!(first.map(|candidate| candidate.rule.to_string()), found);
    found
}

fn http(table: &Table<usize>, name: &str) -> Option<String> {
    let name = name.parse().unwrap();
    table.find(asked(Scheme::Http, &name, &[])).map(|found| found.to_string())
}

#[test]
fn the_better_pattern_wins_whatever_the_order() {
    // Each of them matches a.b.c.test, and each wins over all that follow it.
    let rules = ["a.b.c.test", ".a.b.c.test", "*.b.c.test", "**.b.c.test", ".b.c.test", "**.c.test", ".c.test", "**.test", ".test", "**"];
    for first in 0..rules.len() {
        let mut left = rules[first..].to_vec();
        for turn in 0..left.len() {
            assert_eq!(tls(&table(&left), "A.B.c.Test.", &[]).as_deref(), Some(rules[first]), "{turn}");
            left.rotate_left(1);
        }
    }
}

#[test]
fn each_pattern_matches_its_depths_and_nothing_by_accident() {
    for (rule, names) in [
        ("good.test", &["good.test"][..]),
        ("*.good.test", &["a.good.test"]),
        ("**.good.test", &["a.good.test", "b.a.good.test"]),
        (".good.test", &["good.test", "a.good.test", "b.a.good.test"]),
    ] {
        let table = table(&[rule]);
        let all = ["good.test", "a.good.test", "b.a.good.test", "test", "xgood.test", "good.test.evil", "a.xgood.test", "localhost"];
        for name in all {
            assert_eq!(tls(&table, name, &[]).is_some(), names.contains(&name), "{rule} {name}");
        }
    }
    assert_eq!(tls(&table(&["**"]), "localhost", &[]).as_deref(), Some("**"));
}

#[test]
fn a_protocol_of_the_client_wins_in_its_order_and_what_does_not_fit_is_left_to_the_next_pattern() {
    let rules = table(&["a.test/h2", "a.test/http/1.1", "a.test/acme-tls/1", "*.test", "*.test/h2"]);
    for (alpn, rule) in [
        (&["h2", "http/1.1"][..], "a.test/h2"),
        (&["http/1.1", "h2"], "a.test/http/1.1"),
        (&["acme-tls/1"], "a.test/acme-tls/1"),
        (&["x", "h2"], "a.test/h2"),
        (&["x"], "*.test"),
        (&[], "*.test"),
    ] {
        assert_eq!(tls(&rules, "a.test", alpn).as_deref(), Some(rule), "{alpn:?}");
    }
    assert_eq!(tls(&rules, "b.test", &["h2"]).as_deref(), Some("*.test/h2"));
    assert_eq!(http(&rules, "a.test").as_deref(), Some("*.test"), "HTTP has no ALPN");
    assert_eq!(tls(&table(&["a.test/h2"]), "a.test", &[]), None);
}

#[test]
fn a_rule_of_the_scheme_wins_over_one_for_both() {
    let rules = table(&["a.test", "http://a.test", "tls://b.test", ".b.test"]);
    assert_eq!((tls(&rules, "a.test", &[]), http(&rules, "a.test")), (Some("a.test".into()), Some("http://a.test".into())));
    assert_eq!((tls(&rules, "b.test", &[]), http(&rules, "b.test")), (Some("tls://b.test".into()), Some(".b.test".into())));
    assert_eq!(http(&table(&["tls://b.test"]), "b.test"), None);
}

#[test]
fn what_lost_is_told_with_the_reason() {
    let rules = table(&["a.test/h2", "http://a.test", "a.test", "*.test", "b.test"]);
    let name = "a.test".parse().unwrap();
    let told: Vec<_> = rules.candidates(asked(Scheme::Tls, &name, &[])).iter().map(|c| (c.rule.to_string(), c.unfit)).collect();
    assert_eq!((told[0].clone(), told[3].clone()), (("a.test".into(), None), ("*.test".into(), None)));
    assert!(told[1..3].contains(&("a.test/h2".into(), Some(Unfit::Alpn))));
    assert!(told[1..3].contains(&("http://a.test".into(), Some(Unfit::Scheme))));
    assert_eq!(told.len(), 4);
}

#[test]
fn the_same_clients_twice_are_an_error_and_others_are_not() {
    for twice in [["a.test", "A.test."], ["tls://a.test/h2", "a.test/h2"], ["**.a.test", "**.a.test"]] {
        let error = Table::new(twice.map(|rule| (rule.parse().unwrap(), ()))).unwrap_err();
        assert_eq!(error.to_string(), format!("two rules are given for {}", twice[1].parse::<Matcher>().unwrap()));
    }
    assert_eq!(table(&["a.test", "tls://a.test", "http://a.test", "a.test/h2", "*.a.test", "**.a.test", ".a.test"]).iter().count(), 7);
}

#[test]
fn a_rule_that_is_taken_out_is_gone_and_no_other() {
    let mut rules = table(&["a.test", ".a.test", "a.test/h2"]);
    assert_eq!(rules.remove(&"a.test".parse().unwrap()), Some(0));
    assert_eq!(rules.remove(&"a.test".parse().unwrap()), None);
    assert_eq!(tls(&rules, "a.test", &[]).as_deref(), Some(".a.test"));
    assert_eq!(tls(&rules, "a.test", &["h2"]).as_deref(), Some("a.test/h2"));
    rules.remove(&".a.test".parse().unwrap());
    rules.remove(&"a.test/h2".parse().unwrap());
    assert!(rules.rules.is_empty());
    assert_eq!(rules.iter().count(), 0);
}

/// Whether a pattern matches a name, said a second time as simply as it can be.
fn matches(pattern: &str, name: &str) -> bool {
    let labels = |text: &str| text.split('.').filter(|label| !label.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (suffix, least, most) = match pattern.strip_prefix("**").map(|rest| (rest, 1, 9)) {
        Some(several) => several,
        None if pattern.starts_with("*.") => (&pattern[2..], 1, 1),
        None if pattern.starts_with('.') => (&pattern[1..], 0, 9),
        None => (pattern, 0, 0),
    };
    let (suffix, name) = (labels(suffix), labels(name));
    name.ends_with(&suffix) && (least..=most).contains(&(name.len() - suffix.len()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_is_found_where_one_matches_and_the_order_does_not_matter(
        rules in proptest::collection::hash_set("(\\*\\.|\\*\\*\\.|\\.|)([ab]\\.){0,2}[ab]", 1..12),
        name in "([ab]\\.){0,3}[ab]",
    ) {
        let mut rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let found = tls(&table(&rules), &name, &[]);
        let all: Vec<_> = rules.iter().filter(|rule| matches(rule, &name)).collect();
        match &found {
            None => prop_assert!(all.is_empty(), "{name}: {all:?}"),
            Some(rule) => prop_assert!(all.iter().any(|other| *other == rule), "{name}: {rule} of {all:?}"),
        }
        let parsed: ServerName = name.parse().unwrap();
        prop_assert_eq!(table(&rules).candidates(asked(Scheme::Tls, &parsed, &[])).len(), all.len());
        rules.reverse();
        prop_assert_eq!(tls(&table(&rules), &name, &[]), found);
    }
}
