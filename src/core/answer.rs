//! Reading a client to its end, and answering it: with nothing, with what it sends, or with bytes that were given before.

use crate::{
    event::{By, End, Phase, Progress, is_gone},
    idle::silence,
    peek,
    server::Conn,
    stream::Stream,
};
use bytes::Bytes;
#[cfg(target_os = "linux")]
use std::cell::RefCell;
use std::{
    future::ready,
    io,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    sync::oneshot,
    task::coop::unconstrained,
};

/// The most that is read or written at once.
const CHUNK: usize = 64 * 1024;

/// Read at most once the end was asked for: more than the kernel holds of one connection (tcp_rmem, tcp(7), 6 MiB unless
/// raised), so that only what is sent afterwards is left.
const LAST: usize = 8 << 20;

/// What a client is sent.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Sent as soon as the client is connected, as SSH and SMTP servers do; may be empty.
    pub greeting: Bytes,
    /// What follows.
    pub reply: Reply,
}

/// What a client is sent for what it sends.
#[derive(Clone, Debug, Default)]
pub enum Reply {
    /// Nothing.
    #[default]
    Silence,
    /// The same bytes (RFC 862).
    Echo,
    /// These bytes, once: as soon as the client's first bytes, or its end, have come. Then this side ends, and the
    /// client is read until it ends too.
    Once(Bytes),
}

/// Who is told what passes. Nothing more is read before it is done: who is slow holds the client up.
pub trait Tap: Sync {
    /// Takes bytes that the client sent; an error ends the connection.
    fn received(&self, bytes: &[u8]) -> impl Future<Output = Result<(), End>> + Send;

    /// Takes bytes that were sent to the client.
    fn sent(&self, bytes: &[u8]) -> impl Future<Output = ()> + Send;

    /// Whether it need not see anything more: what comes is only counted, as fast as possible.
    fn is_done(&self) -> bool;
}

/// Nobody is told.
impl Tap for () {
    async fn received(&self, _: &[u8]) -> Result<(), End> {
        Ok(())
    }

    async fn sent(&self, _: &[u8]) {}

    fn is_done(&self) -> bool {
        true
    }
}

/// Serves one client until it ends, or until `ending` completes, after which only what is there already is read. What is
/// owed by then is sent before this side ends, too. `idle` bounds the time without a byte in either direction, and may be noticed up to a
/// quarter later; it is a failure only where it leaves something unsent. The time that `tap` takes does not count.
///
/// A client that resets has all that came before read and told.
pub async fn serve(conn: Conn, answer: &Answer, idle: Option<Duration>, ending: impl Future<Output = ()> + Send, tap: &impl Tap) -> End {
    let Conn { mut stream, progress, .. } = conn;
    progress.enter(Phase::Relay);
    let traffic = stream.traffic().clone();
    let serving = Serving { tap, progress: &progress, tapping: AtomicBool::new(false), writing: AtomicBool::new(false) };
    let watchdog = async {
        let Some(idle) = idle else { return std::future::pending().await };
        let waits = AtomicU64::new(0);
        // Whoever looks while the tap is at work sees a change.
        let count = || traffic.total() + waits.fetch_add(u64::from(serving.tapping.load(Relaxed)), Relaxed);
        silence(idle, || Some(idle), count).await;
    };
    let ended = {
        let ending = Ending { asked: pin!(ending), left: None };
        let serve = async {
            match &answer.reply {
                Reply::Echo => serving.echo(&mut stream, &answer.greeting, ending).await,
                Reply::Silence if answer.greeting.is_empty() => serving.listen(&mut stream, ending).await,
                Reply::Silence => serving.both_ways(&mut stream, &answer.greeting, None, ending).await,
                Reply::Once(reply) => serving.both_ways(&mut stream, &answer.greeting, Some(reply), ending).await,
            }
        };
        tokio::select! {
            ended = serve => ended,
            () = watchdog => {
                let idle = idle.unwrap_or_default();
                let end = End::timeout(progress.phase(), idle);
                if serving.writing.load(Relaxed) { Err(end) } else { Ok(End { failed: false, ..end }) }
            }
        }
    };
    match ended {
        Ok(end) => {
            peek::close(stream).await;
            end
        }
        Err(end) => end,
    }
}

