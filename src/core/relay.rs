//! Both ways until both are done, and each way of ending kept apart: an end stays an end, a reset stays a reset.

#[cfg(target_os = "linux")]
mod leg;
mod pump;
#[cfg(target_os = "linux")]
mod splice;
mod treated;
mod watch;

use crate::{
    addr::Endpoint,
    event::{By, ConnId, End, Event, Events, Phase, Progress, is_gone},
    fault::{Faults, Strike},
    stream::Stream,
    tap::Tap,
    tls::{Failure, Peer},
};
pub use treated::Treatment;

use bytes::BytesMut;
use pump::{Ends, Pump, Sockets};
use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, split};
use watch::Watch;

/// How long what was read before an error may take to be sent before the other side is reset.
const DELIVERY: Duration = Duration::from_secs(5);

/// How long a side may take to read the alert that says why it is given up.
const FAREWELL: Duration = Duration::from_secs(1);

/// When a relay gives up.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// No byte in either direction for this long; noticed up to a quarter of the shorter of the two later.
    pub idle: Option<Duration>,
    /// The same, once one direction has ended.
    pub half_close: Option<Duration>,
}

/// How connections are relayed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When a relay gives up.
    pub timeouts: Timeouts,
    /// What is done to the bytes on purpose.
    pub faults: Option<Faults>,
    /// Who watches the bytes.
    pub taps: Vec<Tap>,
}

impl Settings {
    /// Whether bytes pass as they are, and as fast as they can.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.faults.is_none() && self.taps.is_empty()
    }

    /// What is done to the bytes of one connection, and told to `events`; nothing where they pass as they are.
    #[must_use]
    pub fn treatment<'a>(&'a self, between: Between<'_>, events: &'a Events) -> Option<Box<Treatment<'a>>> {
        (!self.is_plain()).then(|| Box::new(Treatment::new(self, between, events)))
    }

    /// Says what is done on purpose, before the first connection.
    pub fn announce(&self, events: &Events) {
        if let Some(Faults { up, down, reset, seed }) = &self.faults {
            events.emit(Event::Faults { seed: *seed, up: up.clone(), down: down.clone(), reset_percent: *reset });
        }
    }
}

/// Whose bytes are relayed.
#[derive(Clone, Copy)]
pub struct Between<'a> {
    /// The connection.
    pub id: ConnId,
    /// The other end of its socket.
    pub peer: &'a Endpoint,
    /// The client: the peer, or who was announced in its place.
    pub client: &'a Endpoint,
    /// The address that took the connection.
    pub target: &'a Endpoint,
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
/// shut, so that dropping them resets. Unix sockets know no RST: theirs is an end, and only the [`End`] tells.
pub async fn relay(
    client: &mut Stream,
    target: &mut Stream,
    timeouts: &Timeouts,
    treatment: Option<Box<Treatment<'_>>>,
    progress: &Progress,
) -> End {
    progress.enter(Phase::Relay);
    let ends = Ends::default();
    let verdict = {
        let watch = pin!(Watch::new(client, target, *timeouts));
        if let Some(treatment) = treatment {
            Box::pin(treatment.both(client, target, watch, &ends)).await
        } else {
            // What was probed goes first.
            let head = (client.take_head(), target.take_head());
            match sockets(client, target) {
                #[cfg(target_os = "linux")]
                Some((a, b)) => {
                    let verdict = join((a, a), (b, b), Some((a, b)), head, watch, &ends, progress).await;
                    set_shut(client, target, &ends);
                    verdict
                }
                None => join(split(&mut *client), split(&mut *target), None, head, watch, &ends, progress).await,
            }
        }
    };
    let half = if ends.half_closed() { Phase::HalfClose } else { Phase::Relay };
    match verdict {
        Verdict::Done(first) => End::done(first, Phase::Relay),
        Verdict::Stalled => {
            // Who has had its end is not reset: the last bytes may still be on their way to someone slow. Who has not, is.
            let limit = if half == Phase::HalfClose { timeouts.half_close } else { timeouts.idle };
            End::timeout(half, limit.unwrap_or_default())
        }
        Verdict::Struck(strike) => {
            cut(client, target).await;
            End::failed(By::Fault, half, strike)
        }
        Verdict::Failed { source, failed } => {
            let to_blame = to_blame(source, &failed);
            let (gone, survivor) = if to_blame == By::Client { (client, target) } else { (target, client) };
            let cut = if to_blame == By::Client { &ends.client.cut } else { &ends.target.cut };
            let error = in_tcp_words(failed.error, gone, cut.load(Relaxed));
            // RST discards what the kernel still holds for the survivor.
            Box::pin(survivor.wait_sent(DELIVERY)).await;
            // Both are reset: who has had its end and still sends must not believe that it arrives.
            survivor.reset_when_dropped();
            gone.reset_when_dropped();
            if Peer::of(to_blame).and_then(|peer| Failure::of(&error, peer)).is_some_and(|failure| failure.was_told()) {
                Box::pin(gone.end_after_alert(FAREWELL)).await;
            }
            failure(to_blame, half, &error, ends.client.ended.load(Relaxed))
        }
    }
}

