//! The rules in force, as those who route see them.

use super::Entry;
use crate::route::Table;
use std::sync::{Arc, PoisonError, RwLock};

/// The rules in force. Clones share them.
///
/// A look-up takes the lock for some 100 ns, which a connection does not notice. It is held longer, for some 100 ns a rule, only
/// where rules change, and then by nobody who waits for anything.
#[derive(Debug)]
pub struct Live<S>(Arc<RwLock<Table<Arc<Entry<S>>>>>);

impl<S> Clone for Live<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Default for Live<S> {
    fn default() -> Self {
        Self(Arc::new(RwLock::new(Table::default())))
    }
}

impl<S> Live<S> {
    /// Looks at the rules as they are now. They stay as they are until this returns: it must not block.
    pub fn look<R>(&self, look: impl FnOnce(&Table<Arc<Entry<S>>>) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the rules, all at once for those who look.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Table<Arc<Entry<S>>>) -> R) -> R {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}
