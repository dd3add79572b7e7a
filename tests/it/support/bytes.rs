//! Bytes to send and to compare.

use std::io::{Read, Write};

/// Bytes that are easy to compare and hard to confuse.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

/// Sends so many bytes from each end to the other at once, and compares every one of them: wrong, lost, doubled and
/// exchanged ones alike. Neither end is shut.
pub fn both_ways_at_once<S>(one: &S, other: &S, bytes: u64)
where
    S: Sync,
    for<'a> &'a S: Read + Write,
{
    // A block that begins with its number is found nowhere else.
    let (block, stamped) = (Block::new(), bytes / Block::LEN as u64);
    std::thread::scope(|scope| {
        for (from, to) in [(one, other), (other, one)] {
            let (mut sender, mut expected) = (block.clone(), block.clone());
            scope.spawn(move || {
                let (mut from, mut left) = (from, bytes);
                for number in 0..=stamped {
                    let part = sender.part(number, &mut left);
                    from.write_all(part).unwrap();
                }
            });
            scope.spawn(move || {
                let (mut to, mut left, mut came) = (to, bytes, vec![0; Block::LEN]);
                for number in 0..=stamped {
                    let part = expected.part(number, &mut left);
                    let came = &mut came[..part.len()];
                    to.read_exact(came).unwrap();
                    assert!(came == part, "other bytes in block {number}");
                }
            });
        }
    });
}

/// Bytes without a pattern, with a number in front.
#[derive(Clone)]
struct Block(Vec<u8>);

impl Block {
    /// Odd, so that it lies across the borders of every buffer.
    const LEN: usize = 1_000_003;

    fn new() -> Self {
        let mut random = Xorshift::new(1);
        Self(std::iter::repeat_with(|| random.next().to_le_bytes()).flatten().take(Self::LEN).collect())
    }

    /// The block of this number, or what is left of all.
    fn part(&mut self, number: u64, left: &mut u64) -> &[u8] {
        self.0[..8].copy_from_slice(&number.to_le_bytes());
        let len = (*left).min(Self::LEN as u64);
        *left -= len;
        &self.0[..len as usize]
    }
}

/// Numbers without sense, the same for the same seed.
pub struct Xorshift(u64);

impl Xorshift {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }
}
