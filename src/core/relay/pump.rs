//! One direction of a relay: what comes from one side goes to the other, until it ends. Written as a state machine and
//! not as an `async fn`: an idle connection costs what is in here, and nothing else.

use super::{Failed, Progress};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    cell::RefCell,
    io,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that is copied at once: five full records of TLS.
const BUFFER: usize = 80 * 1024;

thread_local! {
    /// Bytes pass through here within one poll, so that no connection holds a buffer while it waits.
    static BETWEEN: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into());
}

/// Reads once; what was read is copied out of what all share.
pub(super) fn poll_read(cx: &mut Context<'_>, from: &mut (impl AsyncRead + Unpin)) -> Poll<io::Result<Bytes>> {
    BETWEEN.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    })
}

/// What became of a side so far.
#[derive(Default)]
pub(super) struct Side {
    /// It has sent its end, and that was passed on.
    pub(super) ended: AtomicBool,
    /// It could not be written to. The error that a reset leaves on a socket is told once (socket(7), SO_ERROR): a write
    /// that met it leaves the reader a plain end, which must not be passed on as one.
    pub(super) cut: AtomicBool,
}

/// Both sides.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) client: Side,
    pub(super) target: Side,
}

impl Ends {
    /// Whether one side has ended.
    pub(super) fn half_closed(&self) -> bool {
        self.client.ended.load(Relaxed) || self.target.ended.load(Relaxed)
    }
}

/// The state of one direction.
pub(super) struct Pump {
    /// Bytes that were read and could not be written at once.
    owed: BytesMut,
    /// Something was written that may not have left yet: rustls holds small records back until it is flushed.
    unflushed: bool,
    /// The source has ended, and all that came before it was delivered.
    ended: bool,
    /// The way that needs no copying, for bulk data between two sockets.
    #[cfg(target_os = "linux")]
    burst: super::splice::Burst,
}

/// The two sockets, where bytes need not enter this process.
#[cfg(target_os = "linux")]
pub(super) type Sockets<'a> = (super::leg::Leg<'a>, super::leg::Leg<'a>);
#[cfg(not(target_os = "linux"))]
pub(super) type Sockets<'a> = std::convert::Infallible;

impl Pump {
    /// Delivers `head` first.
    pub(super) fn new(head: BytesMut) -> Self {
        Self {
            owed: head,
            unflushed: false,
            ended: false,
            #[cfg(target_os = "linux")]
            burst: super::splice::Burst::default(),
        }
    }

    /// Moves bytes until `from` ends, and passes that on.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        sockets: Option<Sockets<'_>>,
        (source, sink): (&Side, &Side),
        progress: &Progress,
    ) -> Poll<Result<(), Failed>> {
        let moved = self.poll_move(cx, from, to, sockets, progress);
        if let Poll::Ready(Err(failed)) = &moved {
            sink.cut.fetch_or(!failed.reading, Relaxed);
        }
        ready!(moved)?;
        if source.cut.load(Relaxed) {
            return Poll::Ready(Err(Failed::read(io::ErrorKind::ConnectionReset.into())));
        }
        // Where both sockets are about to be closed, with nothing unread, close(2) sends the last FIN.
        if sockets.is_none() || !sink.ended.load(Relaxed) {
            ready!(Pin::new(to).poll_shutdown(cx)).map_err(|error| {
                // See Side::cut: close_notify is a write, too.
                sink.cut.store(true, Relaxed);
                Failed::write(error)
            })?;
        }
        source.ended.store(true, Relaxed);
        Poll::Ready(Ok(()))
    }

    /// Completes when `from` has ended and everything before that was delivered.
    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        sockets: Option<Sockets<'_>>,
        progress: &Progress,
    ) -> Poll<Result<(), Failed>> {
        loop {
            while !self.owed.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.owed)).map_err(Failed::write)?;
                if written == 0 {
                    return Poll::Ready(Err(Failed::write(io::ErrorKind::WriteZero.into())));
                }
                self.owed.advance(written);
                if self.owed.is_empty() {
                    // The allocation is not kept for the life of the connection.
                    self.owed = BytesMut::new();
                }
            }
            if self.unflushed {
                ready!(Pin::new(&mut *to).poll_flush(cx)).map_err(Failed::write)?;
                self.unflushed = false;
            }
            #[cfg(target_os = "linux")]
            if let Some((from, to)) = sockets
                && self.burst.is_on()
            {
                ready!(self.burst.poll(cx, from, to, progress))?;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            let copied = ready!(self.poll_copy(cx, from, to))?;
            self.ended = copied == 0;
            #[cfg(target_os = "linux")]
            if sockets.is_some() {
                self.burst.start_after(copied);
            }
        }
    }

    /// Reads once, and writes once without waiting whether that is possible: it nearly always is.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<usize, Failed>> {
        BETWEEN.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(from).poll_read(cx, &mut buffer)).map_err(Failed::read)?;
            let read = buffer.filled();
            if !read.is_empty() {
                let written = match Pin::new(to).poll_write(cx, read) {
                    Poll::Ready(written) => written.map_err(Failed::write)?,
                    Poll::Pending => 0,
                };
                self.owed.extend_from_slice(&read[written..]);
                self.unflushed = true;
            }
            Poll::Ready(Ok(read.len()))
        })
    }
}
