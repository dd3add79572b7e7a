//! From the bytes of the wire to the first handshake message: TLS records (RFC 8446 section 5.1) and the older format of
//! SSL 2.0 (RFC 5246 appendix E.2). Each byte is judged once, when it is there.

use super::{Framing, Greeting, MOST, Malformed, message, protocol, ssl2};
use std::ops::Range;

/// The handshake header: type and 24-bit length.
pub(super) const HEADER: usize = 4;
/// The header of a record: type, version, length.
pub(super) const RECORD_HEADER: usize = 5;
/// Type 22, handshake.
const HANDSHAKE: u8 = 22;
/// RFC 8446 allows 2^14 bytes of plaintext; older stacks were allowed 2^10 more for compression (RFC 5246 6.2.2).
pub(crate) const MOST_IN_RECORD: usize = (1 << 14) + 1024;

/// The header of a TLS record of type handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the header stood on the wire.
    pub offset: usize,
    /// Where what follows it stands in the handshake message.
    pub start: usize,
    /// The version that it says, 0x0301 in most hellos whatever they offer.
    pub version: u16,
    /// Bytes that follow the header.
    pub length: u16,
}

/// Reads what a client sends first, while it comes. It remembers what it has judged, so that a hello in records of one
/// byte that come one by one takes no more than linear time.
#[derive(Debug, Default)]
pub struct Reader {
    /// What the handshake message has so far.
    message: Vec<u8>,
    records: Vec<Record>,
    /// How many bytes of the wire are judged.
    at: usize,
    /// How many bytes the record at hand still has to bring.
    left: usize,
    began: Option<Format>,
    #[cfg(test)]
    steps: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Records,
    Ssl2,
}

impl Reader {
    /// A reader that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads all that a client has sent so far: each time the same bytes as before, and what came since. `None` asks for
    /// more: it is certain neither that this is a hello nor that it is none. With a verdict the reader has done its work.
    pub fn read(&mut self, bytes: &[u8]) -> Option<Greeting> {
        let format = match self.began {
            Some(format) => format,
            None => match bytes {
                [] | [HANDSHAKE] => return None,
                [HANDSHAKE, 3, ..] => *self.began.insert(Format::Records),
                // A two-byte length with its high bit set, then type 1 and version 3.x.
                [0x80..=0xff, _, 1, 3, ..] => *self.began.insert(Format::Ssl2),
                _ => return protocol::recognise(bytes).map(Greeting::NotTls),
            },
        };
        let hello = match format {
            Format::Records => self.records(bytes),
            Format::Ssl2 => ssl2(bytes),
        };
        Some(match hello {
            Ok(None) => return None,
            Ok(Some((message, came))) => match message::parse(message, came) {
                Ok(hello) => Greeting::Tls(Box::new(hello)),
                Err(malformed) => Greeting::Malformed(malformed),
            },
            Err(malformed) => Greeting::Malformed(malformed),
        })
    }

    /// Whether what was read so far begins like TLS, and like nothing else.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.began.is_some()
    }

    /// Bytes of memory that this takes, roughly.
    pub(crate) fn cost(&self) -> usize {
        self.message.capacity() + self.records.capacity() * size_of::<Record>()
    }

    /// How often it has looked at bytes.
    #[cfg(test)]
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Puts the handshake message together from as many records as it takes. `None` asks for more bytes.
    fn records(&mut self, wire: &[u8]) -> Result<Option<(Vec<u8>, Framing)>, Malformed> {
        let wrong = |offset, what| Err(Malformed { offset, what });
        loop {
            #[cfg(test)]
            {
                self.steps += 1;
            }
            let rest = wire.get(self.at..).unwrap_or_default();
            if self.left > 0 {
                let taken = &rest[..rest.len().min(self.left)];
                self.message.extend_from_slice(taken);
                (self.at, self.left) = (self.at + taken.len(), self.left - taken.len());
                if let Some(length) = self.expected()?
                    && self.message.len() >= length
                {
                    self.message.truncate(length);
                    let framing = Framing::Records { size: self.at + self.left, records: std::mem::take(&mut self.records) };
                    return Ok(Some((std::mem::take(&mut self.message), framing)));
                }
                if self.left > 0 {
                    return Ok(None);
                }
                continue;
            }
            match rest {
                [kind, ..] if *kind != HANDSHAKE => return wrong(self.at, "a record of another type inside the hello"),
                [_, major, ..] if *major != 3 => return wrong(self.at + 1, "a record version that is not TLS"),
                // Whatever the low byte will be.
                [_, _, _, high, ..] if usize::from(*high) << 8 > MOST_IN_RECORD => {
                    return wrong(self.at + 3, "a record longer than TLS allows");
                }
                _ => {}
            }
            let [_, major, minor, high, low, ..] = rest else { return Ok(None) };
            let length = u16::from_be_bytes([*high, *low]);
            if length == 0 {
                return wrong(self.at + 3, "an empty record");
            }
            if usize::from(length) > MOST_IN_RECORD {
                return wrong(self.at + 3, "a record longer than TLS allows");
            }
            let version = u16::from_be_bytes([*major, *minor]);
            self.records.push(Record { offset: self.at, start: self.message.len(), version, length });
            (self.at, self.left) = (self.at + RECORD_HEADER, length.into());
        }
    }

    /// The length of the whole message, as soon as its header is there; the type is judged at its first byte.
    fn expected(&self) -> Result<Option<usize>, Malformed> {
        let wrong = |offset, what| Err(Malformed { offset: on_wire(&self.records, offset), what });
        match *self.message {
            [kind, ..] if kind != 1 => wrong(0, "a handshake message that is no ClientHello"),
            [_, high, ..] if usize::from(high) << 16 > MOST => wrong(1, "a hello longer than 64 KiB"),
            [_, a, b, c, ..] => match u32::from_be_bytes([0, a, b, c]) as usize {
                length if length > MOST => wrong(1, "a hello longer than 64 KiB"),
                length => Ok(Some(HEADER + length)),
            },
            _ => Ok(None),
        }
    }
}

