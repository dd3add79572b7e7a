//! How a client opens a connection that is routed by a name: with a ClientHello, with an HTTP request, or with something
//! else.

use crate::{
    event::{By, End, Phase, Progress},
    hello::{self, Alert, ClientHello, Greeting, Malformed, Protocol, Reader},
    host::{BadRequest, Head, Request},
    peek::{self, Cause, Unfinished},
    starttls::{Next, Starttls, postgres_error},
    stream::Stream,
};
use std::{
    borrow::Cow,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// What a client opens with.
#[derive(Debug)]
pub enum Opening {
    /// A well-formed ClientHello.
    Tls(Box<ClientHello>),
    /// The head of an HTTP request.
    Http(Request),
    /// Neither of these, and what it looks like.
    NotTls(Protocol),
    /// A hello or a request that is malformed, or not there by its deadline. What came of it is kept.
    Bad(Bad),
}

/// An opening that nothing can be read from.
#[derive(Debug)]
pub struct Bad {
    /// How the connection ends, unless somebody takes it as it is.
    pub end: End,
    /// What the client is told.
    pub answer: Answer,
}

/// The last words for a client, in its own language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// None: its language is not known.
    Silence,
    /// A fatal alert of TLS.
    Alert(Alert),
    /// An HTTP/1.1 response with this status, and its reason in a few words.
    Http(u16, Cow<'static, str>),
    /// The end of an HTTP/2 connection.
    Http2(Http2Error),
    /// A fatal ErrorResponse of PostgreSQL.
    Postgres(&'static str),
    /// What is said to who is late with asking for TLS.
    Late(Starttls),
}

/// Why an HTTP/2 connection ends, as its code of error (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Http2Error {
    /// It is to be asked over TLS.
    InadequateSecurity = 0x0c,
    /// This is to be asked over HTTP/1.1.
    Http11Required = 0x0d,
}

/// Reads until it is certain what the client asks for, for at most `limit` in all, of which `spent` is over; nothing that was
/// read is lost. Where `http` is not looked for, HTTP is not TLS.
///
/// # Errors
/// How the connection ends of a client that is gone, or ended without a byte.
pub async fn read(stream: &mut Stream, limit: Duration, spent: Duration, http: bool, progress: &Progress) -> Result<Opening, End> {
    progress.enter(Phase::Hello);
    let (mut reader, mut head) = (Reader::new(), None);
    let parse = |bytes: &[u8]| {
        if head.is_none() {
            match reader.read(bytes)?.sound() {
                Greeting::NotTls(Protocol::Http) if http => {}
                Greeting::NotTls(Protocol::Http2) if http => return Some(Opening::Http(Request::TWO)),
                Greeting::NotTls(protocol) => return Some(Opening::NotTls(protocol)),
                Greeting::Tls(hello) => return Some(Opening::Tls(hello)),
                Greeting::Malformed(malformed) => return Some(Opening::malformed(malformed)),
            }
        }
        head.get_or_insert_with(Head::default).read(bytes).map(|head| head.map_or_else(Opening::bad_request, Opening::Http))
    };
    let read = peek::first(stream, Phase::Hello, "hello", limit, spent, hello::MOST_ON_WIRE, parse).await;
    let (bytes, is_tls) = (stream.head(), reader.is_tls());
    match read {
        Ok(Some(opening)) => Ok(opening),
        Ok(None) => Ok(Opening::malformed(Malformed::unfinished(bytes))),
        Err(Unfinished { cause: Cause::Failed, end }) => Err(end),
        Err(Unfinished { cause: Cause::Ended, end }) if bytes.is_empty() => Err(end),
        Err(Unfinished { cause, end }) => {
            let answer = match (head, cause) {
                (Some(_), Cause::Late) => Answer::Http(408, "the request did not come in time".into()),
                (Some(_), _) => Answer::Http(400, "the request is not complete".into()),
                _ if is_tls => Answer::Alert(Alert::DecodeError),
                _ => Answer::Silence,
            };
            Ok(Opening::Bad(Bad { end, answer }))
        }
    }
}

/// Answers a client in the protocol that TLS begins within, for at most `limit`, until it is to send its hello. Comes back with
/// what is next, and how long it took.
///
/// # Errors
/// What the client is told, and how the connection ends.
pub async fn before_tls(
    protocol: Starttls,
    stream: &mut Stream,
    limit: Duration,
    progress: &Progress,
) -> Result<(Next, Duration), (Answer, End)> {
    let started = Instant::now();
    progress.enter(Phase::Hello);
    let next = match timeout(limit, protocol.with_client(stream)).await {
        Ok(Ok(next)) => next,
        Ok(Err(end)) => return Err((Answer::Silence, end)),
        // The time is over for the hello as well.
        Err(_) if protocol.late().is_empty() => Next::Anything,
        Err(_) => return Err((Answer::Late(protocol), End::failed(By::Timeout, Phase::Hello, format!("no STARTTLS in {limit:?}")))),
    };
    Ok((next, started.elapsed()))
}

impl Opening {
    fn malformed(malformed: Malformed) -> Self {
        Self::Bad(Bad { end: End::failed(By::Client, Phase::Hello, malformed), answer: Answer::Alert(Alert::DecodeError) })
    }

    fn bad_request(bad: BadRequest) -> Self {
        Self::Bad(Bad { end: End::failed(By::Client, Phase::Hello, bad), answer: Answer::Http(bad.status, bad.what.into()) })
    }
}

impl Answer {
    /// Says it and closes, so that it can be read.
    pub async fn say(self, stream: Stream) {
        match self {
            Self::Silence => peek::close(stream).await,
            Self::Alert(alert) => peek::refuse(stream, alert).await,
            Self::Http(status, why) => peek::farewell(stream, response(status, &why).as_bytes()).await,
            Self::Http2(error) => peek::farewell(stream, &go_away(error)).await,
            Self::Postgres(why) => peek::farewell(stream, &postgres_error(why)).await,
            Self::Late(starttls) => peek::farewell(stream, starttls.late()).await,
        }
    }
}

/// An empty SETTINGS frame, which a server must say first, then GOAWAY (RFC 9113 sections 3.4, 6.8).
fn go_away(error: Http2Error) -> [u8; 26] {
    let mut frames = *b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
    frames[25] = error as u8;
    frames
}

fn response(status: u16, why: &str) -> String {
    let phrase = match status {
        408 => "Request Timeout",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        _ => "Bad Request",
    };
    let length = why.len() + 1;
    format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{why}\n"
    )
}
