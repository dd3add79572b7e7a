//! What a captured packet begins with (<https://www.tcpdump.org/linktypes.html>).

use std::fmt;

/// A link type whose packets are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// LINKTYPE_NULL and LINKTYPE_LOOP: an address family in four bytes, in either order.
    Loopback,
    /// LINKTYPE_ETHERNET.
    Ethernet,
    /// LINKTYPE_PPP and LINKTYPE_PPP_HDLC: a protocol number, with or without the HDLC address before it.
    Ppp,
    /// LINKTYPE_RAW, LINKTYPE_IPV4 and LINKTYPE_IPV6: IP without anything before it.
    Ip,
    /// LINKTYPE_LINUX_SLL: what `tcpdump -i any` wrote until version 4.99.
    LinuxSll,
    /// LINKTYPE_LINUX_SLL2: what it writes now.
    LinuxSll2,
}

impl Link {
    /// The link type with this number in a capture file. Where it is not decoded, its name.
    ///
    /// # Errors
    /// It is none of those that are decoded.
    pub fn from_number(number: u32) -> Result<Self, UnknownLink> {
        Ok(match number {
            0 | 108 => Self::Loopback,
            1 => Self::Ethernet,
            9 | 50 => Self::Ppp,
            // 12 and 14 are what LINKTYPE_RAW is called in the headers of some systems, and what they wrote into files.
            12 | 14 | 101 | 228 | 229 => Self::Ip,
            113 => Self::LinuxSll,
            276 => Self::LinuxSll2,
            other => return Err(UnknownLink(other)),
        })
    }
}

/// A link type that is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLink(pub u32);

impl fmt::Display for UnknownLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            6 => "Token Ring",
            8 => "SLIP",
            10 => "FDDI",
            51 => "PPPoE",
            104 => "Cisco HDLC",
            105 => "IEEE 802.11",
            107 => "Frame Relay",
            117 => "OpenBSD pflog",
            119 => "Prism and IEEE 802.11",
            127 => "radiotap and IEEE 802.11",
            147..=162 => "reserved for private use",
            187 | 201 => "Bluetooth HCI",
            189 | 220 | 249 => "USB",
            195 | 215 | 230 => "IEEE 802.15.4",
            227 => "CAN",
            239 => "netfilter log",
            251 => "Bluetooth LE",
            252 => "Wireshark's exported PDUs",
            253 => "netlink",
            _ => return write!(f, "link type {}", self.0),
        };
        write!(f, "link type {} ({name})", self.0)
    }
}
