//! `tapline sni-route`: routes TLS by the name in its hello, without decrypting.

use crate::{
    args::{self, UsageError},
    serve::Session,
};
use std::{io, process::ExitCode, time::Duration};
use tapline::{
    addr::{ListenAddr, TargetSpec},
    event::{By, End, Event, Phase},
    forward::Forward,
    hello::{Greeting, Name},
    peek::{self, Alert},
    pool::{Policy, Pool},
    route::{Rule, Table},
    server::{Conn, Handler},
};

/// Route TLS by server name (SNI), without decrypting
///
/// An exact name wins over *.parent, which stands for exactly one label; the order of the rules never matters. An
/// unknown name, no name, and what is not TLS each have a route of their own, and are refused where it is not given:
/// TLS with the alert unrecognized_name (112), anything else by closing. A malformed or late hello is always refused.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline sni-route 8443 a.test=127.0.0.1:9443 '*.b.test=9444'", after_help = AFTER)]
pub struct SniRoute {
    /// Where to listen
    listen: ListenAddr,
    /// Rules; several targets for a name are taken in turn
    #[arg(required = true, value_name = "NAME=TARGET[,TARGET...]")]
    rules: Vec<Rule>,
    /// For names that no rule has [default: refuse]
    #[arg(long, value_name = "TARGET", help_heading = "Routing")]
    unknown_name: Option<TargetSpec>,
    /// For hellos without a name [default: refuse]
    #[arg(long, value_name = "TARGET", help_heading = "Routing")]
    no_name: Option<TargetSpec>,
    /// For clients that do not speak TLS [default: refuse]
    #[arg(long, value_name = "TARGET", help_heading = "Routing")]
    not_tls: Option<TargetSpec>,
    #[command(flatten)]
    hello: args::Hello,
    #[command(flatten)]
    connect: args::Connect,
    #[command(flatten)]
    announce: args::Announce,
    #[command(flatten)]
    relay: args::Relay,
    #[command(flatten)]
    serve: args::Serve,
}

const AFTER: &str = "\
Examples:
  tapline sni-route :443 'www.a.test=web1:443,web2:443' '*.a.test=apps:443'
  tapline sni-route 8443 a.test=9443 --not-tls 127.0.0.1:80 --unknown-name 127.0.0.1:9000";

impl SniRoute {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let events = session.reporter.events();
        let mut rules = Vec::new();
        for rule in self.rules {
            rules.push((rule.pattern, Pool::new(&rule.targets, Policy::RoundRobin).await?));
        }
        let mut pools: Vec<Pool> = rules.iter().map(|(_, pool)| pool.clone()).collect();
        let table = Table::new(rules).map_err(|error| UsageError(error.to_string()))?;
        let (unknown_name, no_name, not_tls) = (fixed(self.unknown_name).await?, fixed(self.no_name).await?, fixed(self.not_tls).await?);
        pools.extend([&unknown_name, &no_name, &not_tls].into_iter().flatten().cloned());
        let dialer = session.reading(move || self.connect.dialer()).await?;
        let announce = self.announce.version();

        let (server, relay, watching) = self.relay.bind(&self.serve, &self.listen, session).await?;
        let forward = |pool| Forward { pool, dialer: dialer.clone(), announce, relay: relay.clone() };
        let router = Router {
            table: table.map(forward),
            unknown_name: unknown_name.map(forward),
            no_name: no_name.map(forward),
            not_tls: not_tls.map(forward),
            limit: self.hello.hello_timeout,
        };
        let started = |_: &_| {
            for pool in &pools {
                pool.announce(&events);
            }
            relay.announce(&events);
        };
        let served = self.serve.run(server, router, session, started).await;
        Pool::report(&pools, &events);
        watching.finish(served, session).await
    }
}

/// A pool of one, where a target is given.
async fn fixed(target: Option<TargetSpec>) -> io::Result<Option<Pool>> {
    match target {
        Some(target) => Pool::new(&[target], Policy::default()).await.map(Some),
        None => Ok(None),
    }
}

struct Router {
    table: Table<Forward>,
    unknown_name: Option<Forward>,
    no_name: Option<Forward>,
    not_tls: Option<Forward>,
    limit: Duration,
}

impl Handler for Router {
    async fn handle(&self, mut conn: Conn) -> End {
        let greeting = match peek::greeting(&mut conn.stream, self.limit, &conn.progress).await {
            Ok(greeting) => greeting.sound(),
            Err(end) => return end,
        };
        let (name, rule, forward, refusal) = match greeting {
            Greeting::Tls(hello) => {
                conn.authority.clone_from(&hello.authority);
                match &hello.name {
                    Name::Absent => (None, "no name".to_owned(), self.no_name.as_ref(), Some(Alert::UnrecognizedName)),
                    name => match name.dns().and_then(|name| self.table.find(name)) {
                        Some((pattern, forward)) => (name.text(), pattern.to_string(), Some(forward), None),
                        None => (name.text(), "unknown name".to_owned(), self.unknown_name.as_ref(), Some(Alert::UnrecognizedName)),
                    },
                }
            }
            Greeting::NotTls(protocol) => (None, format!("not TLS but {protocol}"), self.not_tls.as_ref(), None),
            Greeting::Malformed(malformed) => {
                peek::refuse(conn.stream, Alert::DecodeError).await;
                return End::failed(By::Client, Phase::Hello, malformed);
            }
        };
        let target =
            forward.map(|forward| forward.pool.backends().iter().map(|backend| backend.label.as_ref()).collect::<Vec<_>>().join(","));
        conn.events.emit(Event::Routed { id: conn.id, name: name.clone(), rule: rule.clone(), target });
        if let Some(forward) = forward {
            return forward.run(&mut conn).await;
        }
        match refusal {
            Some(alert) => peek::refuse(conn.stream, alert).await,
            None => peek::close(conn.stream).await,
        }
        let what = name.map_or(rule.clone(), |name| format!("{rule} {name}"));
        End::failed(By::Rule, Phase::Hello, format!("no route: {what}"))
    }
}
