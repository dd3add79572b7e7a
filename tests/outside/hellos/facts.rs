//! What a hello says, as tapline and as tshark tell it, in one form in which the two can be compared.

use crate::support::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Numbers are those of the wire, in its order, GREASE included.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Facts {
    pub random: String,
    pub session_id: String,
    /// Empty where there is none.
    pub name: String,
    pub alpn: Vec<String>,
    pub legacy_version: u64,
    pub cipher_suites: Vec<u64>,
    pub compression_methods: Vec<u64>,
    /// Each with its length.
    pub extensions: Vec<(u64, u64)>,
    pub groups: Vec<u64>,
    /// Each group with the length of its key.
    pub key_shares: Vec<(u64, u64)>,
    pub versions: Vec<u64>,
    pub signature_algorithms: Vec<u64>,
    pub point_formats: Vec<u64>,
    pub ja3: String,
    pub ja3_text: String,
    /// `ja4`, `ja4_r`, `ja4_o`, `ja4_ro`.
    pub ja4: [String; 4],
}

const SERVER_NAME: u64 = 0;
const POINT_FORMATS: u64 = 11;
const SIGNATURE_ALGORITHMS: u64 = 13;
const ALPN: u64 = 16;
const DELEGATED_CREDENTIAL: u64 = 34;
const VERSIONS: u64 = 43;
const SIGNATURE_ALGORITHMS_CERT: u64 = 50;

/// What tapline says of a hello in JSON.
pub fn ours(hello: &Value) -> Facts {
    let text = |key: &str| hello[key].as_str().unwrap_or_default().to_owned();
    let numbers = |list: &Value, key: &str| list.as_array().into_iter().flatten().map(|one| one[key].as_u64().unwrap()).collect();
    let pairs = |list: &Value| {
        list.as_array().unwrap().iter().map(|one| (one["code"].as_u64().unwrap(), one["length"].as_u64().unwrap())).collect()
    };
    let decoded = |code: u64, key: &str| {
        let extensions = hello["extension_list"].as_array().unwrap();
        let extension = extensions.iter().find(|extension| extension["code"] == code);
        extension.map(|extension| numbers(&extension["decoded"][key], "code")).unwrap_or_default()
    };
    Facts {
        random: text("random"),
        session_id: text("session_id"),
        name: text("sni"),
        alpn: hello["alpn"].as_array().unwrap().iter().map(|protocol| protocol.as_str().unwrap().to_owned()).collect(),
        legacy_version: match &*text("legacy_version") {
            "TLSv1.2" => 0x0303,
            "DTLSv1.2" => 0xfefd,
            other => panic!("{other}"),
        },
        cipher_suites: numbers(&hello["cipher_suites"], "code"),
        compression_methods: numbers(&hello["compression_methods"], "code"),
        extensions: pairs(&hello["extension_list"]),
        groups: numbers(&hello["groups"], "code"),
        key_shares: pairs(&hello["key_shares"]),
        versions: decoded(VERSIONS, "versions"),
        signature_algorithms: numbers(&hello["signature_algorithms"], "code"),
        point_formats: decoded(POINT_FORMATS, "ec_point_format_list"),
        ja3: text("ja3"),
        ja3_text: text("ja3_text"),
        ja4: ["ja4", "ja4_r", "ja4_o", "ja4_ro"].map(text),
    }
}

const FIELDS: [&str; 19] = [
    "random",
    "session_id",
    "extensions_server_name",
    "extensions_alpn_str",
    "version",
    "ciphersuite",
    "comp_method",
    "extension.type",
    "extension.len",
    "extensions_supported_group",
    "extensions_key_share_group",
    "extensions_key_share_key_exchange_length",
    "extensions.supported_version",
    "sig_hash_alg_len",
    "sig_hash_alg",
    "extensions_ec_point_format",
    "ja3",
    "ja3_full",
    "type",
];

