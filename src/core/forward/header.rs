//! The PROXY header that a target gets of a client.

use crate::{
    event::{By, ConnId, End, Phase},
    proxy_header::{self, Announcement, Ends, Ssl, Tlvs, Version},
    server::Conn,
    stream::TlsSession,
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::LazyLock,
};

/// The PROXY header that tells a target of the client: as it was announced itself, else as it came.
pub(super) fn header(version: Version, conn: &Conn, session: Option<&TlsSession>) -> Result<Vec<u8>, End> {
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
