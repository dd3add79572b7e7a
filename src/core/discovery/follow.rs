//! Reading all sources of targets, at the start and whenever they change.

use super::{Found, TargetSource, dns, file, lines, redis::Targets, resolver::Resolver};
use crate::{
    addr::TargetSpec,
    dial::Dialer,
    event::{Event, Events},
    lines::{FileError, follow as follow_file},
    pool::{Changes, Pool, SourceId},
    reading::{Following, Send},
    redis::{self, RedisError},
    shutdown::Shutdown,
    watch::{State, hangups},
};
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, spawn_blocking},
};

/// The flag that says how often all is read.
const FLAG: &str = "--targets-interval";

/// Targets, and where more of them come from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// In the order in which they were given.
    pub all: Vec<TargetSpec<TargetSource>>,
    /// How often each source is read all the same; DNS is asked again when an answer has expired, if that is sooner.
    pub every: Duration,
    /// Asked for names in place of the servers of the system.
    pub resolver: Option<SocketAddr>,
}

/// Why targets could not be read at the start.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file gives none.
    #[error(transparent)]
    File(#[from] FileError),
    /// A redis server cannot be read.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// No source has a target, and why.
    #[error("there is no target: {0}")]
    None(String),
    /// A builtin server could not be started, or SIGHUP cannot be caught.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A panic.
    #[error("reading the targets failed: {0}")]
    Failed(#[from] JoinError),
}

/// A source that was read once.
enum Reader {
    Dns(Box<dns::Reader>, Duration),
    File(PathBuf, TargetSpec<()>, Option<State>),
    Redis(Box<redis::Reader<Targets>>),
    Input(TargetSpec<()>),
}

/// The sources as they were read at the start, with what is needed to follow them.
pub struct Loaded {
    keeper: Keeper,
    readers: Vec<(usize, Reader)>,
    every: Duration,
    /// SIGHUP asks for a new reading of everything.
    asked: Option<watch::Receiver<()>>,
}

/// Who puts what was found into the pool.
struct Keeper {
    pool: Pool,
    /// By their numbers; the first stands for the arguments.
    names: Vec<String>,
    lists: Vec<Vec<TargetSpec>>,
    told: Vec<Told>,
}

/// What a reading of a source came to.
#[derive(Clone, Debug, Default)]
struct Told {
    added: usize,
    removed: usize,
    changed: usize,
    skipped: usize,
    why: Option<String>,
}

impl Sources {
    /// The targets that are there by themselves.
    #[must_use]
    pub fn fixed(&self) -> Vec<TargetSpec> {
        self.all.iter().filter_map(TargetSpec::fixed).collect()
    }

    /// Whether there is one target, and never another one.
    #[must_use]
    pub fn is_one(&self) -> bool {
        matches!(self.all.as_slice(), [one] if one.target.is_fixed())
    }

    /// Reads every source for the first time, into a pool that has the fixed targets.
    ///
    /// # Errors
    /// A file or a redis server cannot be read; there is no target in all, and no stdin that may bring one.
    pub async fn load(&self, pool: &Pool, dialer: &Dialer) -> Result<Loaded, SourceError> {
        let others: Vec<_> = self.all.iter().filter(|spec| !spec.target.is_fixed()).cloned().collect();
        let names: Vec<_> = std::iter::once(String::new()).chain(others.iter().map(|spec| spec.target.to_string())).collect();
        (1..).zip(&names[1..]).for_each(|(source, name)| pool.name_source(SourceId(source), name));
        let keeper = Keeper { pool: pool.clone(), lists: vec![Vec::new(); names.len()], told: vec![Told::default(); names.len()], names };
        let asks = others.iter().any(|spec| !matches!(spec.target, TargetSource::Input));
        let asked = if asks { Some(hangups()?) } else { None };
        let mut loaded = Loaded { keeper, readers: Vec::new(), every: self.every, asked };
        let may_come = others.iter().any(|spec| matches!(spec.target, TargetSource::Input));
        // Whoever is slow to answer holds up no other one.
        let resolver = Resolver::new(self.resolver);
        let reading: Vec<_> = others.into_iter().map(|spec| tokio::spawn(start(spec, resolver, dialer.clone(), self.every))).collect();
        for (at, reading) in (1..).zip(reading) {
            let (reader, found) = reading.await??;
            if let Some(found) = found {
                loaded.keeper.take(at, found).await;
            }
            loaded.readers.push((at, reader));
        }
        if pool.backends().is_empty() && !may_come {
            return Err(SourceError::None(loaded.keeper.reasons()));
        }
        Ok(loaded)
    }
}

/// Reads a source for the first time; nothing of one that has no beginning.
async fn start(
    spec: TargetSpec<TargetSource>,
    resolver: Resolver,
    dialer: Dialer,
    every: Duration,
) -> Result<(Reader, Option<Found>), SourceError> {
    let options = spec.with(());
    let asking = match spec.target {
        TargetSource::Fixed(_) | TargetSource::Input => return Ok((Reader::Input(options), None)),
        TargetSource::File(path) => {
            let (read, like) = (path.clone(), options.clone());
            let (state, targets) = spawn_blocking(move || (State::of(&read), file::read(&read, &like))).await?;
            return Ok((Reader::File(path, options, state), Some(Found::from(Ok(targets?)))));
        }
        TargetSource::Redis(server, key) => {
            let (reader, found) = redis::Reader::start(server, dialer, Targets { key, options }).await?;
            return Ok((Reader::Redis(Box::new(reader)), Some(found)));
        }
        TargetSource::Dns(name, port) => dns::Reader::addresses(resolver, name, port, options),
        TargetSource::Srv(name) => dns::Reader::services(resolver, name, options),
    };
    let mut reader = Box::new(asking);
    let (found, next) = reader.read(every).await;
    Ok((Reader::Dns(reader, next), Some(found)))
}

impl Loaded {
    /// Follows the sources until the shutdown begins, and says at once what they have given so far.
    pub fn follow(self, shutdown: &Shutdown, events: &Events) {
        let Self { mut keeper, readers, every, asked } = self;
        if readers.is_empty() {
            return;
        }
        let (to, mut from) = mpsc::channel(4);
        for (source, reader) in readers {
            let found = Send { source, to: to.clone() };
            if !matches!(reader, Reader::Input(_)) {
                keeper.tell(source, events);
            }
            let following = asked.clone().map(|asked| Following { every, flag: FLAG, asked });
            match (reader, following) {
                (Reader::Input(options), _) => {
                    if let Err(error) = lines::follow(options, found, events.clone()) {
                        events.emit(Event::Note { text: format!("cannot read stdin: {error}") });
                    }
                }
                (_, None) => {}
                (Reader::Dns(reader, next), Some(how)) => drop(tokio::spawn(reader.follow(next, how, found))),
                (Reader::Redis(reader), Some(how)) => drop(tokio::spawn(reader.follow(how, found, events.clone()))),
                (Reader::File(path, options, state), Some(how)) => {
                    let options = Arc::new(options);
                    let read = move |path: &std::path::Path| file::read(path, &options);
                    drop(tokio::spawn(follow_file(path, state, read, how, found, events.clone())));
                }
            }
        }
        drop(to);
        let (shutdown, events) = (shutdown.clone(), events.clone());
        tokio::spawn(async move {
            while let Some(Some((source, found, told))) = shutdown.unless_draining(from.recv()).await {
                if keeper.take(source, found).await || told {
                    keeper.tell(source, &events);
                }
            }
        });
    }
}

impl Keeper {
    /// Takes what a source was found to have, and returns whether it is news.
    async fn take(&mut self, source: usize, found: Found) -> bool {
        let (targets, skipped, why) = match found {
            Found::All { targets, skipped } => (Some(targets), skipped.total(), skipped.words()),
            Found::Nothing(why) => (None, 0, Some(why)),
        };
        let mut now = Told { skipped, why, ..Told::default() };
        if let Some(targets) = targets.filter(|targets| *targets != self.lists[source]) {
            match self.pool.update(SourceId(source), &targets).await {
                Ok(Changes { added, removed, changed }) => {
                    (now.added, now.removed, now.changed) = (added.len(), removed.len(), changed.len());
                    self.lists[source] = targets;
                }
                Err(error) => now.why = Some(format!("{error}; its last targets stay")),
            }
        }
        let news = now.why != self.told[source].why || now.added + now.removed + now.changed > 0;
        self.told[source] = now;
        news
    }

    fn tell(&self, source: usize, events: &Events) {
        let Told { added, removed, changed, skipped, why } = self.told[source].clone();
        let (source, targets) = (self.names[source].clone(), self.lists[source].len());
        events.emit(Event::Targets { source, targets, added, removed, changed, skipped, why });
    }

    /// Why there is no target.
    fn reasons(&self) -> String {
        let reason =
            |(name, told): (&String, &Told)| format!("{name} {}", told.why.as_deref().map_or("has none".into(), |why| format!("({why})")));
        self.names.iter().zip(&self.told).skip(1).map(reason).collect::<Vec<_>>().join("; ")
    }
}
