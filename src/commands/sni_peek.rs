//! `tapline sni-peek`: shows the ClientHello of each client.

use crate::{
    args,
    report::{Reporter, Show, safe},
    serve::Session,
};
use serde::Serialize;
use std::{process::ExitCode, time::Duration};
use tapline::{
    addr::{Endpoint, ListenAddr},
    event::{By, ConnId, End, Phase},
    hello::{ClientHello, Greeting, Protocol},
    peek::{self, Alert},
    server::{Conn, Handler},
};

/// Show the ClientHello of each TLS client
///
/// Prints to stdout the name, protocols, versions, number of ciphers, size and number of records of each hello, then
/// sends a TLS alert (handshake_failure) and closes. What is not TLS is named as what it is.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline sni-peek 8443", after_help = AFTER)]
pub struct SniPeek {
    /// Where to listen
    listen: ListenAddr,
    #[command(flatten)]
    hello: args::Hello,
    #[command(flatten)]
    serve: args::Serve,
}

const AFTER: &str = "\
Examples:
  tapline sni-peek 8443 --connections 1
  tapline sni-peek 0 --json --quiet -- curl -sk https://{addr}/ | jq .sni";

impl SniPeek {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let handler = Shown { reporter: session.reporter.clone(), limit: self.hello.hello_timeout };
        let server = self.serve.bind(&self.listen, session).await?;
        self.serve.run(server, handler, session, |_| {}).await
    }
}

struct Shown {
    reporter: Reporter,
    limit: Duration,
}

impl Handler for Shown {
    async fn handle(&self, mut conn: Conn) -> End {
        let greeting = match peek::greeting(&mut conn.stream, self.limit, &conn.progress).await {
            Ok(greeting) => greeting.sound(),
            Err(end) => return end,
        };
        let client = conn.client().clone();
        let (seen, end) = match greeting {
            Greeting::Tls(hello) => {
                (Seen::hello(conn.id, conn.peer, client, &hello), End { why: "shown".into(), ..End::done(By::Rule, Phase::Hello) })
            }
            Greeting::NotTls(protocol) => {
                let end = End::failed(By::Client, Phase::Hello, format!("not TLS but {protocol}"));
                (Seen::NotTls { id: conn.id, peer: conn.peer, client, protocol }, end)
            }
            Greeting::Malformed(malformed) => {
                let end = End::failed(By::Client, Phase::Hello, &malformed);
                (Seen::BadHello { id: conn.id, peer: conn.peer, client, what: malformed.what, offset: malformed.offset }, end)
            }
        };
        let tls = !matches!(seen, Seen::NotTls { .. });
        let alert = if end.failed { Alert::DecodeError } else { Alert::HandshakeFailure };
        if self.reporter.result(&seen).await.is_err() {
            return End::done(By::Shutdown, Phase::Hello);
        }
        if tls {
            peek::refuse(conn.stream, alert).await;
        } else {
            peek::close(conn.stream).await;
        }
        end
    }
}

/// One client's first words.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Seen {
    Hello {
        id: ConnId,
        peer: Endpoint,
        client: Endpoint,
        sni: Option<String>,
        alpn: Vec<String>,
        versions: Vec<String>,
        ciphers: usize,
        extensions: usize,
        size: usize,
        records: usize,
    },
    NotTls {
        id: ConnId,
        peer: Endpoint,
        client: Endpoint,
        protocol: Protocol,
    },
    BadHello {
        id: ConnId,
        peer: Endpoint,
        client: Endpoint,
        what: &'static str,
        offset: usize,
    },
}

impl Seen {
    fn hello(id: ConnId, peer: Endpoint, client: Endpoint, hello: &ClientHello) -> Self {
        Self::Hello {
            id,
            peer,
            client,
            sni: hello.name.text(),
            alpn: hello.alpn_text(),
            versions: hello.version_text(),
            ciphers: hello.ciphers(),
            extensions: hello.extensions.len(),
            size: hello.size(),
            records: hello.records(),
        }
    }
}

impl Show for Seen {
    fn line(&self) -> String {
        let list = |all: &[String]| if all.is_empty() { "-".to_owned() } else { safe(&all.join(",")) };
        match self {
            Self::Hello { client, sni, alpn, versions, ciphers, extensions, size, records, .. } => format!(
                "{} sni={} alpn={} versions={} ciphers={ciphers} extensions={extensions} size={size} records={records}",
                safe(&client.to_string()),
                sni.as_deref().map_or("-".into(), safe),
                list(alpn),
                list(versions)
            ),
            Self::NotTls { client, protocol, .. } => format!("{} not TLS but {protocol}", safe(&client.to_string())),
            Self::BadHello { client, what, offset, .. } => format!("{} bad hello: {what} at byte {offset}", safe(&client.to_string())),
        }
    }
}
