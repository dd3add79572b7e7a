//! One session: its inbox, its answers and its end.

use super::socket::{Ends, Socket};
use crate::{
    addr::Endpoint,
    event::{By, ConnId, End, Event, Events, Phase, Progress, Traffic},
    idle::silence,
    shutdown::Shutdown,
};
use bytes::Bytes;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{self, error::TrySendError},
};

/// What a datagram that waits takes up at least.
const LEAST: usize = 256;
/// Once the end was asked for, a session that is silent for this long has said what it had to say.
const QUIET: Duration = Duration::from_millis(500);

/// The datagrams of one client address.
pub struct Session {
    /// Its number, from 1.
    pub id: ConnId,
    /// The client.
    pub peer: Endpoint,
    /// What happens in it goes here.
    pub events: Events,
    /// The end of the program.
    pub shutdown: Shutdown,
    /// What it has come to, for the report of its end.
    pub progress: Arc<Progress>,
    pub(super) inbox: mpsc::Receiver<Waiting>,
    /// That of the datagram that the handler has.
    pub(super) room: Option<OwnedSemaphorePermit>,
    pub(super) socket: Arc<Socket>,
    pub(super) ends: Ends,
    pub(super) counts: Arc<Counts>,
}

/// A datagram that waits for its session, and the room that it takes up.
pub(super) struct Waiting {
    datagram: Bytes,
    room: OwnedSemaphorePermit,
}

/// What a session has come to.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) traffic: Arc<Traffic>,
    /// Datagrams in both directions: empty ones are no bytes.
    passed: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) too_long: AtomicU64,
}

impl Session {
    /// The next datagram of the client. It takes up room until this is called again.
    pub async fn receive(&mut self) -> Bytes {
        self.room = None;
        match self.inbox.recv().await {
            Some(Waiting { datagram, room }) => {
                self.room = Some(room);
                datagram
            }
            // The sender lives as long as the session.
            None => std::future::pending().await,
        }
    }

    /// What the client sends to; `None` where every address is listened on and the system does not say which one it was.
    #[must_use]
    pub fn destination(&self) -> Option<Endpoint> {
        let bound = self.socket.local_addr().ok()?;
        let ip = self.ends.local.unwrap_or_else(|| bound.ip());
        (!ip.is_unspecified()).then(|| Endpoint::tcp((ip, bound.port()).into()))
    }

    /// Sends a datagram to the client; false where it is longer than the way allows, so that it is lost.
    ///
    /// # Errors
    /// This machine could not send it. Whether it arrives nobody learns.
    pub async fn reply(&self, datagram: &[u8]) -> io::Result<bool> {
        self.count(self.socket.send(datagram, self.ends).await)
    }

    /// The same at once, or `WouldBlock`.
    pub(super) fn try_reply(&self, datagram: &[u8]) -> io::Result<bool> {
        self.count(self.socket.try_send(datagram, self.ends))
    }

    fn count(&self, sent: io::Result<usize>) -> io::Result<bool> {
        match sent {
            Ok(bytes) => {
                self.counts.traffic.add_sent(bytes);
                self.counts.passed.fetch_add(1, Relaxed);
                Ok(true)
            }
            Err(error) if is_too_long(&error) => {
                self.counts.too_long.fetch_add(1, Relaxed);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Completes when nothing has passed for as long as `idle` says, or for a moment after the end was asked for: a
    /// session has no other end.
    pub fn over(&self, idle: Option<Duration>) -> impl Future<Output = End> + Send + use<> {
        let (counts, shutdown) = (self.counts.clone(), self.shutdown.clone());
        async move {
            let count = || counts.passed.load(Relaxed);
            let idle_for = async {
                match idle {
                    Some(idle) => silence(idle, || Some(idle), count).await,
                    None => std::future::pending().await,
                }
            };
            let quiet = async {
                shutdown.draining().await;
                silence(QUIET, || Some(QUIET), count).await;
            };
            tokio::select! {
                () = idle_for => {
                    let why = format!("no datagram for {:?}", idle.unwrap_or_default());
                    End { why: why.into(), ..End::done(By::Timeout, Phase::Relay) }
                }
                () = quiet => End::done(By::Shutdown, Phase::Relay),
            }
        }
    }

    /// Takes no more, and says what was lost.
    pub(super) fn close(&mut self) {
        self.inbox.close();
        while self.inbox.try_recv().is_ok() {
            self.counts.lost.fetch_add(1, Relaxed);
        }
        for (count, why) in [
            (&self.counts.lost, "they came faster than they were taken, or too late"),
            (&self.counts.too_long, "they were longer than the way allows"),
        ] {
            let datagrams = count.load(Relaxed);
            if datagrams > 0 {
                self.events.emit(Event::Lost { id: Some(self.id), datagrams, why: why.into() });
            }
        }
    }
}

/// The way into a session.
pub(super) struct Inbox {
    pub(super) queue: mpsc::Sender<Waiting>,
    pub(super) counts: Arc<Counts>,
}

impl Inbox {
    /// False where the session has ended.
    pub(super) fn put(&self, datagram: &[u8], waiting: &Arc<Semaphore>) -> bool {
        let place = match self.queue.try_reserve() {
            Err(TrySendError::Closed(())) => return false,
            place => place.ok(),
        };
        let room = waiting.clone().try_acquire_many_owned(datagram.len().max(LEAST) as u32).ok();
        match place.zip(room) {
            Some((place, room)) => {
                place.send(Waiting { datagram: Bytes::copy_from_slice(datagram), room });
                self.counts.traffic.add_received(datagram.len());
                self.counts.passed.fetch_add(1, Relaxed);
            }
            None => _ = self.counts.lost.fetch_add(1, Relaxed),
        }
        true
    }
}

/// EMSGSIZE: a datagram is longer than the protocol or the way allows; nothing else is wrong with either.
pub(super) fn is_too_long(error: &io::Error) -> bool {
    #[cfg(unix)]
    let too_long = rustix::io::Errno::MSGSIZE.raw_os_error();
    #[cfg(not(unix))]
    let too_long = 10_040;
    error.raw_os_error() == Some(too_long)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_takes_up_room_until_it_was_taken() {
        let waiting = Arc::new(Semaphore::new(2000));
        let (queue, mut taken) = mpsc::channel(4);
        let inbox = Inbox { queue, counts: Arc::default() };
        let counted = || (inbox.counts.traffic.received(), inbox.counts.passed.load(Relaxed), inbox.counts.lost.load(Relaxed));
        for size in [1400, 500, 0, 0] {
            assert!(inbox.put(&vec![1; size], &waiting));
        }
        // Neither empty one had room: each takes up more than nothing.
        assert_eq!(counted(), (1900, 2, 2));
        drop(taken.try_recv().unwrap());
        for _ in 0..5 {
            assert!(inbox.put(b"x", &waiting));
        }
        assert_eq!(counted(), (1903, 5, 4));
        taken.close();
        assert!(!inbox.put(b"x", &waiting));
    }
}
