//! Ending the connections of one backend, all at once.

use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};
use tokio::sync::{Notify, futures::OwnedNotified};

/// Whoever waits for the connections of a backend to be cut off.
#[derive(Debug, Default)]
pub(super) struct Cuts(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    count: AtomicUsize,
    notify: Arc<Notify>,
}

impl Cuts {
    /// How often it was done.
    pub(super) fn count(&self) -> usize {
        self.0.count.load(SeqCst)
    }

    pub(super) fn cut(&self) {
        self.0.count.fetch_add(1, SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Completes when it is done once more than `count` times.
    pub(super) fn since(&self, count: usize) -> Cut {
        Cut { notified: self.0.notify.clone().notified_owned(), waiting: self.0.clone(), count, waker: None }
    }
}

pin_project! {
    /// Completes when the connections of a backend are cut off.
    ///
    /// A connection polls this each time that it reads or writes: but for the first time, that takes no lock.
    pub struct Cut {
        #[pin]
        notified: OwnedNotified,
        waiting: Arc<Waiting>,
        count: usize,
        waker: Option<Waker>,
    }
}

impl Future for Cut {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.waiting.count.load(SeqCst) != *this.count {
            return Poll::Ready(());
        }
        // Whoever is registered is woken, and then sees the count.
        if this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        *this.waker = Some(cx.waker().clone());
        // What was cut off between the two looks is noticed here: the waiting began when this was made.
        this.notified.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{pin::pin, task::Context};

    #[tokio::test]
    async fn who_waits_is_told_and_who_came_before_the_wait_too() {
        let cuts = Cuts::default();
        let early = cuts.count();
        let (mut waiting, mut cx) = (pin!(cuts.since(early)), Context::from_waker(Waker::noop()));
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        let task = tokio::spawn(cuts.since(early));
        tokio::task::yield_now().await;
        cuts.cut();
        task.await.unwrap();
        assert!(waiting.as_mut().poll(&mut cx).is_ready());
        cuts.since(early).await;
        assert!(pin!(cuts.since(cuts.count())).poll(&mut cx).is_pending());
    }
}
