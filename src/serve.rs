//! What every serving command does around its handler: listen, say so, run COMMAND, stop when asked, turn what came of
//! it into an exit status.

use crate::{
    args::{Serve, UsageError},
    beside,
    report::{FAREWELL, Reporter, Style},
};
use anyhow::Context;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroUsize,
    process::{ExitCode, ExitStatus},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tapline::{
    addr::{Endpoint, ListenAddr},
    announced::Announced,
    connections::Connections,
    datagram::{DatagramHandler, DatagramServer},
    descriptors,
    event::{Event, Events},
    metrics::{Counting, Counts},
    server::{Handler, Limits, Served, Server},
    shutdown::Shutdown,
};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

/// Exit statuses, as the help and the man pages list them.
pub mod exit {
    /// The answer is no.
    pub const NO: u8 = 1;
    /// Wrong usage.
    pub const USAGE: u8 = 2;
    /// Could not start.
    pub const START: u8 = 3;
    /// Nothing, or fewer than `--connections`, had come before `--for`.
    pub const NOTHING: u8 = 4;
    /// The drain was cut short, or the writing of what is for a reader who does not read.
    pub const CUT: u8 = 5;
}

/// One run of the program.
pub struct Session {
    pub reporter: Reporter,
    pub shutdown: Shutdown,
    /// Who is connected, where somebody wants to see it.
    pub connections: OnceLock<Connections>,
    /// Until when who does not read is waited for.
    farewell: OnceLock<Instant>,
    /// What counts the events of connections, where somebody wants to know.
    counts: OnceLock<Arc<Counts>>,
    /// Connections that there may be at a time, once that is known.
    pub limit: Arc<OnceLock<usize>>,
    beside: Mutex<beside::Bound>,
}

impl Session {
    pub fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            shutdown: Shutdown::new(),
            connections: OnceLock::new(),
            farewell: OnceLock::new(),
            counts: OnceLock::new(),
            limit: Arc::default(),
            beside: Mutex::default(),
        }
    }

    /// What counts the events of connections from now on.
    pub fn counting(&self) -> &Arc<Counts> {
        self.counts.get_or_init(Arc::default)
    }

    /// What answers beside the traffic, from when that is served.
    pub fn set_beside(&self, bound: beside::Bound) {
        *self.beside.lock().unwrap_or_else(PoisonError::into_inner) = bound;
    }

    fn answer_beside(&self) -> beside::Answering {
        std::mem::take(&mut *self.beside.lock().unwrap_or_else(PoisonError::into_inner)).start(self)
    }

    /// Where the events of connections go.
    fn events(&self) -> Events {
        let events = self.reporter.events();
        match self.counts.get() {
            Some(counts) => Events::new(Counting { events, counts: counts.clone() }),
            None => events,
        }
    }

    /// Completes a moment after everything is to end at once: who has not read by then is not waited for.
    pub async fn hurried(&self) {
        self.shutdown.aborting().await;
        // One moment for all who wait for it, one after the other.
        tokio::time::sleep_until(*self.farewell.get_or_init(|| Instant::now() + FAREWELL)).await;
    }

    /// What `work` comes to that is done before anything is served. Who asks for the end is not made to wait for it.
    pub async fn preparing<T>(&self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        self.shutdown.unless_draining(work).await.context("interrupted before it could start")
    }

    /// The same for work on files, which may be pipes that nobody writes to.
    pub async fn reading<T, E>(&self, work: impl FnOnce() -> Result<T, E> + Send + 'static) -> anyhow::Result<T>
    where
        T: Send + 'static,
        E: Into<anyhow::Error> + Send + 'static,
    {
        self.preparing(tokio::task::spawn_blocking(work)).await??.map_err(Into::into)
    }
}

impl Serve {
    /// Claims stdout for bytes as they are: nothing else may write there, and no terminal may show them. `flag` asks for it,
    /// `reader` is a program that can read them.
    pub fn claim_stdout(&self, flag: &str, reader: &str, style: Style) -> Result<(), UsageError> {
        if !self.command.is_empty() {
            return Err(UsageError(format!("{flag} and COMMAND would both write to stdout; give a file")));
        }
        if style.stdout.terminal {
            return Err(UsageError(format!("{flag} would write bytes as they are to a terminal; try | {reader}")));
        }
        Ok(())
    }

    /// Binds. It comes before any file is opened to be written: who cannot listen must not have emptied one, least of all one
    /// that the process on that address is writing.
    pub async fn bind(&self, listen: &ListenAddr, session: &Session) -> anyhow::Result<Server> {
        if let Some(never) = self.accept_proxy.iter().find(|announcer| !announcer.can_reach(listen)) {
            return Err(UsageError(format!("--accept-proxy {never} fits no peer of {listen}")).into());
        }
        Ok(session.preparing(Server::bind(listen)).await??)
    }

    /// Serves until it is to end. `started` runs once it was said that clients can connect.
    pub async fn run<H: Handler>(
        self,
        server: Server,
        handler: H,
        session: &Session,
        started: impl FnOnce(&Endpoint),
    ) -> anyhow::Result<ExitCode> {
        let server = server.listed_in(session.connections.get().cloned());
        let addr = server.addr().clone();
        let handler = Announced::new(handler, self.accept_proxy.clone(), self.proxy_header_timeout);
        let serving = async |limits: &Limits, events: &Events| server.serve(Arc::new(handler), limits, &session.shutdown, events).await;
        self.around(&addr, serving, session, started).await
    }

    /// The same for the datagrams of each client.
    pub async fn run_datagrams<H: DatagramHandler>(
        self,
        server: DatagramServer,
        handler: H,
        session: &Session,
        started: impl FnOnce(&Endpoint),
    ) -> anyhow::Result<ExitCode> {
        let addr = server.addr().clone();
        let serving = async |limits: &Limits, events: &Events| server.serve(Arc::new(handler), limits, &session.shutdown, events).await;
        self.around(&addr, serving, session, started).await
    }

