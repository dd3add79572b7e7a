//! The only printer. Events, progress and errors go to stderr, results to stdout, each through a queue and a thread of
//! its own, so that an unread pipe stops neither the traffic nor the other stream.
//!
//! Rules of the output: lower-case first letters and no full stops; `tapline:` before errors; untrusted text is escaped
//! before a terminal can see it; events may be dropped (and are counted), results and received bytes may not.

mod curtain;
mod escape;
mod human;
mod table;
mod writer;

pub use curtain::{Curtain, Drawn, Line};
pub use escape::{item, json, safe};
pub use human::{bytes, counted, phase, span};
pub use table::{table, text, wide_table, width};

use crate::{
    args::{Color, Output, UsageError},
    serve::exit,
};
use curtain::Behind;
use indicatif::MultiProgress;
use jiff::Zoned;
use serde::Serialize;
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tapline::event::{Event, Events, Sink};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use writer::{Message, writer};

/// Bytes of results and of connections that wait to be written to one stream.
const WAITING: usize = 4 * 1024 * 1024;
/// How long the last lines may take to be written to a stderr that nobody reads, and results once everything is to end.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// Local time to the microsecond, with its offset, as programs read it.
pub fn local_time(time: &Zoned) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()
}

/// Prints. Clones share the streams.
#[derive(Clone)]
pub struct Reporter {
    style: Style,
    stderr: mpsc::Sender<Message>,
    stdout: mpsc::Sender<Message>,
    stderr_room: Arc<Semaphore>,
    stdout_room: Arc<Semaphore>,
    said: Arc<AtomicU64>,
    dropped: Arc<AtomicU64>,
    /// Of all that were dropped, those that were told too.
    ever_dropped: Arc<AtomicU64>,
    stdout_closed: CancellationToken,
    stderr_closed: CancellationToken,
    /// Why results could not be written, unless their reader has gone.
    stdout_failed: Arc<OnceLock<io::Error>>,
    /// What stderr gets is what the program is for.
    stderr_matters: Arc<AtomicBool>,
    stderr_done: CancellationToken,
    stdout_done: CancellationToken,
    /// Progress bars, drawn on stderr below the events.
    pub bars: MultiProgress,
    /// What a full-screen view is drawn over.
    pub curtain: Curtain,
}

/// In which form things are said.
#[derive(Clone, Copy)]
pub struct Style {
    pub json: bool,
    pub quiet: bool,
    pub explain: bool,
    pub stderr: Look,
    pub stdout: Look,
}

/// What a stream shows.
#[derive(Clone, Copy)]
pub struct Look {
    /// It is a terminal.
    pub terminal: bool,
    /// It gets colour.
    pub color: bool,
}

/// A result for stdout: JSON by its fields, a line for people.
pub trait Show: Serialize {
    /// The line, without its end. Untrusted text in it is escaped already.
    fn line(&self) -> String;
}

/// The answer is no: exit status 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// The reader of stdout has gone.
#[derive(Debug)]
pub struct Closed;

