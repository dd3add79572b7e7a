//! A recording of conversations as pcapng: values in, bytes out. The packets are made up, as the two ends would have
//! exchanged them on an Ethernet without loss: handshake, data, acknowledgements, FIN or RST. Addresses, ports, times and
//! payload are the real ones.
//!
//! Where one end is IPv4 and the other IPv6, both are written as IPv6 (IPv4-mapped, RFC 4291 section 2.5.5.2). A Unix
//! socket has a placeholder out of RFC 5737: 192.0.2.1 for clients, with a port that follows from the number of the
//! connection, and 192.0.2.2, port 1, for targets.

mod packet;

use crate::{
    addr::Endpoint,
    event::ConnId,
    tap::{Seen, What},
};
use packet::{ACK, FIN, Flags, Packet, RST, SYN};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{SystemTime, UNIX_EPOCH},
};

/// Payload of a packet at most: it fits into the window of 65,535 bytes, and each is acknowledged before the next.
const SEGMENT: usize = 32 * 1024;

/// The conversations that are open.
#[derive(Debug, Default)]
pub struct Recording {
    open: HashMap<ConnId, Conversation>,
}

/// The two ends of a conversation: the client's at 0, the target's at 1.
#[derive(Debug)]
struct Conversation {
    addrs: [SocketAddr; 2],
    /// The sequence number of the next byte of each.
    next: [u32; 2],
    ended: [bool; 2],
}

impl Recording {
    /// What a file begins with: a section (draft-ietf-opsawg-pcapng) and one interface, Ethernet with times in nanoseconds.
    #[must_use]
    pub fn header() -> Vec<u8> {
        let mut section = Vec::new();
        section.extend(0x1a2b_3c4d_u32.to_le_bytes());
        section.extend([1, 0, 0, 0]);
        section.extend((-1_i64).to_le_bytes());
        option(&mut section, 4, concat!("tapline ", env!("CARGO_PKG_VERSION")).as_bytes());
        option(&mut section, 0, b"");
        let mut interface = vec![1, 0, 0, 0, 0, 0, 0, 0];
        option(&mut interface, 2, b"tapline");
        option(&mut interface, 9, &[9]);
        option(&mut interface, 0, b"");
        let mut out = Vec::new();
        block(&mut out, 0x0a0d_0d0a, &section);
        block(&mut out, 1, &interface);
        out
    }

    /// Adds what was seen, as the packets that tell of it.
    pub fn add(&mut self, seen: &Seen, out: &mut Vec<u8>) {
        match &seen.what {
            What::Opened { client, target, .. } => {
                let mut conversation = Conversation::new(seen.id, client, target);
                let comment = format!("connection {} from {client} to {target}", seen.id);
                conversation.say(0, SYN, b"", seen.at, &comment, out);
                conversation.say(1, SYN | ACK, b"", seen.at, "", out);
                conversation.say(0, ACK, b"", seen.at, "", out);
                self.open.insert(seen.id, conversation);
            }
            What::Bytes(direction, bytes) => {
                let Some(conversation) = self.open.get_mut(&seen.id) else { return };
                let from = *direction as usize;
                for segment in bytes.chunks(SEGMENT) {
                    conversation.say(from, PSH_ACK, segment, seen.at, "", out);
                    conversation.say(1 - from, ACK, b"", seen.at, "", out);
                }
            }
            What::Ended(direction) => {
                let Some(conversation) = self.open.get_mut(&seen.id) else { return };
                let from = *direction as usize;
                conversation.say(from, FIN | ACK, b"", seen.at, "", out);
                conversation.say(1 - from, ACK, b"", seen.at, "", out);
                conversation.ended[from] = true;
                if conversation.ended == [true, true] {
                    self.open.remove(&seen.id);
                }
            }
            What::Reset { by_client } => {
                let Some(mut conversation) = self.open.remove(&seen.id) else { return };
                conversation.say(usize::from(!by_client), RST | ACK, b"", seen.at, "", out);
            }
            What::Secrets(lines) => secrets(out, lines),
            // One that nobody has reset may still be open at the client's side.
            What::Closed => drop(self.open.remove(&seen.id)),
            What::Settle(_) | What::Last => {}
        }
    }
}

const PSH_ACK: Flags = packet::PSH | ACK;