    /// Everything around a bound server.
    async fn around(
        self,
        addr: &Endpoint,
        serving: impl AsyncFnOnce(&Limits, &Events) -> Served,
        session: &Session,
        started: impl FnOnce(&Endpoint),
    ) -> anyhow::Result<ExitCode> {
        let Session { reporter, shutdown, .. } = session;
        let events = session.events();
        events.emit(Event::Listening { addr: addr.clone() });
        started(addr);
        let beside = session.answer_beside();
        // Before the limit is raised, which COMMAND would inherit.
        let child = spawn(&self.command, addr)?;
        let threads = self.threads.or(std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
        let within = descriptors::raise().map_or(usize::MAX, |limit| descriptors::connections_within(limit, threads));
        let limits = Limits {
            max_connections: self.max_connections.map_or(within, |most| most.get().min(within)),
            connections: self.connections,
            grace: self.grace,
            threads,
        };
        session.limit.get_or_init(|| limits.max_connections);
        if let Some(most) = self.max_connections.filter(|most| most.get() > within) {
            reporter.note(format!("the limit on open files allows {within} connections at a time, not {most}; see ulimit -n"));
        }
        let serving = serving(&limits, &events);
        let ending = async {
            let timer = async {
                if let Some(time) = self.lasting {
                    tokio::time::sleep(time).await;
                    shutdown.drain();
                }
            };
            // Whoever read the results has gone: there is nothing left to do for anyone.
            let unread = async { shutdown.abort(reporter.unread().await) };
            tokio::join!(timer, unread);
            std::future::pending::<()>().await;
        };
        let command = async {
            let status = wait(child?, shutdown, self.grace).await;
            shutdown.drain();
            Some(status)
        };
        let (served, status) = tokio::select! {
            both = async { tokio::join!(serving, command) } => both,
            () = ending => unreachable!("it never ends"),
        };
        beside.stop().await;
        match status.transpose().context("cannot wait for the command")? {
            // COMMAND was ended because nobody reads its output any more.
            Some(_) if reporter.is_unread() => Ok(ExitCode::SUCCESS),
            Some(status) => Ok(command_exit(status)),
            None => Ok(ExitCode::from(self.verdict(served, reporter.is_unread()))),
        }
    }

    fn verdict(&self, served: Served, unread: bool) -> u8 {
        let wanted = self.connections.map_or(u64::from(self.lasting.is_some()), std::num::NonZeroU64::get);
        match served {
            _ if unread => 0,
            Served { aborted: 1.., .. } => exit::CUT,
            Served { failed: 1.., .. } if self.connections.is_some() => exit::NO,
            Served { connections, .. } if self.lasting.is_some() && connections < wanted => exit::NOTHING,
            _ => 0,
        }
    }
}

/// Where a client on this machine connects to: nobody can connect to "every interface".
pub fn connectable(addr: &Endpoint) -> Endpoint {
    match addr {
        Endpoint::Tcp(addr) if addr.ip().is_unspecified() => {
            let loopback: IpAddr = if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            Endpoint::Tcp((loopback, addr.port()).into())
        }
        other => other.clone(),
    }
}

/// Starts COMMAND with the address in its arguments and its environment.
fn spawn(command: &[String], addr: &Endpoint) -> anyhow::Result<Option<Child>> {
    let Some((program, arguments)) = command.split_first() else { return Ok(None) };
    let (whole, host, port) = match connectable(addr).socket_addr() {
        Some(addr) => (addr.to_string(), addr.ip().to_string(), addr.port().to_string()),
        None => (addr.to_string(), String::new(), String::new()),
    };
    let replaced = |text: &String| text.replace("{addr}", &whole).replace("{host}", &host).replace("{port}", &port);
    let child = Command::new(program)
        .args(arguments.iter().map(replaced))
        .envs([("TAPLINE_ADDR", &whole), ("TAPLINE_HOST", &host), ("TAPLINE_PORT", &port)])
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(Some(child))
}

/// Waits for COMMAND; where the program is told to end first, so is COMMAND.
async fn wait(mut child: Child, shutdown: &Shutdown, grace: Duration) -> io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = shutdown.draining() => {}
    }
    #[cfg(unix)]
    if let Some(pid) = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
        // Gone already is as good.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    tokio::select! {
        status = child.wait() => return status,
        () = tokio::time::sleep(grace) => {}
        () = shutdown.aborting() => {}
    }
    child.kill().await?;
    child.wait().await
}

/// The command's own status; 128 and the signal's number where a signal ended it, as shells say it.
fn command_exit(status: ExitStatus) -> ExitCode {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal: Option<i32> = None;
    let code = status.code().or(signal.map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::NO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Look;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        serve: Serve,
    }

    #[test]
    fn stdout_is_claimed_for_bytes_where_nothing_else_writes_and_no_terminal_shows_them() {
        let style = |terminal| {
            let look = Look { terminal, color: false };
            Style { json: false, quiet: false, explain: false, stderr: look, stdout: look }
        };
        let claim = |args: &[&str], terminal| {
            let serve = Flags::parse_from([&["x"], args].concat()).serve;
            serve.claim_stdout("--output -", "hexdump -C", style(terminal)).map_err(|error| error.to_string())
        };
        assert_eq!(claim(&[], false), Ok(()));
        assert!(claim(&["--", "true"], false).unwrap_err().contains("--output - and COMMAND"));
        assert!(claim(&[], true).unwrap_err().ends_with("to a terminal; try | hexdump -C"));
    }
}
