//! In which form hellos are shown.

use crate::{
    support::*,
    tls::{hello_with_name, in_records},
};
use serde_json::{Value, json};

const CURL: &str = "tests/data/curl-openssl3.bin";
const TLS12: &str = "tests/data/s_client-tls12.bin";

fn peek(args: &[&str], input: &[u8]) -> String {
    let run = finish_fed(program().args(["sni-peek", "-"]).args(args), input);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}");
    run.stdout
}

fn json_of(input: &[u8]) -> Value {
    serde_json::from_str(&peek(&["--json"], input)).unwrap()
}

#[test]
fn json_holds_everything() {
    let hello = json_of(&std::fs::read(CURL).unwrap());
    for (key, value) in [
        ("legacy_version", json!("TLSv1.2")),
        ("version", json!("TLSv1.3")),
        ("framing_version", json!("TLSv1.0")),
        ("compression_methods", json!([{ "code": 0, "name": "null" }])),
        ("pq", json!([])),
        ("ech", Value::Null),
        ("grease", json!(false)),
        ("faults", json!([])),
        ("ja3", json!("0149f47eabf9a20d0893e2a44e5a6323")),
        ("ja3n", json!("22441e3edb4a151c17462a438c7a10a5")),
    ] {
        assert_eq!(hello[key], value, "{key}");
    }
    assert_eq!(hello["cipher_suites"][0], json!({ "code": 0x1302, "name": "TLS_AES_256_GCM_SHA384" }));
    assert_eq!(hello["cipher_suites"].as_array().unwrap().len(), 31);
    assert_eq!(hello["key_shares"], json!([{ "code": 29, "name": "x25519", "length": 32 }]));
    assert_eq!(hello["groups"][0], json!({ "code": 29, "name": "x25519" }));
    assert_eq!(hello["signature_algorithms"][0], json!({ "code": 0x0403, "name": "ecdsa_secp256r1_sha256" }));
    let extensions = hello["extension_list"].as_array().unwrap();
    assert_eq!(extensions.len(), 12);
    let name = json!({ "server_name_list": [{ "name_type": { "code": 0, "name": "host_name" }, "host_name": "www.example.test" }] });
    assert_eq!(extensions[0], json!({ "code": 0, "name": "server_name", "length": 21, "grease": false, "decoded": name }));
    assert_eq!((hello["random"].as_str().unwrap().len(), hello["session_id"].as_str().unwrap().len()), (64, 64));
}

#[test]
fn a_browsers_hello_says_what_is_rare_without_a_guess() {
    let chromium = std::fs::read("tests/data/chromium-156.bin").unwrap();
    let line = peek(&[], &chromium);
    assert!(line.ends_with(" ja4=t13d1517h2_8daaf6152771_cb7bf5808d99 pq=X25519MLKEM768 ech=offered\n"), "{line}");
    let hello = json_of(&chromium);
    assert_eq!((&hello["pq"], &hello["grease"]), (&json!(["X25519MLKEM768"]), &true.into()));
    let suite = json!({ "kdf_id": { "code": 1, "name": "HKDF-SHA256" }, "aead_id": { "code": 1, "name": "AES-128-GCM" } });
    assert_eq!((&hello["ech"]["type"]["name"], &hello["ech"]["cipher_suite"]), (&"outer".into(), &suite));
    assert_eq!((hello["cipher_suites"][0]["name"].as_str(), &hello["ciphers"]), (Some("GREASE"), &15.into()));
    let share = json!({ "code": 0x11ec, "name": "X25519MLKEM768", "length": 1216 });
    assert_eq!(hello["key_shares"][1], share);
    assert!(peek(&["--detail"], &chromium).contains("GREASE or real cannot be told"));
    assert_eq!(peek(&["--fields", "ech,pq"], &chromium), "offered\tX25519MLKEM768\n");
    // Each explanation once.
    assert_eq!(peek(&["--anatomy"], &chromium).matches("- GREASE: ").count(), 1);
}

