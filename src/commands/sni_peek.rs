//! `tapline sni-peek`: shows the ClientHello of each client.

mod datagrams;
mod decoded;
mod detail;
mod diff;
mod facts;
mod fields;
mod files;
mod listener;
mod origin;
mod output;
mod seen;
mod source;
mod then;
mod walk;

use crate::{
    args::{self, Given, UsageError},
    serve::Session,
};
use clap::{Arg, Args, Command, Id};
use listener::{Next, Shown};
use output::{Form, Output};
use source::{Source, Sources};
use std::{
    process::ExitCode,
    sync::{Arc, LazyLock},
};
use tapline::{
    addr::ListenAddr,
    balance::Policy,
    forward::{Forward, Settings},
    pool::Pool,
};
use then::Then;

/// Show the ClientHellos of clients, captures and files
///
/// Prints to stdout a line for each hello: server name (SNI), ALPN, versions, counts, size, fingerprint (JA4), and what is
/// rare. With an address it listens, and refuses each client by a TLS alert, or lets it go on (--then). With files or "-" for
/// stdin it reads captures (pcap, pcapng; TCP, QUIC, DTLS), live ones too, or hellos by themselves: TLS records, handshake
/// messages, datagrams, as bytes, in hexadecimal or base64; which of these shows in the bytes.
///
/// Exit status with files: 0 where a hello was shown, 1 where none was, 3 where one cannot be read. With --diff: 0 where
/// JA4 is the same, 1 where it differs.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline sni-peek 8443", after_help = AFTER, mut_args = onward_in_long_help)]
pub struct SniPeek {
    #[command(flatten)]
    given: Given,
    /// Where to listen; or files to read, "-" for stdin
    #[arg(required = true, value_name = "LISTEN|FILE")]
    sources: Vec<Source>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    listening: Listening,
}

/// What is only for files.
#[derive(clap::Args)]
#[command(next_help_heading = "Reading files")]
struct Reading {
    /// Also show captured connections that are not TLS
    #[arg(long, conflicts_with = "diff")]
    all: bool,
    /// Say why the fingerprints of two hellos differ: the first ones of two files, or the first two of one. What changes with
    /// every hello (random, GREASE, keys) makes no difference
    #[arg(long, conflicts_with_all = ["detail", "anatomy", "fields"])]
    diff: bool,
}

/// What is only for clients that connect.
#[derive(clap::Args)]
struct Listening {
    /// What comes then: "alert" (handshake_failure, for a bad hello decode_error; what is not TLS is closed), "close"
    /// (without a word), or a target that the connection goes on to, from its first byte on
    #[arg(long, value_name = "alert|close|TARGET", default_value = "alert", hide_default_value = true, help_heading = "Reading the hello")]
    then: Then,
    /// Receive datagrams (UDP), and show the hellos of QUIC (versions 1 and 2, drafts 29 to 32) and DTLS. By --then alert, a
    /// client of QUIC is refused by CONNECTION_CLOSE, or told of versions 1 and 2 where it speaks another
    #[arg(long, conflicts_with_all = ["accept_proxy", "proxy_header_timeout"], help_heading = "Serving")]
    udp: bool,
    #[command(flatten)]
    hello: args::Hello,
    #[command(flatten)]
    onward: Onward,
    #[command(flatten)]
    serve: args::Serve,
}

/// How connections go on to a target.
#[derive(clap::Args)]
struct Onward {
    #[command(flatten)]
    connect: args::Connect,
    #[command(flatten)]
    announce: args::Announce,
    #[command(flatten)]
    relay: args::Relay,
}

const AFTER: &str = "\
Examples:
  tapline sni-peek 8443 --connections 1
  tapline sni-peek 8443 --then www.example.test:443
  tapline sni-peek 0 --json --quiet -- curl -sk https://{addr}/ | jq .sni
  tcpdump -U -i any -w - | tapline sni-peek -             live
  tapline sni-peek all.pcapng --fields sni,alpn,ja4 | sort | uniq -c
  tapline sni-peek one.pcap --anatomy | less              byte by byte
  tapline sni-peek --diff old.pcap new.pcap               why the fingerprints differ";

/// The flags of what goes on are many, and few want them: `-h` leaves them to `--help`.
fn onward_in_long_help(argument: Arg) -> Arg {
    static ONWARD: LazyLock<Vec<Id>> = LazyLock::new(|| {
        let group = Onward::augment_args(Command::new("group"));
        group.get_arguments().map(|argument| argument.get_id().clone()).collect()
    });
    let onward = ONWARD.contains(argument.get_id());
    argument.hide_short_help(onward)
}

impl SniPeek {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let Self { given, sources, form, reading, listening } = self;
        let output = Output::new(session.reporter.clone(), form)?;
        match Sources::new(sources)? {
            Sources::Listen(listen) => match given.first_of::<Reading>() {
                Some(flag) => Err(UsageError(format!("{flag} is for files, and {listen} is an address")).into()),
                None => listening.run(&listen, &given, output, session).await,
            },
            Sources::Files(files) => match given.first_of::<Listening>() {
                Some(flag) => Err(UsageError(format!("{flag} is for clients that connect, and {} is a file", files[0])).into()),
                None if reading.diff => diff::run(&files, session).await,
                None => files::show(&files, reading.all, &output, session).await,
            },
        }
    }
}

impl Listening {
    async fn run(self, listen: &ListenAddr, given: &Given, output: Output, session: &Session) -> anyhow::Result<ExitCode> {
        let Self { then, udp, hello, onward: Onward { connect, announce, relay }, serve } = self;
        if let (Then::Alert | Then::Close, Some(flag)) = (&then, given.first_of::<Onward>()) {
            return Err(UsageError(format!("{flag} is for what goes on; say where to with --then TARGET")).into());
        }
        if udp {
            return datagrams::run(listen, &then, &hello, output, serve, session).await;
        }
        let events = session.reporter.events();
        let target = match &then {
            Then::Forward(target) => {
                let pool = Pool::new(std::slice::from_ref(target), Policy::default()).await?;
                Some((pool, session.reading(move || connect.dialer()).await?))
            }
            Then::Alert | Then::Close => None,
        };
        relay.faults.check_seed()?;
        let (server, relay, watching) = relay.bind(&serve, listen, session).await?;
        let pool = target.as_ref().map(|(pool, _)| pool.clone());
        let next = match target {
            Some((pool, dialer)) => {
                let settings = Arc::new(Settings::new(dialer, announce.version(), relay.clone()));
                Next::Forward(Forward { pool, settings })
            }
            None if then == Then::Close => Next::Close,
            None => Next::Alert,
        };
        let started = |_: &_| {
            if let Some(pool) = &pool {
                pool.announce(&events);
                relay.announce(&events);
            }
        };
        let shown = Shown { output, limit: hello.hello_timeout, next };
        let served = serve.run(server, shown, session, started).await;
        Pool::report(pool.as_slice(), &events);
        watching.finish(served, session).await
    }
}
