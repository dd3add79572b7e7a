//! What is wrong with a certificate or a key.

use super::folder::MOST_PAIRS;
use std::{io, path::PathBuf};

/// A certificate or key that cannot be used. Nothing of a key's content is in any of them.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file or folder cannot be read.
    #[error("cannot read {path}: {error}", path = .path.display())]
    Read { path: PathBuf, error: io::Error },
    /// There is something else in the place of a file, of which nobody knows when it ends.
    #[error("{path} is no regular file any more", path = .0.display())]
    Replaced(PathBuf),
    /// A file is longer than any of its kind.
    #[error("{path} is longer than {most} MiB: it is no {what}", path = .path.display(), most = .most >> 20)]
    TooLong { path: PathBuf, most: u64, what: &'static str },
    /// A line, or what begins with it, cannot be used.
    #[error("{path}, line {line}: {why}", path = .path.display())]
    Line { path: PathBuf, line: usize, why: String },
    /// A file holds no certificate; `but` tells what it holds.
    #[error("{path} holds no certificate in PEM{but}", path = .path.display())]
    NoCertificate { path: PathBuf, but: String },
    /// A file holds no key; `but` tells what it holds.
    #[error("{path} holds no private key in PEM (PKCS#8, PKCS#1 or SEC1){but}", path = .path.display())]
    NoKey { path: PathBuf, but: String },
    /// The library does not take a key; it does not say why.
    #[error("cannot use {path}: it is damaged, or no RSA key of 2048 to 8192 bits, ECDSA key on P-256, P-384 or P-521, or Ed25519 key", path = .0.display())]
    Key(PathBuf),
    /// The two do not belong together.
    #[error("the key in {key} does not belong to the certificate in {cert}{hint}", key = .key.display(), cert = .cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf, hint: String },
    /// There is nothing to be used in a folder.
    #[error("{path} holds no certificate with a key: NAME.crt or NAME.pem with NAME.key, or NAME/fullchain.pem with NAME/privkey.pem", path = .0.display())]
    NoPair(PathBuf),
    /// There is too much in a folder.
    #[error("{path} holds more than {MOST_PAIRS} certificates", path = .0.display())]
    TooMany(PathBuf),
    /// The library does not take them.
    #[error("cannot use {what}: {error}")]
    Unusable { what: String, error: String },
}
