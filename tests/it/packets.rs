//! Captures byte by byte: pcap (tcpdump's format, in microseconds, little-endian) of Ethernet.

use etherparse::PacketBuilder;

/// The client's address and the server's in all captured connections.
pub const CLIENT: [u8; 4] = [192, 0, 2, 1];
pub const SERVER: [u8; 4] = [198, 51, 100, 2];

/// The header of the file.
pub fn header() -> Vec<u8> {
    let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A packet with its header, so many seconds after the first second of 2026.
pub fn record(seconds: u32, packet: &[u8]) -> Vec<u8> {
    let length = u32::try_from(packet.len()).unwrap();
    let words = [1_767_225_600 + seconds, 250_000, length, length];
    words.iter().flat_map(|word| word.to_le_bytes()).chain(packet.iter().copied()).collect()
}

/// A whole file, one packet a second.
pub fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let records = packets.iter().zip(0..).flat_map(|(packet, seconds)| record(seconds, packet));
    header().into_iter().chain(records).collect()
}

/// A segment from the client's port to port 443.
pub fn segment(port: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(CLIENT, SERVER, 64).tcp(port, 443, sequence, 65535).ack(1);
    let mut bytes = Vec::new();
    packet.write(&mut bytes, payload).unwrap();
    bytes
}

/// The first segment of a connection, without data.
pub fn syn(port: u16, sequence: u32) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(CLIENT, SERVER, 64).tcp(port, 443, sequence, 65535).syn();
    let mut bytes = Vec::new();
    packet.write(&mut bytes, &[]).unwrap();
    bytes
}
