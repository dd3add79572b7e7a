//! Shows the bytes of connections on stderr: as text, labelled where several are open, as a hexadecimal dump, or as
//! JSON.

use crate::report::{Reporter, Style, safe};
use jiff::Zoned;
use serde::Serialize;
use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};
use tapline::{
    addr::Endpoint,
    event::ConnId,
    text::{self, digits, text},
};
use tokio::sync::Mutex;

/// How bytes look.
#[derive(Clone, Copy)]
pub enum Form {
    /// As they are; for a terminal without what could steer it. Only what clients send: two directions in one text
    /// could not be told apart.
    Text { escaped: bool },
    /// A header line for each chunk, then offset, hexadecimal, ASCII.
    Hex,
    /// A JSON object for each chunk.
    Json,
}

/// Which way bytes went, seen from the client's socket, as in the counters of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the client: `>`.
    Received,
    /// To the client: `<`.
    Sent,
}

/// Where the bytes of all connections are shown. Clones share it.
#[derive(Clone)]
pub struct Console {
    reporter: Reporter,
    form: Form,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Connections that are open.
    open: AtomicUsize,
    /// Held while a chunk is written, so that chunks do not mix.
    line: Mutex<Line>,
}

/// The last line on stderr.
#[derive(Default)]
struct Line {
    /// Whose it is, while it has no end.
    open: Option<ConnId>,
    /// How many events had been said when it was written: the next one ends it.
    said: u64,
}

/// One connection's part of it.
pub struct Connection {
    console: Console,
    id: ConnId,
    peer: Endpoint,
    client: Endpoint,
    received: AtomicU64,
    sent: AtomicU64,
}

/// Bytes that went one way at one time.
struct Chunk<'a> {
    direction: Direction,
    /// Bytes of this direction before these.
    offset: u64,
    time: Zoned,
    bytes: &'a [u8],
}

impl Form {
    pub fn of(hex: bool, style: Style) -> Self {
        match (style.json, hex) {
            (true, _) => Self::Json,
            (false, true) => Self::Hex,
            (false, false) => Self::Text { escaped: style.stderr.terminal },
        }
    }
}

impl Direction {
    /// As socat shows it: client to target is `>`.
    fn sign(self) -> char {
        match self {
            Self::Received => '>',
            Self::Sent => '<',
        }
    }
}

impl Console {
    pub fn new(reporter: Reporter, form: Form) -> Self {
        Self { reporter, form, shared: Arc::default() }
    }

    /// A connection that is open as long as the value lives. `client` is who is behind `peer`, or the peer itself: lines for
    /// people tell of the client.
    pub fn connection(&self, id: ConnId, peer: Endpoint, client: Endpoint) -> Connection {
        self.shared.open.fetch_add(1, Relaxed);
        Connection { console: self.clone(), id, peer, client, received: AtomicU64::new(0), sent: AtomicU64::new(0) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.console.shared.open.fetch_sub(1, Relaxed);
    }
}

impl Connection {
    /// Shows bytes that have just passed; waits where nobody reads stderr. Each direction is shown by one task, in order.
    pub async fn show(&self, direction: Direction, bytes: &[u8]) {
        self.show_at(Zoned::now(), direction, bytes).await;
    }

    /// The same for bytes that passed a moment ago.
    pub async fn show_at(&self, time: Zoned, direction: Direction, bytes: &[u8]) {
        let passed = match direction {
            Direction::Received => &self.received,
            Direction::Sent => &self.sent,
        };
        let chunk = Chunk { direction, offset: passed.fetch_add(bytes.len() as u64, Relaxed), time, bytes };
        let Console { reporter, form, shared } = &self.console;
        let mut line = shared.line.lock().await;
        let said = reporter.said();
        if std::mem::replace(&mut line.said, said) != said {
            line.open = None;
        }
        let out = match form {
            Form::Text { .. } if direction == Direction::Sent => return,
            Form::Text { escaped } => {
                let label = (shared.open.load(Relaxed) > 1).then(|| format!("{} {} | ", self.id, safe(&self.client.to_string())));
                self.text(bytes, *escaped, label.as_deref(), &mut line.open)
            }
            Form::Hex => (self.header(&chunk) + &hex(bytes, chunk.offset)).into_bytes(),
            Form::Json => self.json(&chunk).into_bytes(),
        };
        reporter.to_stderr(out).await;
    }

    fn text(&self, bytes: &[u8], escaped: bool, label: Option<&str>, open_line: &mut Option<ConnId>) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let mut continues = *open_line == Some(self.id);
        if label.is_some() && open_line.is_some() && !continues {
            out.push(b'\n');
        }
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            if let (Some(label), false) = (label, continues) {
                out.extend(label.bytes());
            }
            if escaped {
                escape(line, &mut out);
            } else {
                out.extend(line);
            }
            continues = line.last() != Some(&b'\n');
        }
        *open_line = continues.then_some(self.id);
        out
    }

    /// Whose bytes follow, which way and when they went, how many they are: in socat's words.
    fn header(&self, chunk: &Chunk<'_>) -> String {
        let (length, from) = (chunk.bytes.len() as u64, chunk.offset);
        let time = chunk.time.strftime("%Y-%m-%d %H:%M:%S%.6f");
        let to = (from + length).saturating_sub(1);
        format!("{} {} {} {time} length={length} from={from} to={to}\n", self.id, safe(&self.client.to_string()), chunk.direction.sign())
    }

    fn json(&self, chunk: &Chunk<'_>) -> String {
        let mut object = serde_json::json!({
            "event": "data", "id": self.id, "peer": self.peer, "client": self.client, "direction": chunk.direction,
            "time": crate::report::local_time(&chunk.time),
            "offset": chunk.offset, "bytes": chunk.bytes.len(),
        });
        match std::str::from_utf8(chunk.bytes) {
            Ok(text) => object["text"] = text.into(),
            Err(_) => object["hex"] = text::hex(chunk.bytes).into(),
        }
        crate::report::json(&object) + "\n"
    }
}

/// A line for a terminal: tabs and the final end of the line stay, everything that could steer it is shown.
fn escape(line: &[u8], out: &mut Vec<u8>) {
    let (line, end) = match line {
        [line @ .., b'\r', b'\n'] | [line @ .., b'\n'] => (line, &b"\n"[..]),
        line => (line, &b""[..]),
    };
    for part in text(line).split_inclusive('\t') {
        let (text, tab) = part.strip_suffix('\t').map_or((part, ""), |text| (text, "\t"));
        out.extend(safe(text).bytes().chain(tab.bytes()));
    }
    out.extend(end);
}

/// Lines of 16 bytes, as `hexdump -C` writes them.
fn hex(bytes: &[u8], offset: u64) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(16) * 80);
    for (i, row) in bytes.chunks(16).enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(out, "{:08x} ", offset + 16 * i as u64);
        for column in 0..16 {
            out.push_str(if column == 8 { "  " } else { " " });
            out.extend(row.get(column).map_or([' '; 2], |byte| digits(*byte)));
        }
        out.push_str("  |");
        out.extend(row.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' }));
        out.push_str("|\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_looks_as_hexdump_does() {
        assert_eq!(hex(b"hello\n", 16), "00000010  68 65 6c 6c 6f 0a                                 |hello.|\n");
        assert_eq!(hex(b"0123456789abcdef", 0), "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n");
    }

    #[test]
    fn a_terminal_sees_no_controls() {
        let mut out = Vec::new();
        escape(b"a\tb\x1b[2J\xff\r\n", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a\tb\\u{1b}[2J\\xff\n");
    }
}
