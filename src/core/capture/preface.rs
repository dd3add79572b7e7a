//! What a client says before its hello: to a proxy, or in a protocol that changes over to TLS.

use crate::{
    proxy_header,
    starttls::{GSSENC_REQUEST, SSL_REQUEST},
    text::text,
};
use serde::Serialize;
use std::{fmt, net::Ipv4Addr, net::Ipv6Addr};

/// Something that stood before a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// What it is.
    pub protocol: Preface,
    /// How many bytes the client has sent of it.
    pub size: usize,
    /// Whom the client asks a proxy for, or whom a proxy in front tells of. Untrusted text.
    pub target: Option<String>,
}

/// The protocols that are known to stand before a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Preface {
    /// A PROXY protocol header, version 1 or 2.
    Proxy,
    /// HTTP CONNECT (RFC 9110 section 9.3.6).
    Connect,
    /// HTTP with `Upgrade: TLS` (RFC 2817).
    HttpUpgrade,
    /// SOCKS 4 and 4a.
    Socks4,
    /// SOCKS 5 (RFC 1928).
    Socks5,
    /// SMTP or LMTP with STARTTLS (RFC 3207).
    Smtp,
    /// IMAP with STARTTLS (RFC 9051 section 6.2.1).
    Imap,
    /// POP3 with STLS (RFC 2595 section 4).
    Pop3,
    /// FTP with AUTH TLS (RFC 4217).
    Ftp,
    /// LDAP with the extended operation StartTLS (RFC 4511 section 4.14).
    Ldap,
    /// XMPP with `<starttls/>` (RFC 6120 section 5).
    Xmpp,
    /// PostgreSQL's SSLRequest.
    Postgres,
    /// MySQL's SSL request.
    Mysql,
    /// The connection request of RDP (MS-RDPBCGR section 2.2.1.1).
    Rdp,
    /// The first packet of SQL Server's TDS, in which the hello is (MS-TDS section 2.2.6.5).
    Tds,
    /// Another text protocol with STARTTLS, such as NNTP (RFC 4642), ManageSieve (RFC 5804) or IRC.
    Starttls,
    /// None of these.
    Unknown,
}

impl fmt::Display for Preface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proxy => "PROXY",
            Self::Connect => "HTTP CONNECT",
            Self::HttpUpgrade => "HTTP Upgrade",
            Self::Socks4 => "SOCKS4",
            Self::Socks5 => "SOCKS5",
            Self::Smtp => "SMTP STARTTLS",
            Self::Imap => "IMAP STARTTLS",
            Self::Pop3 => "POP3 STLS",
            Self::Ftp => "FTP AUTH",
            Self::Ldap => "LDAP StartTLS",
            Self::Xmpp => "XMPP starttls",
            Self::Postgres => "PostgreSQL SSLRequest",
            Self::Mysql => "MySQL SSLRequest",
            Self::Rdp => "RDP",
            Self::Tds => "TDS prelogin",
            Self::Starttls => "STARTTLS",
            Self::Unknown => "unknown",
        })
    }
}

/// Names all that stands before a hello, outermost first.
pub(super) fn name(mut bytes: &[u8]) -> Vec<Before> {
    let mut all = Vec::new();
    // A PROXY header, then a proxy of each kind: more than that is not taken apart.
    while !bytes.is_empty() && all.len() < 8 {
        let before = proxy(bytes)
            .or_else(|| connect(bytes))
            .or_else(|| socks4(bytes))
            .or_else(|| socks5(bytes))
            .or_else(|| postgres(bytes))
            .unwrap_or_else(|| Before { protocol: to_the_end(bytes), size: bytes.len(), target: None });
        bytes = bytes.get(before.size..).unwrap_or_default();
        all.push(before);
    }
    all
}

/// Whether a hello may follow an HTTP request: after CONNECT, and where the request asks for TLS. `None` while its head is
/// not whole.
pub(super) fn http_goes_on(bytes: &[u8]) -> Option<bool> {
    if bytes.starts_with(b"CONNECT ") {
        return Some(true);
    }
    match head(bytes) {
        Some(end) => Some(upgrades(&bytes[..end])),
        // A head so long asks for nothing of the kind.
        None if bytes.len() > 4096 => Some(false),
        None => None,
    }
}

fn proxy(bytes: &[u8]) -> Option<Before> {
    let header = proxy_header::read(bytes)?.ok()?;
    Some(Before { protocol: Preface::Proxy, size: header.size, target: header.client().map(ToString::to_string) })
}

/// The length of an HTTP head, its empty line included.
fn head(bytes: &[u8]) -> Option<usize> {
    Some(find(bytes, b"\r\n\r\n")? + 4)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// One CONNECT, also where the proxy has answered it with 407 and another follows.
fn connect(bytes: &[u8]) -> Option<Before> {
    let rest = bytes.strip_prefix(b"CONNECT ")?;
    let target = rest.split(|byte| matches!(byte, b' ' | b'\r' | b'\n')).next()?;
    Some(Before { protocol: Preface::Connect, size: head(bytes)?, target: Some(text(target)) })
}

fn upgrades(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').any(|line| {
        let line = line.to_ascii_lowercase();
        line.strip_prefix(b"upgrade:").is_some_and(|protocols| find(protocols, b"tls/").is_some())
    })
}

