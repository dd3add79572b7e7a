//! What a TLS handshake with a client has come to, and how.

use super::{ConnId, millis};
use crate::{
    hello::{ClientHello, is_grease, names},
    stream::TlsSession,
    text::text,
    tls::{Shown, Witnessed},
};
use serde::{Serialize, Serializer};
use std::{borrow::Cow, time::Duration};

/// The most groups that are told of a hello; rustls offers 4, Firefox 8.
const MOST_GROUPS: usize = 64;

/// A complete handshake. Names and protocols are untrusted.
#[derive(Clone, Debug, Serialize)]
pub struct Handshake {
    /// The connection.
    pub id: ConnId,
    /// The server name that the client asked for.
    pub name: Option<String>,
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: String,
    /// The cipher suite by its IANA name.
    pub cipher: String,
    /// The group of the key exchange by its IANA name; none where a session of TLS 1.2 was taken up again.
    pub group: Option<String>,
    /// Whether the key exchange withstands quantum computers, as far as anyone knows.
    pub post_quantum: bool,
    /// The protocol that was agreed on by ALPN (RFC 7301).
    pub alpn: Option<String>,
    /// Whether an earlier session was taken up again.
    pub resumed: bool,
    /// Whether the client was asked for another key share by HelloRetryRequest (RFC 8446 section 4.1.4).
    pub retry: bool,
    /// Who the client is by its certificate, where it has shown one.
    pub client: Option<Client>,
    /// What the client had offered.
    pub offered: Offered,
    /// The certificate that it was shown; none where the session was taken up again.
    pub certificate: Option<Shown>,
    /// Tickets that it was given, to take the session up again.
    pub tickets: u32,
    /// Round trips before the client could speak, by the RFCs: 1 in TLS 1.3 and where a session of TLS 1.2 was taken up
    /// again, 2 in TLS 1.2 (RFC 5246 section 7.3) and with a HelloRetryRequest.
    pub round_trips: u8,
    /// Bytes at the socket since the hello, with it: from the client, of what it may have said behind the handshake, too.
    pub received: u64,
    /// The same to the client.
    pub sent: u64,
    /// Since the hello was whole.
    #[serde(rename = "elapsed_ms", serialize_with = "millis")]
    pub elapsed: Duration,
}

/// Who a client is by its certificate. Untrusted text, though an authority has vouched for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// The common name.
    pub common_name: Option<String>,
    /// The subject alternative names.
    pub names: Vec<String>,
    /// Which of the names that are allowed it has, where only certain ones are.
    pub allowed: Option<String>,
}

/// What a client offers in its hello, in its order, without GREASE.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Offered {
    /// Versions.
    #[serde(serialize_with = "versions")]
    pub versions: Vec<u16>,
    /// Groups for the key exchange, at most 64.
    #[serde(serialize_with = "groups")]
    pub groups: Vec<u16>,
    /// Those of them that it has sent key shares for, at most 64.
    #[serde(serialize_with = "groups")]
    pub key_shares: Vec<u16>,
    /// Protocols, by ALPN. Untrusted.
    #[serde(serialize_with = "protocols")]
    pub alpn: Vec<Vec<u8>>,
    /// Bytes of the hello with its record headers.
    pub size: usize,
}

impl From<ClientHello> for Offered {
    fn from(hello: ClientHello) -> Self {
        let (groups, key_shares, size) = (hello.groups(), hello.key_shares(), hello.size());
        let known = |groups: Vec<u16>| groups.into_iter().filter(|group| !is_grease(*group)).take(MOST_GROUPS).collect();
        Self { versions: hello.versions, groups: known(groups), key_shares: known(key_shares), alpn: hello.alpn, size }
    }
}

impl Handshake {
    /// Puts together what `offered` and what was done with it have come to. `received` and `sent` are the bytes of it. Who
    /// the two ends are is left open.
    pub(crate) fn new(
        id: ConnId,
        offered: Offered,
        session: &TlsSession,
        witnessed: Witnessed,
        (received, sent): (u64, u64),
        elapsed: Duration,
    ) -> Self {
        let TlsSession { version, cipher, resumed, alpn, group, post_quantum, retry, client: _ } = session;
        let (version, cipher, group) = (version.clone(), cipher.clone(), group.clone());
        let (resumed, post_quantum, retry) = (*resumed, *post_quantum, *retry);
        // The library forgets it where the session is then taken up again.
        let had_share = |group: &String| offered.key_shares.iter().any(|share| group_text(*share) == *group);
        let retry = retry || version == "TLSv1.3" && group.as_ref().is_some_and(|group| !had_share(group));
        let round_trips = if retry || version == "TLSv1.2" && !resumed { 2 } else { 1 };
        let alpn = alpn.as_deref().map(text);
        let Witnessed { certificate, tickets } = witnessed;
        Self {
            id,
            name: None,
            version,
            cipher,
            group,
            post_quantum,
            alpn,
            resumed,
            retry,
            client: None,
            offered,
            // One is chosen before it is known whether it is needed.
            certificate: certificate.filter(|_| !resumed),
            tickets,
            round_trips,
            received,
            sent,
            elapsed,
        }
    }
}

/// The name of a group, or its number in hexadecimal where it has none.
#[must_use]
pub fn group_text(group: u16) -> String {
    names::group(group).map_or_else(|| format!("0x{group:04x}"), Cow::into_owned)
}

fn versions<S: Serializer>(versions: &[u16], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(versions.iter().map(|version| names::version_text(*version)))
}

fn groups<S: Serializer>(groups: &[u16], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups.iter().map(|group| group_text(*group)))
}

fn protocols<S: Serializer>(protocols: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(protocols.iter().map(|protocol| text(protocol)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(version: &str, resumed: bool, retry: bool) -> TlsSession {
        let (version, cipher, group) = (version.into(), "TLS_AES_256_GCM_SHA384".into(), Some("x25519".into()));
        TlsSession { version, cipher, resumed, alpn: None, group, post_quantum: false, retry, client: None }
    }

    #[test]
    fn round_trips_are_those_of_the_rfcs() {
        for (version, resumed, retry, round_trips) in [
            ("TLSv1.3", false, false, 1),
            ("TLSv1.3", true, false, 1),
            ("TLSv1.3", false, true, 2),
            ("TLSv1.3", true, true, 2),
            ("TLSv1.2", false, false, 2),
            ("TLSv1.2", true, false, 1),
        ] {
            // The library tells of a retry only where no session is taken up again.
            let session = session(version, resumed, retry && !resumed);
            let offered = Offered { key_shares: if retry { vec![23] } else { vec![29] }, ..Offered::default() };
            let handshake = Handshake::new(ConnId(1), offered, &session, Witnessed::default(), (0, 0), Duration::ZERO);
            assert_eq!(handshake.round_trips, round_trips, "{version} {resumed} {retry}");
        }
    }

    #[test]
    fn what_is_offered_is_told_by_name() {
        let offered = Offered {
            versions: vec![0x0304, 0x0399],
            groups: vec![0x11ec, 29, 0x9999],
            alpn: vec![b"h\xff".to_vec()],
            ..Offered::default()
        };
        let json = serde_json::json!({ "versions": ["TLSv1.3", "0x0399"], "groups": ["X25519MLKEM768", "x25519", "0x9999"], "key_shares": [],
            "alpn": ["h\\xff"], "size": 0 });
        assert_eq!(serde_json::to_value(&offered).unwrap(), json);
    }
}
