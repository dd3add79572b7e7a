//! What was seen, as a result: a line for people, or JSON.

use super::{facts::Facts, origin::Origin};
use crate::report::{Show, item};
use serde::Serialize;
use tapline::hello::{ClientHello, Greeting, Malformed, Protocol};

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
    // What a client says is one word, so that it cannot pretend to be the next ones.
    let word = |text: &str| item(text, &[' ', ',']);
    let list = |all: &[String]| if all.is_empty() { "-".to_owned() } else { all.join(",") };
    let alpn: Vec<_> = facts.alpn.iter().map(|protocol| word(protocol)).collect();
    let mut words = Vec::new();
    words.extend(match facts.framing {
        "quic" => Some("QUIC".to_owned()),
        "dtls" => Some("DTLS".to_owned()),
        "ssl2" => Some("SSLv2".to_owned()),
        _ => None,
    });
    let Facts { ciphers, extensions, size, .. } = facts;
    words.extend([
        format!("sni={}", facts.sni.as_deref().map_or("-".into(), word)),
        format!("alpn={}", list(&alpn)),
        format!("versions={}", list(&facts.versions)),
        format!("ciphers={ciphers} extensions={extensions} size={size}"),
    ]);
    words.extend((facts.framing == "records").then(|| format!("records={}", facts.records)));
    words.extend(origin.packets.map(|packets| format!("packets={packets}")));
    words.push(format!("ja4={}", facts.ja4));
    words.extend((!facts.pq.is_empty()).then(|| format!("pq={}", facts.pq.join(","))));
    // Not more than that is known: GREASE and real cannot be told from each other.
    words.extend(facts.ech.is_some().then(|| "ech=offered".to_owned()));
    words.extend((!origin.before.is_empty()).then(|| format!("after={}", list(&origin.after()))));
    words.extend(origin.second.then(|| "second".to_owned()));
    if let [first, ..] = facts.faults.as_slice() {
        words.push(format!("faults={}: {first}", facts.faults.len()));
    }
    words.join(" ")
}
