//! What every command that balances does with its pool: make it, follow it, tell of it.

use crate::serve::Session;
use std::sync::{Arc, Mutex, PoisonError};
use tapline::{
    dial::Dialer,
    discovery::{Loaded, Sources},
    health::{self, Checks},
    pool::{self, Pool},
};

/// A pool in use.
pub struct Balancing {
    pub pool: Pool,
    /// The sources of its targets, until they are followed.
    loaded: Mutex<Option<Loaded>>,
    dialer: Dialer,
    checks: Option<Checks>,
}

impl Balancing {
    /// Makes the pool, and reads where its targets come from. Nothing is told and no target is asked before [`Balancing::start`].
    pub async fn new(
        sources: &Sources,
        settings: pool::Settings,
        checks: Option<Checks>,
        dialer: Dialer,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let pool = Pool::new(&sources.fixed(), settings).await?;
        let loaded = session.preparing(sources.load(&pool, &dialer)).await??;
        Ok(Self { pool, loaded: Mutex::new(Some(loaded)), dialer, checks })
    }

    /// Tells where builtin targets listen, and begins to check. For when clients can connect.
    pub fn start(&self, session: &Session) {
        let events = session.reporter.events();
        self.pool.announce(&events);
        if let Some(loaded) = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).take() {
            loaded.follow(&session.shutdown, &events);
        }
        tokio::spawn(health::watch(self.pool.clone(), self.checks.clone(), self.dialer.clone(), session.shutdown.clone(), events));
    }

    /// The pool by its name, for those who look at it while it is used.
    pub fn named(&self, name: &str) -> Vec<(Arc<str>, Pool)> {
        vec![(name.into(), self.pool.clone())]
    }

    /// Tells what each target has come to.
    pub fn finish(&self, session: &Session) {
        Pool::report(std::slice::from_ref(&self.pool), &session.reporter.events());
    }
}
