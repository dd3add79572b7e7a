//! The two formats of capture files, read as they grow: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).
//! A packet is handed on as soon as its last byte is there, so that a live pipe is never a packet behind.

mod pcap;
mod pcapng;

use super::{Capture, Each, Summary, link::UnknownLink};
use std::io::{self, Read};

/// The most bytes of a block that are held. Packets have at most 256 KiB in libpcap; blocks of secrets and comments are longer.
const MOST_IN_BLOCK: usize = 16 << 20;
/// What is read at once, at most.
const CHUNK: usize = 64 << 10;

/// Why a capture cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The source fails.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// Every packet begins with something that is not decoded.
    #[error("a capture of {0}, which is not decoded")]
    Link(UnknownLink),
    /// The file is damaged.
    #[error("a damaged capture: {what} at byte {offset}")]
    Damaged { offset: u64, what: &'static str },
}

/// Whether a file begins as captures do; `None` while it has too few bytes to tell.
pub(crate) fn is_capture(bytes: &[u8]) -> Option<bool> {
    const MAGIC: [[u8; 4]; 7] = [
        [0x0a, 0x0d, 0x0d, 0x0a],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xcd, 0x34],
    ];
    match bytes.first_chunk::<4>() {
        Some(first) => Some(MAGIC.contains(first)),
        None => Some(false).filter(|_| !MAGIC.iter().any(|magic| magic.starts_with(bytes))),
    }
}

/// Reads a capture to its end, or until `each` breaks.
///
/// # Errors
/// The source fails, the file is damaged, or nothing in it is of a link type that is decoded. Whatever was found before was
/// handed to `each`.
pub(crate) fn read(source: impl Read, each: Each<'_>) -> Result<Summary, CaptureError> {
    let mut source = Source { source, buffer: vec![0; CHUNK], at: 0, end: 0, offset: 0 };
    let mut capture = Capture::default();
    let read = if source.need(4)? && source.rest().starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        pcapng::read(&mut source, &mut capture, each)
    } else {
        pcap::read(&mut source, &mut capture, each)
    };
    match read {
        // What is not whole is not told to who wants no more.
        Ok(End::Stopped) => Ok(capture.summary),
        Ok(end) => {
            capture.summary.truncated = end == End::Truncated;
            Ok(capture.end(each))
        }
        Err(error) => {
            capture.end(each);
            Err(error)
        }
    }
}

/// How the reading of a capture ends.
#[derive(PartialEq, Eq)]
enum End {
    Clean,
    Truncated,
    Stopped,
}

/// Bytes that were read and not yet used. One read at a time: what is there is used before more is waited for.
struct Source<R> {
    source: R,
    buffer: Vec<u8>,
    /// From here to there it holds what was read and is not used.
    at: usize,
    end: usize,
    /// How many bytes were used in all.
    offset: u64,
}

impl<R: Read> Source<R> {
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..self.end).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.offset += count as u64;
    }

    /// Reads until so many bytes are there; false where the source ends before.
    fn need(&mut self, count: usize) -> io::Result<bool> {
        if self.rest().len() < count && (self.rest().is_empty() || self.at + count > self.buffer.len()) {
            self.buffer.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
        }
        while self.rest().len() < count {
            // A length is believed as far as there are bytes for it.
            if self.end == self.buffer.len() {
                self.buffer.resize(2 * self.end, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn need_block(&mut self, count: usize) -> Result<bool, CaptureError> {
        if count > MOST_IN_BLOCK {
            return Err(self.damaged("a block of more than 16 MiB"));
        }
        Ok(self.need(count)?)
    }

    /// A number of four bytes; 0 where they are not there.
    fn number(&self, at: usize, big: bool) -> usize {
        let bytes = self.rest().get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        (if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }) as usize
    }

    fn end(&self) -> End {
        if self.rest().is_empty() { End::Clean } else { End::Truncated }
    }

    fn damaged(&self, what: &'static str) -> CaptureError {
        CaptureError::Damaged { offset: self.offset, what }
    }
}
