//! Reading and writing: first what was probed, then the wire, whose bytes are counted and shown to who watches.

use super::{Stream, tls};
use crate::{event::Traffic, fault::Direction, tap::WireTap, tls::Established};
use bytes::Bytes;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// What lies under the probed bytes, and its counters.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) io: Io,
    pub(super) traffic: Arc<Traffic>,
    /// An error of TLS that came in one read with plaintext, which goes first.
    pub(super) failed: Option<io::Error>,
    /// Who watches the socket.
    pub(super) tap: Option<Box<WireTap>>,
}

#[derive(Debug)]
pub(super) enum Io {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    /// Our end of TLS is the server's.
    Server(Box<Established>),
    /// Our end of TLS is the client's.
    Client(Box<tokio_rustls::client::TlsStream<Stream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.head.is_empty() {
            return Pin::new(&mut this.wire).poll_read(cx, buffer);
        }
        let n = this.head.len().min(buffer.remaining());
        buffer.put_slice(&this.head[..n]);
        this.skip_head(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(this.poll_ready(cx));
        let read = match &mut this.io {
            Io::Server(tls) => return Pin::new(tls).poll_read(cx, buffer),
            Io::Client(tls) => return tls::poll_read(cx, tls, &mut this.failed, buffer),
            Io::Tcp(tcp) => ready!(Pin::new(tcp).poll_read(cx, buffer)),
            #[cfg(unix)]
            Io::Unix(unix) => ready!(Pin::new(unix).poll_read(cx, buffer)),
        };
        let bytes = &buffer.filled()[before..];
        this.traffic.add_received(bytes.len());
        if let Some(tap) = &mut this.tap {
            match &read {
                Ok(()) if bytes.is_empty() && buffer.remaining() > 0 => tap.ended(Direction::Up),
                Ok(()) => tap.passed(Direction::Up, Bytes::copy_from_slice(bytes)),
                Err(error) => tap.failed(error),
            }
        }
        Poll::Ready(read)
    }
}

impl Wire {
    /// Who watches may make the socket wait.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.tap.as_mut().map_or(Poll::Ready(()), |tap| tap.poll_ready(cx))
    }

    /// Counts and tells what a write of `parts` came to.
    pub(super) fn written<'a>(&mut self, written: io::Result<usize>, parts: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        self.traffic.add_sent(*written.as_ref().unwrap_or(&0));
        if let Some(tap) = &mut self.tap {
            match &written {
                Ok(n) => {
                    let mut bytes = Vec::with_capacity(*n);
                    for part in parts {
                        bytes.extend_from_slice(&part[..part.len().min(*n - bytes.len())]);
                    }
                    tap.passed(Direction::Down, bytes.into());
                }
                Err(error) => tap.failed(error),
            }
        }
        written
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let wire = &mut self.get_mut().wire;
        ready!(wire.poll_ready(cx));
        let written = match &mut wire.io {
            Io::Server(tls) => return Pin::new(tls).poll_write(cx, data),
            Io::Client(tls) => return Pin::new(tls).poll_write(cx, data),
            Io::Tcp(tcp) => ready!(Pin::new(tcp).poll_write(cx, data)),
            #[cfg(unix)]
            Io::Unix(unix) => ready!(Pin::new(unix).poll_write(cx, data)),
        };
        Poll::Ready(wire.written(written, std::iter::once(data)))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let wire = &mut self.get_mut().wire;
        ready!(wire.poll_ready(cx));
        let written = match &mut wire.io {
            Io::Server(tls) => return Pin::new(tls).poll_write_vectored(cx, data),
            Io::Client(tls) => return Pin::new(tls).poll_write_vectored(cx, data),
            Io::Tcp(tcp) => ready!(Pin::new(tcp).poll_write_vectored(cx, data)),
            #[cfg(unix)]
            Io::Unix(unix) => ready!(Pin::new(unix).poll_write_vectored(cx, data)),
        };
        Poll::Ready(wire.written(written, data.iter().map(|part| &**part)))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire.io {
            Io::Server(tls) => Pin::new(tls).poll_flush(cx),
            Io::Client(tls) => Pin::new(tls).poll_flush(cx),
            Io::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            #[cfg(unix)]
            Io::Unix(unix) => Pin::new(unix).poll_flush(cx),
        }
    }

    /// FIN; for TLS close_notify first, then FIN.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.wire.poll_ready(cx));
        let result = match &mut this.wire.io {
            Io::Server(tls) => ready!(Pin::new(tls).poll_shutdown(cx)),
            Io::Client(tls) => ready!(Pin::new(tls).poll_shutdown(cx)),
            Io::Tcp(tcp) => ready!(Pin::new(tcp).poll_shutdown(cx)),
            #[cfg(unix)]
            Io::Unix(unix) => ready!(Pin::new(unix).poll_shutdown(cx)),
        };
        match result {
            // The peer is gone already: there is nobody left to tell.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            other => other?,
        }
        if let Some(tap) = &this.wire.tap {
            tap.ended(Direction::Down);
        }
        this.shut = true;
        Poll::Ready(Ok(()))
    }
}
