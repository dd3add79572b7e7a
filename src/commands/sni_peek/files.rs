//! Hellos in files and on stdin: captures, and hellos by themselves.

use super::{
    origin::Origin,
    output::Output,
    seen::{Said, Seen},
    source::File,
};
use crate::serve::{Session, exit};
use anyhow::Context;
use bytes::{Buf, Bytes, BytesMut};
use std::{
    io::{self, Read},
    ops::ControlFlow,
    process::ExitCode,
};
use tapline::{
    capture::{Sighting, Summary},
    event::Event,
    hello::Greeting,
    input::{self, InputError},
    shutdown::Shutdown,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
    task::JoinHandle,
};

/// Read at one time, at most.
const CHUNK: usize = 64 * 1024;
/// Chunks that wait to be looked at, and sightings that wait to be shown.
const WAITING: usize = 4;

/// Shows all hellos of all files, as they come, and what each capture was made of.
pub async fn show(files: &[File], all: bool, output: &Output, session: &Session) -> anyhow::Result<ExitCode> {
    let mut shown = false;
    for file in files {
        let mut sightings = Sightings::open(file, session).await?;
        loop {
            let sighting = tokio::select! {
                sighting = sightings.next() => sighting,
                _ = session.reporter.unread() => return Ok(ExitCode::SUCCESS),
                () = session.hurried() => return Ok(exit::CUT.into()),
            };
            let Some(sighting) = sighting else { break };
            if matches!(sighting.greeting, Greeting::NotTls(_)) && !all {
                continue;
            }
            let seen = seen(file, files.len() > 1, sighting);
            shown |= matches!(seen.said, Said::Hello { .. });
            tokio::select! {
                taken = output.show(&seen) => if taken.is_err() {
                    return Ok(ExitCode::SUCCESS);
                },
                // Where stdout is not read, the signals end what waits for it.
                () = session.hurried() => return Ok(exit::CUT.into()),
            }
        }
        if let Some(summary) = sightings.finish(session).await? {
            session.reporter.events().emit(Event::Capture { file: file.to_string(), summary });
        }
        if session.shutdown.is_draining() {
            break;
        }
    }
    Ok(ExitCode::from(if shown { 0 } else { exit::NO }))
}

pub fn seen(file: &File, several: bool, sighting: Sighting) -> Seen {
    Seen::new(Origin::sighting(file.to_string(), several, &sighting), sighting.greeting)
}

/// What is found in a file while it is read.
pub struct Sightings {
    file: String,
    found: mpsc::Receiver<Sighting>,
    reading: JoinHandle<Result<Summary, InputError>>,
}

impl Sightings {
    pub async fn open(file: &File, session: &Session) -> anyhow::Result<Self> {
        let source: Box<dyn AsyncRead + Send + Unpin> = match file {
            File::Stdin => Box::new(tokio::io::stdin()),
            // A pipe may have no writer for long.
            File::Path(path) => {
                let opened = session.preparing(tokio::fs::File::open(path)).await?;
                Box::new(opened.with_context(|| format!("cannot read {file}"))?)
            }
        };
        let (send_chunk, chunks) = mpsc::channel(WAITING);
        tokio::spawn(feed(source, send_chunk, session.shutdown.clone()));
        let (send, found) = mpsc::channel(WAITING);
        let reading = tokio::task::spawn_blocking(move || {
            let source = Chunks { chunks, left: Bytes::new() };
            input::read(source, &mut |sighting| match send.blocking_send(sighting) {
                Ok(()) => ControlFlow::Continue(()),
                // Nobody wants more.
                Err(_) => ControlFlow::Break(()),
            })
        });
        Ok(Self { file: file.to_string(), found, reading })
    }

    pub async fn next(&mut self) -> Option<Sighting> {
        self.found.recv().await
    }

    /// Says what it was, once there is no next one: the summary of a capture, nothing of anything else.
    pub async fn finish(self, session: &Session) -> anyhow::Result<Option<Summary>> {
        match self.reading.await? {
            Ok(summary) => {
                let found = summary.hellos + summary.malformed + summary.not_tls;
                Ok((summary.packets > 0 || found == 0).then_some(summary))
            }
            // It had not begun when the end was asked for.
            Err(InputError::Empty) if session.shutdown.is_draining() => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.file)),
        }
    }
}

/// Reads until the source ends, nobody wants more, or the end is asked for: a live capture then ends here, and is told of like
/// any other.
async fn feed(mut source: Box<dyn AsyncRead + Send + Unpin>, chunks: mpsc::Sender<io::Result<Bytes>>, shutdown: Shutdown) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let read = tokio::select! {
            read = source.read_buf(&mut buffer) => read,
            () = shutdown.draining() => return,
            () = chunks.closed() => return,
        };
        let (chunk, last) = match read {
            Ok(0) => return,
            Ok(_) => (Ok(buffer.split().freeze()), false),
            Err(error) => (Err(error), true),
        };
        if chunks.send(chunk).await.is_err() || last {
            return;
        }
    }
}

/// The chunks as a source for who blocks.
struct Chunks {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    left: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.left = chunk?,
                None => return Ok(0),
            }
        }
        let taken = buffer.len().min(self.left.len());
        self.left.copy_to_slice(&mut buffer[..taken]);
        Ok(taken)
    }
}
