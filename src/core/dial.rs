//! Resolving and connecting, under one deadline.

use crate::{
    addr::{Endpoint, Host, HostPort, Target},
    event::{is_descriptor_shortage, is_local},
    stream::Stream,
    tls::ClientTls,
};
use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

/// The head start of each address before the next is tried beside it, RFC 8305 section 8.
const STAGGER: Duration = Duration::from_millis(250);
/// The pause before another try where the process is out of descriptors.
const SHORTAGE: Duration = Duration::from_millis(20);

/// How targets are connected to.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// For everything from the resolver to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// For `tls:` targets.
    pub tls: ClientTls,
}

/// A connection to a target.
#[derive(Debug)]
pub struct Dialed {
    /// The bytes.
    pub stream: Stream,
    /// The address that took the connection.
    pub addr: Endpoint,
    /// How long it took.
    pub elapsed: Duration,
}

/// A target that could not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {target}: {error}")]
pub struct DialError {
    /// The target.
    pub target: Target,
    /// Why not.
    #[source]
    pub error: io::Error,
    /// Whether the deadline was over.
    pub timed_out: bool,
}

impl DialError {
    /// Whether this process or machine is the cause, and not the target.
    #[must_use]
    pub fn is_local(&self) -> bool {
        !self.timed_out && is_local(&self.error)
    }
}

impl Dialer {
    /// Connects to the target. A name is resolved anew, and all of its addresses are tried (Happy Eyeballs, RFC 8305).
    ///
    /// # Errors
    /// The name has no address, no address took the connection, the handshake failed, the time was over.
    pub async fn dial(&self, target: &Target) -> Result<Dialed, DialError> {
        let started = Instant::now();
        match tokio::time::timeout(self.connect_timeout, self.connect(target)).await {
            Ok(Ok((stream, addr))) => Ok(Dialed { stream, addr, elapsed: started.elapsed() }),
            Ok(Err(error)) => Err(DialError { target: target.clone(), error, timed_out: false }),
            Err(_) => {
                let error = io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {:?}", self.connect_timeout));
                Err(DialError { target: target.clone(), error, timed_out: true })
            }
        }
    }

    async fn connect(&self, target: &Target) -> io::Result<(Stream, Endpoint)> {
        match target {
            Target::Tcp(to) => connect_host(to).await.map(|(tcp, addr)| (tcp.into(), Endpoint::tcp(addr))),
            Target::Tls(to) => {
                let (tcp, addr) = connect_host(to).await?;
                Ok((self.tls.connect(&to.host, tcp.into()).await?, Endpoint::tcp(addr)))
            }
            #[cfg(unix)]
            Target::Unix(path) => {
                let unix = tokio::net::UnixStream::connect(path).await?;
                Ok((unix.into(), Endpoint::Unix(Some(path.clone()))))
            }
            #[cfg(not(unix))]
            Target::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets")),
            // A pool replaces these by the address of the running server.
            Target::Builtin(_) => Err(io::Error::new(io::ErrorKind::NotConnected, "the builtin server is not running")),
        }
    }
}

/// Looks a host up; a literal address asks no resolver. There is at least one address.
///
/// # Errors
/// The resolver's, with the name in it.
pub async fn resolve(to: &HostPort) -> io::Result<Vec<SocketAddr>> {
    match &to.host {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, to.port)]),
        Host::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), to.port)).await;
            let addrs: Vec<_> = found.map_err(|error| io::Error::new(error.kind(), unresolved(name, &error)))?.collect();
            if addrs.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, format!("{name} has no address")));
            }
            Ok(addrs)
        }
    }
}

/// The standard library says that a lookup failed before it says why.
fn unresolved(name: &str, error: &io::Error) -> String {
    let text = error.to_string();
    format!("cannot resolve {name}: {}", text.strip_prefix("failed to lookup address information: ").unwrap_or(&text))
}

async fn connect_host(to: &HostPort) -> io::Result<(TcpStream, SocketAddr)> {
    if let Host::Ip(ip) = to.host {
        let addr = SocketAddr::new(ip, to.port);
        return connect_addr(addr).await.map(|tcp| (tcp, addr));
    }
    let mut left = interleaved(resolve(to).await?).into_iter();
    let mut attempts = JoinSet::new();
    let mut last = None;
    loop {
        match left.next() {
            Some(addr) => _ = attempts.spawn(async move { connect_addr(addr).await.map(|tcp| (tcp, addr)) }),
            None if attempts.is_empty() => return Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            None => {}
        }
        let more = left.len() > 0;
        tokio::select! {
            // An attempt that fails makes the next address start at once.
            Some(result) = attempts.join_next() => match result {
                // Dropping the set ends the other attempts.
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => last = Some(error),
                Err(error) => last = Some(io::Error::other(error)),
            },
            () = sleep(STAGGER), if more => {}
        }
    }
}

/// The resolver's order, with the two families in turn, RFC 8305 section 4.
fn interleaved(addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) = addrs.into_iter().partition(|addr| addr.is_ipv6() == first_is_v6);
    let mut out = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.drain(..), second.drain(..));
    loop {
        match (first.next(), second.next()) {
            (None, None) => return out,
            (a, b) => out.extend(a.into_iter().chain(b)),
        }
    }
}

/// Connects to one address. Out of descriptors it waits for one: the caller's deadline ends that.
async fn connect_addr(addr: SocketAddr) -> io::Result<TcpStream> {
    loop {
        match TcpStream::connect(addr).await {
            // Simultaneous open with itself: the kernel chose the target's port as the source (RFC 9293 section 3.5).
            Ok(tcp) if tcp.local_addr()? == addr => return Err(io::ErrorKind::ConnectionRefused.into()),
            Ok(tcp) => return Ok(tcp),
            Err(error) if is_descriptor_shortage(&error) => sleep(SHORTAGE).await,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b, c, x) = (addr("[::1]:1"), addr("[::2]:1"), addr("[::3]:1"), addr("127.0.0.1:1"));
        assert_eq!(interleaved(vec![a, b, c, x]), [a, x, b, c]);
        assert_eq!(interleaved(vec![x, a]), [x, a]);
        assert_eq!(interleaved(vec![]), []);
    }
}
