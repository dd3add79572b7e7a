//! The one stream type: bytes already taken, then the wire. What was peeked at is read again, bytes are counted at the
//! socket, and a stream that is dropped before its writing side was shut down is reset, never quietly ended, except over a
//! Unix socket, which has no RST.

mod session;
mod tls;
mod wire;

pub use session::{ClientCertificate, TlsSession};

use crate::{addr::Endpoint, event::Traffic, tap::WireTap, tls::Established};
use bytes::{Buf, BytesMut};
use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use wire::{Io, Wire};

/// A connection to a client or a target.
///
/// Dropping it without [`AsyncWriteExt::shutdown`] sends RST (SO_LINGER 0, socket(7)): whoever reads from it can tell
/// a stream that was cut, by an error, an abort or a panic, from one that is complete. Over a Unix socket nobody can:
/// there is no RST, and the stream just ends.
#[derive(Debug)]
pub struct Stream {
    head: BytesMut,
    wire: Wire,
    shut: bool,
}

/// What looking at the first bytes of a stream came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Probed<T> {
    /// The parser came to a verdict.
    Match(T),
    /// The stream ended before.
    Eof,
    /// As many bytes as were allowed were read, and the parser still wanted more.
    Full,
}

/// A connected socket, non-blocking and with TCP_NODELAY where it is TCP, that no event loop knows yet.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

impl From<TcpStream> for Stream {
    /// Takes a connected socket over as it is; TCP_NODELAY is the caller's to set.
    fn from(tcp: TcpStream) -> Self {
        Self::over(Io::Tcp(tcp), Arc::default())
    }
}

#[cfg(unix)]
impl From<tokio::net::UnixStream> for Stream {
    fn from(unix: tokio::net::UnixStream) -> Self {
        Self::over(Io::Unix(unix), Arc::default())
    }
}

impl From<Established> for Stream {
    fn from(tls: Established) -> Self {
        // The stream below counts: the bytes of a connection are those at its socket.
        let traffic = tls.below().traffic().clone();
        Self::over(Io::Server(Box::new(tls)), traffic)
    }
}

impl From<tokio_rustls::client::TlsStream<Stream>> for Stream {
    fn from(tls: tokio_rustls::client::TlsStream<Stream>) -> Self {
        let traffic = tls.get_ref().0.traffic().clone();
        Self::over(Io::Client(Box::new(tls)), traffic)
    }
}

impl Stream {
    /// Takes a socket over for the event loop of this thread, and counts its bytes in `traffic`.
    ///
    /// # Errors
    /// The event loop cannot watch one more socket.
    pub fn new(socket: Socket, traffic: Arc<Traffic>) -> io::Result<Self> {
        let io = match socket {
            Socket::Tcp(tcp) => Io::Tcp(TcpStream::from_std(tcp)?),
            #[cfg(unix)]
            Socket::Unix(unix) => Io::Unix(tokio::net::UnixStream::from_std(unix)?),
        };
        Ok(Self::over(io, traffic))
    }

    fn over(io: Io, traffic: Arc<Traffic>) -> Self {
        Self { head: BytesMut::new(), wire: Wire { io, traffic, failed: None, tap: None }, shut: false }
    }

    /// Tells `tap` of everything that passes at the socket from here on.
    pub(crate) fn watched_by(mut self, tap: WireTap) -> Self {
        self.wire.tap = Some(Box::new(tap));
        self
    }

    /// The user and, where the system tells it, the process at the other end of a Unix socket, as they were when it connected
    /// (SO_PEERCRED, unix(7)).
    #[must_use]
    pub fn unix_peer(&self) -> Option<(u32, Option<i32>)> {
        match &self.wire.io {
            #[cfg(unix)]
            Io::Unix(unix) => unix.peer_cred().ok().map(|peer| (peer.uid(), peer.pid())),
            _ => None,
        }
    }

