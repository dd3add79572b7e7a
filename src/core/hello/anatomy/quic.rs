//! The transport parameters of QUIC (RFC 9000 section 18).

use super::Scope;
use crate::hello::names;

pub(super) fn transport_parameters(scope: &mut Scope<'_>) {
    let length = scope.left().len();
    scope.items("transport_parameters", length, |scope| scope.group("TransportParameter", parameter));
}

fn parameter(scope: &mut Scope<'_>) {
    let Some(id) = scope.named_varint("id", names::transport_parameter) else { return };
    let Some(length) = scope.varint("length") else { return };
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= scope.left().len()) else {
        return scope.malformed("value", "a length beyond what holds it");
    };
    match id {
        // RFC 9000 section 18.2, RFC 9221 section 3, and Google's round trip time in microseconds.
        0x01 | 0x03..=0x0b | 0x0e | 0x20 | 0x3127 => scope.fields("value", length, |scope| {
            scope.varint("value");
            if id == 1 {
                scope.note("milliseconds");
            }
        }),
        // RFC 9368 section 3.
        0x11 => scope.fields("value", length, |scope| {
            scope.quic_version("chosen_version");
            let length = scope.left().len();
            scope.items("available_versions", length, |scope| scope.quic_version("version"));
        }),
        0x3129 => scope.text("value", length),
        _ => scope.opaque("value", length),
    }
}
