//! From a captured packet to what TCP or UDP carries in it, through VLAN tags, MPLS, PPPoE, IP fragments and tunnels.

use super::{Link, fragments::Fragments};
use etherparse::{IpNumber, Ipv6ExtensionSlice, LaxIpSlice, TcpSlice, UdpSlice, ip_number};
use std::net::SocketAddr;

/// How many headers of tunnels and tags are looked through: more is an attack.
const DEEPEST: usize = 16;

/// A packet of TCP or UDP.
pub(super) struct Packet<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) content: Content<'a>,
}

pub(super) enum Content<'a> {
    Tcp(Segment<'a>),
    Udp(&'a [u8]),
}

/// A segment, as far as it was captured.
#[expect(clippy::struct_excessive_bools, reason = "they are the flags of its header")]
pub(super) struct Segment<'a> {
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) payload: &'a [u8],
}

/// Calls `found` with the innermost packet, where there is one.
pub(super) fn decode(link: Link, bytes: &[u8], fragments: &mut Fragments, found: &mut dyn FnMut(Packet<'_>)) {
    let mut walk = Walk { fragments, found };
    // Whatever ends early carries nothing.
    let _ = match link {
        Link::Loopback => walk.loopback(bytes),
        Link::Ethernet => walk.ethernet(bytes, DEEPEST),
        Link::Ppp => walk.ppp(bytes.strip_prefix(&[0xff, 3]).unwrap_or(bytes), DEEPEST),
        Link::Ip => walk.ip(bytes, DEEPEST),
        Link::LinuxSll => two(bytes, 14).and_then(|protocol| walk.ether_type(protocol, bytes.get(16..)?, DEEPEST)),
        Link::LinuxSll2 => two(bytes, 0).and_then(|protocol| walk.ether_type(protocol, bytes.get(20..)?, DEEPEST)),
    };
}

fn two(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

struct Walk<'a> {
    fragments: &'a mut Fragments,
    found: &'a mut dyn FnMut(Packet<'_>),
}

