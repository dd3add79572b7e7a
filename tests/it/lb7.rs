//! `tapline lb7`: requests over backends. Clients and backends are bare sockets, so that the bytes are seen as they are.

mod bodies;
mod endings;
mod failures;
mod headers;
mod turns;

use crate::support::*;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, channel},
    },
};

/// An HTTP message as it came.
#[derive(Debug)]
struct Message {
    /// The connection it came on, from 1.
    conn: usize,
    /// Everything up to the empty line.
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn start(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// All values of a header, in their order.
    fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The next message, with its body by the framing that it names; `None` where the stream ends before it.
    fn read(stream: &mut TcpStream) -> Option<Self> {
        let head = read_head(stream)?;
        let mut message = Self { conn: 0, head, body: Vec::new() };
        if let [length] = message.all("content-length")[..] {
            message.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut message.body).ok()?;
        } else if message.all("transfer-encoding") == ["chunked"] {
            message.body = read_chunks(stream)?;
        } else if message.start().starts_with("HTTP/") {
            stream.read_to_end(&mut message.body).ok()?;
        }
        Some(message)
    }
}

/// Everything up to the empty line, without it.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap().trim_end().to_owned())
}

fn read_line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        line.push(byte[0]);
    }
    Some(String::from_utf8(line).unwrap().trim_end().to_owned())
}

fn read_chunks(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&read_line(stream)?, 16).unwrap();
        let mut chunk = vec![0; size + 2];
        stream.read_exact(&mut chunk).ok()?;
        body.extend(&chunk[..size]);
        if size == 0 {
            return Some(body);
        }
    }
}

/// A backend that gives the same answer to every request of every connection, and tells what it got.
fn backend(answer: impl Into<Vec<u8>>) -> (SocketAddr, Receiver<Message>) {
    let (answer, count) = (answer.into(), AtomicUsize::new(0));
    let (send, receive) = channel();
    let addr = server(move |mut stream| {
        let conn = count.fetch_add(1, Relaxed) + 1;
        while let Some(message) = Message::read(&mut stream) {
            let _ = send.send(Message { conn, ..message });
            if stream.write_all(&answer).is_err() {
                break;
            }
        }
    });
    (addr, receive)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// A balancer over these backends that makes no connection but for requests.
fn balancer(backends: &[SocketAddr], more: &[&str]) -> Tapline {
    let backends: Vec<_> = backends.iter().map(ToString::to_string).collect();
    let mut args = vec!["lb7", "0", "--policy", "round-robin", "--no-checks"];
    args.extend(backends.iter().map(String::as_str));
    args.extend(more);
    Tapline::start(&args)
}

/// Sends a request on a connection and reads its answer.
fn exchange(stream: &mut TcpStream, request: impl AsRef<[u8]>) -> Message {
    stream.write_all(request.as_ref()).unwrap();
    Message::read(stream).expect("an answer")
}

/// The same on a connection of its own.
fn get(tapline: &Tapline) -> Message {
    exchange(&mut tapline.connect(), GET)
}
