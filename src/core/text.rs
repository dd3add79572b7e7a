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

/// The bytes of a text in which `\r \n \t \0 \e \\` and `\xHH` stand for what they do in a shell's `$'...'`.
///
/// # Errors
/// What is wrong with the text, as the end of a sentence that begins with it.
pub fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend(before.bytes());
        let mut escape = after.chars();
        let byte = match escape.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('e') => 0x1b,
            Some('\\') => b'\\',
            Some('x') => {
                let digits = after.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                escape = after.get(3..).unwrap_or_default().chars();
                byte.ok_or("needs two hexadecimal digits after \\x")?
            }
            Some(other) => return Err(format!("has the unknown escape \\{other}; there are \\r \\n \\t \\0 \\e \\xHH and \\\\")),
            None => return Err("ends in a single backslash; write \\\\ for one".into()),
        };
        out.push(byte);
        rest = escape.as_str();
    }
    out.extend(rest.bytes());
    Ok(out)
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
