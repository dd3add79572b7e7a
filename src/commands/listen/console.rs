//! What `listen` does with the bytes: shows them on stderr, labelled where several clients are connected, or writes
//! them out as they are.

use crate::report::{Reporter, Style, safe};
use std::{
    fmt::Write,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use tapline::{
    addr::Endpoint,
    event::{By, ConnId, End, Phase},
};
use tokio::{fs::File, io::AsyncWriteExt, sync::Mutex};

/// Where bytes go.
pub enum Sink {
    Stderr(Form),
    Stdout,
    File(Mutex<File>, PathBuf),
}

/// How bytes look on stderr.
#[derive(Clone, Copy)]
pub enum Form {
    /// As they are; for a terminal without what could steer it.
    Text { escaped: bool },
    /// Offset, hexadecimal, ASCII.
    Hex,
    /// A JSON object for each read.
    Json,
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

/// Everything that clients send.
pub struct Console {
    reporter: Reporter,
    sink: Sink,
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

/// One client's part of it.
pub struct Client<'a> {
    console: &'a Console,
    id: ConnId,
    peer: Endpoint,
    offset: u64,
}

impl Console {
    pub fn new(reporter: Reporter, sink: Sink) -> Self {
        Self { reporter, sink, open: AtomicUsize::new(0), line: Mutex::default() }
    }

    pub fn client(&self, id: ConnId, peer: Endpoint) -> Client<'_> {
        self.open.fetch_add(1, Relaxed);
        Client { console: self, id, peer, offset: 0 }
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.console.open.fetch_sub(1, Relaxed);
    }
}

impl Client<'_> {
    /// Shows or writes what was read; waits where nobody takes it.
    pub async fn show(&mut self, bytes: &[u8]) -> Result<(), End> {
        let form = match &self.console.sink {
            Sink::Stderr(form) => *form,
            Sink::Stdout => {
                let written = self.console.reporter.to_stdout(bytes.to_vec()).await;
                return written.map_err(|_| End::done(By::Shutdown, Phase::Relay));
            }
            Sink::File(file, path) => {
                let mut file = file.lock().await;
                let written = match file.write_all(bytes).await {
                    Ok(()) => file.flush().await,
                    failed => failed,
                };
                return written.map_err(|error| End::failed(By::Local, Phase::Relay, format!("cannot write {}: {error}", path.display())));
            }
        };
        let mut line = self.console.line.lock().await;
        let said = self.console.reporter.said();
        if std::mem::replace(&mut line.said, said) != said {
            line.open = None;
        }
        let label = (self.console.open.load(Relaxed) > 1).then(|| format!("{} {} | ", self.id, self.peer));
        let out = match form {
            Form::Text { escaped } => self.text(bytes, escaped, label.as_deref(), &mut line.open),
            Form::Hex => hex(bytes, self.offset, label.as_deref().unwrap_or_default()).into_bytes(),
            Form::Json => self.json(bytes).into_bytes(),
        };
        self.offset += bytes.len() as u64;
        self.console.reporter.to_stderr(out).await;
        Ok(())
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

    fn json(&self, bytes: &[u8]) -> String {
        let mut object =
            serde_json::json!({ "event": "data", "id": self.id, "peer": self.peer, "offset": self.offset, "bytes": bytes.len() });
        match std::str::from_utf8(bytes) {
            Ok(text) => object["text"] = text.into(),
            Err(_) => object["hex"] = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")).into(),
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
    for chunk in line.utf8_chunks() {
        for part in chunk.valid().split_inclusive('\t') {
            let (text, tab) = part.strip_suffix('\t').map_or((part, ""), |text| (text, "\t"));
            out.extend(safe(text).bytes().chain(tab.bytes()));
        }
        for byte in chunk.invalid() {
            out.extend(format!("\\x{byte:02x}").bytes());
        }
    }
    out.extend(end);
}

/// Lines of 16 bytes, as `hexdump -C` writes them.
fn hex(bytes: &[u8], offset: u64, label: &str) -> String {
    let mut out = String::new();
    for (i, row) in bytes.chunks(16).enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(out, "{label}{:08x} ", offset + 16 * i as u64);
        for column in 0..16 {
            let gap = if column == 8 { "  " } else { " " };
            let _ = match row.get(column) {
                Some(byte) => write!(out, "{gap}{byte:02x}"),
                None => write!(out, "{gap}  "),
            };
        }
        let ascii: String = row.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '.' }).collect();
        let _ = writeln!(out, "  |{ascii}|");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_looks_as_hexdump_does() {
        assert_eq!(hex(b"hello\n", 16, ""), "00000010  68 65 6c 6c 6f 0a                                 |hello.|\n");
        assert_eq!(
            hex(b"0123456789abcdef", 0, "#1 "),
            "#1 00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n"
        );
    }

    #[test]
    fn a_terminal_sees_no_controls() {
        let mut out = Vec::new();
        escape(b"a\tb\x1b[2J\xff\r\n", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a\tb\\u{1b}[2J\\xff\n");
    }
}