/// What tshark says of all hellos of a capture in which this port speaks `protocol`: "tls", "quic" or "dtls".
pub fn theirs(file: &Path, port: u16, protocol: &str) -> Vec<Facts> {
    // What comes in QUIC is TLS all the same.
    let (layer, letter) = match protocol {
        "tls" => ("tcp", 't'),
        "quic" => ("udp", 'q'),
        _ => ("udp", 'd'),
    };
    let prefix = if protocol == "dtls" { "dtls" } else { "tls" };
    let mut command = outside("tshark");
    command.arg("-r").arg(file).args(["-d", &format!("{layer}.port=={port},{protocol}")]);
    command.args(["-Y", &format!("{prefix}.handshake.type == 1"), "-T", "fields"]);
    for field in FIELDS {
        command.args(["-e", &format!("{prefix}.handshake.{field}")]);
    }
    let done = finish(&mut command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout.lines().map(|line| dissected(line, letter)).collect()
}

fn dissected(line: &str, letter: char) -> Facts {
    let columns: Vec<&str> = line.split('\t').collect();
    let text = |field: &str| columns[FIELDS.iter().position(|known| *known == field).unwrap()].to_owned();
    let list = |field: &str| text(field).split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let numbers = |field: &str| list(field).iter().map(|value| number(value)).collect::<Vec<_>>();
    assert_eq!(numbers("type"), [1], "one hello in a frame");
    let types = numbers("extension.type");
    // tshark has one field for three extensions; its lengths, in bytes, tell whose which are.
    let (mut all, mut signature_algorithms) = (numbers("sig_hash_alg"), Vec::new());
    let with_them = types.iter().filter(|code| [SIGNATURE_ALGORITHMS, DELEGATED_CREDENTIAL, SIGNATURE_ALGORITHMS_CERT].contains(code));
    for (code, length) in with_them.zip(numbers("sig_hash_alg_len")) {
        let here: Vec<_> = all.drain(..length as usize / 2).collect();
        if *code == SIGNATURE_ALGORITHMS {
            signature_algorithms = here;
        }
    }
    assert_eq!(all, [0; 0], "all of them belong to an extension");
    let mut facts = Facts {
        random: text("random"),
        session_id: text("session_id"),
        name: text("extensions_server_name"),
        alpn: list("extensions_alpn_str"),
        legacy_version: number(&text("version")),
        cipher_suites: numbers("ciphersuite"),
        compression_methods: numbers("comp_method"),
        extensions: types.into_iter().zip(numbers("extension.len")).collect(),
        groups: numbers("extensions_supported_group"),
        key_shares: numbers("extensions_key_share_group").into_iter().zip(numbers("extensions_key_share_key_exchange_length")).collect(),
        versions: numbers("extensions.supported_version"),
        signature_algorithms,
        point_formats: numbers("extensions_ec_point_format"),
        ja3: text("ja3"),
        ja3_text: text("ja3_full"),
        ja4: Default::default(),
    };
    facts.ja4 = ja4(letter, &facts);
    facts
}

fn number(text: &str) -> u64 {
    text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16)).unwrap()
}

/// JA4, which this tshark may not know, from what it says, for protocols of ALPN that are letters and digits at their ends.
fn ja4(letter: char, facts: &Facts) -> [String; 4] {
    let real = |values: Vec<u64>| -> Vec<u64> {
        values.into_iter().filter(|value| value & 0x0f0f != 0x0a0a || value >> 8 != value & 0xff).collect()
    };
    let version = match real(facts.versions.clone()).into_iter().max().unwrap_or(facts.legacy_version) {
        0x0304 => "13",
        0x0303 => "12",
        0xfefd => "d2",
        other => panic!("{other:#06x}"),
    };
    let ciphers = real(facts.cipher_suites.clone());
    let extensions = real(facts.extensions.iter().map(|(code, _)| *code).collect());
    let name = if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
    let alpn = facts.alpn.first().map_or("00".into(), |protocol| format!("{}{}", &protocol[..1], &protocol[protocol.len() - 1..]));
    let start = format!("{letter}{version}{name}{:02}{:02}{alpn}", ciphers.len(), extensions.len());
    let hex = |values: &[u64]| values.iter().map(|value| format!("{value:04x}")).collect::<Vec<_>>().join(",");
    let sorted = |mut values: Vec<u64>| {
        values.sort_unstable();
        values
    };
    let signatures = match hex(&real(facts.signature_algorithms.clone())) {
        none if none.is_empty() => none,
        some => format!("_{some}"),
    };
    let with_hashes = |ciphers: &str, rest: &str| {
        // Twelve digits.
        let hash = |text: &str| Sha256::digest(text)[..6].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        format!("{start}_{}_{}", hash(ciphers), hash(rest))
    };
    let kept = extensions.iter().copied().filter(|code| ![SERVER_NAME, ALPN].contains(code)).collect();
    let (sorted_ciphers, sorted_rest) = (hex(&sorted(ciphers.clone())), hex(&sorted(kept)) + &signatures);
    let (ciphers, rest) = (hex(&ciphers), hex(&extensions) + &signatures);
    [
        with_hashes(&sorted_ciphers, &sorted_rest),
        format!("{start}_{sorted_ciphers}_{sorted_rest}"),
        with_hashes(&ciphers, &rest),
        format!("{start}_{ciphers}_{rest}"),
    ]
}
