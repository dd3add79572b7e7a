//! Whatever a client sends first: no bytes panic, what was said of a prefix holds for the whole, how the bytes are cut changes
//! nothing, and of a hello every byte is shown once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tapline::hello::{self, ClientHello, Framing, Greeting, Node, Reader, Value};

fuzz_target!(|bytes: &[u8]| {
    let whole = hello::read(bytes);
    // Several cuts, not each: a long input would take quadratic time.
    for end in [1, 5, 6, 9, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        if let Some(prefix) = bytes.get(..end)
            && let Some(verdict) = hello::read(prefix)
        {
            assert_eq!(Some(verdict), whole, "after {end} bytes");
        }
    }
    // One reader that sees the bytes grow comes to the same as one that sees them whole.
    for part in [1, 7, bytes.len() / 3 + 1] {
        let mut reader = Reader::new();
        let mut ends = (part..bytes.len()).step_by(part).chain([bytes.len()]);
        assert_eq!(ends.find_map(|end| reader.read(&bytes[..end])), whole, "in parts of {part}");
    }
    if let Some(Greeting::Tls(hello)) = &whole {
        assert!(bytes.starts_with(&hello.wire()));
        shown_once(hello);
        other_framings(hello);
    }
    // The input as a handshake message.
    for came in [Framing::Bare, Framing::Ssl2, Framing::Dtls { version: 0xfefd, datagrams: 1 }] {
        if let Ok(hello) = hello::message(bytes, came) {
            assert_eq!(hello.wire(), bytes);
            shown_once(&hello);
        }
    }
    // What a client says about itself does not depend on how its bytes are cut; it is told once.
    let told = |size: usize| {
        let mut recogniser = hello::Recogniser::default();
        let mut told: Vec<_> = bytes.chunks(size).filter_map(|part| recogniser.take(part)).collect();
        told.extend(recogniser.end());
        told
    };
    let at_once = told(bytes.len().max(1));
    assert_eq!(at_once.len(), usize::from(!bytes.is_empty()));
    assert_eq!(told(bytes.len() / 3 + 1), at_once);
});

/// The leaves of the anatomy have each byte of the wire once; the fingerprints have their form.
fn shown_once(hello: &ClientHello) {
    let nodes = hello::anatomy(hello);
    let mut pieces = Vec::new();
    nodes.iter().for_each(|node| leaves(hello, node, &mut pieces));
    pieces.retain(|piece| !piece.is_empty());
    pieces.sort_unstable_by_key(|piece| piece.start);
    let end = pieces.into_iter().fold(0, |end, piece| {
        assert_eq!(piece.start, end);
        piece.end
    });
    assert_eq!(end, hello.wire().len());
    let ja4 = hello::ja4(hello);
    assert!(ja4.ja4.len() == 36 && ja4.ja4.is_ascii(), "{ja4:?}");
    assert_eq!(ja4.ja4[..10], ja4.ja4_ro[..10]);
    assert_eq!(hello::ja3(hello).hash.len(), 32);
    assert_eq!(hello::ja3n(hello).text.len(), hello::ja3(hello).text.len());
}

fn leaves(hello: &ClientHello, node: &Node, pieces: &mut Vec<std::ops::Range<usize>>) {
    match &node.value {
        Value::List(nodes) | Value::Struct(nodes) => nodes.iter().for_each(|node| leaves(hello, node, pieces)),
        _ => pieces.extend(hello.pieces(node.offset, node.length)),
    }
}

/// The same message in other records is the same hello.
fn other_framings(hello: &ClientHello) {
    if hello.came == Framing::Ssl2 {
        return;
    }
    let message = hello.message();
    for size in [1, 5, message.len() / 2 + 1] {
        let mut wire = Vec::new();
        for part in message.chunks(size.min(1 << 14)) {
            wire.extend([22, 3, 1]);
            wire.extend(u16::try_from(part.len()).expect("at most 2^14").to_be_bytes());
            wire.extend(part);
        }
        let Some(Greeting::Tls(mut other)) = hello::read(&wire) else { panic!("no hello in records of {size}") };
        assert_eq!(other.wire(), wire);
        // Only how it came, and so where its faults were, is another.
        other.came.clone_from(&hello.came);
        other.faults.clone_from(&hello.faults);
        assert_eq!(other.as_ref(), hello);
    }
}
