//! Identities made in memory, for the names that clients ask for.

#[cfg(test)]
mod tests;

use super::IdentityError;
use crate::{addr::AddrError, name::ServerName, route::Pattern, tls::provider};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::{pki_types::PrivatePkcs8KeyDer, sign::CertifiedKey};
use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

/// As many leaves are kept. The names are chosen by clients: memory is bounded, whatever they ask for.
const MOST_LEAVES: usize = 1024;
/// Clocks differ: a certificate from an hour ago is valid on a machine that is a little behind.
const BEFORE: Duration = Duration::from_hours(1);
/// How long a leaf holds, and when another one is made in its place.
const LEAF: Duration = Duration::from_hours(90 * 24);
const LEAF_AGAIN: Duration = Duration::from_hours(24);
/// noRevAvail (RFC 9608): nobody publishes which of these were revoked. The authority goes with the process.
const NO_REVOCATION_AVAILABLE: &[u64] = &[2, 5, 29, 56];
const DER_NULL: [u8; 2] = [5, 0];
/// Longer than any run: its key goes with the process.
const AUTHORITY: Duration = Duration::from_hours(10 * 365 * 24);
/// The longest common name (RFC 5280 appendix A, ub-common-name).
const LONGEST_COMMON_NAME: usize = 64;

/// For what an identity may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// For the names of this pattern.
    Name(Pattern),
    /// For this address.
    Addr(IpAddr),
}

impl FromStr for Allowed {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        text.parse().map(Self::Addr).or_else(|_| text.parse().map(Self::Name))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => pattern.fmt(f),
            Self::Addr(addr) => addr.fmt(f),
        }
    }
}

/// An authority in memory, and the identities that it has made. Its key is never shown or written.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    allowed: Vec<Allowed>,
    leaves: Mutex<Leaves>,
}

#[derive(Default)]
struct Leaves {
    /// By the name that was asked for.
    made: HashMap<Option<ServerName>, Leaf>,
    /// How often a leaf was shown: the one that was used least recently makes room.
    uses: u64,
}

struct Leaf {
    /// Made outside of the lock, by who asks first; the others wait for it. None where that failed.
    certified: Arc<OnceLock<Option<Arc<CertifiedKey>>>>,
    used: u64,
    again: SystemTime,
}

impl Authority {
    /// Makes an authority that can vouch for these names, those beneath them and the loopback addresses only, or for every name where
    /// every name is allowed (name constraints, RFC 5280 section 4.2.1.10): who trusts it trusts it with nothing else.
    ///
    /// # Errors
    /// The library failed.
    pub fn new(allowed: Vec<Allowed>) -> Result<Self, IdentityError> {
        let made = Self::make(allowed);
        made.map_err(|error| IdentityError::Unusable { what: "the authority in memory".into(), error: error.to_string() })
    }

    fn make(allowed: Vec<Allowed>) -> Result<Self, Box<dyn Error>> {
        let mut params = params("tapline in-memory CA", AUTHORITY);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = constraints(&allowed);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let authority = Self { issuer: Issuer::new(params, key), pem, allowed, leaves: Mutex::default() };
        // What cannot be made at all is known before anyone asks.
        authority.mint(None)?;
        Ok(authority)
    }

    /// What clients need to trust it: its certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether it makes identities for this name.
    #[must_use]
    pub fn allows(&self, name: &ServerName) -> bool {
        self.allowed.iter().any(|allowed| matches!(allowed, Allowed::Name(pattern) if pattern.is_for(name)))
    }

    /// The identity for a name; for those who ask for none, as who connects to an address does, the one for all that can be
    /// listed, and for the loopback addresses.
    pub(super) fn show(&self, name: Option<&ServerName>) -> Option<Arc<CertifiedKey>> {
        if name.is_some_and(|name| !self.allows(name)) {
            return None;
        }
        self.leaf(name.cloned(), SystemTime::now()).get_or_init(|| self.mint(name).ok()).clone()
    }