/// When to stop reading.
struct Ending<'a, F> {
    asked: Pin<&'a mut F>,
    /// Bytes that may still be read, once it was asked for.
    left: Option<usize>,
}

impl<F: Future<Output = ()>> Ending<'_, F> {
    /// Reads; `None` once the end was asked for and nothing is there any more. A client that never stops sending does not
    /// put it off.
    async fn or(&mut self, read: impl Future<Output = io::Result<usize>>) -> io::Result<Option<usize>> {
        let mut read = pin!(read);
        let left = match self.left {
            Some(left) => left,
            None => tokio::select! {
                biased;
                () = &mut self.asked => LAST,
                read = &mut read => return read.map(Some),
            },
        };
        self.left = Some(left);
        if left == 0 {
            return Ok(None);
        }
        // Unconstrained: only a socket without bytes may make it wait here.
        let read = tokio::select! {
            biased;
            read = unconstrained(read) => read?,
            () = ready(()) => return Ok(None),
        };
        self.left = Some(left.saturating_sub(read));
        Ok(Some(read))
    }
}

/// One connection that is served.
struct Serving<'a, T> {
    tap: &'a T,
    progress: &'a Progress,
    /// The tap is at work.
    tapping: AtomicBool,
    /// Something is owed to the client.
    writing: AtomicBool,
}

