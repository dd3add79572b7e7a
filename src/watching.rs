//! Who watches bytes: `--record` and `--hex` those that are relayed; `--keylog` and `--record-tls` see into TLS.

mod sink;
mod tls;

pub use tls::WatchTls;

use crate::{
    args::{Serve, UsageError},
    console::{Console, Direction, Form},
    report::{Reporter, Style},
    serve::{Session, exit},
};
use clap::Args;
use jiff::Zoned;
use sink::Sink;
use std::{collections::HashMap, path::PathBuf, process::ExitCode};
use tapline::{
    fault,
    tap::{Tap, Watcher, What, tap},
};
use tokio::task::JoinHandle;

/// Watching the bytes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Watching")]
pub struct Watch {
    /// Record all connections to a pcapng FILE ("-" for stdout), as the client sees them, and in clear where the TLS is
    /// tapline's own (`tls-terminate`, a tls: target). The packets are made up, their addresses, times and bytes are real. A
    /// slow disk slows the connections; nothing is left out
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Show the bytes of both directions on stderr as `hexdump -C` does. Each read begins with a line: connection, client, `>`
    /// (from the client) or `<` (to it), local time to the microsecond, length, offsets of its first and last byte
    #[arg(long)]
    hex: bool,
}

/// What watches while a command runs.
#[derive(Default)]
pub struct Watching(Vec<(Tap, JoinHandle<anyhow::Result<()>>)>);

impl Watch {
    /// Whether what was asked for can be shown here; it opens nothing.
    pub fn check(&self, serve: &Serve, style: Style) -> Result<(), UsageError> {
        match &self.record {
            Some(path) if path.as_os_str() == "-" => serve.claim_stdout("--record -", "tshark -r -", style),
            _ => Ok(()),
        }
    }

    /// Whether bytes are shown on stderr.
    pub fn shows_bytes(&self) -> bool {
        self.hex
    }

    /// Starts what was asked for.
    pub async fn start(&self, reporter: &Reporter) -> anyhow::Result<(Vec<Tap>, Watching)> {
        let mut watching = Vec::new();
        if let Some(path) = &self.record {
            let sink = Sink::recording(path, false, reporter).await?;
            let (tap, watcher) = tap();
            watching.push((tap, writing("the recording", reporter, sink::record(watcher, sink))));
        }
        if self.hex {
            reporter.expect_reader_of_stderr();
            let (tap, watcher) = tap();
            let console = Console::new(reporter.clone(), Form::of(true, reporter.style()));
            watching.push((tap, tokio::spawn(show(watcher, console))));
        }
        Ok((watching.iter().map(|(tap, _)| tap.clone()).collect(), Watching(watching)))
    }
}

impl Watching {
    /// Waits until everything that was seen is written. What `served` says comes before what could not be.
    pub async fn finish(self, served: anyhow::Result<ExitCode>, session: &Session) -> anyhow::Result<ExitCode> {
        for (tap, _) in &self.0 {
            tap.finish();
        }
        let written = async {
            let mut all = Ok(());
            for (_, watcher) in self.0 {
                // Each is waited for, also behind one that failed.
                let written = watcher.await.map_err(Into::into).flatten();
                all = all.and(written);
            }
            all
        };
        tokio::select! {
            written = written => served.and_then(|code| written.map(|()| code)),
            () = session.hurried() => served.map(|_| exit::CUT.into()),
        }
    }
}

/// What is written while the command runs; where it ends too early, that is said at once, and it is the reason for the exit
/// status at the end.
fn writing(
    what: &'static str,
    reporter: &Reporter,
    written: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> JoinHandle<anyhow::Result<()>> {
    let reporter = reporter.clone();
    tokio::spawn(async move {
        let written = written.await;
        if let Err(error) = &written {
            reporter.note(format!("{what} ends here: {error:#}"));
        }
        written
    })
}

async fn show(mut watcher: Watcher, console: Console) -> anyhow::Result<()> {
    let mut open = HashMap::new();
    while let Some(seen) = watcher.next().await {
        match &seen.what {
            What::Opened { peer, client, .. } => {
                let connection = console.connection(seen.id, peer.clone(), client.clone());
                let _ = open.insert(seen.id, connection);
            }
            What::Bytes(direction, bytes) => {
                let direction = if *direction == fault::Direction::Up { Direction::Received } else { Direction::Sent };
                let time = Zoned::try_from(seen.at).unwrap_or_else(|_| Zoned::now());
                if let Some(connection) = open.get(&seen.id) {
                    connection.show_at(time, direction, bytes).await;
                }
            }
            What::Closed => _ = open.remove(&seen.id),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Color, Output};
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    };

    fn session() -> Session {
        let output = Output { json: true, quiet: true, explain: false, color: Color::Never };
        Session::new(Reporter::start(&output))
    }

    /// One that fails at once, and one that has something to write after that.
    fn watching() -> (Watching, Arc<AtomicBool>) {
        let ((first, _), (second, mut watcher)) = (tap(), tap());
        let written = Arc::new(AtomicBool::new(false));
        let wrote = written.clone();
        let failing = tokio::spawn(async { Err(anyhow::anyhow!("the disk is full")) });
        let writing = tokio::spawn(async move {
            while watcher.next().await.is_some() {}
            wrote.store(true, Relaxed);
            Ok(())
        });
        (Watching(vec![(first, failing), (second, writing)]), written)
    }

    #[tokio::test]
    async fn one_that_fails_cuts_no_other_and_hides_no_earlier_error() {
        let (watching, written) = watching();
        let error = watching.finish(Ok(ExitCode::SUCCESS), &session()).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), written.load(Relaxed)), ("the disk is full", true));
        let (watching, written) = self::watching();
        let error = watching.finish(Err(anyhow::anyhow!("cannot run x")), &session()).await.unwrap_err();
        assert_eq!((error.to_string().as_str(), written.load(Relaxed)), ("cannot run x", true));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_ends_is_not_waited_for_after_a_second_signal() {
        let session = session();
        let watching = Watching(vec![(tap().0, tokio::spawn(std::future::pending()))]);
        session.shutdown.abort("a second signal");
        let code = watching.finish(Ok(ExitCode::SUCCESS), &session).await.unwrap();
        assert_eq!(code, ExitCode::from(exit::CUT));
    }
}
