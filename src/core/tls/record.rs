//! Records of TLS 1.3 (RFC 8446 section 5) and of TLS 1.2 with AEAD (RFC 5246 section 6.2.3.3, RFC 5288, RFC 7905):
//! sealed and opened from one buffer into another, so that no byte is copied on its way. Pure: no I/O, no messages.
//!
//! rustls negotiates the keys, and its own record layer stays with the handshake: it can neither read nor write without
//! a copy and an allocation for each record.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, InvalidMessage, PeerMisbehaved, ProtocolVersion, SupportedCipherSuite,
};

/// Bytes before each record: its type, the version, its length.
pub(super) const HEADER: usize = 5;
/// The most plaintext of one record (RFC 8446 section 5.1).
pub(super) const MOST_PLAIN: usize = 1 << 14;
/// The most that a record of ours is longer than its plaintext: its header, the explicit nonce of TLS 1.2, or the type of
/// TLS 1.3, and the tag.
pub(super) const OVERHEAD: usize = HEADER + EXPLICIT_NONCE + TAG;
/// The most that a record on the wire may be (RFC 5246 section 6.2.3): TLS 1.3 allows less.
pub(super) const MOST_ON_WIRE: usize = HEADER + MOST_PLAIN + 2048;
/// The explicit part of a nonce of AES-GCM in TLS 1.2 (RFC 5288 section 3).
const EXPLICIT_NONCE: usize = 8;
/// Of all three algorithms.
const TAG: usize = 16;

/// What a record may not be, and the alert that says so.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) error: Error,
    pub(super) alert: AlertDescription,
}

impl Wrong {
    pub(super) fn new(error: impl Into<Error>, alert: AlertDescription) -> Self {
        Self { error: error.into(), alert }
    }

    /// A record or message of another type than application data, alert or, where it may come, handshake.
    pub(super) fn unexpected(got: ContentType) -> Self {
        let error = Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData, ContentType::Alert], got_type: got };
        Self::new(error, AlertDescription::UnexpectedMessage)
    }
}

/// The keys of one direction, and how many records they have protected.
pub(super) struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
    /// How many records may be sealed with one key.
    limit: u64,
    layout: Layout,
}

/// How a record is laid out, and what is authenticated with it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The type is encrypted behind the data; the header is authenticated.
    Tls13,
    /// A nonce of 8 bytes goes before the data; sequence number, type, version and length are authenticated.
    Tls12Gcm,
    /// The same without a nonce.
    Tls12Chacha,
}

