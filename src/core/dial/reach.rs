//! Which addresses may be connected to where others choose the host than who has started the process.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// What may be reached. It is asked once a name is resolved, and what passes is what is connected to: a name that resolves
/// to something else the next time (DNS rebinding) reaches nothing more. By default it is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Where this process listens itself, which nothing may lead to: a connection to it would come back, and again, until
    /// there is no place for another one.
    pub own: Option<SocketAddr>,
    /// What clients may reach by a name that they choose; None where they choose none.
    pub chosen: Option<Chosen>,
}

/// What clients may reach by a name that they choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Public addresses alone.
    Public,
    /// Private ones too: loopback, link-local and the like.
    Any,
}

/// An address that a client may not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// It is not public.
    #[error("{0} is not a public address")]
    NotPublic(IpAddr),
    /// It is this process's own.
    #[error("{0} is where this process listens itself")]
    Own(SocketAddr),
}

impl Reach {
    /// The addresses that may be connected to.
    ///
    /// # Errors
    /// None of them may; the first is named.
    pub(super) fn among(self, addrs: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let mut refused = None;
        let allowed: Vec<_> = addrs
            .into_iter()
            .filter(|addr| match self.check(*addr) {
                Ok(()) => true,
                Err(why) => {
                    refused.get_or_insert(why);
                    false
                }
            })
            .collect();
        match refused {
            Some(why) if allowed.is_empty() => Err(io::Error::new(io::ErrorKind::PermissionDenied, why)),
            _ => Ok(allowed),
        }
    }

    fn check(self, addr: SocketAddr) -> Result<(), Unreachable> {
        let ip = addr.ip().to_canonical();
        if self.chosen == Some(Chosen::Public) && !is_public(ip) {
            return Err(Unreachable::NotPublic(ip));
        }
        match self.own {
            Some(own) if own.port() == addr.port() && leads_to(ip, own.ip()) => Err(Unreachable::Own(addr)),
            _ => Ok(()),
        }
    }
}

/// Whether who connects to `ip` reaches who listens on `listening`.
fn leads_to(ip: IpAddr, listening: IpAddr) -> bool {
    // connect(2) to no address goes to this machine.
    ip == listening.to_canonical() || ip.is_unspecified() || listening.is_unspecified() && is_here(ip)
}

/// Whether an address is one of this machine: what goes there comes from there. Nothing is sent. That a socket can be bound to
/// it says less: with net.ipv4.ip_nonlocal_bind, as routers with a floating address have it, it can to any.
fn is_here(ip: IpAddr) -> bool {
    let from = || {
        let any = if ip.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((ip, 9))?;
        socket.local_addr()
    };
    ip.is_loopback() || from().is_ok_and(|from| from.ip() == ip)
}

/// Whether an address is one of the public Internet, by IANA's registries of special-purpose addresses (RFC 6890). In IPv6
/// global unicast is 2000::/3, and what is translated to IPv4 is judged as that.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        // "this network", private, loopback, multicast, reserved and broadcast
        (0 | 10 | 127 | 224..=255, ..)
            // shared by carriers (RFC 6598)
            | (100, 64..=127, _)
            // link-local, where clouds keep their secrets
            | (169, 254, _)
            | (172, 16..=31, _)
            // protocol assignments, documentation, anycast of 6to4
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            // benchmarks
            | (198, 18..=19, _)
            // documentation
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // NAT64 (RFC 6052)
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        // protocol assignments (Teredo, benchmarks, ORCHID), documentation, 6to4
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first >> 13 == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_unicast_is_public() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            let ip: IpAddr = private.parse().unwrap();
            assert!(!is_public(ip.to_canonical()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "9.9.9.9",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.1.1",
            "198.17.0.1",
            "223.255.255.1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450::1",
            "3ffe::1",
        ] {
            let ip: IpAddr = public.parse().unwrap();
            assert!(is_public(ip.to_canonical()), "{public}");
        }
    }

    #[test]
    fn what_may_not_be_reached_is_left_out_and_named_where_nothing_is_left() {
        let addrs = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let public = Reach { own: None, chosen: Some(Chosen::Public) };
        assert_eq!(public.among(addrs(&["127.0.0.1:443", "1.1.1.1:443"])).unwrap(), addrs(&["1.1.1.1:443"]));
        let error = public.among(addrs(&["[::ffff:10.0.0.1]:443", "[::1]:443"])).unwrap_err();
        assert_eq!(error.to_string(), "10.0.0.1 is not a public address");
        assert!(matches!(error.get_ref(), Some(why) if why.is::<Unreachable>()));
    }

    #[test]
    fn nothing_leads_back_to_where_it_came_from() {
        let reaches = |own: &str, to: &str| {
            let all = [None, Some(Chosen::Any)].map(|chosen| {
                let reach = Reach { own: Some(own.parse().unwrap()), chosen };
                reach.among(vec![to.parse().unwrap()]).is_ok()
            });
            assert_eq!(all[0], all[1]);
            all[0]
        };
        assert!(!reaches("127.0.0.1:443", "127.0.0.1:443"));
        assert!(!reaches("127.0.0.1:443", "[::ffff:127.0.0.1]:443"));
        assert!(!reaches("0.0.0.0:443", "127.0.0.1:443"));
        assert!(!reaches("0.0.0.0:443", "127.9.9.9:443"));
        assert!(!reaches("[::]:443", "0.0.0.0:443"));
        assert!(reaches("127.0.0.1:443", "127.0.0.1:444"));
        assert!(reaches("127.0.0.1:443", "127.0.0.2:443"));
        assert!(reaches("0.0.0.0:443", "192.0.2.1:443"), "not an address of this machine");
    }
}
