//! The rules of several sources, of which an earlier source's wins.

use super::{Live, MOST_RULES};
use crate::route::{Destination, Leads, Matcher, Rule, Table};
use std::{collections::HashSet, sync::Arc};

/// A rule of a source, and what is kept for it as long as it does not change.
#[derive(Debug)]
pub struct Entry<S> {
    /// The rule.
    pub rule: Rule,
    /// The number of its source.
    pub source: usize,
    /// What whoever routes keeps for it: a pool, its checks.
    pub state: S,
}

impl<S> Leads for Arc<Entry<S>> {
    fn destination(&self) -> &Destination {
        &self.rule.to
    }
}

/// What a reading of a source has changed of its rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rules of the source now, in force or not.
    pub rules: usize,
    /// New ones.
    pub added: usize,
    /// Those that are gone.
    pub removed: usize,
    /// Those that lead elsewhere.
    pub changed: usize,
}

/// What came of a change.
#[derive(Debug)]
pub(super) struct Changed<S> {
    pub(super) counts: Counts,
    /// Those that are not in force any more. What was kept for them ends when they are dropped.
    pub(super) gone: Vec<Arc<Entry<S>>>,
    /// Rules that were given and are not in force, as an earlier source has one for the same clients: how many, and one
    /// with the number of that source.
    pub(super) passed_over: usize,
    pub(super) for_example: Option<(Matcher, usize)>,
    /// Rules that were left out, as the source has as many as one may have.
    pub(super) too_many: usize,
}

/// The rules of all sources. There is one rule in force for the same clients; those of later sources wait beside.
#[derive(Debug)]
pub struct Entries<S> {
    live: Live<S>,
    /// The rules of each source that are not in force.
    waiting: Vec<Table<Arc<Entry<S>>>>,
    lens: Vec<usize>,
    /// How many rules one source may have.
    most: usize,
}

impl<S: Default> Entries<S> {
    /// No rules, of so many sources.
    #[must_use]
    pub fn new(sources: usize) -> Self {
        Self { live: Live::default(), waiting: (0..sources).map(|_| Table::default()).collect(), lens: vec![0; sources], most: MOST_RULES }
    }

    /// The rules in force.
    #[must_use]
    pub fn live(&self) -> &Live<S> {
        &self.live
    }

    /// How many rules a source has, in force or not.
    #[must_use]
    pub fn len(&self, source: usize) -> usize {
        self.lens[source]
    }

    /// The source among the first `of` whose rule is for the same clients.
    pub(super) fn given_by(&self, matcher: &Matcher, of: usize, beside: usize) -> Option<usize> {
        (0..of).find(|source| *source != beside && self.get(matcher, *source).is_some())
    }

    /// All rules of a source; of several for the same clients the first counts.
    pub(super) fn replace(&mut self, source: usize, rules: Vec<Rule>) -> Changed<S> {
        let mut seen = HashSet::with_capacity(rules.len());
        let first: Vec<bool> = rules.iter().map(|rule| seen.insert(&rule.matcher)).collect();
        let missing = |table: &Table<Arc<Entry<S>>>| -> Vec<_> {
            let all = table.iter().map(|found| found.to());
            let of_it = all.filter(|entry| entry.source == source && !seen.contains(&entry.rule.matcher));
            of_it.map(|entry| (entry.rule.matcher.clone(), None)).collect()
        };
        let mut edits: Vec<(Matcher, Option<Destination>)> = self.live.look(missing);
        edits.extend(missing(&self.waiting[source]));
        drop(seen);
        let new = rules.into_iter().zip(first).filter(|(_, first)| *first).map(|(rule, _)| (rule.matcher, Some(rule.to)));
        self.edit(source, edits.into_iter().chain(new))
    }

