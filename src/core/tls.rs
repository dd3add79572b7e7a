//! Certificates, keys, and the two ends of TLS.

use crate::{addr::Host, name, stream::Stream};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate chain and its key, checked to belong together. The key is never shown.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

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

/// The server's end.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl ServerTls {
    /// TLS 1.2 and 1.3 with one identity; sessions are resumed by tickets.
    ///
    /// # Errors
    /// The library failed to set itself up.
    pub fn new(identity: &Identity) -> Result<Self, rustls::Error> {
        let resolver = Arc::new(SingleCertAndKey::from(identity.0.clone()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Handshakes as a server. Dropping the future resets the connection.
    ///
    /// # Errors
    /// The handshake failed. The alert is written; the stream comes back so that it can be closed gently.
    pub async fn accept(&self, stream: Stream) -> Result<Stream, (io::Error, Stream)> {
        let tls = self.0.accept(stream).into_fallible().await?;
        Ok(tokio_rustls::TlsStream::Server(tls).into())
    }
}

/// The client's end, for `tls:` targets.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// How a `tls:` target proves who it is.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// By a certificate that leads to one of Mozilla's roots.
    #[default]
    PublicRoots,
    /// By a certificate that leads to one of those in a PEM file.
    Ca(PathBuf),
    /// It need not: whoever answers is believed.
    Anyone,
}

impl ClientTls {
    /// A client that trusts as told.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn new(trust: &Trust) -> Result<Self, IdentityError> {
        let mut roots = RootCertStore::empty();
        match trust {
            Trust::PublicRoots => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Trust::Ca(path) => {
                let pem = std::fs::read(path).map_err(|error| IdentityError::Read { path: path.clone(), error })?;
                let (added, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
                if added == 0 {
                    return Err(IdentityError::NoCertificate(path.clone()));
                }
            }
            Trust::Anyone => {}
        }
        let unusable = |error: rustls::Error| IdentityError::Unusable { what: "TLS".into(), error: error.to_string() };
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(unusable)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        if matches!(trust, Trust::Anyone) {
            config.dangerous().set_certificate_verifier(Arc::new(BelieveAnyone(provider())));
        }
        Ok(Self(Arc::new(config)))
    }

    /// Handshakes as a client that asks for `host`.
    ///
    /// # Errors
    /// The host is no server name, or the handshake failed.
    pub async fn connect(&self, host: &Host, stream: Stream) -> io::Result<Stream> {
        let name = match host {
            Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no server name")))?,
        };
        let tls = TlsConnector::from(self.0.clone()).connect(name, stream).await?;
        Ok(tokio_rustls::TlsStream::Client(tls).into())
    }
}

/// The one crypto provider of the process; also for libraries that ask for a default.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    // The second caller finds the first one's, which is the same.
    let _ = aws_lc_rs::default_provider().install_default();
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

/// For `--insecure`: takes any certificate, but still checks that the server has its key.
#[derive(Debug)]
struct BelieveAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
