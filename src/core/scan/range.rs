//! What is scanned, as people write it: hosts and networks, ports and ranges. Nothing is expanded in memory.

use crate::{
    addr::{Host, HostPort},
    dial::resolve,
};
use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The most addresses that one network may have: a /8 of IPv4.
const MOST: u128 = 1 << 24;

/// Addresses, as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// First address and count of each.
    ranges: Vec<(IpAddr, u64)>,
    /// Networks that were written with host bits, and how they were understood.
    pub host_bits: Vec<(String, IpNet)>,
}

/// A host that cannot be scanned.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostsError {
    /// Neither an address nor a network nor a name.
    #[error("{0:?} is not a host; write an address, a network such as 192.0.2.0/24, or a name")]
    NoHost(String),
    /// A network of more addresses than anyone means.
    #[error("{net} has {count} addresses; the most is {MOST}")]
    TooMany { net: String, count: String },
    /// The resolver does not know the name.
    #[error("{0}")]
    Unresolved(String),
}

impl Hosts {
    /// Reads hosts; names are resolved to all of their addresses, literal ones ask no resolver.
    ///
    /// # Errors
    /// The first host that is none.
    pub async fn resolve(texts: &[String]) -> Result<Self, HostsError> {
        let mut hosts = Self::default();
        for text in texts {
            if let Ok(ip) = text.parse::<IpAddr>() {
                hosts.add(ip, 1);
            } else if let Ok(net) = text.parse::<IpNet>() {
                hosts.add_net(text, net)?;
            } else {
                for addr in lookup(text).await? {
                    hosts.add(addr, 1);
                }
            }
        }
        Ok(hosts)
    }

    fn add(&mut self, first: IpAddr, count: u64) {
        // No address is asked twice. Of two networks that overlap, one lies within the other.
        let new = (first, count);
        if !self.ranges.iter().any(|range| within(new, *range)) {
            self.ranges.retain(|range| !within(*range, new));
            self.ranges.push(new);
        }
    }

    fn add_net(&mut self, text: &str, net: IpNet) -> Result<(), HostsError> {
        let bits = net.max_prefix_len() - net.prefix_len();
        let too_many = || HostsError::TooMany {
            net: text.to_owned(),
            count: 1u128.checked_shl(bits.into()).map_or("2^128".into(), |count| count.to_string()),
        };
        let count = 1u128.checked_shl(bits.into()).filter(|count| *count <= MOST).ok_or_else(too_many)?;
        if net.network() != net.addr() {
            self.host_bits.push((text.to_owned(), net.trunc()));
        }
        self.add(net.network(), u64::try_from(count).map_err(|_| too_many())?);
        Ok(())
    }

    /// How many addresses.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(_, count)| count).sum()
    }

    /// The address at an index.
    #[must_use]
    pub fn nth(&self, mut index: u64) -> Option<IpAddr> {
        for (first, count) in &self.ranges {
            if index < *count {
                return Some(match first {
                    IpAddr::V4(ip) => Ipv4Addr::from(u32::from(*ip).wrapping_add(u32::try_from(index).ok()?)).into(),
                    IpAddr::V6(ip) => Ipv6Addr::from(u128::from(*ip).wrapping_add(index.into())).into(),
                });
            }
            index -= count;
        }
        None
    }
}

/// Whether all addresses of `a` are in `b`.
fn within(a: (IpAddr, u64), b: (IpAddr, u64)) -> bool {
    let offset = match (a.0, b.0) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(a)).checked_sub(u32::from(b).into()),
        (IpAddr::V6(a), IpAddr::V6(b)) => u128::from(a).checked_sub(b.into()),
        _ => None,
    };
    offset.is_some_and(|offset| offset.checked_add(a.1.into()).is_some_and(|end| end <= b.1.into()))
}

async fn lookup(name: &str) -> Result<Vec<IpAddr>, HostsError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let looks_like_address = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if name.is_empty() || !name.bytes().all(legal) || looks_like_address {
        return Err(HostsError::NoHost(name.to_owned()));
    }
    let to = HostPort { host: Host::Name(name.to_owned()), port: 0 };
    let addrs = resolve(&to).await.map_err(|error| HostsError::Unresolved(error.to_string()))?;
    Ok(addrs.into_iter().map(|addr| addr.ip()).collect())
}

/// Ports, each once, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<u16>);