    /// Some rules of a source, each of which is there or gone. All changes take effect at once.
    pub(super) fn edit(&mut self, source: usize, edits: impl IntoIterator<Item = (Matcher, Option<Destination>)>) -> Changed<S> {
        let mut changed = Changed { counts: Counts::default(), gone: Vec::new(), passed_over: 0, for_example: None, too_many: 0 };
        let mut effective = Vec::new();
        for (matcher, to) in edits {
            let old = self.get(&matcher, source);
            let first = self.live.look(|table| table.get(&matcher).map(|entry| entry.source));
            if to.is_some()
                && let Some(first) = first.filter(|first| *first < source)
            {
                changed.passed_over += 1;
                changed.for_example.get_or_insert_with(|| (matcher.clone(), first));
            }
            let Counts { added, removed, .. } = changed.counts;
            match (&old, &to) {
                (None, None) => continue,
                (None, Some(_)) if self.lens[source] + added >= self.most + removed => {
                    changed.too_many += 1;
                    continue;
                }
                (Some(old), Some(to)) if old.rule.to == *to => continue,
                (None, Some(_)) => changed.counts.added += 1,
                (Some(_), None) => changed.counts.removed += 1,
                (Some(_), Some(_)) => changed.counts.changed += 1,
            }
            let new = to.map(|to| Arc::new(Entry { rule: Rule { matcher: matcher.clone(), to }, source, state: S::default() }));
            effective.push((matcher, new, first));
        }
        self.lens[source] = (self.lens[source] + changed.counts.added).saturating_sub(changed.counts.removed);
        changed.counts.rules = self.lens[source];
        let waiting = &mut self.waiting;
        changed.gone = self.live.change(|live| {
            effective.into_iter().filter_map(|(matcher, new, first)| put(live, waiting, source, &matcher, new, first)).collect()
        });
        changed
    }

    fn get(&self, matcher: &Matcher, source: usize) -> Option<Arc<Entry<S>>> {
        let of_it = |entry: &&Arc<Entry<S>>| entry.source == source;
        self.live.look(|table| table.get(matcher).filter(of_it).cloned()).or_else(|| self.waiting[source].get(matcher).cloned())
    }
}

type Rules<S> = Table<Arc<Entry<S>>>;

/// Puts a source's rule for some clients in its place, or takes it out. Returns the one that was in force and is no more.
fn put<S: Default>(
    live: &mut Rules<S>,
    waiting: &mut [Rules<S>],
    source: usize,
    matcher: &Matcher,
    new: Option<Arc<Entry<S>>>,
    first: Option<usize>,
) -> Option<Arc<Entry<S>>> {
    if first.is_some_and(|first| first < source) {
        waiting[source].remove(matcher);
        insert(&mut waiting[source], matcher, new);
        return None;
    }
    let old = live.remove(matcher);
    let gone = match old {
        // A later source's rule waits again. What was kept for it ends with it.
        Some(old) if old.source != source => {
            let again = Entry { rule: old.rule.clone(), source: old.source, state: S::default() };
            insert(&mut waiting[old.source], matcher, Some(Arc::new(again)));
            Some(old)
        }
        old => old,
    };
    let next = new.or_else(|| waiting.iter_mut().skip(source + 1).find_map(|table| table.remove(matcher)));
    insert(live, matcher, next);
    gone
}

