//! Rules in a redis server, which many routers share and many programs write.

mod connection;
mod formats;
mod reading;

use super::follow::{Found, Send};
use crate::{
    addr::{AddrError, Host, HostPort, Target},
    dial::Dialer,
    event::{Event, Events, brief},
};
use connection::Connection;
use redis::{ConnectionAddr, RedisConnectionInfo};
use std::{fmt, str::FromStr, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

/// Changes that come within this time of the first are read together.
const COALESCE: Duration = Duration::from_millis(50);
/// The pause before the first attempt to connect again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What comes of a server that cannot be read.
const STAY: &str = "its last rules stay";
/// Why rules stay where there are none any more.
const FORGETFUL: &str = "it came back without any; its last rules stay until it has one, or SIGHUP";

/// A redis server, and how it is spoken to.
#[derive(Clone)]
pub struct Server {
    target: Target,
    settings: RedisConnectionInfo,
}

/// A redis server that gives no rules.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the rules of {server}: {why}")]
pub struct RedisError {
    server: String,
    why: String,
}

impl FromStr for Server {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        // Nothing of the text is repeated: a password may be anywhere in it.
        let wrong = || {
            let why =
                "is not a redis server; write redis://[[USER]:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or redis+unix:///PATH[?db=DB]";
            AddrError::new(text.split("//").next().unwrap_or_default(), why)
        };
        // TLS is this program's own.
        let (plain, tls) = text.strip_prefix("rediss://").map_or((text.to_owned(), false), |rest| (format!("redis://{rest}"), true));
        if plain.contains('#') || plain.contains('?') && !plain.starts_with("redis+unix:") {
            return Err(wrong());
        }
        let info: redis::ConnectionInfo = plain.parse().map_err(|_| wrong())?;
        let target = match info.addr() {
            ConnectionAddr::Tcp(host, port) if *port > 0 && !host.is_empty() => {
                let host = host.parse().map_or_else(|_| Host::Name(host.clone()), Host::Ip);
                let to = HostPort { host, port: *port };
                if tls { Target::Tls(to) } else { Target::Tcp(to) }
            }
            ConnectionAddr::Unix(path) if path.as_os_str().len() > 1 => Target::Unix(path.clone()),
            _ => return Err(wrong()),
        };
        if info.redis_settings().db() < 0 {
            return Err(wrong());
        }
        Ok(Self { target, settings: info.redis_settings().clone().set_lib_name("tapline", env!("CARGO_PKG_VERSION")) })
    }
}

impl fmt::Display for Server {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let db = self.settings.db();
        match &self.target {
            Target::Unix(path) => write!(f, "redis+unix://{}?db={db}", path.display()),
            Target::Tls(to) => write!(f, "rediss://{to}/{db}"),
            other => write!(f, "redis://{other}/{db}"),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who reads a server's rules.
pub(super) struct Reader {
    server: Server,
    dialer: Dialer,
    connection: Connection,
}

impl Reader {
    /// Connects, and reads all rules.
    pub(super) async fn start(server: Server, dialer: Dialer) -> Result<(Self, Found), RedisError> {
        let failed = |why: String| RedisError { server: server.to_string(), why: brief(&why) };
        let mut connection = Connection::open(&server, &dialer).await.map_err(|refusal| failed(refusal.why))?;
        let found = reading::all(&mut connection).await.map_err(failed)?;
        Ok((Self { server, dialer, connection }, found))
    }

    /// Reads what changes, and everything now and then, when it is asked for and when the connection was lost, until nobody
    /// wants to know any more.
    pub(super) async fn follow(self: Box<Self>, every: Duration, mut asked: watch::Receiver<()>, found: Send, events: Events) {
        let Self { server, dialer, mut connection } = *self;
        if let Some(why) = connection.untold() {
            let text = format!("{server} tells no changes: {}; it is read every {every:?} (--routes-interval) and on SIGHUP", brief(why));
            events.emit(Event::Note { text });
        }
        let (mut wary, mut pause) = (false, PAUSES.0);
        loop {
            let since = Instant::now();
            let Err(why) = follow_one(&mut connection, every, &mut asked, &found, wary).await else { return };
            if found.send(Found::Nothing(format!("{}; {STAY}", brief(&why))), false).await.is_err() {
                return;
            }
            if since.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
            // What is still in the queue of a lost connection is void: all is read anew.
            let all = loop {
                let wait = async {
                    tokio::select! {
                        () = sleep(pause) => Ok(()),
                        // Whoever asks does not want to wait.
                        changed = asked.changed() => changed,
                    }
                };
                if wait.await.is_err() {
                    return;
                }
                pause = (pause * 2).min(PAUSES.1);
                let why = match Connection::open(&server, &dialer).await {
                    Ok(mut new) => match reading::all(&mut new).await {
                        Ok(all) => {
                            connection = new;
                            break all;
                        }
                        Err(why) => why,
                    },
                    Err(refusal) if refusal.said => refusal.why,
                    // Away is what was told of it already.
                    Err(_) => continue,
                };
                // It is there, and something else is wrong with it. The same is not told again.
                if found.send(Found::Nothing(format!("{}; {STAY}", brief(&why))), false).await.is_err() {
                    return;
                }
            };
            // A server that lost its memory in between is filled again by somebody, who is given time.
            wary = all.is_empty();
            let all = if wary { Found::Nothing(FORGETFUL.to_owned()) } else { all };
            if found.send(all, true).await.is_err() {
                return;
            }
        }
    }
}

/// Follows one connection; returns why it cannot go on, or nothing where nobody wants to know any more.
async fn follow_one(
    connection: &mut Connection,
    every: Duration,
    asked: &mut watch::Receiver<()>,
    found: &Send,
    mut wary: bool,
) -> Result<(), String> {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (all, told) = tokio::select! {
            changed = asked.changed() => match changed {
                Ok(()) => (true, true),
                Err(_) => return Ok(()),
            },
            _ = ticks.tick() => (true, false),
            changed = connection.changed() => {
                changed?;
                sleep(COALESCE).await;
                (false, false)
            }
        };
        let changes = connection.take_changes();
        let reading = match changes {
            _ if all => reading::all(connection).await?,
            Some(names) => reading::some(connection, names).await?,
            None => reading::all(connection).await?,
        };
        if wary && !told && reading.is_empty() {
            continue;
        }
        wary = false;
        if found.send(reading, told).await.is_err() {
            return Ok(());
        }
    }
}