impl Keys {
    /// Keys as rustls hands them out after a handshake, or after a KeyUpdate.
    pub(super) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets), suite: SupportedCipherSuite) -> Result<Self, Error> {
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return Err(Error::General("a cipher that the record layer does not know".into())),
        };
        let (layout, limit) = match suite {
            SupportedCipherSuite::Tls13(suite) => (Layout::Tls13, suite.common.confidentiality_limit),
            SupportedCipherSuite::Tls12(suite) => {
                let chacha = matches!(secrets, ConnectionTrafficSecrets::Chacha20Poly1305 { .. });
                (if chacha { Layout::Tls12Chacha } else { Layout::Tls12Gcm }, suite.common.confidentiality_limit)
            }
        };
        let iv = iv.as_ref().try_into().map_err(|_| Error::General("a nonce of another length than TLS has".into()))?;
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| Error::EncryptError)?;
        Ok(Self { key: LessSafeKey::new(key), iv, sequence, limit, layout })
    }

    /// Whether these are keys of TLS 1.3.
    pub(super) fn are_tls13(&self) -> bool {
        self.layout == Layout::Tls13
    }

    /// Whether only one more record may be sealed: it is for the KeyUpdate, or for the end (RFC 8446 section 5.5).
    pub(super) fn are_spent(&self) -> bool {
        self.sequence.saturating_add(1) >= self.limit
    }

    /// Counts a record; its number never comes again.
    fn next(&mut self) -> Result<(u64, Nonce), Error> {
        let sequence = self.sequence;
        self.sequence = sequence.checked_add(1).ok_or(Error::EncryptError)?;
        // RFC 8446 section 5.3. For TLS 1.2, rustls derives the explicit nonces in the same way; these go on from there.
        let mut nonce = self.iv;
        for (byte, number) in nonce[NONCE_LEN - 8..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= number;
        }
        Ok((sequence, Nonce::assume_unique_for_key(nonce)))
    }

    /// Writes one record of `plain`, 16 KiB at the most, to the start of `out`, which is at least [`OVERHEAD`] bytes longer.
    /// Returns its length.
    pub(super) fn seal(&mut self, kind: ContentType, plain: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let (sequence, nonce) = self.next()?;
        let (kind, room) = (u8::from(kind), out.len());
        let (before, inner) = match self.layout {
            Layout::Tls13 => (0, 1),
            Layout::Tls12Gcm => (EXPLICIT_NONCE, 0),
            Layout::Tls12Chacha => (0, 0),
        };
        let length = before + plain.len() + inner + TAG;
        if plain.len() > MOST_PLAIN || room < HEADER + length {
            return Err(Error::EncryptError);
        }
        let outer = if self.layout == Layout::Tls13 { ContentType::ApplicationData.into() } else { kind };
        let header = header(outer, length);
        let (start, rest) = out[..HEADER + length].split_at_mut(HEADER + before);
        start[..HEADER].copy_from_slice(&header);
        start[HEADER..].copy_from_slice(&nonce.as_ref()[NONCE_LEN - before..]);
        let (sealed, end) = rest.split_at_mut(plain.len());
        let done = match self.layout {
            Layout::Tls13 => self.key.seal_out_of_place_scatter(nonce, Aad::from(header), plain, sealed, &[kind], end),
            _ => self.key.seal_out_of_place_scatter(nonce, Aad::from(tls12(sequence, header, plain.len())), plain, sealed, &[], end),
        };
        done.map(|()| HEADER + length).map_err(|_| Error::EncryptError)
    }

    /// Opens a whole record into `out`, which must be as long as the record. Returns what it is and how many bytes; whatever
    /// else was written behind them means nothing.
    pub(super) fn open(&mut self, record: &[u8], out: &mut [u8]) -> Result<(ContentType, usize), Wrong> {
        let bad = || Wrong::new(Error::DecryptError, AlertDescription::BadRecordMac);
        let (header, body) = record.split_first_chunk::<HEADER>().ok_or_else(bad)?;
        let kind = ContentType::from(header[0]);
        if self.layout == Layout::Tls13 && kind != ContentType::ApplicationData {
            return Err(Wrong::unexpected(kind));
        }
        let (body, tag) = body.split_at_checked(body.len().wrapping_sub(TAG)).ok_or_else(bad)?;
        let (sequence, mut nonce) = self.next().map_err(|error| Wrong::new(error, AlertDescription::InternalError))?;
        let mut sealed = body;
        if self.layout == Layout::Tls12Gcm {
            let (explicit, rest) = body.split_at_checked(EXPLICIT_NONCE).ok_or_else(bad)?;
            let mut whole = self.iv;
            whole[NONCE_LEN - EXPLICIT_NONCE..].copy_from_slice(explicit);
            (nonce, sealed) = (Nonce::assume_unique_for_key(whole), rest);
        }
        let out = out.get_mut(..sealed.len()).ok_or_else(bad)?;
        let done = match self.layout {
            Layout::Tls13 => self.key.open_separate_gather(nonce, Aad::from(*header), sealed, tag, out),
            _ => self.key.open_separate_gather(nonce, Aad::from(tls12(sequence, *header, sealed.len())), sealed, tag, out),
        };
        done.map_err(|_| bad())?;
        // RFC 8446 section 5.4: also with the padding, but for the type.
        if out.len() > MOST_PLAIN + usize::from(self.layout == Layout::Tls13) {
            return Err(Wrong::new(Error::PeerSentOversizedRecord, AlertDescription::RecordOverflow));
        }
        if self.layout == Layout::Tls13 { inner(out) } else { Ok((kind, out.len())) }
    }
}

/// The length of the record that these bytes begin with, with its header; `None` where that is not there yet.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Wrong> {
    let Some(&[kind, major, _, high, low]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    if !matches!(
        ContentType::from(kind),
        ContentType::ApplicationData | ContentType::Alert | ContentType::Handshake | ContentType::ChangeCipherSpec
    ) {
        return Err(Wrong::new(InvalidMessage::InvalidContentType, AlertDescription::DecodeError));
    }
    if major != 3 {
        return Err(Wrong::new(InvalidMessage::UnknownProtocolVersion, AlertDescription::DecodeError));
    }
    let length = HEADER + usize::from(u16::from_be_bytes([high, low]));
    if length > MOST_ON_WIRE {
        return Err(Wrong::new(Error::PeerSentOversizedRecord, AlertDescription::RecordOverflow));
    }
    Ok(Some(length))
}

/// Both versions say 3.3 here.
fn header(kind: u8, length: usize) -> [u8; HEADER] {
    let [major, minor] = u16::from(ProtocolVersion::TLSv1_2).to_be_bytes();
    let [high, low] = (length as u16).to_be_bytes();
    [kind, major, minor, high, low]
}

