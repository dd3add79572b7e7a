//! The two formats, as files and as pipes.

use super::{super::file, *};
use std::io::{self, Read};

/// Numbers in the byte order of a file.
struct Order(bool);

impl Order {
    fn two(&self, number: u16) -> [u8; 2] {
        if self.0 { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn four(&self, number: u32) -> [u8; 4] {
        if self.0 { number.to_be_bytes() } else { number.to_le_bytes() }
    }

    fn header(&self, magic: u32, link: u32) -> Vec<u8> {
        [&self.four(magic)[..], &self.two(2), &self.two(4), &[0; 8], &self.four(0x40000), &self.four(link)].concat()
    }

    fn record(&self, seconds: u32, part: u32, packet: &[u8]) -> Vec<u8> {
        let length = self.four(packet.len() as u32);
        [&self.four(seconds)[..], &self.four(part), &length, &length, packet].concat()
    }

    fn block(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let length = self.four((12 + body.len() + padding.len()) as u32);
        [&self.four(kind)[..], &length, body, &padding, &length].concat()
    }

    fn section(&self) -> Vec<u8> {
        self.block(0x0a0d_0d0a, &[&self.four(0x1a2b_3c4d)[..], &self.two(1), &self.two(0), &[0xff; 8]].concat())
    }

    fn interface(&self, link: u16, options: &[u8]) -> Vec<u8> {
        self.block(1, &[&self.two(link)[..], &[0; 2], &self.four(0), options].concat())
    }

    fn option(&self, code: u16, value: &[u8]) -> Vec<u8> {
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&self.two(code)[..], &self.two(value.len() as u16), value, &padding].concat()
    }

    fn packet(&self, interface: u32, units: u64, packet: &[u8]) -> Vec<u8> {
        let length = self.four(packet.len() as u32);
        let body = [&self.four(interface)[..], &self.four((units >> 32) as u32), &self.four(units as u32), &length, &length, packet];
        self.block(6, &body.concat())
    }
}

const ORDERS: [Order; 2] = [Order(false), Order(true)];

/// Gives out what it has in pieces of so many bytes.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.1.min(self.0.len()).min(buffer.len());
        let (now, later) = self.0.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.0 = later;
        Ok(length)
    }
}

fn read(bytes: &[u8]) -> (Vec<Sighting>, Result<Summary, CaptureError>) {
    let mut sightings = Vec::new();
    let read = file::read(bytes, &mut |sighting| {
        sightings.push(sighting);
        ControlFlow::Continue(())
    });
    // However it comes.
    for size in [1, 7, 100] {
        let mut again = Vec::new();
        let dripped = file::read(Drip(bytes, size), &mut |sighting| {
            again.push(sighting);
            ControlFlow::Continue(())
        });
        assert_eq!((again, format!("{dripped:?}")), (sightings.clone(), format!("{read:?}")));
    }
    (sightings, read)
}

fn names(bytes: &[u8]) -> Vec<String> {
    read(bytes).0.iter().map(said).collect()
}

#[test]
fn pcap_is_read_in_either_order_and_resolution() {
    let packet = hello_packet("a.test");
    for order in &ORDERS {
        for (magic, nanos) in [(0xa1b2_c3d4, 5000), (0xa1b2_3c4d, 5)] {
            // The upper bits of the link type tell of the frame check sequence.
            for link in [101, 0xf400_0065] {
                let bytes = [order.header(magic, link), order.record(1_700_000_000, 5, &packet)].concat();
                let (sightings, summary) = read(&bytes);
                assert_eq!(sightings.iter().map(said).collect::<Vec<_>>(), ["a.test in 1"]);
                assert_eq!(sightings[0].time, Some(UNIX_EPOCH + Duration::new(1_700_000_000, nanos)));
                let summary = summary.unwrap();
                assert_eq!((summary.packets, summary.hellos, summary.truncated), (1, 1, false));
                assert_eq!(file::is_capture(&bytes), Some(true));
            }
        }
    }
}

