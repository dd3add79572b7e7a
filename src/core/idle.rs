//! The one coarse timer of a connection.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Completes when `count` has not changed for as long as `limit` says at that moment; `None` means for ever. It looks
/// four times in `shortest`, the shortest limit that can hold, so that it ends up to a quarter late, and it never
/// touches the path of the bytes.
pub async fn silence(shortest: Duration, limit: impl Fn() -> Option<Duration>, count: impl Fn() -> u64) {
    let tick = (shortest / 4).max(Duration::from_millis(1));
    let (mut seen, mut since) = (count(), Instant::now());
    loop {
        sleep(tick).await;
        let now = count();
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if limit().is_some_and(|limit| since.elapsed() + tick / 2 >= limit) {
            return;
        }
    }
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
        assert!((450..=475).contains(&ended), "{ended}");
    }
}
