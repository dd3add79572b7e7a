//! Figures for Prometheus, in its text format (OpenMetrics 1.0). Connections are counted when they end; everything else is read when
//! somebody asks. `docs/metrics.md` has the names, which stay.

mod text;

use crate::{
    connections::Connections,
    control::Pools,
    event::{By, End, Event, Events, PHASES, Phase, Sink},
    histogram::Histogram,
    page::{Answer, Answering, Asked},
};
use hyper::Method;
use prometheus_client::registry::Registry;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// What a scraper is told that it gets (OpenMetrics 1.0, section "Protocol Negotiation").
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Those who end connections, in the order of the counters.
const BY: [By; 7] = [By::Client, By::Target, By::Timeout, By::Rule, By::Fault, By::Shutdown, By::Local];
/// Classes of HTTP statuses, from 1xx on.
const CLASSES: usize = 5;

/// What has happened in this process.
#[derive(Debug, Default)]
pub struct Counts {
    accepted: AtomicU64,
    accept_failed: AtomicU64,
    /// By who, during what, and whether it failed.
    ended: [[[AtomicU64; 2]; PHASES.len()]; BY.len()],
    received: AtomicU64,
    sent: AtomicU64,
    lasted: Histogram,
    /// By the class of the status.
    requests: [AtomicU64; CLASSES],
    requested: Histogram,
}

impl Counts {
    /// Takes an event into account.
    fn count(&self, event: &Event) {
        match event {
            Event::Opened { .. } => {
                self.accepted.fetch_add(1, Relaxed);
            }
            Event::AcceptFailed { .. } => {
                self.accept_failed.fetch_add(1, Relaxed);
            }
            Event::Closed { end, received, sent, elapsed, .. } => {
                self.ended(end).fetch_add(1, Relaxed);
                self.received.fetch_add(*received, Relaxed);
                self.sent.fetch_add(*sent, Relaxed);
                self.lasted.add(*elapsed);
            }
            Event::Request { status, elapsed, .. } => {
                if let Some(class) = usize::from(*status / 100).checked_sub(1).and_then(|class| self.requests.get(class)) {
                    class.fetch_add(1, Relaxed);
                }
                self.requested.add(*elapsed);
            }
            _ => {}
        }
    }

    fn ended(&self, end: &End) -> &AtomicU64 {
        let by = BY.iter().position(|by| *by == end.by).unwrap_or_default();
        &self.ended[by][end.during as usize][usize::from(end.failed)]
    }

    /// Connections that have not ended.
    fn open(&self) -> u64 {
        let ended = self.ended.as_flattened().as_flattened().iter().map(|count| count.load(Relaxed)).sum();
        // The two are not read at one time.
        self.accepted.load(Relaxed).saturating_sub(ended)
    }

    /// How many connections ended so, of those that did at all.
    fn endings(&self) -> impl Iterator<Item = (By, Phase, bool, u64)> {
        let each = BY.iter().zip(&self.ended).flat_map(|(by, phases)| {
            PHASES.iter().zip(phases).flat_map(move |(during, both)| {
                [false, true].into_iter().zip(both).map(move |(failed, count)| (*by, *during, failed, count.load(Relaxed)))
            })
        });
        each.filter(|(.., count)| *count > 0)
    }
}

/// Counts events on their way.
#[derive(Clone)]
pub struct Counting {
    /// Where they go on to.
    pub events: Events,
    /// What counts them.
    pub counts: Arc<Counts>,
}

impl Sink for Counting {
    fn emit(&self, event: Event) {
        self.counts.count(&event);
        self.events.emit(event);
    }
}

/// What only the program around the core knows of itself.
pub trait Program: Send + Sync + 'static {
    /// Events that were lost because nobody read them fast enough.
    fn dropped_events(&self) -> u64;
    /// How many connections there may be at a time, once that is known.
    fn most_connections(&self) -> Option<u64>;
}

/// Answers `GET /metrics`.
pub struct Metrics(Arc<Registry>);

impl Metrics {
    /// Figures of a command, whose open connections are these.
    #[must_use]
    pub fn new(command: &'static str, pools: Arc<dyn Pools>, connections: Connections, counts: Arc<Counts>, program: impl Program) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Figures { command, pools, connections, counts, program: Box::new(program) }));
        Self(Arc::new(registry))
    }
}

impl Answering for Metrics {
    async fn answer(&self, asked: Asked) -> Answer {
        if asked.path != "/metrics" {
            return Answer::not_found(&asked.path);
        }
        if ![Method::GET, Method::HEAD].contains(&asked.method) {
            return Answer::not_allowed(&asked.method, "GET");
        }
        let registry = self.0.clone();
        // Of thousands of targets it takes a while, and this thread accepts clients.
        let encode = move || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).map(|()| text)
        };
        match tokio::task::spawn_blocking(encode).await {
            Ok(Ok(text)) => Answer::text(KIND, text),
            Ok(Err(error)) => Answer::failed(&error),
            Err(error) => Answer::failed(&error),
        }
    }
}

/// Everything that is told.
struct Figures {
    command: &'static str,
    pools: Arc<dyn Pools>,
    connections: Connections,
    counts: Arc<Counts>,
    program: Box<dyn Program>,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").field("command", &self.command).finish_non_exhaustive()
    }
}
