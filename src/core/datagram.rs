//! Datagrams (UDP): a session for each client address, each a task with an inbox, as a connection is a task with a stream.

mod relay;

pub use relay::{DatagramRelay, MOST_BYTES};

use crate::{
    addr::{Endpoint, ListenAddr},
    dial::resolve,
    event::{By, ConnId, End, Event, Events, Phase, Progress, Traffic},
    idle::silence,
    server::{BindError, Guard, Limits, Served, Tally, bind_every, drain, workers::Workers},
    shutdown::Shutdown,
};
use bytes::{Bytes, BytesMut};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::UdpSocket,
    sync::{
        Semaphore,
        mpsc::{self, error::TrySendError},
    },
    time::sleep,
};
use tokio_util::task::TaskTracker;

/// Datagrams that wait for their session, each. With more, further ones are lost, as in any queue of a network.
const INBOX: usize = 256;
/// Datagrams share allocations of this size: none of its own for each.
const SHARED: usize = 4 * MOST_BYTES;
/// The pause after a failure to receive.
const PAUSE: Duration = Duration::from_millis(5);
/// Once the end was asked for, a session that is silent for this long has said what it had to say.
const QUIET: Duration = Duration::from_millis(500);
/// How often losses and failures are said at most.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// What a command does with the datagrams of one client.
pub trait DatagramHandler: Send + Sync + 'static {
    /// Handles one session to its end. Dropped half-way when the program aborts.
    fn handle(&self, session: &mut Session) -> impl Future<Output = End> + Send;
}

/// The datagrams of one client address.
pub struct Session {
    /// Its number, from 1.
    pub id: ConnId,
    /// The client.
    pub peer: Endpoint,
    /// What happens in it goes here.
    pub events: Events,
    /// The end of the program.
    pub shutdown: Shutdown,
    /// What it has come to, for the report of its end.
    pub progress: Arc<Progress>,
    inbox: mpsc::Receiver<Bytes>,
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    traffic: Arc<Traffic>,
    lost: Arc<AtomicU64>,
}

impl Session {
    /// The next datagram of the client.
    pub async fn receive(&mut self) -> Bytes {
        match self.inbox.recv().await {
            Some(datagram) => datagram,
            // The sender lives as long as the session.
            None => std::future::pending().await,
        }
    }

    /// Sends a datagram to the client.
    ///
    /// # Errors
    /// This machine could not send it. Whether it arrives nobody learns.
    pub async fn reply(&self, datagram: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(datagram, self.to).await?;
        self.traffic.add_sent(sent);
        Ok(())
    }

    /// The same at once, or `WouldBlock`.
    fn try_reply(&self, datagram: &[u8]) -> io::Result<()> {
        let sent = self.socket.try_send_to(datagram, self.to)?;
        self.traffic.add_sent(sent);
        Ok(())
    }

    /// Completes when nothing has passed for as long as `idle` says, or for a moment after the end was asked for: a
    /// session has no other end.
    pub fn over(&self, idle: Option<Duration>) -> impl Future<Output = End> + Send + use<> {
        let (traffic, shutdown) = (self.traffic.clone(), self.shutdown.clone());
        async move {
            let count = || traffic.total();
            let idle_for = async {
                match idle {
                    Some(idle) => silence(idle, || Some(idle), count).await,
                    None => std::future::pending().await,
                }
            };
            let quiet = async {
                shutdown.draining().await;
                silence(QUIET, || Some(QUIET), count).await;
            };
            tokio::select! {
                () = idle_for => {
                    let why = format!("no datagram for {:?}", idle.unwrap_or_default());
                    End { why: why.into(), ..End::done(By::Timeout, Phase::Relay) }
                }
                () = quiet => End::done(By::Shutdown, Phase::Relay),
            }
        }
    }
}

/// A bound socket.
pub struct DatagramServer {
    socket: Arc<UdpSocket>,
    addr: Endpoint,
}

