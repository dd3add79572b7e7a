//! The two ends of TLS.

mod allowed;
mod buffer;
mod client;
mod clients;
mod established;
mod failure;
mod followed;
mod handshake;
mod keylog;
mod record;
mod server;
mod settings;
pub(crate) mod witness;

pub(crate) use established::Established;

pub use allowed::{AllowedClient, NoClientName};
pub use client::{ClientTls, Trust};
pub use clients::{ClientRules, ClientVerifier, NotAllowed};
pub use failure::{Failure, Peer, Sender, SentAlert};
pub use followed::FollowedClients;
pub use keylog::KeyLog;
pub use server::ServerTls;
pub use settings::{ServerSettings, Version};
pub use witness::{Shown, Witnessed};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::Arc;

/// The one crypto provider of the process; also for libraries that ask for a default.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    if let Some(provider) = CryptoProvider::get_default() {
        return provider.clone();
    }
    // Another thread may be the first one; its provider is the same.
    let _ = aws_lc_rs::default_provider().install_default();
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}
