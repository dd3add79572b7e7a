//! The data of each extension, field by field.

use super::{Scope, quic};
use crate::hello::names::{self, small};
use std::net::IpAddr;

/// Takes the data of an extension apart; what is not known here stays as it is.
pub(super) fn data(scope: &mut Scope<'_>, code: Option<u64>) {
    let Some(code) = code else { return scope.rest("data") };
    match code {
        // RFC 6066 section 3.
        0 => {
            let empty = scope.left() == [0, 0];
            scope.list("server_name_list", 2, server_name);
            if empty {
                scope.note("a list without names");
            }
        }
        // RFC 6066 section 4.
        1 => _ = scope.named("max_fragment_length", 1, small::fragment_length),
        // RFC 6066 section 8.
        5 => {
            if scope.named("status_type", 1, small::status_type) == Some(1) {
                ocsp_request(scope);
            } else {
                scope.rest("request");
            }
        }
        // RFC 8446 section 4.2.7.
        10 => scope.list("named_group_list", 2, |scope| _ = scope.named("named_group", 2, names::group)),
        // RFC 8422 section 5.1.2.
        11 => scope.list("ec_point_format_list", 1, |scope| _ = scope.named("ec_point_format", 1, small::point_format)),
        // RFC 5054 section 2.8.1.
        12 => scope.string("srp_I", 1),
        // RFC 8446 section 4.2.3.
        13 | 50 => signature_schemes(scope, "supported_signature_algorithms"),
        // RFC 5764 section 4.1.1.
        14 => {
            scope.list("SRTPProtectionProfiles", 2, |scope| _ = scope.named("SRTPProtectionProfile", 2, small::srtp_profile));
            scope.bytes("srtp_mki", 1);
        }
        // RFC 6520 section 2.
        15 => _ = scope.named("mode", 1, small::heartbeat_mode),
        // RFC 7301 section 3.1.
        16 => protocols(scope, "protocol_name_list"),
        // RFC 6961 section 2.2.
        17 => scope.list("certificate_status_req_list", 2, |scope| {
            scope.group("CertificateStatusRequestItemV2", |scope| {
                scope.named("status_type", 1, small::status_type);
                scope.block("request", 2, ocsp_request);
            });
        }),
        // RFC 7250 section 3.
        19 => scope.list("client_certificate_types", 1, |scope| _ = scope.named("certificate_type", 1, small::certificate_type)),
        20 => scope.list("server_certificate_types", 1, |scope| _ = scope.named("certificate_type", 1, small::certificate_type)),
        // RFC 7685.
        21 => {
            let zero = scope.left().iter().all(|byte| *byte == 0);
            scope.rest("padding");
            scope.note(if zero {
                "makes the hello longer: some servers hang on hellos of 256 to 511 bytes"
            } else {
                "not all of it is zero, as RFC 7685 wants it"
            });
        }
        // RFC 8472 section 2.
        24 => {
            scope.number("major", 1);
            scope.number("minor", 1);
            scope.list("key_parameters_list", 1, |scope| _ = scope.named("key_parameters", 1, small::token_binding_key));
        }
        // RFC 7924 section 4.
        25 => scope.list("cached_info", 2, |scope| {
            scope.group("CachedObject", |scope| {
                scope.number("type", 1);
                scope.bytes("hash_value", 1);
            });
        }),
        // RFC 8879 section 3.
        27 => scope.list("algorithms", 1, |scope| _ = scope.named("algorithm", 2, small::certificate_compression)),
        // RFC 8449 section 4.
        28 => _ = scope.number("record_size_limit", 2),
        // RFC 9345 section 4.1.1.
        34 => signature_schemes(scope, "supported_signature_algorithm"),
        // RFC 5077 section 3.2.
        35 if scope.left().is_empty() => {}
        35 => scope.rest("ticket"),
        41 => pre_shared_keys(scope),
        // RFC 8446 section 4.2.1.
        43 => scope.list("versions", 1, |scope| _ = scope.named("version", 2, names::version)),
        // RFC 8446 section 4.2.2.
        44 => {
            scope.bytes("cookie", 2);
            scope.note("comes back from a HelloRetryRequest: this is the second hello of a client");
        }
        // RFC 8446 section 4.2.9.
        45 => scope.list("ke_modes", 1, |scope| _ = scope.named("ke_mode", 1, small::psk_mode)),
        // RFC 8446 section 4.2.4.
        47 => scope.list("authorities", 2, |scope| scope.bytes("DistinguishedName", 2)),
        51 => key_shares(scope),
        // RFC 9146 section 3.
        54 => scope.bytes("cid", 1),
        // RFC 8844.
        55 => scope.bytes("binding_hash", 1),
        56 => scope.bytes("session_id", 1),
        // RFC 9001 section 8.2.
        57 | 0xffa5 => quic::transport_parameters(scope),
        // RFC 9149 section 3.
        58 => {
            scope.number("new_session_count", 1);
            scope.number("resumption_count", 1);
        }
        // RFC 9102 section 2.2.
        59 => _ = scope.number("port_number", 2),
        // draft-ietf-tls-tlsflags.
        62 => scope.bytes("flags", 1),
        // draft-vvv-tls-alps.
        17513 | 17613 => protocols(scope, "supported_protocols"),
        // draft-ietf-tls-trust-anchor-ids: each is a relative object identifier below 1.3.6.1.4.1.
        0xca34 => scope.list("TrustAnchorIDList", 2, |scope| scope.bytes("TrustAnchorID", 1)),
        0xfe0d => encrypted_client_hello(scope),
        // RFC 5746 section 3.2.
        0xff01 => {
            scope.bytes("renegotiated_connection", 1);
        }
        // draft-ietf-tls-esni-02, before it became Encrypted Client Hello.
        0xffce => {
            scope.named("suite", 2, names::cipher_suite);
            key_share(scope);
            scope.bytes("record_digest", 2);
            scope.bytes("encrypted_sni", 2);
        }
        // Those that are there or not, and say no more in a hello: RFC 6066 sections 5 and 7, RFC 6962 section 3.3.1, RFC 7366,
        // RFC 7627, RFC 8446 sections 4.2.6 and 4.2.10, RFC 9853, drafts of NPN and Channel ID. Bytes in them are a fault.
        2 | 4 | 18 | 22 | 23 | 42 | 49 | 61 | 13172 | 30031 | 30032 => {}
        _ => scope.rest("data"),
    }
}

