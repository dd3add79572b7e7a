//! `--fields`: what scripts want of a hello, in columns.

use super::{
    facts::{Code, Facts},
    origin::Origin,
};
use crate::report::{item, safe};
use clap::ValueEnum;
use tapline::addr::Endpoint;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Field {
    Client,
    Source,
    Destination,
    Transport,
    Time,
    File,
    Sni,
    Alpn,
    Version,
    Versions,
    LegacyVersion,
    Ciphers,
    CipherNames,
    Extensions,
    ExtensionNames,
    Groups,
    KeyShares,
    SignatureAlgorithms,
    Pq,
    Ech,
    Ja3,
    Ja3Text,
    Ja3n,
    Ja4,
    #[value(name = "ja4_r")]
    Ja4R,
    #[value(name = "ja4_o")]
    Ja4O,
    #[value(name = "ja4_ro")]
    Ja4Ro,
    Random,
    SessionId,
    Size,
    Records,
    Packets,
    Faults,
}

/// One line, without its end: columns with tabs between them, lists with commas, nothing for what is absent. What would break
/// a line or steer a terminal is escaped.
pub fn row(fields: &[Field], facts: &Facts, origin: &Origin) -> String {
    let columns: Vec<_> = fields.iter().map(|field| column(*field, facts, origin)).collect();
    columns.join("\t")
}

fn column(field: Field, facts: &Facts, origin: &Origin) -> String {
    let text = |text: &str| safe(text);
    let maybe = |text: &Option<String>| text.as_deref().map_or(String::new(), safe);
    let endpoint = |endpoint: &Option<Endpoint>| endpoint.as_ref().map_or(String::new(), |endpoint| safe(&endpoint.to_string()));
    match field {
        Field::Client => endpoint(&origin.client),
        Field::Source => endpoint(&origin.source),
        Field::Destination => endpoint(&origin.destination),
        Field::Transport => origin.transport.unwrap_or_default().to_owned(),
        Field::Time => maybe(&origin.time),
        Field::File => maybe(&origin.file),
        Field::Sni => maybe(&facts.sni),
        Field::Alpn => list(&facts.alpn),
        Field::Version => maybe(&facts.version),
        Field::Versions => list(&facts.versions),
        Field::LegacyVersion => text(&facts.legacy_version),
        Field::Ciphers => numbers(facts.cipher_suites.iter()),
        Field::CipherNames => names(facts.cipher_suites.iter()),
        Field::Extensions => numbers(facts.extension_list.iter().map(|extension| &extension.code)),
        Field::ExtensionNames => names(facts.extension_list.iter().map(|extension| &extension.code)),
        Field::Groups => names(facts.groups.iter()),
        Field::KeyShares => names(facts.key_shares.iter().map(|share| &share.group)),
        Field::SignatureAlgorithms => names(facts.signature_algorithms.iter()),
        Field::Pq => list(&facts.pq),
        Field::Ech => facts.ech.as_ref().map_or(String::new(), |_| "offered".into()),
        Field::Ja3 => text(&facts.ja3),
        Field::Ja3Text => text(&facts.ja3_text),
        Field::Ja3n => text(&facts.ja3n),
        Field::Ja4 => text(&facts.ja4),
        Field::Ja4R => text(&facts.ja4_r),
        Field::Ja4O => text(&facts.ja4_o),
        Field::Ja4Ro => text(&facts.ja4_ro),
        Field::Random => text(&facts.random),
        Field::SessionId => text(&facts.session_id),
        Field::Size => facts.size.to_string(),
        Field::Records => facts.records.to_string(),
        Field::Packets => origin.packets.map_or(String::new(), |packets| packets.to_string()),
        Field::Faults => list(&facts.faults.iter().map(ToString::to_string).collect::<Vec<_>>()),
    }
}

fn list(all: &[impl AsRef<str>]) -> String {
    let items: Vec<_> = all.iter().map(|text| item(text.as_ref(), &[','])).collect();
    items.join(",")
}

fn names<'a>(codes: impl Iterator<Item = &'a Code>) -> String {
    list(&codes.map(Code::text).collect::<Vec<_>>())
}

/// As registries and JA4 write them.
fn numbers<'a>(codes: impl Iterator<Item = &'a Code>) -> String {
    list(&codes.map(|code| format!("{:04x}", code.code)).collect::<Vec<_>>())
}
