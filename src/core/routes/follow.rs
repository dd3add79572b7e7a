//! Reading all sources, at the start and whenever they change.

use super::{ARGUMENTS, Counts, Entries, FileError, Live, MOST_RULES, Source, file, redis::Rules};
use crate::{
    dial::Dialer,
    event::{Event, Events},
    lines,
    reading::{Following as How, Send, Skipped},
    redis::{self, RedisError},
    route::{Destination, DuplicateRule, Matcher, Rule, Table},
    server::workers,
    shutdown::Shutdown,
    watch::{State, hangups},
};
use std::{collections::BTreeMap, io, path::PathBuf, thread, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::{JoinError, spawn_blocking},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Why the rules could not be read at the start.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// A file gives none.
    #[error(transparent)]
    File(#[from] FileError),
    /// A redis server gives none.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The same rule twice among the arguments.
    #[error(transparent)]
    Duplicate(#[from] DuplicateRule),
    /// Two sources have a rule for the same clients.
    #[error("{0} has a rule in {1} and in {2}")]
    Clash(Box<Matcher>, String, String),
    /// A rule of a file that no client could use, and why.
    #[error("{0}: {1}")]
    Unfit(String, String),
    /// The thread that reads them could not be started.
    #[error("cannot start a thread for the rules: {0}")]
    Thread(#[source] io::Error),
    /// A panic.
    #[error("reading the rules failed: {0}")]
    Failed(#[from] JoinError),
}

/// What a reading of a source has found.
pub(super) enum Found {
    /// All of its rules, and what was skipped.
    All { rules: Vec<Rule>, skipped: Skipped },
    /// Some of its rules, which are there or gone.
    Some { edits: Vec<(Matcher, Option<Destination>)>, skipped: Skipped },
    /// None that can be used, and why.
    Nothing(String),
}

impl Found {
    /// All rules of a source that skips none.
    pub(super) fn all(rules: Vec<Rule>) -> Self {
        Self::All { rules, skipped: Skipped::default() }
    }

    /// Whether it has no rule.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::All { rules, .. } => rules.is_empty(),
            Self::Some { edits, .. } => edits.iter().all(|(_, to)| to.is_none()),
            Self::Nothing(_) => true,
        }
    }
}

impl From<Result<Vec<Rule>, String>> for Found {
    fn from(read: Result<Vec<Rule>, String>) -> Self {
        read.map_or_else(Self::Nothing, Self::all)
    }
}

/// The rules as they were read at the start, with what is needed to follow their sources.
pub struct Loaded<S> {
    entries: Entries<S>,
    names: Vec<String>,
    /// How many sources cannot have a rule that another one of them has: the arguments and the files, which come first.
    strict: usize,
    readers: Vec<(usize, Reader)>,
    told: Vec<Told>,
    fits: Fits,
    thread: Option<Thread>,
}

/// Whether a rule makes sense beside all else that was asked for, or why not.
pub type Fits = Box<dyn Fn(&Rule) -> Result<(), String> + std::marker::Send>;

/// Where sources are read and followed.
struct Thread {
    events: Handle,
    stop: DropGuard,
    /// SIGHUP asks for a new reading of everything.
    asked: watch::Receiver<()>,
}

/// A source that was read once.
enum Reader {
    File(PathBuf, Option<State>),
    Redis(Box<redis::Reader<Rules>>),
}

/// What a reading of a source came to.
#[derive(Clone, Default)]
struct Told {
    counts: Counts,
    skipped: usize,
    why: Option<String>,
}

impl Told {
    fn has_changes(&self) -> bool {
        self.counts.added + self.counts.removed + self.counts.changed > 0
    }
}

/// How sources are followed.
pub struct Follow {
    /// How often each source is read all the same.
    pub every: Duration,
    /// When it is to end.
    pub shutdown: Shutdown,
    /// Where changes are told.
    pub events: Events,
}

/// Reads every source, with the rules given as arguments before them. A rule may be given in one argument or file; of
/// redis, where it has a rule from there already, it is passed over. `fits` judges the rules of files; those of redis are
/// judged by what redis may lead to.
///
/// # Errors
/// An argument or a file gives a rule twice; a rule of a file does not fit; a source cannot be read.
pub async fn load<S>(arguments: Vec<Rule>, sources: Vec<Source>, dialer: &Dialer, fits: Fits) -> Result<Loaded<S>, RoutesError>
where
    S: Default + std::marker::Send + Sync + 'static,
{
    let mut names = vec!["the arguments".to_owned()];
    let (files, servers): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| matches!(source, Source::File(_)));
    let strict = 1 + files.len();
    let sources: Vec<_> = files.into_iter().chain(servers).collect();
    names.extend(sources.iter().map(ToString::to_string));
    Table::new(arguments.iter().map(|rule| (rule.matcher.clone(), ())))?;
    let mut entries = Entries::new(names.len());
    entries.replace(ARGUMENTS, arguments);
    let mut loaded = Loaded { entries, told: vec![Told::default(); names.len()], names, strict, readers: Vec::new(), fits, thread: None };
    if sources.is_empty() {
        return Ok(loaded);
    }
    // A thread of its own: a hundred thousand rules take time, in which clients are served.
    let stop = CancellationToken::new();
    let events = workers::start(thread::Builder::new().name("routes".into()), stop.clone()).map_err(RoutesError::Thread)?;
    let entered = events.enter();
    let asked = hangups().map_err(RoutesError::Thread)?;
    drop(entered);
    loaded.thread = Some(Thread { events: events.clone(), stop: stop.drop_guard(), asked });
    let dialer = dialer.clone();
    events.spawn(async move { loaded.read(sources, &dialer).await.map(|()| loaded) }).await?
}

impl<S: Default + std::marker::Send + Sync + 'static> Loaded<S> {
    /// The rules in force, now and later.
    #[must_use]
    pub fn live(&self) -> &Live<S> {
        self.entries.live()
    }

    async fn read(&mut self, sources: Vec<Source>, dialer: &Dialer) -> Result<(), RoutesError> {
        for (at, source) in (1..).zip(sources) {
            match source {
                Source::File(path) => {
                    let (state, rules) = {
                        let path = path.clone();
                        spawn_blocking(move || (State::of(&path), file::read(&path))).await?
                    };
                    let rules = rules?;
                    self.judge(at, &rules)?;
                    self.take(at, Found::all(rules));
                    self.readers.push((at, Reader::File(path, state)));
                }
                Source::Redis(server) => {
                    let (reader, found) = redis::Reader::start(server, dialer.clone(), Rules).await?;
                    self.take(at, found);
                    self.readers.push((at, Reader::Redis(Box::new(reader))));
                }
            }
        }
        Ok(())
    }

    /// Judges the rules of a file.
    fn judge(&self, source: usize, rules: &[Rule]) -> Result<(), RoutesError> {
        for rule in rules {
            (self.fits)(rule).map_err(|why| RoutesError::Unfit(self.names[source].clone(), why))?;
            if let Some(other) = self.entries.given_by(&rule.matcher, self.strict, source) {
                let names = (self.names[other].clone(), self.names[source].clone());
                return Err(RoutesError::Clash(Box::new(rule.matcher.clone()), names.0, names.1));
            }
        }
        Ok(())
    }

    /// Takes what a source was found to have.
    fn take(&mut self, source: usize, found: Found) {
        let (changed, mut skipped) = match found {
            Found::All { rules, skipped } => (self.entries.replace(source, rules), skipped),
            Found::Some { edits, skipped } => (self.entries.edit(source, edits), skipped),
            Found::Nothing(why) => {
                self.told[source] =
                    Told { counts: Counts { rules: self.entries.len(source), ..Counts::default() }, skipped: 0, why: Some(why) };
                return;
            }
        };
        let example = changed.for_example.as_ref();
        skipped.add_many(
            changed.passed_over,
            example.map(|(matcher, first)| format!("{matcher} has a rule in {} already", self.names[*first])),
        );
        skipped.add_many(changed.too_many, Some(format!("it has more than {MOST_RULES} rules")));
        let (total, why) = (skipped.total(), skipped.words());
        self.told[source] = Told { counts: changed.counts, skipped: total, why };
    }

    fn tell(&self, source: usize, events: &Events) {
        let Told { counts: Counts { rules, added, removed, changed }, skipped, why } = self.told[source].clone();
        events.emit(Event::Routes { source: self.names[source].clone(), rules, added, removed, changed, skipped, why });
    }

    /// Follows the sources until the end, and says at once what they have given so far.
    pub fn follow(mut self, how: Follow) {
        let Some(Thread { events: handle, stop, asked }) = self.thread.take() else { return };
        for (source, _) in &self.readers {
            self.tell(*source, &how.events);
        }
        let (to, mut from) = mpsc::channel(4);
        for (source, reader) in std::mem::take(&mut self.readers) {
            let (found, events) = (Send { source, to: to.clone() }, how.events.clone());
            let following = How { every: how.every, flag: "--routes-interval", asked: asked.clone() };
            match reader {
                Reader::File(path, state) => drop(handle.spawn(lines::follow(path, state, file::read, following, found, events))),
                Reader::Redis(reader) => drop(handle.spawn(reader.follow(following, found, events))),
            }
        }
        drop(to);
        // What was wrong with all of a source is told once, however often it is read.
        let wrong = self.told.iter().map(|told| told.why.clone()).collect();
        let mut following = Following { loaded: self, wrong, refused: BTreeMap::new(), events: how.events };
        handle.spawn(async move {
            // With this task the thread ends.
            let _stop = stop;
            while let Some(Some((source, found, told))) = how.shutdown.unless_draining(from.recv()).await {
                following.take(source, found, told);
            }
        });
    }
}

