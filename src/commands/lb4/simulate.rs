//! `--simulate`: what policies make of some targets, without a socket.

use crate::{
    args::{Choosing, UsageError},
    report::{self, Closed, Reporter, Show, safe},
};
use comfy_table::{Cell, CellAlignment};
use serde::Serialize;
use std::{collections::HashSet, fmt::Write, process::ExitCode, str::FromStr, sync::Arc};
use tapline::{
    addr::{AddrError, TargetSpec},
    balance::{
        Policy, Settings,
        simulate::{Outcome, Simulated, simulate},
    },
    random::new_seed,
};

/// Clients of one simulation at most: each takes a few bytes.
const MOST: u64 = 100_000_000;

/// What is asked without a socket.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Simulating")]
pub struct Simulating {
    /// Say what N clients, each with a key of its own, would come to, and open no socket; LISTEN is left out, and a TARGET, of which there are two at least, may be any
    /// name. All policies, unless one is given
    ///
    /// The clients come one after the other. A connection lasts for an exponentially distributed time, so that about 10 for each target are open. max/mean is what
    /// the target that has most for its weight has, relative to its due.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST))]
    pub simulate: Option<u64>,
    /// Take this target away, and say which part of the keys has another target then; "due" is the part that must
    #[arg(long, value_name = "TARGET", requires = "simulate")]
    remove: Vec<String>,
    /// Add this target, likewise
    #[arg(long, value_name = "TARGET", requires = "simulate")]
    add: Vec<String>,
    /// Draw the shares as bars
    #[arg(long, requires = "simulate")]
    plot: bool,
}

/// A text, and what it means, if it means something: a simulation needs names alone.
#[derive(Clone, Debug)]
pub struct Written<T> {
    text: String,
    read: Result<T, AddrError>,
}

impl<T: FromStr<Err = AddrError>> FromStr for Written<T> {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { text: text.to_owned(), read: text.parse() })
    }
}

impl<T> Written<T> {
    /// What it means, where it must mean something.
    pub fn meant(self, what: &str) -> Result<T, UsageError> {
        self.read.map_err(|error| UsageError(format!("invalid value for {what}: {error}")))
    }

    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A target for its name alone: options are those of a target.
fn simulated(text: &str) -> Result<Simulated, UsageError> {
    let (name, options) = text.split_once(',').map_or((text, ""), |(name, options)| (name, options));
    if name.is_empty() || name.contains('=') {
        return Err(UsageError(format!("{text:?} is no target; write a NAME, with options behind it (h1,weight=3)")));
    }
    // Read as one that could be sent to.
    let options = if options.is_empty() { "1".to_owned() } else { format!("1,{options}") };
    let spec: TargetSpec = options.parse().map_err(|error: AddrError| UsageError(error.to_string()))?;
    if spec.backup {
        return Err(UsageError(format!("{text:?}: a backup gets nothing while the others are well; leave it out of a simulation")));
    }
    Ok(Simulated { name: name.into(), weight: spec.weight, most: spec.most })
}

impl Simulating {
    /// Says it all on stdout.
    pub async fn run(
        self,
        clients: u64,
        targets: &[String],
        choosing: &Choosing,
        policy: Option<Policy>,
        seed: Option<u64>,
        reporter: &Reporter,
    ) -> anyhow::Result<ExitCode> {
        let before = targets.iter().map(|text| simulated(text)).collect::<Result<Vec<_>, _>>()?;
        let added = self.add.iter().map(|text| simulated(text)).collect::<Result<Vec<_>, _>>()?;
        let mut known = HashSet::new();
        if let Some(twice) = before.iter().chain(&added).find(|target| !known.insert(&target.name)) {
            return Err(UsageError(format!("{} is there twice; a name decides which keys a target has", twice.name)).into());
        }
        if let Some(none) = self.remove.iter().find(|name| !before.iter().any(|target| *target.name == ***name)) {
            return Err(UsageError(format!("--remove {none}: there is no such target")).into());
        }
        let kept = before.iter().filter(|target| !self.remove.iter().any(|name| *target.name == **name));
        let after: Vec<_> = kept.chain(&added).cloned().collect();
        if after.is_empty() {
            return Err(UsageError("--remove leaves no target".into()).into());
        }
        let changes = after != before;
        let policies = policy.map_or(Policy::ALL.to_vec(), |policy| vec![policy]);
        let seed = seed.unwrap_or_else(new_seed);
        let bound = choosing.bound();
        let all = tokio::task::spawn_blocking(move || {
            let of = |policy: Policy| Settings { seed, most_percent: bound.filter(|_| policy == Policy::Ring), ..policy.into() };
            policies.into_iter().map(|policy| simulate(&of(policy), clients, &before, changes.then_some(&after))).collect::<Vec<_>>()
        });
        let all = all.await?;
        // A reader that has gone wants no more of it.
        let _: Result<(), Closed> = self.say(&all, seed, reporter).await;
        Ok(ExitCode::SUCCESS)
    }

