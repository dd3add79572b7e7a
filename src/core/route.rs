//! From a server name to where it is served.

use crate::{
    addr::{AddrError, TargetSpec},
    name::ServerName,
};
use std::{collections::HashMap, fmt, str::FromStr};

/// The name of a rule: exact, or `*.parent` for every name that has one label more than `parent`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// This name.
    Exact(ServerName),
    /// This name with exactly one label before it.
    Wildcard(ServerName),
}

/// A rule as written: `NAME=TARGET[,TARGET...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which names.
    pub pattern: Pattern,
    /// Where to.
    pub targets: Vec<TargetSpec>,
}

/// Rules by name. The order in which they were given never matters: an exact name wins over a wildcard.
#[derive(Clone, Debug)]
pub struct Table<T> {
    rules: HashMap<Pattern, T>,
}

impl<T> Table<T> {
    /// A table of rules.
    ///
    /// # Errors
    /// Two rules for the same name.
    pub fn new(rules: impl IntoIterator<Item = (Pattern, T)>) -> Result<Self, DuplicateRule> {
        let mut table = HashMap::new();
        for (pattern, to) in rules {
            if table.contains_key(&pattern) {
                return Err(DuplicateRule(pattern));
            }
            table.insert(pattern, to);
        }
        Ok(Self { rules: table })
    }

    /// The rule for a name.
    #[must_use]
    pub fn find(&self, name: &ServerName) -> Option<(&Pattern, &T)> {
        let wildcard = || Some(Pattern::Wildcard(name.parent()?.parse().ok()?));
        self.rules.get_key_value(&Pattern::Exact(name.clone())).or_else(|| self.rules.get_key_value(&wildcard()?))
    }

    /// The same rules, with something else that they lead to.
    #[must_use]
    pub fn map<U>(self, to: impl Fn(T) -> U) -> Table<U> {
        Table { rules: self.rules.into_iter().map(|(pattern, old)| (pattern, to(old))).collect() }
    }
}

/// Two rules name the same thing, so that one of them would never be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("two rules are given for {0}")]
pub struct DuplicateRule(Pattern);

impl FromStr for Pattern {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        match text.strip_prefix("*.") {
            Some(parent) => parent.parse().map(Self::Wildcard),
            None => text.parse().map(Self::Exact),
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (name, targets) = text.split_once('=').ok_or_else(|| RuleError::NoTarget(text.to_owned()))?;
        Ok(Self { pattern: name.parse()?, targets: TargetSpec::list(targets)? })
    }
}

/// A text that is no rule.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is no `=`.
    #[error("{0:?} is not a rule; write NAME=TARGET[,TARGET...]")]
    NoTarget(String),
    /// The name or a target is wrong.
    #[error(transparent)]
    Addr(#[from] AddrError),
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str]) -> Table<usize> {
        Table::new(names.iter().enumerate().map(|(i, name)| (name.parse().unwrap(), i))).unwrap()
    }

    fn find(table: &Table<usize>, name: &str) -> Option<usize> {
        table.find(&name.parse().unwrap()).map(|(_, to)| *to)
    }

    #[test]
    fn exact_wins_over_wildcard_in_either_order() {
        for names in [["a.b.test", "*.b.test"], ["*.b.test", "a.b.test"]] {
            let table = table(&names);
            let exact = names.iter().position(|name| *name == "a.b.test");
            let wildcard = names.iter().position(|name| *name == "*.b.test");
            assert_eq!(find(&table, "A.b.Test."), exact);
            assert_eq!(find(&table, "x.b.test"), wildcard);
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label_and_nothing_matches_by_accident() {
        let table = table(&["*.b.test", "good.test"]);
        for name in ["b.test", "x.y.b.test", "good.test.evil", "xgood.test", "test"] {
            assert_eq!(find(&table, name), None, "{name}");
        }
    }

    #[test]
    fn the_same_name_twice_is_an_error() {
        let twice = ["a.test", "A.test."].map(|name| (name.parse().unwrap(), ()));
        assert_eq!(Table::new(twice).unwrap_err().to_string(), "two rules are given for a.test");
    }

    #[test]
    fn a_rule_may_have_several_targets() {
        let rule: Rule = "*.b.test=127.0.0.1:1,9444,weight=2".parse().unwrap();
        assert_eq!(rule.pattern.to_string(), "*.b.test");
        assert_eq!(rule.targets.iter().map(|t| t.weight).collect::<Vec<_>>(), [1, 2]);
        for wrong in ["a.test", "=1", "a..test=1", "*=1", "a.*.test=1", "a.test="] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
