//! What the numbers of a hello stand for, by the registries of IANA and, where those have nothing, by the drafts and programs
//! that use the number. A value of GREASE (RFC 8701) is called that, whatever it is a value of.

mod extensions;
pub(crate) mod small;

pub use extensions::extension;

use super::is_grease;
use std::borrow::Cow;

/// The name of a number, where it is one that is known.
type Name = Option<Cow<'static, str>>;

/// A name from a table, or GREASE.
fn known(value: u16, table: fn(u16) -> Option<&'static str>) -> Name {
    if is_grease(value) { Some("GREASE".into()) } else { table(value).map(Cow::Borrowed) }
}

/// A version of SSL, TLS or DTLS.
#[must_use]
pub fn version(version: u16) -> Option<Cow<'static, str>> {
    match version {
        draft if draft >> 8 == 0x7f => Some(format!("TLSv1.3 draft {}", draft & 0xff).into()),
        // Facebook's own numbers for drafts.
        draft if draft >> 8 == 0xfb => Some(format!("TLSv1.3 draft {} (Facebook)", draft & 0xff).into()),
        _ => known(version, |version| {
            Some(match version {
                0x0002 => "SSLv2",
                0x0300 => "SSLv3",
                0x0301 => "TLSv1.0",
                0x0302 => "TLSv1.1",
                0x0303 => "TLSv1.2",
                0x0304 => "TLSv1.3",
                0xfeff => "DTLSv1.0",
                0xfefd => "DTLSv1.2",
                0xfefc => "DTLSv1.3",
                // OpenSSL before 0.9.8f.
                0x0100 => "DTLSv1.0 (OpenSSL)",
                _ => return None,
            })
        }),
    }
}

/// The name of a version, or its number in hexadecimal where it has none.
#[must_use]
pub fn version_text(number: u16) -> String {
    version(number).map_or_else(|| format!("0x{number:04x}"), Cow::into_owned)
}

/// A cipher suite, or a signal that is sent as one. Most are in the table of tls-parser.
#[must_use]
pub fn cipher_suite(suite: u16) -> Option<Cow<'static, str>> {
    known(suite, |suite| {
        tls_parser::TlsCipherSuite::from_id(suite).map(|suite| suite.name).or(match suite {
            0x001c => Some("SSL_FORTEZZA_KEA_WITH_NULL_SHA"),
            0x001d => Some("SSL_FORTEZZA_KEA_WITH_FORTEZZA_CBC_SHA"),
            0x0080 => Some("TLS_GOSTR341094_WITH_28147_CNT_IMIT"),
            0x0081 => Some("TLS_GOSTR341001_WITH_28147_CNT_IMIT"),
            0x0082 => Some("TLS_GOSTR341094_WITH_NULL_GOSTR3411"),
            0x0083 => Some("TLS_GOSTR341001_WITH_NULL_GOSTR3411"),
            0x16b7 => Some("TLS_CECPQ1_RSA_WITH_CHACHA20_POLY1305_SHA256"),
            0x16b8 => Some("TLS_CECPQ1_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
            0x16b9 => Some("TLS_CECPQ1_RSA_WITH_AES_256_GCM_SHA384"),
            0x16ba => Some("TLS_CECPQ1_ECDSA_WITH_AES_256_GCM_SHA384"),
            0xc0ff => Some("TLS_ECJPAKE_WITH_AES_128_CCM_8"),
            0xc100 => Some("TLS_GOSTR341112_256_WITH_KUZNYECHIK_CTR_OMAC"),
            0xc101 => Some("TLS_GOSTR341112_256_WITH_MAGMA_CTR_OMAC"),
            0xc102 => Some("TLS_GOSTR341112_256_WITH_28147_CNT_IMIT"),
            0xc103 => Some("TLS_GOSTR341112_256_WITH_KUZNYECHIK_MGM_L"),
            0xc104 => Some("TLS_GOSTR341112_256_WITH_MAGMA_MGM_L"),
            0xc105 => Some("TLS_GOSTR341112_256_WITH_KUZNYECHIK_MGM_S"),
            0xc106 => Some("TLS_GOSTR341112_256_WITH_MAGMA_MGM_S"),
            // The numbers of a draft, before RFC 7905.
            0xcc13 => Some("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 (draft)"),
            0xcc14 => Some("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 (draft)"),
            0xcc15 => Some("TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256 (draft)"),
            // Of TLCP, the Chinese protocol next to TLS (GB/T 38636).
            0xe011 => Some("ECDHE_SM4_CBC_SM3"),
            0xe013 => Some("ECC_SM4_CBC_SM3"),
            0xe051 => Some("ECDHE_SM4_GCM_SM3"),
            0xe053 => Some("ECC_SM4_GCM_SM3"),
            0xfefe | 0xffe1 => Some("SSL_RSA_FIPS_WITH_DES_CBC_SHA"),
            0xfeff | 0xffe0 => Some("SSL_RSA_FIPS_WITH_3DES_EDE_CBC_SHA"),
            _ => None,
        })
    })
}

