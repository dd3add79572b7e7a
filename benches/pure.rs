//! The pure parts on hot paths: `cargo bench`.

use divan::{Bencher, black_box};
use tapline::{
    addr::TargetSpec,
    balance::Policy,
    hello::{self, Greeting},
    pool::{self, Pool},
    proxy_header::{self, Announcement, Ends, Tlvs, Version},
    route::{Asked, Scheme, Table},
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

/// A hello of two packets with a post-quantum key, and one of TLS 1.3 without that.
const RECORDED: [(&str, &[u8]); 2] =
    [("chromium", include_bytes!("../tests/data/chromium-156.bin")), ("curl", include_bytes!("../tests/data/curl-openssl3.bin"))];

fn recorded(client: &str) -> Vec<u8> {
    let found = RECORDED.iter().find(|(name, _)| *name == client);
    found.map_or_else(client_hello, |(_, bytes)| bytes.to_vec())
}

#[divan::bench(args = ["rustls", "curl", "chromium"])]
fn read_a_hello(bencher: Bencher<'_, '_>, client: &str) {
    let bytes = recorded(client);
    bencher.counter(divan::counter::ItemsCount::new(1_usize)).bench(|| hello::read(black_box(&bytes)));
}

#[divan::bench(args = ["curl", "chromium"])]
fn fingerprint_a_hello(bencher: Bencher<'_, '_>, client: &str) {
    let bytes = recorded(client);
    let Some(Greeting::Tls(hello)) = hello::read(&bytes) else { panic!("no hello of {client}") };
    bencher.bench(|| (hello::ja3(black_box(&hello)), hello::ja4(black_box(&hello))));
}

#[divan::bench(args = ["curl", "chromium"])]
fn take_a_hello_apart(bencher: Bencher<'_, '_>, client: &str) {
    let bytes = recorded(client);
    let Some(Greeting::Tls(hello)) = hello::read(&bytes) else { panic!("no hello of {client}") };
    bencher.bench(|| hello::anatomy(black_box(&hello)));
}

#[divan::bench(args = [Version::V1, Version::V2])]
fn read_a_proxy_header(bencher: Bencher<'_, '_>, version: Version) {
    let end = |text: &str| tapline::addr::Endpoint::Tcp(text.parse().expect("an address"));
    let ends = Some(Ends { source: end("192.0.2.1:12345"), destination: end("198.51.100.2:443") });
    let tlvs = Tlvs { authority: Some("www.example.test".into()), ..Tlvs::default() };
    let bytes = proxy_header::write(version, &Announcement { ends, tlvs }).expect("it fits");
    bencher.bench(|| proxy_header::read(black_box(&bytes)));
}

/// Each policy over so many targets, with a weight of 1 each, and with 20 different ones. A pick is of another key each time, and is over at once.
#[divan::bench(args = picking())]
fn pick_a_backend(bencher: Bencher<'_, '_>, (policy, backends, mixed): &(Policy, usize, bool)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let weight = |port| if *mixed { port % 20 + 1 } else { 1 };
    let spec = |port| format!("{port},weight={}", weight(port)).parse().expect("a target");
    let specs: Vec<TargetSpec> = (1..=*backends).map(spec).collect();
    let pool = runtime.block_on(Pool::new(&specs, *policy)).expect("a pool");
    let key = std::cell::Cell::new(1_u64);
    bencher.bench_local(|| {
        key.set(key.get().wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1));
        black_box(&pool).pick(pool::Asked { key: Some(key.get()), explain: false }).next()
    });
}

fn picking() -> Vec<(Policy, usize, bool)> {
    let sizes = [(1, false), (1000, false), (1000, true)];
    Policy::ALL.into_iter().flat_map(|policy| sizes.map(|(backends, mixed)| (policy, backends, mixed))).collect()
}

/// A name with a rule of its own, one of a wildcard, and one of none, each with four labels.
#[divan::bench(args = [10, 100_000])]
fn find_a_rule(bencher: Bencher<'_, '_>, rules: usize) {
    let names = (0..rules).map(|at| format!("www.n{at}.example.test")).chain(["*.wild.example.test".into()]);
    let table = Table::new(names.map(|name| (name.parse().expect("a name"), ()))).expect("different names");
    let asked = ["www.n7.example.test", "x.wild.example.test", "a.b.example.org"].map(|name| name.parse().expect("a name"));
    bencher.bench(|| asked.each_ref().map(|name| black_box(&table).find(Asked { scheme: Scheme::Tls, name, alpn: &[] }).is_some()));
}
