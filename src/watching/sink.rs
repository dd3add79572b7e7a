//! Where what is watched is written: recordings and key logs.

use crate::report::Reporter;
use anyhow::Context;
use std::path::{Path, PathBuf};
use tapline::{
    record::Recording,
    tap::{Watcher, What},
};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
};

/// Written at one time, about.
const BATCH: usize = 256 * 1024;

/// A file, or stdout.
pub(super) enum Sink {
    File(File, PathBuf),
    Stdout(Reporter),
}

impl Sink {
    /// Begins a recording; a `secret` one is for nobody else's eyes where it is made. Where nothing can be written, there is
    /// none.
    pub(super) async fn recording(path: &Path, secret: bool, reporter: &Reporter) -> anyhow::Result<Self> {
        let mut sink = if path.as_os_str() == "-" {
            Self::Stdout(reporter.clone())
        } else {
            Self::open(path, OpenOptions::new().truncate(true), secret).await?
        };
        sink.write(Recording::header()).await?;
        Ok(sink)
    }

    /// A key log, which is appended to: other programs may write to it, too.
    pub(super) async fn keylog(path: &Path) -> anyhow::Result<Self> {
        Self::open(path, OpenOptions::new().append(true), true).await
    }

    async fn open(path: &Path, how: &mut OpenOptions, secret: bool) -> anyhow::Result<Self> {
        #[cfg(unix)]
        how.mode(if secret { 0o600 } else { 0o666 });
        let file = how.create(true).write(true).open(path).await;
        Ok(Self::File(file.with_context(|| format!("cannot write {}", path.display()))?, path.to_owned()))
    }

    /// Whether others than its owner may read what is written there.
    #[cfg(unix)]
    pub(super) async fn is_shared(&self) -> bool {
        use std::os::unix::fs::PermissionsExt;
        let Self::File(file, _) = self else { return false };
        // A pipe or a terminal keeps nothing that somebody could read later.
        file.metadata().await.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o044 != 0)
    }

    #[cfg(not(unix))]
    pub(super) async fn is_shared(&self) -> bool {
        false
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

/// Writes a recording until nothing more comes.
pub(super) async fn record(mut watcher: Watcher, mut sink: Sink) -> anyhow::Result<()> {
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

/// Writes lines of a key log until nothing more comes, whole ones in each write.
pub(super) async fn log_keys(mut watcher: Watcher, mut sink: Sink) -> anyhow::Result<()> {
    while let Some(first) = watcher.next().await {
        let (mut out, mut handled, mut next) = (Vec::new(), Vec::new(), Some(first));
        while let Some(seen) = next {
            if let What::Secrets(lines) = &seen.what {
                out.extend_from_slice(lines);
            }
            handled.push(seen);
            next = if out.len() < BATCH { watcher.ready() } else { None };
        }
        sink.write(out).await?;
    }
    Ok(())
}