fn insert<S>(table: &mut Rules<S>, matcher: &Matcher, entry: Option<Arc<Entry<S>>>) {
    if let Some(entry) = entry {
        // Whatever was in its place was taken out before.
        let _ = table.insert(matcher.clone(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn edits(texts: &[&str]) -> Vec<(Matcher, Option<Destination>)> {
        let edit = |text: &&str| match text.split_once('=') {
            Some((matcher, to)) => (matcher.parse().unwrap(), Some(to.parse().unwrap())),
            None => (text.parse().unwrap(), None),
        };
        texts.iter().map(edit).collect()
    }

    fn in_force(entries: &Entries<()>) -> Vec<String> {
        let mut all: Vec<_> = entries.live.look(|table| table.iter().map(|found| format!("{found}={}", found.to().rule.to)).collect());
        all.sort();
        all
    }

    fn counts(changed: &Changed<()>) -> [usize; 5] {
        let Counts { rules, added, removed, changed: other } = changed.counts;
        [rules, added, removed, other, changed.gone.len()]
    }

    #[test]
    fn what_changed_is_counted_and_what_did_not_is_kept() {
        let mut entries = Entries::new(1);
        assert_eq!(counts(&entries.replace(0, rules(&["a.test=h:1", "b.test=h:1", "*.c.test=h:1"]))), [3, 3, 0, 0, 0]);
        let kept = entries.get(&"a.test".parse().unwrap(), 0).unwrap();
        assert_eq!(counts(&entries.replace(0, rules(&["a.test=h:1", "b.test=h:2", "d.test=h:1"]))), [3, 1, 1, 1, 2]);
        assert!(Arc::ptr_eq(&kept, &entries.get(&"a.test".parse().unwrap(), 0).unwrap()));
        assert_eq!(in_force(&entries), ["a.test=h:1", "b.test=h:2", "d.test=h:1"]);
        assert_eq!(counts(&entries.edit(0, edits(&["a.test", "b.test=h:2", "e.test=h:1", "x.test"]))), [3, 1, 1, 0, 1]);
        assert_eq!(in_force(&entries), ["b.test=h:2", "d.test=h:1", "e.test=h:1"]);
    }

    #[test]
    fn a_source_has_no_more_rules_than_one_may_have() {
        let mut entries = Entries::<()>::new(2);
        entries.most = 2;
        entries.edit(1, edits(&["a.test=h:1"]));
        assert_eq!(entries.edit(1, edits(&["b.test=h:1", "c.test=h:1", "a.test=h:2"])).too_many, 1);
        assert_eq!(in_force(&entries), ["a.test=h:2", "b.test=h:1"]);
        assert_eq!(entries.edit(1, edits(&["b.test", "c.test=h:1"])).too_many, 0);
        assert_eq!(in_force(&entries), ["a.test=h:2", "c.test=h:1"]);
    }

    #[test]
    fn an_earlier_source_wins_as_long_as_it_has_a_rule() {
        let mut entries = Entries::new(3);
        entries.replace(2, rules(&["a.test=h:3", "b.test=h:3"]));
        let changed = entries.replace(1, rules(&["a.test=h:2"]));
        assert_eq!((counts(&changed), changed.passed_over), ([1, 1, 0, 0, 1], 0));
        assert_eq!(in_force(&entries), ["a.test=h:2", "b.test=h:3"]);
        // The same reading again finds the rule where it waits.
        let changed = entries.replace(2, rules(&["a.test=h:3", "b.test=h:3"]));
        assert_eq!((counts(&changed), changed.passed_over, changed.for_example.unwrap().1), ([2, 0, 0, 0, 0], 1, 1));
        assert_eq!(counts(&entries.edit(2, edits(&["a.test=h:4"]))), [2, 0, 0, 1, 0]);
        entries.edit(0, edits(&["a.test=h:1"]));
        assert_eq!(in_force(&entries), ["a.test=h:1", "b.test=h:3"]);
        entries.edit(0, edits(&["a.test"]));
        assert_eq!(in_force(&entries), ["a.test=h:2", "b.test=h:3"]);
        entries.replace(1, Vec::new());
        assert_eq!(in_force(&entries), ["a.test=h:4", "b.test=h:3"]);
        entries.edit(2, edits(&["a.test"]));
        assert_eq!(in_force(&entries), ["b.test=h:3"]);
        assert_eq!((0..3).map(|source| entries.len(source)).collect::<Vec<_>>(), [0, 0, 1]);
    }

    proptest::proptest! {
        /// Whatever comes in whatever order, the rule of the first source that has one is in force.
        #[test]
        fn the_first_source_that_has_a_rule_is_in_force(steps in proptest::collection::vec((0_usize..3, 0_usize..4, proptest::option::of(1_u16..4)), 0..60)) {
            let mut entries = Entries::<()>::new(3);
            let mut model = [[None; 4]; 3];
            for (source, name, port) in steps {
                model[source][name] = port;
                let text = port.map_or(format!("{name}.test"), |port| format!("{name}.test=h:{port}"));
                entries.edit(source, edits(&[&text]));
            }
            let expected: Vec<_> = (0..4)
                .filter_map(|name| Some(format!("{name}.test=h:{}", model.iter().find_map(|of| of[name])?)))
                .collect();
            proptest::prop_assert_eq!(in_force(&entries), expected);
            for (source, of) in model.iter().enumerate() {
                proptest::prop_assert_eq!(entries.len(source), of.iter().flatten().count());
            }
        }
    }
}
