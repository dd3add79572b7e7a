//! Names of clients that are allowed.

use crate::{
    certificate::{Subject, SubjectName},
    name::ServerName,
    route::Pattern,
};
use std::{fmt, net::IpAddr, str::FromStr};

/// A subject alternative name that a client's certificate is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedClient {
    /// A DNS name, or those of exactly one label more.
    Dns(Pattern),
    /// An IP address.
    Ip(IpAddr),
    /// A mailbox.
    Email(String),
    /// A URI, character by character (RFC 3986 section 6.2.1).
    Uri(String),
}

/// A text that no certificate could have as a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no DNS name, *.NAME, IP address, mailbox or URI")]
pub struct NoClientName(String);

impl AllowedClient {
    /// Whether a certificate for `subject` has this name.
    #[must_use]
    pub fn is_of(&self, subject: &Subject) -> bool {
        subject.names.iter().any(|name| self.fits(name))
    }

    fn fits(&self, name: &SubjectName) -> bool {
        match (self, name) {
            // A name with a wildcard is no name of one client: it does not parse.
            (Self::Dns(allowed), SubjectName::Dns(name)) => name.parse().is_ok_and(|name| allowed.is_for(&name)),
            (Self::Ip(allowed), SubjectName::Ip(ip)) => allowed == ip,
            (Self::Email(allowed), SubjectName::Email(mailbox)) => same_mailbox(allowed, mailbox),
            (Self::Uri(allowed), SubjectName::Uri(uri)) => allowed == uri,
            _ => false,
        }
    }
}

/// The host counts without case, what is before it with it (RFC 5280 section 7.5).
fn same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((user, host)), Some((other_user, other_host))) => user == other_user && host.eq_ignore_ascii_case(other_host),
        _ => false,
    }
}

impl FromStr for AllowedClient {
    type Err = NoClientName;

    fn from_str(text: &str) -> Result<Self, NoClientName> {
        let wrong = || NoClientName(text.to_owned());
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        // A scheme begins with a letter and ends with a colon (RFC 3986 section 3.1). Certificates have ASCII alone.
        if let Some((scheme, rest)) = text.split_once(':') {
            let plain = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
            let graphic = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic());
            return if plain && graphic { Ok(Self::Uri(text.to_owned())) } else { Err(wrong()) };
        }
        if let Some((user, host)) = text.rsplit_once('@') {
            let fits = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_graphic()) && host.parse::<ServerName>().is_ok();
            return if fits { Ok(Self::Email(text.to_owned())) } else { Err(wrong()) };
        }
        match text.parse() {
            Ok(pattern @ (Pattern::Exact(_) | Pattern::OneLabel(_))) => Ok(Self::Dns(pattern)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for AllowedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(pattern) => pattern.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
            Self::Email(text) | Self::Uri(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> AllowedClient {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_compared_by_their_kind() {
        let dns = |name: &str| SubjectName::Dns(name.to_owned());
        let uri = |uri: &str| SubjectName::Uri(uri.to_owned());
        let email = |mailbox: &str| SubjectName::Email(mailbox.to_owned());
        let ip = |ip: &str| SubjectName::Ip(ip.parse().unwrap());
        for (rule, name, fits) in [
            ("a.test", dns("A.test"), true),
            ("a.test", dns("b.a.test"), false),
            ("a.test", uri("a.test"), false),
            ("*.a.test", dns("b.a.test"), true),
            ("*.a.test", dns("a.test"), false),
            ("*.a.test", dns("c.b.a.test"), false),
            ("*.a.test", dns("*.a.test"), false),
            ("b.a.test", dns("*.a.test"), false),
            ("*.a.test", dns("b.a.test.evil.test"), false),
            ("10.0.0.1", ip("10.0.0.1"), true),
            ("10.0.0.1", dns("10.0.0.1"), false),
            ("::1", ip("::1"), true),
            ("Me@a.test", email("Me@A.TEST"), true),
            ("Me@a.test", email("me@a.test"), false),
            ("spiffe://a.test/one", uri("spiffe://a.test/one"), true),
            ("spiffe://a.test/one", uri("spiffe://a.test/one/two"), false),
            ("spiffe://a.test/one", uri("spiffe://A.test/one"), false),
        ] {
            assert_eq!(allowed(rule).fits(&name), fits, "{rule} {name:?}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_and_what_is_one_is_written_as_it_came() {
        for text in
            ["", "*", "*.", "a..test", "a b", "@a.test", "me@", "://x", "1x:y", "x:", "x:\u{7}", "*.*.a.test", "**", "**.a.test", ".a.test"]
        {
            assert!(text.parse::<AllowedClient>().is_err(), "{text:?}");
        }
        for text in ["a.test", "*.a.test", "10.0.0.1", "::1", "me@a.test", "spiffe://a.test/x", "urn:uuid:1"] {
            assert_eq!(allowed(text).to_string(), text);
        }
    }
}
