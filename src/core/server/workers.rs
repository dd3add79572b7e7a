//! The event loops that connections are served on: one for each thread, each with sockets, timers and buffers of its own.

use crate::event::{Event, Events};
use std::{
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::sync_channel,
    },
    thread,
};
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The event loop of the calling thread and those of the threads beside it, which end with this.
pub(crate) struct Workers {
    workers: Vec<Worker>,
    _stop: DropGuard,
}

struct Worker {
    events: Handle,
    open: Arc<AtomicUsize>,
}

/// A connection's place on a thread; it counts there until this is dropped.
pub(crate) struct Place {
    pub(crate) events: Handle,
    open: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Relaxed);
    }
}

impl Workers {
    /// Starts the threads that are missing to so many. An error is said and leaves fewer of them: never less than the caller's
    /// own.
    pub(crate) fn start(threads: NonZeroUsize, events: &Events) -> Self {
        let stop = CancellationToken::new();
        let mut workers = vec![Worker { events: Handle::current(), open: Arc::default() }];
        for number in 1..threads.get() {
            match start(thread::Builder::new().name(format!("worker-{number}")), stop.clone()) {
                Ok(events) => workers.push(Worker { events, open: Arc::default() }),
                Err(error) => {
                    events.emit(Event::Note { text: format!("serving on fewer threads than asked for: {error}") });
                    break;
                }
            }
        }
        Self { workers, _stop: stop.drop_guard() }
    }

    /// The thread with the fewest connections, the caller's own among equals. The kernel's way of spreading connections
    /// (SO_REUSEPORT) is a hash: of a few long connections it puts most on one thread.
    pub(crate) fn place(&self) -> Place {
        let least = self.workers.iter().min_by_key(|worker| worker.open.load(Relaxed));
        let worker = least.unwrap_or(&self.workers[0]);
        worker.open.fetch_add(1, Relaxed);
        Place { events: worker.events.clone(), open: worker.open.clone() }
    }
}

/// An event loop on a thread of its own, which ends when it is told to.
///
/// # Errors
/// There is no thread to be had, or no descriptor.
pub(crate) fn start(thread: thread::Builder, stop: CancellationToken) -> io::Result<Handle> {
    let (said_ready, ready) = sync_channel(1);
    thread.spawn(move || {
        // Made where it ends: a runtime that is dropped within another one panics, and the thread may not start.
        let runtime = match Builder::new_current_thread().enable_io().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(said_ready.send(Err(error))),
        };
        // The caller waits for it.
        let _ = said_ready.send(Ok(runtime.handle().clone()));
        runtime.block_on(stop.cancelled());
        // A resolver that still waits must not hold the end up.
        runtime.shutdown_background();
    })?;
    ready.recv().unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_cannot_be_started_is_an_error_and_no_more() {
        // No address space has room for such a stack.
        let thread = thread::Builder::new().stack_size(1 << 50);
        start(thread, CancellationToken::new()).unwrap_err();
    }
}
