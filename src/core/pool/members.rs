//! Who is in a pool: targets by their sources, and those that have gone.

use super::{
    Backend, BackendId, Standing, Totals,
    cut::Cuts,
    queue::{Places, Queue},
    trouble::Failures,
};
use crate::{
    addr::{HostPort, Target, TargetSpec},
    balance::{Loads, Seat},
    builtin,
    discovery::MOST_TARGETS,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
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
    /// Whoever adds targets while it runs.
    pub const ADMIN: Self = Self(usize::MAX);
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

/// Why a target was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// There is one of its name.
    #[error("it is there already")]
    Exists,
    /// [`MOST_TARGETS`] were added.
    #[error("no more than {MOST_TARGETS} can be added")]
    TooMany,
    /// A builtin server could not be started.
    #[error(transparent)]
    Start(#[from] io::Error),
}

/// Builtin servers that were started for targets that are to come, by label.
pub(super) type Started = HashMap<String, builtin::Running>;

#[derive(Debug)]
pub(super) struct Members {
    queue: Arc<Queue>,
    /// Where each has a seat, where the policy must know what each one has now.
    loads: Option<Arc<Loads>>,
    listed: BTreeMap<SourceId, Vec<TargetSpec>>,
    all: Vec<(TargetSpec, Arc<Backend>)>,
    gone: Vec<Arc<Backend>>,
    /// Labels that no source but [`SourceId::ADMIN`] brings in any more, until all of them have forgotten them.
    removed: HashSet<String>,
    /// Other sources than those that have a number of their own here, as people write them.
    names: HashMap<SourceId, Arc<str>>,
    last: u64,
}

impl Members {
    /// Nobody yet. Those who come tell `queue` of places that come free.
    pub(super) fn new(queue: Arc<Queue>, loads: Option<Arc<Loads>>) -> Self {
        Self {
            queue,
            loads,
            listed: BTreeMap::new(),
            all: Vec::new(),
            gone: Vec::new(),
            removed: HashSet::new(),
            names: HashMap::new(),
            last: 0,
        }
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

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.all.iter().map(|(_, backend)| backend)
    }

    pub(super) fn backends(&self) -> Vec<Arc<Backend>> {
        self.iter().cloned().collect()
    }

    pub(super) fn all_ever(&self) -> Vec<Arc<Backend>> {
        self.all.iter().map(|(_, backend)| backend).chain(&self.gone).cloned().collect()
    }

    /// Those that take no new connections any more, but have some.
    pub(super) fn leaving(&self) -> Vec<Arc<Backend>> {
        self.gone.iter().filter(|backend| backend.open() > 0).cloned().collect()
    }

    /// Names a source.
    pub(super) fn name(&mut self, source: SourceId, name: &str) {
        self.names.insert(source, name.into());
    }

    /// Where each target comes from, by label.
    pub(super) fn sources(&self) -> HashMap<String, Arc<str>> {
        let name = |source| match source {
            SourceId::ARGUMENTS => "arguments".into(),
            SourceId::ADMIN => "admin".into(),
            other => self.names.get(&other).cloned().unwrap_or_else(|| "another".into()),
        };
        let mut sources = HashMap::new();
        for (source, label, _) in self.listed() {
            sources.entry(label).or_insert_with(|| name(source));
        }
        sources
    }

    /// What the sources list, but for what was removed.
    fn listed(&self) -> impl Iterator<Item = (SourceId, String, &TargetSpec)> {
        let all = self.listed.iter().flat_map(|(source, specs)| labelled(*source, specs).map(|(label, spec)| (*source, label, spec)));
        all.filter(|(source, label, _)| *source == SourceId::ADMIN || !self.removed.contains(label))
    }

    /// Adds a target for whoever adds them while it runs.
    pub(super) fn add(&mut self, spec: &TargetSpec, started: Started) -> Result<(), AddError> {
        let label = spec.target.to_string();
        if self.all.iter().any(|(_, backend)| *backend.label == *label) {
            return Err(AddError::Exists);
        }
        let added = self.listed.entry(SourceId::ADMIN).or_default();
        if added.len() >= MOST_TARGETS {
            return Err(AddError::TooMany);
        }
        added.push(spec.clone());
        self.relist(started);
        Ok(())
    }

    /// Takes a target out, whatever source it is from; it was there. It stays out until it is added, or until no source lists it
    /// any more and then one does again.
    pub(super) fn remove(&mut self, label: &str) {
        if let Some(specs) = self.listed.get_mut(&SourceId::ADMIN) {
            specs.retain(|spec| spec.target.to_string() != label);
        }
        self.removed.insert(label.to_owned());
        self.relist(Started::new());
    }

    pub(super) fn update(&mut self, source: SourceId, specs: &[TargetSpec], started: Started) -> Changes {
        self.listed.insert(source, specs.to_vec());
        self.relist(started)
    }

    /// Takes over what the sources list now.
    fn relist(&mut self, mut started: Started) -> Changes {
        let lists = self.listed.iter().filter(|(source, _)| **source != SourceId::ADMIN);
        let named: HashSet<_> = lists.flat_map(|(source, specs)| labelled(*source, specs)).map(|(label, _)| label).collect();
        self.removed.retain(|label| named.contains(label));
        let listed: Vec<_> = self.listed().map(|(_, label, spec)| (label, spec.clone())).collect();
        let mut known: HashMap<Arc<str>, (Option<TargetSpec>, Arc<Backend>)> = HashMap::new();
        known.extend(self.gone.drain(..).map(|backend| (backend.label.clone(), (None, backend))));
        known.extend(self.all.drain(..).map(|(spec, backend)| (backend.label.clone(), (Some(spec), backend))));
        let mut changes = Changes::default();
        let mut taken = HashSet::new();
        for (label, spec) in listed {
            if !taken.insert(label.clone()) {
                continue;
            }
            let backend = match known.remove(label.as_str()) {
                Some((before, backend)) => {
                    if before.is_none() {
                        backend.took();
                    }
                    if before.as_ref() != Some(&spec) {
                        let mut standing = backend.standing.lock().unwrap_or_else(PoisonError::into_inner);
                        // Whoever comes back is as good as new.
                        *standing = match before {
                            Some(_) => Standing { weight: spec.weight, backup: spec.backup, most: spec.most, ..standing.clone() },
                            None => Standing::new(&spec),
                        };
                        let list = if before.is_some() { &mut changes.changed } else { &mut changes.added };
                        list.push(backend.label.clone());
                    }
                    backend
                }
                None => {
                    self.last += 1;
                    let seat = self.loads.as_ref().map(Loads::seat);
                    let backend = backend(BackendId(self.last), &label, &spec, started.remove(&label), self.queue.clone(), seat);
                    let backend = Arc::new(backend);
                    changes.added.push(backend.label.clone());
                    backend
                }
            };
            self.all.push((spec, backend));
        }
        let mut rest: Vec<_> = known.into_values().collect();
        rest.sort_by_key(|(_, backend)| backend.id);
        changes.removed = rest.iter().filter(|(before, _)| before.is_some()).map(|(_, backend)| backend.label.clone()).collect();
        self.gone = rest.into_iter().map(|(_, backend)| backend).collect();
        // Those that were new longest ago are forgotten first; who is in use is kept.
        let mut over = self.gone.len().saturating_sub(MOST_GONE);
        self.gone.retain(|backend| {
            let forgotten = over > 0 && backend.open() == 0;
            over -= usize::from(forgotten);
            !forgotten
        });
        changes
    }
}

fn backend(
    id: BackendId,
    label: &str,
    spec: &TargetSpec,
    builtin: Option<builtin::Running>,
    queue: Arc<Queue>,
    seat: Option<Seat>,
) -> Backend {
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
        seat,
        queue,
        failures: Failures::default(),
        totals: Totals::default(),
        cuts: Cuts::default(),
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

    #[tokio::test]
    async fn what_was_removed_stays_out_until_it_is_added_or_listed_anew() {
        let pool = Pool::new(&list("a:1,b:1"), Policy::default()).await.unwrap();
        let labels = |pool: &Pool| pool.backends().iter().map(|backend| backend.label.to_string()).collect::<Vec<_>>().join(" ");
        let file = SourceId(1);
        pool.update(file, &list("c:1,d:1")).await.unwrap();
        assert!(pool.remove("c:1").is_some() && pool.remove("c:1").is_none());
        pool.update(file, &list("c:1,d:1,e:1")).await.unwrap();
        assert_eq!(labels(&pool), "a:1 b:1 d:1 e:1");
        // Its source forgets it, and lists it again.
        pool.update(file, &list("e:1")).await.unwrap();
        pool.update(file, &list("e:1,c:1")).await.unwrap();
        assert_eq!(labels(&pool), "a:1 b:1 e:1 c:1");
        // Added with other options than its source has.
        assert!(pool.remove("a:1").is_some());
        let spec = |text: &str| text.parse::<TargetSpec>().unwrap();
        let a = pool.add(&spec("a:1,weight=7")).await.unwrap();
        assert_eq!((labels(&pool).as_str(), a.standing().weight.get()), ("b:1 e:1 c:1 a:1", 7));
        assert!(matches!(pool.add(&spec("a:1")).await, Err(AddError::Exists)));
        pool.name_source(file, "@file");
        assert_eq!((&*pool.sources()["a:1"], &*pool.sources()["b:1"], &*pool.sources()["e:1"]), ("admin", "arguments", "@file"));
        assert!(pool.remove("a:1").is_some());
        assert_eq!(labels(&pool), "b:1 e:1 c:1");
    }

    #[tokio::test]
    async fn who_adds_does_so_within_the_bound_of_other_sources() {
        let pool = Pool::new(&[], Policy::default()).await.unwrap();
        let many: Vec<TargetSpec> = (0..MOST_TARGETS).map(|n| format!("h{n}:1").parse().unwrap()).collect();
        pool.update(SourceId::ADMIN, &many).await.unwrap();
        let more = "more:1".parse().unwrap();
        assert!(matches!(pool.add(&more).await, Err(AddError::TooMany)));
        assert!(pool.remove("h7:1").is_some());
        assert_eq!(&*pool.add(&more).await.unwrap().label, "more:1");
    }
}
