//! One identity, from files.

use super::{
    IdentityError,
    facts::{self, Names},
    pem,
};
use crate::tls::provider;
use rustls::{pki_types::CertificateDer, sign::CertifiedKey};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// The files of a certificate chain, leaf first, and of its key. Both may be one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A certificate chain and its key, checked to belong together. The key is never shown.
#[derive(Clone)]
pub struct Identity(Arc<Shown>);

struct Shown {
    cert: PathBuf,
    certified: Arc<CertifiedKey>,
    names: Names,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// Loads a chain and its key from PEM files; also what is worth a word about them: an expired certificate, a key that
    /// others can read.
    ///
    /// # Errors
    /// Each cause with the file, and the line where there is one, that it is about.
    pub fn load(pair: &Pair) -> Result<(Self, Vec<String>), IdentityError> {
        let bytes = pem::read(&pair.cert)?;
        let sections = pem::sections(&pair.cert, &bytes)?;
        // The key's file before what is wrong with it: a file without a certificate is the more likely mistake.
        let chain = pem::chain(&pair.cert, &bytes, &sections)?;
        let secret = if pair.key == pair.cert {
            // A pipe can be read once.
            pem::key(&pair.cert, &bytes, &sections)?
        } else {
            let bytes = pem::read(&pair.key)?;
            pem::key(&pair.key, &bytes, &pem::sections(&pair.key, &bytes)?)?
        };
        let signer = provider().key_provider.load_private_key(secret).map_err(|_| IdentityError::Key(pair.key.clone()))?;

        let malformed = |line: usize, number: usize| {
            let why = format!("certificate {number} of the file is malformed");
            IdentityError::Line { path: pair.cert.clone(), line, why }
        };
        let parsed = (1..).zip(&chain).map(|(number, (line, der))| facts::parse(der).ok_or_else(|| malformed(*line, number)));
        let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
        // There is at least one, or it would have been an error.
        let Some(leaf) = parsed.first() else { return Err(malformed(1, 1)) };
        if let Some(public) = signer.public_key() {
            let of = |certificate: &x509_parser::certificate::X509Certificate<'_>| certificate.public_key().raw == public.as_ref();
            if !of(leaf) {
                let other =
                    parsed.iter().position(of).map(|at| format!(", but to certificate {} of that file, which is to come first", at + 1));
                return Err(IdentityError::Mismatch { cert: pair.cert.clone(), key: pair.key.clone(), hint: other.unwrap_or_default() });
            }
        }
        let about = |what: String| format!("{}: {what}", pair.cert.display());
        let mut notes: Vec<_> = facts::oddities(&parsed, SystemTime::now()).into_iter().map(about).collect();
        notes.extend(readable(&pair.key));
        let names = facts::names(leaf);
        let chain: Vec<CertificateDer<'static>> = chain.iter().map(|(_, der)| der.clone()).collect();
        Ok((Self(Arc::new(Shown { cert: pair.cert.clone(), certified: Arc::new(CertifiedKey::new(chain, signer)), names })), notes))
    }

    /// The file of its certificate.
    pub(super) fn cert(&self) -> &Path {
        &self.0.cert
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.0.certified
    }

    pub(super) fn names(&self) -> &Names {
        &self.0.names
    }

    /// Whether clients are shown the same certificates.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.certified().cert == other.certified().cert
    }
}

/// Who else may read a key, or write another one in its place.
#[cfg(unix)]
fn readable(key: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = key.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mode = metadata.permissions().mode() & 0o777;
    let who = match (mode & 0o070, mode & 0o007) {
        (0, 0) => return None,
        (_, 0) => "the file's group",
        (0, _) => "others",
        _ => "the file's group and others",
    };
    let key = key.display();
    Some(format!("{key}: the private key is open to {who} (mode {mode:04o}); chmod 600 keeps it to its owner"))
}

/// Other systems have rights of another kind.
#[cfg(not(unix))]
fn readable(_: &Path) -> Option<String> {
    None
}
