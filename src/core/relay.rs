//! Both ways until both are done, and each way of ending kept apart: an end stays an end, a reset stays a reset.

#[cfg(target_os = "linux")]
mod splice;

use crate::{
    event::{By, End, Phase, Progress},
    idle::silence,
    stream::Stream,
};
use std::{
    io,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

/// How long what was read before an error may take to be sent before the other side is reset.
const DELIVERY: Duration = Duration::from_secs(5);
/// The size of a buffer, one for each direction of a connection that cannot be spliced.
const BUFFER: usize = 64 * 1024;

/// When a relay gives up.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// No byte in either direction for this long; a quarter more may pass before it is noticed.
    pub idle: Option<Duration>,
    /// The same, once one direction has ended.
    pub half_close: Option<Duration>,
}

/// One direction failed.
#[derive(Debug)]
struct Failed {
    /// At its reading end; else at its writing end.
    reading: bool,
    error: io::Error,
}

impl Failed {
    fn read(error: io::Error) -> Self {
        Self { reading: true, error }
    }

    fn write(error: io::Error) -> Self {
        Self { reading: false, error }
    }
}

/// Relays until both directions have ended, one has failed, or a timeout is over.
///
/// An end (EOF) of one side is passed on after all that was read before it, and the other direction goes on. A failure
/// of one side is passed on as RST, after what was read before it: the streams come back with their writing side not
/// shut, so that dropping them resets.
pub async fn relay(client: &mut Stream, target: &mut Stream, timeouts: &Timeouts, progress: &Progress) -> End {
    progress.enter(Phase::Relay);
    let half_closed = AtomicBool::new(false);
    let traffic = (client.traffic().clone(), target.traffic().clone());
    let limit = || if half_closed.load(Relaxed) { timeouts.half_close } else { timeouts.idle };
    // The end of a direction counts as traffic: the other timeout starts with it.
    let count = || traffic.0.total() + traffic.1.total() + u64::from(half_closed.load(Relaxed));
    let watchdog = async {
        match timeouts.idle.into_iter().chain(timeouts.half_close).min() {
            Some(shortest) => silence(shortest, limit, count).await,
            None => std::future::pending().await,
        }
    };
    // What was probed goes first.
    let head = client.take_head();
    let verdict = both(client, target, &head, watchdog, &half_closed, progress).await;
    let half = if half_closed.load(Relaxed) { Phase::HalfClose } else { Phase::Relay };
    match verdict {
        Verdict::Done(first) => End::done(first, Phase::Relay),
        Verdict::Stalled { .. } => {
            let limit = if half == Phase::HalfClose { timeouts.half_close } else { timeouts.idle };
            End::timeout(half, limit.unwrap_or_default())
        }
        Verdict::Failed { source, failed, client_ended } => {
            let to_blame = if failed.reading { source } else { other(source) };
            let survivor = if to_blame == By::Client { &*target } else { &*client };
            // RST discards what the kernel still holds for the survivor.
            survivor.wait_sent(DELIVERY).await;
            failure(to_blame, half, &failed.error, client_ended)
        }
    }
}

fn failure(to_blame: By, half: Phase, error: &io::Error, client_ended: bool) -> End {
    if to_blame == By::Client && half == Phase::HalfClose {
        // One side had said that it was done, and then the client went. Clients of TLS leave like this as a rule, with
        // the target's close_notify on its way or unread.
        let why = if client_ended { "left before the last bytes" } else { "reset after the target had ended" };
        return End { why: why.into(), ..End::done(By::Client, half) };
    }
    let end = End::io(to_blame, half, error);
    // FIN without close_notify: anyone on the way may have cut the stream (RFC 8446 section 6.1).
    let why = if error.kind() == io::ErrorKind::UnexpectedEof { "ended without close_notify".into() } else { end.why };
    End { why, ..end }
}

/// What the two directions came to.
enum Verdict {
    /// Both ended; this side was the first.
    Done(By),
    /// One failed, the one that reads from `source`.
    Failed { source: By, failed: Failed, client_ended: bool },
    /// Nothing passed for as long as the timeout says.
    Stalled { client_ended: bool, target_ended: bool },
}

fn other(side: By) -> By {
    if side == By::Client { By::Target } else { By::Client }
}

/// Sides that could not be written to any more. The error that a reset leaves on a socket is told once (socket(7),
/// SO_ERROR): a write that met it leaves the reader a plain end, which must not be passed on as one.
#[derive(Default)]
struct Cut {
    client: AtomicBool,
    target: AtomicBool,
}

