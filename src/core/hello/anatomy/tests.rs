use super::*;
use crate::hello::{
    Greeting, read,
    tests::{client_hello, in_records},
};

/// The leaves of the tree, in its order.
pub(crate) fn leaves(nodes: &[Node]) -> Vec<&Node> {
    let mut leaves = Vec::new();
    for node in nodes {
        match &node.value {
            Value::List(nodes) | Value::Struct(nodes) => leaves.extend(self::leaves(nodes)),
            _ => leaves.push(node),
        }
    }
    leaves
}

/// Every byte of the wire is in exactly one leaf, and the leaf says what it is.
fn tiles(wire: &[u8]) {
    let hello = match read(wire) {
        Some(Greeting::Tls(hello)) => hello,
        other => panic!("{other:?}"),
    };
    assert_eq!(hello.wire(), wire);
    let nodes = anatomy(&hello);
    let mut seen = vec![false; wire.len()];
    for leaf in leaves(&nodes) {
        let pieces = hello.pieces(leaf.offset, leaf.length);
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| wire[piece.clone()].to_vec()).collect();
        assert_eq!(bytes.len(), leaf.length, "{leaf:?}");
        match &leaf.value {
            Value::Number { value, .. } if bytes.len() <= 8 => {
                assert_eq!(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)), *value, "{leaf:?}");
            }
            Value::Text(value) | Value::Opaque(value) | Value::Malformed { bytes: value, .. } => assert_eq!(&bytes, value, "{leaf:?}"),
            _ => panic!("{leaf:?}"),
        }
        for at in pieces.into_iter().flatten() {
            assert!(!std::mem::replace(&mut seen[at], true), "byte {at} twice: {leaf:?}");
        }
    }
    assert_eq!(seen.iter().position(|seen| !seen), None, "a byte in no leaf: {nodes:#?}");
}

#[test]
fn leaves_tile_the_wire() {
    for bytes in [
        client_hello("www.example.test", &["h2", "http/1.1"]),
        include_bytes!("../../../../tests/data/curl-openssl3.bin").to_vec(),
        include_bytes!("../../../../tests/data/s_client-tls12.bin").to_vec(),
        include_bytes!("../../../../tests/data/s_client-no-name.bin").to_vec(),
    ] {
        tiles(&bytes);
        for size in [1, 2, 3, 7, 50, 300] {
            tiles(&in_records(&bytes, size));
        }
    }
}