/// RFC 6066 section 3.
fn server_name(scope: &mut Scope<'_>) {
    scope.group("ServerName", |scope| {
        if scope.named("name_type", 1, small::name_type) != Some(0) {
            return scope.malformed("name", "a name of a type that nobody has defined");
        }
        let after = scope.left();
        scope.string("host_name", 2);
        let name = after.get(2..after.len() - scope.left().len()).unwrap_or_default();
        if let Some(note) = about_name(name) {
            scope.note(note);
        }
    });
}

/// What is odd about a server name.
fn about_name(name: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(name).unwrap_or_default();
    if name.is_empty() {
        Some("an empty name, which RFC 6066 does not allow")
    } else if text.parse::<IpAddr>().is_ok() {
        Some("an IP address, which RFC 6066 does not allow as a name")
    } else if name.ends_with(b".") {
        Some("a dot at its end, which RFC 6066 does not allow; servers differ in what they make of it")
    } else if text.parse::<crate::name::ServerName>().is_err() {
        Some("no DNS name")
    } else {
        None
    }
}

/// RFC 6066 section 8.
fn ocsp_request(scope: &mut Scope<'_>) {
    scope.list("responder_id_list", 2, |scope| scope.bytes("ResponderID", 2));
    scope.bytes("request_extensions", 2);
}

fn signature_schemes(scope: &mut Scope<'_>, name: &'static str) {
    scope.list(name, 2, |scope| _ = scope.named("signature_scheme", 2, names::signature_scheme));
}

fn protocols(scope: &mut Scope<'_>, name: &'static str) {
    scope.list(name, 2, |scope| scope.string("ProtocolName", 1));
}

/// RFC 8446 section 4.2.8.
fn key_shares(scope: &mut Scope<'_>) {
    let empty = scope.left() == [0, 0];
    scope.list("client_shares", 2, |scope| scope.group("KeyShareEntry", key_share));
    if empty {
        scope.note("no key: the client lets the server choose a group, at the price of a round trip");
    }
}

fn key_share(scope: &mut Scope<'_>) {
    let group = scope.named("group", 2, names::group);
    scope.bytes("key_exchange", 2);
    if group.and_then(|group| u16::try_from(group).ok()).is_some_and(names::is_post_quantum) {
        scope.note("a post-quantum key: with it a hello takes more than one packet");
    }
}

/// RFC 8446 section 4.2.11.
fn pre_shared_keys(scope: &mut Scope<'_>) {
    scope.list("identities", 2, |scope| {
        scope.group("PskIdentity", |scope| {
            scope.bytes("identity", 2);
            scope.number("obfuscated_ticket_age", 4);
            scope.note("milliseconds, plus a number that only client and server know");
        });
    });
    scope.list("binders", 2, |scope| scope.bytes("PskBinderEntry", 1));
}

/// RFC 9849 section 5.
fn encrypted_client_hello(scope: &mut Scope<'_>) {
    match scope.named("type", 1, small::ech_type) {
        Some(0) => {
            scope.note("a real one and GREASE look the same from outside; if it is real, the name that can be read is the public name");
            scope.group("cipher_suite", |scope| {
                scope.named("kdf_id", 2, small::hpke_kdf);
                scope.named("aead_id", 2, small::hpke_aead);
            });
            scope.number("config_id", 1);
            scope.bytes("enc", 2);
            scope.bytes("payload", 2);
        }
        // Empty.
        Some(1) => {}
        _ => scope.rest("data"),
    }
}
