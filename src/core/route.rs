//! From the name that a client asks for to where it is served.

mod coalescing;
mod decision;
mod pattern;
mod table;

pub use coalescing::{Coalescing, coalescing};
pub use decision::{Also, Outcome, Routed, write_why};
pub use pattern::{Alpn, Matcher, Pattern, Scheme};
pub use table::{Asked, Candidate, DuplicateRule, Found, Table, Unfit};

use crate::addr::{AddrError, TargetSpec};
use std::{fmt, num::NonZeroU16, str::FromStr};

/// A rule as written: `[SCHEME://]NAME[/ALPN]=TARGET[,TARGET...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which clients.
    pub matcher: Matcher,
    /// Where to.
    pub to: Destination,
}

/// Where a rule leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To one of these targets; there is at least one.
    Targets(Vec<TargetSpec>),
    /// To the name that the client asks for, on this port.
    Passthrough(NonZeroU16),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (matcher, to) = text.split_once('=').ok_or_else(|| RuleError::NoTarget(text.to_owned()))?;
        Ok(Self { matcher: matcher.parse()?, to: to.parse()? })
    }
}

impl FromStr for Destination {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        if !text.split(',').any(is_passthrough) {
            return TargetSpec::list(text).map(Self::Targets);
        }
        let port = text.strip_prefix("passthrough:").filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
        let port = port.and_then(|port| port.parse().ok()).map(Self::Passthrough);
        port.ok_or_else(|| AddrError::new(text, "needs a port and nothing beside it; write passthrough:443"))
    }
}

/// Whether a target stands for the name that is asked for.
fn is_passthrough(target: &str) -> bool {
    target == "passthrough" || target.starts_with("passthrough:")
}

/// Parses a target for clients of whom no rule knows.
///
/// # Errors
/// It is none, or leads to a name, which no rule has approved.
pub fn fixed_target(text: &str) -> Result<TargetSpec, AddrError> {
    if is_passthrough(text) {
        return Err(AddrError::new(text, "is for rules, which say whose names are dialed; write '**=passthrough:443' for every name"));
    }
    text.parse()
}

/// What a table of rules leads to, whatever else is kept beside it.
pub trait Leads {
    /// Where it leads.
    fn destination(&self) -> &Destination;
}

impl Leads for Destination {
    fn destination(&self) -> &Destination {
        self
    }
}

/// A text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is no `=`.
    #[error("{0:?} is not a rule; write NAME=TARGET[,TARGET...], as in www.a.test=127.0.0.1:9443")]
    NoTarget(String),
    /// The name, the protocol or a target is wrong.
    #[error(transparent)]
    Addr(#[from] AddrError),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passthrough(port) => write!(f, "passthrough:{port}"),
            Self::Targets(targets) => {
                for (at, spec) in targets.iter().enumerate() {
                    write!(f, "{}{}", if at > 0 { "," } else { "" }, spec.target)?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_may_have_several_targets() {
        let rule: Rule = "*.b.test=127.0.0.1:1,9444,weight=2".parse().unwrap();
        assert_eq!(rule.matcher.to_string(), "*.b.test");
        let Destination::Targets(targets) = &rule.to else { panic!("{rule:?}") };
        assert_eq!(targets.iter().map(|t| t.weight.get()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(rule.to.to_string(), "127.0.0.1:1,127.0.0.1:9444");
    }

    #[test]
    fn a_rule_may_lead_to_the_name_itself() {
        let rule: Rule = "**.test=passthrough:443".parse().unwrap();
        assert_eq!(rule.to, Destination::Passthrough(NonZeroU16::new(443).unwrap()));
        for wrong in ["a.test=passthrough", "a.test=passthrough:0", "a.test=h:1,passthrough:443", "a.test=passthrough:+1"] {
            let error = wrong.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains("write passthrough:443"), "{error}");
        }
        assert!(matches!("passthrough.test:1,h:2".parse(), Ok(Destination::Targets(targets)) if targets.len() == 2));
        assert!(fixed_target("passthrough:443").is_err() && fixed_target("h:443").is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        for (wrong, why) in [
            ("a.test", "is not a rule; write NAME=TARGET"),
            ("=1", "is not a DNS name"),
            ("a..test=1", "is not a DNS name"),
            ("*=1", "write **"),
            ("a.*.test=1", "first label"),
            ("w*.test=1", "first label"),
            ("127.0.0.1=1", "is an IP address"),
            ("a.test:443=1", "has a port"),
            ("https://a.test=1", "write tls://"),
            ("ftp://a.test=1", "write tls://"),
            ("http://a.test/h2=1", "no ALPN in HTTP"),
            ("a.test/=1", "names no protocol"),
            ("a.test=", "is not a target"),
        ] {
            let error = wrong.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
