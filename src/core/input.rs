//! Hellos in a file or a pipe, whatever form they have there: a capture, bytes of the wire, or text that stands for them.

mod text;

use crate::{
    capture::{self, CaptureError, Each, Finder, Sighting, Summary},
    hello::{self, Datagrams, Framing, Greeting, Protocol},
};
use std::{
    io::{self, Read},
    ops::ControlFlow,
};

/// The most bytes of an input that is no capture. A capture is read as it comes, however long it is.
pub const MOST: usize = 1 << 20;

/// Why nothing, or no more, can be read of an input.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The source fails.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is a capture that cannot be read, or not to its end.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is no capture, and too long for anything else.
    #[error("it is no capture, and longer than the 1 MiB that are read of anything else")]
    TooLong,
    /// It has to be decompressed first.
    #[error("it is compressed by {0}; decompress it first")]
    Compressed(&'static str),
    /// It is none of what can be read.
    #[error("it is neither a capture nor a ClientHello: it looks like {0}")]
    Unrecognised(String),
}

/// Finds all hellos of a source, and tells each as soon as it is certain; it blocks while the source does. What the source is
/// shows in its first bytes: a capture (pcap or pcapng), TLS records, handshake messages, a datagram of QUIC or DTLS, or one of
/// these in hexadecimal, as a dump of it, or in base64. Several hellos may follow each other, and a client's bytes may begin
/// with what it says to a proxy.
///
/// # Errors
/// The source fails, or is none of these. Of a damaged capture, whatever stands before the damage was told.
pub fn read(mut source: impl Read, each: Each<'_>) -> Result<Summary, InputError> {
    let mut bytes = Vec::new();
    // One read at a time: a live capture is told from the rest by its first four bytes, and may have no more for long.
    while capture::is_capture(&bytes).is_none() {
        if source.by_ref().take(1).read_to_end(&mut bytes)? == 0 {
            break;
        }
    }
    if capture::is_capture(&bytes) == Some(true) {
        return Ok(capture::read(bytes.chain(source), each)?);
    }
    source.take((MOST + 1 - bytes.len()) as u64).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err(InputError::Empty);
    }
    if let Some(program) = compressed(&bytes) {
        return Err(InputError::Compressed(program));
    }
    if bytes.len() > MOST {
        return Err(InputError::TooLong);
    }
    if let Some(summary) = wire(&bytes, each) {
        return Ok(summary);
    }
    for decoded in text::decode(&bytes) {
        if capture::is_capture(&decoded) == Some(true) {
            return Ok(capture::read(&decoded[..], each)?);
        }
        if let Some(summary) = wire(&decoded, each) {
            return Ok(summary);
        }
    }
    Err(InputError::Unrecognised(looks_like(&bytes)))
}

/// Bytes of the wire. `None` where no hello begins in them.
fn wire(bytes: &[u8], each: Each<'_>) -> Option<Summary> {
    let (mut summary, mut random) = (Summary::default(), Vec::new());
    let mut tell = |greeting: Greeting, before| {
        summary.count(&greeting);
        // A client repeats its random in its second hello (RFC 8446 section 4.1.2); another client does not.
        let second = match &greeting {
            Greeting::Tls(hello) => std::mem::replace(&mut random, hello.random().to_vec()) == hello.random(),
            Greeting::Malformed(_) | Greeting::NotTls(_) => false,
        };
        each(Sighting { time: None, flow: None, packet: None, packets: 0, before, second, greeting })
    };
    // Whoever breaks wants no more of it.
    let _ = if is_message(bytes) {
        messages(bytes, &mut tell)
    } else if let Some(told) = datagram(bytes) {
        told.into_iter().try_for_each(|greeting| tell(greeting, Vec::new()))
    } else {
        stream(bytes, &mut tell)
    };
    (summary != Summary::default()).then_some(summary)
}

/// What is done with a greeting, and with what stood before it.
type Tell<'a> = &'a mut dyn FnMut(Greeting, Vec<capture::Before>) -> ControlFlow<()>;

/// Whether a handshake message begins here, without a record around it: a ClientHello of less than 2^17 bytes.
fn is_message(bytes: &[u8]) -> bool {
    matches!(bytes, [1, 0 | 1, _, _, 3, 0..=4, ..])
}

/// Handshake messages one after the other.
fn messages(mut bytes: &[u8], tell: Tell<'_>) -> ControlFlow<()> {
    while let [1, a, b, c, ..] = bytes {
        let length = 4 + u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (message, rest) = bytes.split_at(length.min(bytes.len()));
        let greeting = match hello::message(message, Framing::Bare) {
            Ok(hello) => Greeting::Tls(Box::new(hello)),
            Err(_) if message.len() < length => Greeting::Malformed(hello::Malformed::unfinished(message)),
            Err(malformed) => Greeting::Malformed(malformed),
        };
        tell(greeting, Vec::new())?;
        bytes = rest;
    }
    ControlFlow::Continue(())
}

/// What one datagram holds: packets of QUIC or records of DTLS. `None` where it is neither, but an older format that may
/// begin with the same bits.
fn datagram(bytes: &[u8]) -> Option<Vec<Greeting>> {
    if !capture::may_be_handshake(bytes) {
        return None;
    }
    let mut datagrams = Datagrams::default();
    let mut told = datagrams.take(bytes);
    told.extend(datagrams.unfinished().map(Greeting::Malformed));
    (!told.iter().any(|greeting| matches!(greeting, Greeting::NotTls(_)))).then_some(told)
}

/// What a client has sent, and perhaps others after it.
fn stream(mut bytes: &[u8], tell: Tell<'_>) -> ControlFlow<()> {
    while !bytes.is_empty() {
        let mut finder = Finder::default();
        let Some(found) = finder.look(bytes, true).or_else(|| finder.end(bytes, true)) else { break };
        bytes = bytes.get(found.range.end.max(1)..).unwrap_or_default();
        tell(found.greeting, found.before)?;
        // ChangeCipherSpec stands between a hello and its second.
        while let [20, 3, _, 0, 1, 1, rest @ ..] = bytes {
            bytes = rest;
        }
    }
    ControlFlow::Continue(())
}

fn compressed(bytes: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 5] = [
        (&[0x1f, 0x8b], "gzip"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
        (&[0xfd, 0x37, 0x7a, 0x58, 0x5a], "xz"),
        (b"BZh", "bzip2"),
        (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
    ];
    MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, program)| *program)
}

/// What an input is that holds no hello, in a few words.
fn looks_like(bytes: &[u8]) -> String {
    let mut finder = Finder::default();
    let _ = finder.look(bytes, true);
    if finder.is_tls() {
        return "TLS without a ClientHello".into();
    }
    match finder.protocol() {
        Protocol::Unknown => {}
        protocol => return protocol.to_string(),
    }
    match text::decode(bytes).first() {
        Some(decoded) => format!("text that stands for {} other bytes", decoded.len()),
        None if bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => "text".into(),
        None => {
            let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("something that begins with the bytes {}", first.join(" "))
        }
    }
}

#[cfg(test)]
mod tests;
