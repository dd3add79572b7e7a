//! The other ends of TLS, by rustls: clients, servers, certificates, and hellos byte by byte.

use crate::support::{heard, patient, server};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
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
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Two authorities of one name would be taken for each other.
    ca.distinguished_name.push(DnType::CommonName, format!("authority for {}", names.join(", ")));
    let ca_key = KeyPair::generate().unwrap();
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let cert = CertificateParams::new(names).unwrap().signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    Issued { ca: ca_cert.pem(), cert: cert.pem(), key: key.serialize_pem() }
}

impl Issued {
    /// What a server shows.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let chain = vec![CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap().into()
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
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(cert.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
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
