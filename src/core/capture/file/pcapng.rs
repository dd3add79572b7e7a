//! pcapng: sections of blocks.

use super::{Capture, CaptureError, Each, End, Source};
use crate::capture::{Link, link::UnknownLink};
use pcap_parser::{Block, parse_block_be, parse_block_le, traits::PcapNGPacketBlock};
use std::{
    io::Read,
    ops::ControlFlow,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The most interfaces of a section; a file of nothing else would fill the memory.
const MOST_INTERFACES: usize = 1 << 16;

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

/// Reads it to its end, or until `each` breaks.
pub(super) fn read<R: Read>(source: &mut Source<R>, capture: &mut Capture, each: Each<'_>) -> Result<End, CaptureError> {
    const SECTION: usize = 0x0a0d_0d0a;
    const OBSOLETE_PACKET: usize = 2;
    let (mut big, mut interfaces) = (false, Vec::<Interface>::new());
    loop {
        // Type, length and, of a section, its byte order.
        if !source.need(12)? {
            return Ok(source.end());
        }
        if source.number(0, false) == SECTION {
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
            // What programs wrote before 2004: the interface in two bytes, drops in two, then as in an enhanced packet.
            Block::Unknown(block) if source.number(0, big) == OBSOLETE_PACKET => {
                let interface = if big { source.number(8, big) >> 16 } else { source.number(8, big) & 0xffff };
                let Some(interface) = interfaces.get(interface) else {
                    return Err(source.damaged("a packet of an interface that is not described"));
                };
                let units = (source.number(12, big) as u64) << 32 | source.number(16, big) as u64;
                let Some(bytes) = block.data.get(20..).and_then(|data| data.get(..source.number(20, big))) else {
                    return Err(source.damaged("a malformed block"));
                };
                one(capture, &interfaces, interface, time(units, interface.resolution, interface.offset), bytes, each)?
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
