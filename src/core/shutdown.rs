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
    why: Arc<OnceLock<&'static str>>,
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
        self.why.get_or_init(|| why);
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
        self.why.get().copied().unwrap_or("aborted")
    }

    /// A second stage that drains and aborts with this one but can also be ended alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { drain: self.drain.child_token(), abort: self.abort.child_token(), why: self.why.clone() }
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

    /// The first signal drains, the second aborts.
    pub async fn drive(mut self, shutdown: &Shutdown) {
        while self.caught().await {
            if shutdown.is_draining() { shutdown.abort("a second signal") } else { shutdown.drain() }
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
