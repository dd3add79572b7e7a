//! IP fragments, until a datagram is whole (RFC 791 section 3.2, RFC 8200 section 4.5).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
};

/// The most bytes of all that is not whole. The oldest is given up first.
const MOST: usize = 4 << 20;
/// What a fragment costs besides its bytes, roughly.
const OVERHEAD: usize = 128;
/// The longest datagram.
const LONGEST: usize = 1 << 16;
/// The most fragments of a datagram; with the smallest MTU of IPv4 in use, 576 bytes, there are 119.
const MOST_PARTS: usize = 512;

/// Source, destination, protocol and identification.
pub(super) type Key = (IpAddr, IpAddr, u8, u32);

#[derive(Default)]
pub(super) struct Fragments {
    open: HashMap<Key, Datagram>,
    /// The open ones, and some that are no more, by when they began.
    ages: VecDeque<(Key, u64)>,
    begun: u64,
    held: usize,
}

#[derive(Default)]
struct Datagram {
    begun: u64,
    /// By their offsets.
    parts: BTreeMap<usize, Vec<u8>>,
    /// Bytes of all parts.
    bytes: usize,
    /// The length of all, once the last fragment is there.
    length: Option<usize>,
}

impl Fragments {
    /// Adds a fragment; the whole, once it is.
    pub(super) fn add(&mut self, key: Key, offset: usize, bytes: &[u8], more: bool) -> Option<Vec<u8>> {
        if offset + bytes.len() > LONGEST {
            return None;
        }
        let datagram = self.open.entry(key).or_insert_with(|| {
            self.begun += 1;
            self.ages.push_back((key, self.begun));
            self.held += OVERHEAD;
            Datagram { begun: self.begun, ..Datagram::default() }
        });
        // Of two copies the first counts, as with segments.
        if !datagram.parts.contains_key(&offset) && datagram.parts.len() < MOST_PARTS {
            datagram.parts.insert(offset, bytes.to_vec());
            datagram.bytes += bytes.len();
            self.held += bytes.len() + OVERHEAD;
        }
        if !more {
            datagram.length.get_or_insert(offset + bytes.len());
        }
        if let Some(whole) = datagram.whole() {
            self.held -= self.open.remove(&key).map_or(0, |datagram| datagram.cost());
            return Some(whole);
        }
        while self.held > MOST
            && let Some((key, begun)) = self.ages.pop_front()
        {
            if self.open.get(&key).is_some_and(|datagram| datagram.begun == begun) {
                self.held -= self.open.remove(&key).map_or(0, |datagram| datagram.cost());
            }
        }
        // Those that became whole are forgotten before they are many.
        if self.ages.len() > 2 * self.open.len() + 64 {
            self.ages.retain(|(key, begun)| self.open.get(key).is_some_and(|datagram| datagram.begun == *begun));
        }
        None
    }
}

impl Datagram {
    fn cost(&self) -> usize {
        self.bytes + OVERHEAD * (1 + self.parts.len())
    }

    fn whole(&self) -> Option<Vec<u8>> {
        let length = self.length?;
        // Most often not all bytes are there yet; then nothing is copied.
        if self.bytes < length {
            return None;
        }
        let mut whole = Vec::with_capacity(length);
        for (offset, part) in &self.parts {
            // From what is there already on; `None` at a gap.
            whole.extend_from_slice(part.get(whole.len().checked_sub(*offset)?.min(part.len())..)?);
        }
        whole.truncate(length);
        (whole.len() == length).then_some(whole)
    }
}
