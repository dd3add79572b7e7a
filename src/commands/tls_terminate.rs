//! `tapline tls-terminate`: decrypts TLS and forwards plaintext.

use crate::{
    args,
    serve::{Session, connectable},
};
use anyhow::Context;
use std::{io::Write, process::ExitCode, time::Duration};
use tapline::{
    addr::{Endpoint, ListenAddr, TargetSpec},
    event::{By, End, Event, Phase, cause_words},
    forward::Forward,
    hello::{Greeting, Protocol},
    peek::{self, Alert},
    pool::{Policy, Pool},
    server::{Conn, Handler},
    tls::{Identity, ServerTls},
};
use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt, time::timeout};

/// Decrypt TLS and forward plaintext
///
/// Without --cert and --key a certificate is made in memory, and the line for curl is printed. The ends are kept apart:
/// close_notify becomes FIN and FIN becomes close_notify, but a stream that was cut is reset on the other side.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline tls-terminate 8443 127.0.0.1:8080", after_help = AFTER)]
pub struct TlsTerminate {
    /// Where to listen
    listen: ListenAddr,
    /// Where to send
    target: TargetSpec,
    #[command(flatten)]
    tls: args::Tls,
    #[command(flatten)]
    hello: args::Hello,
    #[command(flatten)]
    connect: args::Connect,
    #[command(flatten)]
    relay: args::Relay,
    #[command(flatten)]
    serve: args::Serve,
}

const AFTER: &str = "\
Examples:
  tapline tls-terminate :443 127.0.0.1:8080 --cert chain.pem --key key.pem
  tapline tls-terminate 8443 builtin:http --name www.a.test";

impl TlsTerminate {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let (identity, made) = identity(&self.tls)?;
        let pool = Pool::new(&[self.target], Policy::default()).await?;
        let handler = Terminated {
            tls: ServerTls::new(&identity)?,
            hello_timeout: self.hello.hello_timeout,
            handshake_timeout: self.tls.handshake_timeout,
            forward: Forward { pool: pool.clone(), dialer: self.connect.dialer()?, timeouts: self.relay.into() },
        };
        let events = session.reporter.events();
        let started = |addr: &Endpoint| {
            pool.announce(&events);
            if let Some(made) = &made {
                events.emit(made.event(addr));
            }
        };
        // `made` owns the CA's file: it is there as long as the command runs.
        self.serve.run(&self.listen, handler, session, started).await
    }
}

/// A certificate made in memory, and the file with what clients need to trust it.
struct Made {
    names: Vec<String>,
    ca: NamedTempFile,
}

fn identity(tls: &args::Tls) -> anyhow::Result<(Identity, Option<Made>)> {
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        return Ok((Identity::load(cert, key)?, None));
    }
    let names = if tls.name.is_empty() { ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec() } else { tls.name.clone() };
    let minted = Identity::mint(&names)?;
    let mut ca =
        tempfile::Builder::new().prefix("tapline-ca-").suffix(".pem").tempfile().context("cannot make a file for the CA's certificate")?;
    ca.write_all(minted.ca_pem.as_bytes()).with_context(|| format!("cannot write {}", ca.path().display()))?;
    Ok((minted.identity, Some(Made { names, ca })))
}

impl Made {
    fn event(&self, addr: &Endpoint) -> Event {
        let ca = self.ca.path().display().to_string();
        // A wildcard is a name for certificates only; any one label fits it.
        let name = self.names[0].replacen('*', "www", 1);
        let try_with = match connectable(addr) {
            Endpoint::Unix(path) => {
                format!("curl --cacert {ca} --unix-socket {} https://{name}/", path.unwrap_or_default().display())
            }
            Endpoint::Tcp(addr) if self.names.contains(&addr.ip().to_string()) => format!("curl --cacert {ca} https://{addr}/"),
            // The name may lead elsewhere, or nowhere: the address is given with it.
            Endpoint::Tcp(addr) => format!("curl --cacert {ca} --connect-to ::{addr} https://{name}:{}/", addr.port()),
        };
        Event::Certificate { names: self.names.clone(), ca, try_with }
    }
}

struct Terminated {
    tls: ServerTls,
    hello_timeout: Duration,
    handshake_timeout: Duration,
    forward: Forward,
}

impl Handler for Terminated {
    async fn handle(&self, mut conn: Conn) -> End {
        match peek::greeting(&mut conn.stream, self.hello_timeout, &conn.progress).await {
            Ok(Greeting::Tls(_)) => {}
            Ok(Greeting::NotTls(protocol)) => return not_tls(conn, protocol).await,
            Ok(Greeting::Malformed(malformed)) => {
                peek::refuse(conn.stream, Alert::DecodeError).await;
                return End::failed(By::Client, Phase::Hello, malformed);
            }
            Err(end) => return end,
        }
        conn.progress.enter(Phase::Handshake);
        match timeout(self.handshake_timeout, self.tls.accept(conn.stream)).await {
            Ok(Ok(stream)) => conn.stream = stream,
            Ok(Err((error, stream))) => {
                // The alert is written; it must not be overtaken by a reset.
                peek::close(stream).await;
                return End::failed(By::Client, Phase::Handshake, cause_words(&error));
            }
            Err(_) => return End::timeout(Phase::Handshake, self.handshake_timeout),
        }
        if let Some(session) = conn.stream.tls_session() {
            let (name, version, cipher, resumed) = (session.name, session.version, session.cipher, session.resumed);
            conn.events.emit(Event::Handshake { id: conn.id, name, version, cipher, resumed });
        }
        self.forward.run(conn).await
    }
}

/// Tells a browser that came without TLS what to do; anyone else is closed on.
async fn not_tls(mut conn: Conn, protocol: Protocol) -> End {
    if protocol == Protocol::Http {
        const ANSWER: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 38\r\nConnection: close\r\n\r\nthis port speaks TLS: try https://...\n";
        conn.stream.take_head();
        // A client that is gone needs no answer.
        let _ = timeout(Duration::from_secs(1), conn.stream.write_all(ANSWER.as_bytes())).await;
    }
    peek::close(conn.stream).await;
    End::failed(By::Client, Phase::Hello, format!("not TLS but {protocol}"))
}
