//! What a connection has come to so far, shared by those who work on it and whoever reports its end.

use super::{PHASES, Phase};
use crate::{addr::Endpoint, pool::Backend};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
};

/// Bytes that passed at a socket. Counted in [`crate::stream::Stream`] and by the splice path, nowhere else.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    counted_received: AtomicU64,
    counted_sent: AtomicU64,
}

impl Traffic {
    /// Adds bytes that were read from the socket.
    pub fn add_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }

    /// Adds bytes that were written to the socket.
    pub fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes read from the socket so far.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Bytes in both directions so far.
    pub fn total(&self) -> u64 {
        self.received() + self.sent()
    }

    /// Bytes written to the socket so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Bytes received and sent that were not told by this before. Whoever asks, and however many at the same time, each byte is
    /// told once.
    pub(crate) fn uncounted(&self) -> (u64, u64) {
        // The maximum, and not what was read last: of two that ask at a time, the one with the older reading may come second.
        let of = |bytes: u64, counted: &AtomicU64| bytes.saturating_sub(counted.fetch_max(bytes, Relaxed));
        (of(self.received(), &self.counted_received), of(self.sent(), &self.counted_sent))
    }
}

/// What a connection has come to, for whoever reports its end: also after a panic or an abort.
#[derive(Debug)]
pub struct Progress {
    phase: AtomicU8,
    spliced: AtomicBool,
    target: Mutex<Option<To>>,
    client: OnceLock<Endpoint>,
}

/// Who took a connection.
#[derive(Debug)]
enum To {
    Named(Arc<str>),
    Backend(Arc<Backend>, Arc<Traffic>),
}

impl Default for Progress {
    fn default() -> Self {
        let phase = AtomicU8::new(Phase::Accept as u8);
        Self { phase, spliced: AtomicBool::new(false), target: Mutex::new(None), client: OnceLock::new() }
    }
}

impl Progress {
    /// Enters a phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// The phase entered last.
    #[must_use]
    pub fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Relaxed)) % PHASES.len()]
    }

    /// Bytes went through splice(2).
    pub fn set_spliced(&self) {
        self.spliced.store(true, Relaxed);
    }

    /// Whether bytes went through splice(2).
    #[must_use]
    pub fn spliced(&self) -> bool {
        self.spliced.load(Relaxed)
    }

    /// The client was announced as this one; the first announcement stays.
    pub fn set_client(&self, client: Endpoint) {
        // A connection has one header.
        let _ = self.client.set(client);
    }

    /// The client as it was announced, if it was.
    #[must_use]
    pub fn client(&self) -> Option<&Endpoint> {
        self.client.get()
    }

    /// The target that took the connection.
    pub fn set_target(&self, target: Arc<str>) {
        *self.to() = Some(To::Named(target));
    }

    /// The backend that took the connection, and the bytes at its socket.
    pub fn set_backend(&self, backend: Arc<Backend>, traffic: Arc<Traffic>) {
        *self.to() = Some(To::Backend(backend, traffic));
    }

    /// The target that took the connection, if one did.
    #[must_use]
    pub fn target(&self) -> Option<Arc<str>> {
        match &*self.to() {
            Some(To::Named(target)) => Some(target.clone()),
            Some(To::Backend(backend, _)) => Some(backend.label.clone()),
            None => None,
        }
    }

    /// Adds the bytes at the backend's socket to what the backend has come to, those that were not added before.
    pub(crate) fn count(&self) {
        if let Some(To::Backend(backend, traffic)) = &*self.to() {
            backend.passed(traffic);
        }
    }

    fn to(&self) -> MutexGuard<'_, Option<To>> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_survives_the_atomic() {
        let progress = Progress::default();
        for (value, phase) in PHASES.into_iter().enumerate() {
            assert_eq!(phase as usize, value);
            progress.enter(phase);
            assert_eq!(progress.phase(), phase);
        }
    }
}
