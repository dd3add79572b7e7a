//! `tapline scan`: finds open, closed and filtered ports.

use crate::{
    args::{self, UsageError},
    report::{self, Reporter, Show, span},
    serve::{Session, exit},
};
use comfy_table::{Cell, CellAlignment, Color};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::IpAddr,
    num::NonZeroUsize,
    process::ExitCode,
    time::{Duration, Instant},
};
use tapline::{
    descriptors,
    scan::{self, Hosts, HostsError, Ports, State, Verdict},
};

/// Find open, closed and filtered ports
///
/// Connects to every port of every host. Refused is closed, silence is filtered, and what this machine could not ask is
/// an error, never closed. Exit status 0: something is open; 1: nothing; 3: not completed.
#[derive(clap::Args)]
#[command(before_help = "Example: tapline scan 127.0.0.1 -p 1-65535", after_help = AFTER)]
pub struct Scan {
    /// Hosts: addresses, networks (192.0.2.0/24), names (all of their addresses)
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,
    /// Ports: 22,80,8000-8100; 8000- is up to 65535, - is all
    #[arg(long, short, value_name = "PORTS", default_value = "1-1024", allow_hyphen_values = true, help_heading = "Scanning")]
    ports: Ports,
    /// Also show ports that are closed, filtered or could not be asked
    #[arg(long, help_heading = "Scanning")]
    all: bool,
    /// Probes at a time; less where the limit on open files is lower
    #[arg(long, value_name = "N", default_value = "1000", help_heading = "Scanning")]
    concurrency: NonZeroUsize,
    /// For one probe; below 1s a single lost packet hides a port
    #[arg(long, value_name = "TIME", default_value = "1500ms", value_parser = args::duration, help_heading = "Scanning")]
    connect_timeout: Duration,
    /// Ask ports that do not answer so many times more
    #[arg(long, value_name = "N", default_value = "1", help_heading = "Scanning")]
    retries: u32,
}

/// So many reasons why ports could not be asked are told.
const MOST_REASONS: usize = 3;

const AFTER: &str = "\
Examples:
  tapline scan 192.0.2.0/28 -p 22,80,443
  tapline scan localhost -p 5432 --quiet && psql
  tapline scan 127.0.0.1 -p - --json | jq -r .port";

