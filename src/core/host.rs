//! The host that an HTTP/1 client asks for, by the head of its first request. Pure: bytes in, facts out, no I/O.

use crate::{hello::Name, name::ServerName};
use httparse::{EMPTY_HEADER, Error, Status};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The most bytes of a head. nginx takes 4 buffers of 8 KiB, haproxy 16 KiB in all.
pub const MOST: usize = 32 * 1024;
/// The most header fields of a head.
const MOST_FIELDS: usize = 128;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its form.
    pub version: Version,
    /// The host without its port. An IP literal is no name (RFC 6066 section 3), nor is an empty Host.
    pub name: Name,
    /// The same as it was sent. Untrusted.
    pub authority: Option<String>,
    /// The port that it names beside the host.
    pub port: Option<u16>,
}

/// The form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0 or 1.1.
    One,
    /// HTTP/2 by its preface, without TLS (RFC 9113 section 3.3). Its names are compressed by HPACK, in a stream that belongs
    /// to whoever serves the connection: nobody reads them here.
    Two,
}

/// Why a request is answered and not routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BadRequest {
    /// 400 or 431.
    pub status: u16,
    /// What is wrong.
    pub what: &'static str,
}

/// Looks for the end of a head, and remembers how far it has looked: linear, however the bytes come.
#[derive(Debug, Default)]
pub struct Head {
    seen: usize,
}

impl Head {
    /// Reads the head, given all bytes so far. `None` asks for more.
    pub fn read(&mut self, bytes: &[u8]) -> Option<Result<Request, BadRequest>> {
        if let Some(end) = self.end(bytes) {
            return Some(parse(&bytes[..end]));
        }
        (bytes.len() >= MOST).then_some(Err(BadRequest { status: 431, what: "a head of more than 32 KiB" }))
    }

    /// Where the head ends: at the first empty line. A line may end in a bare LF (RFC 9112 section 2.2), as people type it.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let unseen = bytes.get(self.seen..)?;
        for (at, _) in unseen.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            let end = self.seen + at;
            if matches!(bytes[..end], [.., b'\n'] | [.., b'\n', b'\r']) {
                return Some(end + 1);
            }
        }
        self.seen = bytes.len();
        None
    }
}

impl Request {
    /// A client that speaks HTTP/2 at once.
    pub(crate) const TWO: Self = Self { version: Version::Two, name: Name::Absent, authority: None, port: None };
}

fn parse(head: &[u8]) -> Result<Request, BadRequest> {
    let bad = |what| BadRequest { status: 400, what };
    let mut fields = [EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Err(Error::TooManyHeaders) => return Err(BadRequest { status: 431, what: "more than 128 header fields" }),
        Ok(Status::Partial) | Err(_) => return Err(bad("a head that is not HTTP/1.1")),
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let mut hosts = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host"));
    // RFC 9112 section 3.2: exactly one, whatever the target says; a server MUST answer 400 to anything else. HTTP/1.0 has
    // requests without.
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Err(bad("more than one Host")),
        (Some(host), None) => Some(std::str::from_utf8(host.value).map_err(|_| bad("a Host that is no host"))?),
        (None, None) if request.version == Some(0) => None,
        (None, None) => return Err(bad("no Host")),
    };
    // Section 3.2.2: the host of a target in absolute form goes before Host; so does the one that CONNECT names.
    let asked = match target.split_once("://") {
        _ if method == "CONNECT" => Some(target),
        _ if target.starts_with('/') || target == "*" => host,
        Some((scheme, rest)) if is_scheme(scheme) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if authority.is_empty() {
                return Err(bad("a target without a host"));
            }
            Some(authority)
        }
        // Of what is none of the forms nobody knows what the one who is sent it takes it for.
        _ => return Err(bad("a target that is neither a path nor a URL")),
    };
    let asked = asked.map(|asked| split_port(asked).ok_or(bad("a Host that is no host"))).transpose()?;
    // What Host says is judged also where it is not asked for.
    if let Some(host) = host {
        split_port(host).ok_or(bad("a Host that is no host"))?;
    }
    let (asked, port) = asked.filter(|(asked, _)| !asked.is_empty()).unzip();
    let (name, authority) = (asked.map_or(Name::Absent, name), asked.map(str::to_owned));
    Ok(Request { version: Version::One, name, authority, port: port.flatten() })
}

/// Whether a URL may begin with it (RFC 3986 section 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// The host of `host[:port]` (RFC 3986 section 3.2), an IPv6 address with its brackets, and the port where it is one; `None`
/// where it is no host.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, _) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            authority.split_at(address.len() + 2)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let digits = port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    // unreserved, pct-encoded and sub-delims
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b);
    let port = port.strip_prefix(':').and_then(|digits| digits.parse().ok());
    (digits && (host.starts_with('[') || host.bytes().all(legal))).then_some((host, port))
}

