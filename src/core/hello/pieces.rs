//! Bytes that come in pieces, each with its offset, in any order: CRYPTO frames of QUIC, fragments of DTLS.

use super::{MOST, reader::HEADER};
use std::collections::BTreeMap;

/// The most bytes of one sequence: a hello with its header.
const MOST_HELD: usize = HEADER + MOST;
/// The most pieces that wait for what comes before them. Browsers shuffle a dozen; quic-go allows 1,000 gaps.
const MOST_WAITING: usize = 1024;
/// What a piece that waits costs besides its bytes, roughly.
const OVERHEAD: usize = 64;

/// A sequence of bytes that is put together from its start. What it holds is bounded by what has come, and by 64 KiB.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    whole: Vec<u8>,
    /// What has come beyond a gap. None of them reaches into another.
    waiting: BTreeMap<usize, Vec<u8>>,
    waiting_bytes: usize,
}

impl Pieces {
    /// Takes a piece. What came before may come again; it takes time in proportion to the piece.
    ///
    /// # Errors
    /// It lies too far off, differs from what has come, or is one too many. What was taken before stays.
    pub(super) fn put(&mut self, offset: usize, bytes: &[u8]) -> Result<(), &'static str> {
        let end = offset.checked_add(bytes.len()).filter(|end| *end <= MOST_HELD).ok_or("a hello longer than 64 KiB")?;
        let mut at = offset;
        while at < end {
            let (known, gap) = self.around(at);
            let length = known.map_or_else(|| gap.map_or(end, |gap| gap.min(end)) - at, |known| known.len().min(end - at));
            let new = &bytes[at - offset..at - offset + length];
            match known {
                Some(known) if known[..length] == *new => {}
                // Two readers could take either: neither is the hello.
                Some(_) => return Err("bytes of the hello that come again and differ"),
                None if at == self.whole.len() => self.whole.extend_from_slice(new),
                None if self.waiting.len() == MOST_WAITING => return Err("a hello in too many pieces"),
                None => {
                    self.waiting_bytes += new.len();
                    self.waiting.insert(at, new.to_vec());
                }
            }
            at += length;
        }
        while let Some(next) = self.waiting.remove(&self.whole.len()) {
            self.waiting_bytes -= next.len();
            self.whole.extend(next);
        }
        Ok(())
    }

    /// What has come from an offset on, or where the next piece after it begins.
    fn around(&self, at: usize) -> (Option<&[u8]>, Option<usize>) {
        let before =
            self.waiting.range(..=at).next_back().and_then(|(start, piece)| piece.get(at - start..)).filter(|piece| !piece.is_empty());
        let known = self.whole.get(at..).filter(|known| !known.is_empty()).or(before);
        (known, self.waiting.range(at..).next().map(|(start, _)| *start))
    }

    /// What has come without a gap.
    pub(super) fn whole(&self) -> &[u8] {
        &self.whole
    }

    /// Bytes of memory that this takes, roughly.
    pub(super) fn cost(&self) -> usize {
        self.whole.capacity() + self.waiting_bytes + OVERHEAD * self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_fill_gaps_and_may_overlap() {
        let mut pieces = Pieces::default();
        for (offset, bytes, whole) in [
            (6, &b"ghi"[..], &b""[..]),
            (2, b"cd", b""),
            (1, b"bcdefgh", b""),
            (0, b"", b""),
            (0, b"ab", b"abcdefghi"),
            (3, b"defghijk", b"abcdefghijk"),
        ] {
            assert_eq!(pieces.put(offset, bytes), Ok(()), "{offset}");
            assert_eq!(pieces.whole(), whole);
        }
        assert_eq!((pieces.waiting.len(), pieces.cost()), (0, pieces.whole.capacity()));
    }

    #[test]
    fn what_differs_is_told_whether_it_waits_or_not() {
        let mut pieces = Pieces::default();
        pieces.put(0, b"abc").unwrap();
        pieces.put(5, b"fg").unwrap();
        for (offset, bytes) in [(2, &b"x"[..]), (4, b"efx"), (6, b"x")] {
            assert!(pieces.put(offset, bytes).unwrap_err().contains("differ"), "{offset}");
        }
    }

    #[test]
    fn it_is_bounded_in_bytes_and_in_pieces() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.put(MOST_HELD - 1, b"x"), Ok(()));
        for far in [MOST_HELD, usize::MAX] {
            assert!(pieces.put(far, b"x").is_err());
        }
        for n in 1..MOST_WAITING {
            assert_eq!(pieces.put(2 * n, b"x"), Ok(()));
        }
        assert!(pieces.put(2 * MOST_WAITING, b"x").unwrap_err().contains("too many"));
        assert_eq!(pieces.put(2, b"x"), Ok(()), "what has come may come again");
        assert_eq!(pieces.cost(), MOST_WAITING * (1 + OVERHEAD));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_cuts_in_any_order_give_the_whole(cuts in proptest::collection::vec((0usize..500, 1usize..200), 0..60)) {
            let bytes: Vec<u8> = (0..700usize).map(|i| (i * 31 + i / 251) as u8).collect();
            let mut pieces = Pieces::default();
            let mut came = vec![false; bytes.len()];
            for (offset, length) in cuts {
                pieces.put(offset, &bytes[offset..offset + length]).unwrap();
                came[offset..offset + length].fill(true);
                let whole = came.iter().position(|came| !came).unwrap();
                prop_assert_eq!(pieces.whole(), &bytes[..whole]);
            }
        }
    }
}
