use super::*;

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn came(name: &str, backends: &[&str], frontend: &[&str], dead: &[&str]) -> (Vec<String>, Vec<String>) {
    let named = Named { backends: Ok(texts(backends)), frontend: Ok(texts(frontend)), dead: Ok(texts(dead)) };
    let mut skipped = Vec::new();
    let rules = rules(name.as_bytes(), &named, |words| skipped.push(words.to_owned()));
    let possible = matchers(name.as_bytes());
    assert!(rules.iter().all(|rule| possible.contains(&rule.matcher)), "{name}: a rule that no change would find");
    (rules.iter().map(|rule| format!("{}={}", rule.matcher, rule.to)).collect(), skipped)
}

#[test]
fn keys_have_names() {
    for (key, name) in [
        ("hostnames:a.test:backends", Some((Family::Hostnames, "a.test"))),
        ("frontend:*.a.test", Some((Family::Frontend, "*.a.test"))),
        ("dead:a.test", Some((Family::Dead, "a.test"))),
        ("hostnames:a.test", None),
        ("xfrontend:a.test", None),
        ("frontend", None),
    ] {
        let found = name_of(key.as_bytes());
        assert_eq!(found, name.map(|(family, name)| (family, name.as_bytes())), "{key}");
        if let Some((family, name)) = found {
            assert_eq!(key_of(family, name), key.as_bytes());
        }
    }
}

#[test]
fn a_set_is_a_rule_for_both_schemes_unless_a_port_is_left_to_them() {
    assert_eq!(came("a.test", &["h2:80", "10.0.0.1:9443"], &[], &[]).0, ["a.test=10.0.0.1:9443,h2:80"]);
    assert_eq!(came("a.test", &["h:1", "10.0.0.1"], &[], &[]).0, ["tls://a.test=10.0.0.1:443,h:1", "http://a.test=10.0.0.1:80,h:1"]);
    assert_eq!(came("a.test", &["::1", "[::2]:5"], &[], &[]).0, ["tls://a.test=[::1]:443,[::2]:5", "http://a.test=[::1]:80,[::2]:5"]);
    assert_eq!(came("httpsDefault", &["h", "h:5"], &[], &[]).0, ["tls://**=h:443,h:5"]);
    assert_eq!(came("httpDefault", &["h"], &[], &[]).0, ["http://**=h:80"]);
}

#[test]
fn a_list_is_a_rule_without_its_dead() {
    let list = ["id", "http://10.0.0.1:8080", "http://h/", "https://[::1]", "http://[::1]:81/"];
    assert_eq!(came("a.test", &[], &list, &[]).0, ["a.test=10.0.0.1:8080,h:80,[::1]:443,[::1]:81"]);
    assert_eq!(came("a.test", &[], &list, &["1", "3", "9", "x"]).0, ["a.test=10.0.0.1:8080,[::1]:443"]);
    assert_eq!(came("a.test", &[], &list[..2], &["0"]).0, ["a.test=10.0.0.1:8080"], "all dead are all tried");
    assert_eq!(came("*.a.test", &[], &list[..2], &[]).0, ["**.a.test=10.0.0.1:8080"]);
    assert_eq!(came("*", &[], &list[..2], &[]).0, ["**=10.0.0.1:8080"]);
    // An identifier alone is a frontend that has no backend yet.
    assert_eq!(came("a.test", &[], &["id"], &[]), (vec![], vec![]));
    assert_eq!(came("a.test", &[], &[], &["0"]), (vec![], vec![]));
}

#[test]
fn of_both_the_set_counts() {
    assert_eq!(came("a.test", &["h:1"], &["id", "http://h:2"], &[]).0, ["a.test=h:1"]);
}

