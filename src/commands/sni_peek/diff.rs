//! `--diff`: why the fingerprints of two hellos differ.

mod fingerprints;
mod parts;

use super::{
    facts::Facts,
    files::{Sightings, seen},
    seen::Said,
    source::File,
};
use crate::{
    args::UsageError,
    report::{self, Look, Show, safe},
    serve::{Session, exit},
};
use anyhow::Context;
use fingerprints::{Fingerprint, fingerprints};
use parts::{Part, grease, said};
use serde::Serialize;
use std::{fmt::Write, process::ExitCode};

pub async fn run(files: &[File], session: &Session) -> anyhow::Result<ExitCode> {
    let [a, b] = two(files, session).await?;
    let diff = Diff::new(a, b, session.reporter.style().stdout);
    // Where nobody reads it, its status says it all the same.
    let _ = session.reporter.result(&diff).await;
    Ok(ExitCode::from(if diff.same { 0 } else { exit::NO }))
}

/// The first hellos of two files, or the first two of one.
async fn two(files: &[File], session: &Session) -> anyhow::Result<[(Side, Box<Facts>); 2]> {
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
                match found.len() - before {
                    0 => anyhow::bail!("cannot compare {file}: it has no ClientHello that can be read"),
                    n => anyhow::bail!("cannot compare {file}: it has {n} of the {wanted} ClientHellos that are needed"),
                }
            };
            let seen = seen(file, true, sighting);
            let line = seen.line();
            match seen.said {
                Said::Hello { facts, .. } => {
                    found.push((Side { file: file.to_string(), sni: facts.sni.clone(), ja4: facts.ja4.clone(), line }, facts));
                }
                // Who expects it to be compared learns why it is not.
                Said::BadHello { .. } => session.reporter.note(line),
                Said::NotTls { .. } => {}
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
    file: String,
    sni: Option<String>,
    ja4: String,
    #[serde(skip)]
    line: String,
}

impl Diff {
    fn new((a, first): (Side, Box<Facts>), (b, second): (Side, Box<Facts>), look: Look) -> Self {
        let parts: Vec<_> = said(&first).into_iter().zip(said(&second)).map(|((part, a), (_, b))| Part::new(part, &a, &b)).collect();
        Self {
            event: "diff",
            same: first.ja4 == second.ja4,
            a,
            b,
            fingerprints: fingerprints(&first, &second, &parts),
            parts,
            grease: [grease(&first), grease(&second)],
            look,
        }
    }
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
        let mut table = report::wide_table(self.look, &["fingerprint", "a", "b", "because of"]);
        for fingerprint in &self.fingerprints {
            let b = if fingerprint.same { "the same" } else { &fingerprint.b };
            table.add_row([fingerprint.fingerprint, &fingerprint.a, b, &fingerprint.because_of.join(", ")]);
        }
        text + "\n" + report::text(&table).trim_end()
    }
}
