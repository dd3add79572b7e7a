//! The small registries: each has a few values.

use super::Name;

fn of(table: &[(u16, &'static str)], value: u16) -> Name {
    table.iter().find(|(number, _)| *number == value).map(|(_, name)| (*name).into())
}

pub(in crate::hello) fn point_format(value: u16) -> Name {
    of(&[(0, "uncompressed"), (1, "ansiX962_compressed_prime"), (2, "ansiX962_compressed_char2")], value)
}

pub(in crate::hello) fn name_type(value: u16) -> Name {
    of(&[(0, "host_name")], value)
}

pub(in crate::hello) fn status_type(value: u16) -> Name {
    of(&[(1, "ocsp"), (2, "ocsp_multi")], value)
}

/// RFC 8879.
pub(in crate::hello) fn certificate_compression(value: u16) -> Name {
    if super::is_grease(value) { Some("GREASE".into()) } else { of(&[(1, "zlib"), (2, "brotli"), (3, "zstd")], value) }
}

/// RFC 8701 has GREASE of one byte here.
pub(in crate::hello) fn psk_mode(value: u16) -> Name {
    if value < 256 && value % 0x1f == 0x0b { Some("GREASE".into()) } else { of(&[(0, "psk_ke"), (1, "psk_dhe_ke")], value) }
}

pub(in crate::hello) fn fragment_length(value: u16) -> Name {
    of(&[(1, "512 bytes"), (2, "1024 bytes"), (3, "2048 bytes"), (4, "4096 bytes")], value)
}

pub(in crate::hello) fn heartbeat_mode(value: u16) -> Name {
    of(&[(1, "peer_allowed_to_send"), (2, "peer_not_allowed_to_send")], value)
}

pub(in crate::hello) fn certificate_type(value: u16) -> Name {
    of(&[(0, "X509"), (1, "OpenPGP"), (2, "RawPublicKey"), (3, "1609Dot2")], value)
}

pub(in crate::hello) fn srtp_profile(value: u16) -> Name {
    const PROFILES: [(u16, &str); 8] = [
        (1, "SRTP_AES128_CM_HMAC_SHA1_80"),
        (2, "SRTP_AES128_CM_HMAC_SHA1_32"),
        (5, "SRTP_NULL_HMAC_SHA1_80"),
        (6, "SRTP_NULL_HMAC_SHA1_32"),
        (7, "SRTP_AEAD_AES_128_GCM"),
        (8, "SRTP_AEAD_AES_256_GCM"),
        (9, "DOUBLE_AEAD_AES_128_GCM_AEAD_AES_128_GCM"),
        (10, "DOUBLE_AEAD_AES_256_GCM_AEAD_AES_256_GCM"),
    ];
    of(&PROFILES, value)
}

pub(in crate::hello) fn ech_type(value: u16) -> Name {
    of(&[(0, "outer"), (1, "inner")], value)
}

/// RFC 9180 section 7.2.
pub(in crate::hello) fn hpke_kdf(value: u16) -> Name {
    of(&[(1, "HKDF-SHA256"), (2, "HKDF-SHA384"), (3, "HKDF-SHA512")], value)
}

/// RFC 9180 section 7.3.
pub(in crate::hello) fn hpke_aead(value: u16) -> Name {
    of(&[(1, "AES-128-GCM"), (2, "AES-256-GCM"), (3, "ChaCha20Poly1305"), (0xffff, "Export-only")], value)
}

/// RFC 8471.
pub(in crate::hello) fn token_binding_key(value: u16) -> Name {
    of(&[(0, "rsa2048_pkcs1.5"), (1, "rsa2048_pss"), (2, "ecdsap256")], value)
}
