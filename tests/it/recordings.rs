//! Reading what `--record` and `--record-tls` write, with other people's code.

use pcap_parser::{Block, PcapBlockOwned, PcapNGReader, traits::PcapReaderIterator};
use std::{collections::BTreeMap, path::Path};

#[derive(Debug, Default)]
pub struct Recorded {
    /// The payload of the packets by their ports, source first, with the last flags.
    pub bytes: BTreeMap<(u16, u16), (Vec<u8>, u8)>,
    pub comments: Vec<String>,
    /// The source port and the payload of each packet that has one, and the lines of key logs between them.
    pub pieces: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Bytes(u16, Vec<u8>),
    Secrets(String),
}

impl Recorded {
    /// All lines of key logs in the file.
    pub fn secrets(&self) -> String {
        self.pieces.iter().filter_map(|piece| if let Piece::Secrets(lines) = piece { Some(lines.as_str()) } else { None }).collect()
    }
}

pub fn read(path: &Path) -> Recorded {
    let file = std::fs::read(path).unwrap();
    let (mut reader, mut all) = (PcapNGReader::new(1 << 20, &file[..]).unwrap(), Recorded::default());
    loop {
        match reader.next() {
            Ok((size, block)) => {
                match &block {
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        let tcp = &packet.data[34..packet.caplen as usize];
                        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
                        let payload = &tcp[usize::from(tcp[12] >> 4) * 4..];
                        let stream = all.bytes.entry((port(0), port(2))).or_default();
                        stream.0.extend(payload);
                        stream.1 = tcp[13];
                        if !payload.is_empty() {
                            all.pieces.push(Piece::Bytes(port(0), payload.to_vec()));
                        }
                        let comments = packet.options.iter().filter(|option| option.code.0 == 1);
                        all.comments.extend(comments.map(|comment| String::from_utf8_lossy(&comment.value).into_owned()));
                    }
                    PcapBlockOwned::NG(Block::DecryptionSecrets(secrets)) => {
                        assert_eq!(secrets.secrets_type.0, 0x544c_534b);
                        let lines = &secrets.data[..secrets.secrets_len as usize];
                        all.pieces.push(Piece::Secrets(String::from_utf8(lines.to_vec()).unwrap()));
                    }
                    _ => {}
                }
                reader.consume(size);
            }
            Err(pcap_parser::PcapError::Eof) => return all,
            Err(pcap_parser::PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}
