//! `--top`: a live view of targets and connections on the whole terminal, drawn by a thread of its own.

mod draw;
mod figures;
mod keys;
mod screen;

use crate::{
    args::{Serve, UsageError},
    report::{Drawn, Look},
    serve::Session,
};
use clap::Args;
use figures::Sampler;
use keys::{Act, Keys};
use ratatui::crossterm::event::{self, Event};
use screen::Screen;
use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};
use tapline::{addr::Endpoint, connections::Connections, control::Pools, reload::follows_hangups};

/// From one reading of the figures to the next; it is drawn then, and after a key.
const TICK: Duration = Duration::from_millis(500);
/// How often it is looked whether the view is to end.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a terminal that takes nothing any more is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// A live view.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Watching")]
pub struct Top {
    /// Show targets and connections live, on the whole terminal; `q` ends the view and the run as Ctrl-C does, `?` tells the keys
    ///
    /// For each target its state, what it has open, connections and bytes in a second, errors, how long connecting takes and why
    /// it failed last. What would be said on the terminal is shown at the foot of the view, and stays there when it ends. It
    /// is drawn on stderr, or, where that is no terminal, on stdout.
    #[arg(long)]
    top: bool,
}

/// The view, from when it was asked for.
#[derive(Default)]
pub struct Seeing {
    asked: Option<Asked>,
    shown: Option<Shown>,
}

/// What it is to be drawn on, and what it shows.
struct Asked {
    stream: Box<dyn Write + Send>,
    drawn: Drawn,
    look: Look,
    connections: Connections,
}

/// The thread that draws; it ends when this is dropped, also by a panic.
struct Shown {
    stop: Arc<AtomicBool>,
    /// Disconnected once the terminal is as it was.
    gone: Receiver<()>,
}

impl Top {
    /// Whether it was asked for. It reads keys where stdin is a terminal.
    pub fn is_asked(self) -> bool {
        self.top
    }

    /// Whether it can be shown; nothing is drawn before [`Seeing::start`]. `others` are flags that would write to the same terminal,
    /// and whether they were given.
    pub fn open(self, serve: &Serve, others: &[(&str, bool)], session: &Session) -> Result<Seeing, UsageError> {
        if !self.top {
            return Ok(Seeing::default());
        }
        let style = session.reporter.style();
        let refused = |why: String| Err(UsageError(why));
        for (flag, given) in [("--json", style.json), ("--quiet", style.quiet)].iter().chain(others) {
            if *given {
                return refused(format!("--top shows what {flag} would say otherwise; leave out one of them"));
            }
        }
        if !serve.command.is_empty() {
            return refused("--top and COMMAND would both write to the terminal; run COMMAND in another one".into());
        }
        let Some((stream, drawn, look)) = session.reporter.terminal() else {
            return refused("--top needs a terminal, and neither stderr nor stdout is one".into());
        };
        if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
            return refused("--top needs a terminal that can be drawn on, and this one is dumb (TERM)".into());
        }
        let connections = session.connections.get_or_init(Connections::default).clone();
        Ok(Seeing { asked: Some(Asked { stream, drawn, look, connections }), shown: None })
    }
}

impl Seeing {
    /// Draws the view from here on, of what `command` does at an address, with the pools that there are.
    pub fn start(&mut self, command: &'static str, addr: &Endpoint, pools: impl Pools, session: &Session) {
        let Some(Asked { stream, drawn, look, connections }) = self.asked.take() else { return };
        let sampler = Sampler::new(command, addr, pools, connections);
        let (reporter, shutdown) = (session.reporter.clone(), session.shutdown.clone());
        catch(session);
        let stop = Arc::<AtomicBool>::default();
        let (here, gone) = channel();
        self.shown = Some(Shown { stop: stop.clone(), gone });
        let show = move || {
            let _here: Sender<()> = here;
            let shown = Screen::enter(stream, drawn, look, reporter.curtain.clone()).and_then(|mut screen| {
                let ended = || stop.load(Relaxed) || shutdown.is_draining();
                show(&mut screen, sampler, ended, || reporter.curtain.last(draw::MOST_SAID))
            });
            match shown {
                // As with a signal: a second one, which the terminal gives again, cuts the drain short.
                Ok(true) => shutdown.drain(),
                Ok(false) => {}
                Err(error) => reporter.note(format!("the view ends here: {error}")),
            }
        };
        if let Err(error) = std::thread::Builder::new().name(screen::THREAD.into()).spawn(show) {
            session.reporter.note(format!("no view can be shown: {error}"));
        }
    }

    /// Ends the view where it is still shown: what is said from here on is seen.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        // Nothing is ever sent: it ends with the thread.
        let _ = self.gone.recv_timeout(PATIENCE);
    }
}

/// From now on the other signals that people and terminals send end the run as Ctrl-C does, and with it the view: by themselves they
/// would end the process, and leave the terminal as it is.
#[cfg(unix)]
fn catch(session: &Session) {
    use tokio::signal::unix::{SignalKind, signal};
    let caught =
        |kind| signal(kind).inspect_err(|error| session.reporter.note(format!("a signal may leave the terminal as it is: {error}")));
    if let Ok(mut quit) = caught(SignalKind::quit()) {
        let shutdown = session.shutdown.clone();
        tokio::spawn(async move {
            while quit.recv().await.is_some() {
                shutdown.signalled();
            }
        });
    }
    // Where sources are read again for it, it ends nothing.
    if !follows_hangups()
        && let Ok(mut hangup) = caught(SignalKind::hangup())
    {
        let shutdown = session.shutdown.clone();
        // A terminal that goes may send several; connections are not reset for that.
        tokio::spawn(async move {
            hangup.recv().await;
            shutdown.drain();
        });
    }
}

#[cfg(not(unix))]
fn catch(_session: &Session) {}

/// Shows the view until it is `ended` or somebody leaves it; says whether somebody did.
fn show(
    screen: &mut Screen,
    mut sampler: Sampler,
    ended: impl Fn() -> bool,
    said: impl Fn() -> Vec<crate::report::Line>,
) -> io::Result<bool> {
    let mut keys = Keys::default();
    let (mut next, mut changed) = (Instant::now(), true);
    while !ended() {
        let now = Instant::now();
        if now >= next {
            sampler.sample(now);
            (next, changed) = (now + TICK, true);
        }
        if changed {
            let view = sampler.view(&keys, said());
            screen.draw(|frame, color| draw::draw(frame, &view, &mut keys, color))?;
            changed = false;
        }
        let mut wait = next.saturating_duration_since(Instant::now()).min(GLANCE);
        // All that has come is one change.
        while event::poll(wait)? {
            wait = Duration::ZERO;
            match event::read()? {
                Event::Key(key) => match keys.pressed(key) {
                    Act::Leave => return Ok(true),
                    Act::Clear => screen.clear()?,
                    Act::Draw => {}
                },
                Event::Resize(..) => {}
                _ => continue,
            }
            changed = true;
        }
    }
    Ok(false)
}
