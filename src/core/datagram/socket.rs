//! The socket of a datagram server. An answer leaves from the address that the question came to: a client that has
//! connected its socket takes none from elsewhere.

use crate::{addr::ListenAddr, dial::resolve, server::bind_every};
use std::{
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::{io::Interest, net::UdpSocket};

/// A bound socket.
pub(super) struct Socket {
    udp: UdpSocket,
    /// Bound to every address, so that each datagram is asked which one it came to.
    #[cfg(target_os = "linux")]
    every: bool,
}

/// The two ends of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    /// The client.
    pub(super) peer: SocketAddr,
    /// What it sent to, where the socket is bound to every address; `None` leaves the choice to the kernel.
    pub(super) local: Option<IpAddr>,
}

impl Socket {
    pub(super) async fn bind(addr: &ListenAddr) -> io::Result<Self> {
        match addr {
            ListenAddr::Tcp(to) => resolve(to).await.and_then(|addrs| Self::at(addrs[0])),
            ListenAddr::Every(port) => bind_every(*port, Self::at),
            ListenAddr::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "datagrams need an address and a port")),
        }
    }

    /// Without SO_REUSEADDR: for UDP it would let another program take the datagrams away, socket(7).
    fn at(addr: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::DGRAM, None)?;
        let every = addr.ip().is_unspecified();
        if addr.is_ipv6() {
            // One socket for both families where every interface is asked for, ipv6(7).
            socket.set_only_v6(!every)?;
        }
        #[cfg(target_os = "linux")]
        if every {
            local::ask(&socket, addr.is_ipv6())?;
        }
        socket.bind(&addr.into())?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            udp: UdpSocket::from_std(socket.into())?,
            #[cfg(target_os = "linux")]
            every,
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// The next datagram; none is longer than the buffer.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Ends)> {
        #[cfg(target_os = "linux")]
        if self.every {
            return self.udp.async_io(Interest::READABLE, || local::receive(&self.udp, buffer)).await;
        }
        let (n, peer) = self.udp.recv_from(buffer).await?;
        Ok((n, Ends { peer, local: None }))
    }

    pub(super) async fn send(&self, datagram: &[u8], ends: Ends) -> io::Result<usize> {
        self.udp.async_io(Interest::WRITABLE, || self.send_now(datagram, ends)).await
    }

    /// The same at once, or `WouldBlock`.
    pub(super) fn try_send(&self, datagram: &[u8], ends: Ends) -> io::Result<usize> {
        self.udp.try_io(Interest::WRITABLE, || self.send_now(datagram, ends))
    }

    fn send_now(&self, datagram: &[u8], ends: Ends) -> io::Result<usize> {
        #[cfg(target_os = "linux")]
        if let Some(local) = ends.local {
            return local::send(&self.udp, datagram, ends.peer, local);
        }
        socket2::SockRef::from(&self.udp).send_to(datagram, &ends.peer.into())
    }
}

/// The address of this machine in a datagram, ip(7) and ipv6(7). Elsewhere the kernel chooses.
#[cfg(target_os = "linux")]
mod local {
    use super::Ends;
    use nix::{
        cmsg_space, libc,
        sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt},
    };
    use std::{
        io::{self, IoSlice, IoSliceMut},
        net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
        os::fd::{AsFd, AsRawFd},
    };

    /// IPv4 also on a socket of both families: only its own message tells the address of a broadcast's receiver.
    pub(super) fn ask(socket: &impl AsFd, v6: bool) -> io::Result<()> {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        if v6 {
            setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        }
        Ok(())
    }

    pub(super) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<(usize, Ends)> {
        let mut space = cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
        let mut into = [IoSliceMut::new(buffer)];
        let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut into, Some(&mut space), MsgFlags::empty())?;
        let peer = received.address.and_then(|peer| match (peer.as_sockaddr_in(), peer.as_sockaddr_in6()) {
            (Some(v4), _) => Some(SocketAddr::from(*v4)),
            (_, Some(v6)) => Some(SocketAddr::from(*v6)),
            _ => None,
        });
        let mut local = None;
        for message in received.cmsgs()? {
            match message {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    local = Some(IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(info.ipi_spec_dst.s_addr))));
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    let ip = Ipv6Addr::from_octets(info.ipi6_addr.s6_addr);
                    // Nobody sends from a multicast address; one of a link needs its interface, which the client's has.
                    if ip.to_ipv4_mapped().is_none() && !ip.is_multicast() && !ip.is_unicast_link_local() {
                        local = Some(IpAddr::V6(ip));
                    }
                }
                _ => {}
            }
        }
        let peer = peer.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a datagram without a sender"))?;
        Ok((received.bytes, Ends { peer, local: local.filter(|ip| !ip.is_unspecified()) }))
    }

    pub(super) fn send(socket: &impl AsRawFd, datagram: &[u8], peer: SocketAddr, local: IpAddr) -> io::Result<usize> {
        let (v4, v6);
        let message = match local {
            IpAddr::V4(ip) => {
                let ipi_spec_dst = libc::in_addr { s_addr: ip.to_bits().to_be() };
                v4 = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst, ipi_addr: libc::in_addr { s_addr: 0 } };
                ControlMessage::Ipv4PacketInfo(&v4)
            }
            IpAddr::V6(ip) => {
                v6 = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 };
                ControlMessage::Ipv6PacketInfo(&v6)
            }
        };
        let from = [IoSlice::new(datagram)];
        Ok(sendmsg(socket.as_raw_fd(), &from, &[message], MsgFlags::empty(), Some(&SockaddrStorage::from(peer)))?)
    }
}
