//! The PROXY protocol, in and out.

mod malformed;
mod receiving;
mod sending;

use crate::support::*;
use std::io::Write;

/// Peers on this machine announce their clients.
const ACCEPT: [&str; 2] = ["--accept-proxy", "127.0.0.0/8"];

pub const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 12345 443\r\n";

/// Version 2 by hand: the low half of byte 12, byte 13, and what comes after the length.
pub fn v2(command: u8, form: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x20 | command, form], &length, rest].concat()
}

/// The addresses of [`LINE`] in version 2.
pub const INET: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 1, 0xbb];

fn inet(tlvs: &[u8]) -> Vec<u8> {
    v2(1, 0x11, &[&INET[..], tlvs].concat())
}

/// The program, with announced clients.
fn accepting(args: &[&str]) -> Tapline {
    Tapline::start(&[args, &ACCEPT].concat())
}

/// Sends all of it, ends, and reads the answer.
fn ask_with(tapline: &Tapline, header: &[u8], bytes: &[u8]) -> Vec<u8> {
    ask(tapline.addr(), &[header, bytes].concat())
}

/// A header and some bytes of its own, echoed.
fn echoes(tapline: &Tapline, header: &[u8]) {
    assert_eq!(ask_with(tapline, header, b"payload"), b"payload");
}

fn send(stream: &mut std::net::TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}
