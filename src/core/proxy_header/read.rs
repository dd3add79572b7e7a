//! Reading a header: each byte is judged as soon as it is there, and more bytes never change what was said.

use super::{Command, Ends, Header, LINE, SIGNATURE, Tlvs, Transport, Version, tlv};
use crate::addr::Endpoint;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
};

/// The most bytes of a line with its CRLF, specification section 2.1.
const LONGEST_LINE: usize = 107;
/// The bytes of version 2 before the addresses.
const FIXED: usize = 16;
/// The bytes of one Unix socket's path.
const PATH: usize = 108;

/// Why bytes are not a PROXY header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Something else was sent.
    #[error("not a PROXY header: byte {offset} is {byte:#04x}")]
    Foreign { offset: usize, byte: u8 },
    /// CR without LF, or LF without CR.
    #[error("a PROXY v1 line with a single {end} at byte {offset}; it ends with CR LF")]
    LineEnd { end: &'static str, offset: usize },
    /// The line goes on and on.
    #[error("a PROXY v1 line without CR LF in its first {LONGEST_LINE} bytes")]
    LongLine,
    /// The word after PROXY.
    #[error("a PROXY v1 line for {0:?}; there are TCP4, TCP6 and UNKNOWN")]
    Protocol(String),
    /// Too few or too many words.
    #[error("a PROXY v1 line with {0} fields after {1}, not 4 with one space between each")]
    Fields(usize, &'static str),
    /// An address that is none, or one of the other family.
    #[error("the {end} address {text:?} of a PROXY v1 line is no {family} address")]
    Address { end: &'static str, text: String, family: &'static str },
    /// A port that is none.
    #[error("the {end} port {text:?} of a PROXY v1 line is no number from 0 to 65535 without leading zeros")]
    Port { end: &'static str, text: String },
    /// The upper half of byte 12.
    #[error("a PROXY header with the signature of v2 and version {0}")]
    Version(u8),
    /// The lower half of byte 12.
    #[error("a PROXY v2 header with command {0}; there are 0 (LOCAL) and 1 (PROXY)")]
    Command(u8),
    /// The upper half of byte 13.
    #[error("a PROXY v2 header with address family {0}; there are 0 to 3")]
    Family(u8),
    /// The lower half of byte 13.
    #[error("a PROXY v2 header with transport {0}; there are 0 to 2")]
    Transport(u8),
    /// The length leaves no room for the addresses of the family.
    #[error("a PROXY v2 header of length {length}, too short for the {needed} bytes of its two {family} addresses")]
    Length { length: usize, needed: usize, family: &'static str },
    /// Bytes after the last TLV that are too few for one.
    #[error("a PROXY v2 header with {bytes} stray bytes after its last TLV, at byte {offset}")]
    Tail { bytes: usize, offset: usize },
    /// A TLV that reaches over the end of what it is in.
    #[error("a PROXY v2 header whose TLV {kind:#04x} at byte {offset} has length {length}, and {left} bytes are left")]
    Overrun { kind: u8, offset: usize, length: usize, left: usize },
    /// A value that the type does not have.
    #[error("a PROXY v2 header whose TLV {kind:#04x} at byte {offset} {why}")]
    Value { kind: u8, offset: usize, why: &'static str },
    /// The checksum is that of other bytes.
    #[error("a PROXY v2 header with the CRC32C {said:#010x}; its bytes have {real:#010x}")]
    Checksum { said: u32, real: u32 },
}

/// Reads what a peer has sent so far. `None` asks for more: what is there begins a header. A header is complete with its
/// last byte; whatever comes after it is not looked at. At most [`super::MOST`] bytes are asked for.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Result<Header, Malformed>> {
    let (line, binary) = (agree(bytes, LINE), agree(bytes, SIGNATURE));
    let read = if line == LINE.len() {
        text(bytes)
    } else if binary == SIGNATURE.len() {
        self::binary(bytes)
    } else {
        let offset = line.max(binary);
        // Where all bytes agree with one of the two, it may still become that one.
        bytes.get(offset).map_or(Ok(None), |byte| Err(Malformed::Foreign { offset, byte: *byte }))
    };
    read.transpose()
}

/// How many bytes at the start are the same.
fn agree(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Version 1. Nothing is decoded before the end of the line is there.
fn text(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let bytes = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return if bytes.len() == LONGEST_LINE { Err(Malformed::LongLine) } else { Ok(None) };
    };
    match (bytes[end], bytes.get(end + 1)) {
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) if bytes.len() == LONGEST_LINE => return Err(Malformed::LongLine),
        (b'\r', None) => return Ok(None),
        (b'\r', Some(_)) => return Err(Malformed::LineEnd { end: "CR", offset: end }),
        _ => return Err(Malformed::LineEnd { end: "LF", offset: end }),
    }
    let (ends, transport) = match fields(&bytes[LINE.len()..end])? {
        Some(ends) => (Some(ends), Transport::Stream),
        None => (None, Transport::Unspecified),
    };
    let size = end + 2;
    Ok(Some(Header { version: Version::V1, command: Command::Proxy, transport, ends, tlvs: Tlvs::default(), size }))
}

/// The words between `PROXY` and the end of the line.
fn fields(line: &[u8]) -> Result<Option<Ends>, Malformed> {
    let mut words = line.split(|byte| *byte == b' ');
    let ip = match words.next().unwrap_or_default() {
        // What else is on the line is for nobody.
        b"UNKNOWN" => return Ok(None),
        b"TCP4" => "IPv4",
        b"TCP6" => "IPv6",
        other => return Err(Malformed::Protocol(lossy(other))),
    };
    let words: Vec<&[u8]> = words.collect();
    let [source, destination, source_port, destination_port] = words[..] else {
        return Err(Malformed::Fields(words.len(), if ip == "IPv4" { "TCP4" } else { "TCP6" }));
    };
    let end = |end, addr, port| Ok(Endpoint::tcp((address(end, addr, ip)?, self::port(end, port)?).into()));
    Ok(Some(Ends { source: end("source", source, source_port)?, destination: end("destination", destination, destination_port)? }))
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn address(end: &'static str, text: &[u8], family: &'static str) -> Result<IpAddr, Malformed> {
    // The standard library refuses leading zeros in IPv4, and zones in IPv6, as the specification does.
    let parsed = str::from_utf8(text).ok().and_then(|text| match family {
        "IPv4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        _ => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
    });
    parsed.ok_or_else(|| Malformed::Address { end, text: lossy(text), family })
}

fn port(end: &'static str, text: &[u8]) -> Result<u16, Malformed> {
    let canonical = text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text.first() != Some(&b'0'));
    let parsed = str::from_utf8(text).ok().filter(|_| canonical).and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Malformed::Port { end, text: lossy(text) })
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let at = |index: usize| bytes.get(index).copied();
    let Some(first) = at(12) else { return Ok(None) };
    let command = match (first >> 4, first & 15) {
        (2, 0) => Command::Local,
        (2, 1) => Command::Proxy,
        (2, other) => return Err(Malformed::Command(other)),
        (other, _) => return Err(Malformed::Version(other)),
    };
    let Some(second) = at(13) else { return Ok(None) };
    // The family of LOCAL is ignored, and so is all that follows: senders say what they like there.
    let form = if command == Command::Local { None } else { Some(form(second)?) };
    let (Some(high), Some(low)) = (at(14), at(15)) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if let Some((family, _)) = form
        && length < family.needed()
    {
        return Err(Malformed::Length { length, needed: family.needed(), family: family.name() });
    }
    let Some(header) = bytes.get(..FIXED + length) else { return Ok(None) };
    let (transport, ends, tlvs) = match form {
        None => (Transport::Unspecified, None, Tlvs::default()),
        Some((family, transport)) => {
            let (addresses, block) = header[FIXED..].split_at(family.needed());
            let (tlvs, checksum) = tlv::parse(block, FIXED + family.needed())?;
            check(header, checksum)?;
            // Without a transport the addresses are of nothing that is known.
            let ends = if transport == Transport::Unspecified { None } else { family.ends(addresses) };
            (transport, ends, tlvs)
        }
    };
    Ok(Some(Header { version: Version::V2, command, transport, ends, tlvs, size: header.len() }))
}

#[derive(Clone, Copy)]
enum Family {
    Unspecified,
    V4,
    V6,
    Unix,
}

fn form(byte: u8) -> Result<(Family, Transport), Malformed> {
    let family = match byte >> 4 {
        0 => Family::Unspecified,
        1 => Family::V4,
        2 => Family::V6,
        3 => Family::Unix,
        other => return Err(Malformed::Family(other)),
    };
    let transport = match byte & 15 {
        0 => Transport::Unspecified,
        1 => Transport::Stream,
        2 => Transport::Datagram,
        other => return Err(Malformed::Transport(other)),
    };
    Ok((family, transport))
}

impl Family {
    /// The bytes of both addresses, ports included.
    fn needed(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::V4 => 2 * (4 + 2),
            Self::V6 => 2 * (16 + 2),
            Self::Unix => 2 * PATH,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
            Self::Unix => "Unix",
        }
    }

    /// Both addresses first, then both ports.
    fn ends(self, bytes: &[u8]) -> Option<Ends> {
        let mut rest = bytes;
        let (source, destination) = match self {
            Self::Unspecified => return None,
            Self::V4 => (take::<4>(&mut rest)?.into(), take::<4>(&mut rest)?.into()),
            Self::V6 => (take::<16>(&mut rest)?.into(), take::<16>(&mut rest)?.into()),
            Self::Unix => return Some(Ends { source: unix(&bytes[..PATH]), destination: unix(&bytes[PATH..]) }),
        };
        let end = |addr: IpAddr, port: [u8; 2]| Endpoint::tcp((addr, u16::from_be_bytes(port)).into());
        let (source_port, destination_port) = (take(&mut rest)?, take(&mut rest)?);
        Some(Ends { source: end(source, source_port), destination: end(destination, destination_port) })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

/// A path ends at its first NUL. One that begins with it has no name in the file system, unix(7).
fn unix(path: &[u8]) -> Endpoint {
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    #[cfg(unix)]
    let path = PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
    #[cfg(not(unix))]
    let path = PathBuf::from(lossy(path));
    Endpoint::Unix(Some(path).filter(|path| !path.as_os_str().is_empty()))
}

/// The checksum is that of the whole header with zeros in its own place, specification section 2.2.3.
fn check(header: &[u8], checksum: Option<(usize, u32)>) -> Result<(), Malformed> {
    let Some((offset, said)) = checksum else { return Ok(()) };
    let real = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&header[..offset]), &[0; 4]), &header[offset + 4..]);
    if said == real { Ok(()) } else { Err(Malformed::Checksum { said, real }) }
}