impl Conversation {
    fn new(id: ConnId, client: &Endpoint, target: &Endpoint) -> Self {
        let port = 1024 + (id.0.saturating_sub(1) % 64_512) as u16;
        let client = client.socket_addr().unwrap_or_else(|| (Ipv4Addr::new(192, 0, 2, 1), port).into());
        let target = target.socket_addr().unwrap_or_else(|| (Ipv4Addr::new(192, 0, 2, 2), 1).into());
        let mapped = client.is_ipv4() != target.is_ipv4();
        let addrs = [client, target].map(|addr| match addr.ip() {
            IpAddr::V4(ip) if mapped => (ip.to_ipv6_mapped(), addr.port()).into(),
            _ => addr,
        });
        // Far from those of a connection that had the same ports before.
        let first = (id.0 as u32).wrapping_mul(0x9e37_79b9);
        Self { addrs, next: [first, !first], ended: [false; 2] }
    }

    /// One packet from one end to the other.
    fn say(&mut self, from: usize, flags: Flags, payload: &[u8], at: SystemTime, comment: &str, out: &mut Vec<u8>) {
        let to = 1 - from;
        let packet = Packet {
            from: self.addrs[from],
            to: self.addrs[to],
            sequence: self.next[from],
            acknowledged: if flags & ACK == 0 { 0 } else { self.next[to] },
            flags,
            payload,
        };
        let frame = packet.frame(from == 0);
        // SYN and FIN count as one byte each, RFC 9293 section 3.4.
        let counted = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[from] = self.next[from].wrapping_add(counted);
        // A clock before 1970 is not worth a failure.
        let nanos = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let size = (frame.len() as u32).to_le_bytes();
        let mut body = Vec::with_capacity(frame.len() + 64);
        body.extend([0; 4]);
        body.extend(((nanos >> 32) as u32).to_le_bytes());
        body.extend((nanos as u32).to_le_bytes());
        body.extend(size);
        body.extend(size);
        body.extend(&frame);
        pad(&mut body);
        if !comment.is_empty() {
            option(&mut body, 1, comment.as_bytes());
            option(&mut body, 0, b"");
        }
        block(out, 6, &body);
    }
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (body.len() as u32 + 12).to_le_bytes();
    out.extend(kind.to_le_bytes());
    out.extend(length);
    out.extend(body);
    out.extend(length);
}

