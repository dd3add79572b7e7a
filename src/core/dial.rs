//! Resolving and connecting, under one deadline.

mod cause;
mod connect;
mod reach;

pub use cause::Cause;
pub use connect::Options;
pub use reach::{Chosen, Reach, Unreachable};

use crate::{
    addr::{Endpoint, Host, HostPort, Target},
    event::{io_words, is_local, is_shortage},
    proxy_header::{self, Announcement, Ends, Tlvs, Version},
    stream::Stream,
    tls::{ClientTls, Failure, Peer},
};
use cause::Unresolved;
use std::{
    borrow::Cow,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore, task::JoinSet, time::sleep};

/// The head start of each address before the next is tried beside it, RFC 8305 section 8.
const STAGGER: Duration = Duration::from_millis(250);

/// How targets are connected to.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// For everything from the resolver to the end of the TLS handshake.
    pub connect_timeout: Duration,
    /// What is asked of TCP sockets.
    pub options: Options,
    /// For `tls:` targets.
    pub tls: ClientTls,
}

/// What a target is sent before any other byte, also before a TLS handshake.
#[derive(Clone, Copy, Debug)]
pub enum Preamble<'a> {
    /// Nothing.
    None,
    /// These bytes: the PROXY header of a client.
    Client(&'a [u8]),
    /// A PROXY header that says that nobody else is behind the connection. In version 2 LOCAL; version 1 has no such
    /// word, and tells the connection's own two ends (specification section 2.1). Over a Unix socket, which has none,
    /// nothing is sent: UNKNOWN is not for connections that a proxy makes for itself.
    Own(Version),
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
    /// How many of the first bytes were sent already.
    pub sent: usize,
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
    /// How long it took to find out.
    pub elapsed: Duration,
}

impl DialError {
    /// Why not, in the words that a network person expects.
    #[must_use]
    pub fn words(&self) -> String {
        Failure::of(&self.error, Peer::Target).map_or_else(|| io_words(&self.error), |failure| failure.to_string())
    }

    /// Whether this process or machine is the cause, and not the target.
    #[must_use]
    pub fn is_local(&self) -> bool {
        !self.timed_out && is_local(&self.error)
    }

    /// Whether it was not even asked, because it may not be reached.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self.error.get_ref(), Some(why) if why.is::<Unreachable>())
    }

    /// Whether no other target could be connected to either: this process or machine is short of what that takes.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        is_shortage(&self.error)
    }
}

/// What `connecting` to the target comes to by the deadline. How long it took is the caller's to say.
// Pinned by the caller: what is moved into a future and awaited there has room in it twice.
pub(crate) async fn within<T>(
    limit: Duration,
    target: &Target,
    connecting: Pin<&mut impl Future<Output = io::Result<T>>>,
) -> Result<T, DialError> {
    let (error, timed_out) = match tokio::time::timeout(limit, connecting).await {
        Ok(Ok(connected)) => return Ok(connected),
        Ok(Err(error)) => (error, false),
        Err(_) => (io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {limit:?}")), true),
    };
    Err(DialError { target: target.clone(), error, timed_out, elapsed: Duration::ZERO })
}

impl Dialer {
    /// Connects to the target. A name is resolved anew, and all of its addresses are tried (Happy Eyeballs, RFC 8305).
    ///
    /// The preamble goes out in one write. Where the first bytes for the target are there already, they may go out in the
    /// same one: how many did is in `sent`. They reach nobody but the target that took the connection. Where a
    /// TCP connection finds no descriptor, buffer or memory, it waits for them for as long as there is time.
    ///
    /// # Errors
    /// The name has no address, no address took the connection, the handshake failed, the time was over.
    pub async fn dial(&self, target: &Target, preamble: Preamble<'_>, first: &[u8]) -> Result<Dialed, DialError> {
        let started = Instant::now();
        let connecting = pin!(self.connect(target, preamble, first, started.checked_add(self.connect_timeout)));
        let (stream, addr, sent) =
            within(self.connect_timeout, target, connecting).await.map_err(|error| DialError { elapsed: started.elapsed(), ..error })?;
        Ok(Dialed { stream, addr, elapsed: started.elapsed(), sent })
    }

    /// Without a deadline where that lies too far ahead to be told.
    async fn connect(
        &self,
        target: &Target,
        preamble: Preamble<'_>,
        first: &[u8],
        deadline: Option<Instant>,
    ) -> io::Result<(Stream, Endpoint, usize)> {
        let header = if let Preamble::Client(header) = preamble { header } else { &[] };
        let (mut stream, addr, sent): (Stream, _, _) = match target {
            Target::Tcp(to) | Target::Tls(to) => {
                let early = match target {
                    // What the client has said comes after the handshake.
                    Target::Tls(_) => Cow::Borrowed(header),
                    _ if header.is_empty() => Cow::Borrowed(first),
                    _ => Cow::Owned([header, first].concat()),
                };
                let (tcp, addr, sent) = connect_host(to, &self.options, &early, deadline).await?;
                let stream = Stream::from(tcp);
                stream.traffic().add_sent(sent);
                (stream, Endpoint::tcp(addr), sent)
            }
            #[cfg(unix)]
            Target::Unix(path) => (tokio::net::UnixStream::connect(path).await?.into(), Endpoint::Unix(Some(path.clone())), 0),
            #[cfg(not(unix))]
            Target::Unix(_) => return Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets")),
            // A pool replaces these by the address of the running server.
            Target::Builtin(_) => return Err(io::Error::new(io::ErrorKind::NotConnected, "the builtin server is not running")),
        };
        match preamble {
            Preamble::None => {}
            // Unless it has gone out already.
            Preamble::Client(header) => stream.write_all(header.get(sent..).unwrap_or_default()).await?,
            Preamble::Own(version) => stream.write_all(&own(version, &stream, &addr)?).await?,
        }
        match target {
            // Boxed: the room for a handshake is not that of every dial.
            Target::Tls(to) => Ok((Box::pin(self.tls.connect(&to.host, stream)).await?, addr, 0)),
            _ => Ok((stream, addr, sent.saturating_sub(header.len()))),
        }
    }
}

/// The header of a connection that is this process's own.
fn own(version: Version, stream: &Stream, target: &Endpoint) -> io::Result<Vec<u8>> {
    match (version, target) {
        (Version::V2, _) => Ok(proxy_header::local()),
        (Version::V1, Endpoint::Unix(_)) => Ok(Vec::new()),
        (Version::V1, Endpoint::Tcp(_)) => {
            let ends = Ends { source: stream.local_addr()?, destination: target.clone() };
            proxy_header::write(version, &Announcement { ends: Some(ends), tlvs: Tlvs::default() }).map_err(io::Error::other)
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
            // A shortage is this machine's, and known by its number.
            let wrapped = |error| if is_shortage(&error) { error } else { io::Error::new(error.kind(), unresolved(name, &error)) };
            let addrs: Vec<_> = found.map_err(wrapped)?.collect();
            if addrs.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, Unresolved(format!("{name} has no address"))));
            }
            Ok(addrs)
        }
    }
}

