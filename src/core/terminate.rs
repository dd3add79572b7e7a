//! Taking TLS off a client's connection: its hello, the handshake, and clear words to those that do not speak TLS.

use crate::{
    event::{By, Client, ConnId, End, Event, Events, Handshake, Offered, Phase, brief, io_words},
    hello::{Alert, Framing, Name, Protocol, names},
    host::{Request, Version},
    identity::Identities,
    opening::{self, Answer, Bad, Http2Error, Opening},
    peek,
    server::Conn,
    starttls::Starttls,
    stream::{ClientCertificate, Stream},
    text::text,
    tls::{Failure, Peer, ServerTls, witness::witnessed},
};
use std::{
    fmt, io,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// The server's end of TLS, and how long clients may take.
#[derive(Clone)]
pub struct Terminator {
    /// How TLS is spoken with clients.
    pub tls: ServerTls,
    /// What they are shown.
    pub identities: Identities,
    /// What is spoken before TLS.
    pub starttls: Option<Starttls>,
    /// For the whole ClientHello, and what is spoken before it.
    pub hello_timeout: Duration,
    /// For the handshake after it.
    pub handshake_timeout: Duration,
}

/// TLS 1.2 in a hello.
const TLS12: u16 = 0x0303;

/// What a client asked for, to be told of the handshake.
struct Asked {
    name: Name,
    offered: Offered,
}

impl Terminator {
    /// Handshakes with the client; the connection comes back with the plaintext as its stream.
    ///
    /// # Errors
    /// How the connection ended: no hello, not TLS, no handshake. The client was told, as far as its language is known. Who
    /// was silent, or did not end the handshake in time, is reset: an alert of the handshake would have to be encrypted with
    /// keys that are not agreed on.
    pub async fn accept(&self, mut conn: Conn) -> Result<Conn, End> {
        let mut spent = Duration::ZERO;
        if let Some(protocol) = self.starttls {
            match opening::before_tls(protocol, &mut conn.stream, self.hello_timeout, &conn.progress).await {
                Ok((_, elapsed)) => spent = elapsed,
                Err((answer, end)) => {
                    answer.say(conn.stream).await;
                    return Err(end);
                }
            }
        }
        let asked = match opening::read(&mut conn.stream, self.hello_timeout, spent, self.starttls.is_none(), &conn.progress).await? {
            Opening::Tls(hello) if hello.came != Framing::Ssl2 => {
                let mut hello = *hello;
                conn.authority = hello.authority.take();
                Asked { name: std::mem::replace(&mut hello.name, Name::Absent), offered: hello.into() }
            }
            other => return Err(turn_away(conn.stream, other, self.starttls).await),
        };
        conn.progress.enter(Phase::Handshake);
        if asked.is_too_old() {
            peek::refuse(conn.stream, Alert::ProtocolVersion).await;
            let failure = Failure::told("no version of TLS in common with client", Alert::ProtocolVersion);
            return Err(asked.fail(conn.id, &conn.events, By::Client, failure, self.tls.alpn()));
        }
        if let Some(why) = self.identities.refuses(&asked.name) {
            peek::refuse(conn.stream, Alert::UnrecognizedName).await;
            return Err(asked.fail(conn.id, &conn.events, By::Rule, Failure::told(why, Alert::UnrecognizedName), self.tls.alpn()));
        }
        let (started, traffic) = (Instant::now(), conn.stream.traffic().clone());
        // What was read of the hello counts, and nothing before it.
        let before = (traffic.received() - conn.stream.head().len() as u64, traffic.sent());
        let (by, failure) = match timeout(self.handshake_timeout, witnessed(self.tls.accept(conn.stream))).await {
            Ok((Ok(stream), witnessed)) => {
                conn.stream = stream;
                if let Some(session) = conn.stream.tls_session() {
                    let passed = (traffic.received() - before.0, traffic.sent() - before.1);
                    let client = session.client.as_ref().map(|client| self.told(client));
                    let name = asked.name.dns().map(ToString::to_string);
                    let told = Handshake::new(conn.id, asked.offered, session, witnessed, passed, started.elapsed());
                    let handshake = Handshake { name, client, ..told };
                    conn.events.emit(Event::Handshake(Box::new(handshake)));
                }
                return Ok(conn);
            }
            Ok((Err((error, stream)), _)) => {
                // The alert is written; it must not be overtaken by a reset.
                peek::close(stream).await;
                let end = End::io(By::Client, Phase::Handshake, &error);
                (end.by, failure(&error))
            }
            Err(_) => (By::Timeout, Failure { what: format!("not complete in {:?}", self.handshake_timeout), alert: None }),
        };
        Err(asked.fail(conn.id, &conn.events, by, failure, self.tls.alpn()))
    }

    /// Who a client is, to be told.
    fn told(&self, client: &ClientCertificate) -> Client {
        Client {
            common_name: client.subject.common_name.clone(),
            names: client.subject.names.iter().map(ToString::to_string).collect(),
            allowed: self.tls.allowing(&client.subject).map(|name| name.to_string()),
        }
    }
}

impl Asked {
    /// Whether it offers nothing but versions that nobody may accept (RFC 8996). rustls looks at what they lack first, and says
    /// that.
    fn is_too_old(&self) -> bool {
        self.offered.versions.iter().all(|version| *version < TLS12)
    }

    /// Tells that the handshake failed, with what only the hello tells, and the protocols that are spoken here.
    fn fail(&self, id: ConnId, events: &Events, by: By, mut failure: Failure, protocols: &[Vec<u8>]) -> End {
        let sent = |alert| failure.alert.as_ref().is_some_and(|sent| sent.is_sent(alert));
        if sent(Alert::ProtocolVersion) && self.offered.versions.contains(&TLS12) {
            failure.what += ", and TLS 1.2 is not spoken here (--min-tls)";
        } else if sent(Alert::NoApplicationProtocol) {
            let (theirs, ours) = (brief(&listed(&self.offered.alpn)), brief(&listed(protocols)));
            failure.what = format!("{}: {theirs} there, {ours} here (--alpn)", failure.what);
        }
        let end = End::failed(by, Phase::Handshake, format_args!("{failure}; {self}"));
        let Failure { what: why, alert } = failure;
        events.emit(Event::HandshakeFailed { id, name: self.name.text(), versions: self.versions(), alert, why });
        end
    }

    /// The versions that were offered, in the client's order.
    fn versions(&self) -> Vec<String> {
        self.offered.versions.iter().copied().map(names::version_text).collect()
    }
}

/// Protocols, one after the other.
fn listed(protocols: &[Vec<u8>]) -> String {
    protocols.iter().map(|protocol| text(protocol)).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.text() {
            Some(name) => write!(f, "name {}", brief(&name))?,
            None => f.write_str("no name")?,
        }
        write!(f, ", offered {}", brief(&self.versions().join(", ")))
    }
}

