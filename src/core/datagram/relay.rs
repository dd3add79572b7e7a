//! Relaying a session to one target.

use super::{DatagramHandler, Session};
use crate::{
    addr::{Endpoint, HostPort},
    dial::resolve,
    event::{By, End, Event, Phase, io_words, is_local},
    fault::Direction,
    tap::{Tap, Tapped},
};
use bytes::Bytes;
use std::{
    cell::RefCell,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{Interest, Ready},
    net::UdpSocket,
    time::timeout,
};

/// The length of a datagram at most: what its length field holds, RFC 768.
pub const MOST_BYTES: usize = 65_535;

/// Relays datagrams to one target.
#[derive(Clone, Debug)]
pub struct DatagramRelay {
    /// Where they go. A name is resolved for each session.
    pub target: HostPort,
    /// For resolving and for the choice of an address.
    pub connect_timeout: Duration,
    /// A session ends without a datagram in either direction for this long; a quarter more may pass before it is noticed.
    pub idle: Option<Duration>,
    /// Who watches the datagrams.
    pub taps: Vec<Tap>,
}

thread_local! {
    /// What a target sent, on its way to the client: nothing waits in it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; MOST_BYTES]);
}

impl DatagramHandler for DatagramRelay {
    async fn handle(&self, session: &mut Session) -> End {
        session.progress.enter(Phase::Dial);
        let started = Instant::now();
        let (socket, addr) = match timeout(self.connect_timeout, connect(&self.target)).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => {
                let why = io_words(&error);
                session.events.emit(Event::DialFailed {
                    id: session.id,
                    target: self.target.to_string().into(),
                    why: why.clone(),
                    next: false,
                });
                let by = if is_local(&error) { By::Local } else { By::Target };
                return End::failed(by, Phase::Dial, format!("{}: {why}", self.target));
            }
            Err(_) => return End::timeout(Phase::Dial, self.connect_timeout),
        };
        let target: Arc<str> = self.target.to_string().into();
        session.progress.set_target(target.clone());
        let elapsed = started.elapsed();
        session.events.emit(Event::Dialed { id: session.id, target, addr: Endpoint::tcp(addr), elapsed });
        session.progress.enter(Phase::Relay);
        let addr = Endpoint::tcp(addr);
        let taps: Vec<_> =
            self.taps.iter().map(|tap| tap.open(session.id, session.peer.clone(), session.peer.clone(), addr.clone())).collect();
        let end = self.relay(session, &socket, &taps).await;
        // The end of a session is told after its datagrams.
        for tap in &taps {
            tap.settle().await;
        }
        end
    }
}

impl DatagramRelay {
    async fn relay(&self, session: &mut Session, socket: &UdpSocket, taps: &[Tapped]) -> End {
        let mut over = pin!(session.over(self.idle));
        loop {
            let passed = tokio::select! {
                datagram = session.receive() => {
                    see(taps, Direction::Up, &datagram).await;
                    socket.send(&datagram).await.map(|_| ())
                }
                ready = socket.ready(Interest::READABLE | Interest::ERROR) => match ready.and_then(|ready| pass(socket, ready, session, !taps.is_empty())) {
                    Ok(None) => Ok(()),
                    Ok(Some(datagram)) => {
                        if let Err(error) = session.reply(&datagram).await {
                            return End::io(By::Local, Phase::Relay, &error);
                        }
                        see(taps, Direction::Down, &datagram).await;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                end = &mut over => return end,
            };
            if let Err(error) = passed {
                // ECONNREFUSED is the ICMP message "port unreachable", udp(7).
                return End::io(By::Target, Phase::Relay, &error);
            }
        }
    }
}

/// Shows a datagram that has just passed.
async fn see(taps: &[Tapped], direction: Direction, datagram: &Bytes) {
    for tap in taps {
        tap.bytes(direction, datagram).await;
    }
}

/// Passes one datagram on to the client, or returns it where someone watches or the kernel has no room for it now.
fn pass(socket: &UdpSocket, ready: Ready, session: &Session, watched: bool) -> io::Result<Option<Bytes>> {
    if ready.is_error() {
        // An error does not make the socket readable.
        let told = || socket.take_error().and_then(|error| Err(error.unwrap_or_else(|| io::ErrorKind::WouldBlock.into())));
        match socket.try_io(Interest::ERROR, told) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            told => told?,
        }
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let n = match socket.try_recv(scratch) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            received => received?,
        };
        if watched {
            return Ok(Some(Bytes::copy_from_slice(&scratch[..n])));
        }
        match session.try_reply(&scratch[..n]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(Bytes::copy_from_slice(&scratch[..n]))),
            sent => sent.map(|()| None),
        }
    })
}

/// A socket that is connected to the first address of the target to which there is a way.
async fn connect(target: &HostPort) -> io::Result<(UdpSocket, SocketAddr)> {
    let mut last = io::ErrorKind::NotFound.into();
    for addr in resolve(target).await? {
        let any: SocketAddr = if addr.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let connected = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(addr).await.map(|()| socket)
        };
        match connected.await {
            Ok(socket) => return Ok((socket, addr)),
            Err(error) => last = error,
        }
    }
    Err(last)
}