#[test]
fn pcapng_is_read_with_its_sections_interfaces_and_clocks() {
    let packet = hello_packet("a.test");
    let framed = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &packet].concat();
    let mut bytes = Vec::new();
    // Two sections, each in an order of its own; interfaces are numbered anew.
    for (order, port) in ORDERS.iter().zip([1u16, 2]) {
        let from = |packet: &[u8], at: usize| [&packet[..at], &(1000 * port).to_be_bytes(), &packet[at + 2..]].concat();
        let nanos = [order.option(9, &[9]), order.option(14, &(-10_i64).to_le_bytes()), order.option(0, &[])].concat();
        let nanos = if order.0 { [order.option(9, &[9]), order.option(14, &(-10_i64).to_be_bytes())].concat() } else { nanos };
        bytes.extend(order.section());
        bytes.extend(order.block(0x0bad, b"whatever this is"));
        bytes.extend(order.interface(101, &[]));
        bytes.extend(order.interface(1, &nanos));
        bytes.extend(order.interface(228, &order.option(9, &[0x8a])));
        bytes.extend(order.packet(0, 1_700_000_000_000_005, &from(&packet, 20)));
        bytes.extend(order.packet(1, 1_700_000_000_000_000_005, &from(&framed, 34)));
        bytes.extend(order.packet(2, 1024 * 77 + 512, &packet));
    }
    let (sightings, summary) = read(&bytes);
    let times: Vec<_> = sightings.iter().filter_map(|sighting| sighting.time?.duration_since(UNIX_EPOCH).ok()).collect();
    // The same hello at the same sequence number is told once for each pair of ends.
    assert_eq!(times, [Duration::new(1_700_000_000, 5000), Duration::new(77, 500_000_000), Duration::new(1_700_000_000, 5000)]);
    assert_eq!(summary.unwrap().packets, 6);
    // The offset is in seconds, and may be negative.
    let order = &ORDERS[0];
    let nanos = [order.option(9, &[9]), order.option(14, &(-10_i64).to_le_bytes())].concat();
    let bytes = [order.section(), order.interface(1, &nanos), order.packet(0, 1_700_000_000_000_000_005, &framed)].concat();
    assert_eq!(read(&bytes).0[0].time, Some(UNIX_EPOCH + Duration::new(1_699_999_990, 5)));
}

#[test]
fn simple_packets_have_no_time() {
    let packet = hello_packet("a.test");
    for order in &ORDERS {
        let simple = order.block(3, &[&order.four(packet.len() as u32)[..], &packet].concat());
        let (sightings, _) = read(&[order.section(), order.interface(101, &[]), simple].concat());
        assert_eq!((said(&sightings[0]), sightings[0].time), ("a.test in 1".into(), None));
    }
}

#[test]
fn packets_of_the_obsolete_kind_are_read() {
    let packet = hello_packet("a.test");
    for order in &ORDERS {
        let length = order.four(packet.len() as u32);
        let body = [&order.two(1)[..], &order.two(9), &order.four(0), &order.four(5_000_000), &length, &length, &packet];
        let old = order.block(2, &body.concat());
        let (sightings, _) = read(&[order.section(), order.interface(1, &[]), order.interface(101, &[]), old].concat());
        assert_eq!((said(&sightings[0]), sightings[0].time), ("a.test in 1".into(), Some(UNIX_EPOCH + Duration::from_secs(5))));
    }
}

#[test]
fn a_truncated_end_is_said_and_what_is_before_it_is_read() {
    let packet = hello_packet("a.test");
    let order = &ORDERS[0];
    let pcap = [order.header(0xa1b2_c3d4, 101), order.record(1, 5, &packet), order.record(1, 5, &packet)].concat();
    let pcapng = [order.section(), order.interface(101, &[]), order.packet(0, 5, &packet), order.packet(0, 5, &packet)].concat();
    for bytes in [pcap, pcapng] {
        for cut in [1, 30, 100] {
            let (sightings, summary) = read(&bytes[..bytes.len() - cut]);
            assert_eq!((sightings.len(), summary.unwrap().truncated), (1, true));
        }
        let (_, summary) = read(&bytes);
        assert!(!summary.unwrap().truncated);
        // Any end is one.
        for end in 4..bytes.len() {
            assert!(file::read(&bytes[..end], &mut |_| ControlFlow::Continue(())).is_ok(), "{end}");
        }
    }
}

