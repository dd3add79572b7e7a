//! What the numbers of a hello stand for, by the registries of IANA.

use super::is_grease;
use std::borrow::Cow;

/// A version of TLS, SSL or DTLS.
#[must_use]
pub fn version(version: u16) -> Option<Cow<'static, str>> {
    Some(match version {
        0x0002 => "SSLv2".into(),
        0x0300 => "SSLv3".into(),
        0x0301 => "TLSv1.0".into(),
        0x0302 => "TLSv1.1".into(),
        0x0303 => "TLSv1.2".into(),
        0x0304 => "TLSv1.3".into(),
        0xfeff => "DTLSv1.0".into(),
        0xfefd => "DTLSv1.2".into(),
        0xfefc => "DTLSv1.3".into(),
        draft if draft >> 8 == 0x7f => format!("TLSv1.3 draft {}", draft & 0xff).into(),
        // Facebook's: 23 and 26 with a mark of their own.
        draft if draft >> 8 == 0xfb => format!("TLSv1.3 draft {} (Facebook)", draft & 0xff).into(),
        grease if is_grease(grease) => "GREASE".into(),
        _ => return None,
    })
}

/// A cipher suite.
#[must_use]
pub fn cipher_suite(suite: u16) -> Option<Cow<'static, str>> {
    if is_grease(suite) {
        return Some("GREASE".into());
    }
    tls_parser::TlsCipherSuite::from_id(suite).map(|suite| suite.name.into())
}

/// A compression method (RFC 3749).
#[must_use]
pub fn compression_method(method: u16) -> Option<Cow<'static, str>> {
    match method {
        0 => Some("null".into()),
        1 => Some("DEFLATE".into()),
        64 => Some("LZS".into()),
        _ => None,
    }
}

/// The type of an extension.
#[must_use]
pub fn extension(code: u16) -> Option<Cow<'static, str>> {
    Some(match code {
        0 => "server_name".into(),
        10 => "supported_groups".into(),
        13 => "signature_algorithms".into(),
        16 => "application_layer_protocol_negotiation".into(),
        43 => "supported_versions".into(),
        51 => "key_share".into(),
        grease if is_grease(grease) => "GREASE".into(),
        _ => return None,
    })
}
