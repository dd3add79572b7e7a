//! Taking TLS off a client's connection: its hello, the handshake, and clear words to those that do not speak TLS.

use crate::{
    event::{By, End, Event, Phase, cause_words},
    hello::{Alert, Greeting, Protocol},
    opening::Answer,
    peek,
    server::Conn,
    tls::ServerTls,
};
use std::time::Duration;
use tokio::time::timeout;

/// The server's end of TLS, and how long clients may take.
#[derive(Clone)]
pub struct Terminator {
    /// What is shown to clients.
    pub tls: ServerTls,
    /// For the whole ClientHello.
    pub hello_timeout: Duration,
    /// For the handshake after it.
    pub handshake_timeout: Duration,
}

impl Terminator {
    /// Handshakes with the client; the connection comes back with the plaintext as its stream.
    ///
    /// # Errors
    /// How the connection ended: no hello, not TLS, no handshake. The client was told, as far as its language is known.
    pub async fn accept(&self, mut conn: Conn) -> Result<Conn, End> {
        match peek::greeting(&mut conn.stream, self.hello_timeout, &conn.progress).await.map_err(|unfinished| unfinished.end)?.sound() {
            Greeting::Tls(hello) => conn.authority = hello.authority,
            Greeting::NotTls(protocol) => return Err(not_tls(conn, protocol).await),
            Greeting::Malformed(malformed) => {
                peek::refuse(conn.stream, Alert::DecodeError).await;
                return Err(End::failed(By::Client, Phase::Hello, malformed));
            }
        }
        conn.progress.enter(Phase::Handshake);
        match timeout(self.handshake_timeout, self.tls.accept(conn.stream)).await {
            Ok(Ok(stream)) => conn.stream = stream,
            Ok(Err((error, stream))) => {
                // The alert is written; it must not be overtaken by a reset.
                peek::close(stream).await;
                return Err(End::failed(By::Client, Phase::Handshake, cause_words(&error)));
            }
            Err(_) => return Err(End::timeout(Phase::Handshake, self.handshake_timeout)),
        }
        if let Some(session) = conn.stream.tls_session() {
            let (name, version, cipher, resumed) = (session.name, session.version, session.cipher, session.resumed);
            conn.events.emit(Event::Handshake { id: conn.id, name, version, cipher, resumed });
        }
        Ok(conn)
    }
}

/// Tells a browser that came without TLS what to do; anyone else is closed on.
async fn not_tls(conn: Conn, protocol: Protocol) -> End {
    let answer = if protocol == Protocol::Http { Answer::Http(400, "this port speaks TLS: try https://...") } else { Answer::Silence };
    answer.say(conn.stream).await;
    End::failed(By::Client, Phase::Hello, format!("not TLS but {protocol}"))
}
