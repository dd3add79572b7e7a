//! Whose turn it is: policies over plain values, without sockets, clocks and events.

mod key;
mod loads;
mod maglev;
mod rendezvous;
mod rest;
mod ring;
pub mod simulate;
#[cfg(test)]
mod tests;
mod turns;
mod wheel;

pub use key::{Client, Hash, HashError, Prefix};
pub use loads::{Loads, Seat};
pub use rest::Rest;

use crate::random::{Shared, new_seed};
use loads::By;
use maglev::Maglev;
use rendezvous::Rendezvous;
use ring::Ring;
use serde::Serialize;
use std::{
    fmt,
    num::{NonZeroU32, NonZeroUsize},
    sync::{Arc, Mutex, PoisonError},
};
use turns::Turns;
use wheel::Wheel;
use xxhash_rust::xxh3::xxh3_64;

/// How the next target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// In turn, by weight and evenly spread (nginx's smooth weighted round robin).
    #[default]
    RoundRobin,
    /// Any, as likely as its weight says.
    Random,
    /// The one with the fewest open connections or requests for its weight; of equals, who was chosen longest ago.
    LeastConnections,
    /// Of two different ones, drawn by weight, the one with fewer open for its weight (Mitzenmacher 2001; haproxy's `random(2)`).
    P2c,
    /// The first that has room, in the order in which they are listed.
    First,
    /// By key: the highest score for it (rendezvous hashing). Looks at everybody.
    Rendezvous,
    /// By key: the next point on a ring (ketama, as nginx's `hash ... consistent`).
    Ring,
    /// By key: its place in a table (Maglev).
    Maglev,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::RoundRobin, Self::Random, Self::LeastConnections, Self::P2c, Self::First, Self::Rendezvous, Self::Ring, Self::Maglev];

    /// Whether the same key has the same target as long as the targets are the same.
    #[must_use]
    pub fn is_by_key(self) -> bool {
        matches!(self, Self::Rendezvous | Self::Ring | Self::Maglev)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastConnections => "least-connections",
            Self::P2c => "p2c",
            Self::First => "first",
            Self::Rendezvous => "rendezvous",
            Self::Ring => "ring",
            Self::Maglev => "maglev",
        })
    }
}

/// A policy and what it goes by.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How the next target is chosen.
    pub policy: Policy,
    /// What of a client is its key, where the policy goes by key.
    pub hash: Hash,
    /// How much of its share by weight of what is open a target may have on the ring, in percent, before the next one on the ring is taken
    /// (consistent hashing with bounded loads, Mirrokni, Thorup, Zadimoghaddam 2016; haproxy's `hash-balance-factor`); above 100.
    pub most_percent: Option<NonZeroU32>,
    /// What every random choice follows from. The numbers are drawn in the order of the picks: the same picks, one after the other, come out
    /// the same. Where several threads pick, which of them comes first is theirs.
    pub seed: u64,
}

impl From<Policy> for Settings {
    /// With a key of the peer's address, no bound, and a seed of its own.
    fn from(policy: Policy) -> Self {
        Self { policy, hash: Hash::Ip(Prefix::ALL), most_percent: None, seed: new_seed() }
    }
}

impl Settings {
    /// What counts, for a policy that must know what each one has now.
    #[must_use]
    pub fn loads(&self) -> Option<Arc<Loads>> {
        let by = match self.policy {
            Policy::LeastConnections => By::Fewest,
            Policy::First => By::Place,
            Policy::Ring if self.most_percent.is_some() => By::Count,
            _ => return None,
        };
        Some(Loads::new(by))
    }
}

/// A target that may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is known by, wherever it stands in a list.
    pub name: Arc<str>,
    /// Its share of the traffic relative to the others. All are 20 times as large while one has a part of its own.
    pub weight: NonZeroU32,
    /// How many it may have open.
    pub most: Option<NonZeroUsize>,
    /// Its place among the [`Settings::loads`], where the policy has some.
    pub seat: Option<usize>,
}

impl Candidate {
    /// What all hashes of it begin with.
    fn seed(&self) -> u64 {
        xxh3_64(self.name.as_bytes())
    }
}

/// Who was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its number among the candidates.
    pub at: usize,
    /// Who was drawn with it and had more open.
    pub over: Option<usize>,
    /// Whether it counts as having one more open already, among the loads.
    pub entered: bool,
}

/// A policy made ready for some targets.
#[derive(Debug)]
pub struct Chooser {
    candidates: Vec<Candidate>,
    random: Arc<Shared>,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Turns(Mutex<Turns>),
    Random(Wheel),
    TwoChoices(Wheel),
    /// The candidate of each seat.
    Loads(Arc<Loads>, Vec<Option<u32>>),
    Rendezvous(Rendezvous),
    Ring(Ring, Option<Bound>),
    Maglev(Maglev, Rendezvous),
}

/// A bound on what one has open.
#[derive(Debug)]
struct Bound {
    loads: Arc<Loads>,
    seats: Vec<usize>,
    percent: u64,
    weights: u64,
}

