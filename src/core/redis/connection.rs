//! A connection to redis: its questions are bounded in time and in bytes, and it tells which names have changed.

use super::{Content, Server};
use crate::{
    dial::{Dialer, Preamble},
    stream::Stream,
};
use redis::{
    AsyncConnectionConfig, ErrorKind, FromRedisValue, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError, Value,
    aio::MultiplexedConnection, cmd,
};
use std::{
    collections::HashSet,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};

/// For one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of the answers to one question, and of each thing that is told.
const LARGEST: usize = 64 * 1024 * 1024;
/// Changed names that are remembered one by one; when there are more, everything is read.
const MOST_CHANGES: usize = 10_000;

/// An open connection.
pub(crate) struct Connection {
    redis: MultiplexedConnection,
    driver: JoinHandle<()>,
    changes: Arc<Changes>,
    left: Arc<AtomicUsize>,
    untold: Option<String>,
}

/// Why there is no connection.
pub(crate) struct Refusal {
    pub(crate) why: String,
    /// The server itself has said so.
    pub(crate) said: bool,
}

impl Refusal {
    fn silent(why: String) -> Self {
        Self { why, said: false }
    }
}

impl From<&RedisError> for Refusal {
    fn from(error: &RedisError) -> Self {
        Self { why: words(error), said: error.code().is_some() }
    }
}

/// Names that have changed since they were asked for last.
#[derive(Default)]
struct Changes {
    names: Mutex<Changed>,
    came: Notify,
}

#[derive(Default)]
struct Changed {
    names: HashSet<Vec<u8>>,
    /// Which ones is not known.
    all: bool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects, and asks to be told of changes. The error says why, and no password.
    pub(crate) async fn open(server: &Server, dialer: &Dialer, content: &Arc<impl Content>) -> Result<Self, Refusal> {
        match Self::speaking(server, dialer, ProtocolVersion::RESP3, content).await? {
            Ok(mut open) => {
                let mut tracking = cmd("CLIENT");
                tracking.arg("TRACKING").arg("ON").arg("BCAST");
                for prefix in content.prefixes() {
                    tracking.arg("PREFIX").arg(prefix);
                }
                match tracking.query_async::<()>(&mut open.redis).await {
                    Ok(()) => {}
                    Err(error) if error.code().is_none() => return Err(Refusal::from(&error)),
                    // Not allowed, or not known to whatever else speaks this protocol.
                    Err(error) => open.untold = Some(words(&error)),
                }
                Ok(open)
            }
            // Before redis 6.
            Err(error) if speaks_no_resp3(&error) => {
                let mut open =
                    Self::speaking(server, dialer, ProtocolVersion::RESP2, content).await?.map_err(|error| Refusal::from(&error))?;
                open.untold = Some("it does not speak RESP3".into());
                Ok(open)
            }
            Err(error) => Err(Refusal::from(&error)),
        }
    }