#[test]
fn what_is_wrong_is_skipped_and_told_and_the_rest_counts() {
    let (rules, skipped) =
        came("a.test", &["h:1", "unix:/run/x", "builtin:http", "tls:h:1", "8080", "h:0", "h:1,weight=3", "h:x", ""], &[], &[]);
    assert_eq!(rules, ["a.test=h:1"]);
    assert_eq!(skipped.len(), 8, "{skipped:?}");
    assert!(skipped.contains(&"hostnames:a.test:backends: \"h:1,weight=3\" is not HOST:PORT".to_owned()), "{skipped:?}");
    let (rules, skipped) =
        came("a.test", &[], &["id", "h:1", "ftp://h:1", "http://", "http://h:1/path", "http://u@h:1", "http://h:2"], &["5"]);
    assert_eq!((rules, skipped.len()), (vec!["a.test=h:2".to_owned()], 5), "{skipped:?}");
    for name in ["A.test", "a.test.", "a b", "127.0.0.1", ".a.test", "**.a.test", "tls://a.test", "a.test/h2", "w*.a.test", "a=b", "", "**"]
    {
        for (backends, frontend) in [(&["h:1"][..], &[][..]), (&[], &["id", "http://h:1"])] {
            let (rules, skipped) = came(name, backends, frontend, &[]);
            assert!(
                rules.is_empty() && skipped.len() == 1 && skipped[0].ends_with("names no host in lower case"),
                "{name}: {rules:?} {skipped:?}"
            );
        }
    }
    for (name, backends, frontend) in
        [("*.a.test", &["h:1"][..], &[][..]), ("*", &["h:1"], &[]), ("httpsDefault", &[], &["id", "http://h:1"])]
    {
        let (rules, skipped) = came(name, backends, frontend, &[]);
        assert!(rules.is_empty() && skipped.len() == 1, "{name}: {rules:?} {skipped:?}");
    }
}

#[test]
fn what_is_told_of_a_wrong_entry_holds_no_password() {
    let mut skipped = came("a.test", &["u:secret@h:1"], &[], &[]).1;
    skipped.extend(came("a.test", &[], &["id", "http://u:secret@h:1/"], &[]).1);
    assert!(skipped.len() == 2 && skipped.iter().all(|why| why.contains("\"...@h:1") && !why.contains("secret")), "{skipped:?}");
}

#[test]
fn who_writes_to_redis_opens_no_way_to_any_name() {
    for member in ["passthrough", "passthrough:443"] {
        let named = Named { backends: Ok(texts(&[member])), frontend: Ok(Vec::new()), dead: Ok(Vec::new()) };
        let rules = rules(b"a.test", &named, |_| {});
        assert!(!rules.is_empty() && rules.iter().all(|rule| matches!(rule.to, Destination::Targets(_))), "{rules:?}");
    }
}

#[test]
fn too_many_targets_and_another_type_are_that_names_mistake() {
    let many: Vec<_> = (0..=MOST_TARGETS).map(|port| format!("h:{}", port + 1)).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(came("a.test", &many[1..], &[], &[]).1, [""; 0]);
    assert_eq!(came("a.test", &many, &[], &[]).1, ["hostnames:a.test:backends: has more than 256 targets"]);
    let named = Named { backends: Ok(Vec::new()), frontend: Err("is of another type".into()), dead: Ok(Vec::new()) };
    let mut told = String::new();
    assert!(rules(b"a.test", &named, |words| told.push_str(words)).is_empty());
    assert_eq!(told, "frontend:a.test: is of another type");
}

proptest::proptest! {
    /// Whatever anybody writes: no rule leads anywhere but to hosts and ports, and a change of the name finds each rule again.
    #[test]
    fn nothing_that_is_written_leads_astray(
        name in "[a-zA-Z*.:/=, -]{0,12}|httpsDefault|httpDefault|\\PC{0,5}",
        members in proptest::collection::vec("(https?://)?[a-z0-9.:\\[\\],=/-]{0,16}|unix:/x|builtin:echo|tls:h:1|passthrough:443|\\PC{0,5}", 0..5),
        is_list: bool,
        dead in proptest::collection::vec("[0-9]", 0..3),
    ) {
        let texts = |texts: &[String]| Ok(texts.iter().map(|text| text.clone().into_bytes()).collect());
        let (backends, frontend) = if is_list { (Ok(Vec::new()), texts(&members)) } else { (texts(&members), Ok(Vec::new())) };
        let named = Named { backends, frontend, dead: texts(&dead) };
        let possible = matchers(name.as_bytes());
        for rule in rules(name.as_bytes(), &named, |_| {}) {
            proptest::prop_assert!(possible.contains(&rule.matcher), "{:?}", rule);
            let Destination::Targets(targets) = &rule.to else { panic!("{rule:?}") };
            proptest::prop_assert!(targets.iter().all(|spec| matches!(spec.target, Target::Tcp(_)) && spec.weight.get() == 1), "{:?}", rule);
        }
    }
}
