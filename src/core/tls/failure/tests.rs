//! Real handshakes in memory: what is said to be sent is what the other end gets.

use super::{super::provider, *};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::aws_lc_rs::{cipher_suite, kx_group},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::sync::Arc;

type Both = &'static [&'static SupportedProtocolVersion];

/// A certificate, its key and the authority that has issued it.
struct Issued {
    ca: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn issue(name: &str) -> Issued {
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Two authorities of one name would be taken for each other.
    ca.distinguished_name.push(DnType::CommonName, format!("authority for {name}"));
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    Issued { ca: ca_cert.der().clone(), chain: vec![leaf.der().clone()], key }
}

fn roots(of: &Issued) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(of.ca.clone()).unwrap();
    roots
}

/// Whether the server asks the client for a certificate, and which it gets.
#[derive(PartialEq)]
enum Asks {
    Nothing,
    GetsNone,
    GetsStrange,
}

/// What differs from a handshake that succeeds.
struct Case {
    versions: (Both, Both),
    client: fn(&mut ClientConfig),
    server: fn(&mut ServerConfig),
    client_suites: Option<Vec<rustls::SupportedCipherSuite>>,
    client_groups: Option<Vec<&'static dyn rustls::crypto::SupportedKxGroup>>,
    trusts_server: bool,
    asks: Asks,
    altered: bool,
}

const ALL: Both = &[&TLS13, &TLS12];
const NEW: Both = &[&TLS13];
const OLD: Both = &[&TLS12];

impl Default for Case {
    fn default() -> Self {
        Self {
            versions: (ALL, ALL),
            client: |_| {},
            server: |_| {},
            client_suites: None,
            client_groups: None,
            trusts_server: true,
            asks: Asks::Nothing,
            altered: false,
        }
    }
}

/// The errors of the client and of the server.
fn handshake(case: &Case) -> (Option<Error>, Option<Error>) {
    let (identity, stranger) = (issue("a.test"), issue("stranger.test"));
    let mut crypto = (*provider()).clone();
    crypto.cipher_suites = case.client_suites.clone().unwrap_or(crypto.cipher_suites);
    crypto.kx_groups = case.client_groups.clone().unwrap_or(crypto.kx_groups);
    let client = ClientConfig::builder_with_provider(crypto.into()).with_protocol_versions(case.versions.0).unwrap();
    let client = client.with_root_certificates(roots(if case.trusts_server { &identity } else { &stranger }));
    let mut client = if case.asks == Asks::GetsStrange {
        client.with_client_auth_cert(stranger.chain.clone(), stranger.key.clone_key()).unwrap()
    } else {
        client.with_no_client_auth()
    };
    (case.client)(&mut client);
    let server = ServerConfig::builder_with_provider(provider()).with_protocol_versions(case.versions.1).unwrap();
    let server = if case.asks == Asks::Nothing {
        server.with_no_client_auth()
    } else {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots(&identity).into(), provider()).build().unwrap();
        server.with_client_cert_verifier(verifier)
    };
    let mut server = server.with_single_cert(identity.chain, identity.key).unwrap();
    (case.server)(&mut server);
    let mut client = ClientConnection::new(client.into(), "a.test".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server.into()).unwrap();
    let mut errors = (None, None);
    for flight in 0..4 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        if case.altered && flight == 1 {
            *bytes.last_mut().unwrap() ^= 1;
        }
        let mut bytes = &bytes[..];
        while !bytes.is_empty() && errors.1.is_none() {
            server.read_tls(&mut bytes).unwrap();
            errors.1 = server.process_new_packets().err();
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = &bytes[..];
        while !bytes.is_empty() && errors.0.is_none() {
            client.read_tls(&mut bytes).unwrap();
            errors.0 = client.process_new_packets().err();
        }
    }
    errors
}

