//! Control while running: who is in the pools, and how they stand, looked at and changed by [`Control`]; [`api`] lets others do it
//! over HTTP.

pub mod api;
mod listed;

pub use listed::{Last, Listed, State};

use crate::{
    addr::{AddrError, MOST_WEIGHT, TargetSpec},
    connections::Connections,
    discovery::MOST_TARGETS,
    event::{AdminAction, Event, Events},
    pool::{AddError, Backend, Pool},
};
use std::{
    collections::HashMap,
    io,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The pools of a command. They may come and go.
pub trait Pools: Send + Sync + 'static {
    /// All of them by their names, which differ.
    fn pools(&self) -> Vec<(Arc<str>, Pool)>;
}

impl Pools for Vec<(Arc<str>, Pool)> {
    fn pools(&self) -> Vec<(Arc<str>, Pool)> {
        self.clone()
    }
}

/// Control over pools. Clones share it.
#[derive(Clone)]
pub struct Control(Arc<Shared>);

struct Shared {
    pools: Arc<dyn Pools>,
    /// Who is connected.
    connections: Connections,
    events: Events,
    /// Whether the connections of a target can be reset while they go on.
    cuts: bool,
    /// The deadlines that are yet to come, by the address of the backend, which they keep.
    deadlines: Mutex<HashMap<usize, Deadline>>,
}

/// When the connections of a backend are reset.
struct Deadline {
    // Kept, so that its address stays its own.
    _backend: Arc<Backend>,
    at: Instant,
    _stop: DropGuard,
}

/// Why something was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such target.
    #[error("there is no target {0:?}")]
    NoTarget(String),
    /// There is none in this pool.
    #[error("there is no target {0:?} in pool {1:?}")]
    NotIn(String, String),
    /// There is no such pool.
    #[error("there is no pool {0:?}")]
    NoPool(String),
    /// A target is added to one pool.
    #[error("there are several pools; say which one by its name")]
    WhichPool,
    /// It is there already.
    #[error("{0} is in pool {1:?} already")]
    Exists(String, String),
    /// No more can be added.
    #[error("pool {0:?} has {MOST_TARGETS} targets that were added; remove one first")]
    TooMany(String),
    /// It is no target.
    #[error(transparent)]
    Target(#[from] AddrError),
    /// It is no weight.
    #[error("{0} is not a weight from 1 to 1000{hint}", hint = if *.0 == 0 { "; to send nothing there, drain it" } else { "" })]
    Weight(u32),
    /// Who asks may not have it done.
    #[error("{0} can only be added over a Unix socket: whoever asks over TCP may be another user")]
    Forbidden(String),
    /// Requests cannot be reset while they go on.
    #[error("a deadline resets connections, which is not done to requests; drain without one")]
    NoCuts,
    /// A builtin server could not be started.
    #[error("cannot start {0}: {1}")]
    Start(String, io::Error),
}

/// Whom something is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The name of the target.
    pub target: &'a str,
    /// The name of its pool; all that have such a target where it is left out.
    pub pool: Option<&'a str>,
}

type Done = Result<Vec<Listed>, ControlError>;
/// A target, in the pool of this name.
type Found = (Arc<str>, Pool, Arc<Backend>);

impl Control {
    /// Control over these pools, whose connections are among these; what is done goes to `events`. `cuts` tells whether connections notice that their target is cut
    /// off ([`crate::pool::Lease::cut`]); pools that come later are told so by whoever makes them ([`Pool::control`]).
    #[must_use]
    pub fn new(pools: Arc<dyn Pools>, connections: Connections, events: Events, cuts: bool) -> Self {
        if cuts {
            pools.pools().iter().for_each(|(_, pool)| pool.control());
        }
        Self(Arc::new(Shared { pools, connections, events, cuts, deadlines: Mutex::default() }))
    }

