//! What a client says about itself in its first bytes, gathered while they pass.

use super::{Greeting, MOST_ON_WIRE, Malformed, Protocol, Reader};
use crate::text::text;
use serde::Serialize;

/// An identification is at most 255 bytes with its CR LF (RFC 4253 section 4.2).
const MOST_IN_SSH_LINE: usize = 255;
/// More header fields than servers take by default; after them a request is told without its Host.
const MOST_FIELDS: usize = 128;

/// What a client speaks, and what it says about itself. All text is untrusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recognised {
    /// By its first bytes.
    pub protocol: Protocol,
    /// The server that it asks for: the server name of TLS, the Host of HTTP.
    pub name: Option<String>,
    /// The protocols that a TLS client offers by ALPN, in its order.
    pub alpn: Vec<String>,
    /// The method of an HTTP request.
    pub method: Option<String>,
    /// The path of an HTTP request, without the query.
    pub path: Option<String>,
    /// `HTTP/1.1`, the highest version that a TLS client offers, the whole identification of SSH.
    pub version: Option<String>,
    /// What is wrong with a ClientHello that cannot be read, or that contradicts itself.
    pub malformed: Option<String>,
}

/// Looks at what passes until it is certain what it is. Holds at most 68 KiB, and nothing afterwards.
#[derive(Debug, Default)]
pub struct Recogniser {
    head: Vec<u8>,
    reader: Reader,
    done: bool,
}

impl Recogniser {
    /// Takes the next bytes of a client; says once what they are, as soon as it is certain.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Recognised> {
        if self.done {
            return None;
        }
        let room = MOST_ON_WIRE - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.verdict(bytes.contains(&b'\n'), self.head.len() == MOST_ON_WIRE)
    }

    /// The client has ended: what it has said is all there is. `None` where that is nothing, or was told before.
    pub fn end(&mut self) -> Option<Recognised> {
        if self.done || self.head.is_empty() { None } else { self.verdict(false, true) }
    }

    /// Whether it was told, so that nothing more is looked at.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// `line`: a line has ended in what came. `last`: no more comes, or is held.
    fn verdict(&mut self, line: bool, last: bool) -> Option<Recognised> {
        let greeting = match self.reader.read(&self.head) {
            // Two bytes of it are TLS and nothing else; one is still anything.
            None if last && self.reader.is_tls() => Greeting::Malformed(Malformed::unfinished(&self.head)),
            None if last => Greeting::NotTls(Protocol::Unknown),
            other => other?,
        };
        let recognised = match greeting {
            // Nothing is certain within a line, and a head has few of them: it takes linear time, however its bytes come.
            Greeting::NotTls(Protocol::Http) if !(line || last) => return None,
            Greeting::NotTls(Protocol::Http) => http(&self.head, last)?,
            Greeting::NotTls(Protocol::Ssh) => ssh(&self.head, last)?,
            Greeting::NotTls(protocol) => Recognised::only(protocol),
            Greeting::Tls(hello) => Recognised {
                name: hello.name.text(),
                alpn: hello.alpn_text(),
                version: hello.highest_version(),
                malformed: hello.faults.first().map(ToString::to_string),
                ..Recognised::only(Protocol::Tls)
            },
            Greeting::Malformed(malformed) => Recognised { malformed: Some(malformed.to_string()), ..Recognised::only(Protocol::Tls) },
        };
        *self = Self { done: true, ..Self::default() };
        Some(recognised)
    }
}

impl Recognised {
    fn only(protocol: Protocol) -> Self {
        Self { protocol, name: None, alpn: Vec::new(), method: None, path: None, version: None, malformed: None }
    }
}

/// The head of a request; what was read of it where it is not well-formed or does not end.
fn http(head: &[u8], last: bool) -> Option<Recognised> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    if matches!(request.parse(head), Ok(httparse::Status::Partial)) && !last {
        return None;
    }
    let host = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("host"));
    Some(Recognised {
        name: host.map(|host| text(host.value)),
        method: request.method.map(str::to_owned),
        path: request.path.map(|path| path.split('?').next().unwrap_or_default().to_owned()),
        version: request.version.map(|minor| format!("HTTP/1.{minor}")),
        ..Recognised::only(Protocol::Http)
    })
}

