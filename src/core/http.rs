//! Balancing HTTP/1.1: one function, [`serve`], takes a client's connection and answers each of its requests from a
//! backend. It stands on hyper's connection API; nothing outside this module knows that.

mod headers;
pub(crate) mod mirror;
mod upload;
mod upstream;

use crate::{
    balance,
    dial::{DialError, Dialer},
    event::{By, ConnId, End, Event, Events, Phase, Progress, cause_words},
    idle::silence,
    pool::{Asked, Lease, Pool},
    proxy_header::Ssl,
    server::Conn,
    stream::Stream,
};
use bytes::Bytes;
use http_body_util::{Either, Empty, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use upload::Upload;
use upstream::{Hold, Idle, Sent};

/// Where requests go, and how.
#[derive(Debug)]
pub struct Balancer {
    pool: Pool,
    dialer: Dialer,
    timeouts: Timeouts,
    idle: Idle,
}

/// When a request or a connection is given up.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the end of a request to the head of the backend's answer.
    pub response: Duration,
    /// A client's connection without a request, a request head or a body that does not go on; `None` for never.
    pub idle: Option<Duration>,
}

impl Balancer {
    /// A balancer over a pool.
    #[must_use]
    pub fn new(pool: Pool, dialer: Dialer, timeouts: Timeouts) -> Arc<Self> {
        let idle = Idle::default();
        Arc::new(Self { pool, dialer, timeouts, idle })
    }
}

/// Serves a client's connection to its end.
pub async fn serve(conn: Conn, balancer: Arc<Balancer>) -> End {
    conn.progress.enter(Phase::Request);
    balancer.dialer.options.keep_alive(&conn.stream);
    let timeouts = balancer.timeouts;
    let traffic = conn.stream.traffic().clone();
    // Whoever spoke TLS to the proxy in front asked for https.
    let tls = conn.announced.as_ref().and_then(|header| header.tlvs.ssl.as_ref()).is_some_and(Ssl::is_tls);
    let proto = if tls { "https" } else { "http" };
    let key = balancer.pool.key(balance::Client { peer: &conn.peer, client: conn.client(), name: None });
    let client = Arc::new(Client {
        balancer,
        key,
        id: conn.id,
        headers: headers::Client { peer: conn.client().socket_addr().map(|addr| addr.ip()), proto },
        events: conn.events,
        progress: conn.progress,
        requests: AtomicU64::new(0),
        answers: AtomicU64::new(0),
    });
    let service = {
        let client = client.clone();
        service_fn(move |request| {
            let client = client.clone();
            async move { Ok::<_, Infallible>(client.answer(request).await) }
        })
    };
    let mut connection = pin!(builder(timeouts.idle).serve_connection(TokioIo::new(conn.stream), service));
    // While a backend is asked, its own timeout holds.
    let mut silent = pin!(async {
        let Some(idle) = timeouts.idle else { return std::future::pending().await };
        let limit = || (!client.is_waiting()).then_some(idle);
        silence(idle, limit, || traffic.total() + client.answers.load(Relaxed)).await;
        idle
    });
    let (mut ending, mut timed_out) = (false, false);
    let draining = async || {
        conn.shutdown.draining().await;
        // The runtime looks at the sockets before this goes on: a client that has left by now has ended the connection.
        tokio::task::yield_now().await;
    };
    loop {
        tokio::select! {
            biased;
            result = &mut connection => {
                let by = match (timed_out, ending) {
                    (true, _) => By::Timeout,
                    (false, true) => By::Shutdown,
                    (false, false) => By::Client,
                };
                return client.end(result.err(), by);
            }
            () = draining(), if !ending => ending = true,
            idle = &mut silent, if !timed_out => {
                if client.progress.phase() == Phase::Response {
                    return End::timeout(Phase::Response, idle);
                }
                (ending, timed_out) = (true, true);
            }
        }
        // The request that is under way is answered; an idle connection ends at once, with FIN.
        connection.as_mut().graceful_shutdown();
    }
}

