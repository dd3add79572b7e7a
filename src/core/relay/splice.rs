//! The Linux fast path for bulk data: splice(2) moves pages from socket to pipe to socket, and no byte enters this process.

use super::{Failed, leg::Leg};
use crate::{descriptors, event::Progress};
use rustix::{
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice},
};
use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::io::Interest;

/// Never SPLICE_F_MORE: it holds small messages back for 200 ms (golang/go#10948).
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
/// From so many bytes at once on, splicing is cheaper than copying.
const BULK: usize = 16 * 1024;
/// What a pipe is asked to hold: the most that anyone may ask for, pipe(7). Measured with 8 connections, 256 KiB cost a
/// third more CPU for each byte and 512 KiB an eighth more: larger pieces leave in fewer segments.
const PIPE: usize = 1024 * 1024;
/// What a pipe holds unless more is asked for, pipe(7).
const USUAL: usize = 64 * 1024;
/// Pipes kept for reuse by each thread; making one costs as much as several small transfers. What they may hold counts
/// against what a user's pipes may, 64 MiB in all without privilege, pipe(7).
const SPARE: usize = 16;
/// What part of the limit on descriptors the pipes of all threads, two descriptors each, may hold before none is kept any
/// more: under a low limit, connections need them more.
const SHARE: u64 = 16;

/// A transfer of bulk data in one direction.
#[derive(Default)]
pub(super) struct Burst {
    on: bool,
    /// The last wake-up brought nothing to splice.
    dry: bool,
    /// The pipe with the bytes that are on their way, and how many. It is held only while there are some: an idle
    /// connection costs its two sockets.
    full: Option<(Pipe, usize)>,
}

impl Burst {
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Splices from here on where so many bytes were copied at once.
    pub(super) fn start_after(&mut self, copied: usize) {
        self.on = copied >= BULK;
    }

    /// Moves what comes from `from` to `to` while it comes in large pieces. Completes when copying is the better way again,
    /// or the only one: at the end, which only recv(2) tells for sure, and where there is no pipe to be had.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, from: Leg<'_>, to: Leg<'_>, progress: &Progress) -> Poll<Result<(), Failed>> {
        loop {
            while let Some((pipe, left)) = &mut self.full {
                // Never more than what is in the pipe: the kernel would take the rest for MSG_MORE and hold the segment
                // back. A failure drops the pipe with its bytes: there is nobody left to have them.
                match to.tcp.try_io(Interest::WRITABLE, || retried(|| splice(&pipe.read, None, to.tcp, None, *left, FLAGS))) {
                    Ok(0) => return Poll::Ready(Err(Failed::write(io::ErrorKind::WriteZero.into()))),
                    Ok(n) => {
                        to.traffic.add_sent(n);
                        *left -= n;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(to.tcp.poll_write_ready(cx)).map_err(Failed::write)?;
                    }
                    Err(error) => return Poll::Ready(Err(Failed::write(error))),
                }
                if *left == 0
                    && let Some((pipe, _)) = self.full.take()
                {
                    pipe.give_back();
                }
            }
            if !self.on {
                return Poll::Ready(Ok(()));
            }
            // This also lets other connections have their turn: it is not always ready when the socket is (tokio's coop).
            ready!(from.tcp.poll_read_ready(cx)).map_err(Failed::read)?;
            let Some(pipe) = Pipe::take() else {
                self.on = false;
                return Poll::Ready(Ok(()));
            };
            // splice(2) stops before urgent data: with EAGAIN, and behind a FIN with 0, although there is more. What wakes
            // this task twice for nothing is left to recv(2), and so is every 0; it stays ready for that.
            let spliced =
                from.tcp.try_io(Interest::READABLE, || match retried(|| splice(from.tcp, None, &pipe.write, None, PIPE, FLAGS)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.dry => Ok(0),
                    result => result,
                });
            // Only an empty pipe is filled, so that EAGAIN means that the socket has nothing, never that the pipe is full.
            match spliced {
                Ok(0) => {
                    pipe.give_back();
                    (self.on, self.dry) = (false, false);
                    return Poll::Ready(Ok(()));
                }
                Ok(n) => {
                    from.traffic.add_received(n);
                    progress.set_spliced();
                    self.full = Some((pipe, n));
                    (self.on, self.dry) = (n >= BULK, false);
                }
                Err(error) => {
                    pipe.give_back();
                    if error.kind() != io::ErrorKind::WouldBlock {
                        return Poll::Ready(Err(Failed::read(error)));
                    }
                    self.dry = true;
                }
            }
        }
    }
}

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// The pipes of the process, in use or spare.
static PIPES: AtomicUsize = AtomicUsize::new(0);

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
        // Without the right to so much the usual 64 KiB do. A user who has many pipes gets small ones, pipe(7), which are
        // slower than copying.
        if fcntl_setpipe_size(&write, PIPE).is_err() && fcntl_getpipe_size(&write).ok()? < USUAL {
            return None;
        }
        PIPES.fetch_add(1, Relaxed);
        Some(Self { read, write })
    }

    /// Keeps an empty pipe for the next transfer. One with bytes in it is dropped instead, never given back.
    fn give_back(self) {
        static MOST: OnceLock<usize> = OnceLock::new();
        let most = *MOST.get_or_init(|| descriptors::limit().map_or(usize::MAX, |limit| (limit / SHARE / 2) as usize));
        POOL.with_borrow_mut(|pool| {
            if pool.len() < SPARE && PIPES.load(Relaxed) <= most {
                pool.push(self);
            }
        });
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        PIPES.fetch_sub(1, Relaxed);
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
