//! One direction of a TCP connection, put in order by its sequence numbers (RFC 9293 section 3.4).

use crate::hello::MOST_ON_WIRE;
use std::collections::BTreeMap;

/// How far into a direction a hello may begin; what stands before one is short.
pub(super) const MOST_BEFORE: usize = 16 << 10;
/// The most bytes of a direction that are looked at.
pub(super) const MOST: usize = MOST_BEFORE + MOST_ON_WIRE;
/// Behind a hole this much is held in the hope that it will be filled.
const MOST_WAITING: usize = 32 << 10;
/// And so many pieces: each segment may have to be compared with all of them.
const MOST_PIECES: usize = 1024;
/// What a piece costs besides its bytes, roughly.
const OVERHEAD: usize = 64;
/// How often a direction whose SYN is not captured may turn out to have begun earlier.
const MOST_REBASES: usize = 8;

/// The bytes of a direction in their order, as far as there is no hole before them.
#[derive(Default)]
pub(super) struct Reassembly {
    /// The sequence number of the first byte, once there is one.
    first: Option<u32>,
    /// The SYN was captured: the first byte is the first of all, and no hole was left out since.
    from_start: bool,
    /// How many bytes lie before those of `bytes`.
    base: usize,
    bytes: Vec<u8>,
    /// Where each piece begins in `bytes`, and the number of its packet.
    pieces: Vec<(usize, u64)>,
    /// What came before its turn, by how far from the first byte it lies.
    waiting: BTreeMap<usize, (u64, Vec<u8>)>,
    waiting_bytes: usize,
    /// Where the direction ends, once its FIN was captured.
    end: Option<usize>,
    rebases: usize,
}

impl Reassembly {
    /// The direction begins with this sequence number, or before the bytes that seemed to be its first: those of a capture
    /// that began late may be out of order. Says whether the bytes are to be looked at anew.
    pub(super) fn begin(&mut self, sequence: u32, syn: bool) -> bool {
        let by = match self.first {
            None => 0,
            Some(first) if self.from_start || self.base > 0 || self.rebases == MOST_REBASES || first == sequence => {
                self.from_start |= syn && first == sequence;
                return false;
            }
            Some(first) => first.wrapping_sub(sequence) as usize,
        };
        if by > MOST {
            return false;
        }
        (self.first, self.from_start) = (Some(sequence), syn);
        if by > 0 {
            self.rebase(by);
        }
        by > 0
    }

    /// Adds what a packet carries; of two copies of a byte the first counts. Says whether there is more to read.
    pub(super) fn add(&mut self, sequence: u32, payload: &[u8], fin: bool, packet: u64) -> bool {
        let before = self.bytes.len();
        let first = *self.first.get_or_insert(sequence);
        let offset = i64::from(sequence.wrapping_sub(first).cast_signed());
        // What lies before the first byte, such as the probe of a keep-alive, is old.
        let old = payload.len().min((-offset).max(0) as usize);
        let (payload, offset) = (&payload[old..], offset.max(0) as usize);
        if fin {
            self.end.get_or_insert(offset + payload.len());
        }
        let fits = payload.len().min(MOST.saturating_sub(offset));
        self.insert(offset, &payload[..fits], packet);
        self.drain();
        self.bytes.len() > before
    }

    /// So many bytes lie before the first.
    fn rebase(&mut self, by: usize) {
        self.rebases += 1;
        self.end = self.end.map(|end| end + by);
        let bytes = std::mem::take(&mut self.bytes);
        let ends = self.pieces.iter().skip(1).map(|(start, _)| *start).chain([bytes.len()]);
        let pieces = self.pieces.iter().zip(ends).map(|((start, packet), end)| (start + by, (*packet, bytes[*start..end].to_vec())));
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|(offset, piece)| (offset + by, piece));
        self.waiting = pieces.chain(waiting).filter(|(offset, (_, piece))| offset + piece.len() <= MOST).collect();
        self.waiting_bytes = self.waiting.values().map(|(_, piece)| piece.len()).sum();
        self.pieces = Vec::new();
        self.drain();
    }

    /// Puts those bytes among the waiting ones that are not there yet.
    fn insert(&mut self, offset: usize, payload: &[u8], packet: u64) {
        let end = offset + payload.len();
        let mut at = offset.max(self.base + self.bytes.len());
        if self.waiting.is_empty() && at == self.base + self.bytes.len() && at < end {
            self.append(&payload[at - offset..], packet);
            return;
        }
        while at < end {
            if let Some((start, (_, piece))) = self.waiting.range(..=at).next_back()
                && start + piece.len() > at
            {
                at = start + piece.len();
                continue;
            }
            let next = self.waiting.range(at..).next().map_or(end, |(start, _)| end.min(*start));
            self.waiting.insert(at, (packet, payload[at - offset..next - offset].to_vec()));
            self.waiting_bytes += next - at;
            at = next;
        }
    }

    fn append(&mut self, bytes: &[u8], packet: u64) {
        self.pieces.push((self.bytes.len(), packet));
        self.bytes.extend_from_slice(bytes);
    }

    fn drain(&mut self) {
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() == self.base + self.bytes.len()
        {
            let (packet, piece) = entry.remove();
            self.waiting_bytes -= piece.len();
            self.append(&piece, packet);
        }
    }

    /// Goes on behind the next hole: the bytes in it were not captured. False where nothing lies behind one.
    pub(super) fn skip_hole(&mut self) -> bool {
        let Some((start, _)) = self.waiting.first_key_value() else { return false };
        (self.base, self.from_start) = (*start, false);
        self.bytes.clear();
        self.pieces.clear();
        self.drain();
        true
    }

    /// So much waits behind a hole that it will not be filled.
    pub(super) fn is_stuck(&self) -> bool {
        self.waiting_bytes > MOST_WAITING || self.waiting.len() > MOST_PIECES
    }

    /// The sender has sent no more than this.
    pub(super) fn is_whole(&self) -> bool {
        self.end.is_some_and(|end| self.base + self.bytes.len() >= end.min(MOST))
    }

    /// What is in order, from the first byte or the last hole on.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether that is what the sender has said first.
    pub(super) fn is_from_start(&self) -> bool {
        self.from_start
    }

    /// Whether anything was captured at all.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.waiting.is_empty()
    }

    /// The sequence number of one of these bytes.
    pub(super) fn sequence(&self, at: usize) -> u32 {
        self.first.unwrap_or_default().wrapping_add((self.base + at) as u32)
    }

    /// The sequence number of the byte that is missing next.
    pub(super) fn next(&self) -> u32 {
        self.sequence(self.bytes.len())
    }

    /// How many packets these bytes came in.
    pub(super) fn packets(&self, range: &std::ops::Range<usize>) -> usize {
        let first = self.pieces.partition_point(|(start, _)| *start <= range.start).saturating_sub(1);
        let pieces = self.pieces.get(first..).unwrap_or_default();
        let mut packets: Vec<u64> = pieces.iter().take_while(|(start, _)| *start < range.end).map(|(_, packet)| *packet).collect();
        packets.sort_unstable();
        packets.dedup();
        packets.len()
    }

    /// What this costs, roughly.
    pub(super) fn cost(&self) -> usize {
        self.bytes.capacity() + self.pieces.capacity() * size_of::<(usize, u64)>() + self.waiting_bytes + OVERHEAD * self.waiting.len()
    }
}