impl DatagramServer {
    /// Binds; clients can send as soon as this returns.
    ///
    /// # Errors
    /// As those of [`crate::server::Server::bind`]; a Unix socket is not supported.
    pub async fn bind(addr: &ListenAddr) -> Result<Self, BindError> {
        let bound = match addr {
            ListenAddr::Tcp(to) => resolve(to).await.and_then(|addrs| udp_socket(addrs[0])),
            ListenAddr::Every(port) => bind_every(*port, udp_socket),
            ListenAddr::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "datagrams need an address and a port")),
        };
        let with_addr = bound.and_then(|socket| Ok((Endpoint::Tcp(socket.local_addr()?), Arc::new(socket))));
        let (addr, socket) = with_addr.map_err(|error| BindError { addr: addr.clone(), error })?;
        Ok(Self { socket, addr })
    }

    /// The real address: the port that the kernel chose where port 0 was asked for.
    #[must_use]
    pub fn addr(&self) -> &Endpoint {
        &self.addr
    }

    /// Serves until `shutdown` or until `limits.connections` sessions were served, then drains: no new session begins, and
    /// those that are open go on until the handler or the grace ends them.
    pub async fn serve<H: DatagramHandler>(self, handler: Arc<H>, limits: &Limits, shutdown: &Shutdown, events: &Events) -> Served {
        let (said_ended, ended) = mpsc::unbounded_channel();
        let (workers, started) = Workers::start(limits.threads);
        if let Err(error) = started {
            events.emit(Event::Note { text: format!("serving on fewer threads than asked for: {error}") });
        }
        let mut desk = Desk {
            workers,
            socket: self.socket,
            handler,
            slots: Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS))),
            most: limits.connections.map(std::num::NonZeroU64::get),
            shutdown: shutdown.clone(),
            events: events.clone(),
            tally: Arc::default(),
            tasks: TaskTracker::new(),
            sessions: HashMap::new(),
            said_ended,
            ended,
            opened: 0,
            refused: Losses::default(),
        };
        tokio::select! {
            biased;
            () = shutdown.draining() => {}
            () = desk.receive(true) => {}
        }
        desk.tasks.close();
        let (tasks, tally) = (desk.tasks.clone(), desk.tally.clone());
        let aborted = tokio::select! {
            aborted = drain(&tasks, &tally, limits, shutdown, events) => aborted,
            () = desk.receive(false) => unreachable!("it receives until it is dropped"),
        };
        desk.refused.say(events, true);
        Served { connections: desk.opened, failed: tally.failed.load(Relaxed), aborted }
    }
}

/// Hands each datagram to its session.
struct Desk<H> {
    workers: Workers,
    socket: Arc<UdpSocket>,
    handler: Arc<H>,
    slots: Arc<Semaphore>,
    most: Option<u64>,
    shutdown: Shutdown,
    events: Events,
    tally: Arc<Tally>,
    tasks: TaskTracker,
    sessions: HashMap<SocketAddr, Inbox>,
    said_ended: mpsc::UnboundedSender<SocketAddr>,
    ended: mpsc::UnboundedReceiver<SocketAddr>,
    opened: u64,
    refused: Losses,
}

/// The way into a session.
struct Inbox {
    queue: mpsc::Sender<Bytes>,
    traffic: Arc<Traffic>,
    lost: Arc<AtomicU64>,
}

