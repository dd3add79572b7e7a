//! Whatever is in a file: nothing panics, and what is told does not depend on how the bytes come. An input that begins with a
//! zero is made into segments of two connections, which the fuzzer would hardly find; all others are read as they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{
    io::{self, Read},
    ops::ControlFlow,
};
use tapline::{capture::Sighting, hello::Greeting, input};

/// Gives out a few bytes at a time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(buffer.len()).min(self.0.len());
        self.0.read(&mut buffer[..length])
    }
}

fn read(source: impl Read) -> (Vec<Sighting>, String) {
    let mut sightings = Vec::new();
    let summary = input::read(source, &mut |sighting| {
        sightings.push(sighting);
        ControlFlow::Continue(())
    });
    if let Ok(summary) = &summary {
        let count = |wanted: fn(&Greeting) -> bool| sightings.iter().filter(|sighting| wanted(&sighting.greeting)).count() as u64;
        assert_eq!(summary.hellos, count(|greeting| matches!(greeting, Greeting::Tls(_))));
        assert_eq!(summary.malformed, count(|greeting| matches!(greeting, Greeting::Malformed(_))));
        assert_eq!(summary.not_tls, count(|greeting| matches!(greeting, Greeting::NotTls(_))));
    }
    (sightings, format!("{summary:?}"))
}

/// A capture of segments: each has a byte of flags, two of its sequence number, one of its length.
fn segments(mut bytes: &[u8]) -> Vec<u8> {
    let mut capture = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x65\0\0\0".to_vec();
    while let [flags, high, low, length, rest @ ..] = bytes {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        let total = 40 + payload.len() as u16;
        let (one, other) = ([10, 0, 0, 1, 10, 0, 0, 2], [10, 0, 0, 2, 10, 0, 0, 1]);
        let ports = if flags & 0x40 == 0 { [0xc0, 0, 1, 0xbb] } else { [0xc0, 1, 1, 0xbb] };
        let from_client = flags & 0x80 == 0;
        capture.extend([0; 8]);
        capture.extend(u32::from(total).to_le_bytes().repeat(2));
        capture.extend([0x45, 0]);
        capture.extend(total.to_be_bytes());
        capture.extend([0, 0, 0, 0, 64, 6, 0, 0]);
        capture.extend(if from_client { one } else { other });
        capture.extend(if from_client { ports } else { [ports[2], ports[3], ports[0], ports[1]] });
        // Near the end of the numbers, so that they wrap.
        capture.extend(0xffff_8000_u32.wrapping_add(u16::from_be_bytes([*high, *low]).into()).to_be_bytes());
        capture.extend([0, 0, 0, 0, 0x50, flags & 0x17, 0xff, 0xff, 0, 0, 0, 0]);
        capture.extend(payload);
        bytes = rest;
    }
    capture
}

fuzz_target!(|bytes: &[u8]| {
    let made;
    let bytes = match bytes {
        [0, rest @ ..] => {
            made = segments(rest);
            &made
        }
        bytes => bytes,
    };
    let whole = read(bytes);
    assert_eq!(read(Drip(bytes, bytes.len() / 5 + 1)), whole);
});
