//! The TCP connections of a capture, as many as fit.

use super::{
    Each, Flow, Sighting, Stamp, Summary, Transport,
    direction::{Direction, Verdict},
    finder::Found,
    layers::Segment,
    table::{Ends, MOST, MOST_HELD, Table},
};
use crate::hello::{Greeting, Protocol};
use std::{net::SocketAddr, ops::ControlFlow};

/// The key of a connection, the lesser end first, and which of its ends speaks.
fn ends(source: SocketAddr, destination: SocketAddr) -> (Ends, usize) {
    if source <= destination { ([source, destination], 0) } else { ([destination, source], 1) }
}

/// The TCP connections.
#[derive(Default)]
pub(super) struct Connections {
    table: Table<Connection>,
    held: usize,
}

#[derive(Default)]
struct Connection {
    directions: [Direction; 2],
    /// Which end has sent a SYN, and its sequence number.
    opener: Option<(usize, u32)>,
    /// Data was captured, and the connection is counted.
    counted: bool,
    /// It was said that it is not TLS, or that is not to be said any more.
    told: bool,
    /// The last packet with data.
    last: Stamp,
}

impl Connections {
    /// Takes a segment.
    pub(super) fn take(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        segment: &Segment<'_>,
        stamp: Stamp,
        summary: &mut Summary,
        each: Each<'_>,
    ) -> ControlFlow<()> {
        let (ends, from) = ends(source, destination);
        // What is neither a beginning nor data is not worth remembering.
        if !segment.syn && segment.payload.is_empty() && !self.table.open.contains_key(&ends) {
            return ControlFlow::Continue(());
        }
        let mut teller = Teller { summary, each, flow: ControlFlow::Continue(()) };
        let connection = self.table.get(ends);
        let before = connection.cost();
        if connection.is_another(from, segment) {
            connection.end(ends, &mut teller);
            *connection = Connection::default();
        }
        connection.take(ends, from, segment, stamp, &mut teller);
        self.held = self.held + connection.cost() - before;
        while self.table.open.len() > MOST || self.held > MOST_HELD {
            let Some((ends, mut connection)) = self.table.oldest() else { break };
            self.held -= connection.cost();
            // One of which nothing is held is no loss.
            teller.summary.given_up += u64::from(connection.cost() > 0);
            connection.end(ends, &mut teller);
        }
        teller.flow
    }

    /// The capture ends, and with it all connections.
    pub(super) fn end(&mut self, summary: &mut Summary, each: Each<'_>) -> ControlFlow<()> {
        let mut teller = Teller { summary, each, flow: ControlFlow::Continue(()) };
        while let Some((ends, mut connection)) = self.table.oldest() {
            connection.end(ends, &mut teller);
        }
        self.held = 0;
        teller.flow
    }
}

impl Connection {
    fn cost(&self) -> usize {
        self.directions.iter().map(Direction::cost).sum()
    }

    /// Whether a segment belongs to a new connection between the same ends.
    fn is_another(&self, from: usize, segment: &Segment<'_>) -> bool {
        match self.opener {
            // The answer to a SYN begins nothing.
            Some(opener) => segment.syn && !segment.ack && opener != (from, segment.sequence),
            None if segment.syn => !segment.ack && self.directions.iter().any(Direction::is_done),
            // Without any SYN, as in a capture of nothing but hellos.
            None => self.directions[from].is_another_hello(segment),
        }
    }

    fn take(&mut self, ends: Ends, from: usize, segment: &Segment<'_>, stamp: Stamp, teller: &mut Teller<'_>) {
        if segment.syn {
            // The answer to a SYN tells of it, too; its sender acknowledges the number that it had.
            self.opener.get_or_insert(if segment.ack {
                (1 - from, segment.acknowledged.wrapping_sub(1))
            } else {
                (from, segment.sequence)
            });
        }
        if !segment.payload.is_empty() {
            self.last = stamp;
            teller.summary.streams += u64::from(!self.counted);
            self.counted = true;
        }
        self.directions[from].take(segment, stamp, &mut |found, packets, stamp| teller.tell(ends, from, found, packets, stamp));
        if segment.rst {
            self.end(ends, teller);
            return;
        }
        // The end that has opened the connection has said what it is.
        let said = self.opener.is_some_and(|(opener, _)| self.directions[opener].is_done());
        if said || self.directions.iter().all(Direction::is_done) {
            self.judge(ends, teller);
        }
    }

    fn end(&mut self, ends: Ends, teller: &mut Teller<'_>) {
        for from in [0, 1] {
            self.directions[from].end(&mut |found, packets, stamp| teller.tell(ends, from, found, packets, stamp));
        }
        self.judge(ends, teller);
    }

    /// Says what a connection is that is not TLS; once.
    fn judge(&mut self, ends: Ends, teller: &mut Teller<'_>) {
        if self.told || !self.counted {
            return;
        }
        self.told = true;
        let verdicts = [self.directions[0].verdict(), self.directions[1].verdict()];
        if verdicts.contains(&Verdict::Hello) {
            return;
        }
        if verdicts.contains(&Verdict::Tls) {
            teller.summary.without_hello += 1;
            return;
        }
        let known = |from: usize| matches!(verdicts[from], Verdict::Other(protocol) if protocol != Protocol::Unknown);
        // Without a SYN the client is who says what is known, or who has the higher port.
        let by_port = usize::from(ends[1].port() > ends[0].port());
        let client = match self.opener {
            Some((opener, _)) => opener,
            None if known(0) != known(1) => usize::from(known(1)),
            None => by_port,
        };
        let ((Verdict::Other(protocol), _) | (_, Verdict::Other(protocol))) = (verdicts[client], verdicts[1 - client]) else { return };
        let found = Found { range: 0..0, before: Vec::new(), second: false, greeting: Greeting::NotTls(protocol) };
        teller.tell(ends, client, found, 0, self.last);
    }
}

/// Counts and hands on.
struct Teller<'a> {
    summary: &'a mut Summary,
    each: Each<'a>,
    flow: ControlFlow<()>,
}

impl Teller<'_> {
    fn tell(&mut self, ends: Ends, from: usize, found: Found, packets: usize, stamp: Stamp) {
        if self.flow.is_break() {
            return;
        }
        self.summary.count(&found.greeting);
        let flow = Flow { transport: Transport::Tcp, source: ends[from], destination: ends[1 - from] };
        let Found { before, second, greeting, .. } = found;
        let sighting = Sighting { time: stamp.time, flow: Some(flow), packet: Some(stamp.packet), packets, before, second, greeting };
        self.flow = (self.each)(sighting);
    }
}
