//! `tapline ctl`: the client of `--admin`.

mod client;

use crate::{
    args,
    report::{self, Look, Refused, Show, safe, span},
    serve::Session,
};
use client::Client;
use serde::Serialize;
use std::{process::ExitCode, time::Duration};
use tapline::{
    addr::{MOST_WEIGHT, Target},
    control::{Last, Listed, State},
};

/// Look at the targets of a running command, and change them
///
/// The command was started with --admin ADDR. Each change is said there in one line, with who asked for it; what a command does by
/// HTTP is in docs/admin.md.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline ctl unix:/run/lb.sock drain h1:80 --deadline 30s", after_help = AFTER, disable_help_subcommand = true)]
pub struct Ctl {
    /// Where its --admin listens: unix:/PATH, PORT or HOST:PORT
    #[arg(value_name = "ADMIN", value_parser = admin)]
    admin: Target,
    #[command(subcommand)]
    action: Action,
}

const AFTER: &str = "\
Examples:
  tapline lb4 :80 h1:80 h2:80 --admin unix:/run/lb.sock
  tapline ctl unix:/run/lb.sock list
  tapline ctl unix:/run/lb.sock drain h1:80 --deadline 30s --wait
  tapline ctl unix:/run/lb.sock add h3:80,weight=2
  tapline ctl unix:/run/lb.sock list --json | jq -r 'select(.state != \"up\").target'";

#[derive(clap::Subcommand)]
enum Action {
    /// Show the targets, how they stand, and what they have come to
    List {
        #[command(flatten)]
        pool: InPool,
    },
    /// Send no new connections to a target; those that it has go on
    ///
    /// Clients that stick to it (--hash) go to others meanwhile.
    Drain {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        end: Ending,
    },
    /// Send new connections again to a target that was drained or ejected
    Ready {
        #[command(flatten)]
        of: Of,
    },
    /// Give a target another share of the traffic, until its source gives it other options
    Weight {
        #[command(flatten)]
        of: Of,
        /// Its weight, from 1 to 1000; to send nothing there, drain it
        #[arg(value_parser = clap::value_parser!(u32).range(1..=MOST_WEIGHT.into()))]
        weight: u32,
    },
    /// Add a target, with its options as on the command line
    Add {
        /// The target: h5:80,weight=2
        target: String,
        #[command(flatten)]
        pool: InPool,
    },
    /// Take a target out; its connections go on
    ///
    /// It comes back when it is added, or when its source (a file, a name) has not listed it for a time and lists it again.
    Remove {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        end: Ending,
    },
}

#[derive(clap::Args)]
struct InPool {
    /// Of this pool alone: the rule's name (sni-route), or the command's
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
}

#[derive(clap::Args)]
struct Of {
    /// The target, as the list shows it
    target: String,
    #[command(flatten)]
    pool: InPool,
}

#[derive(clap::Args)]
struct Ending {
    /// Reset the connections that are left after this time
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    deadline: Option<Duration>,
    /// Wait until it has no connection left
    #[arg(long)]
    wait: bool,
}

/// How often it is looked whether a connection is left.
const LOOK: Duration = Duration::from_millis(200);

impl Ctl {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.admin)?;
        let listed = session.preparing(self.action.done(&client)).await??;
        let answer = Answer { targets: listed, look: session.reporter.style().stdout };
        // Whoever closed stdout does not want to know.
        let _ = if session.reporter.style().json { answer.lines(session).await } else { session.reporter.result(&answer).await };
        Ok(ExitCode::SUCCESS)
    }
}

impl Action {
    /// Does it, and says how those stand then to whom it was done.
    async fn done(&self, client: &Client) -> anyhow::Result<Vec<Listed>> {
        match self {
            Self::List { pool } => client.list(pool.pool.as_deref()).await,
            Self::Drain { of, end } => {
                let done = client.drain(&of.target, of.pool.pool.as_deref(), end.deadline).await?;
                end.wait(client, of, done).await
            }
            Self::Ready { of } => client.ready(&of.target, of.pool.pool.as_deref()).await,
            Self::Weight { of, weight } => client.weigh(&of.target, of.pool.pool.as_deref(), *weight).await,
            Self::Add { target, pool } => client.add(target, pool.pool.as_deref()).await,
            Self::Remove { of, end } => {
                let done = client.remove(&of.target, of.pool.pool.as_deref(), end.deadline).await?;
                end.wait(client, of, done).await
            }
        }
    }
}

