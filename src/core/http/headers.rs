//! What a proxy does to the headers that pass it (RFC 9110 section 7.6, RFC 9112 section 3.2.2).

use super::{RequestBody, upload::Upload};
use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::{
    HeaderMap, Method, Request, Response, Uri, Version,
    body::{Body, Incoming},
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
    http::uri::PathAndQuery,
};
use std::net::IpAddr;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Meant for the next hop only, whether `Connection` names them or not.
const HOP_BY_HOP: [HeaderName; 8] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE];
/// Never removed because a client names them in `Connection`: that would take from a backend what it decides by.
const END_TO_END: [HeaderName; 8] =
    [HOST, CONTENT_LENGTH, AUTHORIZATION, COOKIE, FORWARDED, X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST];

/// What is known of whoever sends requests.
pub(super) struct Client {
    /// Its address; none over a Unix socket.
    pub(super) peer: Option<IpAddr>,
    /// How it speaks to us: `http` or `https`.
    pub(super) proto: &'static str,
}

/// Makes a client's request one for a backend, or says why it is none.
pub(super) fn towards_backend(request: Request<Incoming>, client: &Client) -> Result<Request<RequestBody>, &'static str> {
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        return Err("CONNECT is not for this server");
    }
    check_framing(&parts.headers, parts.version)?;
    let host = host(&parts.headers, &parts.uri, parts.version)?;
    let trailers = parts
        .headers
        .get_all(TE)
        .iter()
        .any(|value| value.to_str().is_ok_and(|te| te.split(',').any(|t| t.trim().eq_ignore_ascii_case("trailers"))));
    remove_hop_by_hop(&mut parts.headers);
    // This server has answered the expectation itself as soon as the body is read.
    parts.headers.remove(EXPECT);
    if trailers {
        parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    // What a client says of where it comes from is not believed, but replaced by what was seen.
    parts.headers.remove(FORWARDED);
    parts.headers.remove(X_FORWARDED_FOR);
    if let Some(Ok(peer)) = client.peer.map(|peer| peer.to_string().try_into()) {
        parts.headers.insert(X_FORWARDED_FOR, peer);
    }
    parts.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(client.proto));
    parts.headers.remove(X_FORWARDED_HOST);
    if let Some(host) = host {
        parts.headers.insert(X_FORWARDED_HOST, host.clone());
        parts.headers.insert(HOST, host);
    }
    // Always 1.1, whatever the client speaks: else an HTTP/1.0 client costs a connection for each request.
    parts.version = Version::HTTP_11;
    // The origin form: hyper writes the target as it stands.
    parts.uri = Uri::from(parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    if body.is_end_stream() {
        return Ok(Request::from_parts(parts, Either::Right(Empty::<Bytes>::new())));
    }
    if body.size_hint().exact().is_none() {
        // Said outright: hyper sends a GET or HEAD of unknown length without its body.
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Ok(Request::from_parts(parts, Either::Left(Upload::new(body))))
}

/// Makes a backend's answer one for the client.
pub(super) fn towards_client<B>(mut response: Response<B>) -> Response<B> {
    remove_hop_by_hop(response.headers_mut());
    // The client's own version decides the framing.
    *response.version_mut() = Version::HTTP_11;
    response
}

/// Refuses what two parsers could read differently (RFC 9112 section 6.3): request smuggling lives there.
fn check_framing(headers: &HeaderMap, version: Version) -> Result<(), &'static str> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(()),
        (Some(_), _) if version == Version::HTTP_10 => Err("Transfer-Encoding in HTTP/1.0"),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("a Transfer-Encoding other than chunked"),
    }
}

/// The host that is asked for: an absolute target overrides the header (RFC 9112 section 3.2.2).
fn host(headers: &HeaderMap, uri: &Uri, version: Version) -> Result<Option<HeaderValue>, &'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err("more than one Host"),
        (None, _) if version == Version::HTTP_11 => return Err("no Host"),
        (header, None) => header.cloned(),
    };
    match uri.authority() {
        Some(authority) => {
            authority.as_str().rsplit('@').next().unwrap_or_default().try_into().map(Some).map_err(|_| "a Host that is none")
        }
        None => Ok(header),
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| !END_TO_END.contains(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_connection_names_goes_and_what_a_backend_decides_by_stays() {
        let mut map = headers(&[
            ("connection", "close, X-Private, Host, Cookie, x-forwarded-for"),
            ("x-private", "1"),
            ("host", "a.test"),
            ("cookie", "c=1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        remove_hop_by_hop(&mut map);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "cookie", "host", "x-forwarded-for"]);
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for (value, version, good) in [
            ("chunked", Version::HTTP_11, true),
            ("Chunked", Version::HTTP_11, true),
            ("gzip, chunked", Version::HTTP_11, false),
            ("chunked", Version::HTTP_10, false),
        ] {
            assert_eq!(check_framing(&headers(&[("transfer-encoding", value)]), version).is_ok(), good, "{value} {version:?}");
        }
        let twice = headers(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]);
        assert!(check_framing(&twice, Version::HTTP_11).is_err());
    }

    #[test]
    fn an_absolute_target_overrides_host() {
        let uri: Uri = "http://y.test:81/z".parse().unwrap();
        assert_eq!(host(&headers(&[("host", "x.test")]), &uri, Version::HTTP_11).unwrap().unwrap(), "y.test:81");
        let path: Uri = "/z".parse().unwrap();
        assert_eq!(host(&headers(&[("host", "x.test")]), &path, Version::HTTP_11).unwrap().unwrap(), "x.test");
        assert!(host(&headers(&[]), &path, Version::HTTP_11).is_err());
        assert!(host(&headers(&[]), &path, Version::HTTP_10).unwrap().is_none());
        assert!(host(&headers(&[("host", "a"), ("host", "b")]), &path, Version::HTTP_11).is_err());
    }
}
