//! Names that a browser may ask for over one HTTP/2 connection although they lead to different places.

use super::{Found, Leads, Scheme};
use std::collections::HashMap;

/// Two rules that lead to different targets although one certificate could serve both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coalescing {
    /// One of them.
    pub one: String,
    /// Another.
    pub other: String,
    /// How many rules have such a neighbour, these two among them.
    pub rules: usize,
}

/// Looks for rules of TLS that lead to different targets for names that share a parent, and so, most often, a wildcard
/// certificate: over a connection for one of them a browser also asks for the others (RFC 9113 section 9.1.1), which this
/// side does not see. Linear. Parents of a single label are left out: nobody has a certificate for `*.test`.
pub fn coalescing<'a, T: Leads + 'a>(rules: impl Iterator<Item = Found<'a, T>>) -> Option<Coalescing> {
    struct Family<'a, T> {
        first: Found<'a, T>,
        /// A rule of the same pattern that leads elsewhere.
        beside: Option<Found<'a, T>>,
        /// One of another pattern that leads to the same target.
        alike: Option<Found<'a, T>>,
        /// One of another pattern that leads elsewhere.
        other: Option<Found<'a, T>>,
        members: usize,
    }
    let mut families: HashMap<&'a str, Family<'a, T>> = HashMap::new();
    for rule in rules {
        let other_protocol = rule.alpn().is_some_and(|alpn| alpn.as_str() != "h2");
        let Some(parent) = parent(&rule).filter(|_| !other_protocol && rule.scheme() != Some(Scheme::Http)) else { continue };
        let family = families.entry(parent).or_insert(Family { first: rule, beside: None, alike: None, other: None, members: 0 });
        family.members += 1;
        let place = match (rule.is_beside(&family.first), rule.to().destination() == family.first.to().destination()) {
            (true, true) => continue,
            (true, false) => &mut family.beside,
            (false, true) => &mut family.alike,
            (false, false) => &mut family.other,
        };
        place.get_or_insert(rule);
    }
    // A name with rules of its own by scheme or protocol is one name: those are not at odds with each other, but each may be
    // with those of other names.
    let pair = |family: &Family<'a, T>| family.other.map(|other| (family.first, other)).or(family.beside.zip(family.alike));
    let at_odds = || families.values().filter_map(|family| pair(family).map(|(one, other)| (one, other, family.members)));
    let rules = at_odds().map(|(.., members)| members).sum();
    let named = |(one, other, _): (Found<'_, _>, Found<'_, _>, _)| {
        let mut pair = [one.to_string(), other.to_string()];
        pair.sort();
        pair
    };
    let [one, other] = at_odds().map(named).min()?;
    Some(Coalescing { one, other, rules })
}

/// The domain whose wildcard certificate could serve the names of a rule; most such certificates name the domain itself too.
fn parent<'a, T>(rule: &Found<'a, T>) -> Option<&'a str> {
    let has_parent = |name: &&str| name.contains('.');
    let above = rule.suffix().split_once('.').map(|(_, rest)| rest).filter(|_| rule.is_exact()).filter(has_parent);
    Some(above.unwrap_or(rule.suffix())).filter(has_parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Rule, Table};

    fn found(rules: &[&str]) -> Option<(String, String, usize)> {
        let rules = rules.iter().map(|rule| rule.parse::<Rule>().unwrap()).map(|rule| (rule.matcher, rule.to));
        let table = Table::new(rules).unwrap();
        coalescing(table.iter()).map(|Coalescing { one, other, rules }| (one, other, rules))
    }

    #[test]
    fn names_under_one_parent_with_different_targets_are_found() {
        let pair = |one: &str, other: &str, rules| Some((one.to_owned(), other.to_owned(), rules));
        assert_eq!(found(&["a.b.test=1", "c.b.test=2"]), pair("a.b.test", "c.b.test", 2));
        assert_eq!(found(&["*.b.test=1", "b.test=2"]), pair("*.b.test", "b.test", 2));
        assert_eq!(found(&[".b.test=1", "x.b.test/h2=2", "y.b.test=1"]).map(|(.., rules)| rules), Some(3));
        // Whatever is met first: one of the rules of a name is at odds with the other name, the other is not.
        for rules in [["a.b.test=1", "a.b.test/h2=2", "c.b.test=1"], ["c.b.test=1", "a.b.test/h2=2", "a.b.test=1"]] {
            for _ in 0..20 {
                assert_eq!(found(&rules).map(|(.., rules)| rules), Some(3));
            }
        }
        assert_eq!(found(&["a.b.test=passthrough:1", "c.b.test=1", "a.d.test=1", "c.d.test=2"]), pair("a.b.test", "c.b.test", 4));
    }

    #[test]
    fn what_cannot_share_a_connection_is_not() {
        for rules in [
            &["a.b.test=1", "c.b.test=1"][..],
            &["a.test=1", "b.test=2"],
            &["**.test=1", "b.test=2"],
            &["a.b.test=1", "http://c.b.test=2"],
            &["a.b.test=1", "c.b.test/acme-tls/1=2"],
            &["a.b.test=1", "a.b.test/h2=2"],
            &["a.b.test=1", "a.b.c.test=2"],
            &[],
        ] {
            assert_eq!(found(rules), None, "{rules:?}");
        }
    }
}
