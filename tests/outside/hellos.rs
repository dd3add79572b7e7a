//! Clients of DTLS and QUIC, and what `sni-peek --udp` shows of them; and what tshark reads in the hellos of all kinds of clients.

mod compared;
mod facts;

use crate::support::*;
use serde_json::{Value, json};

/// What is shown of the one client that COMMAND starts, and what COMMAND says.
fn peek(command: &[&str]) -> (Value, Finished) {
    let done = run(&[&["--json", "--quiet", "sni-peek", "--udp", "127.0.0.1:0", "--"], command].concat());
    let shown: Vec<Value> = done.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let [hello] = &shown[..] else { panic!("{done:?}") };
    (hello.clone(), done)
}

#[test]
fn openssl_is_shown_whole_or_in_fragments_and_understands_the_alert() {
    let long: Vec<_> = (0..60).map(|n| format!("protocol-{n:03}")).collect();
    let long = long.join(",");
    for (alpn, packets) in [("h2", 1..=1), (&long, 3..=20)] {
        let script = "exec openssl s_client -dtls1_2 -mtu 300 -connect {addr} -servername dtls.example.test -alpn \"$0\" -brief";
        let (hello, done) = peek(&["sh", "-c", script, alpn]);
        assert_eq!((&hello["event"], &hello["sni"], &hello["framing"]), (&json!("hello"), &json!("dtls.example.test"), &json!("dtls")));
        assert_eq!(hello["alpn"], json!(alpn.split(',').collect::<Vec<_>>()));
        assert!(packets.contains(&hello["packets"].as_u64().unwrap()), "{hello}");
        assert!(hello["ja4"].as_str().unwrap().starts_with("dd2d"), "{hello}");
        assert!(done.stderr.contains("alert handshake failure"), "{}", done.stderr);
    }
}

#[test]
fn gnutls_is_shown() {
    let (hello, _) = peek(&["timeout", "3", "gnutls-cli", "--udp", "--sni-hostname", "dtls.example.test", "-p", "{port}", "127.0.0.1"]);
    assert_eq!((&hello["sni"], &hello["framing"]), (&json!("dtls.example.test"), &json!("dtls")));
}

#[test]
fn chromium_is_shown_with_its_post_quantum_hello_in_two_packets_and_gives_up_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let profile = format!("--user-data-dir={}", folder.path().display());
    let command = [
        "timeout",
        "60",
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &profile,
        "--origin-to-force-quic-on=quic.example.test:{port}",
        "--host-resolver-rules=MAP quic.example.test 127.0.0.1",
        "--dump-dom",
        "https://quic.example.test:{port}/",
    ];
    let done = run(&[&["--json", "--quiet", "sni-peek", "--udp", "127.0.0.1:0", "--"], &command[..]].concat());
    // It may try again with another connection.
    let hello: Value = done.stdout.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!((&hello["event"], &hello["sni"], &hello["framing"]), (&json!("hello"), &json!("quic.example.test"), &json!("quic")));
    assert_eq!(
        (&hello["alpn"], &hello["versions"], &hello["framing_version"]),
        (&json!(["h3"]), &json!(["TLSv1.3"]), &json!("0x00000001"))
    );
    assert!(hello["packets"].as_u64().unwrap() >= 2 && hello["ja4"].as_str().unwrap().starts_with("q13d"), "{hello}");
    assert!(done.stderr.contains("ERR_QUIC_PROTOCOL_ERROR"), "{}", done.stderr);
}
