//! One check of one backend: connect, then each step, all by one deadline.

use super::{Checks, Step, exec};
use crate::{
    addr::{Host, HostPort, Target},
    dial::{Dialer, Preamble},
    event::{brief, cause_words, io_words},
    pool::Backend,
    stream::Stream,
    text::text,
    tls::{Failure, Peer},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::io;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time::{Instant, timeout_at},
};

/// Checks at a time, for thousands of backends that do not answer. Those by a command are rarer: each is a process.
static ROOM: Semaphore = Semaphore::const_new(256);
static ROOM_FOR_COMMANDS: Semaphore = Semaphore::const_new(16);

/// The most that is read for what is expected.
const MOST_READ: usize = 64 * 1024;

/// What a check says of a backend, and why.
pub(super) type Verdict = Result<String, String>;

/// Why this machine could not ask, which says nothing of the backend.
pub(super) struct Unasked(pub(super) String);

/// Checks a backend once. Waits for room first, which is not counted.
pub(super) async fn check(backend: &Backend, checks: &Checks, dialer: &Dialer) -> Result<Verdict, Unasked> {
    let command = match checks.probe.steps() {
        [Step::Exec(command)] => Some(command),
        _ => None,
    };
    let room = if command.is_some() { &ROOM_FOR_COMMANDS } else { &ROOM };
    let _place = room.acquire().await.map_err(|error| Unasked(error.to_string()))?;
    let deadline = Instant::now() + checks.timeout;
    match command {
        Some(command) => exec::run(command, backend, deadline, checks.timeout).await,
        None => connected(&backend.target, checks, dialer, deadline).await,
    }
}

async fn connected(target: &Target, checks: &Checks, dialer: &Dialer, deadline: Instant) -> Result<Verdict, Unasked> {
    let steps = checks.probe.steps();
    // With a name of its own for the handshake, a tls: target is dialed without one.
    let plain = match (target, steps.first()) {
        (Target::Tls(to), Some(Step::Tls(_))) => Target::Tcp(to.clone()),
        _ => target.clone(),
    };
    let mut stream = match dialer.dial(&plain, checks.announce.map_or(Preamble::None, Preamble::Own), &[]).await {
        Ok(dialed) => dialed.stream,
        Err(error) if error.is_local() => return Err(Unasked(error.words())),
        Err(error) => return Ok(Err(error.words())),
    };
    let mut said = "takes connections".to_owned();
    let mut came = Vec::new();
    for step in steps {
        let verdict = match step {
            Step::Connect | Step::Exec(_) => continue,
            Step::Http(path) => {
                let asked = http(target, stream, path, deadline).await;
                return Ok(asked.unwrap_or_else(|| Err(format!("no HTTP answer for {:?}", checks.timeout))));
            }
            Step::Tls(name) => match timeout_at(deadline, tls(name.as_ref(), target, dialer, stream)).await {
                Ok(Ok(established)) => {
                    stream = established;
                    said = "shakes hands by TLS".into();
                    continue;
                }
                Ok(Err(why)) => Err(why),
                Err(_) => Err(format!("no TLS handshake for {:?}", checks.timeout)),
            },
            Step::Send(bytes) => match timeout_at(deadline, send(&mut stream, bytes)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => Err(words(&error)),
                Err(_) => Err(format!("nothing read for {:?}", checks.timeout)),
            },
            Step::Expect(bytes) => {
                let seen = match timeout_at(deadline, expect(&mut stream, bytes, &mut came)).await {
                    Ok(Ok(())) => {
                        said = format!("said {:?}", brief(&text(bytes)));
                        continue;
                    }
                    Ok(Err(error)) => words(&error),
                    Err(_) => format!("nothing more for {:?}", checks.timeout),
                };
                let heard = if came.is_empty() { "nothing came".into() } else { format!("{:?} came", brief(&text(&came))) };
                Err(format!("did not say {:?}: {heard}, {seen}", brief(&text(bytes))))
            }
        };
        return Ok(verdict);
    }
    if !steps.is_empty() || checks.announce.is_some() {
        // FIN and not the RST of a stream that is dropped, which could overtake a PROXY header, and which a server might log. A
        // backend that closed first has said all the same what it was asked.
        let _ = timeout_at(deadline, stream.shutdown()).await;
    }
    Ok(Ok(said))
}

