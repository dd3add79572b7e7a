//! The clients of the demo: reqwest, a few at a time, with progress.

use crate::report::Reporter;
use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Clients at a time.
const CLIENTS: usize = 8;
/// Time between two requests of a client, so that a person can watch.
const PACE: Duration = Duration::from_millis(50);

/// What happens to the backend that dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Before,
    Dead,
    After,
}

struct Answer {
    phase: Phase,
    /// The backend's name; none where the request failed.
    backend: Option<String>,
    elapsed: Duration,
}

/// Requests sent and what came of them.
pub struct Load {
    url: String,
    client: reqwest::Client,
    bar: ProgressBar,
    answers: Vec<Answer>,
}

impl Load {
    pub fn new(url: String, reporter: &Reporter, total: usize) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().context("cannot set up the client")?;
        let hidden = reporter.style().json || reporter.style().quiet;
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new(total as u64) };
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} requests").unwrap_or_else(|_| ProgressStyle::default_bar());
        Ok(Self { url, client, bar: reporter.bars.add(bar.with_style(style)), answers: Vec::new() })
    }

    /// Sends requests, a few at a time, and waits for all of their answers.
    pub async fn run(&mut self, phase: Phase, requests: usize) {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let share = requests / CLIENTS + usize::from(client < requests % CLIENTS);
            let (http, url, bar) = (self.client.clone(), self.url.clone(), self.bar.clone());
            clients.spawn(async move {
                let mut answers = Vec::with_capacity(share);
                for _ in 0..share {
                    let started = Instant::now();
                    let backend = ask(&http, &url).await;
                    answers.push(Answer { phase, backend, elapsed: started.elapsed() });
                    bar.inc(1);
                    tokio::time::sleep(PACE).await;
                }
                answers
            });
        }
        while let Some(answers) = clients.join_next().await {
            self.answers.extend(answers.unwrap_or_default());
        }
    }

    /// How many answers there are at any moment, also while more are on their way.
    pub fn progress(&self) -> impl Fn() -> usize + use<> {
        let bar = self.bar.clone();
        move || bar.position() as usize
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub fn answered(&self) -> usize {
        self.answers.len()
    }

    pub fn failed(&self) -> usize {
        self.answers.iter().filter(|answer| answer.backend.is_none()).count()
    }

    pub fn count(&self, name: &str, phase: Phase) -> usize {
        self.answers.iter().filter(|answer| answer.phase == phase && answer.backend.as_deref() == Some(name)).count()
    }

    /// How long a backend's answers took, in ascending order.
    pub fn latencies(&self, name: &str) -> Vec<Duration> {
        let mut times: Vec<_> =
            self.answers.iter().filter(|answer| answer.backend.as_deref() == Some(name)).map(|answer| answer.elapsed).collect();
        times.sort_unstable();
        times
    }
}

/// Asks once; the answer names the backend in its first line.
async fn ask(client: &reqwest::Client, url: &str) -> Option<String> {
    let text = client.get(url).send().await.ok()?.error_for_status().ok()?.text().await.ok()?;
    text.lines().next()?.strip_prefix("backend: ").map(str::to_owned)
}
