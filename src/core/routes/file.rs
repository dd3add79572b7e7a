//! Rules in a file: one a line, as they are given as arguments.

mod watch;

pub(super) use watch::follow;

use super::MOST_RULES;
use crate::{
    event::brief,
    route::{Matcher, Rule},
};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The longest file that is read.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A file that gives no rules.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}", path = .0.display(), error = .1)]
    Read(PathBuf, #[source] io::Error),
    /// A line is no rule.
    #[error("{path}, line {line}: {why}", path = .path.display())]
    Line { path: PathBuf, line: usize, why: String },
    /// There is something else in its place, of which nobody knows when it ends.
    #[error("{path} is no regular file any more", path = .0.display())]
    Replaced(PathBuf),
    /// There is too much of it.
    #[error("{path} is longer than 64 MiB or {MOST_RULES} rules", path = .0.display())]
    TooLong(PathBuf),
}

/// Reads a file's rules; where it is a pipe, until its writers have gone.
///
/// # Errors
/// It cannot be read; a line is no rule; two lines are for the same clients.
pub(super) fn read(path: &Path) -> Result<Vec<Rule>, FileError> {
    let failed = |error| FileError::Read(path.to_owned(), error);
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(FileError::TooLong(path.to_owned()));
    }
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Rule>, FileError> {
    let mut lines: HashMap<Matcher, usize> = HashMap::new();
    let mut rules = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let wrong = |why: &str| FileError::Line { path: path.to_owned(), line: number, why: brief(why) };
        let text = without_comment(std::str::from_utf8(line).map_err(|_| wrong("is not UTF-8"))?);
        if text.is_empty() {
            continue;
        }
        if text.contains(char::is_whitespace) {
            return Err(wrong(&format!("{text:?} holds a space; write one rule a line")));
        }
        let rule: Rule = text.parse().map_err(|error: crate::route::RuleError| wrong(&error.to_string()))?;
        if let Some(first) = lines.insert(rule.matcher.clone(), number) {
            return Err(wrong(&format!("{} has a rule in line {first} already", rule.matcher)));
        }
        if rules.len() == MOST_RULES {
            return Err(FileError::TooLong(path.to_owned()));
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// A line without what follows a `#` at its start or after a space, and without the space around.
fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let end = line.match_indices('#').find(begins).map_or(line.len(), |(at, _)| at);
    line[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Result<Vec<String>, String> {
        let rules = parse(Path::new("routes"), text).map_err(|error| error.to_string())?;
        Ok(rules.iter().map(|rule| format!("{}={}", rule.matcher, rule.to)).collect())
    }

    #[test]
    fn a_line_is_a_rule_a_comment_or_blank() {
        let text = b"# all\n\na.test=h:1,h:2\r\n  *.b.test=unix:/run/x#y # why\n\t#\nhttp://c.test=h:3";
        assert_eq!(parsed(text).unwrap(), ["a.test=h:1,h:2", "*.b.test=unix:/run/x#y", "http://c.test=h:3"]);
        assert_eq!(parsed(b"").unwrap(), [""; 0]);
    }

    #[test]
    fn an_error_names_file_line_and_reason() {
        for (text, why) in [
            (&b"\na.test"[..], "routes, line 2: \"a.test\" is not a rule"),
            (b"a.test=h:1\n#\nA.test.=h:2\n", "routes, line 3: a.test has a rule in line 1 already"),
            (b"a.test=h:1 b.test=h:2", "routes, line 1: \"a.test=h:1 b.test=h:2\" holds a space"),
            (b"a.test=h:1\n\xff=h:1", "routes, line 2: is not UTF-8"),
            (b"a..test=h:1", "\"a..test\" is not a DNS name"),
            (b"a.test=h:99999", "ports go from 0 to 65535"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let long = parsed(&vec![b'x'; 100_000]).unwrap_err();
        assert!(long.len() < 300, "{long}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_rules_or_an_error_of_a_line(bytes in "(([a-z*.]{1,8}=)?[a-z0-9:,=. #]{0,12}\\n|\\PC{0,9}\\r?\\n){0,8}", cut in 0_usize..4) {
            // Cut anywhere, also within a character.
            let bytes = &bytes.as_bytes()[..bytes.len().saturating_sub(cut)];
            match parsed(bytes) {
                Ok(rules) => proptest::prop_assert!(rules.len() <= bytes.split(|byte| *byte == b'\n').count()),
                Err(why) => proptest::prop_assert!(why.starts_with("routes, line "), "{}", why),
            }
        }
    }
}
