//! Reading a file again when it has changed.

use super::FileError;
use crate::{
    event::{Event, Events},
    reading::{Following, Send},
    reload::read_once,
    watch::{State, Watch},
};
use std::path::{Path, PathBuf};
use tokio::task::spawn_blocking;

/// Reads the file again when it has changed or is asked for, until nobody wants to know any more. `last` is the state that was
/// read at the start.
pub(crate) async fn follow<T, F>(
    path: PathBuf,
    last: Option<State>,
    read: impl Fn(&Path) -> Result<Vec<T>, FileError> + Clone + std::marker::Send + 'static,
    how: Following,
    found: Send<F>,
    events: Events,
) where
    T: std::marker::Send + 'static,
    F: From<Result<Vec<T>, String>>,
{
    if last.is_none() {
        events.emit(Event::Note { text: read_once(&path) });
        return;
    }
    let Following { every, flag, asked } = how;
    let looked = path.clone();
    let look = move || vec![(looked.clone(), State::of(&looked))];
    let mut watch = Watch::start(look, Some(vec![(path.clone(), last)]), every, asked).await;
    if let Some(why) = watch.failure() {
        let text = format!("cannot watch {}: {why}; it is looked at every {every:?} ({flag}) and on SIGHUP", path.display());
        events.emit(Event::Note { text });
    }
    while let Some(forced) = watch.next().await {
        let (path, read) = (path.clone(), read.clone());
        let reading = spawn_blocking(move || {
            // A pipe without a writer would be waited for without end.
            let is_other = path.metadata().is_ok_and(|metadata| !metadata.is_file());
            if is_other { Err(FileError::Replaced(path)) } else { read(&path) }
        });
        let Ok(read) = reading.await else { continue };
        if found.send(F::from(read.map_err(|error| error.to_string())), forced).await.is_err() {
            return;
        }
    }
}
