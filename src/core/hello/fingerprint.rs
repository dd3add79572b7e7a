//! Fingerprints: what hellos of the same client have in common, in a few bytes.
//!
//! JA3 as in github.com/salesforce/ja3; JA4 of the client as in technical_details/JA4.md of github.com/FoxIO-LLC/ja4.

use super::{ClientHello, Framing, is_grease};
use crate::text::hex;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A fingerprint in the manner of JA3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ja3 {
    /// What the hash is of: version, cipher suites, extensions, groups, point formats.
    pub text: String,
    /// MD5 of the text, in 32 hexadecimal digits.
    pub hash: String,
}

/// A fingerprint in the manner of JA4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ja4 {
    /// With everything sorted, in 36 characters.
    pub ja4: String,
    /// The same with the lists in place of their hashes.
    pub ja4_r: String,
    /// In the client's order, with server_name and ALPN among the extensions.
    pub ja4_o: String,
    /// The same with the lists in place of their hashes.
    pub ja4_ro: String,
}

const SIGNATURE_ALGORITHMS: u16 = 13;
const GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;

/// JA3: everything in the client's order, without GREASE. Browsers send their extensions in random order, which JA3 takes
/// for another client each time; see [`ja3n`].
#[must_use]
pub fn ja3(hello: &ClientHello) -> Ja3 {
    ja3_of(hello, extension_codes(hello))
}

/// JA3 with the extensions sorted by their number.
#[must_use]
pub fn ja3n(hello: &ClientHello) -> Ja3 {
    let mut codes = extension_codes(hello);
    codes.sort_unstable();
    ja3_of(hello, codes)
}

fn ja3_of(hello: &ClientHello, extensions: Vec<u16>) -> Ja3 {
    let formats = hello.extension(POINT_FORMATS).and_then(|extension| hello.data(extension).get(1..)).unwrap_or_default();
    let formats = formats.iter().map(|format| u16::from(*format));
    let lists = [without_grease(&hello.cipher_suites), extensions, without_grease(&pairs(hello, GROUPS)), formats.collect()];
    let mut text = hello.legacy_version.to_string();
    for list in lists {
        let separators = std::iter::once(',').chain(std::iter::repeat('-'));
        if list.is_empty() {
            text.push(',');
        }
        for (separator, number) in separators.zip(list) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{number}");
        }
    }
    let hash = hex(&Md5::digest(&text));
    Ja3 { text, hash }
}

/// JA4 of the client and its three variants. Where the specification is silent, they are as FoxIO's own programs print them.
#[must_use]
pub fn ja4(hello: &ClientHello) -> Ja4 {
    let ciphers = without_grease(&hello.cipher_suites);
    let extensions = extension_codes(hello);
    let signatures = list(&without_grease(&pairs(hello, SIGNATURE_ALGORITHMS)));
    let first = ja4_a(hello, ciphers.len(), extensions.len());

    let mut sorted_ciphers = ciphers.clone();
    sorted_ciphers.sort_unstable();
    let mut sorted: Vec<u16> = extensions.iter().copied().filter(|code| !matches!(code, 0 | 16)).collect();
    sorted.sort_unstable();

    let with_signatures = |extensions: &[u16]| {
        let extensions = list(extensions);
        if signatures.is_empty() { extensions } else { format!("{extensions}_{signatures}") }
    };
    let (ciphers, sorted_ciphers) = (list(&ciphers), list(&sorted_ciphers));
    let nothing_sorted = sorted.is_empty();
    let (extensions, sorted) = (with_signatures(&extensions), with_signatures(&sorted));
    // Zeros also here where nothing is left without server_name and ALPN.
    let hash_of_extensions = hash12(if nothing_sorted { "" } else { &extensions });
    Ja4 {
        ja4: format!("{first}_{}_{}", hash12(&sorted_ciphers), hash12(&sorted)),
        ja4_r: format!("{first}_{sorted_ciphers}_{sorted}"),
        ja4_o: format!("{first}_{}_{}", hash12(&ciphers), hash_of_extensions),
        ja4_ro: format!("{first}_{ciphers}_{extensions}"),
    }
}

/// The part that people can read: `t13d1516h2`.
fn ja4_a(hello: &ClientHello, ciphers: usize, extensions: usize) -> String {
    let transport = match hello.came {
        Framing::Records { .. } | Framing::Bare | Framing::Ssl2 => 't',
        Framing::Quic { .. } => 'q',
        Framing::Dtls { .. } => 'd',
    };
    let version = match ja4_version(hello) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    };
    // The extension counts, not what it says.
    let sni = if hello.extension(0).is_some() { 'd' } else { 'i' };
    let alpn = ja4_alpn(hello.alpn.first().map_or(&[], Vec::as_slice));
    format!("{transport}{version}{sni}{:02}{:02}{alpn}", ciphers.min(99), extensions.min(99))
}

fn ja4_version(hello: &ClientHello) -> u16 {
    let versions = hello.versions.iter().copied();
    // The numbers of DTLS count downwards.
    let highest = if matches!(hello.came, Framing::Dtls { .. }) { versions.min() } else { versions.max() };
    highest.unwrap_or(hello.legacy_version)
}

/// The first and the last byte of a protocol; of its hexadecimal digits, where one of them is no letter or digit.
fn ja4_alpn(protocol: &[u8]) -> String {
    let (Some(first), Some(last)) = (protocol.first(), protocol.last()) else { return "00".into() };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(*first), char::from(*last)].into_iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 15)
}

/// The extensions without GREASE.
fn extension_codes(hello: &ClientHello) -> Vec<u16> {
    hello.extensions.iter().map(|extension| extension.code).filter(|code| !is_grease(*code)).collect()
}

fn without_grease(values: &[u16]) -> Vec<u16> {
    values.iter().copied().filter(|value| !is_grease(*value)).collect()
}

/// The 16-bit numbers of an extension that is one list of them; as many as are whole.
fn pairs(hello: &ClientHello, code: u16) -> Vec<u16> {
    let data = hello.extension(code).map_or(&[][..], |extension| hello.data(extension));
    let (pairs, _) = data.get(2..).unwrap_or_default().as_chunks();
    pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}

/// Numbers in hexadecimal, as JA4 writes them.
fn list(numbers: &[u16]) -> String {
    let mut text = String::with_capacity(5 * numbers.len());
    for number in numbers {
        let separator = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{number:04x}");
    }
    text
}

/// The first 12 digits of the SHA-256 of a text; zeros where it is empty.
fn hash12(text: &str) -> String {
    if text.is_empty() { "0".repeat(12) } else { hex(&Sha256::digest(text)[..6]) }
}

#[cfg(test)]
mod tests;
