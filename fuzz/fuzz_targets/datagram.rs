//! Whatever a client sends in datagrams: nothing panics, and what is told is whole. The first byte of each part
//! says its length, as a square, and whether it is a datagram as it is, the payload of an Initial, or a fragment of DTLS.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::{
    Side,
    crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
    quic::{DirectionalKeys, Version},
};
use std::sync::LazyLock;
use tapline::hello::{Alert, Datagrams, Greeting};

static KEYS: LazyLock<DirectionalKeys> = LazyLock::new(|| {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(|suite| suite.quic_suite()).expect("it is a suite for QUIC");
    suite.keys(b"fuzz", Side::Client, Version::V1).local
});

/// An Initial with this payload: what the fuzzer finds only so, since it cannot seal.
fn initial(payload: &[u8]) -> Vec<u8> {
    let mut packet = b"\xc3\0\0\0\x01\x04fuzz\0\0".to_vec();
    packet.extend((0x4000 | (payload.len() + 20) as u16).to_be_bytes());
    let at = packet.len();
    packet.extend([0; 4]);
    let mut payload = payload.to_vec();
    let tag = KEYS.packet.encrypt_in_place(0, &packet, &mut payload).expect("it is short");
    packet.extend(payload);
    packet.extend(tag.as_ref());
    let sample: [u8; 16] = packet[at + 4..at + 20].try_into().expect("the tag is as long");
    let (first, rest) = packet.split_at_mut(1);
    KEYS.header.encrypt_in_place(&sample, &mut first[0], &mut rest[at - 1..at + 3]).expect("the sample fits");
    packet
}

fuzz_target!(|bytes: &[u8]| {
    let (mut flow, mut rest) = (Datagrams::default(), bytes);
    while let Some((how, after)) = rest.split_first() {
        let (part, after) = after.split_at(after.len().min(usize::from(how >> 2).pow(2)));
        rest = after;
        let datagram = match how & 3 {
            0 => initial(part),
            1 => [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0][..], &(part.len() as u16).to_be_bytes(), part].concat(),
            _ => part.to_vec(),
        };
        for greeting in flow.take(&datagram) {
            if let Greeting::Tls(hello) = greeting {
                let [1, a, b, c, body @ ..] = hello.message() else { panic!("{:?}", hello.message()) };
                assert_eq!(u32::from_be_bytes([0, *a, *b, *c]) as usize, body.len());
            }
        }
    }
    let _ = (flow.unfinished(), flow.refusal(Alert::HandshakeFailure));
});
