//! Packets with a long header (RFC 9000 section 17.2), and what protects those that are Initial (RFC 9001 section 5).

use super::varint;
use rustls::{
    Side,
    crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{DirectionalKeys, Keys, Version},
};

/// The longest connection id of the versions that are known (RFC 9000 section 17.2).
const MOST_ID: usize = 20;
/// The shortest one that a client makes up for its server (RFC 9000 section 7.2).
const LEAST_FIRST_ID: usize = 8;
/// What header protection is made of (RFC 9001 section 5.4.2), and where it begins after the start of the packet number.
const SAMPLE: usize = 16;
const MOST_NUMBER: usize = 4;

/// What a packet is, as far as this matters for hellos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    /// 0-RTT or Handshake: it has a length, so that another packet can follow it.
    Other,
    /// Retry, which only servers send, to the end of the datagram.
    Retry,
}

/// A packet of a version that is known.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) kind: Kind,
    pub(super) version: u32,
    pub(super) destination: &'a [u8],
    pub(super) source: &'a [u8],
    /// The packet from its first byte to its end.
    bytes: &'a [u8],
    /// Where its packet number begins.
    number: usize,
}

/// What stands at the start of a datagram, or after another packet in it.
#[derive(Debug)]
pub(super) enum Start<'a> {
    /// A packet, and what follows it.
    Packet(Packet<'a>, &'a [u8]),
    /// A list of a server's versions (RFC 8999 section 6).
    Negotiation,
    /// A version that is not known, with its connection ids (RFC 8999 section 5.1).
    Unknown { version: u32, destination: &'a [u8], source: &'a [u8] },
    /// Not a long header, or one that breaks off.
    Nothing,
}

const V2: u32 = 0x6b33_43cf;

/// Drafts 29 to 32 share their keys.
fn known(version: u32) -> Option<Version> {
    match version {
        1 => Some(Version::V1),
        V2 => Some(Version::V2),
        0xff00_001d..=0xff00_0020 => Some(Version::V1Draft),
        _ => None,
    }
}

/// Reads what stands there. A datagram may hold several packets, one after the other (RFC 9000 section 12.2).
pub(super) fn read(bytes: &[u8]) -> Start<'_> {
    long_header(bytes).unwrap_or(Start::Nothing)
}

fn long_header(bytes: &[u8]) -> Option<Start<'_>> {
    let first = *bytes.first().filter(|first| **first & 0x80 != 0)?;
    let number = u32::from_be_bytes(*bytes.get(1..)?.first_chunk()?);
    let (destination, rest) = with_length(bytes.get(5..)?)?;
    let (source, mut rest) = with_length(rest)?;
    if number == 0 {
        return Some(Start::Negotiation);
    }
    if destination.len() > MOST_ID || source.len() > MOST_ID {
        return None;
    }
    if known(number).is_none() {
        // Other versions may have it otherwise. But so it is in all that are seen, and most random bytes are not like it.
        let plausible = first & 0x40 != 0 && destination.len() >= LEAST_FIRST_ID;
        return plausible.then_some(Start::Unknown { version: number, destination, source });
    }
    // Version 2 numbers them another way, so that nobody takes version 1 for all there is (RFC 9369 section 3.2).
    let kind = match (first >> 4 & 3, number == V2) {
        (0, false) | (1, true) => Kind::Initial,
        (3, false) | (0, true) => Kind::Retry,
        _ => Kind::Other,
    };
    let packet = |bytes, at| Packet { kind, version: number, destination, source, bytes, number: at };
    if kind == Kind::Retry {
        return Some(Start::Packet(packet(bytes, bytes.len()), &[]));
    }
    if kind == Kind::Initial {
        let (token, after) = varint(rest)?;
        rest = after.get(usize::try_from(token).ok()?..)?;
    }
    let (length, protected) = varint(rest)?;
    let (protected, after) = protected.split_at_checked(usize::try_from(length).ok()?)?;
    let end = bytes.len() - after.len();
    Some(Start::Packet(packet(&bytes[..end], end - protected.len()), after))
}

