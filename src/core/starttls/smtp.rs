//! SMTP: the server greets, the client says EHLO and STARTTLS (RFC 3207). Everything else waits until TLS is there.

use super::{client_failed, client_io, from_client, from_target, unexpected};
use crate::{
    addr::Endpoint,
    event::{By, End, Phase, brief},
    stream::Stream,
    text::text,
};
use std::{io, net::IpAddr};
use tokio::io::AsyncWriteExt;

/// The longest line. RFC 5321 section 4.5.3.1 has 512 bytes, extensions of MAIL some more.
const MOST_IN_LINE: usize = 2048;
/// The most commands before TLS.
const MOST_COMMANDS: usize = 32;
/// The most bytes of a target's answer, of however many lines.
const MOST_IN_REPLY: usize = 16 * 1024;

pub(super) async fn with_client(stream: &mut Stream) -> Result<(), End> {
    let here = literal(&stream.local_addr().map_err(|error| client_io(&error))?);
    say(stream, &format!("220 {here} ESMTP\r\n")).await?;
    for _ in 0..MOST_COMMANDS {
        let Some(length) = from_client(stream, MOST_IN_LINE, line_end).await? else {
            let bytes = stream.head().len();
            if bytes < MOST_IN_LINE {
                return Err(client_failed("ended before STARTTLS"));
            }
            say(stream, "500 5.5.2 too long\r\n").await?;
            return Err(client_failed(format_args!("{bytes} bytes without the end of a line before STARTTLS")));
        };
        let line = String::from_utf8_lossy(&stream.head()[..length]).trim_end().to_ascii_uppercase();
        stream.skip_head(length);
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match verb {
            "EHLO" => format!("250-{here}\r\n250 STARTTLS\r\n"),
            "HELO" => format!("250 {here}\r\n"),
            "NOOP" | "RSET" => "250 2.0.0 OK\r\n".to_owned(),
            "QUIT" => {
                say(stream, "221 2.0.0 bye\r\n").await?;
                return Err(End::done(By::Client, Phase::Hello));
            }
            "STARTTLS" if !rest.is_empty() => "501 5.5.4 no parameters allowed\r\n".to_owned(),
            "STARTTLS" if !stream.head().is_empty() => {
                // What was said in clear must not pass for what is said under TLS (CVE-2011-0411).
                say(stream, "554 5.5.1 bytes after STARTTLS that did not wait for the answer\r\n").await?;
                return Err(client_failed("bytes after STARTTLS that did not wait for the answer"));
            }
            "STARTTLS" => return say(stream, "220 2.0.0 go ahead\r\n").await,
            "MAIL" | "RCPT" | "DATA" | "BDAT" | "AUTH" | "VRFY" | "EXPN" | "ETRN" | "HELP" | "TURN" => {
                "530 5.7.0 Must issue a STARTTLS command first\r\n".to_owned()
            }
            _ => "500 5.5.1 unknown command\r\n".to_owned(),
        };
        say(stream, &answer).await?;
    }
    say(stream, "421 4.7.0 too many commands before STARTTLS\r\n").await?;
    Err(client_failed(format_args!("{MOST_COMMANDS} commands without STARTTLS")))
}

/// Takes the greeting, which the client has had already. It begins anew with EHLO once it has TLS (RFC 3207 section 4.2).
pub(super) async fn greeted(stream: &mut Stream) -> io::Result<()> {
    expect(stream, "the connection", "220").await.map(drop)
}

pub(super) async fn with_target(stream: &mut Stream) -> io::Result<()> {
    greeted(stream).await?;
    let here = literal(&stream.local_addr()?);
    stream.write_all(format!("EHLO {here}\r\n").as_bytes()).await?;
    let offered = expect(stream, "EHLO", "250").await?;
    // Each line after the first is an extension, behind its code and a hyphen or space.
    if !offered.lines().skip(1).any(|line| line.get(4..).is_some_and(|word| word.trim_end().eq_ignore_ascii_case("STARTTLS"))) {
        return Err(unexpected("offers no STARTTLS"));
    }
    stream.write_all(b"STARTTLS\r\n").await?;
    expect(stream, "STARTTLS", "220").await?;
    Ok(())
}

/// Reads one reply, which must have this code and be the last that was sent.
async fn expect(stream: &mut Stream, to: &str, code: &str) -> io::Result<String> {
    let mut seen = 0;
    let length = from_target(stream, MOST_IN_REPLY, |bytes| reply_end(bytes, &mut seen)).await?;
    let reply = text(&stream.head()[..length]);
    // More than was asked for would be taken for the answer to the next question, or for TLS.
    if stream.head().len() > length {
        return Err(unexpected(format_args!("said more than its answer to {to}")));
    }
    stream.skip_head(length);
    if reply.starts_with(code) {
        return Ok(reply);
    }
    let first = reply.lines().next().unwrap_or_default();
    Err(unexpected(format_args!("answered {to} with {:?}", brief(first))))
}

/// Where a reply ends: after the first line whose code is followed by no hyphen. `seen` is where the line begins that is
/// not yet whole.
fn reply_end(bytes: &[u8], seen: &mut usize) -> Option<usize> {
    while let Some(length) = line_end(&bytes[*seen..]) {
        let line = &bytes[*seen..*seen + length];
        *seen += length;
        if line.get(3) != Some(&b'-') {
            return Some(*seen);
        }
    }
    None
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}

async fn say(stream: &mut Stream, text: &str) -> Result<(), End> {
    stream.write_all(text.as_bytes()).await.map_err(|error| client_io(&error))
}

/// An address as SMTP writes it where a host has no name (RFC 5321 section 4.1.3).
fn literal(end: &Endpoint) -> String {
    match end.socket_addr().map(|addr| addr.ip()) {
        Some(IpAddr::V4(ip)) => format!("[{ip}]"),
        Some(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        None => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_several_lines_ends_with_its_last_however_it_comes() {
        let reply = b"250-a.test greets\r\n250-SIZE 1\r\n250-\r\n250 STARTTLS\r\n";
        let mut seen = 0;
        for end in 0..reply.len() {
            assert_eq!(reply_end(&reply[..end], &mut seen), None);
        }
        assert_eq!(reply_end(reply, &mut seen), Some(reply.len()));
        assert_eq!(reply_end(b"220 x\r\nmore\r\n", &mut 0), Some(7));
        assert_eq!(reply_end(b"220\n", &mut 0), Some(4));
    }

    #[test]
    fn addresses_are_written_as_smtp_has_them() {
        for (addr, text) in [("127.0.0.1:25", "[127.0.0.1]"), ("[::1]:25", "[IPv6:::1]")] {
            assert_eq!(literal(&Endpoint::Tcp(addr.parse().unwrap())), text);
        }
    }
}
