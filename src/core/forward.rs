//! The way of a connection from here to a target: pick, dial, relay.

mod dialing;
mod header;
mod replay;

pub(crate) use dialing::dial_end;

use crate::{
    dial::Dialer,
    event::{By, ConnId, End, Event, Phase},
    pool::{Lease, Pool},
    proxy_header::Version,
    random::Random,
    relay::{self, Between, relay},
    server::Conn,
    starttls::Ask,
};
use dialing::{Dialing, Reached};
use replay::{Heard, Left};
use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;

/// Where connections go, and how.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The targets; a fixed target is a pool of one.
    pub pool: Pool,
    /// How they are reached.
    pub settings: Arc<Settings>,
}

/// How connections go to targets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How targets are connected to.
    pub dialer: Dialer,
    /// For connecting to all targets that are tried for one connection, one after the other. Time in a queue does not count.
    pub connect_budget: Duration,
    /// Whether targets are told who the client is, by a PROXY header.
    pub announce: Option<Version>,
    /// How their bytes are relayed.
    pub relay: relay::Settings,
    /// Whether what the client has said goes to the next target where one gives no answer.
    pub replay: Option<Replay>,
    /// How old a connection may become.
    pub max_age: Option<MaxAge>,
    /// Whether it is told of each pick who was in the draw, and why one won.
    pub explain: bool,
}

/// Another target for a connection whose target gave no answer, until its first byte. A target may have acted on what it
/// was told: it is for protocols whose requests may be sent twice.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    /// How long a target may take for its first byte once the client has spoken.
    pub after: Option<Duration>,
}

/// How old a connection may become, from when a target has taken it: up to a tenth more or less, so that those that began together
/// do not end together.
#[derive(Clone, Copy, Debug)]
pub struct MaxAge {
    /// The age in the middle.
    pub age: Duration,
    /// Chooses how much more or less it is for each connection.
    pub seed: u64,
}

/// Completes with the reason when a connection is to be cut off.
type Interrupted = Pin<Box<dyn Future<Output = String> + Send>>;

impl MaxAge {
    fn of(self, id: ConnId) -> Duration {
        const SALT: u64 = 20;
        self.age.mul_f64(0.9 + 0.2 * Random::new(self.seed, id.0, SALT).unit())
    }
}

impl Settings {
    /// Those where nothing is asked for but what has to be: twice the time of one dial for all of them, no replay, any age.
    #[must_use]
    pub fn new(dialer: Dialer, announce: Option<Version>, relay: relay::Settings) -> Self {
        let connect_budget = dialer.connect_timeout.saturating_mul(2);
        Self { dialer, connect_budget, announce, relay, replay: None, max_age: None, explain: false }
    }
}

impl Forward {
    /// Connects to the first target that takes the connection, and relays. Where none does, the client is reset.
    pub async fn run(&self, conn: &mut Conn) -> End {
        self.run_after(conn, None).await
    }

    /// The same for a client that was answered in a protocol before its ClientHello: the target is asked first.
    pub async fn run_after(&self, conn: &mut Conn, ask: Option<Ask>) -> End {
        let Settings { dialer, relay: settings, .. } = &*self.settings;
        dialer.options.keep_alive(&conn.stream);
        // Nothing is waited for: what is there already goes out with the dial. What is disturbed or watched does not.
        if settings.is_plain()
            && let Err(error) = conn.stream.take_what_is_there()
        {
            return End::io(By::Client, Phase::Accept, &error);
        }
        // Boxed, so that its room is given back before the relay begins, which may be long.
        let (lease, mut target, treatment, interrupted) = match Box::pin(self.connect(conn, ask)).await {
            Ok((Reached { lease, stream: target, addr, sent }, interrupted)) => {
                conn.stream.skip_head(sent);
                let between = Between { id: conn.id, peer: &conn.peer, client: conn.client(), target: &addr };
                let treatment = settings.treatment(between, &conn.events);
                (lease, target, treatment, interrupted)
            }
            // The stream is dropped with its writing side open: RST, as the target itself would have answered.
            Err(end) => return end,
        };
        let relaying = relay(&mut conn.stream, &mut target, &settings.timeouts, treatment, &conn.progress);
        let end = match interrupted {
            None => relaying.await,
            Some(interrupted) => tokio::select! {
                biased;
                end = Box::pin(relaying) => end,
                why = interrupted => {
                    relay::cut(&mut conn.stream, &mut target).await;
                    End::failed(By::Rule, conn.progress.phase(), why)
                }
            },
        };
        if end.failed && end.by == By::Target {
            lease.broke(&end.why);
        }
        end
    }

