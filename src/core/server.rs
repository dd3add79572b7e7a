//! Accepting: a permit, a connection, a task, a report; then the drain.

use crate::{
    addr::{Endpoint, ListenAddr},
    dial::resolve,
    event::{By, ConnId, End, Event, Events, Progress, Traffic, is_descriptor_shortage},
    shutdown::Shutdown,
    stream::Stream,
};
use std::{
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU64,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::task::TaskTracker;

/// The queue of connections that the kernel has completed and nobody has accepted yet; the kernel cuts it to
/// net.core.somaxconn, listen(2).
const BACKLOG: i32 = 4096;
/// How long connections are still accepted after the drain was asked for.
const LAST_CALL: Duration = Duration::from_millis(20);
/// How long a drain may take before it is worth a word.
const UNNOTICED: Duration = Duration::from_millis(100);
/// Bounds of the pause after a failed accept, as in Go's net/http.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// What a command does with a connection.
pub trait Handler: Send + Sync + 'static {
    /// Handles one connection to its end. Dropped half-way when the program aborts.
    fn handle(&self, conn: Conn) -> impl Future<Output = End> + Send;
}

/// One accepted connection.
pub struct Conn {
    /// Its number, from 1.
    pub id: ConnId,
    /// The client.
    pub peer: Endpoint,
    /// The bytes.
    pub stream: Stream,
    /// What happens on it goes here.
    pub events: Events,
    /// The end of the program.
    pub shutdown: Shutdown,
    /// What it has come to, for the report of its end.
    pub progress: Arc<Progress>,
}

/// How many connections are served, and for how long after the end was asked for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time. Further clients wait in the backlog; they are not turned away.
    pub max_connections: usize,
    /// Stop accepting after this many connections, and end when they have ended.
    pub connections: Option<NonZeroU64>,
    /// How long connections may go on once draining has begun.
    pub grace: Duration,
}

/// What serving came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Connections accepted.
    pub connections: u64,
    /// Those that ended with a failure.
    pub failed: u64,
    /// Those that were reset because the grace was over or an abort was asked for.
    pub aborted: usize,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {error}")]
pub struct BindError {
    /// The address as it was asked for.
    pub addr: ListenAddr,
    /// Why not.
    #[source]
    pub error: io::Error,
}

/// A bound listener.
pub struct Server {
    listener: Listener,
    addr: Endpoint,
}

enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener, OwnSocket),
}

/// The path of a Unix socket that this process made, removed with it.
struct OwnSocket(PathBuf);

impl Drop for OwnSocket {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Server {
    /// Binds and listens; clients can connect as soon as this returns.
    ///
    /// # Errors
    /// The name has no address, the address is in use or not this machine's, the port needs a right, the path is taken.
    pub async fn bind(addr: &ListenAddr) -> Result<Self, BindError> {
        let bound = match addr {
            // A name that has several addresses is listened on at its first.
            ListenAddr::Tcp(to) => resolve(to).await.and_then(|addrs| tcp_listener(addrs[0])),
            // A machine without IPv6 has every IPv4 interface left.
            ListenAddr::Every(port) => tcp_listener((Ipv6Addr::UNSPECIFIED, *port).into()).or_else(|error| match error.raw_os_error() {
                Some(97) => tcp_listener((Ipv4Addr::UNSPECIFIED, *port).into()), // EAFNOSUPPORT
                _ => Err(error),
            }),
            ListenAddr::Unix(path) => unix_listener(path).await,
        };
        let with_addr = bound.and_then(|listener| Ok((listener.addr()?, listener)));
        let (endpoint, listener) = with_addr.map_err(|error| BindError { addr: addr.clone(), error })?;
        Ok(Self { listener, addr: endpoint })
    }

    /// The real address: the port that the kernel chose where port 0 was asked for.
    #[must_use]
    pub fn addr(&self) -> &Endpoint {
        &self.addr
    }

    /// Serves until `shutdown` or until `limits.connections` were served, then drains.
    ///
    /// # Panics
    /// Never: the semaphore that it waits for is its own and stays open.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, limits: &Limits, shutdown: &Shutdown, events: &Events) -> Served {
        let slots = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
        let tally = Arc::new(Tally::default());
        let tasks = TaskTracker::new();
        let mut accepted = 0;
        // Who connected before the end was asked for is still served: closing the listener would reset those that wait
        // in the backlog.
        let mut closing = pin!(async {
            shutdown.draining().await;
            sleep(LAST_CALL).await;
        });
        while limits.connections.is_none_or(|most| accepted < most.get()) {
            let next = async {
                // The permit comes first: who finds no slot waits in the kernel's backlog, not in this process.
                let permit = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
                (permit, self.listener.accept_patiently(events).await)
            };
            let (permit, (stream, peer)) = tokio::select! {
                biased;
                () = &mut closing => break,
                next = next => next,
            };
            accepted += 1;
            let progress = Arc::new(Progress::default());
            let guard = Guard {
                id: ConnId(accepted),
                peer: peer.clone(),
                since: Instant::now(),
                traffic: stream.traffic().clone(),
                progress: progress.clone(),
                events: events.clone(),
                tally: tally.clone(),
                end: None,
                _permit: permit,
            };
            events.emit(Event::Opened { id: guard.id, peer: peer.clone() });
            let conn = Conn { id: guard.id, peer, stream, events: events.clone(), shutdown: shutdown.clone(), progress };
            tasks.spawn(run(handler.clone(), conn, guard));
        }
        // Whoever connects from here on is refused by the kernel at once.
        drop(self.listener);
        tasks.close();
        let aborted = drain(&tasks, &tally, limits, shutdown, events).await;
        Served { connections: accepted, failed: tally.failed.load(Relaxed), aborted }
    }
}