/// `None` from any of these: the packet ends, or carries something else.
impl Walk<'_> {
    fn loopback(&mut self, bytes: &[u8]) -> Option<()> {
        let (family, rest) = bytes.split_first_chunk::<4>()?;
        // AF_INET is 2 everywhere; AF_INET6 is 10 on Linux, 24, 28 or 30 on the BSDs and macOS. In the byte order of the machine.
        let family = u32::from_le_bytes(*family).min(u32::from_be_bytes(*family));
        matches!(family, 2 | 10 | 24 | 28 | 30).then(|| self.ip(rest, DEEPEST))?
    }

    fn ethernet(&mut self, bytes: &[u8], depth: usize) -> Option<()> {
        self.ether_type(two(bytes, 12)?, bytes.get(14..)?, depth)
    }

    fn ether_type(&mut self, ether_type: u16, bytes: &[u8], depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match ether_type {
            0x0800 | 0x86dd => self.ip(bytes, depth),
            // VLAN tags: IEEE 802.1Q and 802.1ad, and what was used before that.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => self.ether_type(two(bytes, 2)?, bytes.get(4..)?, depth),
            0x8847 | 0x8848 => self.mpls(bytes, depth),
            // PPPoE, RFC 2516: version and type, code 0, session and length, then PPP.
            0x8864 => self.ppp(bytes.get(6..)?, depth),
            // Transparent Ethernet bridging, as GRE and Geneve name it.
            0x6558 => self.ethernet(bytes, depth),
            // A length: IEEE 802.2, and SNAP in it (RFC 1042).
            0..=0x05ff => self.ether_type(two(bytes, 6)?, bytes.strip_prefix(&[0xaa, 0xaa, 3, 0, 0, 0])?.get(2..)?, depth),
            _ => None,
        }
    }

    /// RFC 1661: the protocol has two bytes, or one where both ends have agreed on that.
    fn ppp(&mut self, bytes: &[u8], depth: usize) -> Option<()> {
        match bytes {
            [0, 0x21 | 0x57, rest @ ..] | [0x21 | 0x57, rest @ ..] => self.ip(rest, depth),
            _ => None,
        }
    }

    /// RFC 3032: labels of four bytes until one says that it is the last. What follows says nothing about itself: IP is told by
    /// its first four bits, Ethernet is after a control word of zeros (RFC 4385).
    fn mpls(&mut self, mut bytes: &[u8], depth: usize) -> Option<()> {
        for _ in 0..DEEPEST {
            let (label, rest) = bytes.split_first_chunk::<4>()?;
            bytes = rest;
            if label[2] & 1 == 1 {
                return match bytes.first()? >> 4 {
                    4 | 6 => self.ip(bytes, depth),
                    0 => self.ethernet(bytes.get(4..)?, depth),
                    _ => None,
                };
            }
        }
        None
    }

    fn ip(&mut self, bytes: &[u8], depth: usize) -> Option<()> {
        // A header without a length, as offloading cards leave it, counts up to the packet's end.
        let (ip, _) = LaxIpSlice::from_slice(bytes).ok()?;
        let payload = ip.payload();
        if !payload.fragmented {
            return self.payload(&ip, payload.ip_number, payload.payload, depth);
        }
        let (identification, offset, more) = match &ip {
            LaxIpSlice::Ipv4(ip) => {
                let header = ip.header();
                (header.identification().into(), header.fragments_offset().byte_offset(), header.more_fragments())
            }
            LaxIpSlice::Ipv6(ip) => ip.extensions().clone().into_iter().find_map(|extension| match extension {
                Ipv6ExtensionSlice::Fragment(fragment) => {
                    Some((fragment.identification(), fragment.fragment_offset().byte_offset(), fragment.more_fragments()))
                }
                _ => None,
            })?,
        };
        let key = (ip.source_addr(), ip.destination_addr(), payload.ip_number.0, identification);
        let whole = self.fragments.add(key, usize::from(offset), payload.payload, more)?;
        self.payload(&ip, payload.ip_number, &whole, depth)
    }

    fn payload(&mut self, ip: &LaxIpSlice<'_>, protocol: IpNumber, bytes: &[u8], depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match protocol {
            ip_number::TCP => {
                let tcp = TcpSlice::from_slice(bytes).ok()?;
                (self.found)(Packet {
                    source: (ip.source_addr(), tcp.source_port()).into(),
                    destination: (ip.destination_addr(), tcp.destination_port()).into(),
                    content: Content::Tcp(Segment {
                        sequence: tcp.sequence_number(),
                        acknowledged: tcp.acknowledgment_number(),
                        syn: tcp.syn(),
                        ack: tcp.ack(),
                        fin: tcp.fin(),
                        rst: tcp.rst(),
                        payload: tcp.payload(),
                    }),
                });
                Some(())
            }
            ip_number::UDP => {
                let udp = UdpSlice::from_slice_lax(bytes).ok()?;
                if self.tunnel(udp.destination_port(), udp.payload(), depth).is_some() {
                    return Some(());
                }
                (self.found)(Packet {
                    source: (ip.source_addr(), udp.source_port()).into(),
                    destination: (ip.destination_addr(), udp.destination_port()).into(),
                    content: Content::Udp(udp.payload()),
                });
                Some(())
            }
            ip_number::IPV4 | ip_number::IPV6 => self.ip(bytes, depth),
            ip_number::GRE => self.gre(bytes, depth),
            _ => None,
        }
    }

    /// GRE with its options (RFC 2784, RFC 2890), and ERSPAN in it, types I to III (draft-foschiano-erspan).
    fn gre(&mut self, bytes: &[u8], depth: usize) -> Option<()> {
        let (flags, protocol) = (two(bytes, 0)?, two(bytes, 2)?);
        let option = |bit: u16| if flags & bit == 0 { 0 } else { 4 };
        // Version 1 is PPTP's.
        if flags & 7 != 0 {
            return None;
        }
        let inner = bytes.get(4 + option(0x8000) + option(0x2000) + option(0x1000)..)?;
        match protocol {
            0x88be if flags & 0x1000 == 0 => self.ethernet(inner, depth),
            0x88be => self.ethernet(inner.get(8..)?, depth),
            0x22eb => {
                let platform = if inner.get(11)? & 1 == 0 { 0 } else { 8 };
                self.ethernet(inner.get(12 + platform..)?, depth)
            }
            other => self.ether_type(other, inner, depth),
        }
    }

    /// VXLAN (RFC 7348) and Geneve (RFC 8926) on their ports. `None` for what is neither.
    fn tunnel(&mut self, port: u16, bytes: &[u8], depth: usize) -> Option<()> {
        match (port, bytes) {
            (4789 | 8472, [0x08, 0, 0, 0, _, _, _, 0, inner @ ..]) => {
                self.ethernet(inner, depth);
            }
            // Version 0; the length of the options is counted in words.
            (6081, [first @ 0..=0x3f, flags, high, low, _, _, _, 0, rest @ ..]) if flags << 2 == 0 => {
                let inner = rest.get(4 * usize::from(first & 0x3f)..)?;
                self.ether_type(u16::from_be_bytes([*high, *low]), inner, depth);
            }
            _ => return None,
        }
        // Whatever it carries.
        Some(())
    }
}
