//! What a certificate says: whose it is, how long it holds, and what is odd about it.

use crate::{certificate::SubjectName, name::ServerName};
use std::{
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

/// A certificate that ends within so many seconds is worth a word: a week, but for those that are made for a few days only.
const SOON: i64 = 7 * 24 * 60 * 60;

/// The names that a certificate is for, by its subjectAltName (RFC 9525 section 2: the common name is none).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// These names.
    pub(super) exact: Vec<ServerName>,
    /// Exactly one label before these.
    pub(super) wildcard: Vec<ServerName>,
    /// Addresses, which no client asks for by name.
    pub(super) addrs: Vec<IpAddr>,
}

impl Names {
    /// As people write them.
    pub(super) fn text(&self) -> impl Iterator<Item = String> {
        let exact = self.exact.iter().map(ToString::to_string);
        let wildcard = self.wildcard.iter().map(|name| format!("*.{name}"));
        exact.chain(wildcard).chain(self.addrs.iter().map(ToString::to_string))
    }
}

/// Reads a certificate; `None` where it is malformed.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

/// The names in a certificate; those that are no names are left out.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Names {
    let mut names = Names::default();
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return names };
    for name in alternative.value.general_names.iter().filter_map(SubjectName::read) {
        match name {
            SubjectName::Dns(name) => match name.strip_prefix("*.") {
                Some(name) => names.wildcard.extend(name.parse()),
                None => names.exact.extend(name.parse()),
            },
            SubjectName::Ip(addr) => names.addrs.push(addr),
            SubjectName::Email(_) | SubjectName::Uri(_) => {}
        }
    }
    names
}

/// What is odd about a chain, leaf first, though it can be shown.
pub(super) fn oddities(chain: &[X509Certificate<'_>], now: SystemTime) -> Vec<String> {
    let Some(leaf) = chain.first() else { return Vec::new() };
    let mut odd = Vec::new();
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
    for (number, certificate) in (1..).zip(chain) {
        let which = if number == 1 { "the certificate".to_owned() } else { format!("certificate {number} of the chain") };
        let (from, until) = (certificate.validity().not_before, certificate.validity().not_after);
        if until.timestamp() < now {
            odd.push(format!("{which} expired on {}", day(until)));
        } else if from.timestamp() > now {
            odd.push(format!("{which} is not valid before {}", day(from)));
        } else if until.timestamp() - now < SOON.min((until.timestamp() - from.timestamp()) / 3) {
            odd.push(format!("{which} expires on {}", day(until)));
        }
    }
    let names = names(leaf);
    if names == Names::default() {
        odd.push("the certificate has no subjectAltName: clients take it for no name at all (RFC 9525)".into());
    }
    // A self-signed certificate that is both is what many make for themselves.
    if leaf.is_ca() && leaf.subject().as_raw() != leaf.issuer().as_raw() {
        odd.push("the first certificate is of an authority; the server's own comes first".into());
    }
    let pairs = (1..).zip(chain.windows(2));
    let unordered = |pair: &[X509Certificate<'_>]| matches!(pair, [one, next] if one.issuer().as_raw() != next.subject().as_raw());
    if let Some((number, _)) = pairs.into_iter().find(|(_, pair)| unordered(pair)) {
        odd.push(format!("certificate {} of the chain did not issue certificate {number}: they are out of order", number + 1));
    }
    odd
}

fn day(time: ASN1Time) -> String {
    format!("{} (UTC)", time.to_datetime().date())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
    use std::time::Duration;

    fn params(name: &str, is_ca: bool) -> CertificateParams {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2026, 1, 1));
        params
    }

    #[test]
    fn what_is_odd_is_told_and_what_is_not_is_not() {
        let day = Duration::from_hours(24);
        // 2025-06-01
        let then = UNIX_EPOCH + 20_240 * day;
        let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let ca = params("ca.test", true).self_signed(&ca_key).unwrap().der().to_vec();
        let issuer = Issuer::new(params("ca.test", true), ca_key);
        let leaf = params("a.test", false).signed_by(&key, &issuer).unwrap().der().to_vec();
        let mut nameless = params("a.test", false);
        nameless.subject_alt_names.clear();
        let nameless = nameless.signed_by(&key, &issuer).unwrap().der().to_vec();
        let middle = params("b.test", true).signed_by(&key, &issuer).unwrap().der().to_vec();
        for (chain, now, odd) in [
            (&[&leaf, &ca][..], then, &[][..]),
            // Made for oneself, it is both.
            (&[&ca], then, &[]),
            (&[&leaf], then + 300 * day, &["the certificate expired on 2026-01-01 (UTC)"]),
            (&[&leaf], then + 210 * day, &["the certificate expires on 2026-01-01 (UTC)"]),
            (&[&leaf], then - 300 * day, &["the certificate is not valid before 2025-01-01 (UTC)"]),
            (&[&nameless], then, &["the certificate has no subjectAltName: clients take it for no name at all (RFC 9525)"]),
            (&[&middle], then, &["the first certificate is of an authority; the server's own comes first"]),
            (&[&leaf, &middle], then, &["certificate 2 of the chain did not issue certificate 1: they are out of order"]),
        ] {
            let chain: Vec<_> = chain.iter().map(|der| parse(der).unwrap()).collect();
            assert_eq!(oddities(&chain, now), odd);
        }
    }

    #[test]
    fn cut_or_longer_it_is_no_certificate() {
        let key = KeyPair::generate().unwrap();
        let der = params("a.test", false).self_signed(&key).unwrap().der().to_vec();
        assert!(parse(&der).is_some());
        assert!(parse(&der[..der.len() - 1]).is_none() && parse(&[&der[..], b"\0"].concat()).is_none() && parse(&[]).is_none());
    }
}