    /// Completes with the reason when a connection is to be cut off, where that may ever be.
    fn interrupted(&self, id: ConnId, lease: &Lease) -> Option<Interrupted> {
        let old = self.settings.max_age.map(|max_age| (max_age.of(id), max_age.age));
        // Nothing is waited for where nobody can ask for it.
        let cut = self.pool.is_controlled().then(|| lease.cut());
        if old.is_none() && cut.is_none() {
            return None;
        }
        let old = async move {
            let Some((own, age)) = old else { return pending().await };
            sleep(own).await;
            format!("older than {age:?} (--max-age)")
        };
        let cut = async move {
            let Some(cut) = cut else { return pending().await };
            cut.await;
            "the drain of its target was over".to_owned()
        };
        Some(Box::pin(async {
            tokio::select! { why = old => why, why = cut => why }
        }))
    }

    /// Connects to a target that takes the connection, and where that is asked for, one that also answers. How much of the client's
    /// head it was sent is for the caller to skip.
    async fn connect(&self, conn: &mut Conn, ask: Option<Ask>) -> Result<(Reached, Option<Interrupted>), End> {
        let mut dialing = Dialing::new(self, conn, ask)?;
        // Whether the client has ended, as far as this was noticed.
        let mut ended = false;
        // One that was left stays until another one has taken the connection: it may only be slow.
        let mut left_behind = None;
        loop {
            let (mut reached, mut interrupted) = match (dialing.dial(conn).await, left_behind.take()) {
                (Ok(reached), _) => {
                    let interrupted = self.interrupted(conn.id, &reached.lease);
                    (reached, interrupted)
                }
                // The client's failure is not to look like its end to whoever was left behind.
                (Err(end), Some(_)) if end.by == By::Client => return Err(end),
                (Err(_), Some(left_behind)) => return Ok(left_behind),
                (Err(end), None) => return Err(end),
            };
            let Some(replay) = self.settings.replay else { return Ok((reached, interrupted)) };
            conn.progress.enter(Phase::Relay);
            let Reached { lease, stream, sent, .. } = &mut reached;
            // Boxed: whoever asks for none of it has no room for it.
            let listening = Box::pin(replay.listen(&mut conn.stream, stream, sent, &mut ended, &self.settings.relay.timeouts));
            let heard = match &mut interrupted {
                None => listening.await,
                Some(interrupted) => tokio::select! {
                    biased;
                    heard = listening => heard,
                    why = interrupted => {
                        relay::cut(&mut conn.stream, stream).await;
                        return Err(End::failed(By::Rule, conn.progress.phase(), why));
                    }
                },
            };
            let left = match heard {
                Heard::Spoke => return Ok((reached, interrupted)),
                Heard::Over(end) => return Err(end),
                Heard::Left(left) => left,
            };
            match &left {
                Left::Failed(_) => lease.broke(&left.to_string()),
                Left::Ended | Left::Silent(_) => lease.blame(&left.to_string()),
            }
            if !dialing.has_next(matches!(left, Left::Silent(_))) {
                // Nobody else is left to answer: the client gets what this one does.
                return left.end().map_or(Ok((reached, interrupted)), Err);
            }
            conn.events.emit(Event::Replayed {
                id: conn.id,
                target: lease.label.clone(),
                why: left.to_string(),
                bytes: conn.stream.head().len(),
            });
            stream.reset_when_dropped();
            if left.end().is_none() {
                left_behind = Some((reached, interrupted));
            }
        }
    }
}
