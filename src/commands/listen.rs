//! `tapline listen`: accepts connections, shows or keeps what arrives, and answers.

mod content;
mod datagrams;
mod output;

use crate::{
    args::{self, Limit, UsageError},
    identity::Shown,
    serve::Session,
    watching::Watching,
};
use content::Content;
use datagrams::Datagrams;
use output::{Client, Output, Showing};
use std::{
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tapline::{
    addr::{Endpoint, ListenAddr},
    answer::{self, Answer, Reply, Tap},
    datagram::DatagramServer,
    event::{By, ConnId, End, Event, Events},
    hello::{Recognised, Recogniser},
    server::{Conn, Handler},
    terminate::Terminator,
};
use tokio::time::sleep;

/// Accept connections and copy what arrives to stderr
///
/// Many clients at once; where several are connected, each line says whose it is. What a client speaks is named once in
/// a line of its own. Nothing is sent unless asked for, and stdin is never read. Control characters are escaped where
/// stderr is a terminal. No byte is dropped: where stderr, stdout or a disk is slow, the client is read more slowly. When
/// the reader of the bytes goes away (`| head`), listen ends.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline listen 4242", after_help = AFTER)]
#[command(mut_args(|arg| if is_of_tls(&arg) { arg.requires("tls") } else { arg }))]
pub struct Listen {
    /// Where to listen
    listen: ListenAddr,
    #[command(flatten)]
    showing: Showing,
    #[command(flatten)]
    answering: Answering,
    /// Receive datagrams (UDP): a session for each client address, which ends without one for --idle-timeout. --echo and
    /// --reply answer each datagram. What comes faster than it is shown is lost, and counted, as are the datagrams of more
    /// sessions than --max-connections
    #[arg(long, conflicts_with_all = ["greet", "tls", "accept_proxy", "proxy_header_timeout"], help_heading = "Serving")]
    udp: bool,
    /// Speak TLS: what is shown, kept and answered is the plaintext. The flags below belong to it
    #[arg(long, help_heading = "TLS")]
    tls: bool,
    #[command(flatten)]
    identity: args::Tls,
    #[command(flatten)]
    hello: args::Hello,
    /// Close a connection on which nothing passes for this long; noticed up to a quarter later ("off" for never)
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = args::limit, help_heading = "Serving")]
    idle_timeout: Limit,
    #[command(flatten)]
    serve: args::Serve,
}

/// What clients are sent.
#[derive(clap::Args)]
#[command(next_help_heading = "Answering")]
struct Answering {
    /// Send back what arrives
    #[arg(long)]
    echo: bool,
    /// Send this once, as soon as the client's first bytes (or its end) have come, then end this side and read on. A file is
    /// @FILE, /PATH, ./PATH or ../PATH; anything else is text, with \r \n \t \0 \e \xHH and \\
    #[arg(long, value_name = "FILE|TEXT", conflicts_with = "echo", allow_hyphen_values = true)]
    reply: Option<Content>,
    /// Send this as soon as a client is connected, as SSH and SMTP servers do, and go on; written as for --reply
    #[arg(long, value_name = "FILE|TEXT", allow_hyphen_values = true)]
    greet: Option<Content>,
}

/// Whether a flag says nothing without `--tls`.
fn is_of_tls(arg: &clap::Arg) -> bool {
    matches!(arg.get_help_heading(), Some("TLS" | "Reading the hello")) && arg.get_id() != "tls"
}

/// What is left of the 65,535 bytes of an IPv4 packet after its header and that of UDP.
const LONGEST_DATAGRAM: usize = 65_507;

const AFTER: &str = "\
Examples:
  tapline listen :9000 --hex
  tapline listen 8080 --reply 'HTTP/1.0 200 OK\\r\\n\\r\\nhello\\n'
  tapline listen 2525 --greet '220 mail.test ESMTP\\r\\n'
  tapline listen --udp 5140 --save datagrams
  tapline listen 8443 --tls --names www.a.test --save requests
  tapline listen 0 --connections 1 --output - | sha256sum";

