//! The data of each extension, field by field.

use super::Scope;
use crate::hello::names;

/// Takes the data of an extension apart; what is not known here stays as it is.
pub(super) fn data(scope: &mut Scope<'_>, code: Option<u64>) {
    match code {
        // RFC 6066 section 3.
        Some(0) => scope.list("server_name_list", 2, |scope| {
            scope.group("ServerName", |scope| {
                scope.number("name_type", 1);
                scope.string("host_name", 2);
            });
        }),
        // RFC 7301 section 3.1.
        Some(16) => scope.list("protocol_name_list", 2, |scope| scope.string("ProtocolName", 1)),
        // RFC 8446 section 4.2.1.
        Some(43) => scope.list("versions", 1, |scope| {
            scope.named("version", 2, names::version);
        }),
        _ => scope.rest("data"),
    }
}
