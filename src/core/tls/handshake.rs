//! The server's handshake: rustls does it, each of its flights goes out with one write, and what it sends last is left for
//! the data that follows.

use super::{
    ClientVerifier,
    buffer::{self, PREFIX},
    clients,
    established::{Established, invalid},
    failure::{self, Broken},
    record::{self, HEADER, MOST_ON_WIRE},
};
use crate::stream::{Stream, TlsSession};
use rustls::{
    AlertDescription, Error, ProtocolVersion, ServerConfig,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus},
};
use std::{io, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The most of a handshake that waits for its end, in bytes: rustls takes messages of 64 KiB. What comes behind the handshake
/// is handed on with it.
const MOST: usize = 64 * 1024 + MOST_ON_WIRE;
const _: () = assert!(MOST <= buffer::SIZE);

/// Handshakes as a server with this configuration, which must allow to extract secrets.
///
/// # Errors
/// The stream or the handshake failed; in the latter case the error is a [`rustls::Error`], and the alert is written.
pub(super) async fn accept(
    config: Arc<ServerConfig>,
    clients: Option<&ClientVerifier>,
    mut stream: Stream,
) -> Result<Established, (io::Error, Stream)> {
    let mut handshake = match UnbufferedServerConnection::new(config) {
        Ok(connection) => Handshake { connection, incoming: stream.take_head().into(), offered: 0, outgoing: Vec::new() },
        Err(error) => return Err((invalid(error), stream)),
    };
    loop {
        match clients::told(|| handshake.proceed()) {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => {
                // The alert; whether it can be written is not what went wrong.
                let _ = stream.write_all(&handshake.last_words()).await;
                return Err((invalid(error), stream));
            }
        }
        if let Err(error) = handshake.exchange(&mut stream).await {
            return Err((error, stream));
        }
    }
    // A client of TLS 1.2 waits for the last flight, one of TLS 1.3 only for data: its tickets go with them.
    let Handshake { connection, incoming, outgoing, .. } = handshake;
    let waits = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) && outgoing.len() <= PREFIX;
    if !waits && let Err(error) = stream.write_all(&outgoing).await {
        return Err((error, stream));
    }
    let held = if waits { outgoing } else { Vec::new() };
    let session = TlsSession::of(&connection);
    // A session that is resumed brings its client's certificate along, which nobody has looked at since.
    let taken = match clients {
        Some(verifier) if session.resumed => verifier.still_good(connection.peer_certificates()),
        _ => Ok(()),
    };
    let mut established = match connection.dangerous_into_kernel_connection() {
        Ok(secrets) => Established::new(stream, session, secrets, incoming, held)?,
        Err(error) => return Err((invalid(error), stream)),
    };
    match taken {
        Ok(()) => Ok(established),
        Err(error) => {
            // The client has shaken hands, and may have sent its request: only an alert tells it that this is no empty answer.
            let alert = failure::sent(&error).unwrap_or(AlertDescription::AccessDenied);
            established.refuse(alert);
            Err((Broken { error, sent: Some(alert) }.into(), established.into()))
        }
    }
}

struct Handshake {
    connection: UnbufferedServerConnection,
    incoming: Vec<u8>,
    /// How much of `incoming` rustls has seen. It is shown one record after the other, so that none that follows the
    /// handshake is taken for a part of it.
    offered: usize,
    outgoing: Vec<u8>,
}

impl Handshake {
    /// Goes as far as it can without more records, or to the end of the handshake, which is then true.
    fn proceed(&mut self) -> Result<bool, Error> {
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut self.incoming[..self.offered]);
            let blocked = match state? {
                ConnectionState::EncodeTlsData(data) => {
                    encode(data, &mut self.outgoing)?;
                    false
                }
                ConnectionState::TransmitTlsData(data) => {
                    // It leaves with the rest of the flight.
                    data.done();
                    false
                }
                ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_) => true,
                _ => return Err(Error::General("data before the end of the handshake".into())),
            };
            self.incoming.drain(..discard);
            self.offered -= discard;
            if !blocked {
                continue;
            }
            if !self.connection.is_handshaking() {
                return Ok(true);
            }
            match record::length(&self.incoming[self.offered..]) {
                Ok(Some(length)) if length <= self.incoming.len() - self.offered => self.offered += length,
                Ok(_) => return Ok(false),
                // rustls finds it wrong, too, and knows what to answer.
                Err(_) if self.offered < self.incoming.len() => self.offered = self.incoming.len(),
                Err(wrong) => return Err(wrong.error),
            }
        }
    }

    /// What is to be sent after an error.
    fn last_words(&mut self) -> Vec<u8> {
        // Not a byte further than that: messages that came with the wrong one may still be there.
        while self.connection.wants_write() {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else { break };
            if encode(data, &mut self.outgoing).is_err() {
                break;
            }
        }
        std::mem::take(&mut self.outgoing)
    }

    /// Sends the flight and reads more.
    async fn exchange(&mut self, stream: &mut Stream) -> io::Result<()> {
        if !self.outgoing.is_empty() {
            stream.write_all(&self.outgoing).await?;
            self.outgoing.clear();
        }
        if self.incoming.len() >= MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake that is too long"));
        }
        self.incoming.reserve(HEADER + 2048);
        // What was allocated may be more: a hello may have been large.
        let mut bounded = stream.take((MOST - self.incoming.len()) as u64);
        match bounded.read_buf(&mut self.incoming).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof")),
            _ => Ok(()),
        }
    }
}

fn encode(mut data: EncodeTlsData<'_, rustls::server::ServerConnectionData>, outgoing: &mut Vec<u8>) -> Result<(), Error> {
    let start = outgoing.len();
    // Asked with no room at all, it says how much it needs.
    let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = data.encode(&mut []) else { return Ok(()) };
    outgoing.resize(start + required_size, 0);
    data.encode(&mut outgoing[start..]).map_err(|error| Error::General(error.to_string()))?;
    Ok(())
}
