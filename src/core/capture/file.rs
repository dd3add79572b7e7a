//! The two formats of capture files, read as they grow: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).
//! A packet is handed on as soon as its last byte is there, so that a live pipe is never a packet behind.

use super::{Capture, Each, Link, Summary, link::UnknownLink};
use pcap_parser::{
    Block, LegacyPcapBlock, PcapError, PcapHeader, nom, parse_block_be, parse_block_le, parse_pcap_frame, parse_pcap_frame_be,
    parse_pcap_frame_modified, parse_pcap_header, traits::PcapNGPacketBlock,
};
use std::{
    io::{self, Read},
    ops::ControlFlow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The most bytes of a block that are held. Packets have at most 256 KiB in libpcap; blocks of secrets and comments are longer.
const MOST_IN_BLOCK: usize = 16 << 20;
/// What is read at once.
const CHUNK: usize = 64 << 10;
/// The most interfaces of a section; a file of nothing else would fill the memory.
const MOST_INTERFACES: usize = 1 << 16;

/// Why a capture cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The source fails.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// Every packet begins with something that is not decoded.
    #[error("a capture of {0}, which is not decoded")]
    Link(UnknownLink),
    /// The file is damaged.
    #[error("a damaged capture: {what} at byte {offset}")]
    Damaged { offset: u64, what: &'static str },
}

/// Whether a file begins as captures do; `None` while it has too few bytes to tell.
pub(crate) fn is_capture(bytes: &[u8]) -> Option<bool> {
    const MAGIC: [[u8; 4]; 7] = [
        [0x0a, 0x0d, 0x0d, 0x0a],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xcd, 0x34],
    ];
    match bytes.first_chunk::<4>() {
        Some(first) => Some(MAGIC.contains(first)),
        None => Some(false).filter(|_| !MAGIC.iter().any(|magic| magic.starts_with(bytes))),
    }
}

/// Reads a capture to its end, or until `each` breaks.
///
/// # Errors
/// The source fails, the file is damaged, or nothing in it is of a link type that is decoded. Whatever was found before was
/// handed to `each`.
pub(crate) fn read(source: impl Read, each: Each<'_>) -> Result<Summary, CaptureError> {
    let mut source = Source { source, held: Vec::new(), at: 0, offset: 0 };
    let mut capture = Capture::default();
    let read = if source.need(4)? && source.rest().starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        blocks(&mut source, &mut capture, each)
    } else {
        records(&mut source, &mut capture, each)
    };
    match read {
        // What is not whole is not told to who wants no more.
        Ok(End::Stopped) => Ok(capture.summary),
        Ok(end) => {
            capture.summary.truncated = end == End::Truncated;
            Ok(capture.end(each))
        }
        Err(error) => {
            capture.end(each);
            Err(error)
        }
    }
}

/// How the reading of a capture ends.
#[derive(PartialEq, Eq)]
enum End {
    Clean,
    Truncated,
    Stopped,
}

/// pcap: one header, then packets.
fn records<R: Read>(source: &mut Source<R>, capture: &mut Capture, each: Each<'_>) -> Result<End, CaptureError> {
    const HEADER: usize = 24;
    if !source.need(HEADER)? {
        return Ok(End::Truncated);
    }
    let header = match parse_pcap_header(source.rest()) {
        Ok((_, header)) => header,
        Err(_) => return Err(source.damaged("a header of an unknown kind")),
    };
    // The upper bits tell how long the frame check sequence is.
    let link = Link::from_number(header.network.0 as u32 & 0xffff).map_err(CaptureError::Link)?;
    source.consume(HEADER);
    let (size, parse) = record(&header);
    let unit = if header.is_nanosecond_precision() { 1 } else { 1000 };
    loop {
        if !source.need(size)? {
            return Ok(source.end());
        }
        let length = source.number(8, header.is_bigendian());
        if !source.need_block(size + length)? {
            return Ok(End::Truncated);
        }
        let Ok((_, packet)) = parse(source.rest()) else { return Err(source.damaged("a packet of an unknown kind")) };
        let time = UNIX_EPOCH.checked_add(Duration::new(packet.ts_sec.into(), 0) + Duration::from_nanos(u64::from(packet.ts_usec) * unit));
        let flow = capture.packet(time, link, packet.data, each);
        source.consume(size + length);
        if flow.is_break() {
            return Ok(End::Stopped);
        }
    }
}

type Parsed<'a, T> = nom::IResult<&'a [u8], T, PcapError<&'a [u8]>>;
type Parse = for<'a> fn(&'a [u8]) -> Parsed<'a, LegacyPcapBlock<'a>>;

/// The size of a packet's header, and how the packet is read.
fn record(header: &PcapHeader) -> (usize, Parse) {
    if header.is_modified_format() {
        (24, parse_pcap_frame_modified)
    } else if header.is_bigendian() {
        (16, parse_pcap_frame_be)
    } else {
        (16, parse_pcap_frame)
    }
}

/// An interface of a section: what its packets begin with, and how its clock counts.
struct Interface {
    link: Result<Link, UnknownLink>,
    /// Units in a second, where that is a number of 64 bits.
    resolution: Option<u64>,
    /// Seconds that are added.
    offset: i64,
    /// The most bytes that are kept of a packet; 0 where there is no limit.
    snaplen: u32,
}