impl Reporter {
    /// Starts the two threads.
    pub fn start(options: &Output) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the two streams of the only printer")]
        let (stderr, stdout) = (io::stderr(), io::stdout());
        let look = |terminal| Look { terminal, color: colored(options.color, terminal) };
        let looks = (look(stderr.is_terminal()), look(stdout.is_terminal()));
        let style = Style { json: options.json, quiet: options.quiet, explain: options.explain, stderr: looks.0, stdout: looks.1 };
        let bars = MultiProgress::new();
        let dropped = Arc::new(AtomicU64::new(0));
        let (stdout_closed, stderr_closed) = (CancellationToken::new(), CancellationToken::new());
        let stdout_failed = Arc::<OnceLock<io::Error>>::default();
        let curtain = Curtain::default();
        let stderr = Behind { stream: stderr, curtain: curtain.clone() };
        let (stderr, stderr_done) = writer(Box::new(stderr), style, dropped.clone(), bars.clone(), stderr_closed.clone(), Arc::default());
        let (stdout, stdout_done) =
            writer(Box::new(stdout), style, Arc::default(), bars.clone(), stdout_closed.clone(), stdout_failed.clone());
        Self {
            style,
            stderr,
            stdout,
            stderr_room: Arc::new(Semaphore::new(WAITING)),
            stdout_room: Arc::new(Semaphore::new(WAITING)),
            said: Arc::default(),
            dropped,
            ever_dropped: Arc::default(),
            stdout_closed,
            stderr_closed,
            stdout_failed,
            stderr_matters: Arc::default(),
            stderr_done,
            stdout_done,
            bars,
            curtain,
        }
    }

    /// In which form things are said.
    pub fn style(&self) -> Style {
        self.style
    }

    /// The terminal for a full-screen view, and what it is drawn over there: what is said, where stderr is a terminal; else stdout,
    /// where that is one. Whoever draws is the only one who writes to it, until the curtain is lifted.
    pub fn terminal(&self) -> Option<(Box<dyn Write + Send>, Drawn, Look)> {
        #[expect(clippy::disallowed_methods, reason = "nothing else is printed there meanwhile")]
        match (self.style.stderr, self.style.stdout) {
            (look, _) if look.terminal => Some((Box::new(io::stderr()), Drawn::OverStderr, look)),
            (_, look) if look.terminal => Some((Box::new(io::stdout()), Drawn::Beside, look)),
            _ => None,
        }
    }

    /// Where the core's events go.
    pub fn events(&self) -> Events {
        Events::new(self.clone())
    }

    /// Something worth knowing that stops nothing.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note { text: text.into() });
    }

    /// Prints a result; waits where stdout is not read.
    pub async fn result(&self, result: &impl Show) -> Result<(), Closed> {
        let mut line = if self.style.json { json(result) } else { result.line() };
        line.push('\n');
        self.to_stdout(line.into_bytes()).await
    }

    /// Writes to stdout as it is; waits where stdout is not read.
    pub async fn to_stdout(&self, bytes: Vec<u8>) -> Result<(), Closed> {
        if self.stdout_closed.is_cancelled() {
            return Err(Closed);
        }
        let room = room(&self.stdout_room, bytes.len()).await;
        self.stdout.send(Message::Bytes(bytes, room)).await.map_err(|_| Closed)
    }

    /// Writes received bytes to stderr as they are; waits where stderr is not read.
    pub async fn to_stderr(&self, bytes: Vec<u8>) {
        let room = room(&self.stderr_room, bytes.len()).await;
        // The thread lives as long as the program.
        let _ = self.stderr.send(Message::Bytes(bytes, room)).await;
    }

    /// How many events were said so far. Each begins a line of its own, and so ends a line that was open.
    pub fn said(&self) -> u64 {
        self.said.load(Relaxed)
    }

    /// How many events were lost so far, because nobody read them fast enough.
    pub fn dropped(&self) -> u64 {
        self.ever_dropped.load(Relaxed)
    }

    /// What the program is for goes to stderr: without a reader there, too, it has nothing left to do.
    pub fn expect_reader_of_stderr(&self) {
        self.stderr_matters.store(true, Relaxed);
    }

    /// Waits until nobody reads any more what the program is for; says which stream was closed.
    pub async fn unread(&self) -> &'static str {
        tokio::select! {
            () = self.stdout_closed.cancelled() => "stdout was closed",
            () = self.stderr_closed.cancelled(), if self.stderr_matters.load(Relaxed) => "stderr was closed",
        }
    }

    /// Whether nobody reads any more what the program is for.
    pub fn is_unread(&self) -> bool {
        self.stdout_closed.is_cancelled() || self.stderr_matters.load(Relaxed) && self.stderr_closed.is_cancelled()
    }

    /// Says why the program could not go on, or its results not be written, if so, with a hint where there is one, and waits
    /// until everything is written: results, or the bytes on stderr that the program is for, until `hurried` completes; events
    /// for a moment. What was dropped is told by the thread after its last write. Returns the exit status.
    pub async fn finish(&self, outcome: anyhow::Result<ExitCode>, hurried: impl Future<Output = ()>) -> ExitCode {
        let stderr_matters = self.stderr_matters.load(Relaxed);
        let unwritten = || self.stdout_failed.get().map(|why| anyhow::anyhow!("cannot write to stdout: {why}"));
        // The threads live as long as the program.
        let results = async {
            let _ = self.stdout.send(Message::Last).await;
            self.stdout_done.cancelled().await;
        };
        let events = async |error: Option<&anyhow::Error>| {
            let last = async {
                if let Some(error) = error {
                    let _ = self.stderr.send(Message::Line(self.error(error))).await;
                }
                let _ = self.stderr.send(Message::Last).await;
                self.stderr_done.cancelled().await;
            };
            tokio::select! {
                () = last => {}
                () = tokio::time::sleep(FAREWELL), if !stderr_matters => {}
            }
        };
        let everything = async {
            if let Err(error) = &outcome {
                tokio::join!(events(Some(error)), results);
            } else {
                // Whether they could be written shows once they are.
                results.await;
                events(unwritten().as_ref()).await;
            }
        };
        tokio::select! {
            () = everything => {}
            () = hurried => {}
        }
        let cut = !self.stdout_done.is_cancelled() || stderr_matters && !self.stderr_done.is_cancelled();
        match outcome {
            Err(error) if error.is::<UsageError>() => exit::USAGE.into(),
            Err(error) if error.is::<Refused>() => exit::NO.into(),
            Err(_) => exit::START.into(),
            Ok(_) if unwritten().is_some() => exit::START.into(),
            Ok(_) if cut => exit::CUT.into(),
            Ok(code) => code,
        }
    }

    fn error(&self, error: &anyhow::Error) -> String {
        if self.style.json {
            json(&serde_json::json!({ "event": "error", "text": format!("{error:#}"), "hint": human::hint(error) }))
        } else {
            human::error(error, self.style.stderr.color)
        }
    }
}

impl Sink for Reporter {
    fn emit(&self, event: Event) {
        if !human::is_shown(&event, self.style) {
            return;
        }
        if self.stderr.try_send(Message::Event(event)).is_ok() {
            self.said.fetch_add(1, Relaxed);
        } else {
            self.dropped.fetch_add(1, Relaxed);
            self.ever_dropped.fetch_add(1, Relaxed);
        }
    }
}

/// Waits until so many bytes more may wait to be written.
async fn room(of: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    // What is larger than all of it waits until there is nothing else.
    let wanted = u32::try_from(bytes.min(WAITING)).unwrap_or(u32::MAX);
    // It fails only for a semaphore that was closed, and this one never is.
    of.clone().acquire_many_owned(wanted).await.ok()
}

/// `auto` is colour on a terminal that can, unless NO_COLOR is set (no-color.org).
fn colored(color: Color, terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::env::var("TERM").as_deref() != Ok("dumb")
        }
    }
}
