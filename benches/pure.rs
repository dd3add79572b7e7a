//! The pure parts on hot paths: `cargo bench`.

use divan::{Bencher, black_box};
use tapline::{
    addr::TargetSpec,
    hello,
    pool::{Policy, Pool},
    proxy_header::{self, Announcement, Ends, Tlvs, Version},
};

fn main() {
    divan::main();
}

/// A ClientHello as rustls writes it.
fn client_hello() -> Vec<u8> {
    let builder = rustls::ClientConfig::builder_with_provider(tapline::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3 is known");
    let config = builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let name = "www.example.test".try_into().expect("a server name");
    let mut client = rustls::ClientConnection::new(config.into(), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a Vec takes everything");
    bytes
}

#[divan::bench]
fn read_a_hello(bencher: Bencher<'_, '_>) {
    let bytes = client_hello();
    bencher.bench(|| hello::read(black_box(&bytes)));
}

#[divan::bench(args = [Version::V1, Version::V2])]
fn read_a_proxy_header(bencher: Bencher<'_, '_>, version: Version) {
    let end = |text: &str| tapline::addr::Endpoint::Tcp(text.parse().expect("an address"));
    let ends = Some(Ends { source: end("192.0.2.1:12345"), destination: end("198.51.100.2:443") });
    let tlvs = Tlvs { authority: Some("www.example.test".into()), ..Tlvs::default() };
    let bytes = proxy_header::write(version, &Announcement { ends, tlvs }).expect("it fits");
    bencher.bench(|| proxy_header::read(black_box(&bytes)));
}

#[divan::bench(args = [1, 3, 100])]
fn pick_a_backend(bencher: Bencher<'_, '_>, backends: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let specs: Vec<TargetSpec> = (1..=backends).map(|port| port.to_string().parse().expect("a target")).collect();
    let pool = runtime.block_on(Pool::new(&specs, Policy::RoundRobin)).expect("a pool");
    bencher.bench(|| black_box(&pool).pick().next());
}
