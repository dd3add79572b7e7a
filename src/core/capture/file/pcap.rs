//! pcap: one header, then packets.

use super::{Capture, CaptureError, Each, End, Source};
use crate::capture::Link;
use pcap_parser::{
    LegacyPcapBlock, PcapError, PcapHeader, nom, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};
use std::{
    io::Read,
    time::{Duration, UNIX_EPOCH},
};

/// Reads it to its end, or until `each` breaks.
pub(super) fn read<R: Read>(source: &mut Source<R>, capture: &mut Capture, each: Each<'_>) -> Result<End, CaptureError> {
    const HEADER: usize = 24;
    if !source.need(HEADER)? {
        return Ok(End::Truncated);
    }
    let Ok((_, header)) = parse_pcap_header(source.rest()) else { return Err(source.damaged("a header of an unknown kind")) };
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
