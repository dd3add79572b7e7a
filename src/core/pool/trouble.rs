//! Backends that fail and come back: what the pool makes of it.

use super::{Backend, Pool, Serving, SlowStart, Standing};
use crate::{
    balance::Policy,
    dial::DialError,
    event::{Event, Events},
};
use std::{
    sync::{
        Arc, PoisonError,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until};

/// How many connections in a row a backend did not take. What a good connection costs is one load.
#[derive(Debug, Default)]
pub(super) struct Failures {
    in_a_row: AtomicU32,
    /// Whether it was said that the backend is the last one.
    said_last: AtomicBool,
}

impl Failures {
    pub(super) fn clear(&self) {
        if self.in_a_row.load(Relaxed) != 0 {
            self.in_a_row.store(0, Relaxed);
            self.said_last.store(false, Relaxed);
        }
    }

    fn one_more(&self) -> u32 {
        self.in_a_row.fetch_add(1, Relaxed).saturating_add(1)
    }
}

impl Pool {
    /// A backend has not taken a connection. `counts` is false where it had not all of its time, which tells nothing of it.
    ///
    /// # Panics
    /// Outside of a tokio runtime, which lets it back when its time is over.
    pub fn dial_failed(&self, backend: &Arc<Backend>, error: &DialError, counts: bool, events: &Events) {
        backend.failed(error);
        if counts && !error.is_local() && !error.is_forbidden() {
            self.failed(backend, &error.words(), events);
        }
    }

    /// A backend has not taken a connection, for a reason of its own: neither this machine's nor a rule's. With so many in a row as
    /// [`super::Ejection`] says it is ejected, unless it is the last that may be chosen. Any connection that it takes ends the row; who
    /// is let back without one is on trial: one failure more is enough.
    fn failed(&self, backend: &Arc<Backend>, why: &str, events: &Events) {
        let Some(rules) = self.0.settings.ejection else { return };
        let failures = backend.failures.one_more();
        // Without the lock first: where all are down all of them fail on.
        if failures < rules.after.get() || !backend.standing().is_eligible() {
            return;
        }
        let members = self.members();
        // Of those that have gone nothing is said, and nobody would let them back.
        if !members.iter().any(|member| member.id == backend.id) {
            return;
        }
        let is_last = !members.iter().any(|other| other.id != backend.id && other.standing().is_eligible());
        let mut standing = backend.standing.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever is out already is not ejected once more for connections that were on their way.
        if !standing.is_eligible() {
            return;
        }
        if is_last {
            if !backend.failures.said_last.swap(true, Relaxed) {
                let text =
                    format!("{} did not take {failures} connections in a row and is used on: no other target is left", backend.label);
                events.emit(Event::Note { text });
            }
            return;
        }
        let penalty = standing.ejection.eject(Instant::now(), &rules);
        standing.slow_start = None;
        let until = standing.ejection.until();
        drop(standing);
        self.renew(&members);
        drop(members);
        events.emit(Event::Ejected { target: backend.label.clone(), failures, why: why.to_owned(), penalty });
        let (shared, backend, events) = (Arc::downgrade(&self.0), backend.clone(), events.clone());
        tokio::spawn(async move {
            let Some(due) = until else { return };
            sleep_until(due).await;
            let Some(pool) = shared.upgrade().map(Pool) else { return };
            pool.let_back(&backend, |standing| standing.ejection.until() == until, "its time is over", &events);
        });
    }

    /// A check has found a backend well that is up: its first ejection is over. Whoever fails again right after serves all of its
    /// time, or clients and checks of different opinions would take turns for ever.
    pub fn checked_well(&self, backend: &Arc<Backend>, why: &str, events: &Events) {
        if backend.standing().ejection.is_ejected() {
            self.let_back(backend, |standing| standing.up && standing.ejection.in_a_row() == 1, why, events);
        }
    }

    /// A check has found a backend well, or not. Whoever goes down is no longer ejected: its checks decide when it comes back.
    pub fn set_up(&self, backend: &Arc<Backend>, up: bool) {
        if up {
            backend.failures.clear();
            self.come_back(backend, |standing| !std::mem::replace(&mut standing.up, true));
            return;
        }
        self.stand(backend, |standing| {
            standing.up = false;
            standing.slow_start = None;
            standing.ejection.let_back(Instant::now());
        });
    }

    fn let_back(&self, backend: &Arc<Backend>, may: impl FnOnce(&Standing) -> bool, why: &str, events: &Events) {
        let is_member = self.0.now.load().all.iter().any(|member| member.id == backend.id);
        if self.come_back(backend, |standing| may(standing) && standing.ejection.let_back(Instant::now())) && is_member {
            events.emit(Event::Readmitted { target: backend.label.clone(), why: why.to_owned() });
        }
    }

    /// Changes how a backend stands; where that brings it back, its share grows slowly.
    fn come_back(&self, backend: &Arc<Backend>, change: impl FnOnce(&mut Standing) -> bool) -> bool {
        let slow_start = self.0.settings.slow_start.filter(|_| has_slow_start(self.0.settings.balance.policy));
        let begun = slow_start.map(|_| SlowStart::begin(Instant::now()));
        let back = self.stand(backend, |standing| {
            let back = change(standing);
            if back {
                standing.slow_start = begun;
            }
            back
        });
        if let Some(time) = slow_start.filter(|_| back) {
            self.grow(time);
        }
        back
    }

    /// Brings those who are on the way back further, step by step, until nobody is. One task does so for all of them: each step of
    /// theirs renews what all picks look at.
    fn grow(&self, time: Duration) {
        if self.0.growing.swap(true, SeqCst) {
            return;
        }
        let shared = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                sleep(SlowStart::every(time)).await;
                let Some(pool) = shared.upgrade().map(Pool) else { return };
                let (members, now) = (pool.members(), Instant::now());
                let (mut changed, mut any) = (false, false);
                for backend in members.iter() {
                    let mut standing = backend.standing.lock().unwrap_or_else(PoisonError::into_inner);
                    let next = standing.slow_start.and_then(|way| way.by(now, time));
                    changed |= next != standing.slow_start;
                    any |= next.is_some();
                    standing.slow_start = next;
                }
                if changed {
                    pool.renew(&members);
                }
                // Under the lock: who comes back later sees it and begins anew.
                if !any {
                    pool.0.growing.store(false, SeqCst);
                    return;
                }
            }
        });
    }

    /// Which backends may be chosen, how many these are, and of how many.
    #[must_use]
    pub fn serving(&self) -> (Serving, usize, usize) {
        let now = self.0.now.load();
        (now.serving, now.eligible.len(), now.all.len())
    }

    /// Why no backend, or no other one, may be chosen, in a few words.
    #[must_use]
    pub fn why_nobody(&self) -> &'static str {
        let now = self.0.now.load();
        match now.all.iter().all(|backend| backend.standing().draining) {
            _ if now.all.is_empty() => "no target",
            _ if !now.eligible.is_empty() => "no other target is left",
            true => "all targets are drained",
            false => "all targets are down",
        }
    }
}

/// Whether shares under this policy are a matter of weights alone, so that one can grow without moving anyone's key.
fn has_slow_start(policy: Policy) -> bool {
    !policy.is_by_key() && policy != Policy::First
}

#[cfg(test)]
mod tests;