impl Scan {
    pub async fn run(self, session: &Session) -> anyhow::Result<ExitCode> {
        let Session { reporter, shutdown, .. } = session;
        let hosts = session.preparing(Hosts::resolve(&self.hosts)).await?.map_err(|error| match error {
            HostsError::Unresolved(_) => anyhow::Error::new(error),
            _ => UsageError(error.to_string()).into(),
        })?;
        for (written, meant) in &hosts.host_bits {
            reporter.note(format!("{written} has host bits; scanning {meant}"));
        }
        let connections = |limit| descriptors::connections_within(limit, NonZeroUsize::MIN);
        let within = descriptors::raise().map_or(usize::MAX, |limit| connections(limit).saturating_mul(2));
        let concurrency = NonZeroUsize::new(self.concurrency.get().min(within)).unwrap_or(NonZeroUsize::MIN);
        let scan = scan::Scan { hosts, ports: self.ports, concurrency, timeout: self.connect_timeout, retries: self.retries };
        let total = scan.total();
        let bar = bar(reporter, total);
        let started = Instant::now();
        let mut verdicts = scan.run(shutdown);
        let mut found = Found { all: self.all, json: reporter.style().json, ..Found::default() };
        loop {
            let verdict = tokio::select! {
                verdict = verdicts.recv() => verdict,
                _ = reporter.unread() => return Ok(ExitCode::SUCCESS),
            };
            let Some(verdict) = verdict else { break };
            bar.inc(1);
            tokio::select! {
                taken = found.take(verdict, reporter) => {
                    if taken.is_err() {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
                // Where stdout is not read, the signals end what waits for it.
                () = session.hurried() => break,
            }
        }
        bar.finish_and_clear();
        if !found.json && !found.rows.is_empty() && reporter.to_stdout(table(&mut found.rows, reporter).into_bytes()).await.is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        let asked = found.counts.values().sum::<u64>();
        let summary = found.summary(total - asked, started.elapsed());
        anyhow::ensure!(asked == total && !found.counts.contains_key(&State::Error), "not completed: {summary}");
        reporter.note(summary);
        Ok(ExitCode::from(if found.counts.contains_key(&State::Open) { 0 } else { exit::NO }))
    }
}

fn bar(reporter: &Reporter, total: u64) -> ProgressBar {
    // Hidden by indicatif where stderr is no terminal.
    let bar = if reporter.style().json || reporter.style().quiet { ProgressBar::hidden() } else { ProgressBar::new(total) };
    let style =
        ProgressStyle::with_template("{wide_bar} {pos}/{len} ports, {rate}, {eta} left").unwrap_or_else(|_| ProgressStyle::default_bar());
    // indicatif's own rate has four decimals.
    let style = style.with_key("rate", |state: &ProgressState, text: &mut dyn Write| _ = write!(text, "{:.0}/s", state.per_sec()));
    reporter.bars.add(bar.with_style(style))
}

#[derive(Default)]
struct Found {
    all: bool,
    json: bool,
    rows: Vec<Verdict>,
    counts: BTreeMap<State, u64>,
    errors: BTreeSet<String>,
}

impl Found {
    /// Counts a verdict, and shows or keeps it.
    async fn take(&mut self, verdict: Verdict, reporter: &Reporter) -> Result<(), crate::report::Closed> {
        *self.counts.entry(verdict.state).or_default() += 1;
        if verdict.state == State::Error {
            self.errors.insert(format!("{}: {}", verdict.addr.ip(), verdict.reason));
        }
        if verdict.state != State::Open && !self.all {
            return Ok(());
        }
        if self.json {
            return reporter.result(&Port::from(&verdict)).await;
        }
        self.rows.push(verdict);
        Ok(())
    }

    fn summary(&self, left: u64, elapsed: Duration) -> String {
        let count = |state| self.counts.get(&state).copied().unwrap_or_default();
        let mut parts: Vec<_> = [State::Open, State::Closed, State::Filtered].map(|state| format!("{} {state}", count(state))).into();
        if let not_asked @ 1.. = count(State::Error) {
            let reasons: Vec<_> = self.errors.iter().take(MOST_REASONS).map(String::as_str).collect();
            let more = if self.errors.len() > MOST_REASONS { "; ..." } else { "" };
            parts.push(format!("{not_asked} not asked ({}{more})", reasons.join("; ")));
        }
        parts.extend((left > 0).then(|| format!("{left} left when it was interrupted")));
        format!("{} in {}", parts.join(", "), span(elapsed))
    }
}

fn table(rows: &mut [Verdict], reporter: &Reporter) -> String {
    rows.sort_by_key(|verdict| (verdict.addr.ip(), verdict.addr.port()));
    let mut table = report::table(reporter.style().stdout, &["host", "port", "state", "reason", "time"]);
    for verdict in rows {
        let state = Cell::new(verdict.state);
        let state = match verdict.state {
            _ if !reporter.style().stdout.color => state,
            State::Open => state.fg(Color::Green),
            State::Closed => state,
            State::Filtered => state.fg(Color::Yellow),
            State::Error => state.fg(Color::Red),
        };
        let port = Cell::new(format!("{}/tcp", verdict.addr.port())).set_alignment(CellAlignment::Right);
        table.add_row([Cell::new(verdict.addr.ip()), port, state, Cell::new(&verdict.reason), Cell::new(span(verdict.elapsed))]);
    }
    report::text(&table)
}

/// A port as a result.
#[derive(Serialize)]
#[serde(tag = "event", rename = "port", rename_all = "snake_case")]
struct Port<'a> {
    addr: IpAddr,
    port: u16,
    state: State,
    reason: &'a str,
    elapsed_ms: f64,
}

impl<'a> From<&'a Verdict> for Port<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        let elapsed_ms = (verdict.elapsed.as_secs_f64() * 1e6).round() / 1e3;
        Self { addr: verdict.addr.ip(), port: verdict.addr.port(), state: verdict.state, reason: &verdict.reason, elapsed_ms }
    }
}

impl Show for Port<'_> {
    fn line(&self) -> String {
        format!("{} {}/tcp {} {}", self.addr, self.port, self.state, self.reason)
    }
}
