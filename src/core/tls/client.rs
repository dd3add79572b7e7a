//! The client's end of TLS, for `tls:` targets.

use super::{KeyLog, provider};
use crate::{
    addr::Host,
    identity::{self, IdentityError},
    stream::Stream,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    collections::HashMap,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_rustls::TlsConnector;

/// The client's end, for `tls:` targets.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    /// The same for each protocol that was asked for.
    offering: Arc<Mutex<HashMap<Vec<u8>, Arc<ClientConfig>>>>,
    keys: Option<KeyLog>,
}

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
                // A bundle may hold some that are too old to be used.
                let (added, _) = roots.add_parsable_certificates(identity::certificates(path)?);
                if added == 0 {
                    let error = "none of its certificates can be an authority's".into();
                    return Err(IdentityError::Unusable { what: path.display().to_string(), error });
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
        Ok(Self { config: Arc::new(config), offering: Arc::default(), keys: None })
    }

    /// The same, and the secrets of its sessions are told.
    #[must_use]
    pub fn telling(self, keys: KeyLog) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.key_log = Arc::new(keys.clone());
        // Those that were made before tell nothing.
        Self { config: Arc::new(config), offering: Arc::default(), keys: Some(keys) }
    }

    /// The same, but one protocol is offered by ALPN (RFC 7301). What is made for it is kept: only protocols that this side
    /// has chosen belong here, never what a client says.
    #[must_use]
    pub fn offering(&self, protocol: &[u8]) -> Self {
        let mut offering = self.offering.lock().unwrap_or_else(PoisonError::into_inner);
        let config = offering.entry(protocol.to_vec()).or_insert_with(|| {
            // Sessions are shared with the configuration that this is a copy of.
            let mut config = ClientConfig::clone(&self.config);
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        });
        Self { config: config.clone(), offering: self.offering.clone(), keys: self.keys.clone() }
    }

    /// Handshakes as a client that asks for `host`.
    ///
    /// # Errors
    /// The host is no server name, the handshake failed, or the server chose another protocol than was offered. One that
    /// knows no ALPN has but its one protocol; only HTTP/2 is never that one (RFC 9113 section 3.3).
    pub async fn connect(&self, host: &Host, stream: Stream) -> io::Result<Stream> {
        let name = match host {
            Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no server name")))?,
        };
        if let Some(keys) = &self.keys {
            keys.room().await;
        }
        let tls = TlsConnector::from(self.config.clone()).connect(name, stream).await?;
        if self.config.alpn_protocols.iter().any(|protocol| protocol == b"h2") && tls.get_ref().1.alpn_protocol().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "does not speak h2, which the client was promised"));
        }
        Ok(tls.into())
    }
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