/// The message of the older format, once it is whole; with its 2-byte header, which is its only framing.
fn ssl2(wire: &[u8]) -> Result<Option<(Vec<u8>, Framing)>, Malformed> {
    let parts = ssl2::parts(wire)?;
    Ok(parts.and_then(|parts| wire.get(..parts.challenge.end)).map(|message| (message.to_vec(), Framing::Ssl2)))
}

/// Where a byte of the handshake message stood on the wire.
pub(super) fn on_wire(records: &[Record], offset: usize) -> usize {
    let before = records.partition_point(|record| record.start <= offset);
    let record = before.checked_sub(1).and_then(|last| records.get(last));
    record.map_or(offset, |record| record.offset + RECORD_HEADER + offset - record.start)
}

/// The bytes of the wire, up to the end of the message.
pub(super) fn wire(records: &[Record], message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + RECORD_HEADER * records.len());
    for record in records {
        wire.push(HANDSHAKE);
        wire.extend(record.version.to_be_bytes());
        wire.extend(record.length.to_be_bytes());
        let rest = message.get(record.start..).unwrap_or_default();
        wire.extend_from_slice(&rest[..rest.len().min(record.length.into())]);
    }
    wire
}

/// The pieces of the wire that so many bytes take from there on: a part of a header, or of the message.
pub(super) fn pieces(records: &[Record], offset: usize, length: usize) -> Vec<Range<usize>> {
    let first = records.partition_point(|record| record.offset <= offset).saturating_sub(1);
    let (mut pieces, mut at, mut left) = (Vec::new(), offset, length);
    for record in records.get(first..).unwrap_or_default() {
        let payload = record.offset + RECORD_HEADER;
        if at < payload && pieces.is_empty() {
            break;
        }
        at = at.max(payload);
        let here = left.min((payload + usize::from(record.length)).saturating_sub(at));
        if here > 0 {
            pieces.push(at..at + here);
        }
        (at, left) = (at + here, left - here);
        if left == 0 {
            break;
        }
    }
    if pieces.is_empty() {
        pieces.push(offset..offset + length);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_lead_back_to_the_wire() {
        // A message of 4 + 6 bytes in records of 5, 3 and 2 bytes.
        let wire = [22, 3, 1, 0, 5, 1, 0, 0, 6, 10, 22, 3, 1, 0, 3, 11, 12, 13, 22, 3, 1, 0, 2, 14, 15];
        let (message, framing) = Reader::new().records(&wire).unwrap().unwrap();
        assert_eq!(message, [1, 0, 0, 6, 10, 11, 12, 13, 14, 15]);
        let Framing::Records { records, size } = framing else { panic!("{framing:?}") };
        assert_eq!((records.len(), size), (3, wire.len()));
        for (offset, byte) in message.iter().enumerate() {
            assert_eq!(wire[on_wire(&records, offset)], *byte);
        }
    }

    #[test]
    fn each_wrong_byte_is_named_with_its_offset_as_soon_as_it_is_there() {
        for (wire, offset) in [
            (&[22, 3, 1, 0, 0][..], 3),
            (&[22, 3, 1, 0x45], 3),
            (&[22, 3, 1, 0x44, 1], 3),
            (&[22, 3, 1, 0, 5, 2], 5),
            (&[22, 3, 1, 0, 2, 1, 0, 21], 7),
            (&[22, 3, 1, 0, 2, 1, 0, 22, 4], 8),
            (&[22, 3, 1, 0, 4, 1, 2], 6),
            (&[22, 3, 1, 0, 4, 1, 1, 0, 1], 6),
        ] {
            let mut reader = Reader::new();
            for end in 0..wire.len() {
                assert_eq!(reader.read(&wire[..end]), None, "{wire:?} after {end}");
            }
            let Some(Greeting::Malformed(malformed)) = reader.read(wire) else { panic!("{wire:?}") };
            assert_eq!(malformed.offset, offset, "{wire:?}");
        }
    }
}
