//! Reading certificates again while they are in use: when their files change, and on SIGHUP.

pub use crate::watch::follows_hangups;
use crate::{
    event::{Event, Events},
    shutdown::Shutdown,
    watch::{State, Watch, hangups},
};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::spawn_blocking};

/// How often files are looked at all the same, where the system does not tell of their changes.
const EVERY: Duration = Duration::from_mins(1);

/// What certificates are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// They are shown to clients.
    Identities,
    /// Clients' certificates must lead to them.
    ClientCa,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identities => "certificates",
            Self::ClientCa => "certificates of client CAs",
        })
    }
}

/// What a reading has come to.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// How many are in force now.
    pub certificates: usize,
    /// The names that they are for; of many, the first.
    pub names: Vec<String>,
    /// How many are new, other ones, or gone.
    pub changed: usize,
    /// Why some, or all, are as they were before, or left out.
    pub why: Option<String>,
    /// What is worth a word.
    pub notes: Vec<String>,
}

/// Certificates in files that can be read again while they are in use.
pub trait Reload: Send + 'static {
    /// What they are for.
    fn what(&self) -> What;

    /// The files, and the folders whose content counts, as they are now. It may block.
    fn paths(&self) -> Vec<PathBuf>;

    /// Reads all of them again and takes into force what can be used; what cannot be used stays as it was. It may block.
    fn reload(&mut self) -> Loaded;
}

/// The first of some files that can be read once only: a pipe whose writer has gone would be waited for without end.
pub(crate) fn irregular<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Option<&'a PathBuf> {
    let is_irregular = |path: &&PathBuf| path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
    paths.into_iter().find(is_irregular)
}

/// What is worth a word about such a file.
pub(crate) fn read_once(path: &Path) -> String {
    format!("{} is no regular file: it is read once", path.display())
}

/// Everything that is to be read again.
pub struct Reloads {
    all: Vec<(Box<dyn Reload>, Loaded)>,
    asked: watch::Receiver<()>,
}

impl Reloads {
    /// From now on SIGHUP asks for a new reading, and does not end the process. Must be called within a runtime.
    ///
    /// # Errors
    /// The signal cannot be caught.
    pub fn new() -> io::Result<Self> {
        Ok(Self { all: Vec::new(), asked: hangups()? })
    }

    /// Adds what was read for the first time.
    pub fn add(&mut self, reload: impl Reload, loaded: Loaded) {
        self.all.push((Box::new(reload), loaded));
    }

    /// Says what was read, and follows its changes until the end. Must be called within a runtime.
    pub fn follow(self, shutdown: &Shutdown, events: &Events) {
        let Self { all, asked } = self;
        if all.is_empty() {
            let (shutdown, events, mut asked) = (shutdown.clone(), events.clone(), asked);
            tokio::spawn(async move {
                while let Some(Ok(())) = shutdown.unless_draining(asked.changed()).await {
                    let text = "SIGHUP: the certificates are made in memory, and there is no file to be read again";
                    events.emit(Event::Note { text: text.into() });
                }
            });
            return;
        }
        for (reload, loaded) in all {
            let (shutdown, events, asked) = (shutdown.clone(), events.clone(), asked.clone());
            tell(reload.what(), &loaded, &BTreeSet::new(), &events);
            tokio::spawn(async move { shutdown.unless_draining(follow(reload, loaded, asked, events)).await });
        }
    }
}

async fn follow(reload: Box<dyn Reload>, loaded: Loaded, asked: watch::Receiver<()>, events: Events) {
    let what = reload.what();
    let reload = Arc::new(Mutex::new(reload));
    let looked = reload.clone();
    let look = move || {
        let paths = looked.lock().unwrap_or_else(PoisonError::into_inner).paths();
        paths.into_iter().map(|path| (path.clone(), State::of(&path))).collect()
    };
    // How the files were when they were read is not known: they are read once more.
    let mut watch = Watch::start(look, None, EVERY, asked).await;
    let (mut why, mut noted) = (loaded.why, BTreeSet::from_iter(loaded.notes));
    while let Some(forced) = watch.next().await {
        if let Some(why) = watch.failure() {
            let text = format!("cannot watch the files of {what}: {why}; they are looked at every {EVERY:?} and on SIGHUP");
            events.emit(Event::Note { text });
        }
        let again = reload.clone();
        let reading = spawn_blocking(move || again.lock().unwrap_or_else(PoisonError::into_inner).reload());
        let Ok(loaded) = reading.await else { continue };
        // What is wrong is told once, however often it is read.
        let is_new = |note: &String| !noted.contains(note);
        if forced || loaded.changed > 0 || loaded.why != why || loaded.notes.iter().any(is_new) {
            tell(what, &loaded, &noted, &events);
        }
        (why, noted) = (loaded.why, BTreeSet::from_iter(loaded.notes));
    }
}

fn tell(what: What, loaded: &Loaded, noted: &BTreeSet<String>, events: &Events) {
    let Loaded { certificates, names, changed, why, notes } = loaded.clone();
    events.emit(Event::Loaded { what, certificates, names, changed, why });
    for text in notes.into_iter().filter(|note| !noted.contains(note)) {
        events.emit(Event::Note { text });
    }
}
