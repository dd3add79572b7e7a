//! The relay with faults and with who watches: both directions through buffers of this process, whatever the streams are.

use super::{
    Between, By, Failed, Settings, Verdict, conduct,
    pump::{Ends, Side, Sockets, poll_read},
    to_blame,
    watch::Watch,
};
use crate::{
    event::{ConnId, Event, Events},
    fault::{Direction, Faults, Kind, Lane, Line, Resets, Strike},
    stream::Stream,
    tap::Tapped,
};
use bytes::Bytes;
use std::{
    future::{Future, pending, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{OnceLock, atomic::Ordering::Relaxed},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, split},
    time::{Instant, sleep_until},
};

/// What is done to one connection.
pub struct Treatment<'a> {
    faults: Option<&'a Faults>,
    resets: Resets,
    id: ConnId,
    events: &'a Events,
    taps: Vec<Tapped>,
    /// The fault that ends both directions.
    ended_by: OnceLock<Strike>,
}

impl<'a> Treatment<'a> {
    pub(super) fn new(settings: &'a Settings, between: Between<'_>, events: &'a Events) -> Self {
        let Between { id, peer, client, target } = between;
        let faults = settings.faults.as_ref();
        let resets = faults.map_or(Resets::default(), |faults| faults.resets(id.0));
        let taps = settings.taps.iter().map(|tap| tap.open(id, peer.clone(), client.clone(), target.clone())).collect();
        Self { faults, resets, id, events, taps, ended_by: OnceLock::new() }
    }

    /// Moves what comes from either side to the other until both have ended, a fault strikes or one side fails.
    pub(super) async fn both(&self, client: &mut Stream, target: &mut Stream, watch: Pin<&mut Watch>, ends: &Ends) -> Verdict {
        // What was probed goes first.
        let head = client.take_head().freeze();
        #[cfg(target_os = "linux")]
        if let Some((a, b)) = super::sockets(client, target) {
            let verdict = self.run((a, a), (b, b), Some((a, b)), head, watch, ends).await;
            super::set_shut(client, target, ends);
            return verdict;
        }
        self.run(split(client), split(target), None, head, watch, ends).await
    }

    async fn run(
        &self,
        client: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
        target: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
        sockets: Option<Sockets<'_>>,
        head: Bytes,
        watch: Pin<&mut Watch>,
        ends: &Ends,
    ) -> Verdict {
        let up = self.half(Direction::Up, client.0, target.1, sockets, head, (&ends.client, &ends.target));
        let down = self.half(Direction::Down, target.0, client.1, sockets, Bytes::new(), (&ends.target, &ends.client));
        let (mut up, mut down) = (pin!(up), pin!(down));
        let verdict = conduct(|cx| up.as_mut().poll(cx), |cx| down.as_mut().poll(cx), sockets, watch, ends).await;
        if let Verdict::Failed { source, failed } = &verdict
            && self.ended_by.get().is_none()
            && to_blame(*source, failed) == By::Client
        {
            self.taps.iter().for_each(Tapped::blame_client);
        }
        // The end of a connection is told after its bytes.
        for tap in &self.taps {
            tap.settle().await;
        }
        match (self.ended_by.get(), verdict) {
            (Some(strike), Verdict::Failed { .. }) => Verdict::Struck(*strike),
            (_, verdict) => verdict,
        }
    }

