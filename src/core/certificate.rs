//! What is written in an X.509 certificate (RFC 5280): who it is for.

use std::net::IpAddr;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// Who a certificate is for. Nothing here says that it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The common name of its subject; without a subject alternative name it means nothing (RFC 9525 section 6.4.4).
    pub common_name: Option<String>,
    /// Its subject alternative names, in their order.
    pub names: Vec<SubjectName>,
}

/// One of the subject alternative names (RFC 5280 section 4.2.1.6). Untrusted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    /// A DNS name.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
    /// A mailbox (`rfc822Name`).
    Email(String),
    /// A URI, such as `spiffe://a.test/service`.
    Uri(String),
}

impl Subject {
    /// Reads a certificate. `None` where it is none; names of other kinds are passed over.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        // The last one is the most specific (RFC 4514 section 2.1 writes them the other way round).
        let common_name = certificate.subject().iter_common_name().last().and_then(|name| name.as_str().ok()).map(str::to_owned);
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(SubjectName::read).collect()).unwrap_or_default();
        Some(Self { common_name, names })
    }
}

impl SubjectName {
    /// Reads one of them; `None` where it is of another kind, or malformed.
    pub(crate) fn read(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => Some(Self::Dns((*name).to_owned())),
            GeneralName::RFC822Name(mailbox) => Some(Self::Email((*mailbox).to_owned())),
            GeneralName::URI(uri) => Some(Self::Uri((*uri).to_owned())),
            GeneralName::IPAddress(octets) => {
                let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
                v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok().map(Self::Ip)
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for SubjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) | Self::Email(name) | Self::Uri(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    #[test]
    fn a_certificate_is_read_with_every_kind_of_name() {
        let mut params = CertificateParams::new(["a.test".to_owned(), "10.0.0.1".to_owned(), "::1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Ä client");
        params.subject_alt_names.push(SanType::Rfc822Name("me@a.test".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://a.test/one".try_into().unwrap()));
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let subject = Subject::read(der.der()).unwrap();
        assert_eq!(subject.common_name.as_deref(), Some("Ä client"));
        let names: Vec<_> = subject.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a.test", "10.0.0.1", "::1", "me@a.test", "spiffe://a.test/one"]);
        assert_eq!(subject.names[1], SubjectName::Ip("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_certificate_has_no_subject() {
        for bytes in [&b""[..], b"\x30\x03\x02\x01\x01", b"-----BEGIN"] {
            assert_eq!(Subject::read(bytes), None);
        }
    }
}