impl<T: Tap> Serving<'_, T> {
    /// Reads once; `None` where it is to end.
    async fn read(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        buffer: &mut [u8],
        ending: &mut Ending<'_, impl Future<Output = ()>>,
    ) -> Result<Option<usize>, End> {
        let read = ending.or(from.read(buffer)).await;
        let Some(n) = read.map_err(|error| self.failure(&error))? else { return Ok(None) };
        if n > 0 {
            self.tapping.store(true, Relaxed);
            let taken = self.tap.received(&buffer[..n]).await;
            self.tapping.store(false, Relaxed);
            taken?;
        }
        Ok(Some(n))
    }

    async fn send(&self, to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
        self.writing.store(true, Relaxed);
        for chunk in bytes.chunks(CHUNK) {
            to.write_all(chunk).await?;
            // rustls holds small records back until it is flushed.
            to.flush().await?;
            self.tap.sent(chunk).await;
        }
        self.writing.store(false, Relaxed);
        Ok(())
    }

    /// How it ended: in order, unless something could not be written.
    fn end(&self, by: By, written: io::Result<()>) -> Result<End, End> {
        match written {
            Ok(()) => Ok(End::done(by, self.progress.phase())),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn failure(&self, error: &io::Error) -> End {
        let phase = self.progress.phase();
        let end = End::stream(By::Client, phase, error);
        if phase == Phase::HalfClose && is_gone(error) {
            // Clients of TLS, and those that want no more, leave like this.
            return End { failed: false, ..End::failed(By::Client, phase, format!("{} after the reply", end.why)) };
        }
        end
    }

    async fn echo(&self, stream: &mut Stream, greeting: &[u8], mut ending: Ending<'_, impl Future<Output = ()>>) -> Result<End, End> {
        let mut written = self.send(stream, greeting).await;
        let mut buffer = vec![0; CHUNK];
        loop {
            match self.read(stream, &mut buffer, &mut ending).await? {
                None => return self.end(By::Shutdown, written),
                Some(0) => return self.end(By::Client, written),
                // A client that takes no more may have sent its last words before: they are still read.
                Some(n) if written.is_ok() => written = self.send(stream, &buffer[..n]).await,
                Some(_) => {}
            }
        }
    }

    /// Reads only.
    async fn listen(&self, stream: &mut Stream, mut ending: Ending<'_, impl Future<Output = ()>>) -> Result<End, End> {
        // Made when it is needed: who discards from the first byte on needs none.
        let mut buffer = Vec::new();
        loop {
            #[cfg(target_os = "linux")]
            if let (true, Some(tcp)) = (self.tap.is_done(), stream.bare_tcp()) {
                drop(buffer);
                let by = forget(tcp, stream.traffic(), &mut ending).await;
                return by.map(|by| End::done(by, self.progress.phase())).map_err(|error| self.failure(&error));
            }
            buffer.resize(CHUNK, 0);
            match self.read(stream, &mut buffer, &mut ending).await? {
                None => return self.end(By::Shutdown, Ok(())),
                Some(0) => return self.end(By::Client, Ok(())),
                Some(_) => {}
            }
        }
    }

    /// Reads and writes independently: neither waits for the other.
    async fn both_ways(
        &self,
        stream: &mut Stream,
        greeting: &[u8],
        reply: Option<&Bytes>,
        mut ending: Ending<'_, impl Future<Output = ()>>,
    ) -> Result<End, End> {
        let (mut from, mut to) = split(stream);
        let (arrived, first) = oneshot::channel();
        let reading = async move {
            let (mut arrived, mut buffer) = (Some(arrived), vec![0; CHUNK]);
            loop {
                // What was not asked for by then is not owed: `arrived` is dropped.
                let Some(n) = self.read(&mut from, &mut buffer, &mut ending).await? else { return Ok(By::Shutdown) };
                if let Some(arrived) = arrived.take() {
                    // There may be no reply to wait for it.
                    let _ = arrived.send(());
                }
                if n == 0 {
                    return Ok(By::Client);
                }
            }
        };
        let writing = async {
            self.send(&mut to, greeting).await?;
            if let Some(reply) = reply
                && first.await.is_ok()
            {
                self.send(&mut to, reply).await?;
                to.shutdown().await?;
                self.progress.enter(Phase::HalfClose);
            }
            Ok(())
        };
        let (mut reading, mut writing) = (pin!(reading), pin!(writing));
        let mut written = None;
        let by = loop {
            tokio::select! {
                result = &mut writing, if written.is_none() => written = Some(result),
                by = &mut reading => break by?,
            }
        };
        // A client that has ended its side still gets all that it is owed.
        let written = match written {
            Some(written) => written,
            None => writing.await,
        };
        self.end(by, written)
    }
}

#[cfg(target_os = "linux")]
thread_local! {
    /// Only its length counts, and system calls want to write to it: one for all connections of a thread.
    static NOWHERE: RefCell<Vec<u8>> = RefCell::new(vec![0; 1024 * 1024]);
}

/// Reads to the end without seeing a byte: with MSG_TRUNC the kernel drops what has arrived and copies nothing, tcp(7).
#[cfg(target_os = "linux")]
async fn forget(
    tcp: &tokio::net::TcpStream,
    traffic: &crate::event::Traffic,
    ending: &mut Ending<'_, impl Future<Output = ()>>,
) -> io::Result<By> {
    use rustix::net::{RecvFlags, recv};
    let drop = || {
        let (_, dropped) = NOWHERE.with_borrow_mut(|nowhere| recv(tcp, &mut nowhere[..], RecvFlags::TRUNC))?;
        Ok(dropped)
    };
    loop {
        match ending.or(tcp.async_io(tokio::io::Interest::READABLE, drop)).await? {
            None => return Ok(By::Shutdown),
            Some(0) => return Ok(By::Client),
            Some(n) => traffic.add_received(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn once_the_end_is_asked_for_what_is_there_is_read_and_no_more_than_that() {
        let megabyte = || async { Ok(1 << 20) };
        let mut ending = Ending { asked: pin!(pending()), left: None };
        for _ in 0..100 {
            assert_eq!(ending.or(megabyte()).await.unwrap(), Some(1 << 20));
        }
        let mut ending = Ending { asked: pin!(ready(())), left: None };
        let mut read = 0;
        while let Some(n) = ending.or(megabyte()).await.unwrap() {
            read += n;
        }
        assert_eq!(read, LAST);
        let mut ending = Ending { asked: pin!(ready(())), left: None };
        assert_eq!(ending.or(megabyte()).await.unwrap(), Some(1 << 20));
        assert_eq!(ending.or(pending()).await.unwrap(), None);
    }
}