/// Lets what was written be sent; then both are reset when they are dropped, so that neither seems complete.
pub(crate) async fn cut(client: &mut Stream, target: &mut Stream) {
    Box::pin(async { tokio::join!(client.wait_sent(DELIVERY), target.wait_sent(DELIVERY)) }).await;
    client.reset_when_dropped();
    target.reset_when_dropped();
}

/// The sockets, where nothing stands between them and the reader.
#[cfg(target_os = "linux")]
fn sockets<'a>(client: &'a Stream, target: &'a Stream) -> Option<Sockets<'a>> {
    Some((leg::Leg::of(client)?, leg::Leg::of(target)?))
}

#[cfg(not(target_os = "linux"))]
fn sockets<'a>(_: &'a Stream, _: &'a Stream) -> Option<Sockets<'a>> {
    None
}

/// Where the ends were passed on by the sockets themselves, or will be when they are closed, the streams are told.
#[cfg(target_os = "linux")]
fn set_shut(client: &mut Stream, target: &mut Stream, ends: &Ends) {
    if ends.client.ended.load(Relaxed) {
        target.set_shut();
    }
    if ends.target.ended.load(Relaxed) {
        client.set_shut();
    }
}

/// To write to a peer that has reset fails with EPIPE where it had ended before, or where the reset was told already
/// (tcp_reset and tcp_sendmsg in Linux). Of Unix sockets, EPIPE tells of one that was closed. Where a write was `cut` by a
/// reset, TLS reads an end without close_notify ([`pump::Side::cut`]).
fn in_tcp_words(error: io::Error, gone: &Stream, cut: bool) -> io::Error {
    let reset = match error.kind() {
        io::ErrorKind::BrokenPipe => true,
        io::ErrorKind::UnexpectedEof => cut,
        _ => false,
    };
    if reset && gone.tcp().is_some() { io::ErrorKind::ConnectionReset.into() } else { error }
}

fn failure(to_blame: By, half: Phase, error: &io::Error, client_ended: bool) -> End {
    let end = End::stream(to_blame, half, error);
    if to_blame == By::Client && half == Phase::HalfClose && is_gone(error) {
        // One side had said that it was done, and then the client went. Clients of TLS leave like this as a rule, with
        // the target's close_notify on its way or unread.
        let why = if client_ended { "left before the last bytes".into() } else { format!("{} after the target had ended", end.why) };
        return End { why: why.into(), ..End::done(By::Client, half) };
    }
    end
}

/// What the two directions came to.
enum Verdict {
    /// Both ended; this side was the first.
    Done(By),
    /// One failed, the one that reads from `source`.
    Failed { source: By, failed: Failed },
    /// A fault ended both.
    Struck(Strike),
    /// Nothing passed for as long as the timeout says.
    Stalled,
}

/// The side that failed.
fn to_blame(source: By, failed: &Failed) -> By {
    if failed.reading { source } else { other(source) }
}

fn other(side: By) -> By {
    if side == By::Client { By::Target } else { By::Client }
}

/// What became of a direction.
enum Course {
    Running,
    /// The end was passed on.
    Ended,
    Failed(Failed),
}

