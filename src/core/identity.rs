//! Who a server of TLS is: certificates and their keys, from files or made in memory.

use crate::{name, tls::provider};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A certificate chain and its key, checked to belong together. The key is never shown.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<CertifiedKey>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// An identity made in memory, and the certificate of the authority that vouches for it.
#[derive(Debug)]
pub struct Minted {
    /// What the server shows.
    pub identity: Identity,
    /// What a client needs to trust it, PEM. The authority's key is forgotten.
    pub ca_pem: String,
}

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}", path = .path.display())]
    Read { path: PathBuf, error: io::Error },
    /// A file holds no certificate.
    #[error("{path} holds no certificate in PEM", path = .0.display())]
    NoCertificate(PathBuf),
    /// A file holds no key.
    #[error("{path} holds no private key in PEM (PKCS#8, PKCS#1 or SEC1)", path = .0.display())]
    NoKey(PathBuf),
    /// The two do not belong together.
    #[error("the key in {key} does not belong to the certificate in {cert}", key = .key.display(), cert = .cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf },
    /// The library does not take them.
    #[error("cannot use {what}: {error}")]
    Unusable { what: String, error: String },
}

impl Identity {
    /// Loads a chain (leaf first) and its key from PEM files; both may be one file.
    ///
    /// # Errors
    /// Each cause with the file it is about. Nothing of the key's content is in any of them.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, IdentityError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| IdentityError::Read { path: path.to_owned(), error });
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(cert)?).filter_map(Result::ok).collect();
        if chain.is_empty() {
            return Err(IdentityError::NoCertificate(cert.to_owned()));
        }
        let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| IdentityError::NoKey(key.to_owned()))?;
        let unusable =
            |path: &Path, error: rustls::Error| IdentityError::Unusable { what: path.display().to_string(), error: error.to_string() };
        let signer = provider().key_provider.load_private_key(secret).map_err(|error| unusable(key, error))?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            Ok(()) => Ok(Self(Arc::new(certified))),
            Err(rustls::Error::InconsistentKeys(_)) => Err(IdentityError::Mismatch { cert: cert.to_owned(), key: key.to_owned() }),
            Err(error) => Err(unusable(cert, error)),
        }
    }

    /// Makes an authority and a certificate for `names` (DNS names or IP addresses), valid for 30 days.
    ///
    /// # Errors
    /// A name is no DNS name, or the library failed.
    pub fn mint(names: &[String]) -> Result<Minted, IdentityError> {
        mint(names).map_err(|error| IdentityError::Unusable { what: format!("the names {}", names.join(", ")), error: error.to_string() })
    }
}

fn mint(names: &[String]) -> Result<Minted, Box<dyn std::error::Error>> {
    // rcgen takes any ASCII for a DNS name, and no client would ever ask for it.
    for name in names.iter().filter(|name| name.parse::<IpAddr>().is_err()) {
        // A wildcard stands for one label (RFC 9525 section 6.3).
        name.strip_prefix("*.").unwrap_or(name).parse::<name::ServerName>()?;
    }
    // Clocks differ: a certificate from an hour ago is valid on a machine that is a little behind.
    let now = SystemTime::now();
    let (from, until) = (now - Duration::from_hours(1), now + Duration::from_hours(30 * 24));
    let params = |names: &[String], common_name: &str| -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        (params.not_before, params.not_after) = (from.into(), until.into());
        Ok(params)
    };
    let mut ca = params(&[], "tapline in-memory CA")?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;
    let issuer = Issuer::new(ca, ca_key);

    let mut leaf = params(names, names.first().map_or("tapline", String::as_str))?;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let leaf_key = KeyPair::generate()?;
    let leaf_certificate = leaf.signed_by(&leaf_key, &issuer)?;
    let signer = provider().key_provider.load_private_key(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()).into())?;
    let certified = CertifiedKey::new(vec![leaf_certificate.der().clone()], signer);
    Ok(Minted { identity: Identity(Arc::new(certified)), ca_pem: ca_certificate.pem() })
}
