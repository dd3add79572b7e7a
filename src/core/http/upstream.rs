//! Connections to backends: made, kept, and given back.

use super::{Balancer, HttpIo, RequestBody, Timeouts};
use crate::{
    dial::{DialError, Dialer, Preamble},
    event::{Traffic, cause_words},
    idle::silence,
    pool::{Backend, BackendId, Lease},
};
use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// How long a connection is kept for the next request. Many servers close theirs after 5 s.
const KEPT: Duration = Duration::from_secs(4);
/// How long a kept connection may take to be ready; nobody waits longer for someone else's request.
const SETTLING: Duration = Duration::from_millis(5);
/// Connections kept for each backend.
const MOST_KEPT: usize = 256;

/// A connection to a backend, and its bytes.
pub(super) struct Link {
    sender: SendRequest<RequestBody>,
    traffic: Arc<Traffic>,
}

/// Kept connections, by backend.
#[derive(Default)]
pub(super) struct Idle(Mutex<HashMap<BackendId, Vec<(Link, Instant)>>>);

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Idle")
    }
}

impl Idle {
    /// The connection used last, if one is still good: the others may time out.
    pub(super) async fn take(&self, backend: &Backend) -> Option<Link> {
        loop {
            let (mut link, since) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&backend.id)?.pop()?;
            if since.elapsed() >= KEPT || link.sender.is_closed() {
                continue;
            }
            // Given back with its answer, it may still be busy with the rest of a request that was answered early.
            if link.sender.is_ready() || matches!(timeout(SETTLING, link.sender.ready()).await, Ok(Ok(()))) {
                return Some(link);
            }
        }
    }

    fn keep(&self, id: BackendId, link: Link) {
        let fresh = |(link, since): &(Link, Instant)| !link.sender.is_closed() && since.elapsed() < KEPT;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(&id) {
            // Nobody asks any more for those of backends that were removed.
            all.retain(|_, kept| {
                kept.retain(fresh);
                !kept.is_empty()
            });
        }
        let kept = all.entry(id).or_default();
        // In order of time: those that are over are at the front. `take` drops whoever has closed.
        let now = Instant::now();
        kept.drain(..kept.partition_point(|(_, since)| now.duration_since(*since) >= KEPT));
        if kept.len() >= MOST_KEPT {
            kept.retain(|(link, _)| !link.sender.is_closed());
        }
        if kept.len() < MOST_KEPT {
            kept.push((link, now));
        }
    }
}

/// A connection in use, and the backend that it keeps busy; given back when this is dropped.
pub(super) struct Hold {
    balancer: Arc<Balancer>,
    /// Nothing where it is not to be given back.
    sender: Option<SendRequest<RequestBody>>,
    traffic: Arc<Traffic>,
    lease: Lease,
}

impl Hold {
    pub(super) fn new(balancer: &Arc<Balancer>, link: Link, lease: Lease) -> Self {
        Self { balancer: balancer.clone(), sender: Some(link.sender), traffic: link.traffic, lease }
    }

    pub(super) fn label(&self) -> &str {
        &self.lease.label
    }

    /// Ends the connection instead of giving it back.
    pub(super) fn spoil(&mut self) {
        self.sender = None;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The connection may go on for long: its bytes so far are told with each request.
        self.lease.passed(&self.traffic);
        if let Some(sender) = self.sender.take().filter(|sender| !sender.is_closed()) {
            self.balancer.idle.keep(self.lease.id, Link { sender, traffic: self.traffic.clone() });
        }
    }
}

/// What became of a request.
pub(super) enum Sent {
    /// The head of an answer came.
    Answered(Hold, Response<Incoming>),
    /// The connection was gone before a byte of the request was written; here it is again.
    Untouched(Request<RequestBody>),
    /// The connection broke; the request again where it may be sent twice.
    Lost(Option<Request<RequestBody>>, String),
    /// The client's body broke off.
    Unread(String),
    /// No answer came in time.
    TimedOut,
    /// The client stopped in the middle of its body.
    Stalled,
}

/// Connects to a backend.
pub(super) async fn connect(dialer: &Dialer, backend: &Arc<Backend>) -> Result<Link, DialError> {
    let dialed = dialer.dial(&backend.target, Preamble::None, &[]).await?;
    let mut builder = Builder::new();
    builder.preserve_header_case(true);
    let traffic = dialed.stream.traffic().clone();
    let io: HttpIo = TokioIo::new(dialed.stream);
    let failed = |error: hyper::Error| DialError {
        target: backend.target.clone(),
        error: std::io::Error::other(error),
        timed_out: false,
        elapsed: dialed.elapsed,
    };
    let (sender, connection) = builder.handshake(io).await.map_err(failed)?;
    backend.taken(dialed.elapsed);
    let (backend, passed) = (backend.clone(), traffic.clone());
    tokio::spawn(async move {
        // Ends with the sender or with the backend; an error is told to whoever waits for the answer.
        let _ = connection.await;
        backend.passed(&passed);
    });
    Ok(Link { sender, traffic })
}

/// Sends a request and waits for the head of its answer: as long as the body needs, then at most for the response
/// timeout.
pub(super) async fn send(mut hold: Hold, request: Request<RequestBody>, timeouts: Timeouts) -> Sent {
    let again = repeatable(&request);
    let pace = match request.body() {
        Either::Left(upload) => Some(upload.pace().clone()),
        Either::Right(_) => None,
    };
    let Some(sender) = hold.sender.as_mut() else { return Sent::Untouched(request) };
    let late = async {
        match &pace {
            None => sleep(timeouts.response).await,
            Some(pace) => {
                let limit = || if pace.is_starved() { timeouts.idle } else { Some(timeouts.response) };
                silence(timeouts.idle.map_or(timeouts.response, |idle| idle.min(timeouts.response)), limit, || pace.frames()).await;
            }
        }
    };
    let result = tokio::select! {
        biased;
        result = sender.try_send_request(request) => Some(result),
        () = late => None,
    };
    match result {
        Some(Ok(response)) => Sent::Answered(hold, response),
        Some(Err(mut error)) => {
            hold.spoil();
            match error.take_message() {
                Some(request) => Sent::Untouched(request),
                None => match error.into_error() {
                    error if error.is_user() => Sent::Unread(words(&error)),
                    error => Sent::Lost(again, words(&error)),
                },
            }
        }
        None => {
            hold.spoil();
            if pace.is_some_and(|pace| pace.is_starved()) { Sent::Stalled } else { Sent::TimedOut }
        }
    }
}

/// A copy of a request that may be sent twice without harm: idempotent (RFC 9110 section 9.2.2), and no body to lose.
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let idempotent = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(request.method());
    if !idempotent || matches!(request.body(), Either::Left(_)) {
        return None;
    }
    let mut copy = Request::new(Either::Right(Empty::<Bytes>::new()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

fn words(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return "closed the connection before it answered".into();
    }
    if error.is_parse() {
        return format!("sent what is no HTTP answer: {error}");
    }
    format!("failed: {}", cause_words(error))
}