#[test]
fn a_live_pipe_is_told_each_hello_before_it_is_read_any_further() {
    /// Gives out a packet at a time, and fails when it is asked for more before it was told of the last.
    struct Live<'a> {
        pieces: std::vec::IntoIter<Vec<u8>>,
        told: &'a std::cell::Cell<usize>,
        given: usize,
    }
    impl Read for Live<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert_eq!(self.told.get(), self.given.saturating_sub(1), "asked for more before the last was told");
            let Some(piece) = self.pieces.next() else { return Ok(0) };
            self.given += 1;
            buffer[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }
    let order = &ORDERS[0];
    let packets = (1..5).map(|i| order.record(i, 0, &tcp(([10, 0, 0, i as u8], 1), SERVER, 1, "A", &client_hello("a.test", &[]))));
    let pieces: Vec<_> = [order.header(0xa1b2_c3d4, 101)].into_iter().chain(packets).collect();
    let told = std::cell::Cell::new(0);
    let live = Live { pieces: pieces.into_iter(), told: &told, given: 0 };
    let read = file::read(live, &mut |_| {
        told.set(told.get() + 1);
        ControlFlow::Continue(())
    });
    assert_eq!((read.unwrap().hellos, told.get()), (4, 4));
}

#[test]
fn who_breaks_is_told_no_more() {
    let order = &ORDERS[0];
    let packets = (1..5).flat_map(|i| order.record(i, 0, &tcp(([10, 0, 0, i as u8], 1), SERVER, 1, "A", &client_hello("a.test", &[]))));
    let bytes: Vec<u8> = order.header(0xa1b2_c3d4, 101).into_iter().chain(packets).collect();
    let mut told = 0;
    let summary = file::read(&bytes[..], &mut |_| {
        told += 1;
        if told == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((summary.unwrap().packets, told), (2, 2));
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let (order, packet) = (&ORDERS[0], hello_packet("a.test"));
    let said = |bytes: &[u8]| read(bytes).1.unwrap_err().to_string();
    let wifi = "a capture of link type 127 (radiotap and IEEE 802.11), which is not decoded";
    assert_eq!(said(&order.header(0xa1b2_c3d4, 127)), wifi);
    assert_eq!(said(&[order.section(), order.interface(127, &[]), order.packet(0, 0, &packet)].concat()), wifi);
    // Beside others they are counted.
    let both =
        [order.section(), order.interface(127, &[]), order.interface(101, &[]), order.packet(0, 0, &packet), order.packet(1, 0, &packet)];
    let (sightings, summary) = read(&both.concat());
    assert_eq!(sightings.len(), 1);
    assert_eq!(summary.unwrap().other_links, [("link type 127 (radiotap and IEEE 802.11)".to_owned(), 1)].into());
    for (bytes, what) in [
        ([order.section(), order.packet(0, 0, &packet)].concat(), "a packet of an interface that is not described at byte 28"),
        ([order.section(), vec![1, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]].concat(), "a block of an impossible length at byte 28"),
        ([order.section(), vec![1, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0]].concat(), "a block of more than 16 MiB at byte 28"),
        (vec![0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 1, 2, 3, 4], "a section of neither byte order at byte 0"),
    ] {
        assert_eq!(said(&bytes), format!("a damaged capture: {what}"));
    }
    // A hello that had begun before the damage is told.
    let half = tcp(CLIENT, SERVER, 1, "A", &client_hello("a.test", &[])[..100]);
    let (sightings, read) = read(&[order.section(), order.interface(101, &[]), order.packet(0, 0, &half), vec![0xff; 12]].concat());
    assert_eq!((sightings.len(), read.is_err()), (1, true));
}

#[test]
fn names_are_the_same_in_both_formats() {
    let (order, packet) = (&ORDERS[0], hello_packet("a.test"));
    assert_eq!(names(&[order.header(0xa1b2_c3d4, 101), order.record(1, 5, &packet)].concat()), ["a.test in 1"]);
    assert_eq!(names(&[order.section(), order.interface(101, &[]), order.packet(0, 5, &packet)].concat()), ["a.test in 1"]);
}
