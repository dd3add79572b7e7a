//! Datagrams (UDP): a session for each client address, each a task with an inbox, as a connection is a task with a stream. Where
//! the socket is bound to every address, a session is also of the one that the client sent to.

mod relay;
mod session;
mod socket;

pub use relay::{DatagramRelay, MOST_BYTES};
pub use session::Session;

use crate::{
    addr::{Endpoint, ListenAddr},
    event::{ConnId, End, Event, Events},
    seldom::Seldom,
    server::{BindError, Guard, Limits, Opened, Served, Tally, drain, workers::Workers},
    shutdown::Shutdown,
};
use session::{Counts, Inbox};
use socket::{Ends, Socket};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::sleep,
};
use tokio_util::task::TaskTracker;

/// Datagrams that wait for their session, each. With more, further ones are lost, as in any queue of a network.
const INBOX: usize = 256;
/// Bytes that wait for all sessions of a server, at most.
const WAITING: usize = 64 << 20;
/// The pause after a failure to receive.
const PAUSE: Duration = Duration::from_millis(5);

/// What a command does with the datagrams of one client.
pub trait DatagramHandler: Send + Sync + 'static {
    /// Handles one session to its end. Dropped half-way when the program aborts.
    fn handle(&self, session: &mut Session) -> impl Future<Output = End> + Send;
}

/// A bound socket.
pub struct DatagramServer {
    socket: Socket,
    addr: Endpoint,
}

impl DatagramServer {
    /// Binds; clients can send as soon as this returns.
    ///
    /// # Errors
    /// As those of [`crate::server::Server::bind`]; a Unix socket is not supported.
    pub async fn bind(addr: &ListenAddr) -> Result<Self, BindError> {
        let bound = Socket::bind(addr).await.and_then(|socket| Ok((Endpoint::Tcp(socket.local_addr()?), socket)));
        let (addr, socket) = bound.map_err(|error| BindError { addr: addr.clone(), error })?;
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
        let workers = Workers::start(limits.threads, events);
        let mut desk = Desk {
            workers,
            socket: Arc::new(self.socket),
            handler,
            waiting: Arc::new(Semaphore::new(WAITING)),
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
    socket: Arc<Socket>,
    handler: Arc<H>,
    /// The room for what waits.
    waiting: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    most: Option<u64>,
    shutdown: Shutdown,
    events: Events,
    tally: Arc<Tally>,
    tasks: TaskTracker,
    sessions: HashMap<Ends, Inbox>,
    said_ended: mpsc::UnboundedSender<Ends>,
    ended: mpsc::UnboundedReceiver<Ends>,
    opened: u64,
    refused: Losses,
}

impl<H: DatagramHandler> Desk<H> {
    /// Receives. While `open`, until as many sessions as are wanted were opened.
    async fn receive(&mut self, open: bool) {
        let (mut buffer, mut failures) = (vec![0; MOST_BYTES], Seldom::default());
        let socket = self.socket.clone();
        while !open || self.most.is_none_or(|most| self.opened < most) {
            tokio::select! {
                Some(ends) = self.ended.recv() => {
                    // A new session may have taken the place of one that has ended.
                    if self.sessions.get(&ends).is_some_and(|inbox| inbox.queue.is_closed()) {
                        self.sessions.remove(&ends);
                    }
                }
                received = socket.receive(&mut buffer) => match received {
                    Ok((n, ends)) => self.hand_over(ends, &buffer[..n], open),
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

    fn hand_over(&mut self, ends: Ends, datagram: &[u8], open: bool) {
        // There may be none yet, or one that has ended meanwhile.
        if self.sessions.get(&ends).is_some_and(|inbox| inbox.put(datagram, &self.waiting)) {
            return;
        }
        if !open {
            return self.refused.add("no session begins any more", &self.events);
        }
        let Ok(permit) = self.slots.clone().try_acquire_owned() else {
            return self.refused.add("no room for another session (--max-connections)", &self.events);
        };
        self.opened += 1;
        let (queue, inbox) = mpsc::channel(INBOX);
        let counts = Arc::<Counts>::default();
        let opened = Opened { id: ConnId(self.opened), peer: Endpoint::tcp(ends.peer), traffic: counts.traffic.clone(), list: None };
        let guard = Guard::new(opened, &self.events, &self.tally, self.workers.place(), permit);
        let session = Session {
            id: guard.id,
            peer: guard.peer.clone(),
            events: self.events.clone(),
            shutdown: self.shutdown.clone(),
            progress: guard.progress.clone(),
            inbox,
            room: None,
            socket: self.socket.clone(),
            ends,
            counts: counts.clone(),
        };
        let inbox = Inbox { queue, counts };
        inbox.put(datagram, &self.waiting);
        self.sessions.insert(ends, inbox);
        let on = guard.place.events.clone();
        self.tasks.spawn_on(run(self.handler.clone(), session, guard, self.said_ended.clone()), &on);
    }
}

/// Tells the desk that a session is over, also where its handler panics.
struct Over(mpsc::UnboundedSender<Ends>, Ends);

impl Drop for Over {
    fn drop(&mut self) {
        // The desk may be gone already.
        let _ = self.0.send(self.1);
    }
}

async fn run<H: DatagramHandler>(handler: Arc<H>, mut session: Session, guard: Guard, ended: mpsc::UnboundedSender<Ends>) {
    let _over = Over(ended, session.ends);
    let shutdown = session.shutdown.clone();
    let end = tokio::select! {
        end = handler.handle(&mut session) => end,
        () = shutdown.aborting() => guard.aborted(&shutdown),
    };
    session.close();
    guard.report(end);
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
        if self.why != why {
            // What was counted for another reason.
            self.say(events, true);
        }
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