    /// One direction, to its end.
    async fn half(
        &self,
        direction: Direction,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        sockets: Option<Sockets<'_>>,
        head: Bytes,
        (source, sink): (&Side, &Side),
    ) -> Result<(), Failed> {
        let nothing = Lane::default();
        let (lane, seed) = self.faults.map_or((&nothing, 0), |faults| (faults.lane(direction), faults.seed));
        let mut line = Line::new(lane, seed, self.id.0, 10 + direction as u64, Instant::now());
        let from_client = direction == Direction::Up;
        if !head.is_empty() {
            self.see(direction, from_client, &head).await;
            line.push(head, Instant::now());
        }
        let (mut delivered, mut stalled) = (0, false);
        // What the source ended with, and when that comes out: after everything that was read before it.
        let mut ended: Option<(Instant, io::Result<()>)> = None;
        loop {
            let room = match lane.next_strike(delivered, self.resets.of(direction)) {
                _ if stalled => 0,
                (Some(Kind::Stall), _) => {
                    self.say(Strike { fault: Kind::Stall, direction, after: delivered });
                    stalled = true;
                    0
                }
                (Some(fault), _) => return Err(self.end(Strike { fault, direction, after: delivered })),
                (None, room) => room,
            };
            let now = Instant::now();
            let due = if stalled { None } else { line.due().or(ended.as_ref().map(|(due, _)| *due)) };
            if due.is_some_and(|due| due <= now) {
                if line.is_empty()
                    && let Some((_, end)) = ended.take()
                {
                    end.map_err(Failed::read)?;
                    return self.pass_end(direction, delivered, &mut to, (source, sink)).await;
                }
                let bytes = line.take(usize::try_from(room).unwrap_or(usize::MAX), now);
                write_out(&mut to, &bytes).await.map_err(|error| {
                    // See Side::cut.
                    sink.cut.store(true, Relaxed);
                    Failed::write(error)
                })?;
                delivered += bytes.len() as u64;
                self.see(direction, !from_client, &bytes).await;
                continue;
            }
            tokio::select! {
                read = poll_fn(|cx| poll_read(cx, &mut from)), if ended.is_none() && line.has_room() => {
                    let now = Instant::now();
                    match read {
                        Ok(bytes) if bytes.is_empty() => {
                            if from_client && !source.cut.load(Relaxed) {
                                self.taps.iter().for_each(|tap| tap.end(direction));
                            }
                            ended = Some((line.due_for(now), Ok(())));
                        }
                        Ok(bytes) => {
                            self.see(direction, from_client, &bytes).await;
                            line.push(bytes, now);
                        }
                        // What a stall holds is not delivered any more.
                        Err(error) if stalled => return Err(Failed::read(error)),
                        Err(error) => ended = Some((now, Err(error))),
                    }
                }
                () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
                // A bare socket tells of its reset also while nothing is read from it.
                error = lost(sockets, direction), if stalled => return Err(Failed::read(error)),
            }
        }
    }

    async fn pass_end(
        &self,
        direction: Direction,
        delivered: u64,
        to: &mut (impl AsyncWrite + Unpin),
        (source, sink): (&Side, &Side),
    ) -> Result<(), Failed> {
        if source.cut.load(Relaxed) {
            return Err(Failed::read(io::ErrorKind::ConnectionReset.into()));
        }
        if self.resets != Resets::default() {
            return Err(self.end(Strike { fault: Kind::Reset, direction, after: delivered }));
        }
        to.shutdown().await.map_err(|error| {
            // See Side::cut.
            sink.cut.store(true, Relaxed);
            Failed::write(error)
        })?;
        source.ended.store(true, Relaxed);
        if direction == Direction::Down {
            self.taps.iter().for_each(|tap| tap.end(direction));
        }
        Ok(())
    }

    /// Shows bytes that have just passed at the client's side.
    async fn see(&self, direction: Direction, at_client: bool, bytes: &Bytes) {
        if at_client {
            for tap in &self.taps {
                tap.bytes(direction, bytes).await;
            }
        }
    }

    /// Both directions end by a fault.
    fn end(&self, strike: Strike) -> Failed {
        self.say(strike);
        self.ended_by.get_or_init(|| strike);
        // It is told by the fault that struck.
        Failed::read(io::ErrorKind::Other.into())
    }

    fn say(&self, Strike { fault, direction, after }: Strike) {
        self.events.emit(Event::Fault { id: self.id, fault, direction, after });
    }
}

/// Writes and flushes: rustls holds small records back until it is flushed.
async fn write_out(to: &mut (impl AsyncWrite + Unpin), data: &[u8]) -> io::Result<()> {
    to.write_all(data).await?;
    to.flush().await
}

/// Completes when the source of a direction is broken; never where nobody can tell.
async fn lost(sockets: Option<Sockets<'_>>, direction: Direction) -> io::Error {
    match sockets {
        #[cfg(target_os = "linux")]
        Some((client, target)) => if direction == Direction::Up { client } else { target }.lost().await,
        _ => pending().await,
    }
}
