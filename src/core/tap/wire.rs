//! Watching a socket itself, below TLS, where nothing can wait but the next read or write.

use super::{Tap, Tapped, What, size};
use crate::{
    addr::Endpoint,
    event::{ConnId, is_gone},
    fault::Direction,
};
use bytes::Bytes;
use std::{
    io,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, ready},
    time::SystemTime,
};
use tokio_util::sync::PollSemaphore;

/// One socket's part of a tap.
///
/// What was read or written is told with the next operation on the socket, which waits for its room. So the secrets that
/// came of it go before it, as a reader needs them that reads once, and no more than one piece of a connection is held.
#[derive(Debug)]
pub(crate) struct WireTap {
    tapped: Tapped,
    room: PollSemaphore,
    held: Option<(Direction, Bytes, SystemTime)>,
}

impl WireTap {
    /// Watches the connection from `peer` to this process at `local`.
    pub(crate) fn new(tap: &Tap, id: ConnId, peer: &Endpoint, local: Endpoint) -> Self {
        let tapped = tap.open(id, peer.clone(), peer.clone(), local);
        Self { tapped, room: PollSemaphore::new(tap.room.clone()), held: None }
    }

    /// Ready where the next operation may be made: what is held was told.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((_, bytes, _)) = &self.held {
            let room = ready!(self.room.poll_acquire_many(cx, size(bytes)));
            self.tell(room);
        }
        Poll::Ready(())
    }

    fn tell(&mut self, room: Option<tokio::sync::OwnedSemaphorePermit>) {
        if let Some((direction, bytes, at)) = self.held.take() {
            self.tapped.tap.put_at(at, self.tapped.id, What::Bytes(direction, bytes), room);
        }
    }

    /// Holds bytes that have passed, after [`WireTap::poll_ready`] was ready.
    pub(crate) fn passed(&mut self, direction: Direction, bytes: Bytes) {
        self.held = (!bytes.is_empty()).then(|| (direction, bytes, SystemTime::now()));
    }

    /// A direction has ended; nothing of it is held.
    pub(crate) fn ended(&self, direction: Direction) {
        if !self.tapped.ended[direction as usize].load(Relaxed) {
            self.tapped.end(direction);
        }
    }

    /// The socket failed.
    pub(crate) fn failed(&self, error: &io::Error) {
        if is_gone(error) {
            self.tapped.blame_client();
        }
    }

    /// The socket is closed, without a reset where its writing side was `shut`.
    pub(crate) fn closed(mut self, shut: bool) {
        // Nothing can wait any more; it is one piece of a connection that settles.
        self.tell(None);
        if shut && !self.tapped.by_client.load(Relaxed) {
            // The client may not have ended: nobody knows what it does from here on.
            self.tapped.ended.iter().for_each(|ended| ended.store(true, Relaxed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EACH, ROOM, tap};
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn secrets_go_before_the_bytes_that_they_came_of_and_a_full_queue_stops_the_next_operation() {
        let (tap, mut watcher) = tap();
        let mut wire = WireTap::new(&tap, ConnId(1), &Endpoint::Unix(None), Endpoint::Unix(None));
        poll_fn(|cx| wire.poll_ready(cx)).await;
        wire.passed(Direction::Up, Bytes::from(vec![7; ROOM - EACH]));
        tap.secrets(Bytes::from_static(b"CLIENT_RANDOM 00 00\n"));
        assert!(matches!(watcher.next().await.unwrap().what, What::Opened { .. }));
        let secrets = watcher.next().await.unwrap();
        assert!(matches!(&secrets.what, What::Secrets(line) if line.starts_with(b"CLIENT_RANDOM")));
        // The line takes some of the room, and the bytes would take all.
        assert!(poll_once(&mut wire).await.is_pending());
        drop(secrets);
        assert!(poll_once(&mut wire).await.is_ready());
        let bytes = watcher.next().await.unwrap();
        assert!(matches!(&bytes.what, What::Bytes(Direction::Up, bytes) if bytes.len() == ROOM - EACH));
        // Its room is not given back: the next piece is held, and is there all the same at the end.
        wire.passed(Direction::Down, Bytes::from_static(b"answer"));
        assert!(poll_once(&mut wire).await.is_pending());
        wire.closed(true);
        assert!(matches!(&watcher.next().await.unwrap().what, What::Bytes(Direction::Down, bytes) if bytes == "answer"));
        assert!(matches!(watcher.next().await.unwrap().what, What::Closed));
    }

    #[tokio::test]
    async fn a_socket_that_is_closed_unshut_or_fails_is_reset_by_who_did_it() {
        for (shut, error, reset) in [
            (false, None, Some(false)),
            (false, Some(io::ErrorKind::ConnectionReset), Some(true)),
            (true, Some(io::ErrorKind::ConnectionReset), Some(true)),
            (true, None, None),
        ] {
            let (tap, mut watcher) = tap();
            let wire = WireTap::new(&tap, ConnId(1), &Endpoint::Unix(None), Endpoint::Unix(None));
            if let Some(kind) = error {
                wire.failed(&kind.into());
            }
            wire.closed(shut);
            assert!(matches!(watcher.next().await.unwrap().what, What::Opened { .. }));
            let told = match watcher.next().await.unwrap().what {
                What::Reset { by_client } => Some(by_client),
                What::Closed => None,
                other => panic!("{other:?}"),
            };
            assert_eq!(told, reset, "shut: {shut}, {error:?}");
        }
    }

    async fn poll_once(wire: &mut WireTap) -> Poll<()> {
        poll_fn(|cx| Poll::Ready(wire.poll_ready(cx))).await
    }
}
