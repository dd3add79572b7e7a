//! The UDP flows of a capture that look like QUIC or DTLS, as many as fit.

use super::{
    Each, Flow, Sighting, Stamp, Summary, Transport,
    table::{Ends, MOST, MOST_HELD, Table},
};
use crate::hello::{self, Greeting, Protocol};
use std::{net::SocketAddr, ops::ControlFlow};

/// What clients say to servers, by who says it to whom.
#[derive(Default)]
pub(super) struct Datagrams {
    table: Table<Client>,
    held: usize,
}

#[derive(Default)]
struct Client {
    hellos: hello::Datagrams,
    /// The random of the last hello.
    random: Vec<u8>,
    last: Stamp,
    told: bool,
}

/// Whether a datagram may begin a connection of QUIC, or carry a handshake of DTLS in plaintext: packets with a long header
/// and a version (RFC 8999 section 5.1), records of type 22 and version 254.x.
pub(crate) fn may_be_handshake(datagram: &[u8]) -> bool {
    match datagram {
        [22, 0xfe, 0xfd..=0xff, ..] => true,
        [0x80..=0xff, version @ ..] => version.first_chunk::<4>().is_some_and(|version| *version != [0; 4]),
        _ => false,
    }
}

/// Whether it is worth telling. What looks like an unknown version of QUIC is often something else; on the port of HTTP/3 it
/// hardly is.
fn counts(greeting: &Greeting, destination: SocketAddr) -> bool {
    match greeting {
        Greeting::Tls(_) | Greeting::Malformed(_) => true,
        Greeting::NotTls(Protocol::Quic(_)) => destination.port() == 443,
        Greeting::NotTls(_) => false,
    }
}

impl Datagrams {
    /// Takes a datagram.
    pub(super) fn take(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        datagram: &[u8],
        stamp: Stamp,
        summary: &mut Summary,
        each: Each<'_>,
    ) -> ControlFlow<()> {
        // What the server answers is no hello; its Initials look like those of a client. Who has begun one is the client.
        let other = self.table.open.get(&[destination, source]).map(Client::has_begun);
        if !may_be_handshake(datagram) || other == Some(true) {
            return ControlFlow::Continue(());
        }
        let ends = [source, destination];
        if !self.table.open.contains_key(&ends) {
            let mut client = Client::default();
            let greetings = client.take(datagram, stamp);
            if !greetings.iter().all(|greeting| counts(greeting, destination)) || other.is_some() && !client.has_begun() {
                return ControlFlow::Continue(());
            }
            summary.datagram_flows += u64::from(other.is_none());
            self.held += client.hellos.cost();
            self.table.insert(ends, client);
            return self.tell(ends, greetings, summary, each);
        }
        let Some(client) = self.table.open.get_mut(&ends) else { return ControlFlow::Continue(()) };
        let before = client.hellos.cost();
        let greetings = client.take(datagram, stamp);
        self.held = self.held + client.hellos.cost() - before;
        self.tell(ends, greetings, summary, each)
    }

    fn tell(&mut self, ends: Ends, greetings: Vec<Greeting>, summary: &mut Summary, each: Each<'_>) -> ControlFlow<()> {
        if let Some(client) = self.table.open.get_mut(&ends) {
            for greeting in greetings.into_iter().filter(|greeting| counts(greeting, ends[1])) {
                client.tell(ends, greeting, summary, each)?;
            }
        }
        while self.table.open.len() > MOST || self.held > MOST_HELD {
            let Some((ends, mut client)) = self.table.oldest() else { break };
            self.held -= client.hellos.cost();
            summary.given_up += u64::from(!client.told);
            client.end(ends, summary, each)?;
        }
        ControlFlow::Continue(())
    }

    /// The capture ends: says what has begun and is not whole.
    pub(super) fn end(&mut self, summary: &mut Summary, each: Each<'_>) -> ControlFlow<()> {
        while let Some((ends, mut client)) = self.table.oldest() {
            client.end(ends, summary, each)?;
        }
        ControlFlow::Continue(())
    }
}

impl Client {
    /// Whether something of a hello was read: nothing is held of anything else.
    fn has_begun(&self) -> bool {
        self.hellos.cost() > 0
    }

    fn take(&mut self, datagram: &[u8], stamp: Stamp) -> Vec<Greeting> {
        self.last = stamp;
        self.hellos.take(datagram)
    }

    fn tell(&mut self, ends: Ends, greeting: Greeting, summary: &mut Summary, each: Each<'_>) -> ControlFlow<()> {
        self.told = true;
        // A client repeats its random after a HelloRetryRequest and with a cookie (RFC 8446 section 4.1.2, RFC 6347 section
        // 4.2.1).
        let second = match &greeting {
            Greeting::Tls(hello) => std::mem::replace(&mut self.random, hello.random().to_vec()) == hello.random(),
            Greeting::NotTls(_) | Greeting::Malformed(_) => false,
        };
        let packets = self.hellos.came_in(&greeting);
        summary.count(&greeting);
        let flow = Some(Flow { transport: Transport::Udp, source: ends[0], destination: ends[1] });
        each(Sighting { time: self.last.time, flow, packet: Some(self.last.packet), packets, before: Vec::new(), second, greeting })
    }

    fn end(&mut self, ends: Ends, summary: &mut Summary, each: Each<'_>) -> ControlFlow<()> {
        match self.hellos.unfinished() {
            // Initials of a server whose client was not captured cannot be opened either; servers have the lower port.
            Some(malformed) if malformed.offset > 0 || ends[0].port() > ends[1].port() => {
                self.tell(ends, Greeting::Malformed(malformed), summary, each)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