impl Course {
    /// A side that cannot be read any more has nothing more to say, and what goes to it is lost. One that cannot be written
    /// to may have sent its last words before: they are still read and delivered.
    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Failed(failed) if failed.reading)
    }

    fn is_over(&self) -> bool {
        !matches!(self, Self::Running)
    }

    fn failed(self) -> Option<Failed> {
        if let Self::Failed(failed) = self { Some(failed) } else { None }
    }
}

/// Runs both directions until both have ended, one has failed for good, or nothing passes any more. Not an `async fn`,
/// which would keep its arguments twice for as long as the connection lives.
fn join<'a>(
    mut client: (impl AsyncRead + Unpin + 'a, impl AsyncWrite + Unpin + 'a),
    mut target: (impl AsyncRead + Unpin + 'a, impl AsyncWrite + Unpin + 'a),
    sockets: Option<Sockets<'a>>,
    (up, down): (BytesMut, BytesMut),
    watch: Pin<&'a mut Watch>,
    ends: &'a Ends,
    progress: &'a Progress,
) -> impl Future<Output = Verdict> + 'a {
    let (mut up, mut down) = (Pump::new(up), Pump::new(down));
    let back = sockets.map(|(client, target)| (target, client));
    conduct(
        move |cx| up.poll(cx, &mut client.0, &mut target.1, sockets, (&ends.client, &ends.target), progress),
        move |cx| down.poll(cx, &mut target.0, &mut client.1, back, (&ends.target, &ends.client), progress),
        sockets,
        watch,
        ends,
    )
}

/// The same for two directions of any kind.
fn conduct<'a>(
    mut up: impl FnMut(&mut Context<'_>) -> Poll<Result<(), Failed>> + 'a,
    mut down: impl FnMut(&mut Context<'_>) -> Poll<Result<(), Failed>> + 'a,
    sockets: Option<Sockets<'a>>,
    mut watch: Pin<&'a mut Watch>,
    ends: &'a Ends,
) -> impl Future<Output = Verdict> + 'a {
    let (mut upward, mut downward) = (Course::Running, Course::Running);
    let mut first = None;
    #[cfg(target_os = "linux")]
    let mut lost: Option<Pin<Box<dyn Future<Output = io::Error> + Send + 'a>>> = None;
    poll_fn(move |cx| {
        if let Course::Running = upward
            && let Poll::Ready(moved) = up(cx)
        {
            first.get_or_insert(By::Client);
            upward = moved.map_or_else(Course::Failed, |()| Course::Ended);
        }
        if let Course::Running = downward
            && let Poll::Ready(moved) = down(cx)
        {
            first.get_or_insert(By::Target);
            downward = moved.map_or_else(Course::Failed, |()| Course::Ended);
        }
        if !(upward.is_unreadable() || downward.is_unreadable() || upward.is_over() && downward.is_over()) {
            // Nobody reads any more from a side that has ended, so that nobody else would notice before the other side
            // speaks again that it is gone. TLS reads no further than close_notify: an error below shows at the next write.
            #[cfg(target_os = "linux")]
            if let Some((a, b)) = sockets
                && ends.half_closed()
            {
                let (source, leg) = if upward.is_over() { (By::Client, a) } else { (By::Target, b) };
                if let Poll::Ready(error) = lost.get_or_insert_with(|| Box::pin(leg.lost())).as_mut().poll(cx) {
                    return Poll::Ready(Verdict::Failed { source, failed: Failed::read(error) });
                }
            }
            return watch.as_mut().poll(cx, ends).map(|()| Verdict::Stalled);
        }
        let (upward, downward) = (std::mem::replace(&mut upward, Course::Ended), std::mem::replace(&mut downward, Course::Ended));
        let in_order = match first {
            Some(By::Target) => [(By::Target, downward), (By::Client, upward)],
            _ => [(By::Client, upward), (By::Target, downward)],
        };
        let failures = in_order.into_iter().filter_map(|(source, course)| course.failed().map(|failed| (source, failed)));
        // A side that fails in both directions says more to its reader: to its writer it is only closed.
        let failed = failures.min_by_key(|(_, failed)| !failed.reading);
        Poll::Ready(failed.map_or(Verdict::Done(first.unwrap_or(By::Client)), |(source, failed)| Verdict::Failed { source, failed }))
    })
}
