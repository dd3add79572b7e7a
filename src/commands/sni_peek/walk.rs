//! `--anatomy`: the bytes of a hello walked and explained, their offset and themselves on the left, what they mean on the
//! right.

use super::decoded::{bytes, told};
use crate::report::{Look, safe, width};
use anstyle::Style as Paint;
use std::{
    collections::{HashSet, VecDeque},
    fmt::Write,
};
use tapline::{
    hello::{self, ClientHello, Node, Value},
    text::text,
};

const DIM: Paint = Paint::new().dimmed();
/// Bytes in a row.
const ROW: usize = 8;
/// Of a field of more than four rows, the first two and the last one are shown.
const WHOLE: usize = 4;
const FIRST: usize = 2;
const LAST: usize = 1;
/// So many bytes of a text are shown: a name of DNS has 253 at most, a protocol 255.
const LONG: usize = 255;
/// Where the right side begins: offset, two blanks, three columns for each byte, one more.
const LEFT: usize = 4 + 2 + 3 * ROW + 1;
/// No line is wider, but for a single word that is; on a narrower terminal, none is wider than that.
const WIDTH: usize = 100;
/// But so wide it is on every terminal.
const LEAST: usize = 80;

/// All lines, each with its end.
pub fn walk(hello: &ClientHello, look: Look) -> String {
    let nodes = hello::anatomy(hello);
    let width = width(look).map_or(WIDTH, |width| width.clamp(LEAST, WIDTH));
    let headers = nodes.iter().take_while(|node| node.name == RECORD);
    let mut walk = Walk { wire: hello.wire(), hello, headers: headers.collect(), noted: HashSet::new(), out: String::new(), look, width };
    for node in nodes.iter().filter(|node| node.name != RECORD) {
        walk.node(node, 0);
    }
    walk.record_headers(usize::MAX);
    walk.out
}

/// The header of a record.
const RECORD: &str = "TLSPlaintext";

struct Walk<'a> {
    hello: &'a ClientHello,
    wire: Vec<u8>,
    /// Those that are still to come.
    headers: VecDeque<&'a Node>,
    /// What was explained, which is not explained again.
    noted: HashSet<String>,
    out: String,
    look: Look,
    width: usize,
}

impl Walk<'_> {
    /// The headers of records that stand before this place, which is inside of a message that goes through all records.
    fn record_headers(&mut self, before: usize) {
        while let Some(header) = self.headers.pop_front_if(|header| header.offset < before) {
            self.one(header, 0);
            for field in header.children() {
                self.one(field, 1);
            }
        }
    }

    fn node(&mut self, node: &Node, depth: usize) {
        self.record_headers(node.offset);
        self.one(node, depth);
        for inner in node.children() {
            self.node(inner, depth + 1);
        }
    }

    /// A node without what is in it.
    fn one(&mut self, node: &Node, depth: usize) {
        let name = safe(&node.name);
        let title = match &node.value {
            Value::Number(number) => format!("{name}: {number}"),
            Value::Code { code, meaning } => {
                let meaning = meaning.as_deref().map_or(String::new(), |meaning| format!(" {}", safe(meaning)));
                format!("{name}: 0x{code:0width$x}{meaning}", width = 2 * node.length)
            }
            Value::Text(said) if said.len() > LONG => format!("{name}: \"{}\"... of {}", safe(&text(&said[..LONG])), bytes(said.len())),
            Value::Text(said) => format!("{name}: \"{}\"", safe(&text(said))),
            Value::Opaque(_) => format!("{name}: {}", bytes(node.length)),
            Value::Malformed { what, .. } => format!("{name}: MALFORMED, {what}"),
            Value::List(items) => format!("{name}: {} in {}", told(items).count(), bytes(node.length)),
            Value::Struct(fields) => match fields.first().map(|first| (&first.value, first.name.ends_with("version"))) {
                // What kind of thing it is.
                Some((Value::Code { meaning: Some(meaning), .. }, false)) => {
                    format!("{name} ({}): {}", safe(meaning), bytes(node.length))
                }
                _ => format!("{name}: {}", bytes(node.length)),
            },
        };
        let left = match &node.value {
            Value::List(_) | Value::Struct(_) => vec![place(node.offset)],
            _ => self.rows(node),
        };
        let indent = 2 * depth;
        let mut right: Vec<_> = wrapped(&title, self.width, indent, indent + 4).into_iter().map(|line| (line, false)).collect();
        if let Some(note) = node.note.as_deref().filter(|note| self.noted.insert((*note).to_owned())) {
            right.extend(wrapped(&format!("- {}", safe(note)), self.width, indent + 2, indent + 4).into_iter().map(|line| (line, true)));
        }
        self.both_sides(&left, &right);
    }

    /// Both sides next to each other, the shorter one filled up.
    fn both_sides(&mut self, left: &[String], right: &[(String, bool)]) {
        for at in 0..left.len().max(right.len()) {
            let side = left.get(at).map_or("", String::as_str);
            // Writing to a String cannot fail.
            let _ = match right.get(at) {
                Some((text, true)) if self.look.color => writeln!(self.out, "{side:LEFT$}{DIM}{text}{DIM:#}"),
                Some((text, _)) => writeln!(self.out, "{side:LEFT$}{text}"),
                None => writeln!(self.out, "{side}"),
            };
        }
    }

    /// The bytes of a field in rows; from the middle of a long one they are counted.
    fn rows(&self, node: &Node) -> Vec<String> {
        let pieces = self.hello.pieces(node.offset, node.length);
        let mut rows = Vec::new();
        // Where a row begins is told of each, so that none goes over the header of a record.
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            let bytes = self.wire.get(piece.clone()).unwrap_or_default();
            rows.extend(bytes.chunks(ROW).enumerate().map(|(at, bytes)| (piece.start + at * ROW, bytes)));
        }
        let elided = rows.len() > WHOLE;
        let between: usize = if elided { rows[FIRST..rows.len() - LAST].iter().map(|(_, bytes)| bytes.len()).sum() } else { 0 };
        let row = |(offset, bytes): &(usize, &[u8])| {
            let mut row = place(*offset) + " ";
            for byte in *bytes {
                let _ = write!(row, " {byte:02x}");
            }
            row
        };
        match (rows.is_empty(), elided) {
            (true, _) => vec![place(node.offset)],
            (false, false) => rows.iter().map(row).collect(),
            (false, true) => {
                let first = rows[..FIRST].iter().map(row);
                let last = rows[rows.len() - LAST..].iter().map(row);
                first.chain([format!("      ... {between} more ...")]).chain(last).collect()
            }
        }
    }
}

fn place(offset: usize) -> String {
    format!("{offset:04x}")
}

/// Text in lines that fit the right side, the first one indented by `first`, the others by `others`.
fn wrapped(text: &str, width: usize, first: usize, others: usize) -> Vec<String> {
    let mut lines = vec![" ".repeat(first)];
    let mut empty = true;
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is one");
        if !empty && LEFT + last.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("{}{word}", " ".repeat(others)));
            continue;
        }
        if !empty {
            last.push(' ');
        }
        last.push_str(word);
        empty = false;
    }
    lines
}
