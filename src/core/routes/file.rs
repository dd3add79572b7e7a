//! Rules in a file: one a line, as they are given as arguments.

use super::MOST_RULES;
use crate::{
    lines::{FileError, Lines},
    route::{Matcher, Rule, RuleError},
};
use std::{collections::HashMap, path::Path};

const LINES: Lines = Lines { what: "rule", most: MOST_RULES };

/// Reads a file's rules; where it is a pipe, until its writers have gone.
///
/// # Errors
/// It cannot be read; a line is no rule; two lines are for the same clients.
pub(super) fn read(path: &Path) -> Result<Vec<Rule>, FileError> {
    LINES.read(path, rule())
}

fn rule() -> impl FnMut(usize, &str) -> Result<Rule, String> {
    let mut lines: HashMap<Matcher, usize> = HashMap::new();
    move |number, text| {
        let rule: Rule = text.parse().map_err(|error: RuleError| error.to_string())?;
        match lines.insert(rule.matcher.clone(), number) {
            Some(first) => Err(format!("{} has a rule in line {first} already", rule.matcher)),
            None => Ok(rule),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &[u8]) -> Result<Vec<String>, String> {
        let rules = LINES.parse(Path::new("routes"), text, rule()).map_err(|error| error.to_string())?;
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
