//! Watching bytes: what passes at the client's side, as values in a queue. Nothing is dropped: whoever puts bytes in waits
//! where too many are not taken out.

mod wire;

pub(crate) use wire::WireTap;

use crate::{addr::Endpoint, event::ConnId, fault::Direction};
use bytes::Bytes;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::SystemTime,
};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

/// Bytes of all connections that wait to be taken out, at most: with more, their connections wait. What else is put in
/// takes no room: a connection settles before it ends, so that only a few such things of each wait. Secrets take what room
/// there is, and their sessions do not begin without any.
const ROOM: usize = 4 << 20;
/// What bytes take up beside themselves: their place in the queue and their share of an allocation.
const EACH: usize = size_of::<Seen>() + 64;

/// Something that was seen of a connection.
#[derive(Debug)]
pub struct Seen {
    /// The connection.
    pub id: ConnId,
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: What,
    /// The room that it takes up until it is dropped.
    _room: Option<OwnedSemaphorePermit>,
}

/// What was seen.
#[derive(Debug)]
pub enum What {
    /// It is relayed, or where its socket is watched served, from here on.
    Opened { peer: Endpoint, client: Endpoint, target: Endpoint },
    /// Bytes passed at the client's side: decrypted ones where TLS was terminated there, and those before TLS to the target.
    /// Where the socket is watched, those on the wire.
    Bytes(Direction, Bytes),
    /// A line of a key log with its end: what it takes to decrypt bytes that come after it. It tells itself, by the random
    /// of its hello, which connection it is of.
    Secrets(Bytes),
    /// A direction ended, after all of its bytes.
    Ended(Direction),
    /// It was reset: by the client, or towards it.
    Reset { by_client: bool },
    /// It is over: nothing more comes of it.
    Closed,
    /// Someone waits until everything before this was handled, which is told by dropping it.
    Settle(oneshot::Sender<()>),
    /// Nothing more comes.
    Last,
}

/// Where what is seen goes. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Tap {
    queue: UnboundedSender<Seen>,
    room: Arc<Semaphore>,
}

/// The other end of a [`Tap`].
#[derive(Debug)]
pub struct Watcher {
    queue: UnboundedReceiver<Seen>,
    room: Arc<Semaphore>,
    done: bool,
}

/// One connection's part of a tap. Dropped before both directions have ended, it tells of a reset.
#[derive(Debug)]
pub(crate) struct Tapped {
    tap: Tap,
    id: ConnId,
    ended: [AtomicBool; 2],
    by_client: AtomicBool,
}

/// A queue for what is seen.
#[must_use]
pub fn tap() -> (Tap, Watcher) {
    let (send, receive) = unbounded_channel();
    let room = Arc::new(Semaphore::new(ROOM));
    (Tap { queue: send, room: room.clone() }, Watcher { queue: receive, room, done: false })
}

impl Tap {
    /// Says that nothing more comes.
    pub fn finish(&self) {
        self.put(ConnId(0), What::Last, None);
    }

    fn put(&self, id: ConnId, what: What, room: Option<OwnedSemaphorePermit>) {
        self.put_at(SystemTime::now(), id, what, room);
    }

    fn put_at(&self, at: SystemTime, id: ConnId, what: What, room: Option<OwnedSemaphorePermit>) {
        // Where nobody watches any more, nobody is to be told.
        let _ = self.queue.send(Seen { id, at, what, _room: room });
    }

    /// Waits until there is room for anything.
    pub(crate) async fn room(&self) {
        // It fails where nobody watches any more, and then nothing waits.
        let _ = self.room.acquire().await;
    }

    /// A line of a key log. It does not wait: [`Tap::room`] does, before each session.
    pub(crate) fn secrets(&self, line: Bytes) {
        let room = self.room.clone().try_acquire_many_owned(size(&line)).ok();
        self.put(ConnId(0), What::Secrets(line), room);
    }