    /// All targets, or those of one pool, also those that were taken out and still have connections.
    ///
    /// # Errors
    /// There is no such pool.
    pub fn list(&self, pool: Option<&str>) -> Done {
        self.0.connections.count();
        let mut all = Vec::new();
        for (name, pool) in self.pools(pool)? {
            let (here, leaving) = pool.here_and_leaving();
            let sources = pool.sources();
            let source = |backend: &Backend| sources.get(&*backend.label);
            all.extend(here.iter().map(|backend| self.listed(&name, backend, source(backend), false)));
            all.extend(leaving.iter().map(|backend| self.listed(&name, backend, None, true)));
        }
        Ok(all)
    }

    /// The targets of a name.
    ///
    /// # Errors
    /// There is none, or no such pool.
    pub fn look(&self, of: Of<'_>) -> Done {
        self.0.connections.count();
        Ok(self.found(of)?.into_iter().map(|(name, pool, backend)| self.shown(&name, &pool, &backend)).collect())
    }

    /// No new connections from now on, also not those that stick to it; those that it has go on, until the deadline resets them.
    ///
    /// # Errors
    /// There is no such target or pool; there can be no deadline.
    pub fn drain(&self, of: Of<'_>, deadline: Option<Duration>, by: &str) -> Done {
        let found = self.found(of)?;
        self.check_deadline(deadline)?;
        for (name, pool, backend) in &found {
            pool.stand(backend, |standing| standing.draining = true);
            self.set_deadline(name, pool, backend, deadline);
        }
        Ok(self.told(AdminAction::Drain { deadline }, by, found))
    }

    /// New connections again, also where it was ejected.
    ///
    /// # Errors
    /// There is no such target or pool.
    pub fn ready(&self, of: Of<'_>, by: &str) -> Done {
        let found = self.found(of)?;
        for (_, pool, backend) in &found {
            self.forget_deadline(backend);
            pool.ready(backend);
        }
        Ok(self.told(AdminAction::Ready, by, found))
    }

    /// Another share of the traffic, until the target's source gives it other options.
    ///
    /// # Errors
    /// There is no such target or pool; the weight is not from 1 to 1000.
    pub fn weigh(&self, of: Of<'_>, weight: u32, by: &str) -> Done {
        let valid = NonZeroU32::new(weight).filter(|weight| weight.get() <= MOST_WEIGHT).ok_or(ControlError::Weight(weight))?;
        let found = self.found(of)?;
        for (_, pool, backend) in &found {
            pool.stand(backend, |standing| standing.weight = valid);
        }
        Ok(self.told(AdminAction::Weight { weight: valid }, by, found))
    }

    /// A new target, or one that was removed; `target` is as on the command line, with its options.
    ///
    /// # Errors
    /// It is no target, or there already; there are several pools and none is named.
    pub async fn add(&self, target: &str, pool: Option<&str>, by: &str) -> Done {
        let spec: TargetSpec = target.parse()?;
        let mut pools = self.pools(pool)?;
        let (name, pool) = match (pools.pop(), pools.is_empty()) {
            (Some(one), true) => one,
            (Some(_), false) => return Err(ControlError::WhichPool),
            (None, _) => return Err(ControlError::NoPool(String::new())),
        };
        let backend = pool.add(&spec).await.map_err(|error| match error {
            AddError::Exists => ControlError::Exists(spec.target.to_string(), name.to_string()),
            AddError::TooMany => ControlError::TooMany(name.to_string()),
            AddError::Start(error) => ControlError::Start(spec.target.to_string(), error),
        })?;
        self.forget_deadline(&backend);
        Ok(self.told(AdminAction::Add, by, vec![(name, pool, backend)]))
    }

    /// Takes a target out, whatever source it is from; its connections go on, until the deadline resets them. It comes back when
    /// it is added, or when its source has not listed it for a time and lists it again.
    ///
    /// # Errors
    /// There is no such target or pool; there can be no deadline.
    pub fn remove(&self, of: Of<'_>, deadline: Option<Duration>, by: &str) -> Done {
        self.check_deadline(deadline)?;
        let mut removed = Vec::new();
        for (name, pool, backend) in self.found(of)? {
            // Someone else may have been first.
            if pool.remove(&backend.label).is_some() {
                self.set_deadline(&name, &pool, &backend, deadline);
                removed.push((name, pool, backend));
            }
        }
        if removed.is_empty() {
            return Err(ControlError::NoTarget(of.target.to_owned()));
        }
        Ok(self.told(AdminAction::Remove { deadline }, by, removed))
    }

