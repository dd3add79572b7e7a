//! HTTP beside the traffic: a small server for those who ask about this process, one request a connection, all of it within one
//! deadline. Requests are read whole and are small.

mod guard;

use crate::{
    addr::{Endpoint, ListenAddr},
    event::{By, End, Events, Phase, cause_words},
    server::{BindError, Conn, Handler, Limits, Server},
    shutdown::Shutdown,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::{convert::Infallible, io, num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::time::timeout;

/// For a whole connection: the request, and the reading of its answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Connections at a time; more wait in the backlog.
const MOST: usize = 64;
/// The largest body of a request, in bytes.
const BODY: usize = 64 * 1024;
/// The largest head of a request, in bytes.
const HEAD: usize = 16 * 1024;

/// Who answers.
pub trait Answering: Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, asked: Asked) -> impl Future<Output = Answer> + Send;
}

/// A request that was read whole.
#[derive(Debug)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// The path, as it was sent.
    pub path: String,
    /// The query, as it was sent.
    pub query: Option<String>,
    /// The body, at most 64 KiB.
    pub body: Bytes,
    /// Who asks: an address, or the user and process behind a Unix socket.
    pub by: String,
    /// Whether it came over a Unix socket, whose permissions say who may ask.
    pub over_unix: bool,
}

/// What is answered.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: String,
    allow: Option<&'static str>,
}

impl Answer {
    /// Text of this content type.
    #[must_use]
    pub fn text(kind: &'static str, body: String) -> Self {
        Self { status: StatusCode::OK, kind, body, allow: None }
    }

    /// JSON, on a line of its own.
    #[must_use]
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => Self { status, kind: "application/json", body: text + "\n", allow: None },
            Err(error) => Self::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    /// `{"error": TEXT}`.
    #[must_use]
    pub fn error(status: StatusCode, text: impl Into<String>) -> Self {
        let body = serde_json::json!({ "error": text.into() }).to_string() + "\n";
        Self { status, kind: "application/json", body, allow: None }
    }

    /// What was to be answered could not be made.
    #[must_use]
    pub fn failed(why: &(dyn std::error::Error + 'static)) -> Self {
        Self::error(StatusCode::INTERNAL_SERVER_ERROR, cause_words(why))
    }

    /// There is no such path.
    #[must_use]
    pub fn not_found(path: &str) -> Self {
        Self::error(StatusCode::NOT_FOUND, format!("there is nothing at {path}"))
    }

    /// The path is there for other methods.
    #[must_use]
    pub fn not_allowed(method: &Method, allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::error(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not for this path; it takes {allow}"))
        }
    }

    fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        // Names from outside are in it: no browser may take it for a page.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// A bound server that answers nobody yet.
pub struct Page {
    server: Server,
    guarded: bool,
}

impl Page {
    /// Binds. A Unix socket is its owner's alone (mode 0600).
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn bind(addr: &ListenAddr) -> Result<Self, BindError> {
        let server = Server::bind_private(addr).await?;
        let guarded = server.addr().socket_addr().is_some_and(|addr| addr.ip().is_loopback());
        Ok(Self { server, guarded })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> &Endpoint {
        self.server.addr()
    }

    /// Answers until what this returns is dropped or stopped.
    pub fn serve(self, answering: impl Answering) -> Serving {
        let (shutdown, handler) = (Shutdown::new(), Arc::new(Guarded { answering, guarded: self.guarded }));
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            let limits = Limits { max_connections: MOST, connections: None, grace: Duration::ZERO, threads: NonZeroUsize::MIN };
            self.server.serve(handler, &limits, &stop, &Events::silent()).await;
        });
        Serving { shutdown, task }
    }
}

/// A server that answers until this is dropped.
#[derive(Debug)]
pub struct Serving {
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// Stops at once, and waits until the port or the path is free.
    pub async fn stop(mut self) {
        self.shutdown.abort("stopped");
        // A server that panicked has stopped as well.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shutdown.abort("stopped");
    }
}

struct Guarded<A> {
    answering: A,
    guarded: bool,
}

impl<A: Answering> Handler for Guarded<A> {
    async fn handle(&self, conn: Conn) -> End {
        let (by, over_unix) = (who(&conn), conn.peer.socket_addr().is_none());
        let service = service_fn(|request: Request<Incoming>| {
            let by = by.clone();
            async move { Ok::<_, Infallible>(self.one(request, by, over_unix).await.response()) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.keep_alive(false).half_close(true).max_headers(100).max_header_size(HEAD);
        match timeout(LIMIT, builder.serve_connection(TokioIo::new(conn.stream), service)).await {
            Ok(Ok(())) => End::done(By::Client, Phase::Request),
            Ok(Err(error)) => End::failed(By::Client, Phase::Request, cause_words(&error)),
            Err(_) => End::timeout(Phase::Request, LIMIT),
        }
    }
}

impl<A: Answering> Guarded<A> {
    async fn one(&self, request: Request<Incoming>, by: String, over_unix: bool) -> Answer {
        if self.guarded
            && let Err(why) = guard::check(&request)
        {
            return Answer::error(StatusCode::FORBIDDEN, why);
        }
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Answer::error(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {BODY} bytes"));
            }
            Err(error) => return Answer::error(StatusCode::BAD_REQUEST, format!("the body broke off: {}", cause_words(&*error))),
        };
        let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().map(str::to_owned));
        self.answering.answer(Asked { method: parts.method, path, query, body, by, over_unix }).await
    }
}

fn who(conn: &Conn) -> String {
    match conn.stream.unix_peer() {
        Some((user, Some(process))) => format!("uid {user}, pid {process}"),
        Some((user, None)) => format!("uid {user}"),
        None => conn.peer.to_string(),
    }
}

/// Whether an address is for this machine alone; names other than localhost are not looked up.
///
/// # Errors
/// Why it is not.
pub fn for_this_machine_alone(addr: &ListenAddr) -> io::Result<()> {
    use crate::addr::{Host, HostPort};
    match addr {
        ListenAddr::Unix(_) => Ok(()),
        ListenAddr::Tcp(HostPort { host: Host::Ip(ip), .. }) if ip.is_loopback() => Ok(()),
        ListenAddr::Tcp(HostPort { host: Host::Name(name), .. }) if name.eq_ignore_ascii_case("localhost") => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{addr} can be reached from other machines"))),
    }
}
