//! Seeing into TLS: `--keylog` and `--record-tls`.

use super::{
    Watch, Watching,
    sink::{self, Sink},
    writing,
};
use crate::{
    args::{Serve, UsageError},
    report::Reporter,
};
use clap::Args;
use std::path::{Path, PathBuf};
use tapline::{
    tap::{Tap, Watcher, tap},
    tls::KeyLog,
};

/// Seeing into TLS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct WatchTls {
    /// Append the secrets of all TLS sessions to FILE, in tls-terminate those with tls: targets too, for Wireshark (NSS key log format, what others
    /// take from SSLKEYLOGFILE, which is not read). Made for its owner alone: who has it can read the sessions
    #[arg(long, value_name = "FILE")]
    keylog: Option<PathBuf>,
    /// Record what clients and tapline exchange to a pcapng FILE ("-" for stdout), encrypted as it is, from the first byte to
    /// the last alert, with the keys in it: Wireshark decrypts it. The packets are made up, their
    /// addresses, times and bytes are real. Made for its owner alone
    #[arg(long, value_name = "FILE")]
    record_tls: Option<PathBuf>,
}

/// What was asked for, before anything is served.
pub struct TlsWatch {
    keylog: Option<(Tap, Watcher, Sink, PathBuf)>,
    record: Option<(Tap, Watcher, PathBuf)>,
}

impl WatchTls {
    /// Whether what was asked for can be written; it opens nothing. `others` are the other flags that write, and where to.
    pub fn check(&self, serve: &Serve, reporter: &Reporter, others: &[(&str, Option<&PathBuf>)]) -> Result<(), UsageError> {
        if self.keylog.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            return Err(UsageError("--keylog - would mix keys with other lines; give a file".into()));
        }
        let own = [("--keylog", self.keylog.as_ref()), ("--record-tls", self.record_tls.as_ref())];
        for (at, (flag, path)) in own.iter().enumerate() {
            let Some(path) = path else { continue };
            if let Some((other, _)) = others.iter().chain(&own[..at]).find(|(_, other)| *other == Some(*path)) {
                return Err(UsageError(format!("{other} and {flag} would both write to {}", path.display())));
            }
        }
        if self.record_tls.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            serve.claim_stdout("--record-tls -", "tshark -r -", reporter.style())?;
        }
        Ok(())
    }

    /// Opens the key log, which may hold the keys of others: nothing of it is lost where the command does not start.
    pub async fn open(&self) -> anyhow::Result<TlsWatch> {
        let keylog = match &self.keylog {
            Some(path) => {
                let (tap, watcher) = tap();
                Some((tap, watcher, Sink::keylog(path).await?, path.clone()))
            }
            None => None,
        };
        let record = self.record_tls.clone().map(|path| {
            let (tap, watcher) = tap();
            (tap, watcher, path)
        });
        Ok(TlsWatch { keylog, record })
    }
}

impl TlsWatch {
    /// Who is told the secrets of sessions with clients.
    pub fn of_clients(&self) -> Option<KeyLog> {
        KeyLog::new(self.keylog.iter().map(|(tap, ..)| tap.clone()).chain(self.wire()).collect())
    }

    /// Who is told the secrets of sessions with targets, whose packets are not recorded.
    pub fn of_targets(&self) -> Option<KeyLog> {
        KeyLog::new(self.keylog.iter().map(|(tap, ..)| tap.clone()).collect())
    }

    /// Who watches the sockets of clients.
    pub fn wire(&self) -> Option<Tap> {
        self.record.as_ref().map(|(tap, ..)| tap.clone())
    }

    /// Starts what was asked for, beside what is `watching` already, once the address is bound. Returns what is to be known of
    /// it, for after the word that clients can connect.
    pub async fn start(self, watching: &mut Watching, reporter: &Reporter) -> anyhow::Result<Vec<String>> {
        let mut notes = Vec::new();
        if let Some((tap, watcher, sink, path)) = self.keylog {
            notes.push(warning(&sink, &path).await);
            watching.0.push((tap, writing("the key log", reporter, sink::log_keys(watcher, sink))));
        }
        if let Some((tap, watcher, path)) = self.record {
            let sink = Sink::recording(&path, true, reporter).await?;
            notes.push(warning(&sink, &path).await);
            watching.0.push((tap, writing("the recording of TLS", reporter, sink::record(watcher, sink))));
        }
        Ok(notes)
    }
}

impl Watch {
    /// Where conversations are recorded.
    pub fn recorded(&self) -> Option<&PathBuf> {
        self.record.as_ref()
    }
}

async fn warning(sink: &Sink, path: &Path) -> String {
    let to = if path.as_os_str() == "-" { "stdout".into() } else { path.display().to_string() };
    let shared = if sink.is_shared().await { " (others than its owner may read it)" } else { "" };
    format!("keys are written to {to}{shared}: who has them can decrypt the sessions")
}
