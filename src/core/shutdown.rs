//! How serving ends: first drain, then abort.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};
use tokio_util::sync::CancellationToken;

/// Two steps down. Draining: no new connection is accepted and those that live may end by themselves. Aborting:
/// those that are left are reset. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    abort: CancellationToken,
    reason: Arc<Reason>,
}

/// Why aborting began, here or at the stage above.
#[derive(Debug, Default)]
struct Reason {
    own: OnceLock<&'static str>,
    above: Option<Arc<Reason>>,
}

impl Reason {
    fn get(&self) -> Option<&'static str> {
        self.own.get().copied().or_else(|| self.above.as_ref()?.get())
    }
}

impl Shutdown {
    /// Neither draining nor aborting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to drain.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends everything that is left, at once. The first reason is the one that is told.
    pub fn abort(&self, why: &'static str) {
        if self.reason.get().is_none() {
            self.reason.own.get_or_init(|| why);
        }
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Waits until draining begins.
    pub fn draining(&self) -> impl Future<Output = ()> + '_ {
        self.drain.cancelled()
    }

    /// Waits until aborting begins.
    pub fn aborting(&self) -> impl Future<Output = ()> + '_ {
        self.abort.cancelled()
    }

    /// Why aborting began.
    #[must_use]
    pub fn why(&self) -> &'static str {
        self.reason.get().unwrap_or("aborted")
    }

    /// A second stage that drains and aborts with this one but can also be ended alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let reason = Arc::new(Reason { own: OnceLock::new(), above: Some(self.reason.clone()) });
        Self { drain: self.drain.child_token(), abort: self.abort.child_token(), reason }
    }

    /// What `work` comes to, or nothing where draining begins first.
    pub async fn unless_draining<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.drain.run_until_cancelled(work).await
    }
}

/// The signals that ask a program to end, caught from [`Signals::install`] on.
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Catches SIGINT and SIGTERM (on other systems than Unix, Ctrl-C).
    ///
    /// # Errors
    /// The handlers could not be installed.
    #[cfg(unix)]
    pub fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    pub fn install() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// A signal drains; one that comes while draining, for whatever reason that began, aborts.
    pub async fn drive(mut self, shutdown: &Shutdown) {
        while self.caught().await {
            if shutdown.is_draining() { shutdown.abort("a signal while draining") } else { shutdown.drain() }
        }
    }

    #[cfg(unix)]
    async fn caught(&mut self) -> bool {
        tokio::select! { got = self.interrupt.recv() => got.is_some(), got = self.terminate.recv() => got.is_some() }
    }

    #[cfg(not(unix))]
    async fn caught(&mut self) -> bool {
        tokio::signal::ctrl_c().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_is_ended_alone_gives_the_one_above_no_reason() {
        let above = Shutdown::new();
        let (alone, other) = (above.child(), above.child());
        alone.abort("the grace was over");
        assert_eq!((alone.why(), other.why(), above.why()), ("the grace was over", "aborted", "aborted"));
        above.abort("stdout was closed");
        other.abort("too late");
        assert_eq!((alone.why(), other.why(), above.why()), ("the grace was over", "stdout was closed", "stdout was closed"));
    }

    #[tokio::test]
    async fn what_would_never_end_ends_with_the_drain() {
        let shutdown = Shutdown::new();
        assert_eq!(shutdown.unless_draining(async { 1 }).await, Some(1));
        shutdown.drain();
        assert_eq!(shutdown.unless_draining(std::future::pending::<u8>()).await, None);
    }
}
