//! What a hello says, in the form in which it is shown: each fact once, whatever shows it.

use super::decoded::{self, Decoded};
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use tapline::{
    hello::{self, ClientHello, Framing, Ja3, Ja4, Malformed, Node, Value, names},
    text::hex,
};

/// A number of a registry, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Code {
    pub code: u16,
    pub name: Option<Cow<'static, str>>,
}

/// A key that a client sends along for a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyShare {
    #[serde(flatten)]
    pub group: Code,
    /// Bytes of the key.
    pub length: usize,
}

/// An extension, in the client's order.
#[derive(Serialize)]
pub struct Extension {
    #[serde(flatten)]
    pub code: Code,
    pub length: usize,
    pub grease: bool,
    pub decoded: Decoded,
}

/// Everything about a hello but how it was met.
#[derive(Serialize)]
pub struct Facts {
    pub sni: Option<String>,
    pub alpn: Vec<String>,
    pub versions: Vec<String>,
    pub ciphers: usize,
    pub extensions: usize,
    pub size: usize,
    pub records: usize,
    pub framing: &'static str,
    pub framing_version: Option<String>,
    /// The highest of `versions`.
    pub version: Option<String>,
    pub legacy_version: String,
    pub random: String,
    pub session_id: String,
    pub cipher_suites: Vec<Code>,
    pub compression_methods: Vec<Code>,
    pub extension_list: Vec<Extension>,
    pub groups: Vec<Code>,
    pub key_shares: Vec<KeyShare>,
    pub signature_algorithms: Vec<Code>,
    /// The names of its groups that resist quantum computers.
    pub pq: Vec<Cow<'static, str>>,
    /// The encrypted_client_hello extension. Whether it is GREASE or real nobody can tell but the server that has the key.
    pub ech: Option<Decoded>,
    pub grease: bool,
    #[serde(serialize_with = "faults")]
    pub faults: Vec<Malformed>,
    pub ja3: String,
    pub ja3_text: String,
    pub ja3n: String,
    pub ja4: String,
    pub ja4_r: String,
    pub ja4_o: String,
    pub ja4_ro: String,
}

const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const KEY_SHARE: u16 = 51;
const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;

impl Facts {
    pub fn of(hello: &ClientHello) -> Self {
        let cipher_suites: Vec<_> = hello.cipher_suites.iter().map(|code| Code::new(*code, names::cipher_suite)).collect();
        let compression = hello.compression_methods().iter();
        let extension_list = extensions(hello);
        let find =
            |code| extension_list.iter().find(|extension| extension.code.code == code).map(|extension| extension.decoded.0.as_slice());
        let codes = |extension| decoded::items(find(extension).unwrap_or_default()).iter().filter_map(code).collect::<Vec<_>>();
        let groups = codes(SUPPORTED_GROUPS);
        let (ja3, Ja3 { hash: ja3n, .. }) = (hello::ja3(hello), hello::ja3n(hello));
        let Ja4 { ja4, ja4_r, ja4_o, ja4_ro } = hello::ja4(hello);
        let (framing, framing_version) = framing(&hello.came);
        Self {
            sni: hello.name.text(),
            alpn: hello.alpn_text(),
            versions: hello.version_text(),
            ciphers: hello.ciphers(),
            extensions: hello.extensions.len(),
            size: hello.size(),
            records: hello.records(),
            framing,
            framing_version,
            version: hello.highest_version(),
            legacy_version: names::version_text(hello.legacy_version),
            random: hex(hello.random()),
            session_id: hex(hello.session_id()),
            grease: cipher_suites.iter().chain(extension_list.iter().map(|extension| &extension.code)).any(Code::is_grease),
            compression_methods: compression.map(|method| Code::new((*method).into(), names::compression_method)).collect(),
            key_shares: decoded::items(find(KEY_SHARE).unwrap_or_default()).iter().filter_map(key_share).collect(),
            signature_algorithms: codes(SIGNATURE_ALGORITHMS),
            pq: groups.iter().filter(|group| names::is_post_quantum(group.code)).map(Code::text).collect(),
            ech: find(ENCRYPTED_CLIENT_HELLO).map(|nodes| Decoded(nodes.to_vec())),
            faults: hello.faults.clone(),
            ja3: ja3.hash,
            ja3_text: ja3.text,
            cipher_suites,
            extension_list,
            groups,
            ja3n,
            ja4,
            ja4_r,
            ja4_o,
            ja4_ro,
        }
    }
}

impl Code {
    fn new<N: From<u16>>(code: u16, name: impl FnOnce(N) -> Option<Cow<'static, str>>) -> Self {
        Self { code, name: name(code.into()) }
    }

    pub fn is_grease(&self) -> bool {
        hello::is_grease(self.code)
    }

    /// The name, or the number where it has none.
    pub fn text(&self) -> Cow<'static, str> {
        self.name.clone().unwrap_or_else(|| format!("0x{:04x}", self.code).into())
    }
}

fn framing(came: &Framing) -> (&'static str, Option<String>) {
    match came {
        Framing::Records { records, .. } => ("records", records.first().map(|record| names::version_text(record.version))),
        Framing::Bare => ("bare", None),
        Framing::Ssl2 => ("ssl2", None),
        Framing::Quic { version, .. } => ("quic", Some(format!("0x{version:08x}"))),
        Framing::Dtls { version, .. } => ("dtls", Some(names::version_text(*version))),
    }
}

/// The extensions of the hello, each with what is known of its data.
fn extensions(hello: &ClientHello) -> Vec<Extension> {
    let anatomy = hello::anatomy(hello);
    let nodes = anatomy.iter().find_map(|node| find(node, "extensions")).map(Node::children).unwrap_or_default();
    let extension = |(extension, node): (&hello::Extension, &Node)| {
        let code = Code::new(extension.code, names::extension);
        let data = node.children().iter().find(|node| node.name == "extension_data");
        let decoded = Decoded(data.map_or(&[][..], Node::children).to_vec());
        Extension { grease: code.is_grease(), code, length: extension.length, decoded }
    };
    hello.extensions.iter().zip(nodes).map(extension).collect()
}

fn find<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    if node.name == name { Some(node) } else { node.children().iter().find_map(|node| find(node, name)) }
}

fn code(node: &Node) -> Option<Code> {
    let (code, name) = decoded::code(node)?;
    Some(Code { code: u16::try_from(code).ok()?, name: name.map(|name| name.to_owned().into()) })
}

fn key_share(node: &Node) -> Option<KeyShare> {
    let key = node.children().iter().find_map(|node| if let Value::Opaque(key) = &node.value { Some(key.len()) } else { None });
    Some(KeyShare { group: code(node)?, length: key? })
}

fn faults<S: Serializer>(all: &[Malformed], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(all.iter().map(|fault| serde_json::json!({ "offset": fault.offset, "what": fault.what })))
}