    /// The counters of this stream's socket.
    #[must_use]
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.wire.traffic
    }

    /// Reads until `parse` comes to a verdict about the bytes so far, and keeps them: the next read sees them again.
    /// It ends at `max` bytes, give or take one read. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The stream failed.
    pub async fn probe<T>(&mut self, max: usize, mut parse: impl FnMut(&[u8]) -> Option<T>) -> io::Result<Probed<T>> {
        loop {
            if let Some(verdict) = parse(&self.head) {
                return Ok(Probed::Match(verdict));
            }
            if self.head.len() >= max {
                return Ok(Probed::Full);
            }
            self.head.reserve(2048);
            if self.wire.read_buf(&mut self.head).await? == 0 {
                return Ok(Probed::Eof);
            }
        }
    }

    /// Reads once more behind what was probed, and keeps it as [`Stream::probe`] does; 0 at the end.
    pub(crate) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.head.reserve(2048);
        // Dropped while it waits, it has read nothing.
        std::pin::pin!(self.wire.read_buf(&mut self.head)).poll(cx)
    }

    /// Completes when the connection is broken: by RST, or because the other side is gone. Its end alone does not break it, and
    /// over a Unix socket nothing does.
    pub(crate) async fn lost(&self) -> io::Error {
        #[cfg(target_os = "linux")]
        if let Some(tcp) = self.tcp() {
            return lost(tcp).await;
        }
        std::future::pending().await
    }

    /// Reads once, without waiting, where nothing was probed yet: the next read sees the same bytes again. An end is left
    /// for the next read.
    ///
    /// # Errors
    /// The stream failed.
    pub fn take_what_is_there(&mut self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(tcp) = self.bare_tcp() {
            let mut room = [MaybeUninit::uninit(); 4096];
            match rustix::net::recv(tcp, &mut room[..], rustix::net::RecvFlags::empty()) {
                Ok(((first, _), _)) => {
                    self.wire.traffic.add_received(first.len());
                    self.head.extend_from_slice(first);
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Forgets so many of the bytes that were probed: they were delivered, or are not for whoever reads next.
    pub fn skip_head(&mut self, bytes: usize) {
        self.head.advance(bytes);
        if self.head.is_empty() {
            // The allocation is not kept for the life of the connection.
            self.head = BytesMut::new();
        }
    }

    /// The bytes that were taken by [`Stream::probe`] and not read since.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Takes the bytes that were probed: the caller now owes them to whoever reads.
    pub fn take_head(&mut self) -> BytesMut {
        std::mem::take(&mut self.head)
    }

    /// The TCP socket below, where nothing stands between it and the reader: no TLS, no probed bytes and nobody who watches.
    #[must_use]
    pub fn bare_tcp(&self) -> Option<&TcpStream> {
        self.unwatched_tcp().filter(|_| self.head.is_empty())
    }

    /// The TCP socket, where nobody watches it and no TLS lies over it.
    fn unwatched_tcp(&self) -> Option<&TcpStream> {
        match &self.wire.io {
            Io::Tcp(tcp) if self.wire.tap.is_none() => Some(tcp),
            _ => None,
        }
    }

    /// What was agreed on with a TLS client, where the stream is one.
    #[must_use]
    pub fn tls_session(&self) -> Option<&TlsSession> {
        match &self.wire.io {
            Io::Server(tls) => Some(tls.session()),
            _ => None,
        }
    }

    /// Writes as [`AsyncWrite::poll_write`] does, but the bytes wait for those behind them, tcp(7) and send(2) MSG_MORE: for
    /// the FIN of the shutdown that follows at once.
    pub(crate) fn poll_write_last(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        #[cfg(target_os = "linux")]
        // Who watches is told of every write, and may make it wait.
        if let Some(tcp) = self.unwatched_tcp() {
            use rustix::net::{SendFlags, send};
            loop {
                ready!(tcp.poll_write_ready(cx))?;
                let sent = tcp.try_io(tokio::io::Interest::WRITABLE, || Ok(send(tcp, data, SendFlags::MORE | SendFlags::NOSIGNAL)?));
                match sent {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(sent) => {
                        self.wire.traffic.add_sent(sent);
                        return Poll::Ready(Ok(sent));
                    }
                }
            }
        }
        Pin::new(self).poll_write(cx, data)
    }

    /// Marks the writing side as shut by someone who did so on the socket itself.
    pub(crate) fn set_shut(&mut self) {
        self.shut = true;
    }

    /// Takes back that the writing side was shut: dropping the stream sends RST all the same.
    pub(crate) fn reset_when_dropped(&mut self) {
        self.shut = false;
        match &mut self.wire.io {
            Io::Server(tls) => tls.below_mut().reset_when_dropped(),
            Io::Client(tls) => tls.get_mut().0.reset_when_dropped(),
            _ => {}
        }
    }

    /// The TCP socket at the bottom, whatever lies over it.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match &self.wire.io {
            Io::Tcp(tcp) => Some(tcp),
            Io::Server(tls) => tls.below().tcp(),
            Io::Client(tls) => tls.get_ref().0.tcp(),
            #[cfg(unix)]
            Io::Unix(_) => None,
        }
    }

    /// This end of the connection: what the client connected to, where it was accepted. Costs a system call.
    ///
    /// # Errors
    /// getsockname(2) failed.
    pub fn local_addr(&self) -> io::Result<Endpoint> {
        match &self.wire.io {
            Io::Tcp(tcp) => tcp.local_addr().map(Endpoint::tcp),
            Io::Server(tls) => tls.below().local_addr(),
            Io::Client(tls) => tls.get_ref().0.local_addr(),
            #[cfg(unix)]
            Io::Unix(unix) => Ok(Endpoint::Unix(unix.local_addr()?.as_pathname().map(std::path::Path::to_owned))),
        }
    }

    /// Waits until the kernel has sent everything that was written, at most `within`. An RST discards what is still in
    /// the send buffer, so whoever resets after data waits for this first.
    pub async fn wait_sent(&self, within: Duration) {
        #[cfg(target_os = "linux")]
        if let Some(tcp) = self.tcp() {
            let _ = tokio::time::timeout(within, sent(tcp)).await;
        }
    }

    /// Ends the stream so that the last bytes written are read: shuts the writing side down, then reads and forgets
    /// until the peer ends too, at most for `within`. Closing with unread bytes would make the kernel send RST, which
    /// can overtake what the peer has not read yet (RFC 1122 section 4.2.2.13).
    pub async fn close_gently(mut self, within: Duration) {
        let linger = async {
            self.shutdown().await?;
            self.read_to_forget().await
        };
        // Whether the peer saw the end is its affair from here on.
        let _ = tokio::time::timeout(within, linger).await;
    }

    async fn read_to_forget(&mut self) -> io::Result<()> {
        let mut scratch = [0; 4096];
        // Bounded also in bytes: a peer that never stops sending is cut off.
        for _ in 0..256 {
            if self.read(&mut scratch).await? == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Completes when a connection is broken: by RST, or because the other side is gone. Its end alone does not break it.
#[cfg(target_os = "linux")]
pub(crate) async fn lost(tcp: &TcpStream) -> io::Error {
    if let Err(error) = tcp.ready(tokio::io::Interest::ERROR).await {
        return error;
    }
    match tcp.take_error() {
        // What Linux calls a reset that comes after an end (tcp_reset). A write may have taken the error already.
        Ok(Some(error)) if error.kind() != io::ErrorKind::BrokenPipe => error,
        _ => io::ErrorKind::ConnectionReset.into(),
    }
}

/// Completes when no byte of `tcp` waits to be sent: with TCP_NOTSENT_LOWAT of 1 a socket is writable when fewer than
/// one byte is unsent, tcp(7).
#[cfg(target_os = "linux")]
async fn sent(tcp: &TcpStream) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    socket2::SockRef::from(tcp).set_tcp_notsent_lowat(1)?;
    tcp.async_io(tokio::io::Interest::WRITABLE, || {
        // poll(2) both asks and, where the answer is no, arms the wake-up that epoll waits for.
        let mut fds = [PollFd::new(tcp, PollFlags::OUT)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(()),
        }
    })
    .await
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let (false, Io::Tcp(tcp)) = (self.shut, &self.wire.io) {
            // Fails only for a socket that is dead already.
            let _ = tcp.set_zero_linger();
        }
        if let Some(tap) = self.wire.tap.take() {
            tap.closed(self.shut);
        }
    }
}
