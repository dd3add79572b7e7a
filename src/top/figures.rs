//! What the view shows: the figures of targets and connections, and from one reading to the next how they change.

use super::keys::{ByConnection, ByTarget, Keys};
use crate::report::{self, Line, safe};
use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};
use tapline::{
    addr::Endpoint,
    connections::{Connections, Open},
    control::{Pools, State},
    pool::{BackendId, Pool, Seen},
    process::Usage,
};

/// Rates and times are of so long before.
pub const WINDOW: Duration = Duration::from_secs(3);
/// How often it is looked which pools there are.
const LOOK_UP: Duration = Duration::from_secs(5);
/// Connections that are shown; of more, the first in the order that was chosen.
pub const MOST_CONNECTIONS: usize = 1000;

/// All that is shown. Untrusted text in it is escaped already.
#[derive(Debug, Default)]
pub struct View {
    pub command: &'static str,
    pub addr: String,
    /// How long it has been shown.
    pub up: Duration,
    /// Connections that are open now.
    pub open: usize,
    /// Those that there were, the open ones among them.
    pub opened: u64,
    pub opened_rate: f64,
    /// Those that failed.
    pub failed: u64,
    /// Of all targets together, in bytes a second.
    pub sent_rate: f64,
    pub received_rate: f64,
    /// Of one CPU, in the time of the window.
    pub cpu: Option<f64>,
    /// Bytes in memory.
    pub resident: Option<u64>,
    /// How many targets there are, and how many of them may be chosen now.
    pub all: usize,
    pub eligible: usize,
    /// Whether each of them takes connections, as far as is known.
    pub well: bool,
    pub targets: Vec<Row>,
    /// The first of them.
    pub connections: Vec<Connection>,
    /// How many fit the filter.
    pub fitting: usize,
    pub said: Vec<Line>,
}

/// A target.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub state: State,
    /// Whether it is for when no other one may be chosen.
    pub backup: bool,
    pub weight: u32,
    pub open: usize,
    /// Connections that it took, over the whole run.
    pub taken: u64,
    /// In a second.
    pub rate: f64,
    /// Bytes in a second, to it and from it.
    pub sent_rate: f64,
    pub received_rate: f64,
    pub sent: u64,
    pub received: u64,
    /// Connections that it did not take or broke off.
    pub errors: u64,
    /// How long connecting takes: the median, and what 99 of 100 stay below.
    pub connecting: Option<(Duration, Duration)>,
    /// Why it failed last, and how long ago.
    pub last: Option<(String, Duration)>,
}

/// A connection that is open.
#[derive(Clone, Debug)]
pub struct Connection {
    pub id: u64,
    pub client: String,
    pub target: String,
    pub phase: &'static str,
    pub age: Duration,
    /// Bytes from the client and to it.
    pub received: u64,
    pub sent: u64,
}

type Key = (Arc<str>, BackendId);

/// All figures at one time.
struct Sample {
    at: Instant,
    seen: HashMap<Key, Seen>,
    /// Targets that may be chosen.
    eligible: usize,
    opened: u64,
    usage: Usage,
}

/// Reads figures, and remembers those of a short time.
pub struct Sampler {
    command: &'static str,
    addr: String,
    pools: Box<dyn Pools>,
    known: Vec<(Arc<str>, Pool)>,
    /// When the pools were looked up.
    looked_up: Option<Instant>,
    connections: Connections,
    since: Instant,
    samples: VecDeque<Sample>,
    /// The targets in the order in which they were given.
    order: Vec<Key>,
    open: Vec<Arc<Open>>,
}

