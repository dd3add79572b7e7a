//! Bytes that are text more often than not, for people.

use std::fmt::Write;

/// Bytes as text: what is UTF-8 as it is, any other byte as `\xab`. It is as untrusted as they are.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Bytes as hexadecimal digits, two for each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    text.extend(bytes.iter().flat_map(|byte| digits(*byte)));
    text
}

/// A byte as hexadecimal digits.
#[must_use]
pub fn digits(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_two_digits() {
        assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
        assert_eq!(hex(&[]), "");
    }

    #[test]
    fn what_is_no_utf8_is_told_byte_by_byte() {
        assert_eq!(text("héllo\n".as_bytes()), "héllo\n");
        assert_eq!(text(b"\xbaa\xc3\xa9\xc3\xff"), r"\xbaaé\xc3\xff");
        assert_eq!(text(b""), "");
    }
}