fn name(host: &str) -> Name {
    let literal = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    match host.parse::<ServerName>() {
        Ok(name) => Name::Dns(name),
        Err(_) if literal => Name::Absent,
        Err(_) => Name::Other(host.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes of a head, whole and byte by byte; and it must not be known before its last byte.
    fn read(head: &str) -> Result<Request, BadRequest> {
        let whole = Head::default().read(head.as_bytes()).unwrap_or_else(|| panic!("no end: {head:?}"));
        let mut drip = Head::default();
        for end in 0..head.len() {
            assert_eq!(drip.read(&head.as_bytes()[..end]), None, "after {end} bytes of {head:?}");
        }
        assert_eq!(drip.read(head.as_bytes()), Some(whole.clone()));
        assert_eq!(Head::default().read(&[head.as_bytes(), b"Host: later\r\n\r\n"].concat()), Some(whole.clone()));
        whole
    }

    fn host(head: &str) -> (String, Option<String>) {
        let request = read(head).unwrap();
        (request.name.to_string(), request.authority)
    }

    #[test]
    fn the_host_is_told_without_port_case_and_dot() {
        for (value, name) in [
            ("a.test", "a.test"),
            ("A.Test.:8080", "a.test"),
            ("a.test:", "a.test"),
            ("  a.test\t", "a.test"),
            ("a_b.test", "a_b.test"),
            ("a..test", "a..test"),
            ("", "-"),
            ("127.0.0.1:80", "-"),
            ("[::1]:8080", "-"),
            ("[::1]", "-"),
        ] {
            assert_eq!(host(&format!("GET / HTTP/1.1\r\nX: y\r\nhOST:{value}\r\nZ: b:c\r\n\r\n")).0, name, "{value:?}");
        }
        assert_eq!(host("GET / HTTP/1.1\nHost: A.test.:80\n\n").1.as_deref(), Some("A.test."));
        assert_eq!(host("GET / HTTP/1.0\r\n\r\n"), ("-".into(), None));
        assert_eq!(read("GET / HTTP/1.1\r\nHost: a..test\r\n\r\n").unwrap().name, Name::Other(b"a..test".to_vec()));
    }

    #[test]
    fn a_target_in_absolute_form_goes_before_host() {
        for (target, name) in [
            ("http://b.test/", "b.test"),
            ("HTTP://B.test:81?q", "b.test"),
            ("http://b.test#x", "b.test"),
            ("/http://b.test/", "a.test"),
            ("*", "a.test"),
            ("/?u=x://y", "a.test"),
            ("http://[::1]/", "-"),
        ] {
            assert_eq!(host(&format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")).0, name, "{target}");
        }
        assert_eq!(host("CONNECT b.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n").0, "b.test");
    }

    #[test]
    fn a_request_whose_host_is_not_certain_is_bad() {
        for (head, what) in [
            ("GET / HTTP/1.1\r\n\r\n", "no Host"),
            ("GET http://a.test/ HTTP/1.1\r\n\r\n", "no Host"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "more than one Host"),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "more than one Host"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "a Host that is no host"),
            ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "a Host that is no host"),
            ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "a Host that is no host"),
            ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "a Host that is no host"),
            ("GET / HTTP/1.1\r\nHost: [x]:1\r\n\r\n", "a Host that is no host"),
            ("GET http://b.test/ HTTP/1.1\r\nHost: a/b\r\n\r\n", "a Host that is no host"),
            ("GET http://u@b.test/ HTTP/1.1\r\nHost: a\r\n\r\n", "a Host that is no host"),
            ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "a target without a host"),
            ("GET x/?u=http://b.test/ HTTP/1.1\r\nHost: a\r\n\r\n", "a target that is neither a path nor a URL"),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", "a target that is neither a path nor a URL"),
            ("CONNECT http://b.test/ HTTP/1.1\r\nHost: a\r\n\r\n", "a Host that is no host"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: y\rHost: b\r\n\r\n", "a head that is not HTTP/1.1"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "a head that is not HTTP/1.1"),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "a head that is not HTTP/1.1"),
            ("GET / HTTP/1.1\r\nX: y\r\n Host: a\r\n\r\n", "a head that is not HTTP/1.1"),
            ("GET  HTTP/1.1\r\nHost: a\r\n\r\n", "a head that is not HTTP/1.1"),
        ] {
            assert_eq!(read(head).unwrap_err(), BadRequest { status: 400, what }, "{head:?}");
        }
    }

    #[test]
    fn a_head_has_bounds() {
        let fields = "X: y\r\n".repeat(MOST_FIELDS);
        assert_eq!(read(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).unwrap_err().status, 431);
        let endless = [&b"GET / HTTP/1.1\r\nX: "[..], &vec![b'a'; MOST]].concat();
        let mut head = Head::default();
        assert_eq!(head.read(&endless[..MOST - 1]), None);
        assert_eq!(head.read(&endless).unwrap().unwrap_err().status, 431);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_panic_and_a_verdict_stays(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..200)) {
            let bytes = [b"GET / HTTP/1.1\r\nHost: ", bytes.as_slice()].concat();
            let mut drip = Head::default();
            let verdict = (0..=bytes.len()).find_map(|end| drip.read(&bytes[..end]));
            prop_assert_eq!(verdict, Head::default().read(&bytes));
        }
    }
}