impl Ending {
    /// Waits, where that was asked for, until those have no connection left to whom it was `done`.
    async fn wait(&self, client: &Client, of: &Of, mut done: Vec<Listed>) -> anyhow::Result<Vec<Listed>> {
        while self.wait && done.iter().any(|listed| listed.open > 0) {
            tokio::time::sleep(LOOK).await;
            let all = client.list(of.pool.pool.as_deref()).await?;
            for listed in &mut done {
                let now = all.iter().find(|now| now.target == listed.target && now.pool == listed.pool);
                *listed = match now {
                    Some(now) if now.open == 0 || matches!(now.state, State::Draining | State::Removed) => now.clone(),
                    // Somebody else has made it ready.
                    Some(now) => return Err(Refused(format!("{} is {} again", now.target, now.state)).into()),
                    // Gone with its last connection.
                    None => Listed { open: 0, ..listed.clone() },
                };
            }
        }
        Ok(done)
    }
}

fn admin(text: &str) -> Result<Target, String> {
    match text.parse().map_err(|error: tapline::addr::AddrError| error.to_string())? {
        target @ (Target::Tcp(_) | Target::Unix(_)) => Ok(target),
        _ => Err("write unix:/PATH, PORT or HOST:PORT".into()),
    }
}

/// The targets, for people as a table.
#[derive(Serialize)]
struct Answer {
    targets: Vec<Listed>,
    #[serde(skip)]
    look: Look,
}

/// One target, for programs.
#[derive(Serialize)]
#[serde(tag = "event", rename = "listed")]
struct Line {
    #[serde(flatten)]
    listed: Listed,
}

impl Show for Line {
    fn line(&self) -> String {
        safe(&self.listed.target)
    }
}

impl Answer {
    async fn lines(self, session: &Session) -> Result<(), report::Closed> {
        for listed in self.targets {
            session.reporter.result(&Line { listed }).await?;
        }
        Ok(())
    }
}

impl Show for Answer {
    fn line(&self) -> String {
        let mut pools: Vec<_> = self.targets.iter().map(|listed| &listed.pool).collect();
        pools.dedup();
        let several = pools.len() > 1;
        let header = ["target", "state", "weight", "open", "connections", "failed", "broken", "in", "out", "source", "last failure"];
        let mut table = report::table(self.look, &[if several { &["pool"][..] } else { &[] }, &header].concat());
        for listed in &self.targets {
            let cells = [
                safe(&listed.target),
                state(listed),
                listed.weight.to_string(),
                listed.max.map_or_else(|| listed.open.to_string(), |max| format!("{}/{max}", listed.open)),
                listed.connections.to_string(),
                listed.failed.to_string(),
                listed.broken.to_string(),
                report::bytes(listed.received),
                report::bytes(listed.sent),
                safe(listed.source.as_deref().unwrap_or("-")),
                listed.last.as_ref().map_or("-".into(), last),
            ];
            table.add_row(several.then(|| safe(&listed.pool)).into_iter().chain(cells));
        }
        report::text(&table).trim_end().to_owned()
    }
}

/// The state, and for how long where that is known.
fn state(listed: &Listed) -> String {
    let backup = if listed.backup { " backup" } else { "" };
    let left =
        |before: &str, millis: Option<u64>| millis.map_or(String::new(), |left| format!("{before}{}", span(Duration::from_millis(left))));
    format!("{}{backup}{}{}", listed.state, left(" for ", listed.ejected_for_ms), left(", reset in ", listed.reset_in_ms))
}

fn last(Last { why, ago_ms }: &Last) -> String {
    format!("{} ({} ago)", safe(why), span(Duration::from_millis(*ago_ms)))
}
