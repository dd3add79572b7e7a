//! Who a server of TLS is: certificates and their keys, from files or made in memory, and which of them a client is shown.

mod choice;
mod error;
mod facts;
mod files;
mod folder;
mod load;
mod mint;
mod pem;

pub use error::IdentityError;
pub use files::{Files, Loader};
pub use load::{Identity, Pair};
pub use mint::{Allowed, Authority};
pub use pem::certificates;
pub(crate) use pem::read_up_to;

use crate::{hello::Name, name::ServerName, tls::witness};
use choice::Choice;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// The identities of a server, of which each client is shown one. Clones share them; those from files may be read again, all
/// at once for those who shake hands.
#[derive(Clone)]
pub struct Identities {
    source: Arc<Source>,
    /// Whether clients are refused that ask for no name, or for one that no certificate is for.
    strict: bool,
}

enum Source {
    /// From files. The lock is held to copy a pointer.
    Files(RwLock<Arc<Choice>>),
    /// Made for each name.
    Made(Authority),
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identities")
    }
}

impl Identities {
    /// Identities from files; they are read by a [`Loader`].
    pub(crate) fn of_files(strict: bool) -> Self {
        Self { source: Arc::new(Source::Files(RwLock::default())), strict }
    }

    /// Identities that are made for the names that are asked for.
    #[must_use]
    pub fn made(authority: Authority, strict: bool) -> Self {
        Self { source: Arc::new(Source::Made(authority)), strict }
    }

    /// Why a client that asks for this name gets no handshake, which is answered by the alert unrecognized_name (RFC 6066
    /// section 3).
    #[must_use]
    pub fn refuses(&self, name: &Name) -> Option<String> {
        let why = match (&*self.source, name) {
            (Source::Files(_), _) if !self.strict => return None,
            (Source::Files(live), Name::Dns(dns)) if current(live).is_for(dns) => return None,
            (Source::Made(authority), Name::Dns(dns)) if authority.allows(dns) => return None,
            (Source::Files(_), Name::Dns(name)) => format!("no certificate is for {name} (--strict-sni)"),
            (Source::Made(_), Name::Dns(name)) => format!("{name} is not among --names"),
            (_, Name::Absent) if self.strict => "no server name was asked for (--strict-sni)".into(),
            (_, Name::Other(_)) if self.strict => format!("{name} is no DNS name (--strict-sni)"),
            // Who connects to an address asks for none. What is no name at all the handshake itself refuses.
            (_, Name::Absent | Name::Other(_)) => return None,
        };
        Some(why)
    }

    /// Takes other identities into force.
    fn replace(&self, identities: Choice) {
        if let Source::Files(live) = &*self.source {
            *live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identities);
        }
    }
}

fn current(live: &RwLock<Arc<Choice>>) -> Arc<Choice> {
    live.read().unwrap_or_else(PoisonError::into_inner).clone()
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| name.parse::<ServerName>().ok());
        match &*self.source {
            Source::Files(live) => {
                let choice = current(live);
                let (identity, why) = choice.choose(name.as_ref(), hello.signature_schemes())?;
                witness::shown(identity.cert().display().to_string(), why);
                Some(identity.certified().clone())
            }
            Source::Made(authority) => {
                let why = if name.is_some() { "for this name" } else { "for clients that ask for no name" };
                witness::shown("made in memory", why);
                authority.show(name.as_ref())
            }
        }
    }
}
