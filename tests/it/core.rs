//! The library without the program: what a ninth command could rely on.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, mpsc},
    time::Duration,
};
use tapline::{
    addr::{ListenAddr, TargetSpec},
    balance::Policy,
    event::{By, End, Event, Events, Phase, Sink},
    pool::Pool,
    server::{Conn, Handler, Limits, Server},
    shutdown::Shutdown,
};
use tokio::io::AsyncReadExt;

struct Channel(mpsc::Sender<Event>);

impl Sink for Channel {
    fn emit(&self, event: Event) {
        // Nobody reads any more at the end of a test.
        let _ = self.0.send(event);
    }
}

/// Serves `handler` on a port of the kernel's choice while `clients` run; returns what was emitted.
async fn serve<H: Handler>(handler: H, connections: u64, clients: impl FnOnce(std::net::SocketAddr) + Send + 'static) -> Vec<Event> {
    let server = Server::bind(&"0".parse::<ListenAddr>().unwrap()).await.unwrap();
    let addr = server.addr().socket_addr().unwrap();
    let (send, receive) = mpsc::channel();
    let clients = tokio::task::spawn_blocking(move || clients(addr));
    let limits = Limits {
        max_connections: 1,
        connections: std::num::NonZero::new(connections),
        grace: Duration::from_secs(5),
        threads: std::num::NonZero::<usize>::MIN,
    };
    server.serve(Arc::new(handler), &limits, &Shutdown::new(), &Events::new(Channel(send))).await;
    clients.await.unwrap();
    receive.try_iter().collect()
}

fn ends(events: &[Event]) -> Vec<(End, u64)> {
    let ends = events.iter().filter_map(|event| match event {
        Event::Closed { end, received, .. } => Some((end.clone(), *received)),
        _ => None,
    });
    ends.collect()
}

/// Reads a byte, then panics if it is an 'x'.
struct Touchy;

impl Handler for Touchy {
    async fn handle(&self, mut conn: Conn) -> End {
        conn.progress.enter(Phase::Relay);
        let byte = conn.stream.read_u8().await.unwrap_or_default();
        assert!(byte != b'x', "this panic is part of a test");
        End::done(By::Client, Phase::Relay)
    }
}

#[tokio::test]
async fn a_panic_is_reported_as_an_end_and_the_next_connection_is_served() {
    let events = serve(Touchy, 2, |addr| {
        for byte in [b"x", b"y"] {
            let mut client = TcpStream::connect(addr).unwrap();
            client.write_all(byte).unwrap();
            // The end, whichever it is.
            let _ = client.read(&mut [0]);
        }
    });
    let ends = ends(&events.await);
    assert_eq!(ends[0].0, End::failed(By::Local, Phase::Relay, "the handler panicked"));
    assert_eq!(ends[1].0, End::done(By::Client, Phase::Relay));
}

/// Never calls the relay.
struct Reader;

impl Handler for Reader {
    async fn handle(&self, mut conn: Conn) -> End {
        let mut bytes = Vec::new();
        match conn.stream.read_to_end(&mut bytes).await {
            Ok(_) => End::done(By::Client, Phase::Relay),
            Err(error) => End::io(By::Client, Phase::Relay, &error),
        }
    }
}

#[tokio::test]
async fn bytes_are_counted_for_a_command_that_never_relays() {
    let events = serve(Reader, 1, |addr| TcpStream::connect(addr).unwrap().write_all(&[7; 1234]).unwrap());
    assert_eq!(ends(&events.await), [(End::done(By::Client, Phase::Relay), 1234)]);
}

#[tokio::test]
async fn the_slot_is_given_back_after_the_end_is_reported() {
    // One slot: were it given back before the report, the second `Opened` could come before the first `Closed`.
    let events = serve(Reader, 50, |addr| (0..50).for_each(|_| drop(TcpStream::connect(addr).unwrap()))).await;
    let order: String = events
        .iter()
        .filter_map(|event| match event {
            Event::Opened { .. } => Some('o'),
            Event::Closed { .. } => Some('c'),
            _ => None,
        })
        .collect();
    assert_eq!(order, "oc".repeat(50));
}

#[tokio::test]
async fn a_builtin_target_ends_with_its_pool() {
    let pool = Pool::new(&["builtin:echo".parse::<TargetSpec>().unwrap()], Policy::RoundRobin).await.unwrap();
    let tapline::addr::Target::Tcp(to) = pool.backends()[0].target.clone() else { panic!("a builtin target has a port") };
    let addr = to.to_string();
    let mut client = tokio::net::TcpStream::connect(&addr).await.unwrap();
    drop(pool);
    assert!(matches!(client.read_u8().await, Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset));
}
