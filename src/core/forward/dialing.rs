//! One target after the other, until one takes the connection.

use super::{Forward, header::header};
use crate::{
    addr::{Endpoint, Target},
    balance::Client,
    dial::{self, DialError, Dialed, Preamble},
    event::{By, End, Event, Phase},
    pool::{Asked, Lease, Picks, Unplaced},
    server::Conn,
    starttls::Ask,
    stream::Stream,
};
use std::{
    borrow::Cow,
    io,
    time::{Duration, Instant},
};

/// The targets of one connection: each is tried once.
pub(super) struct Dialing<'a> {
    forward: &'a Forward,
    picks: Picks,
    /// The next one, where it is known already.
    next: Option<Lease>,
    header: Option<Vec<u8>>,
    /// Whoever has agreed on a protocol speaks it to the end: a target of TLS must agree, too.
    alpn: Option<Vec<u8>>,
    ask: Option<Ask>,
    /// How long the dials may still take.
    left: Duration,
    /// Whether only a place that is free at once will do: nobody listens meanwhile to a target that was left and may still answer.
    at_once: bool,
    /// How long the client has waited for a place.
    waited: Option<Duration>,
}

/// A target that has taken the connection.
pub(super) struct Reached {
    pub(super) lease: Lease,
    pub(super) stream: Stream,
    pub(super) addr: Endpoint,
    /// How many of the bytes at the client's head it was sent.
    pub(super) sent: usize,
}

impl<'a> Dialing<'a> {
    pub(super) fn new(forward: &'a Forward, conn: &Conn, ask: Option<Ask>) -> Result<Self, End> {
        let session = conn.stream.tls_session();
        let header = forward.settings.announce.map(|version| header(version, conn, session)).transpose()?;
        let alpn = session.and_then(|session| session.alpn.clone());
        let client = Client { peer: &conn.peer, client: conn.client(), name: conn.authority.as_deref() };
        let mut picks = forward.pool.pick(Asked { key: forward.pool.key(client), explain: forward.settings.explain });
        let next = picks.first();
        if next.is_some() {
            explain(&picks, conn);
        }
        Ok(Self { forward, picks, next, header, alpn, ask, left: forward.settings.connect_budget, at_once: false, waited: None })
    }

    /// Whether there may be another target to try; with `at_once`, without a wait in the queue.
    pub(super) fn has_next(&mut self, at_once: bool) -> bool {
        self.at_once = at_once;
        self.has_others() && !self.left.is_zero()
    }

    /// Connects to the next target that takes the connection.
    pub(super) async fn dial(&mut self, conn: &mut Conn) -> Result<Reached, End> {
        let settings = &self.forward.settings;
        loop {
            let lease = match self.next.take() {
                Some(lease) => lease,
                // Boxed: the room for waiting is not that of every dial.
                None => Box::pin(self.place(conn)).await?,
            };
            conn.progress.enter(Phase::Dial);
            // What is said before this target took the connection goes to whoever takes it.
            let early = settings.relay.is_plain() && self.ask.is_none();
            let limit = settings.dialer.connect_timeout.min(self.left);
            let first = if early { conn.stream.head() } else { &[] };
            match self.reach(&lease.target, limit, first).await {
                Ok(Dialed { stream, addr, elapsed, sent }) => {
                    self.left = self.left.saturating_sub(elapsed);
                    conn.progress.set_backend(lease.backend().clone(), stream.traffic().clone());
                    let (id, target, waited) = (conn.id, lease.label.clone(), self.waited.take());
                    conn.events.emit(Event::Dialed { id, target, addr: addr.clone(), elapsed, waited });
                    return Ok(Reached { lease: lease.taken(stream.traffic(), elapsed), stream, addr, sent });
                }
                Err(error) => {
                    self.left = self.left.saturating_sub(error.elapsed);
                    let others = !error.is_shortage() && self.has_others();
                    let next = others && !self.left.is_zero();
                    conn.events.emit(Event::DialFailed { id: conn.id, target: lease.label.clone(), why: error.words(), next });
                    // Of a target that had not all of its time nothing is known.
                    let cut_off = error.timed_out && limit < settings.dialer.connect_timeout;
                    self.forward.pool.dial_failed(lease.backend(), &error, !cut_off, &conn.events);
                    if next {
                        continue;
                    }
                    let cut_short = others || cut_off;
                    if self.left.is_zero() && cut_short {
                        let budget = settings.connect_budget;
                        let (label, words) = (&lease.label, error.words());
                        let why = format!("{label}: {words}; no more time, {budget:?} are for all targets (--failover-timeout)");
                        return Err(End::failed(By::Timeout, Phase::Dial, why));
                    }
                    return Err(dial_end(&lease.label, &error));
                }
            }
        }
    }

