//! Clients behind a proxy: its PROXY header is read before anything else is done with the connection.
//!
//! Whether a header comes is configured and never guessed: who could choose to send one could choose who he is
//! (doc/proxy-protocol.txt section 5). A peer that announces clients must begin with a header; the bytes of any other
//! peer are its own from the first on, whatever they look like, as with haproxy's `expect-proxy layer4`.

use crate::{
    addr::{AddrError, Endpoint, ListenAddr},
    event::{By, ConnId, End, Event, Phase},
    peek::first,
    proxy_header::{self, Command, Header, Transport, Version},
    server::{Conn, Handler},
    text::hex,
};
use ipnet::IpNet;
use serde::Serialize;
use std::{fmt, net::IpAddr, str::FromStr, time::Duration};
use tokio_util::either::Either;

/// Peers that announce clients: `10.0.0.0/8`, `2001:db8::/32`, a single address, or `unix` for those that come by a Unix
/// socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcer {
    /// Those in a network.
    Net(IpNet),
    /// Those that come by a Unix socket.
    Unix,
}

impl FromStr for Announcer {
    type Err = AddrError;

    /// Host bits are refused: a network of peers that are believed must be the one that was meant.
    fn from_str(text: &str) -> Result<Self, AddrError> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let net = match text.parse::<IpAddr>() {
            Ok(ip) => IpNet::from(ip),
            Err(_) => text
                .parse::<IpNet>()
                .map_err(|_| AddrError::new(text, "is not a network of peers; write one such as 10.0.0.0/8, an address, or unix"))?,
        };
        if net.trunc() != net {
            return Err(AddrError::new(text, format!("has host bits; write {} or {}", net.trunc(), net.addr())));
        }
        // Peers are compared as IPv4 where they are mapped, so that this would never fit.
        if matches!(net.addr(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()) {
            return Err(AddrError::new(text, "is an IPv4 network in the form of IPv6; write it as IPv4"));
        }
        Ok(Self::Net(net))
    }
}

impl fmt::Display for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) => net.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl Announcer {
    /// Whether this peer is one of them.
    #[must_use]
    pub fn is(&self, peer: &Endpoint) -> bool {
        match (self, peer) {
            (Self::Net(net), Endpoint::Tcp(addr)) => net.contains(&addr.ip()),
            (Self::Unix, Endpoint::Unix(_)) => true,
            _ => false,
        }
    }

    /// Whether one of them could be a peer of who listens there.
    #[must_use]
    pub fn can_reach(&self, listen: &ListenAddr) -> bool {
        matches!(self, Self::Unix) == matches!(listen, ListenAddr::Unix(_))
    }
}

/// What a header told, for [`Event::Announced`]. It is as true as the peer is; text in it is untrusted.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// The connection.
    pub id: ConnId,
    /// The header's form.
    pub version: Version,
    /// Whether it tells of somebody else.
    pub command: Command,
    /// Over what the client came.
    pub transport: Transport,
    /// The client, where it is told.
    pub source: Option<Endpoint>,
    /// What the client connected to, where it is told.
    pub destination: Option<Endpoint>,
    /// The host that the client asked for.
    pub authority: Option<String>,
    /// The protocol that is spoken, in hexadecimal where it is no UTF-8.
    pub alpn: Option<String>,
    /// A name of the connection, in hexadecimal where it is no UTF-8.
    pub unique_id: Option<String>,
    /// The network namespace that the client came in by.
    pub netns: Option<String>,
    /// How the client spoke TLS, where it did.
    pub tls: Option<ToldTls>,
}

/// How a client spoke TLS with the proxy in front.
#[derive(Clone, Debug, Serialize)]
pub struct ToldTls {
    /// Such as `TLSv1.3`.
    pub version: Option<String>,
    /// The cipher.
    pub cipher: Option<String>,
    /// The common name in the client's certificate.
    pub common_name: Option<String>,
    /// Whether the client has shown a certificate and it was found good.
    pub verified: bool,
}

/// A handler whose connections may come from proxies that announce their clients.
pub struct Announced<H> {
    handler: H,
    announcers: Vec<Announcer>,
    limit: Duration,
}

impl<H> Announced<H> {
    /// Peers that are among the `announcers` must send a whole header within `limit` from the accept on.
    pub fn new(handler: H, announcers: Vec<Announcer>, limit: Duration) -> Self {
        Self { handler, announcers, limit }
    }
}

