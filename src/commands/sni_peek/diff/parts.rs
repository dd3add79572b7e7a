//! What hellos say, part by part, and what of it differs.

use crate::commands::sni_peek::{
    decoded,
    facts::{Code, Facts},
};
use serde::Serialize;
use std::collections::HashMap;

/// Something that hellos say, without GREASE.
#[derive(Serialize)]
pub struct Part {
    pub part: &'static str,
    pub same: bool,
    /// What only the first one says.
    pub removed: Vec<String>,
    /// What only the second one says.
    pub added: Vec<String>,
    /// What both say is in another order.
    pub reordered: bool,
}

/// The names of the parts, as people read them.
pub const TRANSPORT: &str = "transport";
pub const LEGACY_VERSION: &str = "legacy version";
pub const VERSIONS: &str = "versions";
pub const SERVER_NAME: &str = "server name";
pub const ALPN: &str = "ALPN";
pub const CIPHER_SUITES: &str = "cipher suites";
pub const EXTENSIONS: &str = "extensions";
pub const GROUPS: &str = "groups";
pub const POINT_FORMATS: &str = "point formats";
pub const SIGNATURE_ALGORITHMS: &str = "signature algorithms";
pub const KEY_SHARES: &str = "key shares";
pub const COMPRESSION: &str = "compression";
pub const SESSION_ID: &str = "session id";

/// By the registry of IANA.
const EC_POINT_FORMATS: u16 = 11;

/// What a hello says, part by part, without GREASE.
pub fn said(facts: &Facts) -> Vec<(&'static str, Vec<String>)> {
    fn names<'a>(codes: impl Iterator<Item = &'a Code>) -> Vec<String> {
        codes.filter(|code| !code.is_grease()).map(|code| code.text().into_owned()).collect()
    }
    let formats = facts.extension_list.iter().find(|extension| extension.code.code == EC_POINT_FORMATS);
    let formats = formats.map_or(&[][..], |extension| decoded::items(&extension.decoded.0));
    let formats = formats.iter().filter_map(decoded::code).map(|(format, name)| name.map_or(format.to_string(), str::to_owned));
    // JA4 tells QUIC and DTLS from TLS, and not in which records it came.
    let transport = if matches!(facts.framing, "quic" | "dtls") { facts.framing } else { "tcp" };
    vec![
        (TRANSPORT, vec![transport.to_owned()]),
        (LEGACY_VERSION, vec![facts.legacy_version.clone()]),
        (VERSIONS, facts.versions.clone()),
        (SERVER_NAME, facts.sni.iter().cloned().collect()),
        (ALPN, facts.alpn.clone()),
        (CIPHER_SUITES, names(facts.cipher_suites.iter())),
        (EXTENSIONS, names(facts.extension_list.iter().map(|extension| &extension.code))),
        (GROUPS, names(facts.groups.iter())),
        (POINT_FORMATS, formats.collect()),
        (SIGNATURE_ALGORITHMS, names(facts.signature_algorithms.iter())),
        (KEY_SHARES, names(facts.key_shares.iter().map(|share| &share.group))),
        (COMPRESSION, names(facts.compression_methods.iter())),
        (SESSION_ID, vec![format!("{} bytes", facts.session_id.len() / 2)]),
    ]
}

pub fn grease(facts: &Facts) -> Vec<String> {
    let places = |what, codes: Vec<&Code>| {
        let places = codes.into_iter().enumerate().filter(|(_, code)| code.is_grease());
        places.map(|(at, _)| format!("{what} {}", at + 1)).collect::<Vec<_>>()
    };
    let extensions = facts.extension_list.iter().map(|extension| &extension.code).collect();
    [places("cipher suite", facts.cipher_suites.iter().collect()), places("extension", extensions)].concat()
}

impl Part {
    pub fn new(part: &'static str, a: &[String], b: &[String]) -> Self {
        let (removed, added) = (missing(a, b), missing(b, a));
        // With each as often in both, another order is all that is left.
        let common = |all: &[String], only: &[String]| missing(all, only);
        let reordered = common(a, &removed) != common(b, &added);
        Self { part, same: a == b, removed, added, reordered }
    }
}

/// What is in `all` more often than in `others`, in its order.
fn missing(all: &[String], others: &[String]) -> Vec<String> {
    let mut there: HashMap<&str, usize> = HashMap::new();
    for other in others {
        *there.entry(other).or_default() += 1;
    }
    let is_missing = |item: &&String| match there.get_mut(item.as_str()) {
        Some(count @ 1..) => {
            *count -= 1;
            false
        }
        _ => true,
    };
    all.iter().filter(is_missing).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(a: &str, b: &str) -> (String, String, bool) {
        let list = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let part = Part::new("x", &list(a), &list(b));
        assert_eq!(part.same, a == b);
        (part.removed.concat(), part.added.concat(), part.reordered)
    }

    #[test]
    fn lists_differ_by_what_is_missing_and_by_their_order() {
        for (a, b, removed, added, reordered) in [
            ("abc", "abc", "", "", false),
            ("abc", "acb", "", "", true),
            ("abc", "abd", "c", "d", false),
            ("abc", "dba", "c", "d", true),
            ("aab", "ab", "a", "", false),
            ("", "ab", "", "ab", false),
        ] {
            assert_eq!(part(a, b), (removed.into(), added.into(), reordered), "{a} {b}");
        }
    }
}