async fn both(
    client: &mut Stream,
    target: &mut Stream,
    head: &[u8],
    watchdog: impl Future<Output = ()>,
    half_closed: &AtomicBool,
    progress: &Progress,
) -> Verdict {
    let cut = Cut::default();
    #[cfg(target_os = "linux")]
    if let (Some(a), Some(b)) = (client.bare_tcp(), target.bare_tcp()) {
        let a = splice::Leg { tcp: a, traffic: client.traffic() };
        let b = splice::Leg { tcp: b, traffic: target.traffic() };
        let up = async {
            splice::write_all(b, head).await?;
            splice::half(a, b, &cut.client, progress).await
        };
        let down = splice::half(b, a, &cut.target, progress);
        let lost = (splice::lost(a.tcp), splice::lost(b.tcp));
        let verdict = join(up, down, watchdog, lost, half_closed, &cut).await;
        // Writing sides were shut on the sockets themselves. A client that takes long for its last bytes, which are the
        // kernel's by now, still gets them. After a failure both are reset all the same: who has had its end and still
        // sends must not believe that it arrives.
        let (client_ended, target_ended) = match verdict {
            Verdict::Done(_) => (true, true),
            Verdict::Stalled { client_ended, target_ended } => (client_ended, target_ended),
            Verdict::Failed { .. } => (false, false),
        };
        if client_ended {
            target.set_shut();
        }
        if target_ended {
            client.set_shut();
        }
        return verdict;
    }
    let (mut client_read, mut client_write) = split(client);
    let (mut target_read, mut target_write) = split(target);
    let up = async {
        write_out(&mut target_write, head).await.map_err(Failed::write)?;
        copy(&mut client_read, &mut target_write, &cut.client).await
    };
    let down = copy(&mut target_read, &mut client_write, &cut.target);
    // TLS reads no further than close_notify, and an error below it shows at the next write.
    let lost = (std::future::pending(), std::future::pending());
    join(up, down, watchdog, lost, half_closed, &cut).await
}

type Half = Result<(), Failed>;

/// Runs both directions. `lost` tells that the client or the target is gone, once its direction has ended: nobody
/// reads from it any more, so that nobody else would notice before the other side speaks again.
async fn join(
    up: impl Future<Output = Half>,
    down: impl Future<Output = Half>,
    watchdog: impl Future<Output = ()>,
    lost: (impl Future<Output = io::Error>, impl Future<Output = io::Error>),
    half_closed: &AtomicBool,
    cut: &Cut,
) -> Verdict {
    let (mut up, mut down, mut watchdog) = (pin!(up), pin!(down), pin!(watchdog));
    let (mut client_lost, mut target_lost) = (pin!(lost.0), pin!(lost.1));
    let (mut up_result, mut down_result): (Option<Half>, Option<Half>) = (None, None);
    let mut first = None;
    let mut stalled = false;
    let unreadable = |result: &Option<Half>| matches!(result, Some(Err(failed)) if failed.reading);
    let unwritable = |result: &Option<Half>| matches!(result, Some(Err(failed)) if !failed.reading);
    // A side that cannot be read any more has nothing more to say, and what goes to it is lost. One that cannot be
    // written to may have sent its last words before: they are still read and delivered.
    while !(stalled || unreadable(&up_result) || unreadable(&down_result) || (up_result.is_some() && down_result.is_some())) {
        tokio::select! {
            result = &mut up, if up_result.is_none() => {
                first.get_or_insert(By::Client);
                up_result = Some(result);
            }
            result = &mut down, if down_result.is_none() => {
                first.get_or_insert(By::Target);
                down_result = Some(result);
            }
            error = &mut client_lost, if matches!(up_result, Some(Ok(()))) => {
                return Verdict::Failed { source: By::Client, failed: Failed::read(error), client_ended: true };
            }
            error = &mut target_lost, if matches!(down_result, Some(Ok(()))) => {
                let client_ended = matches!(up_result, Some(Ok(())));
                return Verdict::Failed { source: By::Target, failed: Failed::read(error), client_ended };
            }
            () = &mut watchdog => stalled = true,
        }
        cut.target.fetch_or(unwritable(&up_result), Relaxed);
        cut.client.fetch_or(unwritable(&down_result), Relaxed);
        half_closed.store(matches!(up_result, Some(Ok(()))) || matches!(down_result, Some(Ok(()))), Relaxed);
    }
    let (client_ended, target_ended) = (matches!(up_result, Some(Ok(()))), matches!(down_result, Some(Ok(()))));
    let in_order = match first {
        Some(By::Target) => [(By::Target, down_result), (By::Client, up_result)],
        _ => [(By::Client, up_result), (By::Target, down_result)],
    };
    for (side, result) in in_order {
        if let Some(Err(failed)) = result {
            return Verdict::Failed { source: side, failed, client_ended };
        }
    }
    if stalled { Verdict::Stalled { client_ended, target_ended } } else { Verdict::Done(first.unwrap_or(By::Client)) }
}

async fn copy(from: &mut ReadHalf<&mut Stream>, to: &mut WriteHalf<&mut Stream>, cut: &AtomicBool) -> Half {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = from.read(&mut buffer).await.map_err(Failed::read)?;
        if n == 0 {
            if cut.load(Relaxed) {
                return Err(Failed::read(io::ErrorKind::ConnectionReset.into()));
            }
            return to.shutdown().await.map_err(Failed::write);
        }
        write_out(to, &buffer[..n]).await.map_err(Failed::write)?;
    }
}

/// Writes and flushes: rustls holds small records back until it is flushed.
async fn write_out(to: &mut (impl AsyncWrite + Unpin), data: &[u8]) -> io::Result<()> {
    to.write_all(data).await?;
    to.flush().await
}
