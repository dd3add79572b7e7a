//! The parts of an anatomy for programs (JSON) and in a few words.

use crate::report::counted;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::fmt::Write;
use tapline::{
    hello::{Node, Value},
    text::{hex, text},
};

/// The fields of a structure as an object. The lengths of its vectors are left out: what they count is there.
pub struct Decoded(pub Vec<Node>);

struct Fields<'a>(&'a [Node]);

struct Field<'a>(&'a Value);

impl Serialize for Decoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Fields(&self.0).serialize(serializer)
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for node in told(self.0) {
            map.serialize_entry(&node.name, &Field(&node.value))?;
        }
        map.end()
    }
}

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => serializer.serialize_u64(*number),
            Value::Code { code, meaning } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("code", code)?;
                map.serialize_entry("name", meaning)?;
                map.end()
            }
            Value::Text(bytes) => serializer.serialize_str(&text(bytes)),
            Value::Opaque(bytes) => serializer.serialize_str(&hex(bytes)),
            Value::List(items) => serializer.collect_seq(told(items).map(|item| Field(&item.value))),
            Value::Struct(fields) => Fields(fields).serialize(serializer),
            Value::Malformed { what, bytes } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("malformed", what)?;
                map.serialize_entry("hex", &hex(bytes))?;
                map.end()
            }
        }
    }
}

/// The fields that say something themselves, and are not the length of another one.
pub fn told(nodes: &[Node]) -> impl Iterator<Item = &Node> {
    let counts = |at: usize| {
        let next = nodes.get(at + 1).map(|next| next.name.as_ref());
        // The transport parameters of QUIC have no better names for both.
        let counted = if nodes[at].name == "length" { Some("value") } else { nodes[at].name.strip_suffix("_length") };
        counted.is_some() && counted == next
    };
    nodes.iter().enumerate().filter(move |(at, _)| !counts(*at)).map(|(_, node)| node)
}

/// The fields in a few words, for people. Untrusted.
pub fn words(nodes: &[Node]) -> String {
    let mut told = told(nodes);
    match (told.next(), told.next()) {
        (None, _) => String::new(),
        // The only one needs no name.
        (Some(only), None) => word(only),
        (Some(first), Some(second)) => {
            let named = |node: &Node| format!("{}={}", node.name, word(node));
            let mut words = named(first);
            for node in std::iter::once(second).chain(told) {
                // Writing to a String cannot fail.
                let _ = write!(words, " {}", named(node));
            }
            words
        }
    }
}

fn word(node: &Node) -> String {
    match &node.value {
        Value::Number(number) => number.to_string(),
        Value::Code { meaning: Some(meaning), .. } => meaning.clone().into_owned(),
        Value::Code { code, .. } => format!("0x{code:0width$x}", width = 2 * node.length),
        Value::Text(bytes) | Value::Opaque(bytes) if bytes.is_empty() => "-".into(),
        Value::Text(bytes) => text(bytes),
        Value::Opaque(bytes) if bytes.len() <= 4 => format!("0x{}", hex(bytes)),
        Value::Opaque(opaque) => format!("({})", bytes(opaque.len())),
        Value::List(items) if items.is_empty() => "-".into(),
        // What nobody can read is counted.
        Value::List(items) if told(items).all(|item| matches!(item.value, Value::Opaque(_))) => format!("{} items", told(items).count()),
        Value::List(items) => told(items)
            .map(|item| if let Value::Struct(fields) = &item.value { words(fields) } else { word(item) })
            .collect::<Vec<_>>()
            .join(", "),
        Value::Struct(fields) if told(fields).count() == 1 => words(fields),
        Value::Struct(fields) => format!("({})", words(fields)),
        Value::Malformed { what, .. } => format!("MALFORMED: {what}"),
    }
}

/// So many bytes, in words.
pub fn bytes(count: usize) -> String {
    counted(count as u64, "byte")
}

/// The items of the first list among these nodes and what is in them.
pub fn items(nodes: &[Node]) -> &[Node] {
    nodes.iter().find_map(|node| if let Value::List(items) = &node.value { Some(items.as_slice()) } else { None }).unwrap_or_default()
}

/// The first code of a node, with its name.
pub fn code(node: &Node) -> Option<(u64, Option<&str>)> {
    match &node.value {
        Value::Code { code, meaning } => Some((*code, meaning.as_deref())),
        _ => node.children().iter().find_map(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &'static str, value: Value) -> Node {
        Node { name: name.into(), offset: 0, length: 2, value, note: None }
    }

    fn code(code: u64, meaning: Option<&'static str>) -> Value {
        Value::Code { code, meaning: meaning.map(Into::into) }
    }

    #[test]
    fn lengths_are_left_out_and_everything_else_is_told() {
        let share = |group, name| {
            let key = Value::Opaque(vec![7; 32]);
            Value::Struct(vec![node("group", code(group, name)), node("key_length", Value::Number(32)), node("key", key)])
        };
        let shares = [node("share", share(29, Some("x25519"))), node("share", share(0x1234, None))];
        let fields = [node("shares_length", Value::Number(72)), node("shares", Value::List(shares.into()))];
        let key = "07".repeat(32);
        assert_eq!(
            serde_json::to_string(&Fields(&fields)).unwrap(),
            format!(
                r#"{{"shares":[{{"group":{{"code":29,"name":"x25519"}},"key":"{key}"}},{{"group":{{"code":4660,"name":null}},"key":"{key}"}}]}}"#
            )
        );
        assert_eq!(words(&fields), "group=x25519 key=(32 bytes), group=0x1234 key=(32 bytes)");
        assert_eq!(items(&fields).iter().filter_map(super::code).collect::<Vec<_>>(), [(29, Some("x25519")), (0x1234, None)]);
        let bad = [node("list_length", Value::Number(9)), node("list", Value::Malformed { what: "too long", bytes: vec![1] })];
        assert_eq!(serde_json::to_string(&Fields(&bad)).unwrap(), r#"{"list":{"malformed":"too long","hex":"01"}}"#);
        assert_eq!(words(&bad), "MALFORMED: too long");
        assert_eq!(words(&[]), "");
        let value = Value::Struct(vec![node("value", Value::Number(1472))]);
        let parameter = [node("id", code(3, Some("max_udp_payload_size"))), node("length", Value::Number(2)), node("value", value)];
        assert_eq!(words(&parameter), "id=max_udp_payload_size value=1472");
    }
}