/// Why a handshake failed.
fn failure(error: &io::Error) -> Failure {
    Failure::of(error, Peer::Client).unwrap_or_else(|| {
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "left",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "reset",
            _ => return Failure { what: io_words(error), alert: None },
        };
        Failure { what: format!("{what}: it may not trust the certificate, which not every client says by an alert"), alert: None }
    })
}

/// Tells who sent no hello that can be answered what to do, in its own language where that is known.
async fn turn_away(stream: Stream, opening: Opening, starttls: Option<Starttls>) -> End {
    let failed = |why: &dyn fmt::Display| End::failed(By::Client, Phase::Hello, why);
    let not_tls = |protocol: Protocol| failed(&format_args!("not TLS but {protocol}"));
    let (answer, end) = match opening {
        // RFC 6176 section 3 allows a server to take it; none that speaks only TLS 1.2 and later does.
        Opening::Tls(_) => (Answer::Alert(Alert::ProtocolVersion), failed(&"a hello in the format of SSL 2.0")),
        Opening::Http(Request { version: Version::Two, .. }) => (Answer::Http2(Http2Error::InadequateSecurity), not_tls(Protocol::Http2)),
        Opening::Http(request) => (Answer::Http(400, try_https(&request).into()), not_tls(Protocol::Http)),
        Opening::Bad(Bad { answer: Answer::Http(..), .. }) => (Answer::Http(400, TRY_HTTPS.into()), not_tls(Protocol::Http)),
        // Who has said nothing that means anything is not waited for any longer.
        Opening::Bad(Bad { answer: Answer::Silence, end: end @ End { by: By::Timeout, .. } }) => return end,
        Opening::Bad(bad) => (bad.answer, bad.end),
        Opening::NotTls(protocol) if starttls == Some(Starttls::Postgres) => (Answer::Postgres("TLS is required"), not_tls(protocol)),
        Opening::NotTls(protocol) if starttls.is_some() => (Answer::Silence, not_tls(protocol)),
        Opening::NotTls(protocol @ (Protocol::ProxyV1 | Protocol::ProxyV2)) => {
            (Answer::Silence, failed(&format_args!("not TLS but {protocol} (--accept-proxy takes it)")))
        }
        Opening::NotTls(protocol @ Protocol::Postgres) => {
            (Answer::Postgres("this port speaks TLS from the first byte (sslnegotiation=direct)"), not_tls(protocol))
        }
        Opening::NotTls(protocol) => (Answer::Silence, not_tls(protocol)),
    };
    answer.say(stream).await;
    end
}

const TRY_HTTPS: &str = "this port speaks TLS: try https://...";

/// The same with the host that was asked for: it has only what a URL may hold.
fn try_https(request: &Request) -> String {
    /// The longest DNS name (RFC 1035 section 2.3.4).
    const MOST: usize = 255;
    match &request.authority {
        Some(host) if host.len() <= MOST => {
            let port = request.port.map_or(String::new(), |port| format!(":{port}"));
            format!("this port speaks TLS: try https://{host}{port}/")
        }
        _ => TRY_HTTPS.into(),
    }
}
