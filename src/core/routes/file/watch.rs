//! Reading a file's rules again when it has changed.

use super::{FileError, read};
use crate::{
    event::{Event, Events},
    routes::follow::{Found, Send},
    watch::{State, Watch},
};
use std::{path::PathBuf, time::Duration};
use tokio::{sync::watch, task::spawn_blocking};

/// Reads the file again when it has changed or is asked for, until nobody wants to know any more. `last` is the state that was
/// read at the start.
pub(crate) async fn follow(path: PathBuf, last: Option<State>, every: Duration, asked: watch::Receiver<()>, found: Send, events: Events) {
    if last.is_none() {
        events.emit(Event::Note { text: format!("{} is no regular file: its rules are read once", path.display()) });
        return;
    }
    let looked = path.clone();
    let look = move || vec![(looked.clone(), State::of(&looked))];
    let mut watch = Watch::start(look, Some(vec![(path.clone(), last)]), every, asked).await;
    if let Some(why) = watch.failure() {
        let text = format!("cannot watch {}: {why}; it is looked at every {every:?} (--routes-interval) and on SIGHUP", path.display());
        events.emit(Event::Note { text });
    }
    while let Some(forced) = watch.next().await {
        let path = path.clone();
        let reading = spawn_blocking(move || {
            // A pipe without a writer would be waited for without end.
            let is_other = path.metadata().is_ok_and(|metadata| !metadata.is_file());
            if is_other { Err(FileError::Replaced(path)) } else { read(&path) }
        });
        let what = match reading.await {
            Ok(Ok(rules)) => Found::all(rules),
            Ok(Err(error)) => Found::Nothing(error.to_string()),
            Err(_) => continue,
        };
        if found.send(what, forced).await.is_err() {
            return;
        }
    }
}
