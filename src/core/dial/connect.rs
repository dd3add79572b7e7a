//! One TCP connection to one address.

use super::Reach;
use crate::{event::is_shortage, stream::Stream};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, time::sleep};

/// The pause before another try in a shortage.
const SHORTAGE: Duration = Duration::from_millis(20);

/// What is asked of TCP sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The address that connections to targets come from. The kernel chooses their ports before it knows the target, so
    /// that there are never more of them than local ports (ip(7), ip_local_port_range).
    pub source: Option<IpAddr>,
    /// Probe a peer that was silent for so long, whole seconds; three unanswered probes break the connection (tcp(7),
    /// TCP_KEEPIDLE).
    pub keepalive: Option<Duration>,
    /// What may be connected to.
    pub reach: Reach,
}

impl Options {
    /// Asks for keep-alive probes on an accepted connection too.
    pub fn keep_alive(&self, stream: &Stream) {
        if let (Some(silence), Some(tcp)) = (self.keepalive, stream.tcp()) {
            // Fails only for a socket that is dead already, which the next read tells better.
            let _ = SockRef::from(tcp).set_tcp_keepalive(&probes(silence));
        }
    }

    /// Connects to one address, and sends what it can of the first bytes at once: says how many. Where it fails, nobody has
    /// got any. In a shortage it tries again for as long as the deadline leaves time to say that it was one.
    pub(super) async fn connect(&self, addr: SocketAddr, first: &[u8], deadline: Option<Instant>) -> io::Result<(TcpStream, usize)> {
        loop {
            match self.connect_once(addr, first).await {
                Err(error) if is_shortage(&error) && deadline.is_none_or(|deadline| Instant::now() + 2 * SHORTAGE < deadline) => {
                    sleep(SHORTAGE).await;
                }
                result => return result,
            }
        }
    }

    async fn connect_once(&self, addr: SocketAddr, first: &[u8]) -> io::Result<(TcpStream, usize)> {
        let socket = self.socket(addr)?;
        #[cfg(target_os = "linux")]
        if !first.is_empty() {
            // The handshake's last ACK waits for the bytes that follow it at once, tcp(7) TCP_QUICKACK: a packet less, and the
            // target wakes up once, for a connection with something to read.
            socket.set_tcp_quickack(false)?;
        }
        match socket.connect(&addr.into()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(EINPROGRESS) => {}
            result => result?,
        }
        let tcp = TcpStream::from_std(socket.into())?;
        // Simultaneous open with itself: the kernel chose the target's port as the source (RFC 9293 section 3.5).
        if tcp.local_addr()? == addr {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        // A target on this machine has answered by now. Nothing fails after this: a client's bytes go to one target only.
        if !first.is_empty()
            && let Some(sent) = send_now(&tcp, first)?
        {
            return Ok((tcp, sent));
        }
        poll_fn(|cx| tcp.poll_write_ready(cx)).await?;
        match tcp.take_error()? {
            Some(error) => Err(error),
            None => Ok((tcp, 0)),
        }
    }

    /// A new socket, non-blocking and with TCP_NODELAY: a delayed small write costs up to 40 ms against a delayed ACK, tcp(7).
    fn socket(&self, addr: SocketAddr) -> io::Result<Socket> {
        #[cfg(target_os = "linux")]
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)?;
        #[cfg(not(target_os = "linux"))]
        let socket = {
            let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket
        };
        socket.set_tcp_nodelay(true)?;
        if let Some(silence) = self.keepalive {
            socket.set_tcp_keepalive(&probes(silence))?;
        }
        if let Some(source) = self.source {
            if source.is_ipv4() != addr.is_ipv4() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrNotAvailable,
                    format!("{source} cannot be the source of a connection to {}", addr.ip()),
                ));
            }
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        Ok(socket)
    }
}

/// Three probes, as far apart from each other as the first is from the last byte; then the peer is taken for gone.
fn probes(silence: Duration) -> TcpKeepalive {
    TcpKeepalive::new().with_time(silence).with_interval(silence).with_retries(3)
}

#[cfg(unix)]
const EINPROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();
#[cfg(not(unix))]
const EINPROGRESS: i32 = 10_036;

/// Sends without waiting for the event loop, which knows nothing of the socket yet; `None` while the connection is still
/// being made.
fn send_now(tcp: &TcpStream, first: &[u8]) -> io::Result<Option<usize>> {
    match SockRef::from(tcp).send(first) {
        Ok(sent) => Ok(Some(sent)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => Ok(None),
        Err(error) => Err(error),
    }
}
