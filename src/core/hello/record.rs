//! TLS records: from the bytes of the wire to the first handshake message (RFC 8446 section 5.1).

use super::{MOST, Malformed};

/// The first handshake message of a stream, and how it came.
#[derive(Debug)]
pub(super) struct Message {
    /// The message without its 4-byte header.
    pub(super) body: Vec<u8>,
    /// How many records it came in.
    pub(super) records: usize,
    /// Bytes of the wire up to the end of the last of them, whatever else that one holds.
    pub(super) size: usize,
    /// Where each record's payload starts: (offset in the message, offset on the wire).
    starts: Vec<(usize, usize)>,
}

/// The handshake header: type and 24-bit length.
const HEADER: usize = 4;
/// Type 22, handshake.
const HANDSHAKE: u8 = 22;
/// RFC 8446 allows 2^14 bytes of plaintext; older stacks were allowed 2^10 more for compression (RFC 5246 6.2.2).
const MOST_IN_RECORD: usize = (1 << 14) + 1024;

/// Whether the bytes may be the start of TLS: type 22, then major version 3.
pub(super) fn may_be_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [HANDSHAKE] | [HANDSHAKE, 3, ..])
}

/// Puts the handshake message together from as many records as it takes. `None` asks for more bytes.
pub(super) fn handshake_message(wire: &[u8]) -> Result<Option<Message>, Malformed> {
    let wrong = |offset, what| Err(Malformed { offset, what });
    let (mut message, mut starts, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        let record = &wire[at..];
        match record {
            [kind, ..] if *kind != HANDSHAKE => return wrong(at, "a record of another type inside the hello"),
            [_, major, ..] if *major != 3 => return wrong(at + 1, "a record version that is not TLS"),
            _ => {}
        }
        let [_, _, _, high, low, payload @ ..] = record else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 {
            return wrong(at + 3, "an empty record");
        }
        if length > MOST_IN_RECORD {
            return wrong(at + 3, "a record longer than TLS allows");
        }
        starts.push((message.len(), at + 5));
        message.extend_from_slice(&payload[..payload.len().min(length)]);
        if let Some(expected) = expected(&message, &starts)?
            && message.len() >= expected
        {
            message.truncate(expected);
            return Ok(Some(Message { body: message.split_off(HEADER), records: starts.len(), size: at + 5 + length, starts }));
        }
        if payload.len() < length {
            return Ok(None);
        }
        at += 5 + length;
    }
}

/// The length of the whole message, as soon as its header is there; the type is judged at its first byte.
fn expected(message: &[u8], starts: &[(usize, usize)]) -> Result<Option<usize>, Malformed> {
    if message.first().is_some_and(|kind| *kind != 1) {
        return Err(Malformed { offset: on_wire(starts, 0), what: "a handshake message that is no ClientHello" });
    }
    let [_, a, b, c, ..] = message else { return Ok(None) };
    let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    if length > MOST {
        return Err(Malformed { offset: on_wire(starts, 1), what: "a hello longer than 64 KiB" });
    }
    Ok(Some(HEADER + length))
}

fn on_wire(starts: &[(usize, usize)], offset: usize) -> usize {
    let (start, wire) = starts.iter().rev().find(|(start, _)| *start <= offset).copied().unwrap_or((0, 0));
    wire + offset - start
}

impl Message {
    /// Where a byte of the body stood on the wire.
    pub(super) fn on_wire(&self, offset: usize) -> usize {
        on_wire(&self.starts, HEADER + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_lead_back_to_the_wire() {
        // A message of 4 + 6 bytes in records of 5, 3 and 2 bytes.
        let wire = [22, 3, 1, 0, 5, 1, 0, 0, 6, 10, 22, 3, 1, 0, 3, 11, 12, 13, 22, 3, 1, 0, 2, 14, 15];
        let message = handshake_message(&wire).unwrap().unwrap();
        assert_eq!(message.body, [10, 11, 12, 13, 14, 15]);
        assert_eq!((message.records, message.size), (3, wire.len()));
        for (offset, byte) in message.body.iter().enumerate() {
            assert_eq!(wire[message.on_wire(offset)], *byte);
        }
    }

    #[test]
    fn each_wrong_byte_is_named_with_its_offset() {
        for (wire, offset) in [
            (&[22, 3, 1, 0, 0][..], 3),
            (&[22, 3, 1, 0xff, 0xff], 3),
            (&[22, 3, 1, 0, 5, 2], 5),
            (&[22, 3, 1, 0, 2, 1, 0, 21], 7),
            (&[22, 3, 1, 0, 2, 1, 0, 22, 4], 8),
            (&[22, 3, 1, 0, 4, 1, 2, 0, 0], 6),
        ] {
            assert_eq!(handshake_message(wire).unwrap_err().offset, offset, "{wire:?}");
        }
    }
}
