//! What a server of TLS is asked for, besides who it is.

use super::KeyLog;
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

/// How a server speaks TLS. By default 1.2 and 1.3, without ALPN.
#[derive(Clone, Debug, Default)]
pub struct ServerSettings {
    /// The oldest version that is spoken.
    pub min_version: Version,
    /// The protocols that are offered by ALPN (RFC 7301), the best first, each of 1 to 255 bytes. Where there are none, what
    /// a client offers goes unanswered.
    pub alpn: Vec<Vec<u8>>,
    /// Who is told the secrets of each connection.
    pub keys: Option<KeyLog>,
}

/// A version of TLS. Those before are broken (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    /// This version and all after it.
    pub(super) fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Tls12 => &ALL,
            Self::Tls13 => &ALL[..1],
        }
    }
}