/// The rules while their sources are followed.
struct Following<S> {
    loaded: Loaded<S>,
    /// What was wrong with all of each source when it was told last.
    wrong: Vec<Option<String>>,
    /// The rules of files that are refused as they are now.
    refused: BTreeMap<usize, Vec<Rule>>,
    events: Events,
}

impl<S: Default + std::marker::Send + Sync + 'static> Following<S> {
    /// Takes what a source was found to have, and says it where it is news or was asked for. A rule that moves from one file
    /// to another may be seen first where it comes to, and is refused there until it is gone where it was.
    fn take(&mut self, source: usize, found: Found, told: bool) {
        let mut again = self.take_one(source, found, told) && source < self.loaded.strict;
        while again {
            let refused = std::mem::take(&mut self.refused);
            again = refused.into_iter().fold(false, |any, (source, rules)| self.take_one(source, Found::all(rules), false) || any);
        }
    }

    /// Returns whether its rules have changed.
    fn take_one(&mut self, source: usize, found: Found, told: bool) -> bool {
        // What it had before it has no more.
        self.refused.remove(&source);
        let found = match found {
            Found::All { rules, .. } if source < self.loaded.strict => match self.loaded.judge(source, &rules) {
                Ok(()) => Found::all(rules),
                Err(why) => {
                    self.refused.insert(source, rules);
                    Found::Nothing(why.to_string())
                }
            },
            found => found,
        };
        let whole = !matches!(found, Found::Some { .. });
        self.loaded.take(source, found);
        let came = &self.loaded.told[source];
        let news = if whole { came.why != self.wrong[source] } else { came.why.is_some() };
        if whole {
            self.wrong[source].clone_from(&came.why);
        }
        let changed = came.has_changes();
        if told || news || changed {
            self.loaded.tell(source, &self.events);
        }
        changed
    }
}
