//! Noticing that files have changed, and being told to look at them again.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    collections::BTreeSet,
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::{Instant, Interval, interval_at, timeout, timeout_at},
};

/// A file counts as written when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(50);
/// For a file that is written to all the time.
const PATIENCE: Duration = Duration::from_secs(1);

/// What tells one state of a file from another, without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    length: u64,
    modified: Option<SystemTime>,
    /// Device, inode, and the time of the last change of either.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl State {
    /// The state of a regular file; a pipe has none, and can be read once only.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        Some(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode,
        })
    }
}

/// Files with their states, as they were found at one time.
pub(crate) type Seen = Vec<(PathBuf, Option<State>)>;

/// Files whose changes are noticed.
pub(crate) struct Watch {
    /// Finds the files; it may block.
    look: Arc<dyn Fn() -> Seen + Send + Sync>,
    /// How they were when they were read last, as far as that is known.
    seen: Option<Seen>,
    /// Shared with the thread that looks: what it asks the system for may block too. `None` where nothing can be watched.
    watching: Arc<Mutex<Option<Watching>>>,
    /// Why changes are noticed late only, and whether that was told.
    failure: Option<notify::Error>,
    told: bool,
    touched: Arc<Notify>,
    ticks: Interval,
    asked: watch::Receiver<()>,
}

impl Watch {
    /// Watches what `look` finds. It is looked at now, each time `every` has passed, whenever something happens in one of the
    /// folders, and when it is `asked` for.
    pub(crate) async fn start(
        look: impl Fn() -> Seen + Send + Sync + 'static,
        seen: Option<Seen>,
        every: Duration,
        asked: watch::Receiver<()>,
    ) -> Self {
        let touched = Arc::new(Notify::new());
        let (watching, failure) = match Watching::start(touched.clone()) {
            Ok(watching) => (Some(watching), None),
            Err(error) => (None, Some(error)),
        };
        let watching = Arc::new(Mutex::new(watching));
        let (first, renewing) = (seen.clone().unwrap_or_default(), watching.clone());
        let renewed = spawn_blocking(move || renew(&renewing, &first)).await;
        // What has changed between the first reading and the watch.
        touched.notify_one();
        let ticks = interval_at(Instant::now() + every, every);
        let mut watch = Self { look: Arc::new(look), seen, watching, failure, told: false, touched, ticks, asked };
        watch.renewed(renewed.unwrap_or(Ok(false)));
        watch
    }

    /// Why changes are noticed late only, where that has come up: once.
    pub(crate) fn failure(&mut self) -> Option<notify::Error> {
        self.failure.take().filter(|_| !std::mem::replace(&mut self.told, true))
    }

    /// Takes note of what it has come to that other folders are watched, or not.
    fn renewed(&mut self, renewed: Result<bool, notify::Error>) {
        match renewed {
            // What has changed before it was watched.
            Ok(true) => self.touched.notify_one(),
            Ok(false) => {}
            Err(error) => self.failure = Some(error),
        }
    }

    /// Completes when the files have changed, or are to be read also where they seem to be the same, which is true then. `None`
    /// when nobody can ask any more.
    pub(crate) async fn next(&mut self) -> Option<bool> {
        loop {
            let forced = tokio::select! {
                changed = self.asked.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return None,
                },
                _ = self.ticks.tick() => false,
                () = self.touched.notified() => {
                    let end = Instant::now() + PATIENCE;
                    // Whichever is over first.
                    let _ = timeout_at(end, async { while timeout(QUIET, self.touched.notified()).await.is_ok() {} }).await;
                    false
                }
            };
            let (look, watching) = (self.look.clone(), self.watching.clone());
            let looking = spawn_blocking(move || {
                let seen = look();
                // The file behind a symbolic link may be in another folder now.
                let renewed = renew(&watching, &seen);
                (seen, renewed)
            });
            let Ok((seen, renewed)) = looking.await else { continue };
            let changed = self.seen.as_ref() != Some(&seen);
            self.renewed(renewed);
            self.seen = Some(seen);
            if changed || forced {
                return Some(forced);
            }
        }
    }
}

/// Watches where these files are, and returns whether there are new folders. It may block.
fn renew(watching: &Mutex<Option<Watching>>, seen: &[(PathBuf, Option<State>)]) -> Result<bool, notify::Error> {
    watching.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map_or(Ok(false), |watching| watching.renew(seen))
}

/// The folders that are watched: a file is replaced by a rename, and a symbolic link to it, or to its folder, too.
struct Watching {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

impl Watching {
    fn start(touched: Arc<Notify>) -> Result<Self, notify::Error> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is what this process does itself. Whatever goes wrong is a reason to look.
            if event.map_or(true, |event| !event.kind.is_access()) {
                touched.notify_one();
            }
        })?;
        Ok(Self { watcher, folders: BTreeSet::new() })
    }

    /// Watches the folders that the files are in, and those that they are really in; of a folder, also itself. Returns whether
    /// there are new ones.
    fn renew(&mut self, seen: &[(PathBuf, Option<State>)]) -> Result<bool, notify::Error> {
        // Many files are in few folders.
        let folders: BTreeSet<&Path> = seen.iter().map(|(path, _)| folder(path)).collect();
        let really = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mut wanted: BTreeSet<PathBuf> = folders.into_iter().map(really).collect();
        for real in seen.iter().filter_map(|(path, _)| path.canonicalize().ok()) {
            wanted.insert(folder(&real).to_owned());
            if real.is_dir() {
                wanted.insert(real);
            }
        }
        for old in self.folders.difference(&wanted) {
            // It may be gone.
            let _ = self.watcher.unwatch(old);
        }
        self.folders.retain(|folder| wanted.contains(folder));
        let mut renewed = Ok(false);
        for folder in wanted {
            if self.folders.contains(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.folders.insert(folder);
                    renewed = renewed.map(|_| true);
                }
                Err(error) => renewed = Err(error),
            }
        }
        renewed
    }
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether anybody has asked for SIGHUP: a handler stays for as long as the process, whoever has installed it.
static FOLLOWED: AtomicBool = AtomicBool::new(false);

/// Whether SIGHUP asks for a new reading of something.
#[must_use]
pub fn follows_hangups() -> bool {
    FOLLOWED.load(Relaxed)
}

/// Asks for a new reading at each SIGHUP, from now on. It does not end the process any more.
///
/// # Errors
/// The signal cannot be caught.
#[cfg(unix)]
pub(crate) fn hangups() -> io::Result<watch::Receiver<()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (ask, asked) = watch::channel(());
    let mut hangups = signal(SignalKind::hangup())?;
    FOLLOWED.store(true, Relaxed);
    tokio::spawn(async move {
        tokio::select! {
            () = async { while hangups.recv().await.is_some() && ask.send(()).is_ok() {} } => {}
            () = ask.closed() => {}
        }
    });
    Ok(asked)
}

/// Keeps the way open, which nobody asks by on other systems.
#[cfg(not(unix))]
pub(crate) fn hangups() -> io::Result<watch::Receiver<()>> {
    let (ask, asked) = watch::channel(());
    tokio::spawn(async move { ask.closed().await });
    Ok(asked)
}
