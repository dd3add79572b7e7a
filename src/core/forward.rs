//! The way of a connection from here to a target: pick, dial, relay.

use crate::{
    addr::{Endpoint, Target},
    dial::{self, DialError, Dialed, Dialer, Preamble},
    event::{By, ConnId, End, Event, Phase},
    pool::{Lease, Pool},
    proxy_header::{self, Announcement, Ends, Ssl, Tlvs, Version},
    relay::{self, Between, relay},
    server::Conn,
    starttls::Ask,
    stream::{Stream, TlsSession},
};
use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::LazyLock,
};

/// Where connections go, and how.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The targets; a fixed target is a pool of one.
    pub pool: Pool,
    /// How they are connected to.
    pub dialer: Dialer,
    /// Whether targets are told who the client is, by a PROXY header.
    pub announce: Option<Version>,
    /// How their bytes are relayed.
    pub relay: relay::Settings,
}

impl Forward {
    /// Connects to the first target that takes the connection, and relays. Where none does, the client is reset.
    pub async fn run(&self, conn: &mut Conn) -> End {
        self.run_after(conn, None).await
    }

    /// The same for a client that was answered in a protocol before its ClientHello: the target is asked first.
    pub async fn run_after(&self, conn: &mut Conn, ask: Option<Ask>) -> End {
        self.dialer.options.keep_alive(&conn.stream);
        // Nothing is waited for: what is there already goes out with the dial. What is disturbed or watched does not.
        if self.relay.is_plain()
            && let Err(error) = conn.stream.take_what_is_there()
        {
            return End::io(By::Client, Phase::Accept, &error);
        }
        // Boxed, so that its room is given back before the relay begins, which may be long.
        let (_lease, mut target, treatment) = match Box::pin(self.dial(conn, ask)).await {
            Ok((lease, target, addr)) => {
                let between = Between { id: conn.id, peer: &conn.peer, client: conn.client(), target: &addr };
                (lease, target, self.relay.treatment(between, &conn.events))
            }
            // The stream is dropped with its writing side open: RST, as the target itself would have answered.
            Err(end) => return end,
        };
        relay(&mut conn.stream, &mut target, &self.relay.timeouts, treatment, &conn.progress).await
    }

    async fn dial(&self, conn: &mut Conn, ask: Option<Ask>) -> Result<(Lease, Stream, Endpoint), End> {
        conn.progress.enter(Phase::Dial);
        let session = conn.stream.tls_session();
        let header = self.announce.map(|version| header(version, conn, session)).transpose()?;
        let preamble = header.as_deref().map_or(Preamble::None, Preamble::Client);
        // Whoever has agreed on a protocol speaks it to the end: a target of TLS must agree, too.
        let alpn = session.and_then(|session| session.alpn.clone());
        let mut leases = self.pool.pick().peekable();
        while let Some(lease) = leases.next() {
            let first = if self.relay.is_plain() && ask.is_none() { conn.stream.head() } else { &[] };
            match self.reach(&lease.target, preamble, first, ask, alpn.as_deref()).await {
                Ok(Dialed { stream, addr, elapsed, sent }) => {
                    conn.progress.set_target(lease.label.clone());
                    conn.stream.skip_head(sent);
                    conn.events.emit(Event::Dialed { id: conn.id, target: lease.label.clone(), addr: addr.clone(), elapsed });
                    return Ok((lease.taken(stream.traffic()), stream, addr));
                }
                Err(error) => {
                    if !error.is_local() {
                        lease.failed();
                    }
                    let next = !error.is_shortage() && leases.peek().is_some();
                    conn.events.emit(Event::DialFailed { id: conn.id, target: lease.label.clone(), why: error.words(), next });
                    if !next {
                        return Err(dial_end(&lease.label, &error));
                    }
                }
            }
        }
        Err(End::failed(By::Rule, Phase::Dial, "no target"))
    }

    /// Connects, and asks for what is to be there before the client's first byte. Whoever cannot has not taken the connection.
    async fn reach(
        &self,
        target: &Target,
        preamble: Preamble<'_>,
        first: &[u8],
        ask: Option<Ask>,
        alpn: Option<&[u8]>,
    ) -> Result<Dialed, DialError> {
        let mut dialed = match (target, alpn) {
            (Target::Tls(_), Some(protocol)) => {
                let dialer = Dialer { tls: self.dialer.tls.offering(protocol), ..self.dialer.clone() };
                dialer.dial(target, preamble, first).await?
            }
            _ => self.dialer.dial(target, preamble, first).await?,
        };
        if let Some(ask) = ask {
            let left = self.dialer.connect_timeout.saturating_sub(dialed.elapsed);
            let asked = dial::within(left, target, ask.of(&mut dialed.stream)).await;
            if let Err(error) = asked {
                if !error.timed_out {
                    return Err(error);
                }
                // The time was for all of it.
                let why = format!("no {} in {:?}", ask.what(), self.dialer.connect_timeout);
                return Err(DialError { error: io::Error::new(io::ErrorKind::TimedOut, why), ..error });
            }
        }
        Ok(dialed)
    }
}

