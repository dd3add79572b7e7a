//! Addresses as people write them: where to listen and where to send.

use serde::Serialize;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    str::FromStr,
};

/// Where to listen: `8080` (loopback; port 0 lets the kernel choose), `127.0.0.1:8080`, `[::1]:8080`, `name:8080`,
/// `:8080` (every interface, IPv4 and IPv6) or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// One host, by address or by name.
    Tcp(HostPort),
    /// Every interface, IPv4 and IPv6.
    Every(u16),
    /// A Unix stream socket.
    Unix(PathBuf),
}

/// Where to send: `host:port`, `8080` (loopback), `unix:/path`, `tls:host:port`, `builtin:echo|http|discard`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Plain TCP.
    Tcp(HostPort),
    /// TCP, then TLS with the host as server name.
    Tls(HostPort),
    /// A Unix stream socket.
    Unix(PathBuf),
    /// A server inside this process, on a loopback port of its own.
    Builtin(Builtin),
}

/// What a `builtin:` target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Sends back what it receives (RFC 862).
    Echo,
    /// Answers HTTP requests with what it saw of them.
    Http,
    /// Reads and forgets (RFC 863).
    Discard,
}

/// A target and its options, as in `h2:80,weight=3`; or something that targets come from, with the options that they have unless
/// they have others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpec<T = Target> {
    /// Where to send.
    pub target: T,
    /// Share of the traffic relative to the other targets, 1 to 1000.
    pub weight: NonZeroU32,
    /// Whether it is for when no other target can be used.
    pub backup: bool,
    /// Connections or requests that it may have at a time.
    pub most: Option<NonZeroUsize>,
}

impl<T> From<T> for TargetSpec<T> {
    fn from(target: T) -> Self {
        Self { target, weight: NonZeroU32::MIN, backup: false, most: None }
    }
}

/// A host, by address or by name, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port; 0 only where one is listened on.
    pub port: u16,
}

/// A host as written: an address needs no resolver, a name is resolved for each use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A name for the resolver.
    Name(String),
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An IP address and port; IPv4-mapped IPv6 addresses are shown as IPv4.
    Tcp(SocketAddr),
    /// A Unix socket; clients have no path as a rule.
    Unix(Option<PathBuf>),
}

/// A text that is not the address that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {why}")]
pub struct AddrError {
    text: String,
    why: String,
}

impl AddrError {
    /// What is wrong with `text`, as the end of a sentence that begins with it.
    #[must_use]
    pub fn new(text: &str, why: impl Into<String>) -> Self {
        Self { text: text.to_owned(), why: why.into() }
    }
}

impl FromStr for ListenAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(text, path).map(Self::Unix);
        }
        if let Some(port) = text.strip_prefix(':').filter(|port| !port.contains(':')) {
            return parse_port(text, port).map(Self::Every);
        }
        host_port(text, "is not an address to listen on; write PORT, HOST:PORT, :PORT (every interface) or unix:/PATH").map(Self::Tcp)
    }
}

impl FromStr for Target {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(text, path).map(Self::Unix);
        }
        if let Some(kind) = text.strip_prefix("builtin:") {
            return match kind {
                "echo" => Ok(Self::Builtin(Builtin::Echo)),
                "http" => Ok(Self::Builtin(Builtin::Http)),
                "discard" => Ok(Self::Builtin(Builtin::Discard)),
                _ => Err(AddrError::new(text, "is not built in; there are builtin:echo, builtin:http and builtin:discard")),
            };
        }
        let (plain, tls) = text.strip_prefix("tls:").map_or((text, false), |rest| (rest, true));
        let to = host_port(plain, NO_TARGET)?;
        if to.port == 0 {
            return Err(AddrError::new(text, "has port 0, which nothing can be sent to"));
        }
        Ok(if tls { Self::Tls(to) } else { Self::Tcp(to) })
    }
}

impl FromStr for TargetSpec {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        Self::one_like(text, &TargetSpec::from(()))
    }
}

impl TargetSpec {
    /// Parses `TARGET[,weight=N][,max=N][,backup][,TARGET...]`: what has the form of an option belongs to the target before it.
    ///
    /// # Errors
    /// An empty list, a target that is none, an unknown option, a weight outside 1 to 1000, a max of 0.
    pub fn list(text: &str) -> Result<Vec<Self>, AddrError> {
        Self::list_like(text, &TargetSpec::from(()))
    }

    /// The same, of targets whose options are those of `defaults` unless they have others.
    ///
    /// # Errors
    /// As those of [`TargetSpec::list`].
    pub fn list_like<T>(text: &str, defaults: &TargetSpec<T>) -> Result<Vec<Self>, AddrError> {
        // A password may have commas, and parts of it the form of options; a socket's path may have @ too.
        if text.contains('@') && !text.contains("unix:") {
            return Err(AddrError::new(&without_secret(text), NO_TARGET));
        }
        let mut all: Vec<Self> = Vec::new();
        for part in text.split(',') {
            match option(part) {
                None => all.push(defaults.with(part.parse()?)),
                Some((key, value)) => {
                    let of = all.last_mut().ok_or_else(|| AddrError::new(text, "begins with an option; write the target first"))?;
                    of.set(part, key, value)?;
                }
            }
        }
        // There may be very many lists, of one target or two each.
        all.shrink_to_fit();
        Ok(all)
    }

