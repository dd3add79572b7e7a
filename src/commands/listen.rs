//! `tapline listen`: accepts connections and shows what arrives.

mod console;

use crate::{
    args::{self, Limit},
    serve::Session,
};
use anyhow::Context;
use console::{Console, Form, Sink};
use std::{path::PathBuf, process::ExitCode, time::Duration};
use tapline::{
    addr::ListenAddr,
    event::{By, End, Phase},
    server::{Conn, Handler},
};
use tokio::{io::AsyncReadExt, time::sleep};

/// Accept connections and copy what arrives to stderr
///
/// Many clients at once; where several are connected, each line says whose it is. Nothing is sent, and stdin is never
/// read. Control characters are escaped where stderr is a terminal.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline listen 4242", after_help = AFTER)]
pub struct Listen {
    /// Where to listen
    listen: ListenAddr,
    /// Write the bytes there as they are, "-" for stdout, instead of showing them
    #[arg(long, value_name = "FILE", help_heading = "Showing", conflicts_with = "hex")]
    output: Option<PathBuf>,
    /// Show bytes in hexadecimal with their offsets
    #[arg(long, help_heading = "Showing")]
    hex: bool,
    /// Close a connection that sends nothing for this long ("off" for never)
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = args::limit, help_heading = "Showing")]
    idle_timeout: Limit,
    #[command(flatten)]
    serve: args::Serve,
}

const AFTER: &str = "\
Examples:
  tapline listen :9000 --hex
  tapline listen 0 --connections 1 --output - | sha256sum";

impl Listen {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let sink = match &self.output {
            None => Sink::Stderr(Form::of(self.hex, session.reporter.style())),
            Some(path) if path.as_os_str() == "-" => Sink::Stdout,
            Some(path) => Sink::File(
                tokio::fs::File::create(path).await.with_context(|| format!("cannot write {}", path.display()))?.into(),
                path.clone(),
            ),
        };
        let handler = Listened { console: Console::new(session.reporter.clone(), sink), idle: self.idle_timeout };
        self.serve.run(&self.listen, handler, session, |_| {}).await
    }
}

/// How long what was sent before the end was asked for may take to arrive.
const LAST_BYTES: Duration = Duration::from_millis(20);

struct Listened {
    console: Console,
    idle: Limit,
}

impl Handler for Listened {
    async fn handle(&self, mut conn: Conn) -> End {
        conn.progress.enter(Phase::Relay);
        let mut client = self.console.client(conn.id, conn.peer.clone());
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let idle = async {
                match self.idle.0 {
                    Some(idle) => sleep(idle).await,
                    None => std::future::pending().await,
                }
            };
            let ending = async {
                conn.shutdown.draining().await;
                sleep(LAST_BYTES).await;
            };
            let read = tokio::select! {
                biased;
                read = conn.stream.read(&mut buffer) => Ok(read),
                () = idle => Err(By::Timeout),
                () = ending => Err(By::Shutdown),
            };
            let n = match read {
                Ok(Ok(0)) => {
                    tapline::peek::close(conn.stream).await;
                    return End::done(By::Client, Phase::Relay);
                }
                Ok(Ok(n)) => n,
                Ok(Err(error)) => return End::io(By::Client, Phase::Relay, &error),
                Err(by) => {
                    tapline::peek::close(conn.stream).await;
                    let why = match by {
                        By::Timeout => format!("closed after {:?} without a byte (--idle-timeout)", self.idle.0.unwrap_or_default()),
                        _ => "closed".to_owned(),
                    };
                    return End { why, ..End::done(by, Phase::Relay) };
                }
            };
            if let Err(end) = client.show(&buffer[..n]).await {
                return end;
            }
        }
    }
}
