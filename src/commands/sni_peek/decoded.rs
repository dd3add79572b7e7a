//! The parts of an anatomy for programs (JSON) and in a few words.

use crate::report::counted;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::fmt::Write;
use tapline::hello::{Node, Value};

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
            Value::Number { value, meaning: None } => serializer.serialize_u64(*value),
            Value::Number { value, meaning: Some(meaning) } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("value", value)?;
                map.serialize_entry("name", meaning)?;
                map.end()
            }
            Value::Text(bytes) => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
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
        let counted = nodes[at].name.strip_suffix("_length");
        counted.is_some_and(|counted| nodes.get(at + 1).is_some_and(|next| next.name == counted))
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
        Value::Number { meaning: Some(meaning), .. } => meaning.clone().into_owned(),
        Value::Number { value, .. } if node.length == 2 => format!("0x{value:04x}"),
        Value::Number { value, .. } => value.to_string(),
        Value::Text(bytes) | Value::Opaque(bytes) if bytes.is_empty() => "-".into(),
        Value::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Opaque(bytes) if bytes.len() <= 4 => format!("0x{}", hex(bytes)),
        Value::Opaque(opaque) => format!("({})", bytes(opaque.len())),
        Value::List(items) if items.is_empty() => "-".into(),
        // What nobody can read is counted.
        Value::List(items) if told(items).all(|item| matches!(item.value, Value::Opaque(_))) => format!("{} items", told(items).count()),
        Value::List(items) => told(items)
            .map(|item| if let Value::Struct(fields) = &item.value { words(fields) } else { word(item) })
            .collect::<Vec<_>>()
            .join(", "),
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

/// The first number of a node, with its name.
pub fn number(node: &Node) -> Option<(u64, Option<&str>)> {
    match &node.value {
        Value::Number { value, meaning } => Some((*value, meaning.as_deref())),
        _ => node.children().iter().find_map(number),
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &'static str, value: Value) -> Node {
        Node { name: name.into(), offset: 0, length: 2, value, note: None }
    }

    fn number(value: u64, meaning: Option<&'static str>) -> Value {
        Value::Number { value, meaning: meaning.map(Into::into) }
    }

    #[test]
    fn lengths_are_left_out_and_everything_else_is_told() {
        let share = |group, name| {
            let key = Value::Opaque(vec![7; 32]);
            Value::Struct(vec![node("group", number(group, name)), node("key_length", number(32, None)), node("key", key)])
        };
        let shares = [node("share", share(29, Some("x25519"))), node("share", share(0x1234, None))];
        let fields = [node("shares_length", number(72, None)), node("shares", Value::List(shares.into()))];
        let key = "07".repeat(32);
        assert_eq!(
            serde_json::to_string(&Fields(&fields)).unwrap(),
            format!(r#"{{"shares":[{{"group":{{"value":29,"name":"x25519"}},"key":"{key}"}},{{"group":4660,"key":"{key}"}}]}}"#)
        );
        assert_eq!(words(&fields), "group=x25519 key=(32 bytes), group=0x1234 key=(32 bytes)");
        assert_eq!(items(&fields).iter().filter_map(super::number).collect::<Vec<_>>(), [(29, Some("x25519")), (0x1234, None)]);
        let bad = [node("list_length", number(9, None)), node("list", Value::Malformed { what: "too long", bytes: vec![1] })];
        assert_eq!(serde_json::to_string(&Fields(&bad)).unwrap(), r#"{"list":{"malformed":"too long","hex":"01"}}"#);
        assert_eq!(words(&bad), "MALFORMED: too long");
        assert_eq!(words(&[]), "");
    }
}
