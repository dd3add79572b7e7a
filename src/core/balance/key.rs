//! What of a client is hashed, so that the same client has the same target.

use crate::addr::Endpoint;
use std::{fmt, net::IpAddr, str::FromStr};
use xxhash_rust::xxh3::xxh3_64;

/// What of a client is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// The address of the peer: who has connected, which may be a proxy in front.
    Ip(Prefix),
    /// The address and port of the peer: another key for each connection.
    IpPort,
    /// The server name that it asks for, in small letters and without a dot at the end.
    Sni,
    /// The address of the client that a PROXY header announces; the peer's where none does.
    ProxySrc(Prefix),
}

/// How many bits of an address count, from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    v4: u8,
    v6: u8,
}

impl Prefix {
    /// The whole address.
    pub const ALL: Self = Self { v4: 32, v6: 128 };
    /// A subscriber of IPv6 has a /64 at least (RFC 7421).
    const SUBSCRIBER: u8 = 64;
}

/// A client as far as it may be hashed.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Who has connected.
    pub peer: &'a Endpoint,
    /// Who was announced, else the peer.
    pub client: &'a Endpoint,
    /// The server name that it asks for.
    pub name: Option<&'a str>,
}

impl Hash {
    /// The key of a client: XXH3 (64 bits, seed 0) of the address as bytes in network order, IPv4-mapped IPv6 addresses as IPv4, with the port behind
    /// it, or of the name. All clients without one, as those of a Unix socket, have one key.
    #[must_use]
    pub fn key(self, of: Client<'_>) -> u64 {
        let addr = |end: &Endpoint, prefix: Prefix| match end.socket_addr().map(|addr| addr.ip().to_canonical()) {
            Some(IpAddr::V4(ip)) => xxh3_64(&(ip.to_bits() & (u32::MAX << (32 - prefix.v4))).to_be_bytes()),
            Some(IpAddr::V6(ip)) => xxh3_64(&(ip.to_bits() & (u128::MAX << (128 - prefix.v6))).to_be_bytes()),
            None => xxh3_64(&[]),
        };
        match self {
            Self::Ip(prefix) => addr(of.peer, prefix),
            Self::ProxySrc(prefix) => addr(of.client, prefix),
            Self::IpPort => {
                let Some(peer) = of.peer.socket_addr() else { return xxh3_64(&[]) };
                let mut bytes = [0; 18];
                let octets = match peer.ip().to_canonical() {
                    IpAddr::V4(ip) => {
                        bytes[..4].copy_from_slice(&ip.octets());
                        4
                    }
                    IpAddr::V6(ip) => {
                        bytes[..16].copy_from_slice(&ip.octets());
                        16
                    }
                };
                bytes[octets..octets + 2].copy_from_slice(&peer.port().to_be_bytes());
                xxh3_64(&bytes[..octets + 2])
            }
            Self::Sni => {
                let name = of.name.unwrap_or_default();
                xxh3_64(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().as_bytes())
            }
        }
    }
}

/// Text that names nothing of a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing to hash; write ip, ip-port, sni or proxy-src; ip/24 for the first bits of IPv4 (64 of IPv6), ip/24/56 for both")]
pub struct HashError(String);

impl FromStr for Hash {
    type Err = HashError;

    /// Reads `ip`, `ip/24`, `ip/24/56`, `ip-port`, `sni`, and `proxy-src` as `ip`. A prefix has 1 to 32 bits of IPv4 and 1 to 128 of IPv6.
    fn from_str(text: &str) -> Result<Self, HashError> {
        let wrong = || HashError(text.to_owned());
        let bits = |text: &str, most: u8| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|bits| digits && (1..=most).contains(bits)).ok_or_else(wrong)
        };
        let (what, bits_of) = text.split_once('/').map_or((text, None), |(what, bits)| (what, Some(bits)));
        let prefix = match bits_of.map(|bits| bits.split_once('/').map_or((bits, None), |(v4, v6)| (v4, Some(v6)))) {
            None => Prefix::ALL,
            Some((v4, v6)) => Prefix { v4: bits(v4, 32)?, v6: v6.map_or(Ok(Prefix::SUBSCRIBER), |v6| bits(v6, 128))? },
        };
        match what {
            "ip" => Ok(Self::Ip(prefix)),
            "proxy-src" => Ok(Self::ProxySrc(prefix)),
            "ip-port" if bits_of.is_none() => Ok(Self::IpPort),
            "sni" if bits_of.is_none() => Ok(Self::Sni),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(prefix) => write!(f, "ip{prefix}"),
            Self::ProxySrc(prefix) => write!(f, "proxy-src{prefix}"),
            Self::IpPort => f.write_str("ip-port"),
            Self::Sni => f.write_str("sni"),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => Ok(()),
            Self { v4, v6: Self::SUBSCRIBER } => write!(f, "/{v4}"),
            Self { v4, v6 } => write!(f, "/{v4}/{v6}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hash: &str, peer: &str, client: &str, name: Option<&str>) -> u64 {
        let end = |text: &str| text.parse().map_or(Endpoint::Unix(None), Endpoint::Tcp);
        hash.parse::<Hash>().unwrap().key(Client { peer: &end(peer), client: &end(client), name })
    }

    #[test]
    fn what_is_written_is_what_is_hashed() {
        for text in ["ip", "ip/24", "ip/24/56", "ip-port", "sni", "proxy-src", "proxy-src/8"] {
            assert_eq!(text.parse::<Hash>().unwrap().to_string(), text);
        }
        for wrong in ["", "ip/", "ip/0", "ip/33", "ip/24/129", "ip/+4", "ip/24/56/1", "sni/4", "ip-port/24", "host"] {
            assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_client_has_one_key_however_it_is_written() {
        let [a, b] = ["192.0.2.1:1000", "192.0.2.1:2000"];
        assert_eq!(key("ip", a, a, None), key("ip", b, b, None));
        assert_eq!(key("ip", a, a, None), key("ip", "[::ffff:192.0.2.1]:7", a, None));
        assert_ne!(key("ip-port", a, a, None), key("ip-port", b, b, None));
        assert_eq!(key("ip/24", a, a, None), key("ip/24", "192.0.2.99:1", a, None));
        assert_ne!(key("ip/24", a, a, None), key("ip/24", "192.0.3.1:1", a, None));
        assert_eq!(key("ip/24", "[2001:db8::1]:1", a, None), key("ip/24", "[2001:db8::ffff:1]:1", a, None));
        assert_ne!(key("ip/24", "[2001:db8::1]:1", a, None), key("ip/24", "[2001:db8:0:1::1]:1", a, None));
        assert_eq!(key("proxy-src", a, "198.51.100.1:1", None), key("ip", "198.51.100.1:2", a, None));
        assert_eq!(key("sni", a, a, Some("WWW.a.test.")), key("sni", b, b, Some("www.a.test")));
        assert_eq!(key("ip", "unix", "unix", None), key("ip-port", "unix", "unix", None));
        // For good: instances of different versions have the same clients on the same targets.
        assert_eq!(key("ip", a, a, None), 3_178_573_899_526_495_306);
    }
}
