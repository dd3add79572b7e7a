//! What connections are routed by: the head of an HTTP request, and rules as they are written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tapline::{
    hello::Name,
    host::Head,
    route::{Asked, Matcher, Rule, Scheme, Table},
};

fuzz_target!(|bytes: &[u8]| {
    let whole = Head::default().read(bytes);
    let mut cut = Head::default();
    let prefix = [bytes.len() / 3, bytes.len() / 2].into_iter().find_map(|end| cut.read(&bytes[..end]));
    assert_eq!(prefix.or_else(|| cut.read(bytes)), whole, "it depends on how the bytes are cut");
    if let Some(Ok(request)) = whole
        && let Name::Dns(name) = &request.name
    {
        let sent = request.authority.expect("a name was sent");
        assert!(sent.trim_end_matches('.').eq_ignore_ascii_case(name.as_str()), "{sent} is not {name}");
        // A rule for the name is found for it.
        let matcher: Matcher = name.as_str().parse().expect("a name is a pattern");
        let table = Table::new([(matcher, ())]).expect("one rule");
        assert!(table.find(Asked { scheme: Scheme::Http, name, alpn: &[] }).is_some());
    }
    if let Ok(rule) = std::str::from_utf8(bytes).unwrap_or_default().parse::<Rule>() {
        let again: Matcher = rule.matcher.to_string().parse().expect("what is printed can be written");
        assert_eq!(again, rule.matcher);
    }
});
