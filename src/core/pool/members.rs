//! Who is in a pool: targets by their sources, and those that have gone.

use super::{
    Backend, BackendId, Standing, Totals,
    queue::{Places, Queue},
    trouble::Failures,
};
use crate::{
    addr::{HostPort, Target, TargetSpec},
    builtin,
};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// Backends that have gone and are remembered, for their counts and for when they come back.
const MOST_GONE: usize = 10_000;

/// Where targets come from; the first source that names a target counts for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub usize);

impl SourceId {
    /// The command line.
    pub const ARGUMENTS: Self = Self(0);
}

/// What has become other with a new reading of a source, by label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Who has come.
    pub added: Vec<Arc<str>>,
    /// Who has gone.
    pub removed: Vec<Arc<str>>,
    /// Who has another weight, or other options.
    pub changed: Vec<Arc<str>>,
}

/// Builtin servers that were started for targets that are to come, by label.
pub(super) type Started = HashMap<String, builtin::Running>;

#[derive(Debug)]
pub(super) struct Members {
    queue: Arc<Queue>,
    listed: BTreeMap<SourceId, Vec<TargetSpec>>,
    all: Vec<(TargetSpec, Arc<Backend>)>,
    gone: Vec<Arc<Backend>>,
    last: u64,
}

impl Members {
    /// Nobody yet. Those who come tell `queue` of places that come free.
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue, listed: BTreeMap::new(), all: Vec::new(), gone: Vec::new(), last: 0 }
    }

    /// Starts what `builtin:` targets need that are not there yet. It is done before anything is changed.
    pub(super) async fn start_builtins(has: impl Fn(&str) -> bool, source: SourceId, specs: &[TargetSpec]) -> io::Result<Started> {
        let mut started = Started::new();
        for (label, spec) in labelled(source, specs) {
            if let Target::Builtin(kind) = spec.target
                && !has(&label)
            {
                let running = builtin::Running::start(kind, &label, None).await?;
                started.insert(label, running);
            }
        }
        Ok(started)
    }

    /// Whether a backend of this label is there, or may come back.
    pub(super) fn has(&self, label: &str) -> bool {
        self.all.iter().map(|(_, backend)| backend).chain(&self.gone).any(|backend| *backend.label == *label)
    }

    pub(super) fn backends(&self) -> Vec<Arc<Backend>> {
        self.all.iter().map(|(_, backend)| backend.clone()).collect()
    }

    pub(super) fn all_ever(&self) -> Vec<Arc<Backend>> {
        self.all.iter().map(|(_, backend)| backend).chain(&self.gone).cloned().collect()
    }

    pub(super) fn update(&mut self, source: SourceId, specs: &[TargetSpec], mut started: Started) -> Changes {
        self.listed.insert(source, specs.to_vec());
        let mut known: HashMap<Arc<str>, (Option<TargetSpec>, Arc<Backend>)> = HashMap::new();
        known.extend(self.gone.drain(..).map(|backend| (backend.label.clone(), (None, backend))));
        known.extend(self.all.drain(..).map(|(spec, backend)| (backend.label.clone(), (Some(spec), backend))));
        let mut changes = Changes::default();
        let mut taken = std::collections::HashSet::new();
        for (source, specs) in &self.listed {
            for (label, spec) in labelled(*source, specs) {
                if !taken.insert(label.clone()) {
                    continue;
                }
                let backend = match known.remove(label.as_str()) {
                    Some((before, backend)) => {
                        if before.is_none() {
                            backend.took();
                        }
                        if before.as_ref() != Some(spec) {
                            let mut standing = backend.standing.lock().unwrap_or_else(PoisonError::into_inner);
                            // Whoever comes back is as good as new.
                            *standing = match before {
                                Some(_) => Standing { weight: spec.weight, backup: spec.backup, most: spec.most, ..standing.clone() },
                                None => Standing::new(spec),
                            };
                            let list = if before.is_some() { &mut changes.changed } else { &mut changes.added };
                            list.push(backend.label.clone());
                        }
                        backend
                    }
                    None => {
                        self.last += 1;
                        let backend = Arc::new(backend(BackendId(self.last), &label, spec, started.remove(&label), self.queue.clone()));
                        changes.added.push(backend.label.clone());
                        backend
                    }
                };
                self.all.push((spec.clone(), backend));
            }
        }
        let mut rest: Vec<_> = known.into_values().collect();
        rest.sort_by_key(|(_, backend)| backend.id);
        changes.removed = rest.iter().filter(|(before, _)| before.is_some()).map(|(_, backend)| backend.label.clone()).collect();
        self.gone = rest.into_iter().map(|(_, backend)| backend).collect();
        // Those that were idle longest are forgotten first; who is in use is kept.
        let mut over = self.gone.len().saturating_sub(MOST_GONE);
        self.gone.retain(|backend| {
            let forgotten = over > 0 && backend.open() == 0;
            over -= usize::from(forgotten);
            !forgotten
        });
        changes
    }
}

