//! Writing a header.

use super::{Announcement, Ends, LINE, SIGNATURE, Ssl, Tlvs, Version, tlv};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Version 2 with the command LOCAL, or PROXY.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// What does not fit into a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// More than the length field can say.
    #[error("a PROXY v2 header of {0} bytes, and the most is {most}", most = super::MOST)]
    Long(usize),
    /// More than a unique id may have.
    #[error("a unique id of {0} bytes, and the most is {most}", most = tlv::LONGEST_UNIQUE_ID)]
    UniqueId(usize),
}

/// Writes a header that tells of a client. Two IP addresses of different families are both written as IPv6. Version 2
/// always carries a CRC32C.
///
/// Without two IP addresses the header says so: UNKNOWN in version 1, LOCAL in version 2, which has no room for anything
/// else. UNSPEC and AF_UNIX would say more, but the specification lets a receiver reject the one and not know the other,
/// and haproxy (2.6) resets a connection that begins with either; LOCAL must be accepted.
///
/// # Errors
/// What is to be told does not fit; version 1 always does.
pub fn write(version: Version, announcement: &Announcement) -> Result<Vec<u8>, Unwritable> {
    match (version, announcement.ends.as_ref().and_then(in_one_family)) {
        (Version::V1, Some(addresses)) => Ok(line(addresses)),
        (Version::V1, None) => Ok([&LINE[..], b"UNKNOWN\r\n"].concat()),
        (Version::V2, Some(addresses)) => binary(addresses, &announcement.tlvs),
        (Version::V2, None) => Ok(local()),
    }
}

/// A header of version 2 that tells of nobody: the connection is the proxy's own. Health checks send it.
#[must_use]
pub fn local() -> Vec<u8> {
    [&SIGNATURE[..], &[LOCAL, 0, 0, 0]].concat()
}

/// Both addresses in the form in which they have the same family, where they are IP addresses.
fn in_one_family(ends: &Ends) -> Option<(SocketAddr, SocketAddr)> {
    let (source, destination) = (ends.source.socket_addr()?, ends.destination.socket_addr()?);
    let (a, b) = (source.ip().to_canonical(), destination.ip().to_canonical());
    let (a, b) = if a.is_ipv4() == b.is_ipv4() { (a, b) } else { (mapped(a).into(), mapped(b).into()) };
    Some((SocketAddr::new(a, source.port()), SocketAddr::new(b, destination.port())))
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn line((source, destination): (SocketAddr, SocketAddr)) -> Vec<u8> {
    let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let rest = format!("{protocol} {} {} {} {}\r\n", text(source.ip()), text(destination.ip()), source.port(), destination.port());
    [LINE, rest.as_bytes()].concat()
}

/// The specification has hexadecimal digits alone in TCP6, also for addresses that others write with dots.
fn text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            let [.., high, low] = v6.segments();
            format!("::ffff:{high:x}:{low:x}")
        }
        ip => ip.to_string(),
    }
}

fn binary((source, destination): (SocketAddr, SocketAddr), tlvs: &Tlvs) -> Result<Vec<u8>, Unwritable> {
    let mut out = SIGNATURE.to_vec();
    // The length follows when it is known.
    out.extend([PROXY, if source.is_ipv4() { 0x11 } else { 0x21 }, 0, 0]);
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => out.extend(ip.octets()),
            IpAddr::V6(ip) => out.extend(ip.octets()),
        }
    }
    out.extend([source.port().to_be_bytes(), destination.port().to_be_bytes()].concat());
    let checksum = out.len() + 3;
    put(&mut out, tlv::CRC32C, &[0; 4])?;
    put_all(&mut out, tlvs)?;
    let length = u16::try_from(out.len() - 16).map_err(|_| Unwritable::Long(out.len()))?;
    out[14..16].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&out);
    out[checksum..checksum + 4].copy_from_slice(&crc.to_be_bytes());
    Ok(out)
}

fn put(out: &mut Vec<u8>, kind: u8, value: &[u8]) -> Result<(), Unwritable> {
    let length = u16::try_from(value.len()).map_err(|_| Unwritable::Long(out.len() + 3 + value.len()))?;
    out.push(kind);
    out.extend(length.to_be_bytes());
    out.extend(value);
    Ok(())
}

fn put_all(out: &mut Vec<u8>, tlvs: &Tlvs) -> Result<(), Unwritable> {
    let Tlvs { alpn, authority, unique_id, ssl, netns, others } = tlvs;
    if let Some(id) = unique_id.as_ref().filter(|id| id.len() > tlv::LONGEST_UNIQUE_ID) {
        return Err(Unwritable::UniqueId(id.len()));
    }
    let ssl = ssl.as_ref().map(ssl_value).transpose()?;
    let known = [
        (tlv::ALPN, alpn.as_deref()),
        (tlv::AUTHORITY, authority.as_deref().map(str::as_bytes)),
        (tlv::UNIQUE_ID, unique_id.as_deref()),
        (tlv::SSL, ssl.as_deref()),
        (tlv::NETNS, netns.as_deref().map(str::as_bytes)),
    ];
    put_each(out, &known, others)
}

fn put_each(out: &mut Vec<u8>, known: &[(u8, Option<&[u8]>)], others: &[(u8, Vec<u8>)]) -> Result<(), Unwritable> {
    let known = known.iter().filter_map(|(kind, value)| Some((*kind, (*value)?)));
    for (kind, value) in known.chain(others.iter().map(|(kind, value)| (*kind, value.as_slice()))) {
        put(out, kind, value)?;
    }
    Ok(())
}

fn ssl_value(ssl: &Ssl) -> Result<Vec<u8>, Unwritable> {
    let mut out = vec![ssl.client];
    out.extend(ssl.verify.to_be_bytes());
    let known = [
        (tlv::SSL_VERSION, ssl.version.as_deref().map(str::as_bytes)),
        (tlv::SSL_COMMON_NAME, ssl.common_name.as_deref().map(str::as_bytes)),
        (tlv::SSL_CIPHER, ssl.cipher.as_deref().map(str::as_bytes)),
        (tlv::SSL_SIGNATURE_ALGORITHM, ssl.signature_algorithm.as_deref().map(str::as_bytes)),
        (tlv::SSL_KEY_ALGORITHM, ssl.key_algorithm.as_deref().map(str::as_bytes)),
        (tlv::SSL_GROUP, ssl.group.as_deref().map(str::as_bytes)),
        (tlv::SSL_SIGNATURE_SCHEME, ssl.signature_scheme.as_deref().map(str::as_bytes)),
        (tlv::SSL_CLIENT_CERT, ssl.client_cert.as_deref()),
    ];
    put_each(&mut out, &known, &ssl.others)?;
    Ok(out)
}
