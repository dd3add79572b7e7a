//! The frames that Initials may carry (RFC 9000 sections 12.4 and 19).

use super::varint;
use crate::hello::Malformed;

const PADDING: u64 = 0x00;
const PING: u64 = 0x01;
const ACK: u64 = 0x02;
const ACK_WITH_ECN: u64 = 0x03;
pub(super) const CRYPTO: u64 = 0x06;
pub(super) const CONNECTION_CLOSE: u64 = 0x1c;

/// A piece of the handshake, and its offset.
pub(super) type Crypto<'a> = (u64, &'a [u8]);

/// The CRYPTO frames of a payload, in its order.
///
/// # Errors
/// The offset in the payload of a frame that breaks off, or that Initials may not carry. What came before it is told, too.
pub(super) fn crypto(payload: &[u8]) -> (Vec<Crypto<'_>>, Option<Malformed>) {
    let (mut frames, mut rest) = (Vec::new(), payload);
    while !rest.is_empty() {
        let offset = payload.len() - rest.len();
        let wrong = |what| Some(Malformed { offset, what });
        match frame(rest) {
            Some(Ok((crypto, after))) => {
                frames.extend(crypto);
                rest = after;
            }
            Some(Err(NotAllowed)) => return (frames, wrong("a QUIC frame that Initials may not carry")),
            None => return (frames, wrong("a QUIC frame that breaks off")),
        }
    }
    (frames, None)
}

struct NotAllowed;

/// One frame, or a run of padding, and what follows it; `None` where it breaks off.
#[allow(clippy::type_complexity, reason = "used once")]
fn frame(bytes: &[u8]) -> Option<Result<(Option<Crypto<'_>>, &[u8]), NotAllowed>> {
    let (kind, mut rest) = varint(bytes)?;
    let mut number = || {
        let (value, after) = varint(rest)?;
        rest = after;
        Some(value)
    };
    match kind {
        PADDING => rest = &rest[rest.iter().take_while(|byte| **byte == 0).count()..],
        PING => {}
        ACK | ACK_WITH_ECN => {
            let (_largest, _delay, ranges, _first) = (number()?, number()?, number()?, number()?);
            // Each takes two bytes at least: the payload ends before a wrong count does.
            for _ in 0..ranges {
                let (_gap, _length) = (number()?, number()?);
            }
            if kind == ACK_WITH_ECN {
                let _counts = (number()?, number()?, number()?);
            }
        }
        CRYPTO => {
            let (offset, length) = (number()?, number()?);
            let (data, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            return Some(Ok((Some((offset, data)), after)));
        }
        CONNECTION_CLOSE => {
            let (_error, _frame, reason) = (number()?, number()?, number()?);
            rest = rest.get(usize::try_from(reason).ok()?..)?;
        }
        _ => return Some(Err(NotAllowed)),
    }
    Some(Ok((None, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crypto_is_found_among_the_others() {
        // PING, PADDING, ACK of two ranges, ACK with ECN, CRYPTO, CONNECTION_CLOSE with a reason, CRYPTO, PADDING.
        let payload =
            b"\x01\0\0\x02\x09\x40\x19\x01\x02\x01\x03\x03\x09\0\0\0\x01\x02\x03\x06\x40\x05\x02ab\x1c\x41\x28\x06\x02no\x06\0\x01c\0";
        let (frames, wrong) = crypto(payload);
        assert_eq!(frames, [(5, &b"ab"[..]), (0, b"c")]);
        assert_eq!(wrong, None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_offset_after_what_came_before() {
        for (payload, offset, what) in [
            (&b"\x01\x06\0\x02a"[..], 1, "breaks off"),
            (b"\0\0\x08\0", 2, "may not carry"),
            (b"\x02\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0", 0, "breaks off"),
            (b"\x06\0\xff\xff\xff\xff\xff\xff\xff\xffx", 0, "breaks off"),
            (b"\x40", 0, "breaks off"),
        ] {
            let (frames, wrong) = crypto(payload);
            let wrong = wrong.unwrap();
            assert_eq!((frames.len(), wrong.offset, wrong.what.contains(what)), (0, offset, true), "{wrong}");
        }
        assert_eq!(crypto(b"\x06\0\x01a\x1e").0, [(0, &b"a"[..])]);
    }
}
