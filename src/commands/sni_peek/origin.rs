//! Where and when a hello was seen.

use crate::report::{item, local_time, safe};
use jiff::Zoned;
use serde::{Serialize, Serializer};
use std::net::SocketAddr;
use tapline::{
    addr::Endpoint,
    capture::{Before, Flow, Sighting, Transport},
    datagram::Session,
    event::ConnId,
    server::Conn,
};

/// Where and when a hello was seen.
#[derive(Default, Serialize)]
pub struct Origin {
    pub id: Option<ConnId>,
    pub peer: Option<Endpoint>,
    pub client: Option<Endpoint>,
    pub source: Option<Endpoint>,
    pub destination: Option<Endpoint>,
    pub transport: Option<&'static str>,
    pub time: Option<String>,
    pub file: Option<String>,
    /// The number of the packet of a capture that completed it.
    pub packet: Option<u64>,
    /// How many packets it came in.
    pub packets: Option<usize>,
    /// What the client said before.
    #[serde(serialize_with = "before")]
    pub before: Vec<Before>,
    /// It answers a HelloRetryRequest.
    pub second: bool,
    /// Lines for people begin with the file.
    #[serde(skip)]
    pub several: bool,
}

impl Origin {
    /// A client that has connected.
    pub fn connection(conn: &Conn) -> Self {
        let client = conn.client().clone();
        let announced = conn.announced.as_deref().and_then(|header| header.ends.clone()).map(|ends| ends.destination);
        Self {
            id: Some(conn.id),
            peer: Some(conn.peer.clone()),
            source: Some(client.clone()),
            destination: announced.or_else(|| conn.stream.local_addr().ok()),
            transport: Some(if matches!(client, Endpoint::Tcp(_)) { "tcp" } else { "unix" }),
            client: Some(client),
            time: Some(local_time(&Zoned::now())),
            ..Self::default()
        }
    }

    /// What was found in a file, one of several or the only one.
    pub fn sighting(file: String, several: bool, sighting: &Sighting) -> Self {
        let end = |end: fn(&Flow) -> SocketAddr| sighting.flow.as_ref().map(|flow| Endpoint::tcp(end(flow)));
        let source = end(|flow| flow.source);
        Self {
            client: source.clone(),
            source,
            destination: end(|flow| flow.destination),
            transport: sighting.flow.as_ref().map(|flow| match flow.transport {
                Transport::Tcp => "tcp",
                Transport::Udp => "udp",
            }),
            time: sighting.time.and_then(|time| Zoned::try_from(time).ok()).map(|time| local_time(&time)),
            file: Some(file),
            packet: sighting.packet,
            packets: sighting.packet.map(|_| sighting.packets),
            before: sighting.before.clone(),
            second: sighting.second,
            several,
            ..Self::default()
        }
    }

    /// A client that sends datagrams.
    pub fn session(session: &Session) -> Self {
        Self {
            id: Some(session.id),
            peer: Some(session.peer.clone()),
            client: Some(session.peer.clone()),
            source: Some(session.peer.clone()),
            destination: session.destination(),
            transport: Some("udp"),
            time: Some(local_time(&Zoned::now())),
            ..Self::default()
        }
    }

    /// Who said it, or where it was read, for people.
    pub fn who(&self) -> String {
        let ends = match (&self.source, &self.destination, &self.id) {
            (Some(source), _, Some(_)) => Some(source.to_string()),
            (Some(source), Some(destination), None) => Some(format!("{source} -> {destination}")),
            _ => None,
        };
        let file = self.file.as_ref().filter(|_| self.several || ends.is_none());
        let who: Vec<_> = [file.map(|file| format!("{file}:")), ends].into_iter().flatten().collect();
        safe(&who.join(" "))
    }

    /// What the client said before and whom it asked for or told of, for people.
    pub fn after(&self) -> Vec<String> {
        let word = |before: &Before| match &before.target {
            Some(target) => format!("{}({})", before.protocol, item(target, &[' ', ','])),
            None => before.protocol.to_string(),
        };
        self.before.iter().map(word).collect()
    }
}

fn before<S: Serializer>(all: &[Before], serializer: S) -> Result<S::Ok, S::Error> {
    let before = |before: &Before| serde_json::json!({ "protocol": before.protocol, "size": before.size, "target": before.target });
    serializer.collect_seq(all.iter().map(before))
}
