//! A connection after its handshake, at the server's end: what is read from it and written to it is plaintext.
//!
//! Idle connections hold no buffer. Records are opened into the reader's buffer and sealed out of the writer's, several
//! at a time, each batch with one system call.

mod messages;

use super::{
    buffer::{Buffer, MOST_READ, MOST_SEALED, PREFIX},
    failure::Broken,
    record::{self, Keys, MOST_PLAIN, OVERHEAD, Wrong},
};
use crate::stream::{Stream, TlsSession};
use bytes::{Buf, Bytes};
use messages::Allowed;
use rustls::{
    AlertDescription, ContentType, Error, ExtractedSecrets, SupportedCipherSuite, kernel::KernelConnection, server::ServerConnectionData,
};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The stream of a server of TLS.
pub(crate) struct Established {
    below: Stream,
    session: TlsSession,
    suite: SupportedCipherSuite,
    /// The key schedule, for KeyUpdates.
    schedule: KernelConnection<ServerConnectionData>,
    opening: Keys,
    sealing: Keys,
    /// What was read of records that are not complete, or that the reader had no room for.
    received: Vec<u8>,
    /// Plaintext that the reader had no room for.
    ready: Bytes,
    /// Records that are being written.
    owed: Option<Owed>,
    /// Records that wait for company: tickets, answers to KeyUpdates. They go before everything that is sealed after them.
    held: Vec<u8>,
    reading: Reading,
    /// What is held waits for no company: the client has sent no data that will be answered, or waits for just this.
    hurry: bool,
    /// The last word was said: close_notify, or a fatal alert.
    closed: bool,
    allowed: Allowed,
}

/// Records on their way, and which part of them is still to be written.
struct Owed {
    buffer: Records,
    from: usize,
    to: usize,
    /// FIN follows them at once.
    last: bool,
}

enum Records {
    Many(Buffer),
    Few(Vec<u8>),
}

/// Whether there is more to read.
enum Reading {
    Open,
    /// close_notify came. What is behind it is ignored (RFC 8446 section 6.1).
    Ended,
    Failed(Error, Option<AlertDescription>),
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Established {
    /// Goes on where the handshake has ended: `received` came after it, `held` is to be sent.
    ///
    /// # Errors
    /// The keys are of a cipher that the record layer does not know.
    pub(super) fn new(
        below: Stream,
        session: TlsSession,
        (secrets, schedule): (ExtractedSecrets, KernelConnection<ServerConnectionData>),
        mut received: Vec<u8>,
        held: Vec<u8>,
    ) -> Result<Self, (io::Error, Stream)> {
        // A handshake takes more room than what comes behind it.
        received.shrink_to_fit();
        let suite = schedule.negotiated_cipher_suite();
        let (opening, sealing) = match (Keys::new(secrets.rx, suite), Keys::new(secrets.tx, suite)) {
            (Ok(opening), Ok(sealing)) => (opening, sealing),
            (Err(error), _) | (_, Err(error)) => return Err((invalid(error), below)),
        };
        Ok(Self {
            below,
            session,
            suite,
            schedule,
            opening,
            sealing,
            received,
            ready: Bytes::new(),
            owed: None,
            held,
            reading: Reading::Open,
            hurry: true,
            closed: false,
            allowed: Allowed::default(),
        })
    }

    /// The stream that carries the records.
    pub(crate) fn below(&self) -> &Stream {
        &self.below
    }

    /// The same, to be changed.
    pub(crate) fn below_mut(&mut self) -> &mut Stream {
        &mut self.below
    }

    /// What the handshake agreed on.
    pub(crate) fn session(&self) -> &TlsSession {
        &self.session
    }

    /// Reads once and opens what is complete, into `out` as far as there is room.
    fn poll_records(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut buffer = Buffer::take();
        let mut filled = self.received.len();
        buffer[..filled].copy_from_slice(&self.received);
        // What is wrong already is not waited for.
        let is_incomplete = record::length(&buffer[..filled]).is_ok_and(|length| length.is_none_or(|length| length > filled));
        if is_incomplete {
            // A record may be longer than those that are expected; it is never longer than the buffer.
            let mut read = ReadBuf::new(&mut buffer[filled..MOST_READ]);
            match Pin::new(&mut self.below).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "ended without close_notify")));
                }
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    self.release_held(cx);
                    return Poll::Pending;
                }
            }
            filled += read.filled().len();
        }
        let opened = self.open(&buffer[..filled], out);
        let rest = &buffer[opened..filled];
        if rest.is_empty() || !matches!(self.reading, Reading::Open) {
            // The allocation is not kept for the life of the connection.
            self.received = Vec::new();
        } else {
            self.received.clear();
            self.received.extend_from_slice(rest);
        }
        Poll::Ready(Ok(()))
    }

    /// Opens the complete records of `bytes` that there is room for, at least one. Returns how many bytes they were.
    fn open(&mut self, bytes: &[u8], out: &mut ReadBuf<'_>) -> usize {
        let before = out.filled().len();
        let mut at = 0;
        while matches!(self.reading, Reading::Open) && self.ready.is_empty() {
            let record = match record::length(&bytes[at..]) {
                Ok(Some(length)) if length <= bytes.len() - at => &bytes[at..at + length],
                Ok(_) => break,
                Err(wrong) => {
                    self.fail(wrong);
                    break;
                }
            };
            if out.remaining() >= record.len() {
                let room = out.initialize_unfilled_to(record.len());
                match self.opening.open(record, room) {
                    Ok((ContentType::ApplicationData, length)) if self.take_data(length) => out.advance(length),
                    Ok((kind, length)) => {
                        let message = room[..length].to_vec();
                        self.take(kind, &message);
                    }
                    Err(wrong) => self.fail(wrong),
                }
            } else if out.filled().len() > before {
                break;
            } else {
                let mut room = vec![0; record.len()];
                match self.opening.open(record, &mut room) {
                    Ok((ContentType::ApplicationData, length)) if self.take_data(length) => {
                        room.truncate(length);
                        self.ready = room.into();
                    }
                    Ok((kind, length)) => self.take(kind, &room[..length]),
                    Err(wrong) => self.fail(wrong),
                }
            }
            at += record.len();
        }
        at
    }

    /// Sends what is held where it is in a hurry, and nothing else is on its way.
    fn release_held(&mut self, cx: &mut Context<'_>) {
        if self.hurry && !self.held.is_empty() && self.owed.is_none() {
            self.owe_held(false);
            // An error is met again by the next who reads or writes.
            let _ = self.poll_send(cx);
        }
    }

    fn owe_held(&mut self, last: bool) {
        let held = std::mem::take(&mut self.held);
        self.allowed.nothing_held();
        self.owed = Some(Owed { from: 0, to: held.len(), buffer: Records::Few(held), last });
    }

    /// Writes what is owed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(owed) = &mut self.owed {
            let records = match &owed.buffer {
                Records::Many(buffer) => &buffer[owed.from..owed.to],
                Records::Few(bytes) => &bytes[owed.from..owed.to],
            };
            let written =
                if owed.last { self.below.poll_write_last(cx, records) } else { Pin::new(&mut self.below).poll_write(cx, records) };
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            owed.from += written;
            if owed.from == owed.to {
                self.owed = None;
                if self.hurry && !self.held.is_empty() {
                    self.owe_held(false);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// A buffer that begins with what is held, and where that ends.
    fn begin(&mut self) -> (Buffer, usize) {
        let mut buffer = Buffer::take();
        let end = self.held.len();
        buffer[..end].copy_from_slice(&self.held);
        if end > 0 {
            self.held = Vec::new();
            self.allowed.nothing_held();
        }
        (buffer, end)
    }

    /// Seals a batch of data, which must not be empty, and tries to send it. Returns how many bytes it took.
    fn write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> io::Result<usize> {
        let (mut buffer, mut end) = self.begin();
        let data = &data[..data.len().min(MOST_SEALED)];
        for part in data.chunks(MOST_PLAIN) {
            if self.sealing.are_spent() {
                end += self.update_sealing_key(&mut buffer[end..]).map_err(invalid)?;
            }
            end += self.sealing.seal(ContentType::ApplicationData, part, &mut buffer[end..]).map_err(invalid)?;
        }
        self.owed = Some(Owed { buffer: Records::Many(buffer), from: 0, to: end, last: false });
        // What cannot be sent now is owed.
        if let Poll::Ready(sent) = self.poll_send(cx) {
            sent?;
        }
        Ok(data.len())
    }

    /// Completes when more may be sealed.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        if self.held.len() > PREFIX {
            self.owe_held(false);
            ready!(self.poll_send(cx))?;
        }
        Poll::Ready(if self.closed { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) })
    }
}