    async fn say(&self, all: &[Outcome], seed: u64, reporter: &Reporter) -> Result<(), Closed> {
        if reporter.style().json {
            for outcome in all {
                reporter.result(&Simulation { outcome, removed: &self.remove, added: &self.add, seed }).await?;
            }
            return Ok(());
        }
        let text = if self.plot { plot(all, report::width(reporter.style().stdout)) } else { table(all, reporter) };
        reporter.to_stdout(text.into_bytes()).await
    }
}

/// A policy's figures as a result.
#[derive(Serialize)]
#[serde(tag = "event", rename = "simulation")]
struct Simulation<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    removed: &'a [String],
    added: &'a [String],
    seed: u64,
}

impl Show for Simulation<'_> {
    fn line(&self) -> String {
        plot(std::slice::from_ref(self.outcome), None)
    }
}

fn percent(value: f64) -> String {
    format!("{value:.2} %")
}

/// A column for each policy, a row for each target, and what it comes to.
fn table(all: &[Outcome], reporter: &Reporter) -> String {
    let names: Vec<_> = all.iter().map(|outcome| outcome.policy.to_string()).collect();
    let header: Vec<_> = std::iter::once("target").chain(names.iter().map(String::as_str)).collect();
    let mut table = report::table(reporter.style().stdout, &header);
    let mut row = |name: String, cell: &dyn Fn(&Outcome) -> String| {
        let cells = all.iter().map(|outcome| Cell::new(cell(outcome)).set_alignment(CellAlignment::Right));
        table.add_row(std::iter::once(Cell::new(name)).chain(cells));
    };
    let targets: Vec<Arc<str>> = all.first().map(|one| one.targets.iter().map(|share| share.target.clone()).collect()).unwrap_or_default();
    for (at, target) in targets.iter().enumerate() {
        row(safe(target), &|outcome| outcome.targets.get(at).map_or_else(String::new, |share| percent(share.share_percent)));
    }
    row("max/mean".into(), &|outcome| outcome.max_over_mean.map_or("-".into(), |over| format!("{over:.3}")));
    if all.iter().any(|outcome| outcome.unplaced > 0) {
        row("no room".into(), &|outcome| percent(outcome.unplaced as f64 * 100.0 / outcome.picks as f64));
    }
    if all.iter().any(|outcome| outcome.moved.is_some()) {
        row("keys moved".into(), &|outcome| outcome.moved.as_ref().map_or("no keys".into(), |moved| percent(moved.percent)));
        row("due".into(), &|outcome| outcome.moved.as_ref().map_or("-".into(), |moved| percent(moved.least_percent)));
    }
    report::text(&table)
}

/// A bar for each target of each policy.
fn plot(all: &[Outcome], width: Option<usize>) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let mut text = String::new();
    let names = all.iter().flat_map(|outcome| &outcome.targets).map(|share| safe(&share.target).chars().count());
    let name_width = names.max().unwrap_or_default();
    let bar_width = width.unwrap_or(80).saturating_sub(name_width + 12).max(10);
    for outcome in all {
        let _ = write!(text, "{}", outcome.policy);
        if let Some(over) = outcome.max_over_mean {
            let _ = write!(text, ": max/mean {over:.3}");
        }
        if let Some(moved) = &outcome.moved {
            let _ = write!(text, ", keys moved {} (due {})", percent(moved.percent), percent(moved.least_percent));
        }
        text.push('\n');
        let most = outcome.targets.iter().map(|share| share.share_percent).fold(0.0, f64::max);
        for share in &outcome.targets {
            let eighths = if most > 0.0 { (share.share_percent / most * (bar_width * 8) as f64).round() as usize } else { 0 };
            let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
            let _ = writeln!(text, "  {:name_width$} {:>8} {bar}", safe(&share.target), percent(share.share_percent));
        }
    }
    text
}
