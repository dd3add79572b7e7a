//! What a redis server holds for many processes, and how it is followed while it changes, goes away and comes back.

mod connection;

pub(crate) use connection::Connection;

use crate::{
    addr::{AddrError, Host, HostPort, Target},
    dial::Dialer,
    event::{Event, Events, brief},
    reading::{Following, Send},
};
use redis::{ConnectionAddr, RedisConnectionInfo};
use std::{collections::HashSet, fmt, str::FromStr, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

/// Changes that come within this time of the first are read together.
const COALESCE: Duration = Duration::from_millis(50);
/// The pause before the first attempt to connect again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A redis server, and how it is spoken to.
#[derive(Clone)]
pub struct Server {
    target: Target,
    settings: RedisConnectionInfo,
}

/// A redis server that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the {what} of {server}: {why}")]
pub struct RedisError {
    what: &'static str,
    server: String,
    why: String,
}

/// What is read of a server.
pub(crate) trait Content: std::marker::Send + Sync + 'static {
    /// What a reading has found.
    type Found: std::marker::Send + 'static;
    /// What it is, for people.
    const WHAT: &'static str;

    /// What the keys begin with that matter.
    fn prefixes(&self) -> Vec<Vec<u8>>;

    /// What a key is of, where it matters.
    fn name_of(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Reads all of it.
    fn all(&self, connection: &mut Connection) -> impl Future<Output = Result<Self::Found, String>> + std::marker::Send;

    /// Reads what may have changed of these names.
    fn some(
        &self,
        connection: &mut Connection,
        names: HashSet<Vec<u8>>,
    ) -> impl Future<Output = Result<Self::Found, String>> + std::marker::Send;

    /// Nothing that can be used, and why.
    fn nothing(why: String) -> Self::Found;

    /// Whether there is nothing in it.
    fn is_empty(found: &Self::Found) -> bool;
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

/// Who reads a server.
pub(crate) struct Reader<C> {
    server: Server,
    dialer: Dialer,
    connection: Connection,
    content: Arc<C>,
}

impl<C: Content> Reader<C> {
    /// Connects, and reads everything.
    pub(crate) async fn start(server: Server, dialer: Dialer, content: C) -> Result<(Self, C::Found), RedisError> {
        let content = Arc::new(content);
        let failed = |why: String| RedisError { what: C::WHAT, server: server.to_string(), why: brief(&why) };
        let mut connection = Connection::open(&server, &dialer, &content).await.map_err(|refusal| failed(refusal.why))?;
        let found = content.all(&mut connection).await.map_err(failed)?;
        Ok((Self { server, dialer, connection, content }, found))
    }

    /// Reads what changes, and everything now and then, when it is asked for and when the connection was lost, until nobody
    /// wants to know any more.
    pub(crate) async fn follow(self: Box<Self>, how: Following, found: Send<C::Found>, events: Events) {
        let Self { server, dialer, mut connection, content } = *self;
        let Following { every, flag, mut asked } = how;
        if let Some(why) = connection.untold() {
            let text = format!("{server} tells no changes: {}; it is read every {every:?} ({flag}) and on SIGHUP", brief(why));
            events.emit(Event::Note { text });
        }
        let stay = |why: &str| C::nothing(format!("{}; its last {} stay", brief(why), C::WHAT));
        let (mut wary, mut pause) = (false, PAUSES.0);
        loop {
            let since = Instant::now();
            let Err(why) = follow_one(&*content, &mut connection, every, &mut asked, &found, wary).await else { return };
            if found.send(stay(&why), false).await.is_err() {
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
                let why = match Connection::open(&server, &dialer, &content).await {
                    Ok(mut new) => match content.all(&mut new).await {
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
                if found.send(stay(&why), false).await.is_err() {
                    return;
                }
            };
            // A server that lost its memory in between is filled again by somebody, who is given time.
            wary = C::is_empty(&all);
            let all = if wary { stay_forgotten::<C>() } else { all };
            if found.send(all, true).await.is_err() {
                return;
            }
        }
    }
}

/// Why all stays where there is none any more.
fn stay_forgotten<C: Content>() -> C::Found {
    C::nothing(format!("it has none now; its last {} stay until it has one, or SIGHUP", C::WHAT))
}

/// Follows one connection; returns why it cannot go on, or nothing where nobody wants to know any more.
async fn follow_one<C: Content>(
    content: &C,
    connection: &mut Connection,
    every: Duration,
    asked: &mut watch::Receiver<()>,
    found: &Send<C::Found>,
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
            _ if all => content.all(connection).await?,
            Some(names) => content.some(connection, names).await?,
            None => content.all(connection).await?,
        };
        if wary && !told && C::is_empty(&reading) {
            continue;
        }
        wary = false;
        if found.send(reading, told).await.is_err() {
            return Ok(());
        }
    }
}