    async fn speaking(
        server: &Server,
        dialer: &Dialer,
        protocol: ProtocolVersion,
        content: &Arc<impl Content>,
    ) -> Result<Result<Self, RedisError>, Refusal> {
        let stream = dialer.dial(&server.target, Preamble::None, &[]).await.map_err(|error| Refusal::silent(error.words()))?.stream;
        let left = Arc::new(AtomicUsize::new(LARGEST));
        let stream = Bounded { stream, left: left.clone() };
        let changes = Arc::new(Changes::default());
        let mut config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER));
        if protocol == ProtocolVersion::RESP3 {
            let (changes, content, left) = (changes.clone(), content.clone(), left.clone());
            config = config.set_push_sender(move |push: PushInfo| {
                // What is told of others' doing is no part of an answer, and each of it is bounded by itself. The end of the connection
                // is told too, whose reason may be that nothing is left.
                if push.kind != PushKind::Disconnection {
                    left.store(LARGEST, Relaxed);
                }
                changes.note(push, &*content);
                Ok::<_, redis::aio::SendError>(())
            });
        }
        let settings = server.settings.clone().set_protocol(protocol);
        let limit = dialer.connect_timeout;
        let opening = timeout(limit, MultiplexedConnection::new_with_config(&settings, stream, config));
        let opened = opening.await.map_err(|_| Refusal::silent(format!("no answer for {limit:?}")))?;
        Ok(opened.map(|(redis, driver)| Self { redis, driver: tokio::spawn(driver), changes, left, untold: None }))
    }

    /// Why changes are not told, where they are not.
    pub(crate) fn untold(&self) -> Option<&str> {
        self.untold.as_deref()
    }

    /// What questions come to, each an answer or an error of its own.
    pub(crate) async fn ask(&mut self, mut questions: Pipeline) -> Result<Vec<Result<Value, RedisError>>, String> {
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        self.left.store(LARGEST, Relaxed);
        let answers = questions.ignore_errors().query_async(&mut self.redis).await;
        answers.map_err(|error| self.lost(&error))
    }

    /// The same for a single one, whose error ends it.
    pub(crate) async fn ask_one<T: FromRedisValue>(&mut self, question: &redis::Cmd) -> Result<T, String> {
        self.left.store(LARGEST, Relaxed);
        let answer = question.query_async(&mut self.redis).await;
        answer.map_err(|error| self.lost(&error))
    }

    /// Why a question has no answer. Who waits for one hears of the end of the connection, and not why it came.
    fn lost(&self, error: &RedisError) -> String {
        if self.left.load(Relaxed) == 0 { too_much().to_string() } else { words(error) }
    }

    /// Waits until names have changed. The error says why the connection is lost.
    pub(crate) async fn changed(&mut self) -> Result<(), String> {
        let ended = tokio::select! {
            () = self.changes.came.notified() => return Ok(()),
            ended = &mut self.driver => ended,
        };
        if self.left.load(Relaxed) == 0 {
            return Err(too_much().to_string());
        }
        Err(ended.map_or_else(|error| error.to_string(), |()| "it closed the connection".into()))
    }

    /// The names that have changed since, or nothing where all may have.
    pub(crate) fn take_changes(&mut self) -> Option<HashSet<Vec<u8>>> {
        self.left.store(LARGEST, Relaxed);
        let changed = std::mem::take(&mut *self.changes.names.lock().unwrap_or_else(PoisonError::into_inner));
        (!changed.all).then_some(changed.names)
    }
}

impl Changes {
    fn note(&self, push: PushInfo, content: &impl Content) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        let mut changed = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for value in push.data {
            match value {
                Value::Array(keys) => {
                    for key in keys {
                        if let Value::BulkString(key) = key
                            && let Some(name) = content.name_of(&key)
                        {
                            changed.names.insert(name);
                        }
                    }
                }
                // FLUSHALL names none.
                _ => changed.all = true,
            }
        }
        if changed.names.len() > MOST_CHANGES {
            *changed = Changed { names: HashSet::new(), all: true };
        }
        if changed.all || !changed.names.is_empty() {
            self.came.notify_one();
        }
    }
}

fn speaks_no_resp3(error: &RedisError) -> bool {
    let unknown = error.detail().is_some_and(|detail| detail.starts_with("unknown command") && detail.contains("HELLO"));
    unknown || error.kind() == ErrorKind::RESP3NotSupported || error.code() == Some("NOPROTO")
}

/// An error in a few words.
fn words(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (_, Some(detail)) => detail.to_owned(),
        _ if error.is_timeout() => format!("no answer for {ANSWER:?}"),
        _ => error.to_string(),
    }
}

fn too_much() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("an answer of more than {} MiB", LARGEST >> 20))
}

/// A stream that ends with an error when more bytes come than are left.
struct Bounded {
    stream: Stream,
    left: Arc<AtomicUsize>,
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let came = buf.filled().len() - before;
        let left = self.left.load(Relaxed).saturating_sub(came);
        self.left.store(left, Relaxed);
        Poll::Ready(if left == 0 { Err(too_much()) } else { Ok(()) })
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
