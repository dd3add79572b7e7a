//! `--json`: the kinds of lines and their keys, on both streams. This table is the contract: a change here is a change
//! for every script out there, and belongs into docs/json.md as well.

mod table;

use super::streams::HELLO;
use crate::{packets, support::*};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{SocketAddr, UdpSocket},
    sync::Arc,
};
use table::CONTRACT;

/// What a run cannot be made to say at will has a test of its own.
const RARE: &[(&str, &[&str])] = &[("dropped", &["events"])];

type Kinds = BTreeSet<(String, BTreeSet<String>)>;

fn table(of: &[(&str, &[&str])]) -> Kinds {
    of.iter().map(|(kind, keys)| ((*kind).to_owned(), keys.iter().map(ToString::to_string).collect())).collect()
}

/// Ends a run and adds what it said on both streams.
fn add(kinds: &mut Kinds, tapline: &mut Tapline) {
    tapline.stop();
    let stdout = tapline.stdout();
    let results = stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    for line in tapline.seen.iter().cloned().chain(results) {
        add_line(kinds, &line);
    }
}

fn add_line(kinds: &mut Kinds, line: &Value) {
    let mut keys: BTreeSet<_> = line.as_object().unwrap().keys().cloned().collect();
    assert!(keys.remove("event"), "{line}");
    kinds.insert((line["event"].as_str().unwrap().to_owned(), keys));
}

/// Speaks TLS with whoever has this CA's certificate.
fn over_tls(addr: SocketAddr, ca: &str) {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_file_iter(ca).unwrap().map(Result::unwrap));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let client = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(client, connect(addr));
    stream.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

