//! `--diff`: why the fingerprints of two hellos differ.

use super::{
    decoded,
    facts::{Code, Facts},
    files::{Sightings, seen},
    seen::{Said, Seen},
    source::File,
};
use crate::{
    args::UsageError,
    report::{self, Look, Show, safe},
    serve::{Session, exit},
};
use anyhow::Context;
use serde::Serialize;
use std::{collections::HashMap, fmt::Write, process::ExitCode};

pub async fn run(files: &[File], session: &Session) -> anyhow::Result<ExitCode> {
    let [a, b] = two(files, session).await?;
    let diff = Diff::new(&a, &b, session.reporter.style().stdout);
    // Where nobody reads it, its status says it all the same.
    let _ = session.reporter.result(&diff).await;
    Ok(ExitCode::from(if diff.same { 0 } else { exit::NO }))
}

/// The first hellos of two files, or the first two of one.
async fn two(files: &[File], session: &Session) -> anyhow::Result<[Seen; 2]> {
    let wanted = match files {
        [_] => 2,
        [_, _] => 1,
        _ => return Err(UsageError(format!("--diff compares two hellos, and {} files are given", files.len())).into()),
    };
    let mut found = Vec::new();
    for file in files {
        let before = found.len();
        let mut sightings = Sightings::open(file, session).await?;
        while found.len() < before + wanted {
            let Some(sighting) = session.preparing(sightings.next()).await? else {
                sightings.finish(session).await?;
                anyhow::bail!("cannot compare {file}: it has {} ClientHellos, and {wanted} are needed", found.len() - before);
            };
            let seen = seen(file, true, sighting);
            if let Said::Hello { .. } = seen.said {
                found.push(seen);
            }
        }
    }
    found.try_into().ok().context("two hellos are needed")
}

/// Two hellos and what is different.
#[derive(Serialize)]
struct Diff {
    event: &'static str,
    /// JA4 is the same.
    same: bool,
    a: Side,
    b: Side,
    parts: Vec<Part>,
    fingerprints: Vec<Fingerprint>,
    /// Where GREASE stands among the cipher suites and extensions of each; no fingerprint looks at it.
    grease: [Vec<String>; 2],
    #[serde(skip)]
    look: Look,
}

#[derive(Serialize)]
struct Side {
    file: Option<String>,
    sni: Option<String>,
    ja4: String,
    #[serde(skip)]
    line: String,
}

/// Something that hellos say, without GREASE.
#[derive(Serialize)]
struct Part {
    part: &'static str,
    same: bool,
    /// What only the first one says.
    removed: Vec<String>,
    /// What only the second one says.
    added: Vec<String>,
    /// What both say is in another order.
    reordered: bool,
}

/// A fingerprint, or a part of one.
#[derive(Serialize)]
struct Fingerprint {
    fingerprint: &'static str,
    a: String,
    b: String,
    same: bool,
    /// The parts of the hello that make the difference.
    because_of: Vec<&'static str>,
}

impl Diff {
    fn new(a: &Seen, b: &Seen, look: Look) -> Self {
        let (Said::Hello { facts: first, .. }, Said::Hello { facts: second, .. }) = (&a.said, &b.said) else {
            unreachable!("only hellos are taken")
        };
        let parts: Vec<_> = said(first).into_iter().zip(said(second)).map(|((part, a), (_, b))| Part::new(part, &a, &b)).collect();
        let side = |seen: &Seen, facts: &Facts| Side {
            file: seen.origin.file.clone(),
            sni: facts.sni.clone(),
            ja4: facts.ja4.clone(),
            line: seen.line(),
        };
        Self {
            event: "diff",
            same: first.ja4 == second.ja4,
            a: side(a, first),
            b: side(b, second),
            fingerprints: fingerprints(first, second, &parts),
            parts,
            grease: [grease(first), grease(second)],
            look,
        }
    }
}

/// The names of the parts, as people read them.
const TRANSPORT: &str = "transport";
const LEGACY_VERSION: &str = "legacy version";
const VERSIONS: &str = "versions";
const SERVER_NAME: &str = "server name";
const ALPN: &str = "ALPN";
const CIPHER_SUITES: &str = "cipher suites";
const EXTENSIONS: &str = "extensions";
const GROUPS: &str = "groups";
const POINT_FORMATS: &str = "point formats";
const SIGNATURE_ALGORITHMS: &str = "signature algorithms";
const KEY_SHARES: &str = "key shares";
const COMPRESSION: &str = "compression";
const SESSION_ID: &str = "session id";

/// What a hello says, part by part, without GREASE.
fn said(facts: &Facts) -> Vec<(&'static str, Vec<String>)> {
    fn names<'a>(codes: impl Iterator<Item = &'a Code>) -> Vec<String> {
        codes.filter(|code| !code.is_grease()).map(|code| code.text().into_owned()).collect()
    }
    let formats = facts.extension_list.iter().find(|extension| extension.code.code == 11);
    let formats = formats.map_or(&[][..], |extension| decoded::items(&extension.decoded));
    let formats = formats.iter().filter_map(decoded::number).map(|(format, name)| name.map_or(format.to_string(), str::to_owned));
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

