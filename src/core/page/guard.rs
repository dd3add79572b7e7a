//! Against web pages that ask on behalf of whoever looks at them: browsers reach loopback, too.

use hyper::{
    Request,
    header::{HOST, ORIGIN},
};
use std::net::IpAddr;

/// Refuses a request that a page of another site may have sent: one that names its origin, as browsers do for all that changes
/// anything (Fetch, section 3.2), and one for a host that is a name of somebody else's, which may lead here all the same (DNS
/// rebinding).
pub(super) fn check<B>(request: &Request<B>) -> Result<(), String> {
    if request.headers().contains_key(ORIGIN) {
        return Err("requests of web pages (Origin) are not answered".into());
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map_err(|_| "the Host is no text".to_owned())?,
        _ => return Err("one Host is needed".into()),
    };
    let authority: hyper::http::uri::Authority = host.parse().map_err(|_| format!("Host {host:?} is not a host"))?;
    let name = authority.host();
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if name.eq_ignore_ascii_case("localhost") || literal.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        return Ok(());
    }
    Err(format!("Host {host:?} is not this machine's loopback"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_be_asked_for_and_no_page_may_ask() {
        let request = |headers: &[(&str, &str)]| {
            let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
            check(&request.body(()).unwrap()).is_ok()
        };
        for host in ["127.0.0.1:80", "localhost", "LOCALHOST:1", "[::1]:80", "127.9.9.9"] {
            assert!(request(&[("host", host)]), "{host}");
        }
        for host in ["evil.test", "evil.test:80", "127.0.0.1.evil.test", "192.0.2.1", "", "a b", "localhost.evil.test"] {
            assert!(!request(&[("host", host)]), "{host}");
        }
        assert!(!request(&[]));
        assert!(!request(&[("host", "localhost"), ("host", "localhost")]));
        assert!(!request(&[("host", "localhost"), ("origin", "null")]));
    }
}
