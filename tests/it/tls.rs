//! The other ends of TLS, by rustls: clients, servers, certificates, and hellos byte by byte.

use crate::support::{heard, patient, server};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    client::WantsClientCert,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

pub type ClientStream = StreamOwned<ClientConnection, TcpStream>;
pub type ServerStream = StreamOwned<ServerConnection, TcpStream>;

/// The alert unrecognized_name as text.
pub const REFUSED: &str = "\u{15}\u{3}\u{3}\0\u{2}\u{2}p";

/// What a client hears that sends a hello for `name`.
pub fn hear(addr: SocketAddr, name: &str) -> String {
    heard(addr, &hello_with_name(name.as_bytes()))
}

/// A certificate, its key and its authority, in PEM.
pub struct Issued {
    pub ca: String,
    pub cert: String,
    pub key: String,
}

/// A certificate for `names` by an authority of its own.
pub fn issue(names: &[&str]) -> Issued {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    authority(&names.join(", ")).issue(&CertificateParams::new(names).unwrap())
}

/// One who vouches for others.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// An authority for somebody.
pub fn authority(for_whom: &str) -> Authority {
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Two authorities of one name would be taken for each other.
    ca.distinguished_name.push(DnType::CommonName, format!("authority for {for_whom}"));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let pem = ca.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(ca, key) }
}

impl Authority {
    fn issue(&self, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Issued { ca: self.pem.clone(), cert: cert.pem(), key: key.serialize_pem() }
    }

    /// A certificate for a client of this name.
    pub fn client(&self, common_name: &str, names: Vec<SanType>) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        params.serial_number = Some(SerialNumber::from(common_name.as_bytes().to_vec()));
        self.issue(&params)
    }

    /// A list in PEM that revokes the certificate of the client of this name.
    pub fn revoking(&self, common_name: &str) -> String {
        let now = std::time::SystemTime::now();
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(common_name.as_bytes().to_vec()),
            revocation_time: now.into(),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: now.into(),
            next_update: (now + std::time::Duration::from_hours(1)).into(),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

impl Issued {
    /// What a server shows.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server_config_with(rustls::DEFAULT_VERSIONS)
    }

    /// The same for certain versions of TLS.
    pub fn server_config_with(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        builder.with_protocol_versions(versions).unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap().into()
    }

    /// A TLS server with this certificate that handles each connection in a thread.
    pub fn serve(&self, handle: impl Fn(ServerStream) + Send + Sync + 'static) -> SocketAddr {
        let config = self.server_config();
        server(move |tcp| handle(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), tcp)))
    }
}

/// A client that trusts the authorities in `ca` (PEM) and offers `alpn`.
pub fn trusting(ca: &str, alpn: &[&str]) -> ClientConfig {
    trusting_with(ca, alpn, rustls::DEFAULT_VERSIONS)
}

/// The same for certain versions of TLS.
pub fn trusting_with(ca: &str, alpn: &[&str], versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let mut config = trusting_builder(ca, versions).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

/// A client that trusts the authorities in `ca` and has other cryptography than usual.
pub fn with_provider(ca: &str, provider: Arc<CryptoProvider>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots(ca)).with_no_client_auth()
}

/// A client that trusts the authorities in `ca` and shows a certificate where it is asked for one.
pub fn showing(ca: &str, shown: &Issued, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let chain = vec![CertificateDer::from_pem_slice(shown.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
    trusting_builder(ca, versions).with_client_auth_cert(chain, key).unwrap()
}

fn trusting_builder(
    ca: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, WantsClientCert> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots(ca))
}

/// The authorities in `ca` (PEM).
pub fn roots(ca: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(cert.unwrap()).unwrap();
    }
    roots
}

/// A TLS client of `name` on a connection; the handshake happens with the first byte.
pub fn client(tcp: TcpStream, config: ClientConfig, name: &str) -> ClientStream {
    let session = ClientConnection::new(config.into(), name.to_owned().try_into().unwrap()).unwrap();
    StreamOwned::new(session, patient(tcp))
}

/// The ClientHello that rustls writes for `name`, in one record.
pub fn hello(name: &str, alpn: &[&str]) -> Vec<u8> {
    let config = trusting("", alpn);
    let mut session = ClientConnection::new(config.into(), name.to_owned().try_into().unwrap()).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same handshake message in records of at most `size` bytes.
pub fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for part in hello[5..].chunks(size) {
        out.extend([22, 3, 1]);
        out.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        out.extend(part);
    }
    out
}

/// A small ClientHello whose server name is any bytes.
pub fn hello_with_name(name: &[u8]) -> Vec<u8> {
    let vector = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let host = [&[0], vector(name).as_slice()].concat();
    let sni = [&[0, 0][..], &vector(&vector(&host))].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &vector(&[0x13, 1]), &[1, 0], &vector(&sni)].concat();
    let message = [&[1, 0][..], &vector(&body)].concat();
    [&[22, 3, 1][..], &vector(&message)].concat()
}

/// The fatal alert record with this description.
pub fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}