fn backend(id: BackendId, label: &str, spec: &TargetSpec, builtin: Option<builtin::Running>, queue: Arc<Queue>) -> Backend {
    let target = match &builtin {
        Some(running) => Target::Tcp(HostPort::at(running.addr())),
        None => spec.target.clone(),
    };
    let standing = Mutex::new(Standing::new(spec));
    Backend {
        id,
        label: label.into(),
        target,
        standing,
        places: Places::default(),
        queue,
        failures: Failures::default(),
        totals: Totals::default(),
        builtin,
    }
}

/// Targets with their names: as they were written; those of the command line are numbered where they were written more than once.
fn labelled(source: SourceId, specs: &[TargetSpec]) -> impl Iterator<Item = (String, &TargetSpec)> {
    let names = if source == SourceId::ARGUMENTS { labels(specs) } else { specs.iter().map(|spec| spec.target.to_string()).collect() };
    names.into_iter().zip(specs)
}

fn labels(specs: &[TargetSpec]) -> Vec<String> {
    let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
    for spec in specs {
        counts.entry(spec.target.to_string()).or_default().0 += 1;
    }
    let numbered = specs.iter().map(|spec| {
        let label = spec.target.to_string();
        let (of, seen) = counts.get_mut(&label).expect("every label was counted");
        *seen += 1;
        if *of > 1 { format!("{label}#{seen}") } else { label }
    });
    numbered.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{balance::Policy, pool::Pool};

    fn list(text: &str) -> Vec<TargetSpec> {
        TargetSpec::list(text).unwrap()
    }

    fn names(labels: &[Arc<str>]) -> String {
        labels.join(" ")
    }

    #[test]
    fn the_same_target_twice_is_told_apart() {
        assert_eq!(labels(&list("builtin:http,h:1,builtin:http")), ["builtin:http#1", "h:1", "builtin:http#2"]);
    }

    #[tokio::test]
    async fn who_stays_keeps_its_standing_and_who_comes_back_is_as_good_as_new() {
        let pool = Pool::new(&list("a:1,b:1"), Policy::default()).await.unwrap();
        let other = SourceId(1);
        let changes = pool.update(other, &list("b:1,weight=9,c:1,d:1,c:1")).await.unwrap();
        assert_eq!(names(&changes.added), "c:1 d:1");
        let c = pool.backends()[2].clone();
        pool.stand(&c, |standing| standing.up = false);
        let changes = pool.update(other, &list("c:1,weight=2")).await.unwrap();
        assert_eq!((names(&changes.added), names(&changes.removed), names(&changes.changed)), (String::new(), "d:1".into(), "c:1".into()));
        assert!(Arc::ptr_eq(&c, &pool.backends()[2]));
        assert_eq!((c.standing().up, c.standing().weight.get()), (false, 2));
        assert_eq!(names(&pool.update(other, &[]).await.unwrap().removed), "c:1");
        assert_eq!(names(&pool.update(other, &list("c:1")).await.unwrap().added), "c:1");
        assert_eq!((c.standing().up, c.standing().weight.get(), pool.backends().len()), (true, 1, 3));
        assert!(Arc::ptr_eq(&c, &pool.backends()[2]));
    }
}