/// A failure, of an error as the streams give it.
fn failure(error: &Error, peer: Peer) -> Failure {
    Failure::of(&io::Error::new(io::ErrorKind::InvalidData, error.clone()), peer).unwrap()
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

#[test]
fn the_alert_that_is_told_is_the_one_that_the_client_gets() {
    for (case, code, what) in [
        (Case { versions: (OLD, NEW), ..Case::default() }, 70, "no version of TLS in common with client"),
        (Case { versions: (NEW, OLD), ..Case::default() }, 70, "no version of TLS in common with client"),
        (
            Case {
                client: |client| client.alpn_protocols = vec![b"h2".to_vec()],
                server: |server| server.alpn_protocols = vec![b"http/1.1".to_vec()],
                ..Case::default()
            },
            120,
            "client offers no protocol by ALPN that is spoken here",
        ),
        (
            // The server's key is of ECDSA.
            Case {
                versions: (OLD, ALL),
                client_suites: Some(vec![cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]),
                ..Case::default()
            },
            40,
            "no cipher suite in common with client",
        ),
        (Case { asks: Asks::GetsNone, ..Case::default() }, 116, "client sent no certificate, which it has to"),
        (Case { asks: Asks::GetsNone, versions: (OLD, ALL), ..Case::default() }, 116, "client sent no certificate, which it has to"),
        (Case { asks: Asks::GetsStrange, ..Case::default() }, 48, "the certificate of the client leads to no CA that is trusted here"),
        (
            Case { server: |server| server.cert_resolver = Arc::new(NoCertificate), ..Case::default() },
            49,
            "there is no certificate for this client",
        ),
        (
            Case { altered: true, ..Case::default() },
            20,
            "what client sent cannot be decrypted: it was altered on the way, or encrypted with other keys",
        ),
    ] {
        let (client, server) = handshake(&case);
        let told = failure(&server.unwrap(), Peer::Client);
        assert_eq!(told.what, what);
        let alert = told.alert.clone().unwrap();
        assert_eq!((alert.code, alert.sent_by, told.was_told()), (code, Sender::Tapline, true));
        assert_eq!(client, Some(Error::AlertReceived(code.into())), "{what}");
        assert_eq!(told.to_string(), format!("{what} (alert {code} {} sent)", alert.name));
    }
}

#[test]
fn key_exchange_groups_that_differ_are_named() {
    let case = Case {
        client_groups: Some(vec![kx_group::SECP384R1]),
        versions: (NEW, ALL),
        server: |server| {
            let mut crypto = (*provider()).clone();
            crypto.kx_groups = vec![kx_group::X25519];
            let again = ServerConfig::builder_with_provider(crypto.into()).with_protocol_versions(ALL).unwrap();
            *server = again.with_no_client_auth().with_cert_resolver(server.cert_resolver.clone());
        },
        ..Case::default()
    };
    let (client, server) = handshake(&case);
    assert_eq!(
        failure(&server.unwrap(), Peer::Client).to_string(),
        "no key exchange group in common with client (alert 40 handshake_failure sent)"
    );
    assert_eq!(client, Some(Error::AlertReceived(AlertDescription::HandshakeFailure)));
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_at_both_ends() {
    for versions in [ALL, OLD] {
        let (client, server) = handshake(&Case { trusts_server: false, versions: (versions, ALL), ..Case::default() });
        let told = failure(&server.unwrap(), Peer::Client);
        assert_eq!(
            told.to_string(),
            "client does not trust this certificate: it leads to no CA that it knows (alert 48 unknown_ca received)"
        );
        assert!(!told.was_told());
        assert_eq!(
            failure(&client.unwrap(), Peer::Target).to_string(),
            "the certificate of the target leads to no CA that is trusted here (alert 48 unknown_ca sent)"
        );
    }
}

#[test]
fn every_alert_that_is_registered_has_its_name_and_words_of_its_own() {
    let mut words = std::collections::HashSet::new();
    for code in 0..=u8::MAX {
        let alert = AlertDescription::from(code);
        let known = !matches!(alert, AlertDescription::Unknown(_));
        assert_eq!(name_of(alert) != "unknown", known, "{code}");
        // An old name of the other (RFC 5246 section 7.2.2).
        if known && alert != AlertDescription::DecryptionFailed {
            assert!(words.insert(received(alert, Peer::Client)), "{alert:?}");
        }
    }
    let unknown = failure(&Error::AlertReceived(AlertDescription::Unknown(200)), Peer::Target);
    assert_eq!(unknown.to_string(), "target failed for a reason that has no name (alert 200 unknown received)");
}

#[test]
fn what_is_no_error_of_tls_is_told_by_others() {
    assert_eq!(Failure::of(&io::ErrorKind::ConnectionReset.into(), Peer::Client), None);
    assert_eq!(Failure::of(&io::Error::other("something"), Peer::Client), None);
}
