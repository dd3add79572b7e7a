//! `--detail`: the facts of a hello and its extensions in two tables.

use super::{
    decoded::{self, bytes},
    facts::{Code, Facts},
    origin::Origin,
};
use crate::report::{self, Look, safe};
use comfy_table::{Cell, Table};
use std::borrow::Cow;

/// Both tables, with a line between them and after them.
pub fn detail(facts: &Facts, origin: &Origin, look: Look) -> String {
    let mut table = report::wide_table(look, &["fact", "value"]);
    for (fact, value) in rows(facts, origin) {
        table.add_row([Cell::new(fact), Cell::new(safe(&value))]);
    }
    report::text(&table) + "\n" + &report::text(&extensions(facts, look)) + "\n"
}

fn rows(facts: &Facts, origin: &Origin) -> Vec<(&'static str, String)> {
    let endpoint = |endpoint: &Option<tapline::addr::Endpoint>| endpoint.as_ref().map(ToString::to_string);
    let joined = |all: &[String]| all.join(", ");
    let names = |codes: &[Code]| codes.iter().map(Code::text).collect::<Vec<Cow<'_, str>>>().join(", ");
    let shares = facts.key_shares.iter().map(|share| format!("{} ({})", share.group.text(), bytes(share.length))).collect::<Vec<_>>();
    let came = match (facts.framing, &facts.framing_version) {
        ("records", version) => format!("{}, records: {} of {}", bytes(facts.size), facts.records, version.as_deref().unwrap_or("-")),
        ("bare", _) => format!("{}, a handshake message alone", bytes(facts.size)),
        (framing, version) => format!("{}, {} {}", bytes(facts.size), framing.to_uppercase(), version.as_deref().unwrap_or_default()),
    };
    let ech = facts.ech.as_ref().map(|_| "offered: GREASE or real cannot be told; if real, the server name is the public one".to_owned());
    let faults = facts.faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = [
        ("file", origin.file.clone()),
        ("time", origin.time.clone()),
        ("source", endpoint(&origin.source)),
        ("destination", endpoint(&origin.destination)),
        ("came in", Some(came)),
        ("packets", origin.packets.map(|packets| packets.to_string())),
        ("after", Some(joined(&origin.after()))),
        ("second", origin.second.then(|| "answers a HelloRetryRequest".to_owned())),
        ("server name", Some(facts.sni.clone().unwrap_or_else(|| "-".into()))),
        ("ALPN", Some(joined(&facts.alpn))),
        ("versions", Some(joined(&facts.versions))),
        ("legacy version", Some(facts.legacy_version.clone())),
        ("random", Some(facts.random.clone())),
        ("session id", Some(facts.session_id.clone())),
        ("cipher suites", Some(names(&facts.cipher_suites))),
        ("compression", Some(names(&facts.compression_methods))),
        ("groups", Some(names(&facts.groups))),
        ("key shares", Some(shares.join(", "))),
        ("signatures", Some(names(&facts.signature_algorithms))),
        ("post-quantum", Some(facts.pq.join(", "))),
        ("encrypted hello", ech),
        ("faults", Some(faults.join("; "))),
        ("JA3", Some(format!("{} = MD5 of {}", facts.ja3, facts.ja3_text))),
        ("JA3N", Some(facts.ja3n.clone())),
        ("JA4", Some(facts.ja4.clone())),
        ("JA4_r", Some(facts.ja4_r.clone())),
    ];
    all.into_iter().filter_map(|(fact, value)| Some((fact, value.filter(|value| !value.is_empty())?))).collect()
}

fn extensions(facts: &Facts, look: Look) -> Table {
    let mut table = report::wide_table(look, &["type", "extension", "bytes", "says"]);
    for extension in &facts.extension_list {
        let Code { code, .. } = extension.code;
        let name = extension.code.name.clone().unwrap_or_else(|| "?".into());
        let says = decoded::words(&extension.decoded.0);
        table.add_row([format!("0x{code:04x}"), safe(&name), extension.length.to_string(), safe(&says)].map(Cell::new));
    }
    table
}
