//! Accepting: a permit, a connection, a task, a report; then the drain.

mod listener;
pub(crate) mod workers;

use crate::{
    addr::{Endpoint, ListenAddr},
    connections::{Connections, Open},
    event::{By, ConnId, End, Event, Events, Phase, Progress, Traffic},
    proxy_header::Header,
    seldom::Seldom,
    shutdown::Shutdown,
    stream::{Socket, Stream},
    tap::{Tap, WireTap},
};
pub(crate) use listener::bind_every;
use listener::{Access, Listener};
use std::{
    future::Future,
    io,
    num::{NonZeroU64, NonZeroUsize},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::task::TaskTracker;
use workers::{Place, Workers};

/// How long connections are still accepted after the drain was asked for.
const LAST_CALL: Duration = Duration::from_millis(20);
/// How long a drain may take before it is worth a word.
const UNNOTICED: Duration = Duration::from_millis(100);

/// What a command does with a connection.
pub trait Handler: Send + Sync + 'static {
    /// Handles one connection to its end. Dropped half-way when the program aborts.
    fn handle(&self, conn: Conn) -> impl Future<Output = End> + Send;
}

/// One accepted connection.
pub struct Conn {
    /// Its number, from 1.
    pub id: ConnId,
    /// The other end of its socket: the client, or a proxy in front of it.
    pub peer: Endpoint,
    /// What a proxy in front has told of the client.
    pub announced: Option<Box<Header>>,
    /// The server name in its hello, as it was sent, where a hello was read.
    pub authority: Option<String>,
    /// The bytes.
    pub stream: Stream,
    /// What happens on it goes here.
    pub events: Events,
    /// The end of the program.
    pub shutdown: Shutdown,
    /// What it has come to, for the report of its end.
    pub progress: Arc<Progress>,
}

impl Conn {
    /// The client: who was announced, else the peer.
    #[must_use]
    pub fn client(&self) -> &Endpoint {
        self.announced.as_deref().and_then(Header::client).unwrap_or(&self.peer)
    }
}

/// How many connections are served, and for how long after the end was asked for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time. Further clients wait in the backlog; they are not turned away before the end.
    pub max_connections: usize,
    /// Stop accepting after this many connections, and end when they have ended.
    pub connections: Option<NonZeroU64>,
    /// How long connections may go on once draining has begun.
    pub grace: Duration,
    /// Threads that connections are served on, the caller's among them.
    pub threads: NonZeroUsize,
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
    tap: Option<Tap>,
    connections: Option<Connections>,
}

impl Server {
    /// Binds and listens; clients can connect as soon as this returns.
    ///
    /// # Errors
    /// The name has no address, the address is in use or not this machine's, the port needs a right, the path is taken.
    pub async fn bind(addr: &ListenAddr) -> Result<Self, BindError> {
        Self::bound(addr, Listener::bind(addr, Access::Umask).await)
    }

    /// The same; a Unix socket is for its owner alone from the start.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn bind_private(addr: &ListenAddr) -> Result<Self, BindError> {
        Self::bound(addr, Listener::bind(addr, Access::Owner).await)
    }

    fn bound(addr: &ListenAddr, listener: io::Result<Listener>) -> Result<Self, BindError> {
        let with_addr = listener.and_then(|listener| Ok((listener.addr()?, listener)));
        let (endpoint, listener) = with_addr.map_err(|error| BindError { addr: addr.clone(), error })?;
        Ok(Self { listener, addr: endpoint, tap: None, connections: None })
    }

    /// Tells `tap` of what passes at the sockets of its clients, from the first byte on.
    #[must_use]
    pub fn watched_by(self, tap: Option<Tap>) -> Self {
        Self { tap, ..self }
    }

    /// Keeps a list of who is connected.
    #[must_use]
    pub fn listed_in(self, connections: Option<Connections>) -> Self {
        Self { connections, ..self }
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
        let workers = Workers::start(limits.threads, events);
        let (mut accepted, mut failures) = (0, Seldom::default());
        // Who connected before the end was asked for is still served where there is a slot: closing the listener resets those
        // that wait in the backlog.
        let mut closing = pin!(async {
            shutdown.draining().await;
            sleep(LAST_CALL).await;
        });
        while limits.connections.is_none_or(|most| accepted < most.get()) {
            let next = async {
                // The permit comes first: who finds no slot waits in the kernel's backlog, not in this process.
                let permit = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
                (permit, self.listener.accept_patiently(events, &mut failures).await)
            };
            let (permit, (socket, peer)) = tokio::select! {
                biased;
                () = &mut closing => break,
                next = next => next,
            };
            accepted += 1;
            let opened = Opened { id: ConnId(accepted), peer, traffic: Arc::default(), list: self.connections.clone() };
            let guard = Guard::new(opened, events, &tally, workers.place(), permit);
            let on = guard.place.events.clone();
            tasks.spawn_on(run(handler.clone(), socket, guard, self.tap.clone(), shutdown.clone()), &on);
        }
        let unserved = self.listener.reset_waiting().await;
        if unserved > 0 {
            let clients = if unserved == 1 { "client that waited was" } else { "clients that waited were" };
            events.emit(Event::Note { text: format!("{unserved} {clients} not served: no connection is accepted any more") });
        }
        // Whoever connects from here on is refused by the kernel at once.
        drop(self.listener);
        tasks.close();
        let aborted = drain(&tasks, &tally, limits, shutdown, events).await;
        Served { connections: accepted, failed: tally.failed.load(Relaxed), aborted }
    }
}

