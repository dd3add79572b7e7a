//! What every command that balances does with its pool: make it, follow it, tell of it.

use crate::serve::Session;
use std::io;
use tapline::{
    addr::TargetSpec,
    dial::Dialer,
    health::{self, Checks},
    pool::{self, Pool},
};

/// A pool in use.
pub struct Balancing {
    pub pool: Pool,
    dialer: Dialer,
    checks: Option<Checks>,
}

impl Balancing {
    /// Makes the pool. Nothing is told and nobody is asked before [`Balancing::start`].
    pub async fn new(targets: &[TargetSpec], settings: pool::Settings, checks: Option<Checks>, dialer: Dialer) -> io::Result<Self> {
        Ok(Self { pool: Pool::new(targets, settings).await?, dialer, checks })
    }

    /// Tells where builtin targets listen, and begins to check. For when clients can connect.
    pub fn start(&self, session: &Session) {
        let events = session.reporter.events();
        self.pool.announce(&events);
        tokio::spawn(health::watch(self.pool.clone(), self.checks.clone(), self.dialer.clone(), session.shutdown.clone(), events));
    }

    /// Tells what each target has come to.
    pub fn finish(&self, session: &Session) {
        Pool::report(std::slice::from_ref(&self.pool), &session.reporter.events());
    }
}