    /// The place of a leaf, which may be empty.
    fn leaf(&self, name: Option<ServerName>, now: SystemTime) -> Arc<OnceLock<Option<Arc<CertifiedKey>>>> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        leaves.uses += 1;
        let used = leaves.uses;
        if let Some(leaf) = leaves.made.get_mut(&name).filter(|leaf| now < leaf.again) {
            leaf.used = used;
            return leaf.certified.clone();
        }
        if leaves.made.len() >= MOST_LEAVES && !leaves.made.contains_key(&name) {
            // To look through all of them takes less than to make one.
            let oldest = leaves.made.iter().min_by_key(|(_, leaf)| leaf.used).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| leaves.made.remove(&oldest));
        }
        let certified = Arc::new(OnceLock::new());
        leaves.made.insert(name, Leaf { certified: certified.clone(), used, again: now + LEAF_AGAIN });
        certified
    }

    fn mint(&self, name: Option<&ServerName>) -> Result<Arc<CertifiedKey>, Box<dyn Error>> {
        let names = name.map_or_else(|| self.listed(), |name| vec![name.to_string()]);
        // OpenSSL takes a common name with a dot for a DNS name where there is no other, and measures it by the constraints.
        let is_short = |name: &&String| name.len() <= LONGEST_COMMON_NAME && name.parse::<IpAddr>().is_err();
        let common_name = names.first().filter(is_short).map_or("made by tapline", String::as_str);
        let mut leaf = params(common_name, LEAF);
        leaf.subject_alt_names = CertificateParams::new(names.clone())?.subject_alt_names;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        leaf.custom_extensions = vec![CustomExtension::from_oid_content(NO_REVOCATION_AVAILABLE, DER_NULL.to_vec())];
        // The serial number is a hash of the key, which is new each time.
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &self.issuer)?;
        let signer = provider().key_provider.load_private_key(PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signer)))
    }

    /// All that can stand in one certificate: names, wildcards of one label, addresses.
    fn listed(&self) -> Vec<String> {
        let mut listed: Vec<String> = Vec::new();
        for allowed in &self.allowed {
            match allowed {
                Allowed::Name(Pattern::Exact(name)) => listed.push(name.to_string()),
                Allowed::Name(Pattern::OneLabel(name) | Pattern::Labels(name)) => listed.extend(wildcard(name)),
                Allowed::Name(Pattern::Tree(name)) => listed.extend(std::iter::once(name.to_string()).chain(wildcard(name))),
                Allowed::Name(Pattern::Any) => {}
                Allowed::Addr(addr) => listed.push(addr.to_string()),
            }
        }
        listed.extend(LOOPBACK.map(|addr| addr.to_string()));
        let mut seen = BTreeSet::new();
        listed.retain(|name| seen.insert(name.clone()));
        listed
    }
}

/// A wildcard before a name of two labels or more: before a single one clients take it for malformed.
fn wildcard(name: &ServerName) -> Option<String> {
    name.as_str().contains('.').then(|| format!("*.{name}"))
}

const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

fn params(common_name: &str, lasting: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - BEFORE).into(), (now + lasting).into());
    params
}

/// What the authority can vouch for; `None` for every name. A name stands for those beneath it too.
fn constraints(allowed: &[Allowed]) -> Option<NameConstraints> {
    let mut permitted = Vec::new();
    for allowed in allowed {
        permitted.push(match allowed {
            Allowed::Name(Pattern::Any) => return None,
            Allowed::Name(pattern) => GeneralSubtree::DnsName(pattern.suffix().to_owned()),
            Allowed::Addr(addr) => only(*addr),
        });
    }
    if allowed.iter().all(|allowed| matches!(allowed, Allowed::Addr(_))) {
        // Without a name in the list every name would be allowed. This one is nobody's (RFC 6761 section 6.4).
        permitted.push(GeneralSubtree::DnsName("invalid".into()));
    }
    permitted.extend(LOOPBACK.map(only));
    Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() })
}

/// One address and no other.
fn only(addr: IpAddr) -> GeneralSubtree {
    GeneralSubtree::IpAddress(match addr {
        IpAddr::V4(addr) => CidrSubnet::V4(addr.octets(), [0xff; 4]),
        IpAddr::V6(addr) => CidrSubnet::V6(addr.octets(), [0xff; 16]),
    })
}
