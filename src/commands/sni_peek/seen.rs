//! What was seen, as a result: a line for people, or JSON.

use super::facts::Facts;
use crate::report::{Show, safe};
use jiff::Zoned;
use serde::{Serialize, Serializer};
use std::net::SocketAddr;
use tapline::{
    addr::Endpoint,
    capture::{Before, Flow, Sighting, Transport},
    event::ConnId,
    hello::{ClientHello, Greeting, Malformed, Protocol},
    server::Conn,
};

/// Where and when a hello was seen.
#[derive(Serialize)]
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

/// What a client said first.
#[derive(Serialize)]
pub struct Seen {
    event: &'static str,
    #[serde(flatten)]
    pub origin: Origin,
    #[serde(flatten)]
    pub said: Said,
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum Said {
    Hello {
        #[serde(skip)]
        hello: Box<ClientHello>,
        #[serde(flatten)]
        facts: Box<Facts>,
    },
    NotTls {
        protocol: Protocol,
    },
    BadHello {
        what: &'static str,
        offset: usize,
    },
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
            file: None,
            packet: None,
            packets: None,
            before: Vec::new(),
            second: false,
            several: false,
        }
    }

    /// What was found in a file, one of several or the only one.
    pub fn sighting(file: String, several: bool, sighting: &Sighting) -> Self {
        let end = |end: fn(&Flow) -> SocketAddr| sighting.flow.as_ref().map(|flow| Endpoint::tcp(end(flow)));
        let source = end(|flow| flow.source);
        Self {
            id: None,
            peer: None,
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
        }
    }

    /// Who said it, or where it was read, for people.
    fn who(&self) -> String {
        let ends = match (&self.source, &self.destination, &self.id) {
            (Some(source), _, Some(_)) => Some(source.to_string()),
            (Some(source), Some(destination), None) => Some(format!("{source} -> {destination}")),
            _ => None,
        };
        let file = self.file.as_ref().filter(|_| self.several || ends.is_none());
        let who: Vec<_> = [file.map(|file| format!("{file}:")), ends].into_iter().flatten().collect();
        safe(&who.join(" "))
    }
}

fn before<S: Serializer>(all: &[Before], serializer: S) -> Result<S::Ok, S::Error> {
    let before = |before: &Before| serde_json::json!({ "protocol": before.protocol, "size": before.size, "target": before.target });
    serializer.collect_seq(all.iter().map(before))
}

/// As in `data`: local time to the microsecond, with its offset.
pub fn local_time(time: &Zoned) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()
}

impl Seen {
    pub fn new(origin: Origin, greeting: Greeting) -> Self {
        let (event, said) = match greeting {
            Greeting::Tls(hello) => {
                let facts = Facts::of(&hello).into();
                ("hello", Said::Hello { hello, facts })
            }
            Greeting::NotTls(protocol) => ("not_tls", Said::NotTls { protocol }),
            Greeting::Malformed(Malformed { what, offset }) => ("bad_hello", Said::BadHello { what, offset }),
        };
        Self { event, origin, said }
    }
}

impl Show for Seen {
    fn line(&self) -> String {
        let who = self.origin.who();
        match &self.said {
            Said::Hello { facts, .. } => format!("{who} {}", words(facts, &self.origin)),
            Said::NotTls { protocol } => format!("{who} not TLS but {protocol}"),
            Said::BadHello { what, offset } => format!("{who} bad hello: {what} at byte {offset}"),
        }
    }
}

fn words(facts: &Facts, origin: &Origin) -> String {
    let list = |all: &[String]| if all.is_empty() { "-".to_owned() } else { safe(&all.join(",")) };
    let mut words = Vec::new();
    words.extend(match facts.framing {
        "quic" => Some("QUIC".to_owned()),
        "dtls" => Some("DTLS".to_owned()),
        "ssl2" => Some("SSLv2".to_owned()),
        _ => None,
    });
    let Facts { ciphers, extensions, size, .. } = facts;
    words.extend([
        format!("sni={}", facts.sni.as_deref().map_or("-".into(), safe)),
        format!("alpn={}", list(&facts.alpn)),
        format!("versions={}", list(&facts.versions)),
        format!("ciphers={ciphers} extensions={extensions} size={size}"),
    ]);
    words.extend((facts.framing == "records").then(|| format!("records={}", facts.records)));
    words.extend(origin.packets.map(|packets| format!("packets={packets}")));
    words.push(format!("ja4={}", facts.ja4));
    words.extend((!facts.pq.is_empty()).then(|| format!("pq={}", facts.pq.join(","))));
    // Not more than that is known: GREASE and real cannot be told from each other.
    words.extend(facts.ech.is_some().then(|| "ech=offered".to_owned()));
    words.extend((!origin.before.is_empty()).then(|| {
        let before = origin.before.iter().map(|before| match &before.target {
            Some(target) => format!("{}({target})", before.protocol),
            None => before.protocol.to_string(),
        });
        format!("after={}", list(&before.collect::<Vec<_>>()))
    }));
    words.extend(origin.second.then(|| "second".to_owned()));
    if let [first, ..] = facts.faults.as_slice() {
        words.push(format!("faults={}: {first}", facts.faults.len()));
    }
    words.join(" ")
}
