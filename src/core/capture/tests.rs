//! Captures are made here packet by packet, with etherparse's builder and with bytes by hand.

mod datagrams;
mod files;
mod layers;
mod streams;

use super::*;
use crate::hello::tests::client_hello;
use etherparse::PacketBuilder;
use std::time::{Duration, UNIX_EPOCH};

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 50_000);
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 443);

/// What is said of a sighting: who, what, in how many packets.
fn said(sighting: &Sighting) -> String {
    let before = |before: &Before| [before.protocol.to_string(), " ".into(), before.target.clone().unwrap_or("-".into()), " ".into()];
    let before: String = sighting.before.iter().flat_map(before).collect();
    let second = if sighting.second { "again " } else { "" };
    match &sighting.greeting {
        Greeting::Tls(hello) => format!("{before}{second}{} in {}", hello.name, sighting.packets),
        Greeting::Malformed(malformed) => format!("{before}{malformed} in {}", sighting.packets),
        Greeting::NotTls(protocol) => format!("not TLS: {protocol}"),
    }
}

/// A capture that is fed packet by packet, and what it has said.
#[derive(Default)]
struct Fed {
    capture: Capture,
    sightings: Vec<Sighting>,
}

impl Fed {
    fn packet(&mut self, link: Link, bytes: &[u8]) {
        let time = UNIX_EPOCH + Duration::from_secs(self.capture.summary.packets);
        let sightings = &mut self.sightings;
        let _ = self.capture.packet(Some(time), link, bytes, &mut |sighting| {
            sightings.push(sighting);
            ControlFlow::Continue(())
        });
    }

    /// A segment from one of the two ends to the other; `flags` out of S, A, F, R.
    fn segment(&mut self, from_client: bool, sequence: u32, flags: &str, payload: &[u8]) {
        let (from, to) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        self.packet(Link::Ip, &tcp(from, to, sequence, flags, payload));
    }

    fn said(&self) -> Vec<String> {
        self.sightings.iter().map(said).collect()
    }

    /// What was said in all, and what it came to.
    fn end(mut self) -> (Vec<String>, Summary) {
        let sightings = &mut self.sightings;
        let summary = self.capture.end(&mut |sighting| {
            sightings.push(sighting);
            ControlFlow::Continue(())
        });
        (self.sightings.iter().map(said).collect(), summary)
    }
}

fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16), sequence: u32, flags: &str, payload: &[u8]) -> Vec<u8> {
    let mut builder = PacketBuilder::ipv4(from.0, to.0, 64).tcp(from.1, to.1, sequence, 65_535);
    for flag in flags.chars() {
        builder = match flag {
            'S' => builder.syn(),
            'A' => builder.ack(0),
            'F' => builder.fin(),
            'R' => builder.rst(),
            other => panic!("{other}"),
        };
    }
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).unwrap();
    packet
}

/// One packet of IPv4 with a whole hello.
fn hello_packet(name: &str) -> Vec<u8> {
    tcp(CLIENT, SERVER, 1000, "A", &client_hello(name, &[]))
}
