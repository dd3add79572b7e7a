//! The server's end of TLS.

use super::{ClientAuth, ServerSettings, provider};
use crate::{identity::Identity, stream::Stream};
use rustls::{ServerConfig, crypto::aws_lc_rs, sign::SingleCertAndKey};
use std::{io, sync::Arc};
use tokio_rustls::TlsAcceptor;

/// The server's end.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl ServerTls {
    /// A server with one identity; sessions are resumed by tickets.
    ///
    /// # Errors
    /// The library failed to set itself up.
    pub fn new(identity: &Identity, settings: &ServerSettings) -> Result<Self, rustls::Error> {
        let resolver = Arc::new(SingleCertAndKey::from(identity.0.clone()));
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(settings.min_version.and_later())?;
        let builder = match &settings.clients {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Asked(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.alpn_protocols.clone_from(&settings.alpn);
        if let Some(keys) = &settings.keys {
            config.key_log = keys.clone();
        }
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Handshakes as a server. Dropping the future resets the connection.
    ///
    /// # Errors
    /// The handshake failed. The alert is written; the stream comes back so that it can be closed gently.
    pub async fn accept(&self, stream: Stream) -> Result<Stream, (io::Error, Stream)> {
        let tls = self.0.accept(stream).into_fallible().await?;
        Ok(tokio_rustls::TlsStream::Server(tls).into())
    }
}