fn builder(idle: Option<Duration>) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // A client may end its side after its request and still gets the answer, as `printf ... | nc -N` does.
        .half_close(true)
        // The idle timer ends a connection before this does; it is for a head that comes byte by byte.
        .header_read_timeout(idle.map(|idle| idle.saturating_mul(2)))
        .max_headers(100)
        .max_header_size(32 * 1024)
        .preserve_header_case(true)
        // The answer's own Date, or none: a proxy adds none of its own (RFC 9110 section 6.6.1).
        .auto_date_header(false);
    builder
}

type RequestBody = Either<Upload, Empty<Bytes>>;
type ResponseBody = Either<Streamed, Full<Bytes>>;

/// One client's connection.
struct Client {
    balancer: Arc<Balancer>,
    id: ConnId,
    /// What the policy knows it by.
    key: Option<u64>,
    headers: headers::Client,
    events: Events,
    progress: Arc<Progress>,
    /// Requests read, and answers whose head was found.
    requests: AtomicU64,
    answers: AtomicU64,
}

/// A request that no backend answered.
struct Unanswered {
    status: StatusCode,
    why: String,
}

impl Unanswered {
    /// Nobody was asked.
    fn unavailable(why: String) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, why }
    }
}

impl Client {
    fn is_waiting(&self) -> bool {
        self.requests.load(Relaxed) > self.answers.load(Relaxed)
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<ResponseBody> {
        let started = Instant::now();
        self.requests.fetch_add(1, Relaxed);
        self.progress.enter(Phase::Response);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut retries = 0;
        let result = match headers::towards_backend(request, &self.headers) {
            Ok(request) => self.ask(request, &mut retries).await,
            Err(why) => Err(Unanswered {
                status: if method == Method::CONNECT { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::BAD_REQUEST },
                why: why.into(),
            }),
        };
        self.answers.fetch_add(1, Relaxed);
        let (target, status, why, response) = match result {
            Ok(response) => {
                let (label, response) = self.streamed(response);
                (Some(label), response.status(), None, response)
            }
            Err(Unanswered { status, why }) => {
                let response = refusal(status, &why);
                self.progress.enter(Phase::Request);
                (None, status, Some(why), response)
            }
        };
        self.events.emit(Event::Request {
            id: self.id,
            target,
            method: method.to_string(),
            path,
            status: status.as_u16(),
            retries,
            why,
            elapsed: started.elapsed(),
        });
        response
    }

    /// Asks one backend after the other. Another one is asked only where the first got nothing of the request, or
    /// where the request can be sent again without harm (RFC 9110 section 9.2.2).
    async fn ask(&self, mut request: Request<RequestBody>, retries: &mut u32) -> Result<(Hold, Response<Incoming>), Unanswered> {
        let timeouts = self.balancer.timeouts;
        let mut last: Option<Unanswered> = None;
        let mut picks = self.balancer.pool.pick(Asked { key: self.key, explain: false });
        let first = match picks.first() {
            None if picks.is_full() => picks.wait(|_| {}).await.map_err(|why| Unanswered::unavailable(why.to_string()))?,
            lease => lease,
        };
        let mut leases = first.into_iter().chain(picks).peekable();
        while let Some(lease) = leases.next() {
            if last.is_some() {
                *retries += 1;
            }
            let label = lease.label.clone();
            let backend = lease.backend().clone();
            let mut lease = Some(lease);
            let mut kept = self.balancer.idle.take(&backend).await;
            loop {
                let reused = kept.is_some();
                let link = match kept.take() {
                    Some(link) => link,
                    None => match upstream::connect(&self.balancer.dialer, &backend).await {
                        Ok(link) => link,
                        Err(error) => {
                            let (why, next) = (error.words(), !error.is_shortage() && leases.peek().is_some());
                            self.events.emit(Event::DialFailed { id: self.id, target: label.clone(), why, next });
                            self.balancer.pool.dial_failed(&backend, &error, true, &self.events);
                            let unanswered = undialed(&label, &error);
                            if !next {
                                return Err(unanswered);
                            }
                            last = Some(unanswered);
                            break;
                        }
                    },
                };
                let lease = lease.take().unwrap_or_else(|| Lease::new(backend.clone()));
                let hold = Hold::new(&self.balancer, link, lease);
                match upstream::send(hold, request, timeouts).await {
                    Sent::Answered(hold, response) => {
                        self.progress.set_target(label.clone());
                        return Ok((hold, response));
                    }
                    // A kept connection that the backend closes at this moment is nobody's fault: once more, afresh.
                    Sent::Untouched(again) | Sent::Lost(Some(again), _) if reused => {
                        request = again;
                        *retries += 1;
                    }
                    Sent::Untouched(again) => {
                        request = again;
                        last = Some(Unanswered { status: StatusCode::BAD_GATEWAY, why: format!("{label} closed the connection") });
                        break;
                    }
                    // What may be sent twice goes to the next backend, as nginx does it by default.
                    Sent::Lost(Some(again), why) => {
                        backend.broke(&why);
                        request = again;
                        last = Some(Unanswered { status: StatusCode::BAD_GATEWAY, why: format!("{label} {why}") });
                        break;
                    }
                    Sent::Lost(None, why) => {
                        backend.broke(&why);
                        return Err(Unanswered { status: StatusCode::BAD_GATEWAY, why: format!("{label} {why}") });
                    }
                    Sent::Unread(why) => return Err(Unanswered { status: StatusCode::BAD_GATEWAY, why: format!("{label} {why}") }),
                    Sent::TimedOut => {
                        return Err(Unanswered {
                            status: StatusCode::GATEWAY_TIMEOUT,
                            why: format!("{label} did not answer for {:?}", timeouts.response),
                        });
                    }
                    Sent::Stalled => {
                        return Err(Unanswered {
                            status: StatusCode::REQUEST_TIMEOUT,
                            why: format!("the request's body stopped for {:?}", timeouts.idle.unwrap_or_default()),
                        });
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| Unanswered::unavailable(self.balancer.pool.why_nobody().into())))
    }

    fn streamed(self: &Arc<Self>, (hold, response): (Hold, Response<Incoming>)) -> (String, Response<ResponseBody>) {
        let label = hold.label().to_string();
        let response =
            headers::towards_client(response).map(|body| Either::Left(Streamed { body, hold: Some(hold), client: self.clone() }));
        (label, response)
    }

    /// How the connection ended, `by` whom where nothing failed.
    fn end(&self, error: Option<hyper::Error>, by: By) -> End {
        let Some(error) = error else { return End::done(by, Phase::Request) };
        let phase = self.progress.phase();
        if error.is_timeout() {
            return End::timeout(Phase::Request, self.balancer.timeouts.idle.unwrap_or_default());
        }
        if error.is_user() {
            // The body that was passed on broke off: hyper has ended the client's connection where it stood.
            return End::failed(By::Target, Phase::Response, format!("the answer broke off: {}", cause_words(&error)));
        }
        End::failed(By::Client, phase, cause_words(&error))
    }
}

fn undialed(label: &str, error: &DialError) -> Unanswered {
    let status = if error.timed_out { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::SERVICE_UNAVAILABLE };
    Unanswered { status, why: format!("cannot connect to {label}: {}", error.words()) }
}

fn refusal(status: StatusCode, why: &str) -> Response<ResponseBody> {
    let text = format!("{status}: {why}\n");
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A backend's body on its way to the client. Its end gives the backend's connection back.
struct Streamed {
    body: Incoming,
    hold: Option<Hold>,
    client: Arc<Client>,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Err(_)))) {
            // Never to be used again.
            self.hold.as_mut().map(Hold::spoil);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // Between two requests the connection waits for the next one.
        if self.body.is_end_stream() {
            self.client.progress.enter(Phase::Request);
        }
    }
}

/// A hyper connection's bytes.
type HttpIo = TokioIo<Stream>;
