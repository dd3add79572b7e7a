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

/// Finds the parts of a whole message.
pub(super) fn parse(message: &[u8]) -> Result<Parts, Malformed> {
    let Some([high, low, 1, major, minor, a, b, c, d, e, f]) = message.first_chunk::<FIXED>() else {
        return Err(Malformed { offset: message.len(), what: "a hello whose fields do not fit its length" });
    };
    let length = |high: &u8, low: &u8| usize::from(u16::from_be_bytes([*high, *low]));
    if length(&(high & 0x7f), low) + 2 != message.len() {
        return Err(Malformed { offset: 0, what: "a message whose length is not that of its bytes" });
    }
    let specs = FIXED + length(a, b);
    let session = specs + length(c, d);
    let end = session + length(e, f);
    if !length(a, b).is_multiple_of(3) || length(a, b) == 0 {
        return Err(Malformed { offset: 5, what: "cipher specs that are not of three bytes each" });
    }
    if ![0, 16].contains(&length(c, d)) {
        return Err(Malformed { offset: 7, what: "a session id that is not of 16 bytes" });
    }
    if !(16..=32).contains(&length(e, f)) {
        return Err(Malformed { offset: 9, what: "a challenge that is not of 16 to 32 bytes" });
    }
    if end != message.len() {
        return Err(Malformed { offset: 5, what: "a hello whose fields do not fit its length" });
    }
    let version = u16::from_be_bytes([*major, *minor]);
    Ok(Parts { version, cipher_specs: FIXED..specs, session_id: specs..session, challenge: session..end })
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
