//! The Linux fast path: splice(2) moves pages from socket to pipe to socket, and no byte enters this process.

use super::{Failed, Half};
use crate::{
    descriptors,
    event::{Progress, Traffic},
};
use rustix::{
    io::Errno,
    net::{Shutdown, shutdown},
    pipe::{PipeFlags, SpliceFlags, pipe_with, splice},
};
use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::{io::Interest, net::TcpStream};

/// Never SPLICE_F_MORE: it holds small messages back for 200 ms (golang/go#10948).
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
/// More than a pipe holds: the pipe is the limit, 64 KiB unless it was resized, pipe(7).
const MOST: usize = 1 << 20;
/// Pipes kept for reuse by each thread; making one costs as much as several small transfers.
const SPARE: usize = 64;
/// What part of the limit on descriptors the spare pipes of a thread may hold: under a low one, connections need them more.
const SHARE: u64 = 64;

/// One side of a relay.
#[derive(Clone, Copy)]
pub(super) struct Leg<'a> {
    pub(super) tcp: &'a TcpStream,
    pub(super) traffic: &'a Traffic,
}

/// Moves what comes from `from` to `to` until the end of `from`, and passes that end on, unless `from` was cut.
pub(super) async fn half(from: Leg<'_>, to: Leg<'_>, cut: &AtomicBool, progress: &Progress) -> Half {
    loop {
        from.tcp.readable().await.map_err(Failed::read)?;
        // A pipe is held only while bytes are in flight: an idle connection costs its two sockets.
        let Some(pipe) = Pipe::take() else {
            if copy_once(from, to).await? {
                continue;
            }
            return end(to, cut);
        };
        // Only an empty pipe is filled, so that EAGAIN means that the socket has nothing, never that the pipe is full.
        let read = from.tcp.try_io(Interest::READABLE, || retried(|| splice(from.tcp, None, &pipe.write, None, MOST, FLAGS)));
        let mut left = match read {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                pipe.give_back();
                continue;
            }
            Err(error) => {
                pipe.give_back();
                return Err(Failed::read(error));
            }
        };
        if left == 0 {
            pipe.give_back();
            return end(to, cut);
        }
        from.traffic.add_received(left);
        while left > 0 {
            // Never more than what is in the pipe: the kernel would take the rest for MSG_MORE and hold the segment back.
            // A failure drops the pipe with its bytes: there is nobody left to have them.
            let written = to.tcp.async_io(Interest::WRITABLE, || retried(|| splice(&pipe.read, None, to.tcp, None, left, FLAGS))).await;
            let written = written.map_err(Failed::write)?;
            if written == 0 {
                return Err(Failed::write(io::ErrorKind::WriteZero.into()));
            }
            to.traffic.add_sent(written);
            left -= written;
        }
        progress.set_spliced();
        pipe.give_back();
    }
}

/// Completes when the connection is broken: by RST, or because the other side is gone. Its end alone does not break it.
pub(super) async fn lost(tcp: &TcpStream) -> io::Error {
    if let Err(error) = tcp.ready(Interest::ERROR).await {
        return error;
    }
    match tcp.take_error() {
        // What Linux calls a reset that comes after an end (tcp_reset). A write may have taken the error already.
        Ok(Some(error)) if error.kind() != io::ErrorKind::BrokenPipe => error,
        _ => io::ErrorKind::ConnectionReset.into(),
    }
}

fn end(to: Leg<'_>, cut: &AtomicBool) -> Half {
    if cut.load(Relaxed) {
        return Err(Failed::read(io::ErrorKind::ConnectionReset.into()));
    }
    match shutdown(to.tcp, Shutdown::Write) {
        // Not connected any more: nobody is left to be told.
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(error) => Err(Failed::write(error.into())),
    }
}

/// The way without a pipe, for when the process has no descriptor left for one. False at the end of `from`.
async fn copy_once(from: Leg<'_>, to: Leg<'_>) -> Result<bool, Failed> {
    let mut buffer = vec![0; 16 * 1024];
    let n = match from.tcp.try_read(&mut buffer) {
        Ok(n) => n,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
        Err(error) => return Err(Failed::read(error)),
    };
    from.traffic.add_received(n);
    write_all(to, &buffer[..n]).await?;
    Ok(n > 0)
}

/// Writes bytes that are in this process.
pub(super) async fn write_all(to: Leg<'_>, mut rest: &[u8]) -> Result<(), Failed> {
    while !rest.is_empty() {
        to.tcp.writable().await.map_err(Failed::write)?;
        match to.tcp.try_write(rest) {
            Ok(written) => {
                to.traffic.add_sent(written);
                rest = &rest[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Failed::write(error)),
        }
    }
    Ok(())
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

thread_local! {
    static POOL: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

impl Pipe {
    /// A spare pipe or a new one; none where the process may open no more.
    fn take() -> Option<Self> {
        if let Some(pipe) = POOL.with_borrow_mut(Vec::pop) {
            return Some(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        Some(Self { read, write })
    }

    /// Keeps an empty pipe for the next transfer. One with bytes in it is dropped instead, never given back.
    fn give_back(self) {
        static MOST: OnceLock<usize> = OnceLock::new();
        let most = *MOST.get_or_init(|| descriptors::limit().map_or(SPARE, |limit| SPARE.min((limit / SHARE) as usize)));
        POOL.with_borrow_mut(|pool| {
            if pool.len() < most {
                pool.push(self);
            }
        });
    }
}

fn retried(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result.map_err(io::Error::from),
        }
    }
}