#[test]
fn fields_are_columns_in_the_order_in_which_they_are_asked_for() {
    let curl = std::fs::read(CURL).unwrap();
    assert_eq!(
        peek(&["--fields", "ja4,sni,alpn,client"], &curl),
        "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6\twww.example.test\th2,http/1.1\t\n"
    );
    let shown = peek(&["--fields", "version,legacy_version,size,records,packets,faults,ja3"], &curl);
    assert_eq!(shown, "TLSv1.3\tTLSv1.2\t517\t1\t\t\t0149f47eabf9a20d0893e2a44e5a6323\n");
    assert!(peek(&["--fields", "extensions"], &curl).starts_with("0000,000b,000a,0010,"));
}

#[test]
fn fields_hold_no_tab_line_or_control_character_of_a_client() {
    let shown = peek(&["--fields", "sni,size"], &hello_with_name(b"a\tb\nc\x1b[2J"));
    assert_eq!(shown, format!("a\\tb\\nc\\u{{1b}}[2J\t{}\n", hello_with_name(b"a\tb\nc\x1b[2J").len()));
}

#[test]
fn what_has_no_columns_is_told_on_stderr() {
    let run = finish_fed(program().args(["sni-peek", "-", "--fields", "sni"]), &hello_with_name(b"a.test")[..40]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert_eq!(run.stderr, "note: -: bad hello: no end of the hello at byte 40\n");
}

#[test]
fn every_field_of_the_help_is_there_and_no_other() {
    let help = run(&["sni-peek", "--help"]).stdout;
    let listed = help.split("none with names: ").nth(1).unwrap().split(". Lists have commas").next().unwrap();
    let listed: Vec<_> = listed.split(',').map(|name| name.split(" (").next().unwrap().trim()).collect();
    let refusal = run(&["sni-peek", CURL, "--fields", "nonsense"]).stderr;
    let possible = refusal.split("[possible values: ").nth(1).unwrap().split(']').next().unwrap();
    assert_eq!(listed, possible.split(", ").collect::<Vec<_>>());
    let all = peek(&["--fields", &listed.join(",")], &std::fs::read(CURL).unwrap());
    assert_eq!(all.trim_end_matches('\n').split('\t').count(), listed.len());
}

#[test]
fn detail_shows_facts_and_extensions() {
    let shown = peek(&["--detail"], &std::fs::read(CURL).unwrap());
    for (name, value) in [
        ("came in", "517 bytes, records: 1 of TLSv1.0"),
        ("server name", "www.example.test"),
        ("ALPN", "h2, http/1.1"),
        ("key shares", "x25519 (32 bytes)"),
        ("JA4", "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6"),
    ] {
        let row =
            shown.lines().find(|line| line.trim_start().starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}: {shown}"));
        assert!(row.ends_with(&format!("  {value}")), "{row}");
    }
    assert!(shown.lines().any(|line| line.starts_with(" 0x002b  supported_versions ")), "{shown}");
}

/// Offset and bytes on the left of each line of an anatomy, with what is elided as a count.
fn left(shown: &str) -> Vec<(Option<usize>, Vec<u8>, usize)> {
    let row = |line: &str| {
        let left = line.get(..30).unwrap_or(line);
        if let Some(count) = left.strip_prefix("      ... ") {
            return (None, Vec::new(), count.split(' ').next().unwrap().parse().unwrap());
        }
        let mut words = left.split_whitespace();
        let offset = words.next().and_then(|word| usize::from_str_radix(word, 16).ok());
        (offset, words.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect(), 0)
    };
    shown.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_hexdigit()) || line.starts_with("      ...")).map(row).collect()
}

