//! Where `listen` puts the bytes that arrive: shown on stderr, written out as they are, or nowhere.

use crate::{
    args::{Serve, UsageError},
    console::{Connection, Console, Direction, Form},
    report::{Reporter, Style},
};
use anyhow::Context;
use std::{
    io,
    path::{Path, PathBuf},
};
use tapline::{
    addr::Endpoint,
    event::{By, ConnId, End, Event, Events, Phase},
};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
    sync::Mutex,
};

/// How many files of earlier runs may have the name that a connection would have.
const MOST_NAMESAKES: u32 = 10_000;

/// What becomes of the bytes.
#[derive(clap::Args)]
#[command(next_help_heading = "Showing")]
pub struct Showing {
    /// Show bytes as `hexdump -C` does, in both directions. Each read begins with a line: connection, `>` (received) or
    /// `<` (sent), local time to the microsecond, length, offsets of its first and last byte
    #[arg(long)]
    hex: bool,
    /// Write the bytes there as they are, "-" for stdout (no terminal), instead of showing them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hex", "save", "discard"])]
    output: Option<PathBuf>,
    /// Write each connection to a file of its own in DIR, which is made if need be, instead of showing the bytes. Named
    /// NUMBER-ADDRESS-PORT.bin, with another number where that exists: nothing is overwritten. None for one that sends nothing
    #[arg(long, value_name = "DIR", conflicts_with_all = ["hex", "discard"])]
    save: Option<PathBuf>,
    /// Show and keep nothing, as fast as possible
    #[arg(long, conflicts_with = "hex")]
    discard: bool,
}

/// Where the bytes of all clients go.
pub enum Output {
    Shown(Console),
    Stdout(Reporter),
    File(Mutex<File>, PathBuf),
    /// A file in this directory for each connection.
    Files(PathBuf),
    Nowhere,
}

/// Where one client's bytes go.
pub enum Client<'a> {
    Shown(Connection),
    Stdout(&'a Reporter),
    File(&'a Mutex<File>, &'a Path),
    Own(Own<'a>),
    Nowhere,
}

/// A file of one connection, made with its first byte.
pub struct Own<'a> {
    id: ConnId,
    events: Events,
    folder: &'a Path,
    name: String,
    file: Mutex<Option<(File, PathBuf)>>,
}

impl Showing {
    /// Whether what was asked for can be shown here; it opens nothing.
    pub fn check(&self, serve: &Serve, style: Style) -> Result<(), UsageError> {
        match &self.output {
            Some(path) if path.as_os_str() == "-" => serve.claim_stdout("--output -", "hexdump -C", style),
            _ => Ok(()),
        }
    }

    /// Where all bytes are written.
    pub fn written(&self) -> Option<&PathBuf> {
        self.output.as_ref()
    }

    pub async fn output(&self, reporter: &Reporter) -> anyhow::Result<Output> {
        if self.discard {
            return Ok(Output::Nowhere);
        }
        if let Some(folder) = &self.save {
            tokio::fs::create_dir_all(folder).await.with_context(|| format!("cannot make the directory {}", folder.display()))?;
            return Ok(Output::Files(folder.clone()));
        }
        Ok(match &self.output {
            None => {
                reporter.expect_reader_of_stderr();
                Output::Shown(Console::new(reporter.clone(), Form::of(self.hex, reporter.style())))
            }
            Some(path) if path.as_os_str() == "-" => Output::Stdout(reporter.clone()),
            Some(path) => Output::File(
                tokio::fs::File::create(path).await.with_context(|| format!("cannot write {}", path.display()))?.into(),
                path.clone(),
            ),
        })
    }
}

impl Output {
    /// `client` is who is behind `peer`, or the peer itself.
    pub fn client(&self, id: ConnId, peer: &Endpoint, client: &Endpoint, events: &Events) -> Client<'_> {
        match self {
            Self::Shown(console) => Client::Shown(console.connection(id, peer.clone(), client.clone())),
            Self::Stdout(reporter) => Client::Stdout(reporter),
            Self::File(file, path) => Client::File(file, path),
            Self::Files(folder) => Client::Own(Own { id, events: events.clone(), folder, name: name(id, client), file: Mutex::default() }),
            Self::Nowhere => Client::Nowhere,
        }
    }
}

impl Client<'_> {
    /// Takes bytes that arrived; waits where nobody reads them.
    pub async fn received(&self, bytes: &[u8]) -> Result<(), End> {
        match self {
            Self::Shown(connection) => connection.show(Direction::Received, bytes).await,
            Self::Stdout(reporter) => {
                let written = reporter.to_stdout(bytes.to_vec()).await;
                written.map_err(|_| End::done(By::Shutdown, Phase::Relay))?;
            }
            Self::File(file, path) => write(&mut *file.lock().await, path, bytes).await?,
            Self::Own(own) => own.write(bytes).await?,
            Self::Nowhere => {}
        }
        Ok(())
    }

    /// Takes bytes that were sent.
    pub async fn sent(&self, bytes: &[u8]) {
        if let Self::Shown(connection) = self {
            connection.show(Direction::Sent, bytes).await;
        }
    }
}

impl Own<'_> {
    async fn write(&self, bytes: &[u8]) -> Result<(), End> {
        let mut own = self.file.lock().await;
        if own.is_none() {
            let made = self.make().await;
            let made = made.map_err(|error| cannot_write(&self.folder.join(&self.name), &error))?;
            self.events.emit(Event::Saved { id: self.id, path: made.1.display().to_string() });
            *own = Some(made);
        }
        match &mut *own {
            Some((file, path)) => write(file, path, bytes).await,
            None => Ok(()),
        }
    }

    /// Makes a file that was not there before.
    async fn make(&self) -> io::Result<(File, PathBuf)> {
        for namesake in 1..=MOST_NAMESAKES {
            let number = if namesake == 1 { String::new() } else { format!("-{namesake}") };
            let path = self.folder.join(format!("{}{number}.bin", self.name));
            match OpenOptions::new().write(true).create_new(true).open(&path).await {
                Ok(file) => return Ok((file, path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files of this name"))
    }
}

/// `000003-127.0.0.1-43816`, `000003-__1-43816`, `000003-unix`: sorted as they came, and safe in every file system.
fn name(id: ConnId, peer: &Endpoint) -> String {
    let peer = match peer {
        Endpoint::Tcp(addr) => format!("{}-{}", addr.ip(), addr.port()),
        Endpoint::Unix(_) => "unix".into(),
    };
    let safe: String = peer.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' }).collect();
    format!("{:06}-{safe}", id.0)
}

async fn write(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), End> {
    let written = match file.write_all(bytes).await {
        // tokio's files write behind the caller's back; the next read waits until it is done, and its error is told.
        Ok(()) => file.flush().await,
        failed => failed,
    };
    written.map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> End {
    End::failed(By::Local, Phase::Relay, format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_sorted() {
        let tcp = |addr: &str| Endpoint::Tcp(addr.parse().unwrap());
        assert_eq!(name(ConnId(3), &tcp("127.0.0.1:43816")), "000003-127.0.0.1-43816");
        assert_eq!(name(ConnId(12), &tcp("[fe80::1%3]:80")), "000012-fe80__1-80");
        assert_eq!(name(ConnId(1_234_567), &Endpoint::Unix(Some("/a/../b".into()))), "1234567-unix");
    }
}