/// The same for a host that a client has chosen: names that are slow to resolve leave room for those of everybody else.
async fn resolve_chosen(to: &HostPort) -> io::Result<Vec<SocketAddr>> {
    /// Half of the threads that an event loop has for lookups (tokio's `max_blocking_threads`).
    static ROOM: Semaphore = Semaphore::const_new(256);
    let place = ROOM.acquire().await.map_err(io::Error::other)?;
    let to = to.clone();
    // A task of its own: a lookup that nobody waits for any more holds its thread all the same.
    let looking_up = tokio::spawn(async move {
        let _place = place;
        resolve(&to).await
    });
    looking_up.await?
}

/// The standard library says that a lookup failed before it says why.
fn unresolved(name: &str, error: &io::Error) -> Unresolved {
    let text = error.to_string();
    Unresolved(format!("cannot resolve {name}: {}", text.strip_prefix("failed to lookup address information: ").unwrap_or(&text)))
}

async fn connect_host(
    to: &HostPort,
    options: &Options,
    first: &[u8],
    deadline: Option<Instant>,
) -> io::Result<(TcpStream, SocketAddr, usize)> {
    let found = if options.reach.chosen.is_some() { resolve_chosen(to).await? } else { resolve(to).await? };
    let found = options.reach.among(found)?;
    if let (Host::Ip(_), [addr]) = (&to.host, found.as_slice()) {
        return options.connect(*addr, first, deadline).await.map(|(tcp, sent)| (tcp, *addr, sent));
    }
    // Boxed: the room for several attempts is not that of every dial.
    Box::pin(race(found, *options, deadline)).await
}

/// Tries addresses beside each other, each a little later than the one before.
async fn race(addrs: Vec<SocketAddr>, options: Options, deadline: Option<Instant>) -> io::Result<(TcpStream, SocketAddr, usize)> {
    let mut left = interleaved(addrs).into_iter();
    let mut attempts = JoinSet::new();
    let mut last = None;
    loop {
        match left.next() {
            Some(addr) => {
                let _ = attempts.spawn(async move {
                    // Several addresses race: none but the winner may have the first bytes.
                    options.connect(addr, &[], deadline).await.map(|(tcp, sent)| (tcp, addr, sent))
                });
            }
            None if attempts.is_empty() => return Err(last.unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            None => {}
        }
        let more = left.len() > 0;
        tokio::select! {
            // An attempt that fails makes the next address start at once.
            Some(result) = attempts.join_next() => match result {
                // Dropping the set ends the other attempts.
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => last = Some(telling(last, error)),
                Err(error) => last = Some(io::Error::other(error)),
            },
            () = sleep(STAGGER), if more => {}
        }
    }
}

/// What a target answered tells more than that another of its addresses could not be asked.
fn telling(earlier: Option<io::Error>, later: io::Error) -> io::Error {
    match earlier {
        Some(earlier) if is_local(&later) => earlier,
        _ => later,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_answered_is_told_before_what_could_not_be_asked() {
        let (refused, timed_out) = (io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut);
        let local = io::ErrorKind::AddrNotAvailable;
        for (kinds, told) in
            [(&[refused, local][..], refused), (&[local, refused], refused), (&[local], local), (&[refused, timed_out, local], timed_out)]
        {
            let last = kinds.iter().fold(None, |last, kind| Some(telling(last, (*kind).into())));
            assert_eq!(last.unwrap().kind(), told);
        }
    }

    #[test]
    fn families_take_turns() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b, c, x) = (addr("[::1]:1"), addr("[::2]:1"), addr("[::3]:1"), addr("127.0.0.1:1"));
        assert_eq!(interleaved(vec![a, b, c, x]), [a, x, b, c]);
        assert_eq!(interleaved(vec![x, a]), [x, a]);
        assert_eq!(interleaved(vec![]), []);
    }
}
