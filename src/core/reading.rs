//! Sources that are read again while what they have is in use: how they are followed, and the way from who reads to who keeps.

use crate::event::brief;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How a source is followed.
#[derive(Clone)]
pub(crate) struct Following {
    /// How often it is read all the same.
    pub(crate) every: Duration,
    /// The flag that says how often, for people.
    pub(crate) flag: &'static str,
    /// Asks for a new reading; when it has gone, nobody wants to know any more.
    pub(crate) asked: watch::Receiver<()>,
}

/// The way from who reads a source to who keeps what it has.
pub(crate) struct Send<F> {
    /// The number of the source.
    pub(crate) source: usize,
    /// Takes the number, what was found, and whether that is told also if nothing has changed.
    pub(crate) to: mpsc::Sender<(usize, F, bool)>,
}

impl<F> Send<F> {
    /// Hands a reading over; where it is to be told, also if nothing has changed.
    pub(crate) async fn send(&self, found: F, told: bool) -> Result<(), Gone> {
        self.to.send((self.source, found, told)).await.map_err(|_| Gone)
    }
}

/// Nobody wants to know any more.
#[derive(Debug)]
pub(crate) struct Gone;

/// Entries of a source that were skipped: some in words, and how many more.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    words: Vec<String>,
    more: usize,
}

impl Skipped {
    /// So many are told in words.
    const TOLD: usize = 3;

    /// One entry, and why.
    pub(crate) fn add(&mut self, words: &str) {
        if self.words.len() < Self::TOLD { self.words.push(brief(words)) } else { self.more += 1 }
    }

    /// Many at once, told by one of them, whatever else is told.
    pub(crate) fn add_many(&mut self, many: usize, words: Option<String>) {
        if many > 0 {
            let told = words.map(|words| self.words.push(words));
            self.more += many - usize::from(told.is_some());
        }
    }

    /// How many there are.
    pub(crate) fn total(&self) -> usize {
        self.words.len() + self.more
    }

    /// All of it in words, where there is any.
    pub(crate) fn words(mut self) -> Option<String> {
        if self.more > 0 {
            self.words.push(format!("and {} more", self.more));
        }
        (!self.words.is_empty()).then(|| self.words.join("; "))
    }
}