/// An error of an open stream, in the words of dialing.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "ended".into(),
        _ => Failure::of(error, Peer::Target).map_or_else(|| io_words(error), |failure| failure.to_string()),
    }
}

async fn tls(name: Option<&Host>, target: &Target, dialer: &Dialer, stream: Stream) -> Result<Stream, String> {
    let host = match (name, target) {
        (Some(name), _) => name,
        (None, Target::Tcp(to) | Target::Tls(to)) => &to.host,
        (None, other) => return Err(format!("{other} has no host for the handshake; write --check tls:NAME")),
    };
    dialer.tls.connect(host, stream).await.map_err(|error| words(&error))
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Reads until the bytes have come. What came after them stays in `came` for the next step.
async fn expect(stream: &mut Stream, bytes: &[u8], came: &mut Vec<u8>) -> io::Result<()> {
    let mut looked_at = 0;
    loop {
        let start = looked_at.min(came.len());
        if let Some(at) = came[start..].windows(bytes.len()).position(|window| window == bytes) {
            came.drain(..start + at + bytes.len());
            return Ok(());
        }
        // What is expected may be cut in two by the reads.
        looked_at = (came.len() + 1).saturating_sub(bytes.len());
        if came.len() >= MOST_READ {
            return Err(io::Error::other(format!("{} KiB read", MOST_READ / 1024)));
        }
        if stream.read_buf(came).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// GET, on a connection that is used for nothing else; nothing where no head of an answer came by the deadline. The body is read as
/// well, as far as that is allowed: a connection that is closed over unread bytes is reset, which a server might log.
async fn http(target: &Target, stream: Stream, path: &str, deadline: Instant) -> Option<Verdict> {
    let mut verdict = None;
    let exchange = exchange(target, stream, path, &mut verdict);
    let failed = timeout_at(deadline, exchange).await.ok().and_then(Result::err);
    verdict.or(failed.map(Err))
}

/// Sends the request, leaves what the head of the answer says in `verdict`, and ends when all is read.
async fn exchange(target: &Target, stream: Stream, path: &str, verdict: &mut Option<Verdict>) -> Result<(), String> {
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MOST_READ).handshake(io).await.map_err(|error| cause_words(&error))?;
    let request = Request::get(path)
        .header("host", authority(target))
        .header("user-agent", concat!("tapline/", env!("CARGO_PKG_VERSION")))
        .header("accept", "*/*")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let asking = async move {
        let mut body = sender.send_request(request).await.map(|answer| {
            let status = answer.status();
            // A redirect counts as well: whoever redirects is there.
            let well = status.is_success() || status.is_redirection();
            *verdict = Some(if well { Ok(answered(status)) } else { Err(answered(status)) });
            answer.into_body()
        })?;
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await
            && read < MOST_READ
        {
            read += frame.data_ref().map_or(0, Bytes::len);
        }
        Ok(())
    };
    // The connection ends itself, by FIN, with the answer or without; its error is also that of the answer.
    let (asked, _) = tokio::join!(asking, connection);
    asked.map_err(|error: hyper::Error| cause_words(&error))
}

fn answered(status: StatusCode) -> String {
    format!("answered {status}")
}

/// The Host of a request to a target, without the port that goes without saying (RFC 9110 section 4.2.3).
fn authority(target: &Target) -> String {
    let of = |to: &HostPort, usual: u16| {
        let text = to.to_string();
        if to.port == usual { text.rsplit_once(':').map_or(text.clone(), |(host, _)| host.to_owned()) } else { text }
    };
    match target {
        Target::Tcp(to) => of(to, 80),
        Target::Tls(to) => of(to, 443),
        Target::Unix(_) | Target::Builtin(_) => "localhost".into(),
    }
}
