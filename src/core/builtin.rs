//! Servers inside this process, so that everything can be tried with nothing else installed.

use crate::{
    addr::{Builtin, HostPort, ListenAddr},
    answer::{self, Answer, Reply},
    event::{End, Events},
    http,
    server::{Conn, Handler, Limits, Server},
    shutdown::Shutdown,
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

/// For a client that sends nothing; as long as that of the relay before it.
const IDLE: Duration = Duration::from_mins(10);

/// A builtin server that runs until this is dropped; then its connections are reset.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Starts a server on a loopback port, a free one unless one is given. `name` is what `builtin:http` calls itself.
    ///
    /// # Errors
    /// The port could not be bound.
    pub async fn start(kind: Builtin, name: &str, port: Option<u16>) -> io::Result<Self> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        let server = Server::bind(&ListenAddr::Tcp(HostPort::at(addr))).await.map_err(|error| error.error)?;
        let addr = server.addr().socket_addr().unwrap_or(addr);
        let shutdown = Shutdown::new();
        let (handler, stop) = (Arc::new(Serve { kind, name: name.into() }), shutdown.clone());
        let task = tokio::spawn(async move {
            let limits = Limits { max_connections: 10_000, connections: None, grace: Duration::ZERO, threads: NonZeroUsize::MIN };
            server.serve(handler, &limits, &stop, &Events::silent()).await;
        });
        Ok(Self { addr, shutdown, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops at once and waits until the port is free and every connection is reset.
    pub async fn stop(mut self) {
        self.shutdown.abort("stopped");
        // A server that panicked has stopped as well.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.abort("stopped");
    }
}

struct Serve {
    kind: Builtin,
    name: Arc<str>,
}

impl Handler for Serve {
    async fn handle(&self, conn: Conn) -> End {
        match self.kind {
            Builtin::Echo => answer(conn, Reply::Echo).await,
            Builtin::Discard => answer(conn, Reply::Silence).await,
            Builtin::Http => http::mirror::serve(conn, self.name.clone()).await,
        }
    }
}

async fn answer(conn: Conn, reply: Reply) -> End {
    answer::serve(conn, &Answer { reply, ..Answer::default() }, Some(IDLE), std::future::pending(), &()).await
}
