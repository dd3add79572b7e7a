//! Noticing that a file has changed.

use super::{FileError, read};
use crate::{
    event::{Event, Events},
    routes::follow::{Found, Send},
};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    fs::Metadata,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::{Instant, interval_at, timeout, timeout_at},
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

/// Reads the file again when it has changed or is asked for, until nobody wants to know any more. `last` is the state that was
/// read at the start.
pub(crate) async fn follow(
    path: PathBuf,
    mut last: Option<State>,
    every: Duration,
    mut asked: watch::Receiver<()>,
    found: Send,
    events: Events,
) {
    if last.is_none() {
        events.emit(Event::Note { text: format!("{} is no regular file: its rules are read once", path.display()) });
        return;
    }
    let touched = Arc::new(Notify::new());
    let mut watcher = Watching::start(&path, touched.clone());
    if let Err(why) = &watcher {
        let text = format!("cannot watch {}: {why}; it is looked at every {every:?} (--routes-interval) and on SIGHUP", path.display());
        events.emit(Event::Note { text });
    }
    let mut ticks = interval_at(Instant::now() + every, every);
    // What has changed between the first reading and the watch.
    touched.notify_one();
    loop {
        let forced = tokio::select! {
            changed = asked.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
            _ = ticks.tick() => false,
            () = touched.notified() => {
                let end = Instant::now() + PATIENCE;
                // Whichever is over first.
                let _ = timeout_at(end, async { while timeout(QUIET, touched.notified()).await.is_ok() {} }).await;
                false
            }
        };
        let (looked, known) = (path.clone(), last.clone());
        let reading = spawn_blocking(move || {
            let state = State::of(&looked);
            // Asked for, it is read also where it seems to be the same.
            let is_other = || looked.metadata().is_ok_and(|metadata| !metadata.is_file());
            // A pipe without a writer would be waited for without end.
            let reading = || if is_other() { Err(FileError::Replaced(looked.clone())) } else { read(&looked) };
            (forced || state != known).then(|| (state, reading()))
        });
        let Ok(Some((state, rules))) = reading.await else { continue };
        last = state;
        // The file behind a symbolic link may be in another folder now.
        if let Ok(watching) = &mut watcher {
            watching.renew(&path);
        }
        let what = match rules {
            Ok(rules) => Found::all(rules),
            Err(error) => Found::Nothing(error.to_string()),
        };
        if found.send(what, forced).await.is_err() {
            return;
        }
    }
}

/// The folders that are watched: a file is replaced by a rename, and a symbolic link to it, or to its folder, too.
struct Watching {
    watcher: RecommendedWatcher,
    folders: Vec<PathBuf>,
}

impl Watching {
    fn start(path: &Path, touched: Arc<Notify>) -> Result<Self, notify::Error> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is what this process does itself. Whatever goes wrong is a reason to look.
            if event.map_or(true, |event| !event.kind.is_access()) {
                touched.notify_one();
            }
        })?;
        let mut watching = Self { watcher, folders: Vec::new() };
        watching.watch(folder(path))?;
        watching.renew(path);
        Ok(watching)
    }

    /// Watches the folder that the file is really in.
    fn renew(&mut self, path: &Path) {
        let Some(real) = path.canonicalize().ok().map(|real| folder(&real)) else { return };
        // The first one is the folder of the path itself, which stays.
        for old in self.folders.split_off(1) {
            if old == real {
                self.folders.push(old);
            } else {
                // It may be gone.
                let _ = self.watcher.unwatch(&old);
            }
        }
        // Where that cannot be, the file is looked at now and then all the same.
        let _ = self.watch(real);
    }

    fn watch(&mut self, folder: PathBuf) -> Result<(), notify::Error> {
        if !self.folders.contains(&folder) {
            self.watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            self.folders.push(folder);
        }
        Ok(())
    }
}

/// The folder that a file is in.
fn folder(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}
