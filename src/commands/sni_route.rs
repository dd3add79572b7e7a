//! `tapline sni-route`: routes TLS by the name in its hello, and HTTP by its Host, without decrypting.

mod offline;
mod router;

use crate::{
    args::{self, UsageError},
    serve::Session,
};
use offline::Question;
use router::{Otherwise, Router, Way};
use std::{io, process::ExitCode, sync::Arc};
use tapline::{
    addr::{Endpoint, ListenAddr, Target, TargetSpec},
    control::Pools,
    dial::{Chosen, Dialer, Options, Reach},
    forward::{Forward, Settings},
    pool::{self, Pool},
    route::{Coalescing, Destination, Rule, Scheme, Table, coalescing, fixed_target},
    routes::{ARGUMENTS, Entry, Forwards, Kept, Known, Live},
    starttls::Starttls,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Route TLS by SNI and HTTP by Host, without decrypting
///
/// A name is a.test, *.a.test (exactly one label more), **.a.test (one or more), .a.test (the name and all beneath) or **
/// (every name). The exact name wins, then the longest; the order of the rules never matters. NAME/ALPN is for clients that
/// offer a protocol (a.test/acme-tls/1), tls://NAME and http://NAME for one of the two. TARGET may be passthrough:443, the
/// name itself. An unknown name, no name, what is neither TLS nor HTTP, and a malformed or late hello each have a route of
/// their own, and are refused where it is not given: TLS by an alert (112 unrecognized_name, 50 decode_error), HTTP by a
/// status (421, 400, 408), anything else by closing. Of HTTP the first request alone decides: the whole connection goes to
/// its target.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline sni-route 8443 a.test=127.0.0.1:9443 '*.b.test=9444'", after_help = AFTER)]
pub struct SniRoute {
    /// Where to listen
    listen: ListenAddr,
    /// Rules; a name may have several targets
    #[arg(required_unless_present = "routes", value_name = "NAME=TARGET[,TARGET...]")]
    rules: Vec<Rule>,
    #[command(flatten)]
    routes: args::Routes,
    #[command(flatten)]
    routing: Routing,
    #[command(flatten)]
    hello: args::Hello,
    #[command(flatten)]
    balance: args::Balance,
    #[command(flatten)]
    places: args::Places,
    #[command(flatten)]
    failover: args::Failover,
    #[command(flatten)]
    control: args::Control,
    #[command(flatten)]
    connect: args::Connect,
    #[command(flatten)]
    announce: args::Announce,
    #[command(flatten)]
    relay: args::Relay,
    #[command(flatten)]
    top: args::Top,
    #[command(flatten)]
    serve: args::Serve,
}

/// Who goes where.
#[derive(clap::Args)]
#[command(next_help_heading = "Routing")]
struct Routing {
    /// For names that no rule has [default: refuse]
    #[arg(long, value_name = "TARGET", value_parser = fixed_target)]
    unknown_name: Option<TargetSpec>,
    /// For hellos and requests without a name; HTTP/2 without TLS has none that can be read [default: refuse]
    #[arg(long, value_name = "TARGET", value_parser = fixed_target)]
    no_name: Option<TargetSpec>,
    /// For clients that speak neither TLS nor HTTP [default: refuse]
    #[arg(long, value_name = "TARGET", value_parser = fixed_target)]
    not_tls: Option<TargetSpec>,
    /// For hellos and requests that are malformed, broken off or late, also of clients that wait for the server to speak
    /// first; all that was read is sent on [default: refuse]
    #[arg(long, value_name = "TARGET", value_parser = fixed_target)]
    bad_hello: Option<TargetSpec>,
    /// Let passthrough reach addresses that are not public: loopback, private, link-local and the like
    #[arg(long)]
    allow_private: bool,
    /// Speak postgres or smtp with clients and targets until TLS begins; HTTP is not looked for
    ///
    /// All of it comes within --hello-timeout. A client of PostgreSQL that begins with TLS is sent on as it is; one that
    /// asks for no TLS speaks no TLS. SMTP clients get nothing but STARTTLS.
    #[arg(long, value_name = "PROTOCOL", hide_possible_values = true)]
    starttls: Option<args::StarttlsName>,
    /// Say which rule each NAME would get and why, and open no socket but to redis; NAME may be NAME/ALPN[,ALPN...] or http://NAME. Exit 1
    /// if one of them has no route
    #[arg(long, value_name = "NAME", num_args = 1..)]
    test: Vec<Question>,
}

const AFTER: &str = "\
Examples:
  tapline sni-route :443 'www.a.test=web1:443,web2:443' '*.a.test=apps:443'
  tapline sni-route :80 a.test=web:80 http://b.test=other:80 --bad-hello 127.0.0.1:22
  tapline sni-route 8443 '*.a.test=9443' a.test/acme-tls/1=9444 --test www.a.test a.test/acme-tls/1
  tapline sni-route 5432 'db.a.test=pg1:5432' --starttls postgres
  tapline sni-route :443 --routes /etc/tapline/routes --routes redis://:secret@redis.test/1";

impl SniRoute {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let events = session.reporter.events();
        let starttls = self.routing.starttls.map(Starttls::from);
        self.check(starttls)?;
        let mut seeing =
            self.top.open(&self.serve, &[("--hex", self.relay.watch.shows_bytes()), ("--test", !self.routing.test.is_empty())], session)?;
        let connect = self.connect;
        let dialer = session.reading(move || connect.dialer()).await?;
        let follow = self.routes.follow(session, &events);
        let fits = Box::new(move |rule: &Rule| fits(rule, starttls));
        let loaded = self.routes.load(self.rules, &dialer, fits, session).await?;
        let live = loaded.live().clone();
        if !self.routing.test.is_empty() {
            return offline::answer(&self.routing, &live, &session.reporter).await;
        }
        let shared = live.look(|table| coalescing(table.iter()));
        let pooling = self.balance.pool(self.places, self.relay.faults.seed, &self.serve, args::Known::Name)?;
        let fixed = [self.routing.unknown_name, self.routing.no_name, self.routing.not_tls, self.routing.bad_hello];
        let mut others = Vec::new();
        for target in fixed {
            others.push(one(target, pooling).await?);
        }
        let fixed: Vec<Pool> = others.iter().flatten().cloned().collect();
        let flags = ["--unknown-name", "--no-name", "--not-tls", "--bad-hello"];
        let named = flags.iter().zip(&others).filter_map(|(flag, pool)| Some(((*flag).into(), pool.clone()?))).collect();
        let pools = AllPools { live: live.clone(), fixed: named };
        let shown = pools.clone();
        let announce = self.announce.version();

        let (server, relay, watching) = self.relay.bind(&self.serve, &self.listen, session).await?;
        // Known from here on: whatever is dialed for a client never comes back.
        let own = server.addr().socket_addr();
        let reaching = |chosen| Dialer { options: Options { reach: Reach { own, chosen }, ..dialer.options }, ..dialer.clone() };
        let chosen = if self.routing.allow_private { Chosen::Any } else { Chosen::Public };
        let settings = Arc::new(self.failover.settings(reaching(None), announce, relay, self.relay.faults.seed, session.reporter.style()));
        let through = Arc::new(Settings { dialer: reaching(Some(chosen)), ..(*settings).clone() });
        let forward = |pool| Way::Targets(Arc::new(Forward { pool, settings: settings.clone() }));
        let mut others = others.into_iter().map(|pool| pool.map(forward));
        let mut other = || others.next().flatten();
        let otherwise = Otherwise { unknown_name: other(), no_name: other(), not_tls: other(), bad_hello: other() };
        let forwards = Arc::new(Forwards {
            settings: settings.clone(),
            pool: pooling,
            checks: self.balance.health.checks(None, announce)?,
            checks_one: self.balance.health.checks_one(),
            controlled: self.control.is_controlled(),
            shutdown: session.shutdown.clone(),
            events: events.clone(),
            runtime: Handle::current(),
            known: Known::default(),
        });
        prepare(&forwards, &live).await?;
        self.control.bind("sni-route", pools, true, session).await?;
        let router = Router {
            live: live.clone(),
            forwards: forwards.clone(),
            otherwise,
            through,
            limit: self.hello.hello_timeout,
            starttls,
            told: !session.reporter.style().quiet && (session.reporter.style().json || session.reporter.style().explain),
        };
        let started = |addr: &Endpoint| {
            forwards.begin_all(&live);
            for pool in &fixed {
                forwards.begin_pool(pool, CancellationToken::new());
            }
            settings.relay.announce(&events);
            if let Some(Coalescing { one, other, rules }) = shared {
                session.reporter.note(format!(
                    "{rules} rules share a parent domain with one for another target, as {one} and {other}: where one certificate serves \
                     both, browsers may ask for one over an HTTP/2 connection to the other; give each a certificate, or answer 421"
                ));
            }
            loaded.follow(follow);
            seeing.start("sni-route", addr, shown, session);
        };
        let served = Box::pin(self.serve.run(server, router, session, started)).await;
        seeing.finish();
        forwards.report(&live, &fixed);
        watching.finish(served, session).await
    }

    /// Whether the arguments make sense together.
    fn check(&self, starttls: Option<Starttls>) -> Result<(), UsageError> {
        let Routing { unknown_name, no_name, not_tls, bad_hello, .. } = &self.routing;
        let fixed = [unknown_name, no_name, not_tls, bad_hello].into_iter().flatten();
        let all = self.rules.iter().map(|rule| fits(rule, starttls)).chain(fixed.map(|spec| speaks(spec, starttls)));
        all.collect::<Result<(), String>>().map_err(UsageError)
    }
}

