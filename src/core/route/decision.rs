//! What was decided for a client, and why.

use super::{Asked, Candidate, Found, Scheme, Table, Unfit};
use crate::event::ConnId;
use serde::Serialize;
use std::fmt;

/// What reading a client's opening came to. Each has a route of its own, so that nobody gets one by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A rule fits.
    Matched,
    /// There is a name, and no rule fits.
    UnknownName,
    /// It speaks TLS or HTTP and says no name that can be read.
    NoName,
    /// It speaks neither.
    NotTls,
    /// A hello or a request that is malformed, broken off or late.
    BadHello,
}

/// A decision, for [`Event::Routed`](crate::event::Event::Routed). Text that came from the client is untrusted.
#[derive(Clone, Debug, Serialize)]
pub struct Routed {
    /// The connection.
    pub id: ConnId,
    /// What was decided.
    pub outcome: Outcome,
    /// How the client asked, where that is known.
    pub scheme: Option<Scheme>,
    /// The name that it asked for.
    pub name: Option<String>,
    /// The protocols that it offers by ALPN, in its order.
    pub alpn: Vec<String>,
    /// Bytes of its ClientHello on the wire, record headers included.
    pub size: Option<usize>,
    /// How many TLS records that came in.
    pub records: Option<usize>,
    /// The rule that was chosen, or why there is none.
    pub rule: String,
    /// How the rule came to match.
    pub how: Option<&'static str>,
    /// The other rules whose names match, the better one first.
    pub also: Vec<Also>,
    /// Where it leads; absent where the client is refused.
    pub target: Option<String>,
}

/// A rule whose name matches, and that was not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Also {
    /// The rule.
    pub rule: String,
    /// Why not.
    pub why: &'static str,
}

impl Also {
    /// Every rule of the table whose name matches, but the one that was found.
    #[must_use]
    pub fn of<T>(table: &Table<T>, asked: Asked<'_>) -> Vec<Self> {
        let all = table.candidates(asked);
        let winner = all.iter().find(|candidate| candidate.unfit.is_none()).map(|candidate| candidate.rule);
        let lost = all.iter().filter(|candidate| winner.is_none_or(|winner| !winner.is(&candidate.rule)));
        lost.map(|candidate| Self { rule: candidate.rule.to_string(), why: why(candidate, winner.as_ref()) }).collect()
    }
}

fn why<T>(lost: &Candidate<'_, T>, winner: Option<&Found<'_, T>>) -> &'static str {
    match (lost.unfit, winner) {
        (Some(Unfit::Scheme), _) if lost.rule.scheme() == Some(Scheme::Http) => "for HTTP only",
        (Some(Unfit::Scheme), _) => "for TLS only",
        (Some(Unfit::Alpn), _) => "not offered by ALPN",
        (None, Some(winner)) if !winner.is_beside(&lost.rule) => "less exact",
        (None, Some(_)) if lost.rule.alpn().is_some() => "offered later",
        (None, Some(winner)) if winner.alpn().is_some() => "for any protocol",
        (None, _) => "for TLS and HTTP",
    }
}

impl Outcome {
    /// As it is said to people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::UnknownName => "unknown name",
            Self::NoName => "no name",
            Self::NotTls => "not TLS",
            Self::BadHello => "bad hello",
        }
    }
}

impl fmt::Display for Also {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.rule, self.why)
    }
}

impl fmt::Display for Routed {
    /// In one line: `sni=www.a.test alpn=h2 hello=517B/1 record -> rule *.a.test (wildcard of one label) -> 127.0.0.1:9443`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("-");
        match self.scheme {
            Some(Scheme::Tls) => write!(f, "sni={name} ")?,
            Some(Scheme::Http) => write!(f, "host={name} ")?,
            None => {}
        }
        if !self.alpn.is_empty() {
            write!(f, "alpn={} ", self.alpn.join(","))?;
        }
        if let (Some(size), Some(records)) = (self.size, self.records) {
            write!(f, "hello={size}B/{records} record{} ", if records == 1 { "" } else { "s" })?;
        }
        let rule = if self.outcome == Outcome::Matched { "rule " } else { "" };
        write!(f, "-> {rule}{}", self.rule)?;
        write_why(f, self.how, &self.also)?;
        write!(f, " -> {}", self.target.as_deref().unwrap_or("refused"))
    }
}

/// Writes how a rule came to match and which others did, in parentheses.
///
/// # Errors
/// The formatter's.
pub fn write_why(f: &mut impl fmt::Write, how: Option<&str>, also: &[Also]) -> fmt::Result {
    if how.is_none() && also.is_empty() {
        return Ok(());
    }
    write!(f, " ({}", how.unwrap_or_default())?;
    for (at, also) in also.iter().enumerate() {
        let lead = match (at, how) {
            (0, None) => "also matched: ",
            (0, Some(_)) => "; also matched: ",
            _ => "; ",
        };
        write!(f, "{lead}{also}")?;
    }
    f.write_str(")")
}

impl Serialize for Scheme {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Matcher;

    #[test]
    fn what_lost_says_why() {
        let rules = ["a.test/h2", "a.test/http/1.1", "a.test/x", "a.test", "tls://a.test", "http://a.test", "*.test"];
        let table = Table::new(rules.map(|rule| (rule.parse::<Matcher>().unwrap(), ()))).unwrap();
        let (name, alpn) = ("a.test".parse().unwrap(), [b"h2".to_vec(), b"http/1.1".to_vec()]);
        let also = |scheme, alpn: &[Vec<u8>]| -> Vec<String> {
            let mut all: Vec<_> = Also::of(&table, Asked { scheme, name: &name, alpn }).iter().map(ToString::to_string).collect();
            all.sort();
            all
        };
        assert_eq!(
            also(Scheme::Tls, &alpn),
            [
                "*.test, less exact",
                "a.test, for any protocol",
                "a.test/http/1.1, offered later",
                "a.test/x, not offered by ALPN",
                "http://a.test, for HTTP only",
                "tls://a.test, for any protocol",
            ]
        );
        assert_eq!(
            also(Scheme::Http, &[]),
            [
                "*.test, less exact",
                "a.test, for TLS and HTTP",
                "a.test/h2, for TLS only",
                "a.test/http/1.1, for TLS only",
                "a.test/x, for TLS only",
                "tls://a.test, for TLS only",
            ]
        );
    }

    #[test]
    fn a_decision_is_one_line() {
        let mut routed = Routed {
            id: ConnId(1),
            outcome: Outcome::Matched,
            scheme: Some(Scheme::Tls),
            name: Some("www.a.test".into()),
            alpn: vec!["h2".into()],
            size: Some(1723),
            records: Some(1),
            rule: "*.a.test".into(),
            how: Some("wildcard of one label"),
            also: vec![Also { rule: ".test".into(), why: "less exact" }],
            target: Some("h:1".into()),
        };
        assert_eq!(
            routed.to_string(),
            "sni=www.a.test alpn=h2 hello=1723B/1 record -> rule *.a.test (wildcard of one label; also matched: .test, less exact) -> h:1"
        );
        (routed.outcome, routed.target, routed.how, routed.rule) = (Outcome::NotTls, None, None, "not TLS but SSH".into());
        (routed.scheme, routed.size, routed.also) = (None, None, Vec::new());
        routed.alpn.clear();
        assert_eq!(routed.to_string(), "-> not TLS but SSH -> refused");
    }
}
