//! What a rule says of the clients that it is for.

use crate::{addr::AddrError, name::ServerName};
use std::{fmt, str::FromStr};

/// Which clients a rule is for: `[SCHEME://]NAME[/ALPN]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// The protocol, where the rule is bound to one. None for a rule with ALPN, which only TLS has.
    pub scheme: Option<Scheme>,
    /// Which names.
    pub pattern: Pattern,
    /// A protocol that the client must offer by ALPN.
    pub alpn: Option<Alpn>,
}

/// How a client names what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// By SNI in a TLS ClientHello.
    Tls,
    /// By Host in an HTTP request.
    Http,
}

/// The names of a rule. The first label alone can be a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `a.test`: this name.
    Exact(ServerName),
    /// `*.a.test`: exactly one label before this name.
    OneLabel(ServerName),
    /// `**.a.test`: one or more labels before this name.
    Labels(ServerName),
    /// `.a.test`: this name, and any number of labels before it.
    Tree(ServerName),
    /// `**`: every name.
    Any,
}

/// A protocol identifier of ALPN (RFC 7301): 1 to 255 bytes, here of visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Alpn(Box<str>);

impl FromStr for Matcher {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some(("tls", rest)) => (Some(Scheme::Tls), rest),
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            // What comes after a slash is the protocol's, whose identifier may be of any visible characters.
            Some((before, _)) if before.contains('/') => (None, text),
            Some((_, rest)) => {
                let why = format!("has an unknown scheme; write tls://{rest}, http://{rest}, or {rest} for both");
                return Err(AddrError::new(text, why));
            }
        };
        // A protocol may hold a slash itself: acme-tls/1.
        let (name, alpn) = rest.split_once('/').map_or((rest, None), |(name, alpn)| (name, Some(alpn)));
        let alpn = alpn.map(str::parse).transpose()?;
        let scheme = match (scheme, &alpn) {
            (Some(Scheme::Http), Some(_)) => return Err(AddrError::new(text, "asks for a protocol, but there is no ALPN in HTTP")),
            (_, Some(_)) => None,
            (scheme, None) => scheme,
        };
        Ok(Self { scheme, pattern: name.parse()?, alpn })
    }
}

impl FromStr for Pattern {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        if text == "**" {
            return Ok(Self::Any);
        }
        let (kind, name): (fn(ServerName) -> Self, _) = if let Some(rest) = text.strip_prefix("**.") {
            (Self::Labels, rest)
        } else if let Some(rest) = text.strip_prefix("*.") {
            (Self::OneLabel, rest)
        } else if let Some(rest) = text.strip_prefix('.') {
            (Self::Tree, rest)
        } else {
            (Self::Exact, text)
        };
        match name.parse() {
            Ok(name) => Ok(kind(name)),
            Err(_) if text == "*" => {
                Err(AddrError::new(text, "is not a name; write ** for every name, *.a.test for one label more than a.test"))
            }
            Err(_) if name.contains('*') => {
                Err(AddrError::new(text, "has a wildcard that is not its first label; write *.a.test (one label), **.a.test (one or more)"))
            }
            Err(_) if name.contains(':') => {
                Err(AddrError::new(text, "has a port or is an address; write the name alone, as in a.test=9443"))
            }
            Err(error) => Err(error),
        }
    }
}

impl FromStr for Alpn {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(text.into()));
        }
        Err(AddrError::new(text, "names no protocol; write it as ALPN has it, as in a.test/h2 or a.test/acme-tls/1"))
    }
}

impl Alpn {
    /// The identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Pattern {
    /// Whether it is for this name.
    #[must_use]
    pub fn is_for(&self, name: &ServerName) -> bool {
        // What comes before this pattern's name, without the dot between; `None` where it is another name.
        let before = |end: &ServerName| name.as_str().strip_suffix(end.as_str())?.strip_suffix('.');
        match self {
            Self::Exact(exact) => exact == name,
            Self::OneLabel(end) => before(end).is_some_and(|label| !label.contains('.')),
            Self::Labels(end) => before(end).is_some(),
            Self::Tree(end) => end == name || before(end).is_some(),
            Self::Any => true,
        }
    }

    /// The part that every name of this pattern ends with; empty where it is any.
    #[must_use]
    pub fn suffix(&self) -> &str {
        match self {
            Self::Exact(name) | Self::OneLabel(name) | Self::Labels(name) | Self::Tree(name) => name.as_str(),
            Self::Any => "",
        }
    }
}

impl Scheme {
    /// As it is written: `tls` or `http`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{}://", scheme.as_str())?;
        }
        self.pattern.fmt(f)?;
        self.alpn.as_ref().map_or(Ok(()), |alpn| write!(f, "/{}", alpn.as_str()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::OneLabel(name) => write!(f, "*.{name}"),
            Self::Labels(name) => write!(f, "**.{name}"),
            Self::Tree(name) => write!(f, ".{name}"),
            Self::Any => f.write_str("**"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_printed() {
        for text in ["a.test", "*.a.test", "**.a.test", ".a.test", "**", "tls://a.test", "http://.a.test", "a.test/h2", "**/acme-tls/1"] {
            assert_eq!(text.parse::<Matcher>().unwrap().to_string(), text);
        }
        assert_eq!("tls://A.Test./h2".parse::<Matcher>().unwrap().to_string(), "a.test/h2");
        // An identifier may look like anything, a scheme too.
        assert_eq!("tls://a.test/x://y".parse::<Matcher>().unwrap().to_string(), "a.test/x://y");
    }

    #[test]
    fn a_pattern_is_for_the_names_that_it_says() {
        let names = ["a.test", "b.a.test", "c.b.a.test", "xa.test", "test"].map(|name| name.parse::<ServerName>().unwrap());
        for (pattern, fits) in [
            ("a.test", &[true, false, false, false, false]),
            ("*.a.test", &[false, true, false, false, false]),
            ("**.a.test", &[false, true, true, false, false]),
            (".a.test", &[true, true, true, false, false]),
            ("**", &[true; 5]),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(names.each_ref().map(|name| pattern.is_for(name)), *fits, "{pattern}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_can_be_written(text in "((tls|http)://)?[*]{0,2}[.]?a(/[a-c*.:/=]{1,8})?") {
            if let Ok(matcher) = text.parse::<Matcher>() {
                proptest::prop_assert_eq!(matcher.to_string().parse::<Matcher>(), Ok(matcher));
            }
        }
    }
}
