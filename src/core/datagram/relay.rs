//! Relaying a session to one target.

use super::{DatagramHandler, Session, session::is_too_long};
use crate::{
    addr::{Endpoint, HostPort, Target},
    dial::{resolve, within},
    event::{By, End, Event, Phase},
    fault::Direction,
    forward::dial_end,
    tap::{Tap, Tapped},
};
use bytes::Bytes;
use socket2::SockRef;
use std::{
    cell::RefCell,
    io::{self, Read},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::{
    io::{Interest, Ready},
    net::UdpSocket,
};

/// The length of a datagram at most: what its length field holds, RFC 768.
pub const MOST_BYTES: usize = 65_535;

/// Datagrams that are passed on after an error, at most: more than the queue of a socket holds unless it was made longer.
const ARRIVED: usize = 1024;

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
        let target: Arc<str> = self.target.to_string().into();
        let (socket, addr) = match within(self.connect_timeout, &Target::Tcp(self.target.clone()), pin!(connect(&self.target))).await {
            Ok(connected) => connected,
            Err(error) => {
                let why = error.words();
                session.events.emit(Event::DialFailed { id: session.id, target: target.clone(), why, next: false });
                return dial_end(&target, &error);
            }
        };
        session.progress.set_target(target.clone());
        let elapsed = started.elapsed();
        session.events.emit(Event::Dialed { id: session.id, target, addr: Endpoint::tcp(addr), elapsed, waited: None });
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
        let end = loop {
            tokio::select! {
                datagram = session.receive() => {
                    see(taps, Direction::Up, &datagram).await;
                    if let Err(end) = send(session, socket, &datagram).await {
                        session.counts.lost.fetch_add(1, Relaxed);
                        break end;
                    }
                }
                ready = socket.ready(Interest::READABLE | Interest::ERROR) => {
                    let passed = match ready {
                        Ok(ready) => pass(socket, ready, session, !taps.is_empty()),
                        Err(error) => Err(End::io(By::Local, Phase::Relay, &error)),
                    };
                    match passed {
                        Ok(None) => {}
                        Ok(Some(datagram)) => if let Err(end) = pass_on(session, &datagram, taps).await { break end },
                        Err(end) => break end,
                    }
                }
                end = &mut over => return end,
            }
        };
        // An error overtakes what has arrived before it.
        let mut buffer = vec![0; MOST_BYTES];
        for _ in 0..ARRIVED {
            // Asked directly: the runtime may not know yet that something is there.
            match (&*SockRef::from(socket)).read(&mut buffer) {
                Ok(n) => {
                    if pass_on(session, &Bytes::copy_from_slice(&buffer[..n]), taps).await.is_err() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The same error once more, for another datagram.
                Err(_) => {}
            }
        }
        end
    }
}

/// Sends one datagram to the target. An error of an earlier one is told once, and then this one has not been tried.
async fn send(session: &Session, socket: &UdpSocket, datagram: &[u8]) -> Result<(), End> {
    let Err(error) = socket.send(datagram).await else { return Ok(()) };
    told(session, &error)?;
    match socket.send(datagram).await {
        Err(error) if !is_too_long(&error) => told(session, &error),
        _ => Ok(()),
    }
}

/// An error of the target's socket, which may be of a datagram that was sent before, udp(7): ECONNREFUSED is the ICMP message
/// "port unreachable". EMSGSIZE costs one datagram; after "fragmentation needed" the next ones are sent in fragments.
fn told(session: &Session, error: &io::Error) -> Result<(), End> {
    if !is_too_long(error) {
        return Err(End::io(By::Target, Phase::Relay, error));
    }
    session.counts.too_long.fetch_add(1, Relaxed);
    Ok(())
}

/// Passes one datagram on to the client; an error is this machine's.
async fn pass_on(session: &Session, datagram: &Bytes, taps: &[Tapped]) -> Result<(), End> {
    match session.reply(datagram).await {
        Ok(true) => see(taps, Direction::Down, datagram).await,
        Ok(false) => {}
        Err(error) => return Err(End::io(By::Local, Phase::Relay, &error)),
    }
    Ok(())
}

/// Shows a datagram that has just passed.
async fn see(taps: &[Tapped], direction: Direction, datagram: &Bytes) {
    for tap in taps {
        tap.bytes(direction, datagram).await;
    }
}

/// Passes one datagram on to the client, or returns it where someone watches or the kernel has no room for it now.
fn pass(socket: &UdpSocket, ready: Ready, session: &Session, watched: bool) -> Result<Option<Bytes>, End> {
    if ready.is_error() {
        // An error does not make the socket readable.
        let asked = socket.try_io(Interest::ERROR, || socket.take_error()?.map_or_else(|| Err(io::ErrorKind::WouldBlock.into()), Ok));
        match asked {
            Ok(error) => told(session, &error)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(End::io(By::Local, Phase::Relay, &error)),
        }
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let datagram = match socket.try_recv(scratch) {
            Ok(n) => &scratch[..n],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return told(session, &error).map(|()| None),
        };
        if watched {
            return Ok(Some(Bytes::copy_from_slice(datagram)));
        }
        match session.try_reply(datagram) {
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(Bytes::copy_from_slice(datagram))),
            Err(error) => Err(End::io(By::Local, Phase::Relay, &error)),
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