/// An error of TLS as one of I/O; the error itself can be had back.
pub(super) fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl AsyncRead for Established {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        loop {
            if !this.ready.is_empty() {
                let length = this.ready.len().min(out.remaining());
                out.put_slice(&this.ready[..length]);
                this.ready.advance(length);
                if this.ready.is_empty() {
                    this.ready = Bytes::new();
                }
            }
            if out.filled().len() > before || out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match &this.reading {
                Reading::Open => {}
                Reading::Ended => return Poll::Ready(Ok(())),
                Reading::Failed(error, sent) => {
                    let broken = Broken { error: error.clone(), sent: *sent };
                    this.release_held(cx);
                    return Poll::Ready(Err(broken.into()));
                }
            }
            if let Some(owed) = &this.owed
                && matches!(owed.buffer, Records::Few(_))
                && let Poll::Ready(Err(error)) = this.poll_send(cx)
            {
                return Poll::Ready(Err(error));
            }
            ready!(this.poll_records(cx, out))?;
        }
    }
}

impl AsyncWrite for Established {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_writable(cx))?;
        Poll::Ready(if data.is_empty() { Ok(0) } else { this.write(cx, data) })
    }

    /// Pieces go into one record as far as they fit.
    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_writable(cx))?;
        let mut pieces = data.iter().filter(|piece| !piece.is_empty());
        let Some(first) = pieces.next() else { return Poll::Ready(Ok(0)) };
        if first.len() >= MOST_PLAIN {
            return Poll::Ready(this.write(cx, first));
        }
        let mut record = first.to_vec();
        for piece in pieces {
            record.extend_from_slice(&piece[..piece.len().min(MOST_PLAIN - record.len())]);
        }
        Poll::Ready(this.write(cx, &record))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.below).poll_flush(cx)
    }

    /// close_notify, then FIN.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        this.hold_alert(1, AlertDescription::CloseNotify);
        this.closed = true;
        if !this.held.is_empty() {
            this.owe_held(true);
            ready!(this.poll_send(cx))?;
        }
        Pin::new(&mut this.below).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
