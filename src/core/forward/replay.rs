//! Another target where the first gave no answer: what the client has said is kept until the first byte comes back.

use super::Replay;
use crate::{
    event::{By, End, Phase},
    idle::Silence,
    relay::Timeouts,
    stream::Stream,
};
use std::{
    fmt,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::AsyncWrite,
    time::{Instant, sleep},
};

/// What is kept of a client, give or take one read. Who says more than that stays with its target.
const MOST: usize = 64 * 1024;

/// What came of waiting for the first byte.
pub(super) enum Heard {
    /// The target speaks, or the client has said more than is kept: they are to be relayed from here on.
    Spoke,
    /// The target gave no answer.
    Left(Left),
    /// The connection is over.
    Over(End),
}

/// Why a target gave no answer.
pub(super) enum Left {
    Ended,
    Failed(io::Error),
    Silent(Duration),
}

impl Left {
    /// How the connection ends where there is no other target; it does not, where the client can be shown what this one does.
    pub(super) fn end(&self) -> Option<End> {
        match self {
            Self::Ended | Self::Silent(_) => None,
            // A socket tells its error once: read again, it would seem to have ended.
            Self::Failed(error) => Some(End::stream(By::Target, Phase::Relay, error)),
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("ended before its first byte"),
            Self::Failed(error) => write!(f, "{} before its first byte", End::stream(By::Target, Phase::Relay, error).why),
            Self::Silent(limit) => write!(f, "no first byte for {limit:?}"),
        }
    }
}

/// One client and one target, until the target's first byte.
struct Listening<'a> {
    client: &'a mut Stream,
    target: &'a mut Stream,
    /// How much of the client's head the target was sent.
    sent: &'a mut usize,
    /// Whether the client has ended.
    ended: &'a mut bool,
    unflushed: bool,
    shut: bool,
    /// Why the target takes no more. It may have sent its answer before: that is still read.
    broken: Option<io::Error>,
}

impl Replay {
    /// Takes what the client says to the target, and keeps it at the client's head, until the target speaks.
    pub(super) async fn listen(
        self,
        client: &mut Stream,
        target: &mut Stream,
        sent: &mut usize,
        ended: &mut bool,
        timeouts: &Timeouts,
    ) -> Heard {
        let traffic = (client.traffic().clone(), target.traffic().clone());
        let count = || traffic.0.total() + traffic.1.total();
        let shortest = timeouts.idle.into_iter().chain(timeouts.half_close).min().unwrap_or(Duration::from_hours(1));
        let mut silence = pin!(Silence::new(shortest, count() + u64::from(*ended)));
        // It counts from when the client last spoke: who says nothing waits for nothing.
        let mut late = pin!(sleep(self.after.unwrap_or_default()));
        let mut spoken = !client.head().is_empty() || *ended;
        let mut listening = Listening { client, target, sent, ended, unflushed: true, shut: false, broken: None };
        poll_fn(|cx| {
            let before = (listening.client.head().len(), *listening.ended);
            if let Poll::Ready(heard) = listening.poll(cx) {
                return Poll::Ready(heard);
            }
            if before != (listening.client.head().len(), *listening.ended) {
                spoken = true;
                late.as_mut().reset(Instant::now() + self.after.unwrap_or_default());
            }
            if let Some(after) = self.after.filter(|_| spoken)
                && late.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(Heard::Left(Left::Silent(after)));
            }
            let ended = *listening.ended;
            let (limit, phase) = if ended { (timeouts.half_close, Phase::HalfClose) } else { (timeouts.idle, Phase::Relay) };
            // The client's end counts as traffic: the other timeout starts with it.
            let count = || count() + u64::from(ended);
            silence.as_mut().poll(cx, || limit, count).map(|()| Heard::Over(End::timeout(phase, limit.unwrap_or_default())))
        })
        .await
    }
}

impl Listening<'_> {
    /// Completes when it is known what came of it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        loop {
            match self.target.poll_more(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Heard::Left(self.broken.take().map_or(Left::Ended, Left::Failed))),
                Poll::Ready(Ok(_)) => return Poll::Ready(Heard::Spoke),
                Poll::Ready(Err(error)) => return Poll::Ready(Heard::Left(Left::Failed(self.broken.take().unwrap_or(error)))),
                // Its end comes with what broke it.
                Poll::Pending if self.broken.is_some() => return Poll::Pending,
                Poll::Pending => {}
            }
            match self.poll_send(cx) {
                Poll::Ready(Err(error)) => {
                    self.broken = Some(error);
                    continue;
                }
                Poll::Ready(Ok(())) if self.client.head().len() >= MOST => return Poll::Ready(Heard::Spoke),
                _ => {}
            }
            if *self.ended || self.client.head().len() >= MOST {
                return Poll::Pending;
            }
            match self.client.poll_more(cx) {
                Poll::Ready(Ok(0)) => *self.ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Heard::Over(End::stream(By::Client, Phase::Relay, &error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Completes when the target was sent all that the client has said, and its end.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let said @ [_, ..] = &self.client.head()[*self.sent..] {
            match Pin::new(&mut *self.target).poll_write(cx, said)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(sent) => *self.sent += sent,
                Poll::Pending => return Poll::Pending,
            }
            self.unflushed = true;
        }
        if self.unflushed {
            std::task::ready!(Pin::new(&mut *self.target).poll_flush(cx))?;
            self.unflushed = false;
        }
        if *self.ended && !self.shut {
            std::task::ready!(Pin::new(&mut *self.target).poll_shutdown(cx))?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }
}
