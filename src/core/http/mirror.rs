//! `builtin:http`: answers each request with what it saw of it.

use crate::{
    event::{By, End, Phase, cause_words},
    server::Conn,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{convert::Infallible, fmt::Write, pin::pin, sync::Arc, time::Duration};
use tokio::time::timeout;

/// For a client that neither asks nor sends.
const IDLE: Duration = Duration::from_mins(1);

/// Serves one connection as the backend `name`.
pub(crate) async fn serve(conn: Conn, name: Arc<str>) -> End {
    let peer = conn.peer.to_string();
    let service = service_fn(|request| {
        let (name, peer) = (name.clone(), peer.clone());
        async move { Ok::<_, Infallible>(answer(request, &name, &peer).await) }
    });
    let mut connection = pin!(super::builder(Some(IDLE)).serve_connection(TokioIo::new(conn.stream), service));
    let result = tokio::select! {
        result = &mut connection => result,
        () = conn.shutdown.draining() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match result {
        Ok(()) => End::done(By::Client, Phase::Request),
        Err(error) => End::failed(By::Client, Phase::Request, cause_words(&error)),
    }
}

async fn answer(request: Request<Incoming>, name: &str, peer: &str) -> Response<Full<Bytes>> {
    let (parts, mut body) = request.into_parts();
    let mut size = 0;
    // Counted as it comes, and not kept: its size has no bound, what it takes here has one.
    loop {
        match timeout(IDLE, body.frame()).await {
            Ok(Some(Ok(frame))) => size += frame.data_ref().map_or(0, Bytes::len),
            Ok(None) => break,
            Ok(Some(Err(_))) | Err(_) => {
                return response(StatusCode::REQUEST_TIMEOUT, "text/plain; charset=utf-8", "the body broke off\n".into());
            }
        }
    }
    let wants_json =
        parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("application/json"));
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if wants_json {
        let headers: Vec<_> = headers.map(|(name, value)| json!([name, value])).collect();
        let seen = json!({ "backend": name, "client": peer, "method": parts.method.as_str(), "path": target, "headers": headers, "body_bytes": size });
        return response(StatusCode::OK, "application/json", format!("{seen}\n"));
    }
    let mut text = format!("backend: {name}\nclient: {peer}\nrequest: {} {target}\n", parts.method);
    for (name, value) in headers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {value}");
    }
    let _ = writeln!(text, "body: {size} bytes");
    response(StatusCode::OK, "text/plain; charset=utf-8", text)
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // What a client has sent comes back as it was: no browser may take it for a page.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
