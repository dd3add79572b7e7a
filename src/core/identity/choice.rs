//! Which of several identities a client is shown.

use super::{Identity, facts::Names};
use crate::name::ServerName;
use rustls::SignatureScheme;
use std::collections::HashMap;

/// Identities by the names in their certificates, in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Choice {
    all: Vec<Identity>,
    exact: HashMap<ServerName, Vec<usize>>,
    wildcard: HashMap<ServerName, Vec<usize>>,
}

impl Choice {
    pub(super) fn new(all: Vec<Identity>) -> Self {
        let mut choice = Self::default();
        for (number, identity) in all.iter().enumerate() {
            let Names { exact, wildcard, .. } = identity.names();
            for (names, by) in [(exact, &mut choice.exact), (wildcard, &mut choice.wildcard)] {
                for name in names {
                    by.entry(name.clone()).or_default().push(number);
                }
            }
        }
        Self { all, ..choice }
    }

    /// Whether a certificate is for this name.
    pub(super) fn is_for(&self, name: &ServerName) -> bool {
        self.named(name).next().is_some()
    }

    /// The first identity for the exact name, then for a wildcard in the place of its first label, then of all: among them the
    /// first with a key whose signature the client can check. A name may have a certificate for RSA and one for ECDSA. It comes
    /// with why it was chosen.
    pub(super) fn choose(&self, name: Option<&ServerName>, schemes: &[SignatureScheme]) -> Option<(&Identity, &'static str)> {
        let named = || name.into_iter().flat_map(|name| self.named(name));
        let can_sign = |identity: &Identity| identity.certified().key.choose_scheme(schemes).is_some();
        // Where there is none to be checked the handshake fails, and says why.
        if let Some(found) = named().find(|(identity, _)| can_sign(identity)).or_else(|| named().next()) {
            return Some(found);
        }
        let why = if name.is_some() { "the default, as none is for this name" } else { "the default, as no name was asked for" };
        self.all.iter().find(|identity| can_sign(identity)).or(self.all.first()).map(|identity| (identity, why))
    }

    fn named(&self, name: &ServerName) -> impl Iterator<Item = (&Identity, &'static str)> {
        let exact = self.exact.get(name).into_iter().flatten().map(|number| (number, "it is for this name"));
        let wildcard = name.as_str().split_once('.').and_then(|(_, parent)| self.wildcard.get(parent));
        let wildcard = wildcard.into_iter().flatten().map(|number| (number, "its wildcard is for this name"));
        exact.chain(wildcard).filter_map(|(number, why)| Some((self.all.get(*number)?, why)))
    }
}
