//! What streams of TLS do besides: an error does not overtake what was read before it, nor a reset the alert.

use super::{Io, Stream};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

impl Stream {
    /// Ends a stream of TLS that has failed, as [`Stream::close_gently`] does, so that the alert is read that says why. It is
    /// the last word: no close_notify follows, so that nobody takes what came before for complete.
    pub(crate) async fn end_after_alert(&mut self, within: Duration) {
        let linger = async {
            // The alert goes first, where it could not be written at once.
            self.shutdown().await?;
            // What comes now is not decrypted any more.
            self.bottom().read_to_forget().await
        };
        let _ = tokio::time::timeout(within, linger).await;
    }

    /// The stream over the socket, whatever lies over it.
    fn bottom(&mut self) -> &mut Self {
        match self.wire.io {
            Io::Server(ref mut tls) => tls.below_mut().bottom(),
            Io::Client(ref mut tls) => tls.get_mut().0.bottom(),
            _ => self,
        }
    }
}

/// Reads plaintext. Of records that come together and of which one is bad, or an alert, those before it are read first.
pub(super) fn poll_read(
    cx: &mut Context<'_>,
    tls: &mut tokio_rustls::client::TlsStream<Stream>,
    failed: &mut Option<io::Error>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let error = match failed.take() {
        Some(error) => error,
        None => match ready!(Pin::new(&mut *tls).poll_read(cx, buffer)) {
            // Of those that rustls tells, and of none of the socket.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => error,
            read => return Poll::Ready(read),
        },
    };
    let mut reader = tls.get_mut().1.reader();
    // An error here says only that there is nothing left.
    match io::Read::read(&mut reader, buffer.initialize_unfilled()).unwrap_or_default() {
        0 => Poll::Ready(Err(error)),
        n => {
            buffer.advance(n);
            *failed = Some(error);
            Poll::Ready(Ok(()))
        }
    }
}
