//! Reading a client's first bytes within a deadline, and refusing it so that it knows why.

use crate::{
    event::{By, End, Phase, Progress},
    hello::{self, Alert, Greeting, Malformed, Reader},
    stream::{Probed, Stream},
};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, time::timeout};

/// How long a refused client may take to read the refusal.
const FAREWELL: Duration = Duration::from_secs(1);

/// Reads until it is certain what the client speaks, for at most `limit` in all, of which `spent` is over; nothing that was read is lost.
///
/// # Errors
/// Nothing certain came: the client ended, failed, was late or said nothing.
pub async fn greeting(stream: &mut Stream, limit: Duration, spent: Duration, progress: &Progress) -> Result<Greeting, Unfinished> {
    progress.enter(Phase::Hello);
    let mut reader = Reader::new();
    let greeting = first(stream, Phase::Hello, "hello", limit, spent, hello::MOST_ON_WIRE, |bytes| reader.read(bytes)).await;
    Ok(greeting?.unwrap_or_else(|| Greeting::Malformed(Malformed::unfinished(stream.head()))))
}

/// How a wait for first bytes came to nothing. What was read until then is kept.
#[derive(Debug)]
pub struct Unfinished {
    /// What stopped it.
    pub cause: Cause,
    /// How the connection ends, unless somebody takes it as it is.
    pub end: End,
}

/// What stopped a wait for first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The client ended: it can still be answered.
    Ended,
    /// The client is gone.
    Failed,
    /// The time was over.
    Late,
}

impl Unfinished {
    /// What is wrong with `read`, where that begins like TLS and whoever sent it can still be answered.
    #[must_use]
    pub fn hello(&self, read: &[u8]) -> Option<Malformed> {
        let mut reader = Reader::new();
        let begun = self.cause != Cause::Failed && reader.read(read).is_none() && reader.is_tls();
        begun.then(|| Malformed::unfinished(read))
    }
}

/// Reads `what` until `parse` comes to a verdict, for at most `limit` in all, of which `spent` is over; `None` where `most`
/// bytes were not enough.
///
/// # Errors
/// How the connection ends that ended or failed before, or was silent.
pub(crate) async fn first<T>(
    stream: &mut Stream,
    during: Phase,
    what: &str,
    limit: Duration,
    spent: Duration,
    most: usize,
    parse: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Option<T>, Unfinished> {
    let probed = timeout(limit.saturating_sub(spent), stream.probe(most, parse)).await;
    let bytes = stream.head().len();
    let (cause, end) = match probed {
        Ok(Ok(Probed::Match(verdict))) => return Ok(Some(verdict)),
        Ok(Ok(Probed::Full)) => return Ok(None),
        Ok(Ok(Probed::Eof)) if bytes == 0 => (Cause::Ended, End::failed(By::Client, during, format!("ended without a {what}"))),
        Ok(Ok(Probed::Eof)) => (Cause::Ended, End::failed(By::Client, during, format!("ended after {bytes} bytes of a {what}"))),
        Ok(Err(error)) => (Cause::Failed, End::io(By::Client, during, &error)),
        Err(_) if bytes == 0 => (Cause::Late, End::timeout(during, limit)),
        Err(_) => (Cause::Late, End::failed(By::Timeout, during, format!("only {bytes} bytes of a {what} in {limit:?}"))),
    };
    Err(Unfinished { cause, end })
}

/// Sends a fatal alert and closes so that it can be read.
pub async fn refuse(stream: Stream, alert: Alert) {
    // type 21, version 3.3, length 2, level fatal
    farewell(stream, &[21, 3, 3, 0, 2, 2, alert as u8]).await;
}

/// Closes without a word to a client whose language is unknown, so that what was said before can be read.
pub async fn close(stream: Stream) {
    farewell(stream, &[]).await;
}

/// Closes with these last words, so that they can be read.
pub(crate) async fn farewell(mut stream: Stream, words: &[u8]) {
    // Unread bytes at close(2) make the kernel send RST, which can overtake what was said.
    stream.take_head();
    // A client that is gone needs no words.
    let _ = timeout(FAREWELL, stream.write_all(words)).await;
    stream.close_gently(FAREWELL).await;
}