    fn pools(&self, named: Option<&str>) -> Result<Vec<(Arc<str>, Pool)>, ControlError> {
        let mut pools = self.0.pools.pools();
        if let Some(named) = named {
            pools.retain(|(name, _)| **name == *named);
            if pools.is_empty() {
                return Err(ControlError::NoPool(named.to_owned()));
            }
        }
        Ok(pools)
    }

    fn found(&self, of: Of<'_>) -> Result<Vec<Found>, ControlError> {
        let pools = self.pools(of.pool)?.into_iter();
        let found: Vec<_> = pools.filter_map(|(name, pool)| pool.find(of.target).map(|backend| (name, pool, backend))).collect();
        match of.pool {
            _ if !found.is_empty() => Ok(found),
            Some(pool) => Err(ControlError::NotIn(of.target.to_owned(), pool.to_owned())),
            None => Err(ControlError::NoTarget(of.target.to_owned())),
        }
    }

    /// Says what was done, and how those stand now to whom it was done.
    fn told(&self, action: AdminAction, by: &str, to: Vec<Found>) -> Vec<Listed> {
        let pools = to.iter().map(|(name, ..)| name.to_string()).collect();
        if let Some((.., backend)) = to.first() {
            self.0.events.emit(Event::Admin { by: by.to_owned(), action, target: backend.label.clone(), pools });
        }
        to.into_iter().map(|(name, pool, backend)| self.shown(&name, &pool, &backend)).collect()
    }

    fn shown(&self, name: &Arc<str>, pool: &Pool, backend: &Arc<Backend>) -> Listed {
        let sources = pool.sources();
        self.listed(name, backend, sources.get(&*backend.label), !is_in(pool, backend))
    }

    fn check_deadline(&self, deadline: Option<Duration>) -> Result<(), ControlError> {
        if deadline.is_some() && !self.0.cuts { Err(ControlError::NoCuts) } else { Ok(()) }
    }

    fn deadlines(&self) -> MutexGuard<'_, HashMap<usize, Deadline>> {
        self.0.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget_deadline(&self, backend: &Arc<Backend>) {
        self.deadlines().remove(&key(backend));
    }

    /// Sets when the connections of a backend are reset, or that they are not; an earlier deadline is forgotten.
    fn set_deadline(&self, name: &Arc<str>, pool: &Pool, backend: &Arc<Backend>, after: Option<Duration>) {
        let Some(after) = after else { return self.forget_deadline(backend) };
        let Some(at) = Instant::now().checked_add(after) else { return self.forget_deadline(backend) };
        let stop = CancellationToken::new();
        let (ended, control, name, pool) = (stop.clone(), self.clone(), name.clone(), pool.clone());
        let mut deadlines = self.deadlines();
        let deadline = Deadline { _backend: backend.clone(), at, _stop: stop.drop_guard() };
        deadlines.insert(key(backend), deadline);
        drop(deadlines);
        let backend = backend.clone();
        let over = async move {
            tokio::time::sleep_until(at.into()).await;
            let connections = {
                let mut deadlines = control.deadlines();
                // Whoever replaced or forgot it meanwhile has had the lock before.
                if deadlines.get(&key(&backend)).is_none_or(|deadline| deadline.at != at) {
                    return;
                }
                deadlines.remove(&key(&backend));
                // Its source may have brought it back meanwhile, as good as new.
                if is_in(&pool, &backend) && !backend.standing().draining {
                    return;
                }
                backend.cut();
                backend.open()
            };
            control.0.events.emit(Event::Cut { pool: name.to_string(), target: backend.label.clone(), connections });
        };
        tokio::spawn(async move { ended.run_until_cancelled(over).await });
    }
}

/// Whether it is in the pool now.
fn is_in(pool: &Pool, backend: &Arc<Backend>) -> bool {
    pool.find(&backend.label).is_some_and(|there| Arc::ptr_eq(&there, backend))
}

fn key(backend: &Arc<Backend>) -> usize {
    Arc::as_ptr(backend).addr()
}