    /// Waits until everything of a connection so far was handled.
    pub(crate) async fn settle(&self, id: ConnId) {
        let (dropped, settled) = oneshot::channel();
        self.put(id, What::Settle(dropped), None);
        // Dropped, as it always is.
        let _ = settled.await;
    }

    pub(crate) fn open(&self, id: ConnId, peer: Endpoint, client: Endpoint, target: Endpoint) -> Tapped {
        self.put(id, What::Opened { peer, client, target }, None);
        Tapped { tap: self.clone(), id, ended: Default::default(), by_client: AtomicBool::new(false) }
    }
}

/// The room that bytes take up.
fn size(bytes: &Bytes) -> u32 {
    u32::try_from((bytes.len() + EACH).min(ROOM)).unwrap_or(u32::MAX)
}

impl Watcher {
    /// What was seen next; `None` after the last.
    pub async fn next(&mut self) -> Option<Seen> {
        if self.done {
            return None;
        }
        let seen = self.queue.recv().await;
        self.unless_last(seen)
    }

    /// The same, where it is there already.
    pub fn ready(&mut self) -> Option<Seen> {
        let seen = self.queue.try_recv().ok();
        self.unless_last(seen)
    }

    fn unless_last(&mut self, seen: Option<Seen>) -> Option<Seen> {
        self.done |= seen.as_ref().is_some_and(|seen| matches!(seen.what, What::Last));
        seen.filter(|_| !self.done)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Connections must not wait for a watcher that has gone.
        self.room.close();
    }
}

impl Tapped {
    /// Waits for room.
    pub(crate) async fn bytes(&self, direction: Direction, bytes: &Bytes) {
        if let Ok(room) = self.tap.room.clone().acquire_many_owned(size(bytes)).await {
            self.tap.put(self.id, What::Bytes(direction, bytes.clone()), Some(room));
        }
    }

    pub(crate) fn end(&self, direction: Direction) {
        self.ended[direction as usize].store(true, Relaxed);
        self.tap.put(self.id, What::Ended(direction), None);
    }

    /// Waits until everything so far was handled.
    pub(crate) async fn settle(&self) {
        self.tap.settle(self.id).await;
    }

    /// The client is to blame for the end.
    pub(crate) fn blame_client(&self) {
        self.by_client.store(true, Relaxed);
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        if !self.ended.iter().all(|ended| ended.load(Relaxed)) {
            self.tap.put(self.id, What::Reset { by_client: self.by_client.load(Relaxed) }, None);
        }
        self.tap.put(self.id, What::Closed, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_waits_until_something_is_taken_out_or_nobody_watches() {
        let (tap, mut watcher) = tap();
        let connection = tap.open(ConnId(1), Endpoint::Unix(None), Endpoint::Unix(None), Endpoint::Unix(None));
        // As much as makes four fill it.
        let megabyte = Bytes::from(vec![0; ROOM / 4 - EACH]);
        for _ in 0..4 {
            connection.bytes(Direction::Up, &megabyte).await;
        }
        {
            let mut fifth = std::pin::pin!(connection.bytes(Direction::Up, &megabyte));
            assert!(asked_once(fifth.as_mut()).await.is_none());
            assert!(matches!(watcher.next().await.unwrap().what, What::Opened { .. }));
            drop(watcher.next().await);
            fifth.await;
        }
        let sixth = connection.bytes(Direction::Up, &megabyte);
        drop(watcher);
        sixth.await;
    }

    #[tokio::test]
    async fn empty_pieces_take_up_room_too() {
        let (tap, _watcher) = tap();
        let connection = tap.open(ConnId(1), Endpoint::Unix(None), Endpoint::Unix(None), Endpoint::Unix(None));
        let empty = Bytes::new();
        for _ in 0..ROOM / EACH {
            connection.bytes(Direction::Up, &empty).await;
        }
        assert!(asked_once(std::pin::pin!(connection.bytes(Direction::Up, &empty))).await.is_none());
    }

    /// What a future comes to when it is asked once.
    async fn asked_once<T>(mut future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match future.as_mut().poll(cx) {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
