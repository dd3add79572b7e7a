//! How serving ends: first drain, then abort.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::Poll,
};
use tokio_util::sync::CancellationToken;

/// Two steps down. Draining: no new connection is accepted and those that live may end by themselves. Aborting:
/// those that are left are reset. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<Stages>);

/// Both steps in one place: each connection has a clone of its own.
#[derive(Debug, Default)]
struct Stages {
    drain: CancellationToken,
    abort: CancellationToken,
    /// Why aborting began here.
    reason: OnceLock<&'static str>,
    /// The stage above.
    above: Option<Shutdown>,
}

impl Shutdown {
    /// Neither draining nor aborting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody asks for the end: it drains, and aborts where it drains already, for whatever reason that began.
    pub fn signalled(&self) {
        if self.is_draining() { self.abort("a signal while draining") } else { self.drain() }
    }

    /// Begins to drain.
    pub fn drain(&self) {
        self.0.drain.cancel();
    }

    /// Ends everything that is left, at once. The first reason is the one that is told.
    pub fn abort(&self, why: &'static str) {
        if self.reason().is_none() {
            self.0.reason.get_or_init(|| why);
        }
        self.0.drain.cancel();
        self.0.abort.cancel();
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.drain.is_cancelled()
    }

    /// Waits until draining begins.
    pub fn draining(&self) -> impl Future<Output = ()> + '_ {
        self.0.drain.cancelled()
    }

    /// Waits until aborting begins.
    pub fn aborting(&self) -> impl Future<Output = ()> + '_ {
        self.0.abort.cancelled()
    }

    /// What `work` comes to, or nothing where aborting begins first. To be awaited in one task: who polled it first is woken.
    // Pinned by the caller: what is moved into a future and awaited there has room in it twice.
    pub(crate) async fn unless_aborting<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let mut aborting = pin!(self.aborting());
        let mut waiting = false;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            // Whoever waits already need not look again, which takes locks, before there is a reason: it is there first.
            if waiting && self.reason().is_none() {
                return Poll::Pending;
            }
            waiting = true;
            aborting.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// Why aborting began.
    #[must_use]
    pub fn why(&self) -> &'static str {
        self.reason().unwrap_or("aborted")
    }

    /// Why aborting began, here or at the stage above.
    fn reason(&self) -> Option<&'static str> {
        self.0.reason.get().copied().or_else(|| self.0.above.as_ref()?.reason())
    }

    /// A second stage that drains and aborts with this one but can also be ended alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let (drain, abort) = (self.0.drain.child_token(), self.0.abort.child_token());
        Self(Arc::new(Stages { drain, abort, reason: OnceLock::new(), above: Some(self.clone()) }))
    }

    /// What `work` comes to, or nothing where draining begins first.
    pub async fn unless_draining<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.drain.run_until_cancelled(work).await
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
            shutdown.signalled();
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
    #[tokio::test]
    async fn what_is_at_work_ends_with_an_abort_of_its_own_stage_or_of_the_one_above() {
        for of_its_own in [true, false] {
            let above = Shutdown::new();
            let stage = above.child();
            assert_eq!(stage.unless_aborting(pin!(async { 1 })).await, Some(1));
            let abort = async {
                // The work waits by then.
                tokio::task::yield_now().await;
                if of_its_own { stage.abort("now") } else { above.abort("now") }
            };
            let work = pin!(std::future::pending::<u8>());
            let (done, ()) = tokio::join!(stage.unless_aborting(work), abort);
            assert_eq!((done, stage.why()), (None, "now"));
            assert_eq!(stage.unless_aborting(pin!(std::future::pending::<u8>())).await, None);
        }
    }
}