/// The task of a connection. Not an `async fn`, which would keep its arguments twice for as long as the connection lives.
fn run<H: Handler>(handler: Arc<H>, socket: Socket, guard: Guard, tap: Option<Tap>, shutdown: Shutdown) -> impl Future<Output = ()> + Send {
    async move {
        let stream = Stream::new(socket, guard.traffic.clone()).and_then(|stream| match &tap {
            Some(tap) => {
                let local = stream.local_addr()?;
                Ok(stream.watched_by(WireTap::new(tap, guard.id, &guard.peer, local)))
            }
            None => Ok(stream),
        });
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return guard.report(End::io(By::Local, Phase::Accept, &error)),
        };
        let conn = Conn {
            id: guard.id,
            peer: guard.peer.clone(),
            announced: None,
            authority: None,
            stream,
            events: guard.events.clone(),
            shutdown: shutdown.clone(),
            progress: guard.progress.clone(),
        };
        let ended = shutdown.unless_aborting(pin!(handler.handle(conn))).await;
        let end = ended.unwrap_or_else(|| guard.aborted(&shutdown));
        if let Some(tap) = &tap {
            // The end of a connection is told after its bytes, unless there is no time for that.
            let told = Box::pin(async {
                tokio::select! { () = tap.settle(guard.id) => {}, () = shutdown.aborting() => {} }
            });
            told.await;
        }
        guard.report(end);
    }
}

/// Waits for the connections that are left; returns how many had to be reset. The connections themselves say so: they
/// may have ended before this is looked at.
pub(crate) async fn drain(tasks: &TaskTracker, tally: &Tally, limits: &Limits, shutdown: &Shutdown, events: &Events) -> usize {
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
pub(crate) struct Tally {
    pub(crate) failed: AtomicU64,
    pub(crate) aborted: AtomicUsize,
}

/// Who has come.
pub(crate) struct Opened {
    pub(crate) id: ConnId,
    pub(crate) peer: Endpoint,
    pub(crate) traffic: Arc<Traffic>,
    /// Where it is listed as long as it is open.
    pub(crate) list: Option<Connections>,
}

/// Reports the end of a connection, whatever ended it: dropped by a return, an abort or a panic alike.
pub(crate) struct Guard {
    pub(crate) id: ConnId,
    pub(crate) peer: Endpoint,
    pub(crate) progress: Arc<Progress>,
    pub(crate) place: Place,
    since: Instant,
    traffic: Arc<Traffic>,
    events: Events,
    tally: Arc<Tally>,
    list: Option<Connections>,
    end: Option<End>,
    // Given back after the report: with one slot, the next connection opens after this one is told to be closed.
    _permit: OwnedSemaphorePermit,
}

impl Guard {
    /// Says that somebody has come.
    pub(crate) fn new(opened: Opened, events: &Events, tally: &Arc<Tally>, place: Place, permit: OwnedSemaphorePermit) -> Self {
        let Opened { id, peer, traffic, list } = opened;
        let (since, progress) = (Instant::now(), Arc::<Progress>::default());
        if let Some(list) = &list {
            list.enter(Open { id, peer: peer.clone(), since, progress: progress.clone(), traffic: traffic.clone() });
        }
        events.emit(Event::Opened { id, peer: peer.clone() });
        Self { id, peer, progress, place, since, traffic, events: events.clone(), tally: tally.clone(), list, end: None, _permit: permit }
    }

    /// How it ends where everything is to end at once.
    pub(crate) fn aborted(&self, shutdown: &Shutdown) -> End {
        self.tally.aborted.fetch_add(1, Relaxed);
        End::failed(By::Shutdown, self.progress.phase(), shutdown.why())
    }

    pub(crate) fn report(mut self, end: End) {
        self.end = Some(end);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(|| End::failed(By::Local, self.progress.phase(), "the handler panicked"));
        if end.failed {
            self.tally.failed.fetch_add(1, Relaxed);
        }
        if let Some(list) = &self.list {
            list.leave(self.id, end.failed);
        }
        self.events.emit(Event::Closed {
            id: self.id,
            peer: self.peer.clone(),
            client: self.progress.client().unwrap_or(&self.peer).clone(),
            target: self.progress.target(),
            end,
            received: self.traffic.received(),
            sent: self.traffic.sent(),
            spliced: self.progress.spliced(),
            elapsed: self.since.elapsed(),
        });
    }
}