impl Chooser {
    /// Makes a policy ready for these targets. `loads` are those of the settings. `before` is what it was ready for until now: turns
    /// and random numbers go on from there.
    #[must_use]
    pub fn new(settings: &Settings, candidates: Vec<Candidate>, loads: Option<&Arc<Loads>>, before: Option<&Self>) -> Self {
        let weights = || candidates.iter().map(|candidate| candidate.weight);
        let seats = || candidates.iter().filter_map(|candidate| candidate.seat);
        if let Some(loads) = loads {
            let terms = |candidate: &Candidate| Some((candidate.seat?, candidate.weight, candidate.most));
            loads.arrange(candidates.iter().filter_map(terms));
        }
        let method = match (settings.policy, loads) {
            (Policy::LeastConnections | Policy::First, Some(loads)) => {
                let mut of = vec![None; seats().max().map_or(0, |last| last + 1)];
                seats().enumerate().for_each(|(at, seat)| of[seat] = Some(at as u32));
                Method::Loads(loads.clone(), of)
            }
            (Policy::Random, _) => Method::Random(Wheel::new(weights())),
            (Policy::P2c, _) => Method::TwoChoices(Wheel::new(weights())),
            (Policy::Rendezvous, _) => Method::Rendezvous(Rendezvous::new(&candidates)),
            (Policy::Maglev, _) => Method::Maglev(Maglev::new(&candidates), Rendezvous::new(&candidates)),
            (Policy::Ring, loads) => {
                let bound = settings.most_percent.zip(loads).map(|(percent, loads)| Bound {
                    loads: loads.clone(),
                    seats: seats().collect(),
                    percent: u64::from(percent.get()),
                    weights: weights().map(|weight| u64::from(weight.get())).sum(),
                });
                Method::Ring(Ring::new(&candidates), bound)
            }
            (Policy::RoundRobin | Policy::LeastConnections | Policy::First, _) => {
                let credits = before.map(Self::credits).unwrap_or_default();
                let credit = |at: usize| credits.get(&candidates[at].name).copied().unwrap_or_default();
                Method::Turns(Mutex::new(Turns::new(weights().collect(), credit)))
            }
        };
        let random = before.map_or_else(|| Arc::new(Shared::new(settings.seed)), |before| before.random.clone());
        Self { candidates, random, method }
    }

    /// The targets that it was made for.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Chooses one of those that it was made for: none where there are none, or where nobody has room, as far as the policy knows. Where there is no
    /// key a policy by key draws one. `open` tells how many connections or requests one has now.
    pub fn choose(&self, key: Option<u64>, open: impl Fn(usize) -> usize) -> Option<Choice> {
        let key = || key.unwrap_or_else(|| self.random.next());
        let (at, over, entered) = match &self.method {
            Method::Turns(turns) => (turns.lock().unwrap_or_else(PoisonError::into_inner).next()?, None, false),
            Method::Random(wheel) => (wheel.draw(&self.random)?, None, false),
            Method::TwoChoices(wheel) => {
                let (one, other) = wheel.draw_two(&self.random)?;
                match other {
                    Some(other) if self.load(other, &open) < self.load(one, &open) => (other, Some(one), false),
                    other => (one, other, false),
                }
            }
            Method::Loads(loads, of) => {
                let seat = loads.enter_first()?;
                match of.get(seat).copied().flatten() {
                    Some(at) => (at as usize, None, true),
                    // It is of those that this is no longer made for, or not yet.
                    None => {
                        loads.leave(seat);
                        return None;
                    }
                }
            }
            Method::Rendezvous(rendezvous) => (rendezvous.find(key())?, None, false),
            Method::Maglev(maglev, _) => (maglev.find(key())?, None, false),
            Method::Ring(ring, None) => (ring.first(key())?, None, false),
            Method::Ring(ring, Some(bound)) => {
                let start = ring.start(key());
                let mut found = None;
                let owners = (0..ring.len()).map(|step| ring.owner(start, step)).map(|at| bound.seats[*found.insert(at)]);
                bound.loads.enter_within(bound.percent, owners, bound.weights)?;
                (found?, None, true)
            }
        };
        Some(Choice { at, over, entered })
    }

    /// What one has open for each unit of weight, in an order without divisions.
    fn load(&self, at: usize, open: &impl Fn(usize) -> usize) -> Load {
        Load { open: open(at) as u64, weight: u64::from(self.candidates[at].weight.get()) }
    }

    /// Everybody's credit by name, where it goes by turns.
    fn credits(&self) -> std::collections::HashMap<Arc<str>, f64> {
        let Method::Turns(turns) = &self.method else { return std::collections::HashMap::new() };
        let credits = turns.lock().unwrap_or_else(PoisonError::into_inner).credits();
        self.candidates.iter().map(|candidate| candidate.name.clone()).zip(credits).collect()
    }
}

/// How busy one is.
#[derive(Clone, Copy, Debug)]
struct Load {
    open: u64,
    weight: u64,
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        self.open * other.weight == other.open * self.weight
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        // a/v < b/w as a*w < b*v.
        (self.open * other.weight).partial_cmp(&(other.open * self.weight))
    }
}
