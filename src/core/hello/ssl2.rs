//! The ClientHello in the format of SSL 2.0 that old clients of TLS send, to be understood by servers of both
//! (RFC 5246 appendix E.2; servers of TLS may still accept it, RFC 6176 section 3).

use super::{Malformed, message::Fields};
use std::ops::Range;

/// The 2-byte header, the type, the version and three lengths.
const FIXED: usize = 2 + 1 + 2 + 3 * 2;

/// Where the parts of the message stand in it.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) version: u16,
    /// Three bytes each.
    pub(super) cipher_specs: Range<usize>,
    pub(super) session_id: Range<usize>,
    pub(super) challenge: Range<usize>,
}

/// Finds the parts of a message by the lengths at its beginning; `None` where they are not there yet.
pub(super) fn parts(message: &[u8]) -> Result<Option<Parts>, Malformed> {
    let number = |at: usize| message.get(at..at + 2)?.first_chunk().map(|pair| u16::from_be_bytes(*pair));
    let (Some(header), Some(version), Some(specs), Some(session_id), Some(challenge)) =
        (number(0), number(3), number(5), number(7), number(9))
    else {
        return Ok(None);
    };
    let wrong = |offset, what| Err(Malformed { offset, what });
    if message.get(2) != Some(&1) {
        return wrong(2, "a handshake message that is no ClientHello");
    }
    if specs == 0 || specs % 3 != 0 {
        return wrong(5, "cipher specs that are not of three bytes each");
    }
    if ![0, 16].contains(&session_id) {
        return wrong(7, "a session id that is not of 16 bytes");
    }
    if !(16..=32).contains(&challenge) {
        return wrong(9, "a challenge that is not of 16 to 32 bytes");
    }
    let specs = FIXED..FIXED + usize::from(specs);
    let session_id = specs.end..specs.end + usize::from(session_id);
    let challenge = session_id.end..session_id.end + usize::from(challenge);
    if challenge.end != 2 + usize::from(header & 0x7fff) {
        return wrong(0, "a hello whose fields do not fit its length");
    }
    Ok(Some(Parts { version, cipher_specs: specs, session_id, challenge }))
}

/// The same of a whole message.
pub(super) fn parse(message: &[u8]) -> Result<Parts, Malformed> {
    match parts(message)? {
        Some(parts) if parts.challenge.end == message.len() => Ok(parts),
        Some(_) => Err(Malformed { offset: 0, what: "a message whose length is not that of its bytes" }),
        None => Err(Malformed::unfinished(message)),
    }
}

impl Parts {
    /// The cipher suites of TLS among the specs: those that begin with a zero byte. The others are of SSL 2.0.
    pub(super) fn cipher_suites(&self, message: &[u8]) -> Vec<u16> {
        let (specs, _) = message.get(self.cipher_specs.clone()).unwrap_or_default().as_chunks();
        specs.iter().filter(|spec| spec[0] == 0).map(|[_, high, low]| u16::from_be_bytes([*high, *low])).collect()
    }

    pub(super) fn fields(&self) -> Fields {
        Fields { random: self.challenge.clone(), session_id: self.session_id.clone(), compression_methods: 0..0 }
    }
}
