//! One TCP segment in an Ethernet frame.

use std::net::{IpAddr, SocketAddr};

/// The flags of a segment, RFC 9293 section 3.1.
pub(super) type Flags = u8;
pub(super) const FIN: Flags = 1;
pub(super) const SYN: Flags = 2;
pub(super) const RST: Flags = 4;
pub(super) const PSH: Flags = 8;
pub(super) const ACK: Flags = 16;

/// The protocol number of TCP.
const TCP: u8 = 6;
const WINDOW: u16 = 65_535;
/// What a segment holds without options: what a SYN announces, so that no reader takes the segments for too long.
const MAX_SEGMENT: u16 = 65_495;

/// One segment; both addresses are of one family.
pub(super) struct Packet<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: Flags,
    pub(super) payload: &'a [u8],
}

impl Packet<'_> {
    /// The frame. The two ends have locally administered addresses, the client's ends in 1.
    pub(super) fn frame(&self, from_client: bool) -> Vec<u8> {
        let segment = self.segment();
        let (source, destination) = if from_client { (1, 2) } else { (2, 1) };
        let mut frame = Vec::with_capacity(segment.len() + 64);
        frame.extend([2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source]);
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                frame.extend([0x08, 0x00]);
                let length = (20 + segment.len()) as u16;
                let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, TCP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                header[2..4].copy_from_slice(&length.to_be_bytes());
                header[12..16].copy_from_slice(&from.octets());
                header[16..20].copy_from_slice(&to.octets());
                let sum = checksum(&[&header]);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                frame.extend(header);
            }
            (from, to) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend((segment.len() as u16).to_be_bytes());
                frame.extend([TCP, 64]);
                frame.extend(octets(from).into_iter().chain(octets(to)));
            }
        }
        frame.extend(segment);
        frame
    }

    fn segment(&self) -> Vec<u8> {
        let options = if self.flags & SYN == 0 { vec![] } else { [&[2, 4][..], &MAX_SEGMENT.to_be_bytes()].concat() };
        let mut out = Vec::with_capacity(24 + self.payload.len());
        out.extend(self.from.port().to_be_bytes());
        out.extend(self.to.port().to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.acknowledged.to_be_bytes());
        out.extend([((20 + options.len()) as u8 / 4) << 4, self.flags]);
        out.extend(WINDOW.to_be_bytes());
        out.extend([0; 4]);
        out.extend(options);
        out.extend(self.payload);
        // The pseudo-header, RFC 9293 section 3.1 and RFC 8200 section 8.1; it sums up the same for both families.
        let length = (out.len() as u32).to_be_bytes();
        let sum = checksum(&[&octets(self.from.ip()), &octets(self.to.ip()), &length, &[0, TCP], &out]);
        out[16..18].copy_from_slice(&sum.to_be_bytes());
        out
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071) of parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