/// A cipher of SSL 2.0, as its three bytes; a cipher suite of TLS where the first of them is zero.
#[must_use]
pub fn cipher_spec(spec: u32) -> Option<Cow<'static, str>> {
    if let Ok(suite) = u16::try_from(spec) {
        return cipher_suite(suite);
    }
    let name = match spec {
        0x01_0080 => "SSL_CK_RC4_128_WITH_MD5",
        0x02_0080 => "SSL_CK_RC4_128_EXPORT40_WITH_MD5",
        0x03_0080 => "SSL_CK_RC2_128_CBC_WITH_MD5",
        0x04_0080 => "SSL_CK_RC2_128_CBC_EXPORT40_WITH_MD5",
        0x05_0080 => "SSL_CK_IDEA_128_CBC_WITH_MD5",
        0x06_0040 => "SSL_CK_DES_64_CBC_WITH_MD5",
        0x07_00c0 => "SSL_CK_DES_192_EDE3_CBC_WITH_MD5",
        0x08_0080 => "SSL_CK_RC4_64_WITH_MD5",
        _ => return None,
    };
    Some(name.into())
}

/// A compression method (RFC 3749, RFC 3943).
#[must_use]
pub fn compression_method(method: u16) -> Option<Cow<'static, str>> {
    match method {
        0 => Some("null".into()),
        1 => Some("DEFLATE".into()),
        64 => Some("LZS".into()),
        _ => None,
    }
}

/// A group for key exchange.
#[must_use]
pub fn group(group: u16) -> Option<Cow<'static, str>> {
    known(group, |group| {
        Some(match group {
            1 => "sect163k1",
            2 => "sect163r1",
            3 => "sect163r2",
            4 => "sect193r1",
            5 => "sect193r2",
            6 => "sect233k1",
            7 => "sect233r1",
            8 => "sect239k1",
            9 => "sect283k1",
            10 => "sect283r1",
            11 => "sect409k1",
            12 => "sect409r1",
            13 => "sect571k1",
            14 => "sect571r1",
            15 => "secp160k1",
            16 => "secp160r1",
            17 => "secp160r2",
            18 => "secp192k1",
            19 => "secp192r1",
            20 => "secp224k1",
            21 => "secp224r1",
            22 => "secp256k1",
            23 => "secp256r1",
            24 => "secp384r1",
            25 => "secp521r1",
            26 => "brainpoolP256r1",
            27 => "brainpoolP384r1",
            28 => "brainpoolP512r1",
            29 => "x25519",
            30 => "x448",
            31 => "brainpoolP256r1tls13",
            32 => "brainpoolP384r1tls13",
            33 => "brainpoolP512r1tls13",
            34 => "GC256A",
            35 => "GC256B",
            36 => "GC256C",
            37 => "GC256D",
            38 => "GC512A",
            39 => "GC512B",
            40 => "GC512C",
            41 => "curveSM2",
            256 => "ffdhe2048",
            257 => "ffdhe3072",
            258 => "ffdhe4096",
            259 => "ffdhe6144",
            260 => "ffdhe8192",
            512 => "MLKEM512",
            513 => "MLKEM768",
            514 => "MLKEM1024",
            0x11eb => "SecP256r1MLKEM768",
            0x11ec => "X25519MLKEM768",
            0x11ed => "SecP384r1MLKEM1024",
            0x11ee => "curveSM2MLKEM768",
            0x4138 => "CECPQ2",
            0x6399 => "X25519Kyber768Draft00",
            0x639a => "SecP256r1Kyber768Draft00",
            0xfe30 => "X25519Kyber512Draft00 (old)",
            0xfe31 => "X25519Kyber768Draft00 (old)",
            0xff01 => "arbitrary_explicit_prime_curves",
            0xff02 => "arbitrary_explicit_char2_curves",
            _ => return None,
        })
    })
}

/// Whether a group withstands quantum computers, as far as anyone knows: ML-KEM and what came before it, alone or with a curve.
#[must_use]
pub fn is_post_quantum(group: u16) -> bool {
    matches!(group, 512..=514 | 0x11eb..=0x11ee | 0x4138 | 0x6399 | 0x639a | 0xfe30 | 0xfe31)
}

