//! Certificates and keys in a folder, found by their names.

use super::{IdentityError, Pair};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// As many as a folder may hold: memory is bounded, whoever writes it.
pub(super) const MOST_PAIRS: usize = 10_000;

/// What a folder holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// In the order of their names.
    pub(super) pairs: Vec<Pair>,
    /// The names of what is no part of a pair.
    pub(super) others: Vec<String>,
}

/// Finds in a folder, by the names alone: `NAME.crt`, `NAME.cert` or `NAME.pem`, whose key is in `NAME.key`, in `NAME-key.pem`
/// (as mkcert writes it), or in the same file (as haproxy takes it); `NAME/fullchain.pem` with `NAME/privkey.pem` (certbot).
/// What begins with a dot is passed over: Kubernetes keeps there what the names lead to.
///
/// # Errors
/// The folder cannot be read, or holds too much.
pub(super) fn find(folder: &Path) -> Result<Found, IdentityError> {
    let failed = |error| IdentityError::Read { path: folder.to_owned(), error };
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = PathBuf::from(entry.map_err(failed)?.file_name());
        if !name.as_os_str().as_encoded_bytes().starts_with(b".") {
            names.insert(name);
        }
        // A pair has two files at most.
        if names.len() > 2 * MOST_PAIRS {
            return Err(IdentityError::TooMany(folder.to_owned()));
        }
    }
    let (mut pairs, mut used, mut others) = (Vec::new(), BTreeSet::new(), Vec::new());
    for name in &names {
        let is_cert = name.extension().is_some_and(|extension| extension == "crt" || extension == "cert" || extension == "pem");
        let path = folder.join(name);
        let pair = if path.is_dir() {
            certbot(folder, name)
        } else if is_cert && path.is_file() && !is_key_of_mkcert(name, &names) {
            let key = keys(name).into_iter().find(|key| names.contains(key)).unwrap_or_else(|| name.clone());
            used.insert(key.clone());
            Some(Pair { cert: path, key: folder.join(key) })
        } else {
            None
        };
        match pair {
            Some(pair) => pairs.push(pair),
            None => others.push(name),
        }
    }
    if pairs.len() > MOST_PAIRS {
        return Err(IdentityError::TooMany(folder.to_owned()));
    }
    let others = others.into_iter().filter(|name| !used.contains(*name)).map(|name| name.display().to_string()).collect();
    Ok(Found { pairs, others })
}

/// Where the key of a certificate may be, but for its own file.
fn keys(cert: &Path) -> Vec<PathBuf> {
    let mut mkcert = cert.file_stem().unwrap_or_default().to_owned();
    mkcert.push("-key.pem");
    vec![cert.with_extension("key"), PathBuf::from(mkcert)]
}

/// Whether a file is the key of another one, as mkcert names it.
fn is_key_of_mkcert(name: &Path, names: &BTreeSet<PathBuf>) -> bool {
    let stem = name.to_str().and_then(|name| name.strip_suffix("-key.pem"));
    stem.is_some_and(|stem| ["pem", "crt", "cert"].iter().any(|extension| names.contains(Path::new(&format!("{stem}.{extension}")))))
}

fn certbot(folder: &Path, name: &Path) -> Option<Pair> {
    let folder = folder.join(name);
    let pair = Pair { cert: folder.join("fullchain.pem"), key: folder.join("privkey.pem") };
    (pair.cert.exists() && pair.key.exists()).then_some(pair)
}
