//! The one coarse timer of a connection.

use pin_project_lite::pin_project;
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

pin_project! {
    /// Watches a counter for standing still. It looks four times in the shortest limit that can hold and never touches the
    /// path of the bytes: it ends up to a quarter of that limit late, never early.
    pub struct Silence {
        tick: Duration,
        seen: u64,
        since: Instant,
        #[pin]
        sleep: Sleep,
    }
}

impl Silence {
    /// Starts at `count`.
    #[must_use]
    pub fn new(shortest: Duration, count: u64) -> Self {
        let tick = (shortest / 4).max(Duration::from_millis(1));
        Self { tick, seen: count, since: Instant::now(), sleep: sleep(tick) }
    }

    /// Completes when `count` has not changed for as long as `limit` says at that moment; `None` means for ever.
    pub fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, limit: impl Fn() -> Option<Duration>, count: impl Fn() -> u64) -> Poll<()> {
        let mut this = self.project();
        loop {
            ready!(this.sleep.as_mut().poll(cx));
            let (at, now) = (Instant::now(), count());
            if now != *this.seen {
                (*this.seen, *this.since) = (now, at);
            }
            let left = limit().map_or(*this.tick, |limit| limit.saturating_sub(at - *this.since));
            if left.is_zero() {
                return Poll::Ready(());
            }
            this.sleep.as_mut().reset(at + left.min(*this.tick));
        }
    }
}

/// Completes as [`Silence::poll`] does.
pub async fn silence(shortest: Duration, limit: impl Fn() -> Option<Duration>, count: impl Fn() -> u64) {
    let mut silence = pin!(Silence::new(shortest, count()));
    poll_fn(|cx| silence.as_mut().poll(cx, &limit, &count)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    #[tokio::test(start_paused = true)]
    async fn any_change_starts_the_limit_anew() {
        let limit = Duration::from_mins(1);
        let (count, started) = (AtomicU64::new(0), Instant::now());
        let traffic = async {
            for _ in 0..10 {
                sleep(Duration::from_secs(40)).await;
                count.fetch_add(1, Relaxed);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = silence(limit, || Some(limit), || count.load(Relaxed)) => {}
            () = traffic => {}
        }
        let ended = started.elapsed().as_secs();
        assert!((460..=475).contains(&ended), "{ended}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_never_early_whichever_limit_holds() {
        for limit in [4000, 4001, 4499, 4500, 4999, 60_000].map(Duration::from_millis) {
            let started = Instant::now();
            silence(Duration::from_secs(4), || Some(limit), || 0).await;
            assert!((limit..=limit + Duration::from_secs(1)).contains(&started.elapsed()), "{limit:?} {:?}", started.elapsed());
        }
    }
}