    /// One target, whose options are those of `defaults` unless it has others.
    ///
    /// # Errors
    /// As those of [`TargetSpec::list`]; several targets.
    pub fn one_like<T>(text: &str, defaults: &TargetSpec<T>) -> Result<Self, AddrError> {
        let mut all = Self::list_like(text, defaults)?;
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Ok(one),
            _ => Err(AddrError::new(text, "holds several targets; separate them by spaces")),
        }
    }
}

impl<T> TargetSpec<T> {
    /// Another target with the same options.
    pub fn with<U>(&self, target: U) -> TargetSpec<U> {
        let Self { target: _, weight, backup, most } = *self;
        TargetSpec { target, weight, backup, most }
    }

    /// Sets the option that `part` is.
    pub(crate) fn set(&mut self, part: &str, key: &str, value: &str) -> Result<(), AddrError> {
        let wrong = |why: &str| AddrError::new(part, why);
        match key {
            "weight" => {
                let weight = value.parse().ok().filter(|weight: &NonZeroU32| weight.get() <= MOST_WEIGHT);
                self.weight = weight.ok_or_else(|| wrong("is not a weight from 1 to 1000"))?;
            }
            "max" => self.most = Some(value.parse().map_err(|_| wrong("is not a number of connections from 1 on"))?),
            "backup" if value.is_empty() => self.backup = true,
            _ => return Err(wrong(&format!("sets {key:?}, which no target has; there are weight=N, max=N and backup"))),
        }
        Ok(())
    }
}

const NO_TARGET: &str = "is not a target; write HOST:PORT, PORT (loopback), unix:/PATH, tls:HOST:PORT or builtin:echo|http|discard";

/// A text that is no target, to be shown: what is before an `@` may be a user and a password.
pub(crate) fn without_secret(text: &str) -> String {
    text.rsplit_once('@').map_or_else(|| text.to_owned(), |(_, rest)| format!("...@{rest}"))
}

/// The largest weight.
pub const MOST_WEIGHT: u32 = 1000;

/// The key and the value of what has the shape of an option: a path may hold '=' too.
pub(crate) fn option(part: &str) -> Option<(&str, &str)> {
    match part.split_once('=') {
        Some((key, value)) if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => Some((key, value)),
        None if part == "backup" => Some((part, "")),
        _ => None,
    }
}

impl Endpoint {
    /// The end that `addr` names, with IPv4-mapped addresses as IPv4.
    #[must_use]
    pub fn tcp(addr: SocketAddr) -> Self {
        Self::Tcp(SocketAddr::new(addr.ip().to_canonical(), addr.port()))
    }

    /// The socket address, where there is one.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }
}

impl HostPort {
    /// The host at a socket address.
    #[must_use]
    pub fn at(addr: SocketAddr) -> Self {
        Self { host: Host::Ip(addr.ip()), port: addr.port() }
    }
}

fn unix_path(text: &str, path: &str) -> Result<PathBuf, AddrError> {
    // sun_path holds 108 bytes and a final NUL, unix(7).
    match path.len() {
        0 => Err(AddrError::new(text, "has no path; write unix:/path/to/socket")),
        1..=107 => Ok(PathBuf::from(path)),
        _ => Err(AddrError::new(text, "is longer than the 107 bytes that a socket's path may have")),
    }
}

fn parse_port(text: &str, port: &str) -> Result<u16, AddrError> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits => Ok(port),
        _ if digits => Err(AddrError::new(text, format!("has port {port}; ports go from 0 to 65535"))),
        _ => Err(AddrError::new(text, format!("has no port number in {port:?}"))),
    }
}

fn host_port(text: &str, usage: &str) -> Result<HostPort, AddrError> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(HostPort { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: parse_port(text, text)? });
    }
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return Ok(HostPort::at(addr));
    }
    // A URL, most often.
    if text.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || b == b'/' || b == b'@') {
        return Err(AddrError::new(&without_secret(text), usage));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(AddrError::new(text, usage));
    };
    if host.is_empty() {
        return Err(AddrError::new(text, usage));
    }
    if host.contains(':') || host.starts_with('[') {
        return Err(AddrError::new(text, "is not an IPv6 address and port; write [::1]:80"));
    }
    let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip);
    Ok(HostPort { host, port: parse_port(text, port)? })
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Every(port) => write!(f, ":{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Tls(addr) => write!(f, "tls:{addr}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Builtin(Builtin::Echo) => f.write_str("builtin:echo"),
            Self::Builtin(Builtin::Http) => f.write_str("builtin:http"),
            Self::Builtin(Builtin::Discard) => f.write_str("builtin:discard"),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix"),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests;