impl<H: DatagramHandler> Desk<H> {
    /// Receives. While `open`, until as many sessions as are wanted were opened.
    async fn receive(&mut self, open: bool) {
        let (mut buffer, mut failures) = (BytesMut::new(), Seldom::default());
        while !open || self.most.is_none_or(|most| self.opened < most) {
            // No datagram is longer, so that none is cut.
            if buffer.capacity() < MOST_BYTES {
                buffer.reserve(SHARED);
            }
            let socket = self.socket.clone();
            tokio::select! {
                Some(peer) = self.ended.recv() => {
                    // A new session may have taken the place of one that has ended.
                    if self.sessions.get(&peer).is_some_and(|inbox| inbox.queue.is_closed()) {
                        self.sessions.remove(&peer);
                    }
                }
                received = socket.recv_buf_from(&mut buffer) => match received {
                    Ok((_, peer)) => self.hand_over(peer, buffer.split().freeze(), open),
                    Err(error) => {
                        if failures.may_be_said() {
                            self.events.emit(Event::AcceptFailed { why: error.to_string(), retry_in: PAUSE });
                        }
                        sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    fn hand_over(&mut self, peer: SocketAddr, datagram: Bytes, open: bool) {
        let datagram = match self.sessions.get(&peer).map(|inbox| inbox.put(datagram.clone())) {
            Some(true) => return,
            // None yet, or one that has ended meanwhile.
            Some(false) | None => datagram,
        };
        if !open {
            return self.refused.add("no session begins any more", &self.events);
        }
        let Ok(permit) = self.slots.clone().try_acquire_owned() else {
            return self.refused.add("no room for another session (--max-connections)", &self.events);
        };
        self.opened += 1;
        let (queue, inbox) = mpsc::channel(INBOX);
        let (traffic, lost, progress) = (Arc::<Traffic>::default(), Arc::<AtomicU64>::default(), Arc::<Progress>::default());
        let guard = Guard {
            id: ConnId(self.opened),
            peer: Endpoint::tcp(peer),
            since: Instant::now(),
            traffic: traffic.clone(),
            progress: progress.clone(),
            events: self.events.clone(),
            tally: self.tally.clone(),
            end: None,
            place: self.workers.place(),
            _permit: permit,
        };
        self.events.emit(Event::Opened { id: guard.id, peer: guard.peer.clone() });
        let session = Session {
            id: guard.id,
            peer: guard.peer.clone(),
            events: self.events.clone(),
            shutdown: self.shutdown.clone(),
            progress,
            inbox,
            socket: self.socket.clone(),
            to: peer,
            traffic: traffic.clone(),
            lost: lost.clone(),
        };
        let inbox = Inbox { queue, traffic, lost };
        inbox.put(datagram);
        self.sessions.insert(peer, inbox);
        let on = guard.place.events.clone();
        self.tasks.spawn_on(run(self.handler.clone(), session, guard, self.said_ended.clone()), &on);
    }
}

impl Inbox {
    /// False where the session has ended.
    fn put(&self, datagram: Bytes) -> bool {
        let bytes = datagram.len();
        match self.queue.try_send(datagram) {
            Ok(()) => self.traffic.add_received(bytes),
            Err(TrySendError::Full(_)) => _ = self.lost.fetch_add(1, Relaxed),
            Err(TrySendError::Closed(_)) => return false,
        }
        true
    }
}

async fn run<H: DatagramHandler>(handler: Arc<H>, mut session: Session, guard: Guard, ended: mpsc::UnboundedSender<SocketAddr>) {
    let shutdown = session.shutdown.clone();
    let end = tokio::select! {
        end = handler.handle(&mut session) => Some(end),
        () = shutdown.aborting() => None,
    };
    session.inbox.close();
    while session.inbox.try_recv().is_ok() {
        session.lost.fetch_add(1, Relaxed);
    }
    let lost = session.lost.load(Relaxed);
    if lost > 0 {
        let why = "they came faster than they were taken, or too late".into();
        session.events.emit(Event::Lost { id: Some(session.id), datagrams: lost, why });
    }
    let end = end.unwrap_or_else(|| {
        guard.tally.aborted.fetch_add(1, Relaxed);
        End::failed(By::Shutdown, guard.progress.phase(), shutdown.why())
    });
    guard.report(end);
    // The desk may be gone already.
    let _ = ended.send(session.to);
}

/// Datagrams that belong to no session, said now and then.
#[derive(Default)]
struct Losses {
    datagrams: u64,
    why: &'static str,
    said: Seldom,
}

impl Losses {
    fn add(&mut self, why: &'static str, events: &Events) {
        self.datagrams += 1;
        self.why = why;
        self.say(events, false);
    }

    fn say(&mut self, events: &Events, last: bool) {
        if self.datagrams > 0 && (last || self.said.may_be_said()) {
            events.emit(Event::Lost { id: None, datagrams: std::mem::take(&mut self.datagrams), why: self.why.into() });
        }
    }
}

/// When something was said last that may happen all the time.
#[derive(Default)]
struct Seldom(Option<Instant>);

impl Seldom {
    fn may_be_said(&mut self) -> bool {
        let may = self.0.is_none_or(|at| at.elapsed() >= SAID_EVERY);
        if may {
            self.0 = Some(Instant::now());
        }
        may
    }
}

/// Without SO_REUSEADDR: for UDP it would let another program take the datagrams away, socket(7).
fn udp_socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::DGRAM, None)?;
    if addr.is_ipv6() {
        // One socket for both families where every interface is asked for, ipv6(7).
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}