/// pcapng: sections of blocks.
fn blocks<R: Read>(source: &mut Source<R>, capture: &mut Capture, each: Each<'_>) -> Result<End, CaptureError> {
    const SECTION: u32 = 0x0a0d_0d0a;
    let (mut big, mut interfaces) = (false, Vec::<Interface>::new());
    loop {
        // Type, length and, of a section, its byte order.
        if !source.need(12)? {
            return Ok(source.end());
        }
        if source.number(0, false) == SECTION as usize {
            big = match source.rest().get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
                _ => return Err(source.damaged("a section of neither byte order")),
            };
        }
        let length = source.number(4, big);
        if length < 12 || !length.is_multiple_of(4) {
            return Err(source.damaged("a block of an impossible length"));
        }
        if !source.need_block(length)? {
            return Ok(End::Truncated);
        }
        let parse = if big { parse_block_be } else { parse_block_le };
        let Ok((_, block)) = parse(&source.rest()[..length]) else { return Err(source.damaged("a malformed block")) };
        let flow = match block {
            // Interfaces are numbered in each section anew.
            Block::SectionHeader(_) => {
                interfaces.clear();
                ControlFlow::Continue(())
            }
            Block::InterfaceDescription(interface) => {
                if interfaces.len() == MOST_INTERFACES {
                    return Err(source.damaged("too many interfaces"));
                }
                interfaces.push(Interface {
                    link: Link::from_number(interface.linktype.0 as u32),
                    resolution: resolution(interface.if_tsresol),
                    offset: interface.ts_offset(),
                    snaplen: interface.snaplen,
                });
                ControlFlow::Continue(())
            }
            Block::EnhancedPacket(packet) => {
                let Some(interface) = interfaces.get(packet.if_id as usize) else {
                    return Err(source.damaged("a packet of an interface that is not described"));
                };
                let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let time = time(units, interface.resolution, interface.offset);
                one(capture, &interfaces, interface, time, packet.packet_data(), each)?
            }
            Block::SimplePacket(packet) => {
                let Some(interface) = interfaces.first() else {
                    return Err(source.damaged("a packet of an interface that is not described"));
                };
                // The block does not say how much was captured, only how long the packet was.
                let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
                let captured = packet.data.len().min(packet.origlen.min(limit) as usize);
                one(capture, &interfaces, interface, None, &packet.data[..captured], each)?
            }
            _ => ControlFlow::Continue(()),
        };
        source.consume(length);
        if flow.is_break() {
            return Ok(End::Stopped);
        }
    }
}

/// One packet of a section. One of a link type that is not decoded is counted, unless there is nothing else.
fn one(
    capture: &mut Capture,
    all: &[Interface],
    interface: &Interface,
    time: Option<SystemTime>,
    bytes: &[u8],
    each: Each<'_>,
) -> Result<ControlFlow<()>, CaptureError> {
    match interface.link {
        Ok(link) => Ok(capture.packet(time, link, bytes, each)),
        Err(unknown) if all.iter().all(|interface| interface.link.is_err()) => Err(CaptureError::Link(unknown)),
        Err(unknown) => {
            capture.unknown_packet(&unknown.to_string());
            Ok(ControlFlow::Continue(()))
        }
    }
}

/// The option if_tsresol: a power of ten, or with the highest bit set, of two. (pcap-parser 0.17 knows only the former.)
fn resolution(code: u8) -> Option<u64> {
    if code & 0x80 == 0 { 10_u64.checked_pow(code.into()) } else { 1_u64.checked_shl((code & 0x7f).into()) }
}

/// When a packet was captured; `None` for what no clock shows.
fn time(units: u64, resolution: Option<u64>, offset: i64) -> Option<SystemTime> {
    let resolution = resolution?;
    let seconds = units / resolution;
    let nanos = u128::from(units % resolution) * 1_000_000_000 / u128::from(resolution);
    let time = UNIX_EPOCH.checked_add(Duration::new(seconds, nanos as u32))?;
    let offset_by = Duration::from_secs(offset.unsigned_abs());
    if offset < 0 { time.checked_sub(offset_by) } else { time.checked_add(offset_by) }
}

/// Bytes that were read and not yet used. One read at a time: what is there is used before more is waited for.
struct Source<R> {
    source: R,
    held: Vec<u8>,
    at: usize,
    /// How many bytes were used in all.
    offset: u64,
}

impl<R: Read> Source<R> {
    fn rest(&self) -> &[u8] {
        self.held.get(self.at..).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.offset += count as u64;
    }

    /// Reads until so many bytes are there; false where the source ends before.
    fn need(&mut self, count: usize) -> io::Result<bool> {
        while self.rest().len() < count {
            self.held.drain(..self.at);
            self.at = 0;
            let before = self.held.len();
            self.held.resize(before + CHUNK, 0);
            let read = self.source.read(&mut self.held[before..]);
            self.held.truncate(before + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn need_block(&mut self, count: usize) -> Result<bool, CaptureError> {
        if count > MOST_IN_BLOCK {
            return Err(self.damaged("a block of more than 16 MiB"));
        }
        Ok(self.need(count)?)
    }

    /// A number of four bytes; 0 where they are not there.
    fn number(&self, at: usize, big: bool) -> usize {
        let bytes = self.rest().get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or_default();
        (if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }) as usize
    }

    fn end(&self) -> End {
        if self.rest().is_empty() { End::Clean } else { End::Truncated }
    }

    fn damaged(&self, what: &'static str) -> CaptureError {
        CaptureError::Damaged { offset: self.offset, what }
    }
}
