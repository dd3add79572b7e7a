//! Authorities of clients whose files may be read again.

use super::{
    ClientRules, ServerTls,
    clients::{ClientVerifier, Held},
};
use crate::{
    identity::IdentityError,
    reload::{Loaded, Reload, What, irregular, read_once},
};
use std::{path::PathBuf, sync::Arc};

/// The files of what clients are asked for, and the server that asks.
pub struct FollowedClients {
    rules: ClientRules,
    tls: ServerTls,
    held: Held,
    /// Whether one of the files can be read once only.
    is_once: bool,
}

impl FollowedClients {
    /// Reads the files, and has `tls` ask for what they say.
    ///
    /// # Errors
    /// One cannot be read, or holds nothing that can be used.
    pub fn new(rules: ClientRules, tls: ServerTls) -> Result<(Self, Loaded), IdentityError> {
        let once = irregular(rules.paths())
            .map(|path| format!("{}, and so is all else that certificates of clients are checked by", read_once(path)));
        let verifier = rules.load()?;
        let mut followed = Self { rules, tls, held: Held::default(), is_once: once.is_some() };
        let loaded = followed.take(verifier)?;
        Ok((followed, Loaded { notes: once.into_iter().collect(), ..loaded }))
    }

    fn take(&mut self, verifier: ClientVerifier) -> Result<Loaded, IdentityError> {
        let held = verifier.held().clone();
        if held == self.held {
            return Ok(self.loaded(0, None));
        }
        let unusable = |error: rustls::Error| IdentityError::Unusable { what: "TLS".into(), error: error.to_string() };
        self.tls.replace_clients(Arc::new(verifier)).map_err(unusable)?;
        let changed = differing(&held.authorities, &self.held.authorities) + differing(&held.crls, &self.held.crls);
        self.held = held;
        Ok(self.loaded(changed, None))
    }

    fn loaded(&self, changed: usize, why: Option<String>) -> Loaded {
        Loaded { certificates: self.held.authorities.len(), changed, why, ..Loaded::default() }
    }
}

/// How many are in one alone, at least one where the two differ in their order.
fn differing<T: PartialEq>(one: &[T], other: &[T]) -> usize {
    let missing = |from: &[T], of: &[T]| of.iter().filter(|item| !from.contains(item)).count();
    (missing(one, other) + missing(other, one)).max(usize::from(one != other))
}

impl Reload for FollowedClients {
    fn what(&self) -> What {
        What::ClientCa
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.rules.paths().cloned().collect()
    }

    fn reload(&mut self) -> Loaded {
        if self.is_once {
            return self.loaded(0, None);
        }
        let replaced = irregular(self.rules.paths()).map(|path| IdentityError::Replaced(path.clone()));
        let taken = replaced.map_or_else(|| self.rules.load(), Err).and_then(|verifier| self.take(verifier));
        taken.unwrap_or_else(|error| self.loaded(0, Some(error.to_string())))
    }
}