async fn run<H: Handler>(handler: Arc<H>, conn: Conn, mut guard: Guard) {
    let shutdown = conn.shutdown.clone();
    let end = tokio::select! {
        end = handler.handle(conn) => Some(end),
        () = shutdown.aborting() => None,
    };
    guard.end = Some(end.unwrap_or_else(|| {
        guard.tally.aborted.fetch_add(1, Relaxed);
        End::failed(By::Shutdown, guard.progress.phase(), shutdown.why())
    }));
}

/// Waits for the connections that are left; returns how many had to be reset. The connections themselves say so: they
/// may have ended before this is looked at.
async fn drain(tasks: &TaskTracker, tally: &Tally, limits: &Limits, shutdown: &Shutdown, events: &Events) -> usize {
    let said = async {
        // Without a signal (after --connections) the connections have all the time they need.
        shutdown.draining().await;
        sleep(UNNOTICED.min(limits.grace)).await;
        events.emit(Event::Draining { open: tasks.len(), grace: limits.grace });
        sleep(limits.grace.saturating_sub(UNNOTICED)).await;
    };
    tokio::select! {
        () = tasks.wait() => {}
        () = said => shutdown.abort("the grace was over"),
        () = shutdown.aborting() => {}
    }
    tasks.wait().await;
    let aborted = tally.aborted.load(Relaxed);
    if shutdown.is_draining() {
        events.emit(Event::Drained { aborted });
    }
    aborted
}

#[derive(Default)]
struct Tally {
    failed: AtomicU64,
    aborted: AtomicUsize,
}

/// Reports the end of a connection, whatever ended it: dropped by a return, an abort or a panic alike.
struct Guard {
    id: ConnId,
    peer: Endpoint,
    since: Instant,
    traffic: Arc<Traffic>,
    progress: Arc<Progress>,
    events: Events,
    tally: Arc<Tally>,
    end: Option<End>,
    // Given back after the report: with one slot, the next connection opens after this one is told to be closed.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(|| End::failed(By::Local, self.progress.phase(), "the handler panicked"));
        if end.failed {
            self.tally.failed.fetch_add(1, Relaxed);
        }
        self.events.emit(Event::Closed {
            id: self.id,
            peer: self.peer.clone(),
            target: self.progress.target().map(|target| target.to_string()),
            end,
            received: self.traffic.received(),
            sent: self.traffic.sent(),
            spliced: self.progress.spliced(),
            elapsed: self.since.elapsed(),
        });
    }
}

impl Listener {
    fn addr(&self) -> io::Result<Endpoint> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Endpoint::Tcp),
            #[cfg(unix)]
            Self::Unix(_, OwnSocket(path)) => Ok(Endpoint::Unix(Some(path.clone()))),
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Endpoint)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(tcp, peer): (TcpStream, SocketAddr)| (tcp.into(), Endpoint::tcp(peer))),
            #[cfg(unix)]
            Self::Unix(listener, _) => {
                listener.accept().await.map(|(unix, peer)| (unix.into(), Endpoint::Unix(peer.as_pathname().map(Path::to_owned))))
            }
        }
    }

    /// Accepts whatever it takes. Out of descriptors, the connection stays in the queue and accept(2) would fail again
    /// at once, so the pause doubles; any other error tells of one connection that is gone already (accept(2):
    /// ECONNABORTED and the pending network errors), and the next one is taken.
    async fn accept_patiently(&self, events: &Events) -> (Stream, Endpoint) {
        let mut pause = BACK_OFF.0;
        let mut said: Option<Instant> = None;
        loop {
            match self.accept().await {
                Ok(conn) => return conn,
                Err(error) => {
                    if said.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                        said = Some(Instant::now());
                        events.emit(Event::AcceptFailed { why: error.to_string(), retry_in: pause });
                    }
                    let wait = if is_descriptor_shortage(&error) { pause } else { BACK_OFF.0 };
                    sleep(wait).await;
                    pause = (pause * 2).min(BACK_OFF.1);
                }
            }
        }
    }
}

fn tcp_listener(addr: SocketAddr) -> io::Result<Listener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
    // A restart need not wait for the TIME_WAIT of old connections; on Unix this steals no port that is listened on.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // One socket for both families where every interface is asked for, ipv6(7).
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into()).map(Listener::Tcp)
}

#[cfg(unix)]
async fn unix_listener(path: &Path) -> io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt;
    use tokio::net::{UnixListener, UnixStream};
    let bound = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
            if !is_socket {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is not a socket"));
            }
            // Only "refused" tells of a socket that nobody listens on; a full backlog (EAGAIN) is a live one.
            match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)?;
                    UnixListener::bind(path)?
                }
                _ => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens on this socket")),
            }
        }
        other => other?,
    };
    Ok(Listener::Unix(bound, OwnSocket(path.to_owned())))
}

#[cfg(not(unix))]
async fn unix_listener(_: &Path) -> io::Result<Listener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets"))
}