/// The identification, without its end.
fn ssh(head: &[u8], last: bool) -> Option<Recognised> {
    let line = match head.iter().position(|byte| *byte == b'\n') {
        Some(end) => &head[..end],
        None if last || head.len() >= MOST_IN_SSH_LINE => head,
        None => return None,
    };
    let line = &line[..line.len().min(MOST_IN_SSH_LINE)];
    Some(Recognised { version: Some(text(line.trim_ascii_end())), ..Recognised::only(Protocol::Ssh) })
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{client_hello, hello_of, record},
        *,
    };

    /// What comes of the bytes, whole and one by one, and after how many of them.
    fn recognised(bytes: &[u8]) -> (Recognised, Option<usize>) {
        let mut drip = Recogniser::default();
        let (mut at, mut told) = (None, None);
        for (i, byte) in bytes.iter().enumerate() {
            if let Some(recognised) = drip.take(&[*byte]) {
                assert_eq!(told.replace(recognised), None, "told twice");
                at = Some(i + 1);
            }
        }
        let told = told.or_else(|| drip.end()).unwrap();
        assert_eq!((drip.take(b"more"), drip.end()), (None, None));
        let mut whole = Recogniser::default();
        assert_eq!(whole.take(bytes).or_else(|| whole.end()), Some(told.clone()));
        (told, at)
    }

    #[test]
    fn http_tells_its_request_and_host_once_the_head_is_whole() {
        let request = b"GET /a/b?secret=1 HTTP/1.1\r\nAccept: */*\r\nhost: www.a.test:8080\r\n\r\n";
        let (told, at) = recognised(&[&request[..], b"body"].concat());
        assert_eq!(at, Some(request.len()));
        assert_eq!(
            (told.method.as_deref(), told.path.as_deref(), told.name.as_deref()),
            (Some("GET"), Some("/a/b"), Some("www.a.test:8080"))
        );
        assert_eq!((told.protocol, told.version.as_deref()), (Protocol::Http, Some("HTTP/1.1")));
        // One that is wrong is told with the line that shows it.
        let (told, at) = recognised(b"GET /\0 HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!((told.method.as_deref(), told.name, at), (Some("GET"), None, Some(17)));
        // One that never ends is told with what there is.
        let (told, at) = recognised(b"POST /x HTTP/1.0\r\nHo");
        assert_eq!((told.method.as_deref(), told.path.as_deref(), told.name, at), (Some("POST"), Some("/x"), None, None));
    }

    #[test]
    fn a_head_without_an_end_is_told_when_no_more_is_held() {
        let mut recogniser = Recogniser::default();
        assert_eq!(recogniser.take(b"GET / HTTP/1.1\r\nX: "), None);
        assert_eq!(recogniser.take(&vec![b'a'; MOST_ON_WIRE - 100]), None);
        assert_eq!(recogniser.take(&[b'a'; 200]).unwrap().method.as_deref(), Some("GET"));
        assert_eq!(recogniser.head.capacity(), 0);
    }

    #[test]
    fn ssh_tells_its_identification() {
        let (told, at) = recognised(b"SSH-2.0-OpenSSH_9.6\r\nmore");
        assert_eq!((told.protocol, told.version.as_deref(), at), (Protocol::Ssh, Some("SSH-2.0-OpenSSH_9.6"), Some(21)));
        assert_eq!(recognised(&[&b"SSH-"[..], &[b'x'; 400]].concat()).0.version.unwrap().len(), 255);
    }

    #[test]
    fn tls_tells_its_name_and_protocols_or_what_is_wrong() {
        let hello = client_hello("www.example.test", &["h2", "http/1.1"]);
        let (told, at) = recognised(&hello);
        assert_eq!((told.protocol, told.name.as_deref(), at), (Protocol::Tls, Some("www.example.test"), Some(hello.len())));
        assert_eq!((told.alpn.join(","), told.version.as_deref()), ("h2,http/1.1".into(), Some("TLSv1.3")));
        // The extension supported_versions: TLS 1.3, then 1.2; a client may prefer the older one.
        let (at, versions) = hello.windows(5).enumerate().find(|(_, bytes)| *bytes == [4, 3, 4, 3, 3]).unwrap();
        let backwards = [&hello[..at], &[versions[0], 3, 3, 3, 4], &hello[at + 5..]].concat();
        assert_eq!(recognised(&backwards).0.version.as_deref(), Some("TLSv1.3"));
        let (told, _) = recognised(&[22, 3, 1, 0, 4, 2, 0, 0, 0]);
        assert_eq!((told.protocol, told.malformed.is_some()), (Protocol::Tls, true));
        // Two names: the first is told, and that there is another.
        let name: &[u8] = b"\0\x09\0\0\x06a.test";
        let (told, _) = recognised(&record(&hello_of(&[0x1301], &[(0, name), (0, name)])));
        assert_eq!((told.name.as_deref(), told.malformed.as_deref()), (Some("a.test"), Some("an extension sent twice at byte 67")));
        let (told, at) = recognised(&hello[..40]);
        assert_eq!((told.protocol, told.malformed.as_deref(), at), (Protocol::Tls, Some("no end of the hello at byte 40"), None));
    }

    #[test]
    fn the_others_are_named() {
        for (bytes, protocol) in [
            (&b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"[..], Protocol::ProxyV1),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Protocol::Postgres),
            (b"hello\n", Protocol::Unknown),
            (b"GE", Protocol::Unknown),
            (b"\x16", Protocol::Unknown),
        ] {
            assert_eq!(recognised(bytes).0, Recognised::only(protocol));
        }
        assert_eq!(Recogniser::default().end(), None);
    }
}
