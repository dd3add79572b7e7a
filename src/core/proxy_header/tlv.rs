//! Type, length, value: what version 2 tells besides the addresses (specification section 2.2).

use super::Malformed;

pub(super) const ALPN: u8 = 0x01;
pub(super) const AUTHORITY: u8 = 0x02;
pub(super) const CRC32C: u8 = 0x03;
const NOOP: u8 = 0x04;
pub(super) const UNIQUE_ID: u8 = 0x05;
pub(super) const SSL: u8 = 0x20;
pub(super) const NETNS: u8 = 0x30;

pub(super) const SSL_VERSION: u8 = 0x21;
pub(super) const SSL_COMMON_NAME: u8 = 0x22;
pub(super) const SSL_CIPHER: u8 = 0x23;
pub(super) const SSL_SIGNATURE_ALGORITHM: u8 = 0x24;
pub(super) const SSL_KEY_ALGORITHM: u8 = 0x25;
pub(super) const SSL_GROUP: u8 = 0x26;
pub(super) const SSL_SIGNATURE_SCHEME: u8 = 0x27;
pub(super) const SSL_CLIENT_CERT: u8 = 0x28;

/// The most bytes of a unique id, specification section 2.2.5.
pub(super) const LONGEST_UNIQUE_ID: usize = 128;

/// What is told of a client besides its addresses. Untrusted as far as whoever told it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs {
    /// The protocol that is spoken over the connection, as ALPN names it (RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// The host that the client asked for; over TLS the server name, as it was sent.
    pub authority: Option<String>,
    /// A name for the connection that all who handle it can use, at most 128 bytes.
    pub unique_id: Option<Vec<u8>>,
    /// How the client spoke TLS.
    pub ssl: Option<Ssl>,
    /// The network namespace that the client came in by, ASCII.
    pub netns: Option<String>,
    /// Types that are not among these, with their values as they are.
    pub others: Vec<(u8, Vec<u8>)>,
}

/// What is told of a client's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssl {
    /// Bits: 1 for TLS, 2 for a certificate on this connection, 4 for one in this session.
    pub client: u8,
    /// 0 where the client has shown a certificate and it is good.
    pub verify: u32,
    /// Such as `TLSv1.3`.
    pub version: Option<String>,
    /// The common name in the client's certificate.
    pub common_name: Option<String>,
    /// The cipher as OpenSSL names it.
    pub cipher: Option<String>,
    /// By what the server's certificate is signed.
    pub signature_algorithm: Option<String>,
    /// The kind of the server's key.
    pub key_algorithm: Option<String>,
    /// The group of the key exchange.
    pub group: Option<String>,
    /// By what the handshake was signed.
    pub signature_scheme: Option<String>,
    /// The client's certificate, DER.
    pub client_cert: Option<Vec<u8>>,
    /// Types that are not among these, with their values as they are.
    pub others: Vec<(u8, Vec<u8>)>,
}

impl Ssl {
    /// Whether the client spoke TLS at all.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.client & 1 != 0
    }

    /// Whether the client has shown a certificate, now or earlier in its session, and it is good.
    #[must_use]
    pub fn has_good_cert(&self) -> bool {
        // Some senders leave `verify` at 0 where there is no certificate.
        self.client & 6 != 0 && self.verify == 0
    }
}

/// One TLV.
struct Tile<'a> {
    kind: u8,
    /// Offset of its type in the header.
    at: usize,
    value: &'a [u8],
}

impl Tile<'_> {
    fn wrong(&self, why: &'static str) -> Malformed {
        Malformed::Value { kind: self.kind, offset: self.at, why }
    }

    /// A second value would leave it open which of the two counts.
    fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<(), Malformed> {
        if place.is_some() {
            return Err(self.wrong("is there twice"));
        }
        *place = Some(value);
        Ok(())
    }

    fn text(&self) -> Result<String, Malformed> {
        str::from_utf8(self.value).map(str::to_owned).map_err(|_| self.wrong("is not UTF-8"))
    }
}

/// The TLVs of a block that begins at byte `at` of the header; they fill it exactly.
fn tiles(block: &[u8], at: usize) -> impl Iterator<Item = Result<Tile<'_>, Malformed>> {
    let (mut rest, mut at) = (block, at);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(([kind, high, low], after)) = rest.split_first_chunk() else {
            return Some(Err(Malformed::Tail { bytes: std::mem::take(&mut rest).len(), offset: at }));
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, left)) = after.split_at_checked(length) else {
            rest = &[];
            return Some(Err(Malformed::Overrun { kind: *kind, offset: at, length, left: after.len() }));
        };
        let tile = Tile { kind: *kind, at, value };
        (rest, at) = (left, at + 3 + length);
        Some(Ok(tile))
    })
}

/// The TLVs, and the checksum with its offset in the header, where there is one.
pub(super) fn parse(block: &[u8], at: usize) -> Result<(Tlvs, Option<(usize, u32)>), Malformed> {
    let (mut tlvs, mut checksum) = (Tlvs::default(), None);
    for tile in tiles(block, at) {
        let tile = tile?;
        match tile.kind {
            ALPN => tile.once(&mut tlvs.alpn, tile.value.to_vec())?,
            AUTHORITY => tile.once(&mut tlvs.authority, tile.text()?)?,
            CRC32C => {
                let value = tile.value.try_into().map_err(|_| tile.wrong("has not the 4 bytes of a CRC32C"))?;
                tile.once(&mut checksum, (tile.at + 3, u32::from_be_bytes(value)))?;
            }
            NOOP => {}
            UNIQUE_ID if tile.value.len() > LONGEST_UNIQUE_ID => return Err(tile.wrong("is longer than 128 bytes")),
            UNIQUE_ID => tile.once(&mut tlvs.unique_id, tile.value.to_vec())?,
            SSL => tile.once(&mut tlvs.ssl, ssl(&tile)?)?,
            NETNS if !tile.value.is_ascii() => return Err(tile.wrong("is not ASCII")),
            NETNS => tile.once(&mut tlvs.netns, tile.text()?)?,
            other => tlvs.others.push((other, tile.value.to_vec())),
        }
    }
    Ok((tlvs, checksum))
}

fn ssl(tile: &Tile<'_>) -> Result<Ssl, Malformed> {
    let Some(([client, verify @ ..], block)) = tile.value.split_first_chunk::<5>() else {
        return Err(tile.wrong("has fewer than 5 bytes"));
    };
    let mut ssl = Ssl { client: *client, verify: u32::from_be_bytes(*verify), ..Ssl::default() };
    for tile in tiles(block, tile.at + 3 + 5) {
        let tile = tile?;
        match tile.kind {
            SSL_VERSION => tile.once(&mut ssl.version, tile.text()?)?,
            SSL_COMMON_NAME => tile.once(&mut ssl.common_name, tile.text()?)?,
            SSL_CIPHER => tile.once(&mut ssl.cipher, tile.text()?)?,
            SSL_SIGNATURE_ALGORITHM => tile.once(&mut ssl.signature_algorithm, tile.text()?)?,
            SSL_KEY_ALGORITHM => tile.once(&mut ssl.key_algorithm, tile.text()?)?,
            SSL_GROUP => tile.once(&mut ssl.group, tile.text()?)?,
            SSL_SIGNATURE_SCHEME => tile.once(&mut ssl.signature_scheme, tile.text()?)?,
            SSL_CLIENT_CERT => tile.once(&mut ssl.client_cert, tile.value.to_vec())?,
            other => ssl.others.push((other, tile.value.to_vec())),
        }
    }
    Ok(ssl)
}
