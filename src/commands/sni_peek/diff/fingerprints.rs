//! Which parts of two hellos make their fingerprints differ.

use super::parts::{
    ALPN, CIPHER_SUITES, EXTENSIONS, GROUPS, LEGACY_VERSION, POINT_FORMATS, Part, SERVER_NAME, SIGNATURE_ALGORITHMS, TRANSPORT, VERSIONS,
};
use crate::commands::sni_peek::facts::Facts;
use serde::Serialize;

/// A fingerprint, or a part of one.
#[derive(Serialize)]
pub struct Fingerprint {
    pub fingerprint: &'static str,
    pub a: String,
    pub b: String,
    pub same: bool,
    /// The parts of the hello that make the difference.
    pub because_of: Vec<&'static str>,
}

pub fn fingerprints(a: &Facts, b: &Facts, parts: &[Part]) -> Vec<Fingerprint> {
    // Those that differ among `ordered`, and those whose items differ, in whatever order, among `sorted`.
    let because_of = |ordered: &[&'static str], sorted: &[&'static str]| -> Vec<&'static str> {
        let differs = |part: &&Part| {
            ordered.contains(&part.part) && !part.same || sorted.contains(&part.part) && !(part.removed.is_empty() && part.added.is_empty())
        };
        parts.iter().filter(differs).map(|part| part.part).collect()
    };
    // JA4_c leaves out the extensions that JA4_a has a place for.
    let of_ja4_a = |extension: &String| ["server_name", "application_layer_protocol_negotiation"].contains(&extension.as_str());
    let extensions = parts.iter().find(|part| part.part == EXTENSIONS);
    let others_differ = extensions.is_some_and(|part| !part.removed.iter().chain(&part.added).all(of_ja4_a));
    let ja4_c = because_of(&[SIGNATURE_ALGORITHMS], if others_differ { &[EXTENSIONS] } else { &[] });
    let ja3 = [LEGACY_VERSION, CIPHER_SUITES, GROUPS, POINT_FORMATS];

    let mut all = Vec::new();
    let mut add = |fingerprint, a: &str, b: &str, because_of| {
        let same = a == b;
        let because_of = if same { Vec::new() } else { because_of };
        all.push(Fingerprint { fingerprint, a: a.to_owned(), b: b.to_owned(), same, because_of });
    };
    let ja4 = |facts: &Facts| facts.ja4.splitn(3, '_').map(str::to_owned).collect::<Vec<_>>();
    let because = [ja4_a(&a.ja4, &b.ja4), because_of(&[], &[CIPHER_SUITES]), ja4_c];
    for (((name, a), b), because_of) in ["JA4_a", "JA4_b", "JA4_c"].into_iter().zip(ja4(a)).zip(ja4(b)).zip(because) {
        add(name, &a, &b, because_of);
    }
    add("JA3", &a.ja3, &b.ja3, because_of(&[&ja3[..], &[EXTENSIONS]].concat(), &[]));
    add("JA3N", &a.ja3n, &b.ja3n, because_of(&ja3, &[EXTENSIONS]));
    all
}

/// Which places of the readable part differ: `t13d1516h2`.
fn ja4_a(a: &str, b: &str) -> Vec<&'static str> {
    let places = [(0..1, TRANSPORT), (1..3, VERSIONS), (3..4, SERVER_NAME), (4..6, CIPHER_SUITES), (6..8, EXTENSIONS), (8..10, ALPN)];
    places.into_iter().filter(|(place, _)| a.get(place.clone()) != b.get(place.clone())).map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readable_part_of_ja4_is_told_place_by_place() {
        assert_eq!(ja4_a("t13d1516h2_x", "q13d1516h3_x"), [TRANSPORT, ALPN]);
        assert_eq!(ja4_a("t13d1516h2_x", "t12i1417h2_x"), [VERSIONS, SERVER_NAME, CIPHER_SUITES, EXTENSIONS]);
    }
}
