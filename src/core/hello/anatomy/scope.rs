//! Takes bytes apart, field by field, into nodes that tile them: what cannot be read is a node as well.

use super::{Node, Value};
use crate::hello::{is_grease, names, quic};
use std::borrow::Cow;

/// Part of a message that is taken apart from its beginning to its end.
pub(super) struct Scope<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
    nodes: Vec<Node>,
    /// A field was missing or did not fit: what follows it cannot be told.
    broken: bool,
}

/// What a number stands for.
pub(super) type Meaning = fn(u16) -> Option<Cow<'static, str>>;

impl<'a> Scope<'a> {
    pub(super) fn new(message: &'a [u8], at: usize, end: usize) -> Self {
        Self { message, at, end: end.min(message.len()), nodes: Vec::new(), broken: false }
    }

    /// The bytes that are not taken apart yet.
    pub(super) fn left(&self) -> &'a [u8] {
        self.message.get(self.at..self.end).unwrap_or_default()
    }

    /// The last node, for a note.
    pub(super) fn note(&mut self, note: impl Into<Cow<'static, str>>) {
        if let Some(node) = self.nodes.last_mut() {
            node.note = Some(note.into());
        }
    }

    /// The next bytes, where they are there.
    fn next(&self, length: usize) -> Option<&'a [u8]> {
        if self.broken { None } else { self.left().get(..length) }
    }

    fn push(&mut self, name: impl Into<Cow<'static, str>>, length: usize, value: Value) {
        self.nodes.push(Node { name: name.into(), offset: self.at, length, value, note: None });
        self.at += length;
    }

    /// Takes all that is left as something that cannot be read.
    pub(super) fn malformed(&mut self, name: impl Into<Cow<'static, str>>, what: &'static str) {
        if self.broken {
            return;
        }
        self.broken = true;
        let bytes = self.left().to_vec();
        self.push(name, bytes.len(), Value::Malformed { what, bytes });
    }

    /// A number of so many bytes, at most 8, or `None` where they are not there.
    pub(super) fn number(&mut self, name: impl Into<Cow<'static, str>>, width: usize) -> Option<u64> {
        self.integer(name.into(), width, Value::Number)
    }

    /// A code of so many bytes, at most 2, with its meaning.
    pub(super) fn named(&mut self, name: &'static str, width: usize, meaning: Meaning) -> Option<u64> {
        let code = self.code(name, width, |code| u16::try_from(code).ok().and_then(meaning))?;
        if width == 2 && u16::try_from(code).is_ok_and(is_grease) {
            self.note("GREASE: reserved, so that servers learn to ignore what they do not know (RFC 8701)");
        }
        Some(code)
    }

    /// A number of QUIC.
    pub(super) fn varint(&mut self, name: &'static str) -> Option<u64> {
        self.variable(name, Value::Number)
    }

    /// A code that is a number of QUIC.
    pub(super) fn named_varint(&mut self, name: &'static str, meaning: fn(u64) -> Option<Cow<'static, str>>) -> Option<u64> {
        self.variable(name, |code| Value::Code { code, meaning: meaning(code) })
    }

    fn variable(&mut self, name: &'static str, value: impl FnOnce(u64) -> Value) -> Option<u64> {
        let Some((number, rest)) = quic::varint(self.left()).filter(|_| !self.broken) else {
            self.malformed(name, "the field does not fit what holds it");
            return None;
        };
        self.push(name, self.left().len() - rest.len(), value(number));
        Some(number)
    }

    /// A version of QUIC, in four bytes.
    pub(super) fn quic_version(&mut self, name: &'static str) {
        self.code(name, 4, |version| u32::try_from(version).ok().and_then(names::quic_version));
    }

    /// A cipher of SSL 2.0, in three bytes.
    pub(super) fn cipher_spec(&mut self, name: &'static str) {
        self.code(name, 3, |spec| u32::try_from(spec).ok().and_then(names::cipher_spec));
    }

    fn code(&mut self, name: &'static str, width: usize, meaning: impl FnOnce(u64) -> Option<Cow<'static, str>>) -> Option<u64> {
        self.integer(name.into(), width, |code| Value::Code { code, meaning: meaning(code) })
    }

    fn integer(&mut self, name: Cow<'static, str>, width: usize, value: impl FnOnce(u64) -> Value) -> Option<u64> {
        let Some(bytes) = self.next(width) else {
            self.malformed(name, "the field does not fit what holds it");
            return None;
        };
        let integer = bytes.iter().fold(0, |integer, byte| integer << 8 | u64::from(*byte));
        self.push(name, width, value(integer));
        Some(integer)
    }

    /// So many bytes as they are.
    pub(super) fn opaque(&mut self, name: &'static str, length: usize) {
        match self.next(length) {
            Some(bytes) => self.push(name, length, Value::Opaque(bytes.to_vec())),
            None => self.malformed(name, "the field does not fit what holds it"),
        }
    }

    /// So many bytes, which are text more often than not.
    pub(super) fn text(&mut self, name: &'static str, length: usize) {
        match self.next(length) {
            Some(bytes) => self.push(name, length, Value::Text(bytes.to_vec())),
            None => self.malformed(name, "the field does not fit what holds it"),
        }
    }

    /// What is left, as it is; nothing where nothing is.
    pub(super) fn rest(&mut self, name: &'static str) {
        let length = self.left().len();
        if length > 0 {
            self.opaque(name, length);
        }
    }

    /// The length of a vector (RFC 8446 section 3.4), as a field of its own before it.
    fn length(&mut self, name: &str, width: usize) -> Option<usize> {
        let length = self.number(format!("{name}_length"), width)?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.left().len());
        if length.is_none() {
            self.malformed(name.to_owned(), "a length beyond what holds it");
        }
        length
    }

    /// A vector of bytes.
    pub(super) fn bytes(&mut self, name: &'static str, width: usize) {
        if let Some(length) = self.length(name, width) {
            self.opaque(name, length);
        }
    }

    /// A vector of text.
    pub(super) fn string(&mut self, name: &'static str, width: usize) {
        if let Some(length) = self.length(name, width) {
            self.text(name, length);
        }
    }

    /// A vector of items.
    pub(super) fn list(&mut self, name: &'static str, width: usize, item: impl FnMut(&mut Self)) {
        if let Some(length) = self.length(name, width) {
            self.items(name, length, item);
        }
    }

    /// A vector that holds these fields.
    pub(super) fn block(&mut self, name: &'static str, width: usize, fields: impl FnOnce(&mut Self)) {
        if let Some(length) = self.length(name, width) {
            self.fields(name, length, fields);
        }
    }

    /// So many bytes of items.
    pub(super) fn items(&mut self, name: &'static str, length: usize, mut item: impl FnMut(&mut Self)) {
        let mut inner = self.inner(length);
        while !inner.left().is_empty() {
            let before = inner.at;
            item(&mut inner);
            if inner.at == before {
                inner.malformed(name, "an item without bytes");
            }
        }
        let nodes = inner.nodes;
        self.push(name, length, Value::List(nodes));
    }

    /// So many bytes of fields; what they leave belongs to none.
    pub(super) fn fields(&mut self, name: &'static str, length: usize, fields: impl FnOnce(&mut Self)) {
        let mut inner = self.inner(length);
        fields(&mut inner);
        let nodes = inner.done();
        self.push(name, length, Value::Struct(nodes));
    }

    /// Fields that say themselves how long they are.
    pub(super) fn group(&mut self, name: &'static str, fields: impl FnOnce(&mut Self)) {
        let mut inner = self.inner(self.left().len());
        fields(&mut inner);
        let (length, nodes) = (inner.at - self.at, inner.nodes);
        let broken = inner.broken;
        self.push(name, length, Value::Struct(nodes));
        self.broken |= broken;
    }

    fn inner(&self, length: usize) -> Self {
        Self::new(self.message, self.at, self.end.min(self.at + length))
    }

    /// The nodes; bytes that were left are one.
    pub(super) fn done(mut self) -> Vec<Node> {
        if !self.left().is_empty() {
            self.malformed("rest", "bytes after the last field");
        }
        self.nodes
    }
}