/// A signature scheme; those of TLS 1.2 that TLS 1.3 has no name for are called after their two halves.
#[must_use]
pub fn signature_scheme(scheme: u16) -> Option<Cow<'static, str>> {
    known(scheme, |scheme| {
        Some(match scheme {
            0x0101 => "rsa_md5",
            0x0201 => "rsa_pkcs1_sha1",
            0x0202 => "dsa_sha1",
            0x0203 => "ecdsa_sha1",
            0x0301 => "rsa_sha224",
            0x0302 => "dsa_sha224",
            0x0303 => "ecdsa_sha224",
            0x0401 => "rsa_pkcs1_sha256",
            0x0402 => "dsa_sha256",
            0x0403 => "ecdsa_secp256r1_sha256",
            0x0420 => "rsa_pkcs1_sha256_legacy",
            0x0501 => "rsa_pkcs1_sha384",
            0x0502 => "dsa_sha384",
            0x0503 => "ecdsa_secp384r1_sha384",
            0x0520 => "rsa_pkcs1_sha384_legacy",
            0x0601 => "rsa_pkcs1_sha512",
            0x0602 => "dsa_sha512",
            0x0603 => "ecdsa_secp521r1_sha512",
            0x0620 => "rsa_pkcs1_sha512_legacy",
            0x0704 => "eccsi_sha256",
            0x0705 => "iso_ibs1",
            0x0706 => "iso_ibs2",
            0x0707 => "iso_chinese_ibs",
            0x0708 => "sm2sig_sm3",
            0x0709 => "gostr34102012_256a",
            0x070a => "gostr34102012_256b",
            0x070b => "gostr34102012_256c",
            0x070c => "gostr34102012_256d",
            0x070d => "gostr34102012_512a",
            0x070e => "gostr34102012_512b",
            0x070f => "gostr34102012_512c",
            0x0804 => "rsa_pss_rsae_sha256",
            0x0805 => "rsa_pss_rsae_sha384",
            0x0806 => "rsa_pss_rsae_sha512",
            0x0807 => "ed25519",
            0x0808 => "ed448",
            0x0809 => "rsa_pss_pss_sha256",
            0x080a => "rsa_pss_pss_sha384",
            0x080b => "rsa_pss_pss_sha512",
            0x081a => "ecdsa_brainpoolP256r1tls13_sha256",
            0x081b => "ecdsa_brainpoolP384r1tls13_sha384",
            0x081c => "ecdsa_brainpoolP512r1tls13_sha512",
            0x0904 => "mldsa44",
            0x0905 => "mldsa65",
            0x0906 => "mldsa87",
            0xeded => "gostr34102001_gostr3411",
            0xeeee => "gostr34102012_256_gostr34112012_256",
            0xefef => "gostr34102012_512_gostr34112012_512",
            _ => return None,
        })
    })
}

/// A transport parameter of QUIC.
#[must_use]
pub fn transport_parameter(id: u64) -> Option<Cow<'static, str>> {
    let name = match id {
        0x00 => "original_destination_connection_id",
        0x01 => "max_idle_timeout",
        0x02 => "stateless_reset_token",
        0x03 => "max_udp_payload_size",
        0x04 => "initial_max_data",
        0x05 => "initial_max_stream_data_bidi_local",
        0x06 => "initial_max_stream_data_bidi_remote",
        0x07 => "initial_max_stream_data_uni",
        0x08 => "initial_max_streams_bidi",
        0x09 => "initial_max_streams_uni",
        0x0a => "ack_delay_exponent",
        0x0b => "max_ack_delay",
        0x0c => "disable_active_migration",
        0x0d => "preferred_address",
        0x0e => "active_connection_id_limit",
        0x0f => "initial_source_connection_id",
        0x10 => "retry_source_connection_id",
        0x11 => "version_information",
        0x20 => "max_datagram_frame_size",
        0x173e => "discard",
        0x26ab => "google_handshake_message",
        0x2ab2 => "grease_quic_bit",
        0x3127 => "initial_rtt (Google)",
        0x3128 => "google_connection_options",
        0x3129 => "user_agent (Google)",
        0x4752 => "google_version",
        0x7157 => "enable_timestamp",
        0x7158 => "enable_timestamp_v2",
        0xff04_de1a => "min_ack_delay (draft 4)",
        0xff04_de1b => "min_ack_delay (draft 5)",
        0x00ff_73db => "version_information (draft)",
        // RFC 9000 section 18.1: 31 * N + 27.
        id if id % 31 == 27 => "GREASE",
        _ => return None,
    };
    Some(name.into())
}

/// A version of QUIC.
#[must_use]
pub fn quic_version(version: u32) -> Option<Cow<'static, str>> {
    Some(match version {
        0x0000_0001 => "QUICv1".into(),
        0x6b33_43cf => "QUICv2".into(),
        draft if draft >> 8 == 0x00ff_0000 => format!("QUIC draft {}", draft & 0xff).into(),
        // RFC 9000 section 15.
        grease if grease & 0x0f0f_0f0f == 0x0a0a_0a0a => "GREASE".into(),
        _ => return None,
    })
}
