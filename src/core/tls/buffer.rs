//! Buffers for records. They belong to the thread, and a connection has one only while its bytes are on their way: idle
//! connections hold none.

use super::record::{MOST_PLAIN, OVERHEAD};
use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
};

/// The most plaintext that is sealed before it is written.
pub(super) const MOST_SEALED: usize = 5 * MOST_PLAIN;
/// What may go before it: tickets, a KeyUpdate.
pub(super) const PREFIX: usize = 4096;
/// Full records of our kind that are read at once. Four of them fit a reader's buffer with room to open them there.
pub(super) const MOST_READ: usize = 4 * (MOST_PLAIN + 1 + OVERHEAD - 8);
/// Bytes of a buffer.
pub(super) const SIZE: usize = PREFIX + 6 * (MOST_PLAIN + OVERHEAD);
/// How many a thread keeps for the next to come.
const SPARES: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer, which goes back to its thread.
pub(super) struct Buffer(Box<[u8]>);

impl Buffer {
    pub(super) fn take() -> Self {
        Self(SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SIZE].into()))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        // The thread may be ending, and its spares be gone already.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARES {
                spare.push(bytes);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