fn grease(facts: &Facts) -> Vec<String> {
    let places = |what, codes: Vec<&Code>| {
        let places = codes.into_iter().enumerate().filter(|(_, code)| code.is_grease());
        places.map(|(at, _)| format!("{what} {}", at + 1)).collect::<Vec<_>>()
    };
    let extensions = facts.extension_list.iter().map(|extension| &extension.code).collect();
    [places("cipher suite", facts.cipher_suites.iter().collect()), places("extension", extensions)].concat()
}

impl Part {
    fn new(part: &'static str, a: &[String], b: &[String]) -> Self {
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

fn fingerprints(a: &Facts, b: &Facts, parts: &[Part]) -> Vec<Fingerprint> {
    let differ = |names: &[&'static str]| -> Vec<&'static str> {
        parts.iter().filter(|part| names.contains(&part.part) && !part.same).map(|part| part.part).collect()
    };
    // What a sorted list looks at.
    let sets = |names: &[&'static str]| -> Vec<&'static str> {
        let differs = |part: &&Part| names.contains(&part.part) && !(part.removed.is_empty() && part.added.is_empty());
        parts.iter().filter(differs).map(|part| part.part).collect()
    };
    let mut all = Vec::new();
    let mut add = |fingerprint, a: &str, b: &str, because_of| {
        let same = a == b;
        let because_of = if same { Vec::new() } else { because_of };
        all.push(Fingerprint { fingerprint, a: a.to_owned(), b: b.to_owned(), same, because_of });
    };
    let ja4 = |facts: &Facts| facts.ja4.splitn(3, '_').map(str::to_owned).collect::<Vec<_>>();
    // JA4_c leaves out the extensions that JA4_a has a place for.
    let of_ja4_a = |extension: &String| ["server_name", "application_layer_protocol_negotiation"].contains(&extension.as_str());
    let sorted = parts.iter().filter(|part| part.part == EXTENSIONS && !part.removed.iter().chain(&part.added).all(of_ja4_a));
    let because =
        [ja4_a(&a.ja4, &b.ja4), sets(&[CIPHER_SUITES]), sorted.map(|part| part.part).chain(differ(&[SIGNATURE_ALGORITHMS])).collect()];
    for (((name, a), b), because_of) in ["JA4_a", "JA4_b", "JA4_c"].into_iter().zip(ja4(a)).zip(ja4(b)).zip(because) {
        add(name, &a, &b, because_of);
    }
    let others = [LEGACY_VERSION, CIPHER_SUITES, GROUPS, POINT_FORMATS];
    add("JA3", &a.ja3, &b.ja3, differ(&[&others[..], &[EXTENSIONS]].concat()));
    add("JA3N", &a.ja3n, &b.ja3n, [differ(&others), sets(&[EXTENSIONS])].concat());
    all
}

/// Which places of the readable part differ: `t13d1516h2`.
fn ja4_a(a: &str, b: &str) -> Vec<&'static str> {
    let places = [(0..1, TRANSPORT), (1..3, VERSIONS), (3..4, SERVER_NAME), (4..6, CIPHER_SUITES), (6..8, EXTENSIONS), (8..10, ALPN)];
    places.into_iter().filter(|(place, _)| a.get(place.clone()) != b.get(place.clone())).map(|(_, part)| part).collect()
}

impl Show for Diff {
    fn line(&self) -> String {
        let mut text = format!("a: {}\nb: {}\n\n", self.a.line, self.b.line);
        for part in self.parts.iter().filter(|part| !part.same) {
            let items = |sign: char, items: &[String]| items.iter().map(|item| format!("{sign}{}", safe(item))).collect::<Vec<_>>();
            let mut words = [items('-', &part.removed), items('+', &part.added)].concat();
            words.extend(part.reordered.then(|| "another order".to_owned()));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}: {}", part.part, words.join(" "));
        }
        let same: Vec<_> = self.parts.iter().filter(|part| part.same).map(|part| part.part).collect();
        let _ = writeln!(text, "the same: {}", if same.is_empty() { "nothing".into() } else { same.join(", ") });
        let [a, b] = &self.grease;
        if a != b {
            let places = |places: &[String]| if places.is_empty() { "nowhere".into() } else { places.join(", ") };
            let _ = writeln!(text, "GREASE, which makes no difference: a {}; b {}", places(a), places(b));
        }
        let mut table = report::table(self.look, &["fingerprint", "a", "b", "because of"]);
        for fingerprint in &self.fingerprints {
            let b = if fingerprint.same { "the same" } else { &fingerprint.b };
            table.add_row([fingerprint.fingerprint, &fingerprint.a, b, &fingerprint.because_of.join(", ")]);
        }
        text + "\n" + report::text(&table).trim_end()
    }
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
    fn the_readable_part_of_ja4_is_told_place_by_place() {
        assert_eq!(ja4_a("t13d1516h2_x", "q13d1516h3_x"), [TRANSPORT, ALPN]);
        assert_eq!(ja4_a("t13d1516h2_x", "t12i1417h2_x"), [VERSIONS, SERVER_NAME, CIPHER_SUITES, EXTENSIONS]);
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