/// Version, command, port, address, user; of 4a a name, where the address is 0.0.0.x.
fn socks4(bytes: &[u8]) -> Option<Before> {
    let [4, 1, high, low, a, b, c, d, rest @ ..] = bytes else { return None };
    let user = rest.iter().position(|byte| *byte == 0)?;
    let port = u16::from_be_bytes([*high, *low]);
    let (size, host) = match (a, b, c) {
        (0, 0, 0) if *d != 0 => {
            let name = rest.get(user + 1..)?;
            let length = name.iter().position(|byte| *byte == 0)?;
            (8 + user + 1 + length + 1, text(&name[..length]))
        }
        _ => (8 + user + 1, Ipv4Addr::new(*a, *b, *c, *d).to_string()),
    };
    Some(Before { protocol: Preface::Socks4, size, target: Some(format!("{host}:{port}")) })
}

/// The greeting, the user and password of RFC 1929 where they were agreed on, and the request.
fn socks5(bytes: &[u8]) -> Option<Before> {
    let [5, methods, rest @ ..] = bytes else { return None };
    let mut rest = rest.get(usize::from(*methods)..)?;
    if let [1, user, after @ ..] = rest {
        let after = after.get(usize::from(*user)..)?;
        let (password, after) = after.split_first()?;
        rest = after.get(usize::from(*password)..)?;
    }
    let [5, 1, 0, kind, rest @ ..] = rest else { return None };
    let (host, rest) = match kind {
        1 => rest.split_first_chunk::<4>().map(|(addr, rest)| (Ipv4Addr::from(*addr).to_string(), rest))?,
        3 => {
            let (length, rest) = rest.split_first()?;
            (text(rest.get(..usize::from(*length))?), &rest[usize::from(*length)..])
        }
        4 => rest.split_first_chunk::<16>().map(|(addr, rest)| (format!("[{}]", Ipv6Addr::from(*addr)), rest))?,
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let target = Some(format!("{host}:{}", u16::from_be_bytes(*port)));
    Some(Before { protocol: Preface::Socks5, size: bytes.len() - rest.len(), target })
}

/// GSSENCRequest may have been tried first and refused.
fn postgres(bytes: &[u8]) -> Option<Before> {
    let rest = bytes.strip_prefix(&GSSENC_REQUEST).unwrap_or(bytes).strip_prefix(&SSL_REQUEST)?;
    Some(Before { protocol: Preface::Postgres, size: bytes.len() - rest.len(), target: None })
}

/// Names a conversation that takes up all that is left, by its last words.
fn to_the_end(bytes: &[u8]) -> Preface {
    // LDAPMessage: a sequence whose extended request names StartTLS.
    if bytes.first() == Some(&0x30) && find(bytes, b"1.3.6.1.4.1.1466.20037").is_some() {
        return Preface::Ldap;
    }
    // A packet of 32 bytes, number 1, whose capabilities have CLIENT_PROTOCOL_41 and CLIENT_SSL.
    if let [32, 0, 0, 1, _, capabilities, _, _, rest @ ..] = bytes
        && rest.len() == 28
        && capabilities & 0x0a == 0x0a
    {
        return Preface::Mysql;
    }
    match bytes {
        // A header of TPKT, then a connection request of X.224.
        [3, 0, _, _, _, 0xe0, ..] => return Preface::Rdp,
        [0x12, 1, ..] => return Preface::Tds,
        _ => {}
    }
    if find(bytes, b"<starttls").is_some() {
        return Preface::Xmpp;
    }
    if let Some(end) = head(bytes)
        && upgrades(&bytes[..end])
    {
        return Preface::HttpUpgrade;
    }
    let lines: Vec<String> = bytes.split(|byte| *byte == b'\n').map(|line| text(line.trim_ascii()).to_ascii_uppercase()).collect();
    let Some(last) = lines.iter().rev().find(|line| !line.is_empty()) else { return Preface::Unknown };
    let words: Vec<&str> = last.split(' ').collect();
    match words[..] {
        ["AUTH", "TLS" | "SSL" | "TLS-C" | "TLS-P"] => Preface::Ftp,
        ["STLS"] => Preface::Pop3,
        ["STARTTLS"] if lines.iter().any(|line| ["EHLO", "HELO", "LHLO"].contains(&line.get(..4).unwrap_or_default())) => Preface::Smtp,
        ["STARTTLS"] => Preface::Starttls,
        [_, "STARTTLS"] => Preface::Imap,
        _ => Preface::Unknown,
    }
}
