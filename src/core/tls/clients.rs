//! The certificates of clients: which are needed, and which are good.

use super::{AllowedClient, provider};
use crate::{
    certificate::Subject,
    event::brief,
    identity::{self, IdentityError},
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime, pem::PemObject},
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The longest list of revoked certificates: of each it has some 40 bytes.
const MOST_REVOKED: u64 = 64 * 1024 * 1024;

/// What clients are asked for, as it is given.
#[derive(Clone, Debug)]
pub struct ClientRules {
    /// The authorities (PEM) that a certificate has to lead to.
    pub ca: PathBuf,
    /// Lists (PEM) of certificates that were revoked. Where an authority has one, it is asked; one that is outdated counts.
    pub crls: Vec<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub required: bool,
    /// The names of which a certificate has to have one; where there are none, any will do.
    pub allowed: Vec<AllowedClient>,
}

/// Checks the certificates of clients, with what was read from the files.
#[derive(Debug)]
pub struct ClientVerifier {
    webpki: Arc<dyn ClientCertVerifier>,
    allowed: Vec<AllowedClient>,
    /// What the files hold.
    held: Held,
}

/// The authorities and the lists of revoked certificates in files, DER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
}

/// A client whose certificate is good, but has none of the names that are allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no name in the client's certificate is allowed: {}", if .names.is_empty() { "it has none".to_owned() } else { brief(&.names.join(", ")) })]
pub struct NotAllowed {
    /// The names that it has. Untrusted.
    pub names: Vec<String>,
}

impl ClientRules {
    /// The files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.ca).chain(&self.crls)
    }

    /// Reads the files. A client without a certificate is refused also where it may have none and only certain names are
    /// allowed: it has none of them.
    ///
    /// # Errors
    /// A file cannot be read, or holds nothing that can be used.
    pub fn load(&self) -> Result<ClientVerifier, IdentityError> {
        let mut held = Held { authorities: identity::certificates(&self.ca)?, crls: Vec::new() };
        let mut roots = RootCertStore::empty();
        for certificate in &held.authorities {
            roots.add(certificate.clone()).map_err(|error| unusable(&self.ca, error))?;
        }
        for path in &self.crls {
            held.crls.extend(revoked(path)?);
        }
        let crls = held.crls.clone();
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
        if !crls.is_empty() {
            builder = builder.with_crls(crls).allow_unknown_revocation_status();
        }
        if !self.required && self.allowed.is_empty() {
            builder = builder.allow_unauthenticated();
        }
        let webpki = builder.build().map_err(|error| match error {
            VerifierBuilderError::InvalidCrl(error) => {
                let paths = self.crls.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
                IdentityError::Unusable { what: paths, error: format!("{error:?}") }
            }
            error => unusable(&self.ca, error),
        })?;
        Ok(ClientVerifier { webpki, allowed: self.allowed.clone(), held })
    }
}

/// The lists of revoked certificates that a PEM file holds; each is to be well-formed, and there is at least one.
fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, IdentityError> {
    let bytes = identity::read_up_to(path, MOST_REVOKED, "list of revoked certificates")?;
    let all = CertificateRevocationListDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>().map_err(|error| unusable(path, error))?;
    if all.is_empty() { Err(unusable(path, "it holds no certificate revocation list in PEM")) } else { Ok(all) }
}

fn unusable(path: &Path, error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Unusable { what: path.display().to_string(), error: error.to_string() }
}

impl ClientVerifier {
    /// What its files hold.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// Which of the allowed names a client has, where only certain ones are.
    #[must_use]
    pub fn allowing(&self, subject: &Subject) -> Option<&AllowedClient> {
        self.allowed.iter().find(|allowed| allowed.is_of(subject))
    }

    /// Whether a client is still good whose session is taken up again. The library asks that of the first handshake alone,
    /// and the certificate may have expired or been revoked since, or other clients be allowed now.
    pub(super) fn still_good(&self, chain: Option<&[CertificateDer<'_>]>) -> Result<(), Error> {
        match chain.and_then(<[_]>::split_first) {
            Some((leaf, intermediates)) => told(|| self.verify_client_cert(leaf, intermediates, UnixTime::now()).map(drop)),
            None if self.client_auth_mandatory() => Err(Error::NoCertificatesPresented),
            None => Ok(()),
        }
    }
}

thread_local! {
    /// Who was refused by name while [`told`] runs: the library has an alert for it, but no place for the names.
    static REFUSED: RefCell<Option<NotAllowed>> = const { RefCell::new(None) };
}

/// What `work` comes to, which may verify a client; a refusal by name comes with the names.
pub(super) fn told<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    REFUSED.take();
    work().map_err(|error| match (&error, REFUSED.take()) {
        (Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure), Some(refused)) => {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
        }
        _ => error,
    })
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.webpki.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.webpki.verify_client_cert(leaf, intermediates, now)?;
        if self.allowed.is_empty() {
            return Ok(verified);
        }
        let subject = Subject::read(leaf).ok_or(CertificateError::BadEncoding)?;
        if self.allowing(&subject).is_some() {
            return Ok(verified);
        }
        let names = subject.names.iter().map(ToString::to_string).collect();
        REFUSED.set(Some(NotAllowed { names }));
        // The one error that becomes the alert access_denied (RFC 8446 section 6.2).
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
