//! A ClientHello taken apart field by field, for people and programs that want to see all of it. Every byte is in exactly
//! one leaf; names are those of the RFCs' structures.

mod extensions;
mod quic;
mod scope;

use super::{ClientHello, Framing, names};
use scope::Scope;
use std::{borrow::Cow, collections::HashSet};

/// A part of a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name of the field, as the RFC that defines it spells it.
    pub name: Cow<'static, str>,
    /// Where it begins on the wire; in the handshake message, where the hello did not come in TLS records.
    pub offset: usize,
    /// How many bytes it has of its own. The headers of records that stand between are not among them:
    /// [`ClientHello::pieces`] tells where all of it is.
    pub length: usize,
    /// What it says.
    pub value: Value,
    /// A short sentence for those who wonder.
    pub note: Option<Cow<'static, str>>,
}

/// What a part of a hello says. All bytes are untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number that counts or measures something.
    Number(u64),
    /// A number that stands for something, by a registry.
    Code {
        /// As it was sent.
        code: u64,
        /// What it stands for, where that is known.
        meaning: Option<Cow<'static, str>>,
    },
    /// Bytes that are text more often than not.
    Text(Vec<u8>),
    /// Bytes.
    Opaque(Vec<u8>),
    /// Items of the same kind.
    List(Vec<Node>),
    /// Fields, one after the other.
    Struct(Vec<Node>),
    /// Bytes that cannot be read as what should be there; none, where it is missing.
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

impl Node {
    /// What is inside of it; nothing in a leaf.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        match &self.value {
            Value::List(nodes) | Value::Struct(nodes) => nodes,
            _ => &[],
        }
    }

    /// Calls `with` on it and on all that is inside of it.
    fn each(&mut self, with: &mut impl FnMut(&mut Self)) {
        with(self);
        if let Value::List(nodes) | Value::Struct(nodes) = &mut self.value {
            for node in nodes {
                node.each(with);
            }
        }
    }
}

/// Takes a hello apart: the headers of its records, where it came in records, then the handshake message.
#[must_use]
pub fn anatomy(hello: &ClientHello) -> Vec<Node> {
    let message = hello.message();
    let mut scope = Scope::new(message, 0, message.len());
    match hello.came {
        Framing::Ssl2 => ssl2(&mut scope),
        _ => handshake(&mut scope, matches!(hello.came, Framing::Dtls { .. })),
    }
    let mut nodes = scope.done();
    for node in &mut nodes {
        node.each(&mut |node| node.offset = hello.on_wire(node.offset));
    }
    let mut all = record_headers(hello);
    all.append(&mut nodes);
    all
}

/// The headers of records are no part of the message; they are put together here from what is known of them.
fn record_headers(hello: &ClientHello) -> Vec<Node> {
    let Framing::Records { records, size } = &hello.came else { return Vec::new() };
    let header = |record: &super::Record| {
        let field = |name: &'static str, offset: usize, length, value| Node {
            name: name.into(),
            offset: record.offset + offset,
            length,
            value,
            note: None,
        };
        let code = |code: u16, meaning| Value::Code { code: code.into(), meaning };
        let mut version = field("legacy_record_version", 1, 2, code(record.version, names::version(record.version)));
        version.note = Some("means nothing since TLS 1.3; the first hello says 0x0301, which the oldest servers take".into());
        let mut length = field("length", 3, 2, Value::Number(record.length.into()));
        let after = (record.start + usize::from(record.length)).saturating_sub(hello.message().len());
        if after > 0 {
            length.note = Some(format!("{after} bytes of it come after the hello; its records end at byte {size}").into());
        }
        let fields = vec![field("type", 0, 1, code(22, Some("handshake".into()))), version, length];
        Node { name: "TLSPlaintext".into(), offset: record.offset, length: 5, value: Value::Struct(fields), note: None }
    };
    records.iter().map(header).collect()
}

/// RFC 8446 sections 4 and 4.1.2; RFC 6347 section 4.2.1 for the cookie.
fn handshake(scope: &mut Scope<'_>, dtls: bool) {
    scope.group("Handshake", |scope| {
        scope.named("msg_type", 1, |_| Some("client_hello".into()));
        scope.number("length", 3);
        let length = scope.left().len();
        scope.fields("ClientHello", length, |scope| {
            scope.named("legacy_version", 2, names::version);
            scope.note("frozen since TLS 1.3, because servers refused versions that they did not know; supported_versions counts");
            scope.opaque("random", 32);
            scope.bytes("legacy_session_id", 1);
            if dtls {
                scope.bytes("cookie", 1);
            }
            scope.list("cipher_suites", 2, |scope| {
                scope.named("cipher_suite", 2, names::cipher_suite);
            });
            scope.list("legacy_compression_methods", 1, |scope| {
                scope.named("compression_method", 1, names::compression_method);
            });
            if !scope.left().is_empty() {
                let mut seen = HashSet::new();
                scope.list("extensions", 2, |scope| extension(scope, &mut seen));
            }
        });
    });
}

fn extension(scope: &mut Scope<'_>, seen: &mut HashSet<u64>) {
    let mut code = None;
    scope.group("Extension", |scope| {
        code = scope.named("extension_type", 2, names::extension);
        scope.block("extension_data", 2, |scope| extensions::data(scope, code));
    });
    if code.is_some_and(|code| !seen.insert(code)) {
        scope.note("sent twice, which RFC 8446 section 4.2 does not allow: servers may differ in which one they take");
    }
}

/// RFC 5246 appendix E.2.
fn ssl2(scope: &mut Scope<'_>) {
    scope.group("V2ClientHello", |scope| {
        let length = scope.number("msg_length", 2).unwrap_or_default() & 0x7fff;
        scope.note(format!("{length} bytes: the highest bit only says that this is a header of 2 bytes"));
        scope.named("msg_type", 1, |_| Some("client_hello".into()));
        scope.named("version", 2, names::version);
        let lengths = ["cipher_spec_length", "session_id_length", "challenge_length"].map(|name| scope.number(name, 2));
        let [specs, session_id, challenge] = lengths.map(|length| usize::try_from(length.unwrap_or_default()).unwrap_or_default());
        scope.items("cipher_specs", specs, |scope| {
            scope.cipher_spec("cipher_spec");
        });
        scope.opaque("session_id", session_id);
        scope.opaque("challenge", challenge);
        scope.note("takes the place of the random bytes");
    });
}

#[cfg(test)]
mod tests;
