//! Bytes that are written as text: hexadecimal, dumps of it, base64.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// What a text may stand for, the most certain first. Nothing where it is no text.
pub(super) fn decode(bytes: &[u8]) -> Vec<Vec<u8>> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Some(text) = str::from_utf8(text).ok().filter(|text| text.is_ascii()) else { return Vec::new() };
    [dump(text), hex(text), base64(text)].into_iter().flatten().filter(|bytes| !bytes.is_empty()).collect()
}

/// Digits, and whatever people and programs put between them: `16 03 01`, `16:03:01`, `0x16, 0x03`, `\x16\x03`.
fn hex(text: &str) -> Option<Vec<u8>> {
    let text = text.replace("0x", " ").replace("0X", " ").replace("\\x", " ");
    let ignored = |c: char| c.is_ascii_whitespace() || ":,;-{}[]()\"'".contains(c);
    let mut digits = Vec::with_capacity(text.len());
    for c in text.chars().filter(|c| !ignored(*c)) {
        digits.push(c.to_digit(16)? as u8);
    }
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// A dump with offsets, as `xxd`, `hexdump -C`, tcpdump and Wireshark write them. The offsets must be right: that makes it
/// certain that they are none of the bytes.
fn dump(text: &str) -> Option<Vec<u8>> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let (mut out, mut width, mut repeated) = (Vec::new(), 16, false);
    for (i, line) in lines.iter().enumerate() {
        // As many of the line before as it takes to the next offset.
        if *line == "*" {
            repeated = true;
            continue;
        }
        let (offset, rest) = offset(line)?;
        if std::mem::take(&mut repeated) {
            let last = out.get(out.len().checked_sub(width)?..)?.to_vec();
            // A squeezed line is short; what it stands for is not longer than what is read in other forms.
            if offset < out.len() || offset > super::MOST || last.is_empty() {
                return None;
            }
            let missing = offset - out.len();
            out.extend(last.iter().copied().cycle().take(missing));
        }
        if offset != out.len() {
            return None;
        }
        let next = lines.get(i + 1).and_then(|line| self::offset(line)).map(|(next, _)| next);
        let most = next.and_then(|next| next.checked_sub(offset)).unwrap_or(width);
        let before = out.len();
        row(rest, most, &mut out);
        if next.is_some_and(|next| next != out.len()) {
            return None;
        }
        if out.len() > before {
            width = out.len() - before;
        }
    }
    Some(out)
}

/// The offset at the start of a line, of at least four digits, and what follows it.
fn offset(line: &str) -> Option<(usize, &str)> {
    let line = line.strip_prefix("0x").unwrap_or(line);
    let end = line.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let separate = rest.is_empty() || rest.starts_with(' ') || rest.starts_with('\t');
    if !(4..=8).contains(&digits.len()) || !separate {
        return None;
    }
    Some((usize::from_str_radix(digits, 16).ok()?, rest.trim_start()))
}

/// The bytes of a line, at most so many, without the column of characters: that begins with `|`, or after what the line is
/// short of.
fn row(rest: &str, most: usize, out: &mut Vec<u8>) {
    let rest = rest.split('|').next().and_then(|rest| rest.split("   ").next()).unwrap_or_default();
    let mut left = most;
    for word in rest.split_ascii_whitespace() {
        let Some(bytes) = hex(word).filter(|bytes| bytes.len() <= left && word.len() == 2 * bytes.len()) else { return };
        left -= bytes.len();
        out.extend(bytes);
        if left == 0 {
            return;
        }
    }
}

/// Of either alphabet, with or without padding, in lines, with or without the armour of PEM.
fn base64(text: &str) -> Option<Vec<u8>> {
    const ENGINE: GeneralPurpose =
        GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));
    let decode = |text: &str| {
        let text: String = text
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .map(|c| {
                if c == '-' {
                    '+'
                } else if c == '_' {
                    '/'
                } else {
                    c
                }
            })
            .collect();
        ENGINE.decode(text).ok()
    };
    let lines = || text.lines().filter(|line| !line.starts_with("-----"));
    // One value in lines, or one value a line.
    decode(&lines().collect::<String>()).or_else(|| lines().map(decode).collect::<Option<Vec<_>>>().map(|all| all.concat()))
}
