//! Reading a client's first bytes within a deadline, and refusing it so that it knows why.

use crate::{
    event::{By, End, Phase, Progress},
    hello::{self, Greeting, Malformed},
    stream::{Probed, Stream},
};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, time::timeout};

/// How long a refused client may take to read the refusal.
const FAREWELL: Duration = Duration::from_secs(1);

/// TLS alerts, as a description byte of a fatal alert (RFC 8446 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alert {
    /// The hello is malformed.
    DecodeError = 50,
    /// The handshake goes no further, and nothing is wrong with the hello.
    HandshakeFailure = 40,
    /// No route or certificate has this name (RFC 6066 section 3).
    UnrecognizedName = 112,
}

/// Reads until it is certain what the client speaks, for at most `limit` in all; nothing that was read is lost.
///
/// # Errors
/// How the connection ends where nothing certain came: the client ended, failed, said nothing, or sent too much.
pub async fn greeting(stream: &mut Stream, limit: Duration, progress: &Progress) -> Result<Greeting, End> {
    progress.enter(Phase::Hello);
    match timeout(limit, stream.probe(hello::MOST_ON_WIRE, hello::read)).await {
        Ok(Ok(Probed::Match(greeting))) => Ok(greeting),
        Ok(Ok(Probed::Eof)) if stream.head().is_empty() => Err(End::failed(By::Client, Phase::Hello, "ended without a byte")),
        Ok(Ok(Probed::Eof)) => Err(End::failed(By::Client, Phase::Hello, format!("ended after {} bytes of a hello", stream.head().len()))),
        Ok(Ok(Probed::Full)) => Ok(Greeting::Malformed(Malformed::unfinished(stream.head()))),
        Ok(Err(error)) => Err(End::io(By::Client, Phase::Hello, &error)),
        Err(_) if stream.head().is_empty() => Err(End::timeout(Phase::Hello, limit)),
        Err(_) => Err(End::failed(By::Timeout, Phase::Hello, format!("only {} bytes of a hello in {limit:?}", stream.head().len()))),
    }
}

/// Sends a fatal alert and closes so that it can be read.
pub async fn refuse(mut stream: Stream, alert: Alert) {
    // Unread bytes at close(2) make the kernel send RST, which can overtake the alert.
    stream.take_head();
    // type 21, version 3.3, length 2, level fatal. A client that is gone needs no alert.
    let _ = timeout(FAREWELL, stream.write_all(&[21, 3, 3, 0, 2, 2, alert as u8])).await;
    stream.close_gently(FAREWELL).await;
}

/// Closes without a word to a client whose language is unknown, so that what was said before can be read.
pub async fn close(mut stream: Stream) {
    stream.take_head();
    stream.close_gently(FAREWELL).await;
}
