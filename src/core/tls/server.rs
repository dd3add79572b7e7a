//! The server's end of TLS.

use super::{AllowedClient, ClientVerifier, ServerSettings, handshake, provider, witness::Counted};
use crate::{certificate::Subject, identity::Identities, stream::Stream};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ProducesTickets, ResolvesServerCert},
};
use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
};

/// The server's end.
#[derive(Clone)]
pub struct ServerTls(Arc<Shared>);

struct Shared {
    /// What stays when `current` is replaced.
    identities: Arc<dyn ResolvesServerCert>,
    tickets: Arc<dyn ProducesTickets>,
    settings: ServerSettings,
    current: RwLock<Current>,
}

/// How the next client is spoken to.
#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// Who checks the certificates of clients, where they are asked for them.
    clients: Option<Arc<ClientVerifier>>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// A server that shows each client one of these identities, and asks for none. Sessions are resumed for up to 12 hours by tickets (RFC 5077,
    /// RFC 8446 section 4.6.1), one of which a client of TLS 1.3 gets. Their key is replaced every 6 hours, and the one before
    /// it kept; it is in memory alone. Early data is not taken: whoever listens could send it again (RFC 8446 section 8).
    ///
    /// # Errors
    /// The library failed to set itself up.
    pub fn new(identities: &Identities, settings: &ServerSettings) -> Result<Self, rustls::Error> {
        let identities = Arc::new(identities.clone());
        let (tickets, settings) = (Arc::new(Counted(aws_lc_rs::Ticketer::new()?)), settings.clone());
        let current = RwLock::new(Current::new(identities.clone(), tickets.clone(), &settings, None)?);
        Ok(Self(Arc::new(Shared { identities, tickets, settings, current })))
    }

    /// Asks all clients from now on for other certificates; whoever is connected stays so. Sessions can still be resumed by
    /// those whose certificates are good now.
    ///
    /// # Errors
    /// The library failed to set itself up; then all stays as it is.
    pub fn replace_clients(&self, clients: Arc<ClientVerifier>) -> Result<(), rustls::Error> {
        let Shared { identities, tickets, settings, current } = &*self.0;
        let replaced = Current::new(identities.clone(), tickets.clone(), settings, Some(clients))?;
        *current.write().unwrap_or_else(PoisonError::into_inner) = replaced;
        Ok(())
    }

    fn current(&self) -> Current {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The protocols that are offered by ALPN.
    #[must_use]
    pub fn alpn(&self) -> &[Vec<u8>] {
        &self.0.settings.alpn
    }

    /// Which of the names that are allowed a client has, where only certain ones are.
    #[must_use]
    pub fn allowing(&self, subject: &Subject) -> Option<AllowedClient> {
        self.current().clients?.allowing(subject).cloned()
    }

    /// Handshakes as a server. Dropping the future resets the connection.
    ///
    /// # Errors
    /// The handshake failed, or a session was resumed whose certificate is no longer taken. The alert is written, or is with the
    /// stream, which comes back so that it can be closed gently.
    pub async fn accept(&self, stream: Stream) -> Result<Stream, (io::Error, Stream)> {
        if let Some(keys) = &self.0.settings.keys {
            keys.room().await;
        }
        let Current { config, clients } = self.current();
        // The state of a handshake is large, and not kept for the life of the connection.
        Box::pin(handshake::accept(config, clients.as_deref(), stream)).await.map(Into::into)
    }
}

impl Current {
    fn new(
        identities: Arc<dyn ResolvesServerCert>,
        tickets: Arc<dyn ProducesTickets>,
        settings: &ServerSettings,
        clients: Option<Arc<ClientVerifier>>,
    ) -> Result<Self, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(in_our_order()).with_protocol_versions(settings.min_version.and_later())?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        };
        let mut config = builder.with_cert_resolver(identities);
        // The server's order counts: AES with 128 bits first, as it is the fastest of ciphers that are all good enough.
        config.ignore_client_order = true;
        // The record layer after the handshake is our own.
        config.enable_secret_extraction = true;
        config.ticketer = tickets;
        // One for each connection, as a ticket is good for one (RFC 8446 appendix C.4).
        config.send_tls13_tickets = 1;
        config.alpn_protocols.clone_from(&settings.alpn);
        if let Some(keys) = &settings.keys {
            config.key_log = Arc::new(keys.clone());
        }
        Ok(Self { config: Arc::new(config), clients })
    }
}

/// The provider with its cipher suites in the order in which a server chooses.
fn in_our_order() -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&provider());
    // Of each version, for each kind of key, the library has AES-256 right before AES-128, and ChaCha20 after both.
    provider.cipher_suites.sort_by_key(|suite| {
        let name = suite.suite().as_str().unwrap_or_default();
        (suite.tls13().is_none(), name.contains("CHACHA20"), name.contains("AES_256"))
    });
    Arc::new(provider)
}