/// The PROXY header that tells a target of the client: as it was announced itself, else as it came.
fn header(version: Version, conn: &Conn, session: Option<&TlsSession>) -> Result<Vec<u8>, End> {
    let announced = conn.announced.as_deref();
    let ends = match announced.and_then(|header| header.ends.clone()) {
        Some(ends) => ends,
        None => {
            let destination = conn.stream.local_addr().map_err(|error| End::io(By::Client, Phase::Dial, &error))?;
            Ends { source: conn.peer.clone(), destination }
        }
    };
    let told = announced.map(|header| &header.tlvs);
    let tlvs = Tlvs {
        // What was seen here goes before what was told.
        authority: conn.authority.clone().or_else(|| told?.authority.clone()),
        alpn: session.and_then(|session| session.alpn.clone()).or_else(|| told?.alpn.clone()),
        // One name for the whole way, so that the logs of all who handle the connection can be joined.
        unique_id: told.and_then(|tlvs| tlvs.unique_id.clone()).or_else(|| Some(unique_id(conn.id))),
        ssl: session.map(ssl).or_else(|| told?.ssl.clone()),
        // A namespace and types of others' own mean something to that peer and its receiver alone.
        netns: None,
        others: Vec::new(),
    };
    // Too long is only what a client has said, or a peer of it.
    proxy_header::write(version, &Announcement { ends: Some(ends), tlvs }).map_err(|error| End::failed(By::Client, Phase::Dial, error))
}

/// The run and the connection: no two runs have the same first half, but for an accident of 2^-64.
fn unique_id(id: ConnId) -> Vec<u8> {
    static RUN: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    format!("{:016x}-{}", *RUN, id.0).into_bytes()
}

/// As haproxy fills it in. Of the server's own certificate, which is no news to whoever has it, nothing is told.
fn ssl(session: &TlsSession) -> Ssl {
    // The bits of `client`: TLS was spoken, a certificate was shown in this connection, in this session.
    const TLS: u8 = 1;
    const IN_CONNECTION: u8 = 2;
    const IN_SESSION: u8 = 4;
    let shown = match &session.client {
        None => 0,
        Some(_) if session.resumed => IN_SESSION,
        Some(_) => IN_CONNECTION | IN_SESSION,
    };
    Ssl {
        client: TLS | shown,
        // Whoever shows a bad certificate gets no further than the handshake.
        verify: u32::from(session.client.is_none()),
        version: Some(session.version.clone()),
        cipher: Some(openssl_name(&session.cipher)),
        group: session.group.clone(),
        common_name: session.client.as_ref().and_then(|client| client.subject.common_name.clone()),
        client_cert: session.client.as_ref().map(|client| client.der.clone()),
        ..Ssl::default()
    }
}

/// A cipher suite of IANA's name as OpenSSL names it, and so haproxy and whoever reads its headers: `TLS_AES_128_GCM_SHA256`
/// for TLS 1.3, `ECDHE-RSA-AES128-GCM-SHA256` before.
fn openssl_name(cipher: &str) -> String {
    if !cipher.contains("_WITH_") {
        return cipher.to_owned();
    }
    let name = cipher.trim_start_matches("TLS_").replace("_WITH", "").replace("AES_", "AES").replace('_', "-");
    name.strip_suffix("POLY1305-SHA256").map(|name| format!("{name}POLY1305")).unwrap_or(name)
}

/// How a connection ends that no target took.
pub(crate) fn dial_end(label: &str, error: &DialError) -> End {
    let by = match error {
        DialError { timed_out: true, .. } => By::Timeout,
        error if error.is_forbidden() => By::Rule,
        error if error.is_local() => By::Local,
        _ => By::Target,
    };
    End::failed(by, Phase::Dial, format!("{label}: {}", error.words()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ciphers_have_the_names_of_openssl() {
        for (ours, theirs) in [
            ("TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
            ("TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
            ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
        ] {
            assert_eq!(openssl_name(ours), theirs);
        }
    }

    #[test]
    fn unique_ids_differ_and_are_text() {
        let (one, two) = (unique_id(ConnId(1)), unique_id(ConnId(2)));
        assert_ne!(one, two);
        assert!(one.is_ascii() && one.len() <= 128 && one.ends_with(b"-1"));
    }
}
