//! The command line by which a client trusts the authority in memory and is let in, as it stands.

use std::{borrow::Cow, net::IpAddr};
use tapline::{addr::Endpoint, identity::Allowed, route::Pattern, starttls::Starttls};

/// What a client has to do to be let in.
pub struct Line {
    /// What certificates are made for.
    pub names: Vec<Allowed>,
    /// Whether it must ask for one of the names.
    pub strict: bool,
    /// What is spoken until TLS begins.
    pub starttls: Option<Starttls>,
    /// Whether it must show a certificate of its own; which one is not known here.
    pub wants_client: bool,
}

impl Line {
    /// For a client that is to trust the authority in the file `ca` and reaches the server at `addr`.
    pub fn trusting(&self, ca: &str, addr: &Endpoint) -> String {
        let name = self.example();
        match (self.starttls, addr) {
            (None, _) | (Some(Starttls::Smtp), Endpoint::Tcp(_)) => self.curl(ca, addr, &name),
            (Some(Starttls::Postgres), Endpoint::Tcp(addr)) => {
                let (ip, port) = (addr.ip(), addr.port());
                let (name, file) = (conninfo(name.trim_matches(['[', ']'])), conninfo(ca));
                let own = if self.wants_client { " sslcert=CLIENT.pem sslkey=CLIENT.pem" } else { "" };
                let to = format!("host={name} hostaddr={ip} port={port} sslmode=verify-full sslrootcert={file}{own}");
                format!("psql {}", quoted(&to))
            }
            // libpq speaks no TLS on such sockets (sslmode is passed over), and curl no SMTP.
            (Some(starttls), Endpoint::Unix(path)) => {
                let path = path.clone().unwrap_or_default().display().to_string();
                let own = if self.wants_client { " -cert CLIENT.pem" } else { "" };
                let asked = match name.trim_matches(['[', ']']) {
                    // No client asks for an address by name.
                    addr if addr.parse::<IpAddr>().is_ok() => format!("-noservername -verify_ip {addr}"),
                    name => format!("-servername {name} -verify_hostname {name}"),
                };
                let (path, ca) = (quoted(&path), quoted(ca));
                format!("openssl s_client -starttls {starttls} -unix {path} {asked} -verify_return_error -CAfile {ca}{own}")
            }
        }
    }

    fn curl(&self, ca: &str, addr: &Endpoint, name: &str) -> String {
        // NOOP is a command that every server has to take (RFC 5321 section 4.5.1).
        let (scheme, before, after) = match self.starttls {
            Some(_) => ("smtp", " --ssl-reqd", " -X NOOP"),
            None => ("https", "", ""),
        };
        let own = if self.wants_client { " --cert CLIENT.pem" } else { "" };
        let is_named = |addr: IpAddr| !self.strict && self.names.contains(&Allowed::Addr(addr));
        let to = match addr {
            Endpoint::Unix(path) => {
                let path = path.clone().unwrap_or_default().display().to_string();
                format!("--unix-socket {} {}", quoted(&path), quoted(&format!("{scheme}://{name}/")))
            }
            Endpoint::Tcp(addr) if is_named(addr.ip()) => quoted(&format!("{scheme}://{addr}/")).into_owned(),
            // The name may lead elsewhere, or nowhere: the address is given with it.
            Endpoint::Tcp(addr) => {
                let url = format!("{scheme}://{name}:{}/", addr.port());
                format!("--connect-to {} {}", quoted(&format!("::{addr}")), quoted(&url))
            }
        };
        format!("curl --cacert {}{before}{own} {to}{after}", quoted(ca))
    }

    /// A host that the first of the names is for, as a URL has it; of those that a client can ask for where it must.
    fn example(&self) -> String {
        let is_asked_for = |name: &&Allowed| !self.strict || matches!(name, Allowed::Name(_));
        match self.names.iter().find(is_asked_for) {
            Some(Allowed::Name(Pattern::Exact(name) | Pattern::Tree(name))) => name.to_string(),
            Some(Allowed::Name(Pattern::OneLabel(name) | Pattern::Labels(name))) => format!("www.{name}"),
            Some(Allowed::Addr(IpAddr::V6(addr))) => format!("[{addr}]"),
            Some(Allowed::Addr(addr)) => addr.to_string(),
            Some(Allowed::Name(Pattern::Any)) | None => "localhost".into(),
        }
    }
}

/// A value as libpq takes it (PostgreSQL's manual, "Keyword/Value Connection Strings").
fn conninfo(value: &str) -> Cow<'_, str> {
    if !value.is_empty() && !value.contains([' ', '\t', '\n', '\r', '\x0b', '\x0c', '\'', '\\']) {
        return value.into();
    }
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'")).into()
}

/// An argument as a shell takes it (POSIX, Shell Command Language, 2.2.2).
fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./_-".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}
