//! The hellos of clients that send datagrams: QUIC and DTLS.

use super::{Alert, Framing, Greeting, Malformed, Protocol, dtls, dtls::Dtls, protocol, quic::Quic};

/// Finds the hellos in what one client sends to one server. The server's answers are not needed: what they change for the
/// client's hello (Retry, HelloVerifyRequest, HelloRetryRequest) shows in what the client sends next.
///
/// Holds at most a few hellos of 64 KiB each, and takes time in proportion to what comes, whatever comes.
#[derive(Debug, Default)]
pub struct Datagrams {
    quic: Quic,
    dtls: Dtls,
    /// What speaks last.
    speaks: Option<Speech>,
    told: bool,
    /// How many datagrams have come since something was told, that one not among them.
    came: usize,
    /// Something was told of the last one.
    fresh: bool,
}

#[derive(Clone, Copy, Debug)]
enum Speech {
    Quic,
    Dtls,
    Other,
}

impl Datagrams {
    /// Takes the next datagram of the client, and tells what is certain now. There may be several hellos: of connections
    /// that share a socket, and second ones (with the cookie of DTLS, or after a HelloRetryRequest). A hello that is sent
    /// again is told once.
    ///
    /// What is neither QUIC nor DTLS is told once, where the first datagram is it; hellos that come later are found all the
    /// same. Offsets are in the datagram where its packets, records or frames are wrong, else in the handshake message.
    pub fn take(&mut self, datagram: &[u8]) -> Vec<Greeting> {
        self.came = if self.fresh { 1 } else { self.came + 1 };
        let greetings = if dtls::may_be_dtls(datagram) {
            self.speaks = Some(Speech::Dtls);
            self.dtls.take(datagram)
        } else if let Some(greetings) = self.quic.take(datagram) {
            self.speaks = Some(Speech::Quic);
            greetings
        } else if self.speaks.is_none() && !datagram.is_empty() {
            self.speaks = Some(Speech::Other);
            // A datagram is whole: what could still become something is nothing.
            vec![Greeting::NotTls(protocol::recognise(datagram).unwrap_or(Protocol::Unknown))]
        } else {
            Vec::new()
        };
        self.fresh = !greetings.is_empty();
        self.told |= self.fresh;
        greetings
    }

    /// How many datagrams something came in that is told now: those of a hello, or all since what was told before it.
    #[must_use]
    pub fn came_in(&self, greeting: &Greeting) -> usize {
        match greeting {
            Greeting::Tls(hello) => match hello.came {
                Framing::Quic { datagrams, .. } | Framing::Dtls { datagrams, .. } => datagrams,
                Framing::Records { .. } | Framing::Bare | Framing::Ssl2 => self.came,
            },
            Greeting::NotTls(_) | Greeting::Malformed(_) => self.came,
        }
    }

    /// Why nothing was told of a client that no more comes from; `None` where something was, or nothing was begun.
    #[must_use]
    pub fn unfinished(&self) -> Option<Malformed> {
        if self.told { None } else { self.quic.unfinished().or_else(|| self.dtls.unfinished()) }
    }

    /// Bytes of memory that this takes, roughly.
    pub(crate) fn cost(&self) -> usize {
        self.quic.cost() + self.dtls.cost()
    }

    /// The datagram by which a server refuses the client that was told last: for QUIC a CONNECTION_CLOSE with the alert of
    /// TLS (RFC 9001 section 4.8), or the versions that it could speak instead; for DTLS an alert. `None` for others.
    pub fn refusal(&mut self, alert: Alert) -> Option<Vec<u8>> {
        match self.speaks? {
            Speech::Quic => self.quic.refusal(alert).or_else(|| self.quic.negotiation()),
            Speech::Dtls => self.dtls.refusal(alert),
            Speech::Other => None,
        }
    }
}
