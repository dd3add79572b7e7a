//! What targets have come to over the run.

use super::{Pool, Totals};
use crate::event::{Event, Events};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// What targets have come to, added up by their names, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Tally {
    sums: Vec<(Arc<str>, [u64; 4])>,
    places: HashMap<Arc<str>, usize>,
}

impl Tally {
    /// Adds what the targets of a pool have come to, those that were asked at all.
    pub fn add(&mut self, pool: &Pool) {
        for backend in pool.all_ever() {
            self.add_one(&backend.label, backend.totals());
        }
    }

    pub(super) fn add_one(&mut self, label: &Arc<str>, totals: &Totals) {
        let Totals { connections, failed, received, sent, .. } = totals;
        let counts = [connections, failed, received, sent].map(|count| count.load(Relaxed));
        if counts[..2] == [0, 0] {
            return;
        }
        let place = *self.places.entry(label.clone()).or_insert_with(|| {
            self.sums.push((label.clone(), [0; 4]));
            self.sums.len() - 1
        });
        self.sums[place].1.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }

    /// How many targets there are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sums.len()
    }

    /// Whether no target was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Says all of it.
    pub fn tell(&self, events: &Events) {
        for (target, [connections, failed, received, sent]) in self.sums.iter().cloned() {
            events.emit(Event::Target { target, connections, failed, received, sent });
        }
    }
}