#[test]
fn every_line_is_json_and_has_the_keys_of_the_contract() {
    let mut kinds = Kinds::new();

    let (_held, refused) = refusing();
    let mut balancer = Tapline::start(&["lb7", "0", "builtin:http", &refused.to_string(), "--check-interval", "1h"]);
    balancer.event("health");
    ask(balancer.addr(), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    add(&mut kinds, &mut balancer);

    let flags = ["--no-checks", "--eject-after", "1", "--eject-for", "50ms"];
    let mut ejecting = Tapline::start(&[&["lb4", "0", "builtin:echo,backup", &refused.to_string()], &flags[..]].concat());
    assert_eq!(ask(ejecting.addr(), b"hello"), b"hello");
    for event in ["ejected", "serving", "readmitted"] {
        ejecting.event(event);
    }
    add(&mut kinds, &mut ejecting);

    let mut refuser = Tapline::start(&["proxy", "0", &refused.to_string()]);
    fate(refuser.addr()).1.unwrap_err();
    refuser.closed();
    add(&mut kinds, &mut refuser);

    let mute = server(|mut stream| drop(stream.read(&mut [0])));
    let mut limited = Tapline::start(&["lb4", "0", &mute.to_string(), "builtin:echo,max=1", "--no-checks", "--replay", "--explain"]);
    let mut first = limited.connect();
    first.write_all(b"hello").unwrap();
    limited.event("replayed");
    assert_eq!(read_n(&mut first, 5), b"hello");
    let _held = (limited.connect(), hello(limited.addr(), b"again"));
    limited.event("queued");
    add(&mut kinds, &mut limited);

    let mut terminator = Tapline::start(&["tls-terminate", "0", "builtin:echo"]);
    let certificate = terminator.event("certificate");
    over_tls(terminator.addr(), certificate["ca"].as_str().unwrap());
    terminator.closed();
    read_to_any_end(&mut hello(terminator.addr(), HELLO)).1.ok();
    let failed = terminator.event("handshake_failed");
    assert_eq!(failed["alert"], serde_json::json!({ "code": 40, "name": "handshake_failure", "sent_by": "tapline" }));
    terminator.closed();
    add(&mut kinds, &mut terminator);

    let own = tempfile::NamedTempFile::new().unwrap();
    let issued = crate::tls::issue(&["localhost"]);
    std::fs::write(&own, issued.cert + &issued.key).unwrap();
    let mut given = Tapline::start(&["tls-terminate", "0", "builtin:echo", "--cert", own.path().to_str().unwrap()]);
    given.event("loaded");
    add(&mut kinds, &mut given);

    let mut controlled = Tapline::start(&["lb4", "0", "builtin:echo", "--admin", "0"]);
    let admin = controlled.event("beside")["addr"].as_str().unwrap().to_owned();
    let drain = run(&["--json", "ctl", &admin, "drain", "builtin:echo", "--deadline", "1ms"]);
    controlled.event("cut");
    add(&mut kinds, &mut controlled);

    let routes = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&routes, "b.test=builtin:echo").unwrap();
    let mut router = Tapline::start(&["sni-route", "0", "a.test=builtin:echo", "--routes", routes.path().to_str().unwrap()]);
    router.event("routes");
    read_to_any_end(&mut { hello(router.addr(), HELLO) }).1.ok();
    router.event("routed");
    router.closed();
    add(&mut kinds, &mut router);

    let targets = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&targets, "builtin:echo").unwrap();
    let mut balancer = Tapline::start(&["lb4", "0", &format!("@{}", targets.path().display())]);
    balancer.event("targets");
    add(&mut kinds, &mut balancer);

    let mut peek = Tapline::start(&["sni-peek", "0"]);
    for bytes in [HELLO, b"GET / HTTP/1.1\r\n\r\n", &[22, 3, 1, 0, 4, 2, 0, 0, 0]] {
        read_to_any_end(&mut hello(peek.addr(), bytes)).1.ok();
        peek.closed();
    }
    add(&mut kinds, &mut peek);

    let mut shown = Tapline::start(&["listen", "0"]);
    for bytes in [&b"text"[..], b"\xff\xfe"] {
        ask(shown.addr(), bytes);
        shown.event("data");
        shown.closed();
    }
    add(&mut kinds, &mut shown);

    let folder = tempfile::tempdir().unwrap();
    let mut saver = Tapline::start(&["listen", "0", "--save", folder.path().to_str().unwrap()]);
    ask(saver.addr(), b"kept");
    saver.closed();
    add(&mut kinds, &mut saver);

    let mut announced = Tapline::start(&["proxy", "0", "builtin:echo", "--accept-proxy", "127.0.0.1"]);
    assert_eq!(ask(announced.addr(), b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello"), b"hello");
    announced.closed();
    add(&mut kinds, &mut announced);

    // A drain that takes longer than a moment.
    let mut proxy = Tapline::start(&["proxy", "0", "builtin:echo", "--grace", "200ms"]);
    let _open = proxy.connect();
    proxy.event("dialed");
    add(&mut kinds, &mut proxy);

    let mut faulty = Tapline::start(&["proxy", "0", "builtin:echo", "--cut-after", "0"]);
    fate(faulty.addr()).1.unwrap_err();
    faulty.closed();
    add(&mut kinds, &mut faulty);

    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = sink.local_addr().unwrap().to_string();
    let mut datagrams = Tapline::start(&["proxy", "--udp", "0", &target, "--max-connections", "1"]);
    let (first, second) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    for socket in [first, second] {
        socket.send_to(b"?", datagrams.addr()).unwrap();
    }
    datagrams.event("lost");
    add(&mut kinds, &mut datagrams);

    let mut poor = Tapline::start(&["proxy", "0", "builtin:echo"]);
    // Who is served already says that the program has raised its limit, which would undo what is lowered before.
    let served = poor.connect();
    poor.event("dialed");
    let starved = starve(&poor);
    let waiting = poor.connect();
    poor.event("accept_failed");
    drop((starved, waiting, served));
    poor.closed();
    add(&mut kinds, &mut poor);

    let scan = run(&["--json", "scan", "127.0.0.1/32", "-p", &refused.port().to_string(), "--all"]);
    let capture = finish_fed(program().args(["--json", "sni-peek", "-"]), &packets::capture(&[]));
    let diff = run(&["--json", "sni-peek", "--diff", "tests/data/curl-openssl3.bin", "tests/data/s_client-tls12.bin"]);
    let (taken, demo) = (balancer_port_in_use(), run(&["--json", "demo"]));
    let test = run(&["--json", "sni-route", "0", "a.test=1", "--test", "a.test"]);
    let simulation = run(&["--json", "lb4", "--simulate", "10", "--policy", "ring", "h1", "h2"]);
    let outputs = [
        scan.stdout,
        scan.stderr,
        capture.stderr,
        diff.stdout,
        test.stdout,
        drain.stdout,
        simulation.stdout,
        taken,
        demo.stdout,
        demo.stderr,
    ];
    for line in outputs.iter().flat_map(|text| text.lines()) {
        add_line(&mut kinds, &serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")));
    }

    assert_eq!(kinds, table(CONTRACT));
}

fn hello(addr: SocketAddr, bytes: &[u8]) -> std::net::TcpStream {
    let mut client = connect(addr);
    client.write_all(bytes).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    client
}

fn balancer_port_in_use() -> String {
    let (_listener, addr) = listener();
    run(&["--json", "listen", &addr.to_string()]).stderr
}

#[test]
fn the_document_names_every_kind_and_key_and_no_other() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap();
    let mut documented = Kinds::new();
    for section in text.split("\n### `").skip(1) {
        let kind = section.split('`').next().unwrap();
        let keys = section.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| row.split('`').next().unwrap().to_owned());
        documented.insert((kind.to_owned(), keys.collect()));
    }
    // In the document, the two forms of `data` are one.
    let mut expected = table(&[CONTRACT, RARE].concat());
    expected.retain(|(kind, _)| kind != "data");
    expected.extend(table(&[("data", &["id", "peer", "client", "direction", "time", "offset", "bytes", "text", "hex"])]));
    assert_eq!(documented, expected);
}