/// A Decryption Secrets Block with lines of a TLS key log (draft-ietf-opsawg-pcapng section 4.7): it is for the packets after
/// it.
fn secrets(out: &mut Vec<u8>, lines: &[u8]) {
    const TLS_KEY_LOG: u32 = 0x544c_534b;
    let mut body = Vec::with_capacity(lines.len() + 12);
    body.extend(TLS_KEY_LOG.to_le_bytes());
    body.extend((lines.len() as u32).to_le_bytes());
    body.extend(lines);
    pad(&mut body);
    block(out, 10, &body);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    // The longest is the comment: two addresses.
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::Direction, tap::tap};
    use bytes::Bytes;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use pcap_parser::{Block, PcapBlockOwned, PcapNGReader, traits::PcapReaderIterator};

    /// From, to, flags as letters, sequence and acknowledgement from the first of each, payload.
    type Read = (String, String, String, u32, u32, Vec<u8>);

    /// Reads a recording with other people's code, which also computes the checksums anew.
    fn read(file: &[u8]) -> Vec<Read> {
        let (mut reader, mut packets) = (PcapNGReader::new(1 << 20, file).unwrap(), Vec::new());
        while let Ok((size, block)) = reader.next() {
            if let PcapBlockOwned::NG(Block::EnhancedPacket(packet)) = &block {
                packets.push(one(&packet.data[..packet.caplen as usize]));
            }
            reader.consume(size);
        }
        let first = |from: &str| packets.iter().find(|packet| packet.0 == from).map_or(0, |packet| packet.3);
        let mut read = packets.clone();
        for packet in &mut read {
            let acknowledged = if packet.2.contains('A') { packet.4.wrapping_sub(first(&packet.1)) } else { 0 };
            (packet.3, packet.4) = (packet.3.wrapping_sub(first(&packet.0)), acknowledged);
        }
        read
    }

    fn one(frame: &[u8]) -> Read {
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { panic!("{packet:?}") };
        let (header, payload) = (tcp.to_header(), tcp.payload());
        let (from, to, sum): (IpAddr, IpAddr, u16) = match packet.net.as_ref().unwrap() {
            NetSlice::Ipv4(ip) => {
                let ip = ip.header();
                assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
                (ip.source_addr().into(), ip.destination_addr().into(), header.calc_checksum_ipv4(&ip.to_header(), payload).unwrap())
            }
            NetSlice::Ipv6(ip) => {
                let ip = ip.header();
                (ip.source_addr().into(), ip.destination_addr().into(), header.calc_checksum_ipv6(&ip.to_header(), payload).unwrap())
            }
            other @ NetSlice::Arp(_) => panic!("{other:?}"),
        };
        assert_eq!(header.checksum, sum);
        let flags = [('S', header.syn), ('F', header.fin), ('R', header.rst), ('P', header.psh), ('A', header.ack)];
        let flags = flags.into_iter().filter_map(|(letter, set)| set.then_some(letter)).collect();
        let (from, to) = (SocketAddr::new(from, header.source_port), SocketAddr::new(to, header.destination_port));
        (from.to_string(), to.to_string(), flags, header.sequence_number, header.acknowledgment_number, payload.to_vec())
    }

    fn endpoint(text: &str) -> Endpoint {
        text.parse().map_or(Endpoint::Unix(None), Endpoint::Tcp)
    }

    /// What a connection between these two leaves in a file.
    async fn recorded(client: &str, target: &str, by_client: Option<bool>) -> Vec<Read> {
        let (tap, mut watcher) = tap();
        let connection = tap.open(ConnId(2), endpoint(client), endpoint(client), endpoint(target));
        connection.bytes(Direction::Up, &Bytes::from(vec![7; 70_001])).await;
        connection.end(Direction::Up);
        connection.bytes(Direction::Down, &Bytes::from_static(b"odd")).await;
        match by_client {
            None => connection.end(Direction::Down),
            Some(true) => connection.blame_client(),
            Some(false) => {}
        }
        drop(connection);
        tap.finish();
        let (mut recording, mut file) = (Recording::default(), Recording::header());
        while let Some(seen) = watcher.next().await {
            recording.add(&seen, &mut file);
        }
        assert!(recording.open.is_empty());
        read(&file)
    }

    #[tokio::test]
    async fn a_conversation_is_whole_and_every_byte_is_acknowledged() {
        let (a, b) = ("10.0.0.7:5123", "192.0.2.9:443");
        let packets = recorded(a, b, None).await;
        let said: Vec<_> =
            packets.iter().map(|(from, _, flags, seq, ack, data)| (from == a, flags.as_str(), *seq, *ack, data.len())).collect();
        let wanted = [
            (true, "S", 0, 0, 0),
            (false, "SA", 0, 1, 0),
            (true, "A", 1, 1, 0),
            (true, "PA", 1, 1, 32_768),
            (false, "A", 1, 32_769, 0),
            (true, "PA", 32_769, 1, 32_768),
            (false, "A", 1, 65_537, 0),
            (true, "PA", 65_537, 1, 4_465),
            (false, "A", 1, 70_002, 0),
            (true, "FA", 70_002, 1, 0),
            (false, "A", 1, 70_003, 0),
            (false, "PA", 1, 70_003, 3),
            (true, "A", 70_003, 4, 0),
            (false, "FA", 4, 70_003, 0),
            (true, "A", 70_003, 5, 0),
        ];
        assert_eq!(said, wanted);
        assert!(packets.iter().all(|packet| packet.0 != packet.1 && [a, b].contains(&packet.1.as_str())));
    }

    #[tokio::test]
    async fn a_reset_is_told_as_coming_from_who_reset() {
        for by_client in [true, false] {
            let packets = recorded("10.0.0.7:5123", "192.0.2.9:443", Some(by_client)).await;
            let (from, _, flags, seq, ack, _) = packets.last().unwrap();
            assert_eq!((from == "10.0.0.7:5123", flags.as_str()), (by_client, "RA"));
            assert_eq!((*seq, *ack), if by_client { (70_003, 4) } else { (4, 70_003) });
        }
    }

    #[tokio::test]
    async fn ipv6_mixed_families_and_unix_sockets_have_addresses() {
        for (client, target, from, to) in [
            ("[2001:db8::1]:9", "[2001:db8::2]:80", "[2001:db8::1]:9", "[2001:db8::2]:80"),
            ("10.0.0.7:9", "[2001:db8::2]:80", "[::ffff:10.0.0.7]:9", "[2001:db8::2]:80"),
            ("unix", "10.0.0.1:80", "192.0.2.1:1025", "10.0.0.1:80"),
            ("10.0.0.1:80", "unix", "10.0.0.1:80", "192.0.2.2:1"),
        ] {
            let packets = recorded(client, target, None).await;
            assert_eq!((packets[0].0.as_str(), packets[0].1.as_str()), (from, to));
            assert_eq!(packets.len(), 15);
        }
    }
}
