//! One side of a relay between two TCP sockets, shared by the two directions and by the watch for its loss.

use crate::{
    event::Traffic,
    stream::{Stream, lost},
};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// A socket and its counters.
#[derive(Clone, Copy)]
pub(super) struct Leg<'a> {
    pub(super) tcp: &'a TcpStream,
    pub(super) traffic: &'a Traffic,
}

impl<'a> Leg<'a> {
    /// The socket below a stream, where nothing stands between it and the reader.
    pub(super) fn of(stream: &'a Stream) -> Option<Self> {
        stream.bare_tcp().map(|tcp| Self { tcp, traffic: stream.traffic() })
    }

    /// Completes when the connection is broken.
    pub(super) async fn lost(self) -> io::Error {
        lost(self.tcp).await
    }
}

impl AsyncRead for Leg<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            let mut drained = 0;
            let read = self.tcp.try_io(Interest::READABLE, || match recv(self.tcp, &mut *room, RecvFlags::empty())?.1 {
                // A short read has drained the socket, unless it stopped at urgent data. To say so here spares the read that
                // would only find that out; bytes that come in the meantime raise a new edge, epoll(7).
                n if 0 < n && n < room.len() => {
                    drained = n;
                    Err(io::ErrorKind::WouldBlock.into())
                }
                n => Ok(n),
            });
            let n = match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && drained > 0 => drained,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => continue,
                read => read?,
            };
            self.traffic.add_received(n);
            buffer.advance(n);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Leg<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        // At first without asking the runtime, which does not know yet that a new socket is writable.
        let mut written = send(self.tcp, data, SendFlags::NOSIGNAL).map_err(io::Error::from);
        loop {
            match written {
                Ok(n) => {
                    self.traffic.add_sent(n);
                    return Poll::Ready(Ok(n));
                }
                Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    return Poll::Ready(Err(error));
                }
                Err(_) => {}
            }
            ready!(self.tcp.poll_write_ready(cx))?;
            written = self.tcp.try_io(Interest::WRITABLE, || Ok(send(self.tcp, data, SendFlags::NOSIGNAL)?));
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match shutdown(self.tcp, Shutdown::Write) {
            // Not connected any more: nobody is left to be told.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}