impl Sampler {
    pub fn new(command: &'static str, addr: &Endpoint, pools: impl Pools, connections: Connections) -> Self {
        Self {
            command,
            addr: safe(&addr.to_string()),
            pools: Box::new(pools),
            known: Vec::new(),
            looked_up: None,
            connections,
            since: Instant::now(),
            samples: VecDeque::new(),
            order: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Reads all figures.
    pub fn sample(&mut self, at: Instant) {
        self.connections.count();
        self.open = self.connections.open();
        // To look for the pools of very many rules takes a while.
        if self.looked_up.is_none_or(|then| at.duration_since(then) >= LOOK_UP) {
            (self.known, self.looked_up) = (self.pools.pools(), Some(at));
        }
        self.order.clear();
        let mut seen = HashMap::new();
        let eligible = self.known.iter().map(|(_, pool)| pool.eligible()).sum();
        for (name, pool) in &self.known {
            for backend in pool.backends() {
                let key = (name.clone(), backend.id);
                self.order.push(key.clone());
                seen.insert(key, backend.seen());
            }
        }
        self.samples.push_back(Sample { at, seen, eligible, opened: self.connections.opened(), usage: Usage::now() });
        // One that is as old as the window stays: what has changed since then is shown.
        while self.samples.get(1).is_some_and(|second| at.duration_since(second.at) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// What is to be shown of what was read last.
    pub fn view(&self, keys: &Keys, said: Vec<Line>) -> View {
        let base = View { command: self.command, addr: self.addr.clone(), said, ..View::default() };
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else { return base };
        let fits = |texts: &[&str]| keys.filter.is_empty() || texts.iter().any(|text| text.contains(&keys.filter));
        let mut targets: Vec<_> = self.order.iter().filter_map(|key| self.row(key, last)).collect();
        let (all, well) = (targets.len(), targets.iter().all(|row| matches!(row.state, State::Up)));
        let sum = |of: fn(&Row) -> f64| targets.iter().map(of).sum();
        let (sent_rate, received_rate) = (sum(|row| row.sent_rate), sum(|row| row.received_rate));
        targets.retain(|row| fits(&[&row.name]));
        arrange(&mut targets, keys.targets.order);
        let (fitting, connections) = self.connections(keys, last.at, fits);
        let elapsed = last.at.duration_since(first.at).as_secs_f64();
        let cpu = first.usage.cpu_seconds.zip(last.usage.cpu_seconds).filter(|_| elapsed > 0.0);
        View {
            up: last.at.duration_since(self.since),
            open: self.open.len(),
            opened: last.opened,
            opened_rate: rate(first.opened, last.opened, elapsed),
            failed: self.connections.failed(),
            sent_rate,
            received_rate,
            cpu: cpu.map(|(before, now)| (now - before) / elapsed),
            resident: last.usage.resident,
            all,
            eligible: last.eligible,
            well,
            targets,
            connections,
            fitting,
            ..base
        }
    }

    fn row(&self, key: &Key, last: &Sample) -> Option<Row> {
        let now = last.seen.get(key)?;
        // Who has just come is compared with how it came.
        let (at, before) = self.samples.iter().find_map(|sample| Some((sample.at, sample.seen.get(key)?)))?;
        let elapsed = last.at.duration_since(at).as_secs_f64();
        let recently = now.connecting.since(&before.connecting);
        let connecting = if recently.count() > 0 { &recently } else { &now.connecting };
        Some(Row {
            name: safe(&if self.known.len() > 1 { format!("{} -> {}", key.0, now.label) } else { now.label.to_string() }),
            state: State::of(&now.standing),
            backup: now.standing.backup,
            weight: now.standing.weight.get(),
            open: now.open,
            taken: now.connections,
            rate: rate(before.connections, now.connections, elapsed),
            sent_rate: rate(before.sent, now.sent, elapsed),
            received_rate: rate(before.received, now.received, elapsed),
            sent: now.sent,
            received: now.received,
            errors: now.failed + now.broken,
            connecting: connecting.quantile(0.5).zip(connecting.quantile(0.99)),
            last: now.last.as_ref().map(|cause| (safe(&cause.why), last.at.saturating_duration_since(cause.at))),
        })
    }

    /// How many fit the filter, and the first of them.
    fn connections(&self, keys: &Keys, now: Instant, fits: impl Fn(&[&str]) -> bool) -> (usize, Vec<Connection>) {
        let target = |open: &Open| open.progress.target().unwrap_or_default();
        let mut all: Vec<_> =
            self.open.iter().filter(|open| keys.filter.is_empty() || fits(&[&open.client().to_string(), &target(open)])).collect();
        match keys.connections.order {
            ByConnection::Newest => all.sort_unstable_by_key(|open| Reverse(open.id.0)),
            ByConnection::Oldest => all.sort_unstable_by_key(|open| open.id.0),
            ByConnection::Bytes => all.sort_by_cached_key(|open| (Reverse(open.traffic.total()), open.id.0)),
            ByConnection::Client => all.sort_by_cached_key(|open| (open.client().to_string(), open.id.0)),
            ByConnection::Target => all.sort_by_cached_key(|open| (target(open), open.id.0)),
        }
        let shown = all.iter().take(MOST_CONNECTIONS).map(|open| Connection {
            id: open.id.0,
            client: safe(&open.client().to_string()),
            target: safe(&target(open)),
            phase: report::phase(open.progress.phase()),
            age: now.saturating_duration_since(open.since),
            received: open.traffic.received(),
            sent: open.traffic.sent(),
        });
        (all.len(), shown.collect())
    }
}

fn rate(before: u64, now: u64, elapsed: f64) -> f64 {
    if elapsed > 0.0 { now.saturating_sub(before) as f64 / elapsed } else { 0.0 }
}

/// Equals stay in the order in which they were given.
fn arrange(targets: &mut [Row], order: ByTarget) {
    let most_first = |of: fn(&Row) -> f64, targets: &mut [Row]| targets.sort_by(|a, b| of(b).total_cmp(&of(a)));
    match order {
        ByTarget::Given => {}
        ByTarget::Name => targets.sort_by(|a, b| a.name.cmp(&b.name)),
        ByTarget::Open => targets.sort_by_key(|row| Reverse(row.open)),
        ByTarget::Rate => most_first(|row| row.rate, targets),
        ByTarget::Traffic => most_first(|row| row.sent_rate + row.received_rate, targets),
        ByTarget::Errors => targets.sort_by_key(|row| Reverse(row.errors)),
        ByTarget::Connecting => targets.sort_by_key(|row| Reverse(row.connecting.map(|(_, slow)| slow))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tapline::{addr::TargetSpec, balance::Policy, event::Traffic, pool::Lease};

    fn named(pools: &[(&str, &Pool)]) -> Vec<(Arc<str>, Pool)> {
        pools.iter().map(|(name, pool)| ((*name).into(), (*pool).clone())).collect()
    }

    #[tokio::test]
    async fn rates_are_of_the_window_and_of_open_connections_too() {
        let pool = Pool::new(&TargetSpec::list("b:1,a:1,weight=3").unwrap(), Policy::default()).await.unwrap();
        let mut sampler =
            Sampler::new("lb4", &Endpoint::tcp(([127, 0, 0, 1], 80).into()), named(&[("lb4", &pool)]), Connections::default());
        let start = Instant::now();
        sampler.sample(start);
        let backend = pool.backends()[0].clone();
        let traffic = Arc::new(Traffic::default());
        let leases: Vec<_> = (0..6).map(|_| Lease::new(backend.clone()).taken(&traffic, Duration::from_millis(2))).collect();
        traffic.add_sent(3000);
        backend.passed(&traffic);
        backend.broke("reset\x1b[2J");
        sampler.sample(start + WINDOW);
        let view = sampler.view(&Keys::default(), Vec::new());
        let row = &view.targets[0];
        assert_eq!((row.name.as_str(), row.open, row.taken, row.errors, view.all, view.eligible, view.well), ("b:1", 6, 6, 1, 2, 2, true));
        assert!((row.rate - 2.0).abs() < 1e-6 && (row.sent_rate - 1000.0).abs() < 1e-6 && row.received_rate.abs() < 1e-6);
        assert!((view.sent_rate - 1000.0).abs() < 1e-6);
        assert_eq!(row.last.as_ref().unwrap().0, r"reset\u{1b}[2J");
        // Nothing happens for as long as the window is.
        sampler.sample(start + 2 * WINDOW);
        assert!(sampler.view(&Keys::default(), Vec::new()).targets[0].rate.abs() < 1e-6);
        drop(leases);
        let mut keys = Keys::default();
        keys.targets.order = ByTarget::Name;
        assert_eq!(sampler.view(&keys, Vec::new()).targets[0].name, "a:1");
        keys.filter = "b".into();
        let view = sampler.view(&keys, Vec::new());
        assert_eq!((view.targets.len(), view.all), (1, 2));
    }

    #[tokio::test]
    async fn targets_of_several_pools_are_told_apart_and_their_states_shown() {
        let of = async |text: &str| Pool::new(&TargetSpec::list(text).unwrap(), Policy::default()).await.unwrap();
        let (one, two) = (of("h:1,x:1,backup").await, of("h:1").await);
        one.stand(&one.backends()[0], |standing| standing.up = false);
        two.stand(&two.backends()[0], |standing| standing.draining = true);
        let pools = named(&[("a.test", &one), ("b.test", &two)]);
        let mut sampler = Sampler::new("sni-route", &Endpoint::tcp(([127, 0, 0, 1], 80).into()), pools, Connections::default());
        sampler.sample(Instant::now());
        let view = sampler.view(&Keys::default(), Vec::new());
        let rows: Vec<_> = view.targets.iter().map(|row| (row.name.as_str(), row.state, row.backup)).collect();
        let expected =
            [("a.test -> h:1", State::Down, false), ("a.test -> x:1", State::Up, true), ("b.test -> h:1", State::Draining, false)];
        assert_eq!(rows, expected);
        assert_eq!((view.all, view.eligible, view.well), (3, 1, false));
        // The backup is not for now; where all are down, all are tried.
        one.stand(&one.backends()[0], |standing| standing.up = true);
        sampler.sample(Instant::now());
        assert_eq!(sampler.view(&Keys::default(), Vec::new()).eligible, 1);
        one.backends().iter().for_each(|backend| one.stand(backend, |standing| standing.up = false));
        sampler.sample(Instant::now());
        assert_eq!(sampler.view(&Keys::default(), Vec::new()).eligible, 2);
    }
}
