//! Who watches relayed bytes: `--record` and `--hex`.

use crate::{
    args::{Serve, UsageError},
    console::{Console, Direction, Form},
    report::{Reporter, Style},
    serve::{Session, exit},
};
use anyhow::Context;
use clap::Args;
use jiff::Zoned;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tapline::{
    fault,
    record::Recording,
    tap::{Tap, Watcher, What, tap},
};
use tokio::{fs::File, io::AsyncWriteExt, task::JoinHandle};

/// Written at one time, about.
const BATCH: usize = 256 * 1024;

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
pub struct Watching(Vec<(Tap, JoinHandle<anyhow::Result<()>>)>);

impl Watch {
    /// Whether what was asked for can be shown here; it opens nothing.
    pub fn check(&self, serve: &Serve, style: Style) -> Result<(), UsageError> {
        match &self.record {
            Some(path) if path.as_os_str() == "-" => serve.claim_stdout("--record -", "tshark -r -", style),
            _ => Ok(()),
        }
    }

    /// Starts what was asked for.
    pub async fn start(&self, reporter: &Reporter) -> anyhow::Result<(Vec<Tap>, Watching)> {
        let mut watching = Vec::new();
        if let Some(path) = &self.record {
            let mut sink = Sink::open(path, reporter).await?;
            // Where nothing can be written, the command does not start.
            sink.write(Recording::header()).await?;
            let (tap, watcher) = tap();
            let reporter = reporter.clone();
            let recorded = tokio::spawn(async move {
                let recorded = record(watcher, sink).await;
                if let Err(error) = &recorded {
                    // At once, and as the reason for the exit status at the end.
                    reporter.note(format!("the recording ends here: {error:#}"));
                }
                recorded
            });
            watching.push((tap, recorded));
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

enum Sink {
    File(File, PathBuf),
    Stdout(Reporter),
}

impl Sink {
    async fn open(path: &Path, reporter: &Reporter) -> anyhow::Result<Self> {
        if path.as_os_str() != "-" {
            let file = File::create(path).await.with_context(|| format!("cannot write {}", path.display()))?;
            return Ok(Self::File(file, path.to_owned()));
        }
        Ok(Self::Stdout(reporter.clone()))
    }

    /// False where nobody reads any more.
    async fn write(&mut self, bytes: Vec<u8>) -> anyhow::Result<bool> {
        match self {
            Self::Stdout(reporter) => Ok(reporter.to_stdout(bytes).await.is_ok()),
            Self::File(file, path) => {
                // A file is to be complete up to the last write, also for who reads it meanwhile.
                let written = async {
                    file.write_all(&bytes).await?;
                    file.flush().await
                };
                written.await.with_context(|| format!("cannot write {}", path.display())).map(|()| true)
            }
        }
    }
}

async fn record(mut watcher: Watcher, mut sink: Sink) -> anyhow::Result<()> {
    let mut recording = Recording::default();
    while let Some(mut seen) = watcher.next().await {
        let (mut out, mut handled) = (Vec::new(), Vec::new());
        loop {
            recording.add(&seen, &mut out);
            if out.len() >= BATCH {
                break;
            }
            // What is there goes out in one write; a burst of packets is not a burst of system calls.
            match watcher.ready() {
                Some(next) => handled.push(std::mem::replace(&mut seen, next)),
                None => break,
            }
        }
        let written = sink.write(out).await?;
        // Each is told to be handled, and its room given back, by being dropped.
        drop((handled, seen));
        if !written {
            break;
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