/// Whether a rule makes sense where another protocol comes before TLS, or why not.
fn fits(rule: &Rule, starttls: Option<Starttls>) -> Result<(), String> {
    if starttls.is_some() && rule.matcher.scheme == Some(Scheme::Http) {
        return Err(format!("{} never fits: HTTP is not looked for with --starttls", rule.matcher));
    }
    match &rule.to {
        Destination::Targets(targets) => targets.iter().try_for_each(|spec| speaks(spec, starttls)),
        Destination::Passthrough(_) => Ok(()),
    }
}

fn speaks(spec: &TargetSpec, starttls: Option<Starttls>) -> Result<(), String> {
    match (&spec.target, starttls) {
        (Target::Tls(_), Some(starttls)) => {
            Err(format!("{} is spoken to in TLS from the first byte on, and cannot speak {starttls} before", spec.target))
        }
        _ => Ok(()),
    }
}

/// The pools of the rules, and those for who fits none.
#[derive(Clone)]
struct AllPools {
    live: Live<Kept>,
    fixed: Vec<(Arc<str>, Pool)>,
}

impl Pools for AllPools {
    fn pools(&self) -> Vec<(Arc<str>, Pool)> {
        let mut pools = Forwards::pools(&self.live);
        pools.extend(self.fixed.iter().cloned());
        pools
    }
}

/// Makes the pools of the rules that are arguments, which serve somebody from the start.
async fn prepare(forwards: &Forwards, live: &Live<Kept>) -> io::Result<()> {
    let entries = |table: &Table<Arc<Entry<Kept>>>| -> Vec<_> {
        table.iter().map(|found| found.to()).filter(|entry| entry.source == ARGUMENTS).cloned().collect()
    };
    for entry in live.look(entries) {
        if let Destination::Targets(targets) = &entry.rule.to {
            forwards.prepare(&entry, targets).await?;
        }
    }
    Ok(())
}

/// A pool of one, where a target is given.
async fn one(target: Option<TargetSpec>, settings: pool::Settings) -> io::Result<Option<Pool>> {
    match target {
        Some(target) => Pool::new(&[target], settings).await.map(Some),
        None => Ok(None),
    }
}