/// A connection id after its length.
fn with_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// The keys of a server for Initials: they follow from the first id that the client sends to (RFC 9001 section 5.2).
pub(super) fn keys(version: u32, destination: &[u8]) -> Option<Keys> {
    let suite = TLS13_AES_128_GCM_SHA256.tls13()?.quic_suite()?;
    Some(suite.keys(destination, Side::Server, known(version)?))
}

/// What was in a packet.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) number: u64,
    pub(super) payload: Vec<u8>,
    /// Where the payload begins in the packet.
    pub(super) start: usize,
}

impl Packet<'_> {
    /// Removes both protections; `None` where the keys are not those of the packet. `expected` is the number after the
    /// highest that has come.
    pub(super) fn open(&self, keys: &DirectionalKeys, expected: u64) -> Option<Opened> {
        let protected = self.bytes.get(self.number..)?;
        let sample = protected.get(MOST_NUMBER..MOST_NUMBER + SAMPLE)?;
        let mut header = self.bytes.get(..self.number + MOST_NUMBER)?.to_vec();
        let (first, rest) = header.split_first_mut()?;
        keys.header.decrypt_in_place(sample, first, &mut rest[self.number - 1..]).ok()?;
        let length = usize::from(*first & 3) + 1;
        header.truncate(self.number + length);
        let truncated = header[self.number..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let number = whole_number(expected, truncated, 8 * length as u32);
        let mut payload = protected[length..].to_vec();
        let length = keys.packet.decrypt_in_place(number, &header, &mut payload).ok()?.len();
        payload.truncate(length);
        Some(Opened { number, payload, start: header.len() })
    }
}

/// The packet number of which so many low bits were sent: the nearest to the one that is expected (RFC 9000 appendix A.3).
fn whole_number(expected: u64, truncated: u64, bits: u32) -> u64 {
    let window = 1 << bits;
    let candidate = expected & !(window - 1) | truncated;
    if candidate + window / 2 <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

/// An Initial of the server's with these frames, packet number 0.
pub(super) fn seal(version: u32, keys: &DirectionalKeys, destination: &[u8], source: &[u8], frames: &[u8]) -> Option<Vec<u8>> {
    // Long header, fixed bit, type; a packet number of four bytes.
    let mut header = vec![if version == V2 { 0xd3 } else { 0xc3 }];
    header.extend(version.to_be_bytes());
    for id in [destination, source] {
        header.push(u8::try_from(id.len()).ok()?);
        header.extend(id);
    }
    let length = MOST_NUMBER + frames.len() + keys.packet.tag_len();
    // No token, then the length in two bytes (RFC 9000 section 16).
    header.push(0);
    header.extend((0x4000 | u16::try_from(length).ok().filter(|length| *length < 0x4000)?).to_be_bytes());
    let number = header.len();
    header.extend([0; MOST_NUMBER]);
    let mut payload = frames.to_vec();
    let tag = keys.packet.encrypt_in_place(0, &header, &mut payload).ok()?;
    payload.extend(tag.as_ref());
    let (first, rest) = header.split_first_mut()?;
    keys.header.encrypt_in_place(payload.get(..SAMPLE)?, first, &mut rest[number - 1..]).ok()?;
    header.extend(payload);
    Some(header)
}

/// Versions 1 and 2, to a client that speaks another one.
pub(super) fn negotiation(destination: &[u8], source: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0xc0, 0, 0, 0, 0];
    for id in [destination, source] {
        // It was read from a field of this size.
        datagram.push(id.len() as u8);
        datagram.extend(id);
    }
    datagram.extend([1, V2].into_iter().flat_map(u32::to_be_bytes));
    datagram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_number_is_completed_as_in_the_rfc() {
        // RFC 9000 appendix A.3: 0xa82f30ea was the highest, 0x9b32 came.
        assert_eq!(whole_number(0xa82f_30eb, 0x9b32, 16), 0xa82f_9b32);
        assert_eq!(whole_number(0, 2, 32), 2);
        assert_eq!(whole_number(0x100, 0xff, 8), 0xff);
        assert_eq!(whole_number(0xff, 0, 8), 0x100);
    }
}
