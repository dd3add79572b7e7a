//! The names that TLS clients ask for.

use crate::addr::AddrError;
use serde::Serialize;
use std::{borrow::Borrow, fmt, net::Ipv4Addr, str::FromStr};

/// A DNS name in the form in which names are compared: ASCII lower case, no trailing dot, no empty label, at most
/// 253 bytes, letters, digits, `-` and `_` only. An IP literal is not a server name (RFC 6066 section 3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ServerName(String);

impl FromStr for ServerName {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let legal = |label: &str| {
            !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if name.is_empty() || name.len() > 253 || !name.split('.').all(legal) {
            return Err(AddrError::new(text, "is not a DNS name"));
        }
        if name.parse::<Ipv4Addr>().is_ok() {
            return Err(AddrError::new(text, "is an IP address, which TLS clients do not send as a name"));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl ServerName {
    /// The name as it is compared.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names are looked up by their text, or by a part of it.
impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_trailing_dot() {
        assert_eq!("WWW.Example.TEST.".parse::<ServerName>().unwrap().as_str(), "www.example.test");
        for wrong in ["", ".", "a..b", "a b", "127.0.0.1", "a\0b", "ä.test", &"a".repeat(64), &"a.".repeat(128)] {
            assert!(wrong.parse::<ServerName>().is_err(), "{wrong:?}");
        }
    }
}
