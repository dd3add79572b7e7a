//! Conversations by their two ends; the oldest go first.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
};

/// The most conversations of each kind that are remembered. The oldest is forgotten first.
pub(super) const MOST: usize = 32 << 10;
/// The most bytes that all conversations of a kind hold.
pub(super) const MOST_HELD: usize = 32 << 20;

/// Both ends.
pub(super) type Ends = [SocketAddr; 2];

/// Conversations by age.
pub(super) struct Table<T> {
    pub(super) open: HashMap<Ends, T>,
    ages: VecDeque<Ends>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { open: HashMap::new(), ages: VecDeque::new() }
    }
}

impl<T: Default> Table<T> {
    /// The conversation of these ends, begun where there is none.
    pub(super) fn get(&mut self, ends: Ends) -> &mut T {
        let ages = &mut self.ages;
        self.open.entry(ends).or_insert_with(|| {
            ages.push_back(ends);
            T::default()
        })
    }

    /// Adds a conversation that there was none of.
    pub(super) fn insert(&mut self, ends: Ends, one: T) {
        self.ages.push_back(ends);
        self.open.insert(ends, one);
    }

    pub(super) fn oldest(&mut self) -> Option<(Ends, T)> {
        let ends = self.ages.pop_front()?;
        Some((ends, self.open.remove(&ends)?))
    }
}
