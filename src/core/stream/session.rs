//! What a TLS handshake agreed on.

use crate::{certificate::Subject, event::group_text, hello::names};

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSession {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: String,
    /// The cipher suite by its IANA name.
    pub cipher: String,
    /// Whether an earlier session was taken up again.
    pub resumed: bool,
    /// The protocol that was agreed on by ALPN (RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// The group of the key exchange by its IANA name; none where a session of TLS 1.2 was taken up again.
    pub group: Option<String>,
    /// Whether that group withstands quantum computers, as far as anyone knows.
    pub post_quantum: bool,
    /// Whether the client was asked for another key share by HelloRetryRequest.
    pub retry: bool,
    /// The certificate that the client has shown, in this connection or in the one that its session is from. It was found
    /// good then, and is checked anew where the session was taken up again.
    pub client: Option<ClientCertificate>,
}

/// A client's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Who it is for.
    pub subject: Subject,
}

impl TlsSession {
    /// What `session` has agreed on.
    pub(crate) fn of(session: &rustls::CommonState) -> Self {
        let group = session.negotiated_key_exchange_group().map(|group| u16::from(group.name()));
        Self {
            version: session.protocol_version().and_then(|version| version.as_str()).unwrap_or("unknown").replace("TLSv1_", "TLSv1."),
            // rustls marks the suites of TLS 1.3, which IANA does not.
            cipher: session
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown")
                .replace("TLS13_", "TLS_"),
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            group: group.map(group_text),
            post_quantum: group.is_some_and(names::is_post_quantum),
            retry: session.handshake_kind() == Some(rustls::HandshakeKind::FullWithHelloRetryRequest),
            client: session.peer_certificates().and_then(<[_]>::first).and_then(|der| {
                // The library has read it before: this never fails.
                let subject = Subject::read(der)?;
                Some(ClientCertificate { der: der.to_vec(), subject })
            }),
        }
    }
}
