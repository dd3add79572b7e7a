//! What is told of a handshake, with `--explain` in words.

use super::start;
use crate::{support::*, tls};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs, aws_lc_rs::kx_group};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};

/// A client with these groups, the first of which it sends a key share for.
fn with_groups(ca: &str, groups: &[&'static dyn SupportedKxGroup]) -> rustls::ClientConfig {
    let provider = CryptoProvider { kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() };
    let builder = rustls::ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(tls::roots(ca)).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// A handshake of a client that asks for localhost and has an answer, as it was told.
fn shake(tapline: &mut Tapline, config: rustls::ClientConfig) -> Value {
    let mut client = tls::client(tapline.connect(), config, "localhost");
    client.write_all(b"x").unwrap();
    assert_eq!(read_n(&mut client, 1), b"x");
    tapline.event("handshake")
}

#[test]
fn the_offer_the_choice_and_the_cost_are_told() {
    let (mut tapline, ca) = start("builtin:echo", &[]);
    let handshake = shake(&mut tapline, with_groups(&ca, &[kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1]));
    assert_eq!(handshake["offered"]["versions"], json!(["TLSv1.3", "TLSv1.2"]), "{handshake}");
    assert_eq!(handshake["offered"]["groups"], json!(["X25519MLKEM768", "x25519", "secp256r1"]));
    // rustls sends the classical half of a hybrid alone, too.
    assert_eq!(handshake["offered"]["key_shares"], json!(["X25519MLKEM768", "x25519"]));
    assert_eq!(handshake["offered"]["alpn"], json!(["h2", "http/1.1"]));
    assert!(handshake["offered"]["size"].as_u64().unwrap() > 1184, "{handshake}");
    let facts = |keys: &[&str]| keys.iter().map(|key| handshake[*key].clone()).collect::<Vec<_>>();
    assert_eq!(
        facts(&["group", "post_quantum", "alpn", "retry", "round_trips"]),
        [json!("X25519MLKEM768"), json!(true), json!(null), json!(false), json!(1)]
    );
    let number = |key: &str| handshake[key].as_u64().unwrap();
    assert!(
        number("received") > handshake["offered"]["size"].as_u64().unwrap() && number("sent") > 1088 && number("tickets") > 0,
        "{handshake}"
    );
    assert!(handshake["elapsed_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_client_without_a_fitting_key_share_is_asked_again_and_that_is_told() {
    let (mut tapline, ca) = start("builtin:echo", &[]);
    let config = with_groups(&ca, &[kx_group::MLKEM768, kx_group::SECP384R1]);
    let handshake = shake(&mut tapline, config.clone());
    let facts = ["group", "post_quantum", "retry", "round_trips", "resumed"].map(|key| handshake[key].clone());
    assert_eq!(facts, [json!("secp384r1"), json!(false), json!(true), json!(2), json!(false)], "{handshake}");
    assert_eq!(handshake["offered"]["key_shares"], json!(["MLKEM768"]));
    // The client has learned which group is taken here.
    let again = shake(&mut tapline, config);
    assert_eq!(["retry", "round_trips", "resumed"].map(|key| again[key].clone()), [json!(false), json!(1), json!(true)], "{again}");
}

#[test]
fn a_session_that_is_taken_up_again_shows_no_certificate() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let (mut tapline, ca) = start("builtin:echo", &[]);
        let config = tls::trusting_with(&ca, &[], &[version]);
        let first = shake(&mut tapline, config.clone());
        let again = shake(&mut tapline, config);
        assert_eq!((&first["resumed"], &again["resumed"]), (&json!(false), &json!(true)));
        assert_eq!((&again["certificate"], &again["round_trips"]), (&json!(null), &json!(1)), "{again}");
        assert_eq!(first["round_trips"], if first["version"] == "TLSv1.2" { 2 } else { 1 }, "{first}");
    }
}

#[test]
fn with_explain_each_step_has_a_line() {
    let mut command = program();
    // It ends by itself also where the test does not come so far.
    command.args(["--explain", "tls-terminate", "0", "builtin:echo", "--connections", "1", "--for", "20s"]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut after = |what: &str| lines.find_map(|line| line.split_once(what).map(|(_, rest)| rest.to_owned())).unwrap();
    let addr = after("listening on ").parse().unwrap();
    let ca = std::fs::read_to_string(after(" CA is in ")).unwrap();
    let mut client = tls::client(connect(addr), with_groups(&ca, &[kx_group::MLKEM768, kx_group::X25519]), "localhost");
    client.write_all(b"x").unwrap();
    assert_eq!(read_n(&mut client, 1), b"x");
    drop(client);
    let offer = "the client offers TLSv1.3, TLSv1.2, name localhost, ALPN h2, http/1.1, key shares for MLKEM768 and 1 group without one";
    assert_eq!(after("#1 TLS: "), offer);
    let choice = after("#1 TLS: ");
    assert!(choice.starts_with("the server chooses TLSv1.3, TLS_") && choice.ends_with(", no answer to ALPN"), "{choice}");
    let exchange = after("#1 TLS: ");
    assert!(
        exchange.starts_with("key exchange x25519: ") && exchange.contains("HelloRetryRequest asked for one, at the cost of a round trip")
    );
    let certificate = after("#1 TLS: ");
    assert!(certificate.starts_with("the server shows "), "{certificate}");
    let cost = after("#1 TLS: handshake done in ");
    assert!(cost.contains(", 2 round trips, ") && cost.ends_with(" to take it up again"), "{cost}");
    child.wait().unwrap();
}
