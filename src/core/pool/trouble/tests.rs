use super::*;
use crate::{
    addr::TargetSpec,
    event::Sink,
    pool::{Asked, Ejection, Settings, WhenAllDown},
};
use proptest::prelude::*;
use std::{sync::Mutex, time::Duration};
use tokio::time::sleep;

/// Keeps what is said, in short.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Sink for Said {
    fn emit(&self, event: Event) {
        let text = match event {
            Event::Ejected { target, failures, penalty, .. } => format!("{target} ejected after {failures} for {penalty:?}"),
            Event::Readmitted { target, why } => format!("{target} back: {why}"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

impl Said {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

async fn pool(text: &str, settings: Settings) -> (Pool, Vec<Arc<Backend>>, Said, Events) {
    let pool = Pool::new(&TargetSpec::list(text).unwrap(), settings).await.unwrap();
    let said = Said::default();
    (pool.clone(), pool.backends(), said.clone(), Events::new(said))
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const OVER: &str = "its time is over";

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_eject_and_time_lets_back_on_trial() {
    let (pool, all, said, events) = pool("a:1,b:1", Policy::RoundRobin.into()).await;
    let fail = |times| (0..times).for_each(|_| pool.failed(&all[0], "refused", &events));
    fail(2);
    all[0].took();
    fail(2);
    assert_eq!(said.take(), [""; 0]);
    // A connection that was on its way makes no difference.
    fail(2);
    assert_eq!(said.take(), ["a:1 ejected after 3 for 10s"]);
    assert_eq!(pool.serving(), (Serving::Regular, 1, 2));
    sleep(seconds(11)).await;
    assert_eq!(said.take(), [format!("a:1 back: {OVER}")]);
    assert_eq!(pool.serving(), (Serving::Regular, 2, 2));
    // On trial, one failure is enough.
    fail(1);
    assert_eq!(said.take(), ["a:1 ejected after 5 for 20s"]);
    sleep(seconds(21)).await;
    all[0].took();
    said.take();
    fail(2);
    assert_eq!(said.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_last_one_is_never_ejected_and_that_is_said_once() {
    let (pool, all, said, events) = pool("a:1,b:1,backup", Policy::RoundRobin.into()).await;
    let fail = |which: usize, times| (0..times).for_each(|_| pool.failed(&all[which], "refused", &events));
    fail(0, 3);
    assert_eq!(said.take().len(), 1);
    assert_eq!(pool.serving(), (Serving::Backups, 1, 2));
    fail(1, 9);
    let note = said.take();
    assert!(note.len() == 1 && note[0].contains("no other target is left"), "{note:?}");
    assert_eq!(pool.serving().0, Serving::Backups);
    // What was put off is done as soon as there is another one.
    sleep(seconds(11)).await;
    said.take();
    fail(1, 1);
    assert_eq!(said.take(), ["b:1 ejected after 10 for 10s"]);
}

#[tokio::test(start_paused = true)]
async fn a_good_check_ends_the_first_penalty_and_a_bad_one_takes_over() {
    let (pool, all, said, events) = pool("a:1,b:1", Policy::RoundRobin.into()).await;
    let fail = |times| (0..times).for_each(|_| pool.failed(&all[0], "refused", &events));
    fail(3);
    pool.checked_well(&all[0], "takes connections", &events);
    pool.checked_well(&all[0], "takes connections", &events);
    assert_eq!(said.take(), ["a:1 ejected after 3 for 10s", "a:1 back: takes connections"]);
    fail(1);
    pool.checked_well(&all[0], "takes connections", &events);
    assert_eq!(said.take(), ["a:1 ejected after 4 for 20s"]);
    pool.set_up(&all[0], false);
    sleep(seconds(100)).await;
    // Whoever is down is not let back, and not ejected either.
    fail(9);
    assert_eq!(said.take(), [""; 0]);
    pool.set_up(&all[0], true);
    assert!(all[0].standing().is_eligible());
    // Its checks vouch for it.
    fail(2);
    sleep(seconds(100)).await;
    assert_eq!(said.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_has_gone_is_not_said_to_be_back() {
    let (pool, all, said, events) = pool("a:1,b:1", Policy::RoundRobin.into()).await;
    (0..3).for_each(|_| pool.failed(&all[0], "refused", &events));
    pool.update(crate::pool::SourceId::ARGUMENTS, &TargetSpec::list("b:1").unwrap()).await.unwrap();
    said.take();
    sleep(seconds(100)).await;
    assert_eq!(said.take(), [""; 0]);
    // Nor is it ejected, by connections that were on their way.
    pool.update(crate::pool::SourceId::ARGUMENTS, &TargetSpec::list("b:1,c:1").unwrap()).await.unwrap();
    pool.update(crate::pool::SourceId::ARGUMENTS, &TargetSpec::list("c:1").unwrap()).await.unwrap();
    (0..3).for_each(|_| pool.failed(&all[1], "refused", &events));
    assert_eq!(said.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn many_that_come_back_together_grow_together() {
    let names: Vec<_> = (1..=100).map(|n| format!("h{n}:1")).collect();
    let settings = Settings { slow_start: Some(seconds(10)), ..Policy::RoundRobin.into() };
    let (pool, all, ..) = pool(&names.join(","), settings).await;
    for backend in &all {
        pool.set_up(backend, false);
    }
    for backend in &all {
        pool.set_up(backend, true);
    }
    let mut picks = pool.pick(Asked { explain: true, ..Asked::default() });
    picks.next();
    let picked = picks.picked().unwrap();
    assert!(picked.drawn.iter().all(|drawn| drawn.weight == 1), "{picked:?}");
    let (mut changes, mut renewals) = (pool.changes(), 0);
    while tokio::time::timeout(seconds(1), changes.changed()).await.is_ok() {
        renewals += 1;
    }
    assert!(renewals <= 20 && all.iter().all(|backend| backend.standing().slow_start.is_none()), "{renewals}");
}

#[tokio::test(start_paused = true)]
async fn where_all_are_down_they_are_tried_or_nobody_is() {
    for (when_all_down, serving, why) in [
        (WhenAllDown::TryAll, (Serving::All, 2, 2), "no other target is left"),
        (WhenAllDown::Fail, (Serving::Nobody, 0, 2), "all targets are down"),
    ] {
        let (pool, all, ..) = pool("a:1,b:1", Settings { when_all_down, ..Policy::RoundRobin.into() }).await;
        for backend in &all {
            pool.set_up(backend, false);
        }
        assert_eq!(pool.serving(), serving);
        assert_eq!(pool.why_nobody(), why);
        pool.set_up(&all[1], true);
        assert_eq!(pool.serving(), (Serving::Regular, 1, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_gets_its_share_step_by_step() {
    let settings = Settings { slow_start: Some(seconds(10)), ..Policy::RoundRobin.into() };
    let (pool, all, said, events) = pool("a:1,b:1", settings).await;
    // Not at the start.
    assert!(all.iter().all(|backend| backend.standing().slow_start.is_none()));
    let share = || all[0].standing().slow_start.map(|way| (way.share() * 20.0) as u32);
    pool.set_up(&all[0], false);
    assert_eq!(share(), None);
    pool.set_up(&all[0], true);
    assert_eq!(share(), Some(1));
    sleep(Duration::from_millis(4600)).await;
    assert_eq!(share(), Some(10));
    // A failure begins it anew.
    (0..3).for_each(|_| pool.failed(&all[0], "refused", &events));
    assert_eq!((share(), said.take().len()), (None, 1));
    sleep(seconds(10)).await;
    sleep(Duration::from_millis(600)).await;
    assert_eq!(share(), Some(2));
    sleep(seconds(10)).await;
    assert_eq!(share(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Failures, good connections and time in any order: somebody may always be chosen, and each target is ejected and let back
    /// in turn.
    #[test]
    fn failures_alone_never_leave_nobody(steps in prop::collection::vec((0_usize..4, 0_u8..8, 0_u64..30), 1..300)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let settings = Settings { ejection: Some(Ejection::default()), ..Policy::RoundRobin.into() };
            let (pool, all, said, events) = pool("a:1,b:1,c:1,d:1,backup", settings).await;
            let mut out = std::collections::HashSet::new();
            for (which, what, pause) in steps {
                match what {
                    0 => all[which].took(),
                    1 => sleep(seconds(pause)).await,
                    2 => pool.checked_well(&all[which], "", &events),
                    _ => pool.failed(&all[which], "refused", &events),
                }
                let (serving, usable, _) = pool.serving();
                assert!(usable > 0 && matches!(serving, Serving::Regular | Serving::Backups), "{serving:?}");
                for text in said.take() {
                    let target = text.split(' ').next().unwrap().to_owned();
                    if text.contains("ejected") {
                        assert!(out.insert(target), "{text}");
                    } else if text.contains("back:") {
                        assert!(out.remove(&target), "{text}");
                    }
                }
            }
            for backend in &all {
                assert_eq!(out.contains(&*backend.label), backend.standing().ejection.is_ejected());
            }
        });
    }
}