#[test]
fn an_anatomy_accounts_for_every_byte_at_its_place() {
    let curl = std::fs::read(CURL).unwrap();
    let chromium = std::fs::read("tests/data/chromium-156.bin").unwrap();
    for bytes in
        [chromium, curl.clone(), in_records(&curl, 100), in_records(&curl, 7), in_records(&curl, 1), hello_with_name(b"a\x1b.test")]
    {
        let shown = peek(&["--anatomy"], &bytes);
        let (line, walk) = shown.split_once('\n').unwrap();
        assert!(line.starts_with("-: sni="), "{line}");
        let (mut counted, mut elided) = (vec![false; bytes.len()], 0);
        for (offset, row, more) in left(walk) {
            elided += more;
            for (at, byte) in (offset.unwrap_or_default()..).zip(row) {
                assert_eq!(bytes[at], byte, "at {at:04x}\n{walk}");
                assert!(!std::mem::replace(&mut counted[at], true), "twice: {at:04x}\n{walk}");
            }
        }
        assert_eq!(counted.iter().filter(|counted| !**counted).count(), elided, "{walk}");
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        let longest = walk.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= 100, "{longest}: {walk}");
    }
}

#[test]
fn a_text_beyond_all_bounds_is_cut_in_an_anatomy() {
    let shown = peek(&["--anatomy"], &hello_with_name(&[b'a'; 9000]));
    let longest = shown.lines().skip(1).flat_map(|line| line.split('"')).map(|part| part.trim_start_matches(' ').len()).max();
    assert_eq!(longest, Some(255), "{shown}");
    assert!(shown.contains("of 9000 bytes"), "{shown}");
}

#[test]
fn an_anatomy_names_each_field() {
    let shown = peek(&["--anatomy"], &hello_with_name(b"a.test"));
    for line in [
        "0000  16                         type: 0x16 handshake",
        "002e  13 01                          cipher_suite: 0x1301 TLS_AES_128_GCM_SHA256",
        "003d  61 2e 74 65 73 74                      host_name: \"a.test\"",
    ] {
        assert!(shown.lines().any(|shown| shown.trim_start() == line), "{line}\n{shown}");
    }
}

fn diff(args: &[&str]) -> Finished {
    run(&[&["sni-peek", "--diff"], args].concat())
}

#[test]
fn a_diff_says_what_makes_fingerprints_differ() {
    let run = diff(&[CURL, TLS12]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{run:?}");
    for line in [
        "versions: -TLSv1.3 -TLSv1.1 -TLSv1.0",
        "ALPN: -http/1.1",
        "cipher suites: -TLS_AES_256_GCM_SHA384 -TLS_CHACHA20_POLY1305_SHA256 -TLS_AES_128_GCM_SHA256",
        "session id: -32 bytes +0 bytes",
    ] {
        assert!(run.stdout.lines().any(|shown| shown == line), "{line}\n{}", run.stdout);
    }
    let row = run.stdout.lines().find(|line| line.starts_with(" JA4_b ")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["JA4_b", "e8f1e7e78f70", "d943125447b4", "cipher", "suites"]);

    let run = diff(&["--json", CURL, TLS12]);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&told["event"], &told["same"], &told["a"]["file"]), (&"diff".into(), &false.into(), &CURL.into()));
    assert_eq!(told["fingerprints"][0]["because_of"], json!(["versions", "cipher suites", "extensions"]));
    assert_eq!(run.code, Some(1));
}

#[test]
fn the_same_client_differs_in_nothing_and_two_hellos_of_a_file_are_compared() {
    let run = diff(&[CURL, CURL]);
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.contains("\nthe same: transport, legacy version, versions, server name, ALPN, "), "{}", run.stdout);
    let both = [hello_with_name(b"a.test"), hello_with_name(b"b.test")].concat();
    let run = finish_fed(program().args(["sni-peek", "--diff", "-"]), &both);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("\nserver name: -a.test +b.test\n"), "{}", run.stdout);
    let run = finish_fed(program().args(["sni-peek", "--diff", "-"]), &both[..both.len() / 2]);
    assert_eq!(run.stderr, "tapline: cannot compare -: it has 1 of the 2 ClientHellos that are needed\n");
    assert_eq!(run.code, Some(3));
    let run = finish_fed(program().args(["sni-peek", "--diff", "-", CURL]), &both[..40]);
    let why = "note: -: bad hello: no end of the hello at byte 40\ntapline: cannot compare -: it has no ClientHello that can be read\n";
    assert_eq!((run.code, run.stderr.as_str()), (Some(3), why));
}
