//! Sections of PEM files (RFC 7468), with the lines that they begin in.

#[cfg(test)]
mod tests;

use super::IdentityError;
use crate::event::brief;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{PemObject, SectionKind},
};
use std::{fs::File, io::Read, path::Path};

/// The longest file that is read: a chain has a few KiB, a bundle of all public authorities some 200 KiB.
const LARGEST: u64 = 1024 * 1024;

/// A section, decoded where it is of a kind that is used here.
pub(super) struct Section {
    /// The line of its beginning, from 1.
    pub(super) line: usize,
    /// The words after BEGIN.
    pub(super) label: String,
    /// Whether it is an encrypted key.
    encrypted: bool,
    content: Option<(SectionKind, Vec<u8>)>,
}

/// The certificates of a file, in its order.
///
/// # Errors
/// It cannot be read, or holds none, or something that is broken.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let bytes = read(path)?;
    Ok(chain(path, &bytes, &sections(path, &bytes)?)?.into_iter().map(|(_, certificate)| certificate).collect())
}

/// Reads a file of certificates or keys.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    read_up_to(path, LARGEST, "certificate or key")
}

/// Reads a file of at most so many bytes; where it is a pipe, until its writers have gone.
pub(crate) fn read_up_to(path: &Path, most: u64, what: &'static str) -> Result<Vec<u8>, IdentityError> {
    let failed = |error| IdentityError::Read { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most { Err(IdentityError::TooLong { path: path.to_owned(), most, what }) } else { Ok(bytes) }
}

/// The certificates among the sections of a file, each with the line that it begins in.
pub(super) fn chain(path: &Path, bytes: &[u8], sections: &[Section]) -> Result<Vec<(usize, CertificateDer<'static>)>, IdentityError> {
    let certificate = |section: &Section| match &section.content {
        Some((SectionKind::Certificate, der)) => Some((section.line, CertificateDer::from(der.clone()))),
        _ => None,
    };
    let chain: Vec<_> = sections.iter().filter_map(certificate).collect();
    if chain.is_empty() {
        return Err(IdentityError::NoCertificate { path: path.to_owned(), but: holds(path, bytes, sections, "x509") });
    }
    Ok(chain)
}

/// The first private key among the sections of a file.
pub(super) fn key(path: &Path, bytes: &[u8], sections: &[Section]) -> Result<PrivateKeyDer<'static>, IdentityError> {
    for section in sections {
        if section.encrypted {
            let why = "the key is encrypted; tapline asks for no passphrase: openssl pkey -in FILE -out OTHER decrypts it";
            return Err(IdentityError::Line { path: path.to_owned(), line: section.line, why: why.into() });
        }
        if let Some(key) = section.content.clone().and_then(|(kind, der)| PrivateKeyDer::from_pem(kind, der)) {
            return Ok(key);
        }
    }
    Err(IdentityError::NoKey { path: path.to_owned(), but: holds(path, bytes, sections, "pkey") })
}

/// What a file holds instead of what was looked for.
fn holds(path: &Path, bytes: &[u8], sections: &[Section], command: &str) -> String {
    // Of a long bundle the first tell enough.
    let found: Vec<_> = sections.iter().take(5).map(|section| format!("{} (line {})", section.label, section.line)).collect();
    match bytes {
        [] => ": it is empty".into(),
        // A SEQUENCE whose length has more than one byte: X.690, as DER and PKCS#12 begin.
        [0x30, 0x81..=0x84, ..] if found.is_empty() => {
            format!(": it is DER; openssl {command} -inform der -in {} turns it into PEM", path.display())
        }
        _ if found.is_empty() => String::new(),
        _ => format!(", but {}", found.join(", ")),
    }
}

/// A section that was begun.
struct Begun {
    line: usize,
    label: String,
    /// Where it begins in the file.
    at: usize,
    /// Whether a header of RFC 1421 says that it is encrypted.
    encrypted: bool,
    in_headers: bool,
}

/// All sections of a file. What stands between them is not looked at.
pub(super) fn sections(path: &Path, bytes: &[u8]) -> Result<Vec<Section>, IdentityError> {
    let wrong = |line: usize, why: String| IdentityError::Line { path: path.to_owned(), line, why };
    let (mut sections, mut begun, mut at) = (Vec::new(), None::<Begun>, 0);
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let end = at + line.len();
        at = end + 1;
        // Some editors begin a file with a byte order mark.
        let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(line);
        let (start, line) = (end - line.len(), line.trim_ascii_end());
        let Some(section) = &mut begun else {
            if let Some(rest) = line.strip_prefix(b"-----BEGIN") {
                let label = label(rest).ok_or_else(|| wrong(number, "begins a section, but not as -----BEGIN LABEL-----".into()))?;
                begun = Some(Begun { line: number, label, at: start, encrypted: false, in_headers: true });
            }
            continue;
        };
        if let Some(rest) = line.strip_prefix(b"-----END") {
            if label(rest).as_ref() != Some(&section.label) {
                return Err(wrong(number, format!("ends another section than {}, which line {} begins", section.label, section.line)));
            }
            let Begun { line: first, label, at: start, encrypted, .. } = begun.take().unwrap_or_else(|| unreachable!("it was begun"));
            let known = SectionKind::try_from(label.as_bytes()).is_ok();
            // What the library says of it may hold a byte of a key.
            let decode = || <(SectionKind, Vec<u8>)>::from_pem_slice(&bytes[start..end]);
            let content = (known && !encrypted).then(decode).transpose();
            let content = content.map_err(|_| wrong(first, format!("{label} is not whole: its base64 does not end as it should")))?;
            let encrypted = encrypted || label == "ENCRYPTED PRIVATE KEY";
            sections.push(Section { line: first, label, encrypted, content });
        } else if line.starts_with(b"-----BEGIN") {
            return Err(wrong(number, format!("begins a section within {}, which line {} begins", section.label, section.line)));
        } else if section.in_headers && line.contains(&b':') {
            section.encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
        } else {
            section.in_headers = line.is_empty() && section.in_headers;
            if !line.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/= \t\r".contains(byte)) {
                return Err(wrong(number, format!("is no base64, within {} which line {} begins", section.label, section.line)));
            }
        }
    }
    match begun {
        Some(Begun { line, label, .. }) => Err(wrong(line, format!("{label} has no end: the file was cut"))),
        None => Ok(sections),
    }
}

/// The label of a line that begins or ends a section, after the word for it: capitals, digits and spaces, so that nothing of a key is ever
/// taken for one.
fn label(rest: &[u8]) -> Option<String> {
    let label = rest.strip_prefix(b" ")?.strip_suffix(b"-----")?;
    let legal = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" #-/".contains(byte);
    (!label.is_empty() && label.iter().all(legal)).then(|| brief(&String::from_utf8_lossy(label)))
}