impl<H: Handler> Handler for Announced<H> {
    /// Direct clients cost nothing more than without announcers; the others have a box of their own.
    fn handle(&self, conn: Conn) -> impl Future<Output = End> + Send {
        if self.announcers.iter().any(|announcer| announcer.is(&conn.peer)) {
            Either::Right(Box::pin(self.announced(conn)))
        } else {
            Either::Left(self.handler.handle(conn))
        }
    }
}

impl<H: Handler> Announced<H> {
    async fn announced(&self, mut conn: Conn) -> End {
        match header(&mut conn, self.limit).await {
            Ok(header) => conn.announced = Some(Box::new(header)),
            // The stream is dropped with its writing side open: RST, so that the proxy takes notice.
            Err(end) => return end,
        }
        self.handler.handle(conn).await
    }
}

/// Reads the header, says so, and leaves what comes after it to be read.
async fn header(conn: &mut Conn, limit: Duration) -> Result<Header, End> {
    const DURING: Phase = Phase::ProxyHeader;
    conn.progress.enter(DURING);
    let stream = &mut conn.stream;
    let header = match first(stream, DURING, "PROXY header", limit, Duration::ZERO, proxy_header::MOST, proxy_header::read)
        .await
        .map_err(|unfinished| unfinished.end)?
    {
        Some(Ok(header)) => header,
        Some(Err(malformed)) => return Err(End::failed(By::Client, DURING, malformed)),
        None => return Err(End::failed(By::Client, DURING, "a PROXY header that is too long")),
    };
    stream.skip_head(header.size);
    if let Some(ends) = &header.ends {
        conn.progress.set_client(ends.source.clone());
    }
    conn.events.emit(Event::Announced(Box::new(Told::of(conn.id, &header))));
    Ok(header)
}

impl Told {
    fn of(id: ConnId, header: &Header) -> Self {
        let tlvs = &header.tlvs;
        let (source, destination) = header.ends.clone().map(|ends| (ends.source, ends.destination)).unzip();
        let tls = tlvs.ssl.as_ref().filter(|ssl| ssl.is_tls()).map(|ssl| ToldTls {
            version: ssl.version.clone(),
            cipher: ssl.cipher.clone(),
            common_name: ssl.common_name.clone(),
            verified: ssl.has_good_cert(),
        });
        Self {
            id,
            version: header.version,
            command: header.command,
            transport: header.transport,
            source,
            destination,
            authority: tlvs.authority.clone(),
            alpn: tlvs.alpn.as_deref().map(text),
            unique_id: tlvs.unique_id.as_deref().map(text),
            netns: tlvs.netns.clone(),
            tls,
        }
    }
}

/// Bytes as text where they are some, else in hexadecimal.
fn text(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => hex(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcers_are_networks_addresses_and_unix_sockets() {
        let tcp = |text: &str| Endpoint::tcp(text.parse().unwrap());
        for (announcer, peer, is) in [
            ("10.0.0.0/8", tcp("10.1.2.3:4"), true),
            ("10.0.0.0/8", tcp("[::ffff:10.1.2.3]:4"), true),
            ("10.0.0.0/8", tcp("11.1.2.3:4"), false),
            ("0.0.0.0/0", tcp("[2001:db8::1]:4"), false),
            ("::/0", tcp("[2001:db8::1]:4"), true),
            ("127.0.0.1", tcp("127.0.0.1:4"), true),
            ("127.0.0.1", tcp("127.0.0.2:4"), false),
            ("::1", tcp("[::1]:4"), true),
            ("0.0.0.0/0", Endpoint::Unix(None), false),
            ("unix", Endpoint::Unix(None), true),
            ("unix", tcp("127.0.0.1:4"), false),
        ] {
            assert_eq!(announcer.parse::<Announcer>().unwrap().is(&peer), is, "{announcer} {peer}");
        }
    }

    #[test]
    fn what_could_mean_another_network_is_refused() {
        for (text, why) in [
            ("10.0.0.5/8", "has host bits; write 10.0.0.0/8 or 10.0.0.5"),
            ("2001:db8::1/32", "has host bits; write 2001:db8::/32 or 2001:db8::1"),
            ("::ffff:10.0.0.0/104", "write it as IPv4"),
            ("10.0.0.0/33", "is not a network of peers"),
            ("proxy.test", "is not a network of peers"),
            ("", "is not a network of peers"),
        ] {
            let error = text.parse::<Announcer>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