/// The additional data of TLS 1.2 (RFC 5246 section 6.2.3.3): `length` is that of the plaintext.
fn tls12(sequence: u64, header: [u8; HEADER], length: usize) -> [u8; 13] {
    let mut data = [0; 13];
    data[..8].copy_from_slice(&sequence.to_be_bytes());
    data[8..11].copy_from_slice(&header[..3]);
    data[11..].copy_from_slice(&(length as u16).to_be_bytes());
    data
}

/// What a TLSInnerPlaintext holds: data, its type, and any number of zeros (RFC 8446 section 5.4).
fn inner(plain: &[u8]) -> Result<(ContentType, usize), Wrong> {
    match plain.iter().rposition(|byte| *byte != 0) {
        Some(length) => Ok((ContentType::from(plain[length]), length)),
        None => Err(Wrong::new(PeerMisbehaved::IllegalTlsInnerPlaintext, AlertDescription::UnexpectedMessage)),
    }
}

#[cfg(test)]
impl Keys {
    /// As if only one more record might be sealed.
    pub(super) fn expire(&mut self) {
        self.limit = self.sequence + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::{
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher::{AeadKey, Iv},
    };

    /// The client's keys for application data in RFC 8448 section 3.
    fn keys() -> Keys {
        let key = [0x17, 0x42, 0x2d, 0xda, 0x59, 0x6e, 0xd5, 0xd9, 0xac, 0xd8, 0x90, 0xe3, 0xc6, 0x3f, 0x50, 0x51];
        let mut padded = [0; 32];
        padded[..16].copy_from_slice(&key);
        let iv = Iv::from([0x5b, 0x78, 0x92, 0x3d, 0xee, 0x08, 0x57, 0x90, 0x33, 0xe5, 0x23, 0xd9]);
        let mut keys =
            Keys::new((0, ConnectionTrafficSecrets::Chacha20Poly1305 { key: AeadKey::from(padded), iv }), TLS13_AES_128_GCM_SHA256)
                .unwrap();
        // rustls makes keys of 32 bytes only.
        keys.key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        keys
    }

    const RECORD: [u8; 72] = [
        0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa, 0xfe, 0x82, 0x28, 0xba, 0x55, 0xcb, 0xef,
        0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc, 0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a,
        0x20, 0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62, 0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd, 0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee,
        0xbb, 0x21, 0x69, 0x49, 0x15, 0xe4,
    ];

    #[test]
    fn the_record_of_rfc_8448_is_sealed_and_opened() {
        let plain: Vec<u8> = (0..50).collect();
        let mut out = [0; 200];
        let length = keys().seal(ContentType::ApplicationData, &plain, &mut out).unwrap();
        assert_eq!(out[..length], RECORD);
        assert_eq!(super::length(&RECORD).unwrap(), Some(RECORD.len()));
        let (kind, length) = keys().open(&RECORD, &mut out).unwrap();
        assert_eq!((kind, &out[..length]), (ContentType::ApplicationData, &plain[..]));
    }

    #[test]
    fn a_number_is_never_used_twice() {
        let (mut one, mut out) = (keys(), [0; 200]);
        let length = one.seal(ContentType::ApplicationData, b"x", &mut out).unwrap();
        let first = out[..length].to_vec();
        let length = one.seal(ContentType::ApplicationData, b"x", &mut out).unwrap();
        assert_ne!(out[..length], first);
        one.sequence = u64::MAX;
        assert_eq!(one.seal(ContentType::ApplicationData, b"x", &mut out), Err(Error::EncryptError));
        assert!(one.are_spent());
    }

    #[test]
    fn every_altered_byte_and_every_shorter_record_is_found() {
        let mut out = [0; 200];
        for at in 0..RECORD.len() {
            let mut altered = RECORD;
            altered[at] ^= 0x20;
            assert!(keys().open(&altered, &mut out).is_err(), "byte {at}");
            assert!(keys().open(&RECORD[..at], &mut out).is_err(), "{at} bytes");
        }
        assert!(keys().open(&RECORD, &mut out[..40]).is_err(), "no room");
        let mut small = [0; 70];
        assert!(keys().seal(ContentType::ApplicationData, &[0; 50], &mut small).is_err(), "no room");
        assert!(keys().seal(ContentType::ApplicationData, &vec![0; MOST_PLAIN + 1], &mut vec![0; 20_000]).is_err());
    }

    #[test]
    fn padding_is_taken_off_and_only_padding_is_refused() {
        assert!(matches!(inner(b"ab\x17\0\0"), Ok((ContentType::ApplicationData, 2))));
        assert!(matches!(inner(b"\x15"), Ok((ContentType::Alert, 0))));
        assert!(inner(&[0; 5]).is_err());
        assert!(inner(b"").is_err());
    }
}