/// A text that names no ports.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    /// Not a number from 1 to 65535.
    #[error("{0:?} is not a port; ports go from 1 to 65535")]
    NoPort(String),
    /// The end before the start.
    #[error("the range {0:?} is backwards; write the smaller port first")]
    Backwards(String),
}

impl FromStr for Ports {
    type Err = PortsError;

    /// `22,80-90`, `8000-` (to 65535), `-100` (from 1), `-` (all).
    fn from_str(text: &str) -> Result<Self, PortsError> {
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
            _ => Err(PortsError::NoPort(text.to_owned())),
        };
        let mut ports = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => {
                    (if first.is_empty() { 1 } else { port(first)? }, if last.is_empty() { u16::MAX } else { port(last)? })
                }
                None => (port(part)?, port(part)?),
            };
            if first > last {
                return Err(PortsError::Backwards(part.to_owned()));
            }
            ports.extend(first..=last);
        }
        ports.sort_unstable();
        ports.dedup();
        Ok(Self(ports))
    }
}

impl Ports {
    /// How many ports.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The port at an index.
    #[must_use]
    pub fn nth(&self, index: u64) -> Option<u16> {
        self.0.get(usize::try_from(index).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Vec<u16> {
        text.parse::<Ports>().unwrap().0
    }

    #[test]
    fn port_lists_are_sorted_and_each_port_is_there_once() {
        assert_eq!(ports("80,22,80,20-23"), [20, 21, 22, 23, 80]);
        assert_eq!(ports("65534-"), [65534, 65535]);
        assert_eq!(ports("-3"), [1, 2, 3]);
        assert_eq!((ports("-").len(), ports("1-65535").last()), (65535, Some(&65535)));
    }

    #[test]
    fn what_names_no_port_is_refused() {
        for wrong in ["0", "65536", "", "22,", "x", "+22", "0-5", "1-2-3"] {
            assert!(matches!(wrong.parse::<Ports>(), Err(PortsError::NoPort(_))), "{wrong:?}");
        }
        assert_eq!("90-80".parse::<Ports>(), Err(PortsError::Backwards("90-80".into())));
    }

    async fn hosts(text: &str) -> Result<Hosts, HostsError> {
        Hosts::resolve(&[text.to_owned()]).await
    }

    #[tokio::test]
    async fn networks_are_counted_and_walked_without_being_expanded() {
        for (text, count, last) in [
            ("127.0.0.1", 1, "127.0.0.1"),
            ("10.0.0.0/31", 2, "10.0.0.1"),
            ("10.0.0.0/8", 1 << 24, "10.255.255.255"),
            ("::1/128", 1, "::1"),
            ("fd00::/120", 256, "fd00::ff"),
        ] {
            let hosts = hosts(text).await.unwrap();
            assert_eq!(hosts.count(), count, "{text}");
            assert_eq!(hosts.nth(count - 1).unwrap().to_string(), last);
            assert_eq!(hosts.nth(count), None);
        }
    }

    #[tokio::test]
    async fn no_address_is_there_twice() {
        for (texts, count) in [
            (&["10.0.0.1", "10.0.0.0/30", "10.0.0.2", "10.0.0.0/31"][..], 4),
            (&["::/120", "::1", "0.0.0.1"], 257),
            (&["255.255.255.255", "255.255.255.254/31"], 2),
            (&["10.0.0.1", "10.0.0.2", "10.0.0.1"], 2),
        ] {
            let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
            assert_eq!(Hosts::resolve(&texts).await.unwrap().count(), count, "{texts:?}");
        }
    }

    #[tokio::test]
    async fn host_bits_are_allowed_and_told() {
        let hosts = hosts("10.0.0.5/30").await.unwrap();
        assert_eq!((hosts.count(), hosts.nth(0).unwrap().to_string()), (4, "10.0.0.4".into()));
        assert_eq!(hosts.host_bits, [("10.0.0.5/30".into(), "10.0.0.4/30".parse().unwrap())]);
    }

    #[tokio::test]
    async fn networks_that_nobody_means_are_refused_with_their_count() {
        assert!(hosts("fd00::/64").await.unwrap_err().to_string().contains("18446744073709551616 addresses"));
        assert!(hosts("::/0").await.unwrap_err().to_string().contains("2^128"));
        for wrong in ["10.0.0.0/33", "10.0.0.256", "", "a b", "10.0.0"] {
            assert!(matches!(hosts(wrong).await, Err(HostsError::NoHost(_))), "{wrong:?}");
        }
    }
}
