//! ClientHellos in captured packets: from a pcap or pcapng file down to the first bytes of each direction of each TCP
//! connection, and to the datagrams of each UDP flow. Values in, values out: it reads a [`std::io::Read`] and nothing else.
//!
//! What is held is bounded: 32,768 connections, of each of which 84 KiB are read in each direction, 32 MiB for all; 32,768 UDP
//! flows, 32 MiB for all; 4 MiB of IP fragments. What was seen first is given up first; the [`Summary`] says how much that was.

mod connections;
mod datagrams;
mod direction;
mod file;
mod finder;
mod fragments;
mod layers;
mod link;
mod preface;
mod reassembly;
mod table;

pub(crate) use datagrams::may_be_handshake;
pub use file::CaptureError;
pub(crate) use file::{is_capture, read};
pub(crate) use finder::Finder;
pub use link::Link;
pub use preface::{Before, Preface};

use crate::hello::Greeting;
use connections::Connections;
use datagrams::Datagrams;
use fragments::Fragments;
use layers::{Content, Packet};
use serde::Serialize;
use std::{collections::BTreeMap, net::SocketAddr, ops::ControlFlow, time::SystemTime};

/// What a client said first, and where it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When the last packet that it came in was captured. None where the source knows no times.
    pub time: Option<SystemTime>,
    /// Who said it to whom. None outside captures.
    pub flow: Option<Flow>,
    /// The number of the last packet that it came in, from 1, as tshark numbers frames. None outside captures.
    pub packet: Option<u64>,
    /// How many packets it came in; of TCP, retransmissions are not counted. 0 outside captures.
    pub packets: usize,
    /// What the client said before, outermost first.
    pub before: Vec<Before>,
    /// It is the second hello of its connection, with which a client answers a HelloRetryRequest (RFC 8446 section 4.1.2).
    pub second: bool,
    /// The hello; or why it cannot be read; or what a TCP connection is that is not TLS.
    pub greeting: Greeting,
}

/// The two ends of a conversation. In a tunnel they are the inner ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Over what they speak.
    pub transport: Transport,
    /// The client.
    pub source: SocketAddr,
    /// The server.
    pub destination: SocketAddr,
}

/// Over what two ends speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A stream.
    Tcp,
    /// Datagrams: QUIC or DTLS.
    Udp,
}

/// What was read in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Packets of the capture.
    pub packets: u64,
    /// Of them, those that are neither TCP nor UDP over IP, too damaged to tell, or fragments of what was not whole yet.
    pub other_packets: u64,
    /// Of them, those of link types that are not decoded, by their names.
    pub other_links: BTreeMap<String, u64>,
    /// TCP connections of which data was captured.
    pub streams: u64,
    /// UDP flows that begin like QUIC or DTLS.
    pub datagram_flows: u64,
    /// Hellos that were read, second ones included.
    pub hellos: u64,
    /// Hellos that are malformed or not whole.
    pub malformed: u64,
    /// TCP connections that are not TLS; UDP flows in a version of QUIC that is not known.
    pub not_tls: u64,
    /// TCP connections that are TLS, and whose hello was not captured.
    pub without_hello: u64,
    /// Connections and UDP flows that were given up because there were too many.
    pub given_up: u64,
    /// The capture ends within a packet. What came before it was read.
    pub truncated: bool,
}

/// Which packet of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    packet: u64,
    time: Option<SystemTime>,
}

/// What is done with each sighting; breaking ends the reading.
pub type Each<'a> = &'a mut dyn FnMut(Sighting) -> ControlFlow<()>;

/// Packets go in, sightings come out.
#[derive(Default)]
pub struct Capture {
    fragments: Fragments,
    connections: Connections,
    datagrams: Datagrams,
    summary: Summary,
}

impl Capture {
    /// Takes the next packet. `each` is called at once for whatever has become certain with it.
    pub fn packet(&mut self, time: Option<SystemTime>, link: Link, bytes: &[u8], each: Each<'_>) -> ControlFlow<()> {
        self.summary.packets += 1;
        let stamp = Stamp { packet: self.summary.packets, time };
        let Self { fragments, connections, datagrams, summary } = self;
        let (mut flow, mut seen) = (ControlFlow::Continue(()), false);
        layers::decode(link, bytes, fragments, &mut |packet: Packet<'_>| {
            seen = true;
            flow = match packet.content {
                Content::Tcp(segment) => connections.take(packet.source, packet.destination, &segment, stamp, summary, each),
                Content::Udp(datagram) => datagrams.take(packet.source, packet.destination, datagram, stamp, summary, each),
            };
        });
        self.summary.other_packets += u64::from(!seen);
        flow
    }

    /// Takes a packet whose link type is not decoded.
    fn unknown_packet(&mut self, link: &str) {
        self.summary.packets += 1;
        *self.summary.other_links.entry(link.to_owned()).or_default() += 1;
    }

    /// There are no more packets: what is not whole now never will be.
    pub fn end(mut self, each: Each<'_>) -> Summary {
        // Whoever breaks here has nothing left to stop.
        let _ = self.connections.end(&mut self.summary, each).is_continue() && self.datagrams.end(&mut self.summary, each).is_continue();
        self.summary
    }
}

impl Summary {
    pub(crate) fn count(&mut self, greeting: &Greeting) {
        match greeting {
            Greeting::Tls(_) => self.hellos += 1,
            Greeting::Malformed(_) => self.malformed += 1,
            Greeting::NotTls(_) => self.not_tls += 1,
        }
    }
}

#[cfg(test)]
mod tests;