    fn has_others(&mut self) -> bool {
        if self.next.is_none() {
            self.next = self.picks.next();
        }
        self.next.is_some() || self.picks.is_full() && !self.at_once
    }

    fn nobody(&self) -> End {
        End::failed(By::Rule, Phase::Dial, self.forward.pool.why_nobody())
    }

    /// A place at a target, waited for in the queue.
    async fn place(&mut self, conn: &mut Conn) -> Result<Lease, End> {
        if !self.picks.is_full() {
            return Err(self.nobody());
        }
        conn.progress.enter(Phase::Queue);
        let since = Instant::now();
        let lease = tokio::select! {
            lease = self.picks.wait(|before| conn.events.emit(Event::Queued { id: conn.id, before })) => lease.map_err(|why| unplaced(&why))?,
            // A client that only has ended may still want its answer.
            error = conn.stream.lost() => return Err(End::stream(By::Client, Phase::Queue, &error)),
        };
        self.waited = Some(self.waited.unwrap_or_default() + since.elapsed());
        explain(&self.picks, conn);
        lease.ok_or_else(|| self.nobody())
    }

    /// Connects to one target, and asks it where that comes first, within `limit`.
    async fn reach(&self, target: &Target, limit: Duration, first: &[u8]) -> Result<Dialed, DialError> {
        let mut dialer = Cow::Borrowed(&self.forward.settings.dialer);
        if limit < dialer.connect_timeout {
            dialer.to_mut().connect_timeout = limit;
        }
        if let (Target::Tls(_), Some(protocol)) = (target, &self.alpn) {
            let tls = dialer.tls.offering(protocol);
            dialer.to_mut().tls = tls;
        }
        let preamble = self.header.as_deref().map_or(Preamble::None, Preamble::Client);
        let mut dialed = dialer.dial(target, preamble, first).await?;
        let Some(ask) = self.ask else { return Ok(dialed) };
        let since = Instant::now();
        let asked = dial::within(limit.saturating_sub(dialed.elapsed), target, Box::pin(ask.of(&mut dialed.stream)).as_mut()).await;
        dialed.elapsed += since.elapsed();
        match asked {
            Ok(()) => Ok(dialed),
            // The time was for all of it.
            Err(error) if error.timed_out => {
                let error = io::Error::new(io::ErrorKind::TimedOut, format!("no {} in {limit:?}", ask.what()));
                Err(DialError { target: target.clone(), error, timed_out: true, elapsed: dialed.elapsed })
            }
            Err(error) => Err(DialError { elapsed: dialed.elapsed, ..error }),
        }
    }
}

/// Says who was in the draw, where that was asked for.
fn explain(picks: &Picks, conn: &Conn) {
    if let Some(picked) = picks.picked() {
        conn.events.emit(Event::Picked { id: conn.id, picked: Box::new(picked.clone()) });
    }
}

/// How a connection ends that got no place.
fn unplaced(why: &Unplaced) -> End {
    let by = match why {
        Unplaced::Full(_) => By::Rule,
        Unplaced::TimedOut(_) => By::Timeout,
    };
    End::failed(by, Phase::Queue, why)
}

/// How a connection ends that no target took.
pub(crate) fn dial_end(label: &str, error: &DialError) -> End {
    let by = match error {
        DialError { timed_out: true, .. } => By::Timeout,
        error if error.is_forbidden() => By::Rule,
        error if error.is_local() => By::Local,
        _ => By::Target,
    };
    End::failed(by, Phase::Dial, format!("{label}: {}", error.words()))
}
