//! tshark finds the same hellos in captures that Wireshark's tools have made.

use crate::support::*;
use etherparse::PacketBuilder;
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};
use tapline::{hello::Greeting, input};

const HELLO: &[u8] = include_bytes!("../data/curl-openssl3.bin");
const INITIAL: &[u8] = include_bytes!("../data/rfc9001-client-initial.datagram");

/// The hellos of a capture: frame, time, source, name.
type Hellos = Vec<[String; 4]>;

fn tapline(file: &Path) -> Hellos {
    let mut hellos = Vec::new();
    let summary = input::read(std::fs::File::open(file).unwrap(), &mut |sighting| {
        if let Greeting::Tls(hello) = &sighting.greeting {
            let time = sighting.time.map_or(0, |time| time.duration_since(UNIX_EPOCH).unwrap().as_nanos());
            let time = format!("{}.{:09}", time / 1_000_000_000, time % 1_000_000_000);
            hellos.push([sighting.packet.unwrap().to_string(), time, sighting.flow.unwrap().source.to_string(), hello.name.to_string()]);
        }
        ControlFlow::Continue(())
    });
    assert!(!summary.unwrap().truncated);
    hellos
}

fn tshark(file: &Path) -> Hellos {
    let fields =
        ["frame.number", "frame.time_epoch", "ip.src", "ipv6.src", "tcp.srcport", "udp.srcport", "tls.handshake.extensions_server_name"];
    let mut command = outside("tshark");
    command.arg("-r").arg(file).args(["-o", "tcp.reassemble_out_of_order:TRUE", "-Y", "tls.handshake.type == 1", "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let done = finish(&mut command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout
        .lines()
        .map(|line| {
            let mut words = line.split('\t');
            let mut word = || words.next().unwrap().to_owned();
            let (frame, time, four, six, tcp, udp, name) = (word(), word(), word(), word(), word(), word(), word());
            let source = if six.is_empty() { format!("{four}:{tcp}{udp}") } else { format!("[{six}]:{tcp}{udp}") };
            [frame, time, source, name]
        })
        .collect()
}

fn done(command: &mut std::process::Command) {
    let done = finish(command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

/// A capture of these packets, by text2pcap.
pub fn capture(folder: &Path, link: u32, format: &str, packets: &[Vec<u8>]) -> PathBuf {
    let (text, file) = (folder.join("packets.txt"), folder.join(format!("{link}.{format}")));
    let lines = packets.iter().map(|packet| {
        let bytes: Vec<_> = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("000000 {}", bytes.join(" "))
    });
    let dump = lines.collect::<Vec<_>>().join("\n") + "\n";
    std::fs::write(&text, dump).unwrap();
    done(outside("text2pcap").args(["-q", "-F", format, "-l", &link.to_string()]).args([&text, &file]));
    file
}

fn tcp(port: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [192, 0, 2, 1], 64).tcp(port, 443, sequence, 65_535).ack(0).write(&mut packet, payload).unwrap();
    packet
}

/// A hello in one packet, in three that are out of order and one of them twice, over IPv6, and in QUIC.
fn packets(before: &[u8], before_six: &[u8]) -> Vec<Vec<u8>> {
    let mut six = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(50_003, 443, 1, 65_535).ack(0).write(&mut six, HELLO).unwrap();
    let mut udp = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [192, 0, 2, 1], 64).udp(50_004, 443).write(&mut udp, INITIAL).unwrap();
    let four = [
        tcp(50_001, 1, HELLO),
        tcp(50_002, u32::MAX - 99, &HELLO[..100]),
        tcp(50_002, 100, &HELLO[200..]),
        tcp(50_002, 0, &HELLO[100..200]),
        tcp(50_002, 0, &HELLO[100..200]),
        udp,
    ];
    let mut packets: Vec<_> = four.iter().map(|packet| [before, packet].concat()).collect();
    packets.push([before_six, &six].concat());
    packets
}

const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

#[test]
fn captures_of_each_link_type_are_read_as_tshark_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let sll = |protocol: [u8; 2]| [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &protocol].concat();
    let sll2 = |protocol: [u8; 2]| [&protocol[..], &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]].concat();
    for (link, before, before_six) in [
        (0, vec![2, 0, 0, 0], vec![24, 0, 0, 0]),
        (1, [&ETHERNET[..], &[8, 0]].concat(), [&ETHERNET[..], &[0x86, 0xdd]].concat()),
        (1, [&ETHERNET[..], &[0x81, 0, 0, 7, 8, 0]].concat(), [&ETHERNET[..], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 0x86, 0xdd]].concat()),
        (9, vec![0xff, 3, 0, 0x21], vec![0, 0x57]),
        (101, vec![], vec![]),
        (108, vec![0, 0, 0, 2], vec![0, 0, 0, 24]),
        (113, sll([8, 0]), sll([0x86, 0xdd])),
        (276, sll2([8, 0]), sll2([0x86, 0xdd])),
    ] {
        let file = capture(folder.path(), link, "pcap", &packets(&before, &before_six));
        let hellos = tapline(&file);
        assert_eq!(hellos, tshark(&file), "link type {link}");
        let found: Vec<_> = hellos.iter().map(|[frame, _, source, name]| format!("{frame} {source} {name}")).collect();
        assert_eq!(
            found,
            [
                "1 10.0.0.1:50001 www.example.test",
                "4 10.0.0.1:50002 www.example.test",
                "6 10.0.0.1:50004 example.com",
                "7 [101:101:101:101:101:101:101:101]:50003 www.example.test"
            ],
            "link type {link}"
        );
    }
    // Those without a header are of one version of IP each.
    for (link, at) in [(228, 0..6), (229, 6..7)] {
        let file = capture(folder.path(), link, "pcapng", &packets(&[], &[])[at]);
        let hellos = tapline(&file);
        assert!(!hellos.is_empty());
        assert_eq!(hellos, tshark(&file), "link type {link}");
    }
}

#[test]
fn captures_of_each_format_are_read_as_tshark_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let original = capture(folder.path(), 101, "pcapng", &packets(&[], &[]));
    for format in ["pcap", "nsecpcap", "modpcap", "pcapng"] {
        let file = folder.path().join(format!("again.{format}"));
        done(outside("editcap").args(["-F", format]).args([&original, &file]));
        assert_eq!(tapline(&file), tshark(&file), "{format}");
        assert_eq!(tapline(&file).len(), 4);
    }
    // Interfaces of two link types in one file.
    let ethernet = [&ETHERNET[..], &[8, 0], &tcp(50_009, 1, HELLO)].concat();
    let other = capture(folder.path(), 1, "pcapng", &[ethernet]);
    let merged = folder.path().join("merged.pcapng");
    done(outside("mergecap").arg("-a").arg("-w").args([&merged, &original, &other]));
    assert_eq!(tapline(&merged), tshark(&merged));
    assert_eq!(tapline(&merged).len(), 5);
}