impl Listen {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let answer = session.reading(move || self.answering.answer()).await?;
        self.showing.check(&self.serve, session.reporter.style())?;
        if self.udp {
            if let ListenAddr::Unix(_) = self.listen {
                return Err(UsageError(format!("--udp listens on HOST:PORT, not on {}", self.listen)).into());
            }
            if let Reply::Once(reply) = &answer.reply
                && reply.len() > LONGEST_DATAGRAM
            {
                return Err(UsageError(format!("--reply has {} bytes, and a datagram {LONGEST_DATAGRAM} at most", reply.len())).into());
            }
            let server = session.preparing(DatagramServer::bind(&self.listen)).await??;
            let output = session.preparing(self.showing.output(&session.reporter)).await??;
            let datagrams = Datagrams { answer, output, idle: self.idle_timeout.0 };
            return self.serve.run_datagrams(server, datagrams, session, |_| {}).await;
        }
        self.identity.watch.check(&self.serve, &session.reporter, &[("--output", self.showing.written())])?;
        let seeing = session.preparing(self.identity.watch.open()).await??;
        let keys = seeing.of_clients();
        let identity = move || self.tls.then(|| self.identity.terminator(self.hello.hello_timeout, keys)).transpose();
        let (terminator, mut shown) = session.reading(identity).await?.unzip();
        let server = self.serve.bind(&self.listen, session).await?.watched_by(seeing.wire());
        shown.as_mut().map_or(Ok(()), Shown::publish)?;
        let mut watching = Watching::default();
        let notes = session.preparing(seeing.start(&mut watching, &session.reporter)).await??;
        let output = session.preparing(self.showing.output(&session.reporter)).await??;
        let handler = Listened { terminator, answer, output, idle: self.idle_timeout.0 };
        let started = |addr: &Endpoint| {
            for note in &notes {
                session.reporter.note(note);
            }
            if let Some(shown) = &mut shown {
                shown.announce(addr, session);
            }
        };
        // `shown` owns the CA's file: it is there as long as the command runs.
        let served = self.serve.run(server, handler, session, started).await;
        watching.finish(served, session).await
    }
}

impl Answering {
    fn answer(&self) -> anyhow::Result<Answer> {
        let reply = match &self.reply {
            _ if self.echo => Reply::Echo,
            Some(content) => Reply::Once(content.load()?),
            None => Reply::Silence,
        };
        Ok(Answer { greeting: self.greet.as_ref().map(Content::load).transpose()?.unwrap_or_default(), reply })
    }
}

/// How long what was sent before the end was asked for may take to arrive.
const LAST_BYTES: Duration = Duration::from_millis(20);

struct Listened {
    terminator: Option<Terminator>,
    answer: Answer,
    output: Output,
    idle: Option<Duration>,
}

impl Handler for Listened {
    async fn handle(&self, mut conn: Conn) -> End {
        if let Some(terminator) = &self.terminator {
            conn = match terminator.accept(conn).await {
                Ok(conn) => conn,
                Err(end) => return end,
            };
        }
        let client = self.output.client(conn.id, &conn.peer, conn.client(), &conn.events);
        let heard = Heard { id: conn.id, events: conn.events.clone(), client, recogniser: Mutex::default() };
        let shutdown = conn.shutdown.clone();
        let ending = async {
            shutdown.draining().await;
            sleep(LAST_BYTES).await;
        };
        let end = answer::serve(conn, &self.answer, self.idle, ending, &heard).await;
        heard.recognised(Recogniser::end);
        match (end.by, end.failed) {
            (By::Timeout, false) => {
                let why = format!("closed after {:?} without a byte (--idle-timeout)", self.idle.unwrap_or_default());
                End { failed: false, ..End::failed(end.by, end.during, why) }
            }
            (By::Shutdown, false) => End { why: "closed".into(), ..end },
            _ => end,
        }
    }
}

/// One client, as it is heard.
struct Heard<'a> {
    id: ConnId,
    events: Events,
    client: Client<'a>,
    recogniser: Mutex<Recogniser>,
}

impl Heard<'_> {
    fn recognised(&self, by: impl FnOnce(&mut Recogniser) -> Option<Recognised>) {
        let what = by(&mut self.recogniser.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(what) = what {
            self.events.emit(Event::Recognised { id: self.id, what });
        }
    }
}

impl Tap for Heard<'_> {
    async fn received(&self, bytes: &[u8]) -> Result<(), End> {
        self.recognised(|recogniser| recogniser.take(bytes));
        self.client.received(bytes).await
    }

    async fn sent(&self, bytes: &[u8]) {
        self.client.sent(bytes).await;
    }

    fn is_done(&self) -> bool {
        matches!(self.client, Client::Nowhere) && self.recogniser.lock().unwrap_or_else(PoisonError::into_inner).is_done()
    }
}
