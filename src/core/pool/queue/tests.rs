use super::*;
use crate::{
    addr::TargetSpec,
    pool::{Asked, Lease, Pool, Settings},
};
use std::sync::{Arc, Mutex as StdMutex};
use tokio::task::{JoinHandle, yield_now};

async fn pool(text: &str, limits: Limits) -> Pool {
    Pool::new(&TargetSpec::list(text).unwrap(), Settings { limits, ..Settings::default() }).await.unwrap()
}

fn look(pool: &Pool) -> Found<Lease> {
    pool.pick(Asked::default()).next().map_or(Found::Nothing, Found::Place)
}

type Came = Arc<StdMutex<Vec<(usize, Lease)>>>;

/// A client that waits for a place and keeps it in `came`.
fn client(pool: &Pool, number: usize, came: &Came) -> JoinHandle<Result<(), Unplaced>> {
    let (pool, came) = (pool.clone(), came.clone());
    tokio::spawn(async move {
        let lease = pool.queue().join()?.turn(|| look(&pool)).await?;
        came.lock().unwrap().push((number, lease));
        Ok(())
    })
}

async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test]
async fn limits_are_kept_and_the_others_are_tried() {
    let pool = pool("a:1,max=2,b:1", Limits { most: NonZeroUsize::new(1), ..Limits::default() }).await;
    let held: Vec<_> = std::iter::from_fn(|| pool.pick(Asked::default()).next()).collect();
    assert_eq!(held.iter().filter(|lease| &*lease.label == "a:1").count(), 2);
    assert_eq!(held.len(), 3);
    let mut picks = pool.pick(Asked::default());
    assert!(picks.next().is_none() && picks.is_full());
    drop(held);
    assert_eq!(pool.pick(Asked::default()).count(), 2);
}

#[tokio::test]
async fn the_first_that_came_gets_the_first_place_and_one_place_wakes_one() {
    let pool = pool("a:1,max=1,b:1,max=1", Limits::default()).await;
    let mut held: Vec<_> = pool.pick(Asked::default()).collect();
    let came = Came::default();
    let mut clients = Vec::new();
    for number in 0..5 {
        clients.push(client(&pool, number, &came));
        settle().await;
    }
    assert_eq!(pool.queue().waiting(), 5);
    // Whoever leaves without a turn is nobody's loss.
    clients[1].abort();
    drop(held.pop());
    settle().await;
    assert_eq!(came.lock().unwrap().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0]);
    drop(held.pop());
    settle().await;
    assert_eq!(came.lock().unwrap().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 2]);
    // Two places at once.
    came.lock().unwrap().clear();
    settle().await;
    assert_eq!(came.lock().unwrap().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(pool.queue().waiting(), 0);
}

#[tokio::test]
async fn what_changes_in_the_pool_wakes_who_waits() {
    let pool = pool("a:1,max=1,b:1,max=1", Limits::default()).await;
    pool.stand(&pool.backends()[1], |standing| standing.draining = true);
    let _held: Vec<_> = pool.pick(Asked::default()).collect();
    let came = Came::default();
    let waiting = client(&pool, 0, &came);
    settle().await;
    assert!(came.lock().unwrap().is_empty());
    pool.stand(&pool.backends()[1], |standing| standing.draining = false);
    waiting.await.unwrap().unwrap();
    assert_eq!(&*came.lock().unwrap()[0].1.label, "b:1");
}

#[tokio::test(start_paused = true)]
async fn who_was_refused_where_places_are_free_does_not_hold_up_the_others() {
    let pool = pool("a:1,b:1,max=1", Limits::default()).await;
    let mut picks: Vec<_> = (0..3).map(|_| pool.pick(Asked::default())).collect();
    let held = picks.iter_mut().map(|picks| picks.next().unwrap()).find(|lease| &*lease.label == "b:1").unwrap();
    let came = Came::default();
    // Each was refused by the one that has places.
    let refused = |number: usize| {
        let (mut picks, came) = (pool.pick(Asked::default()), came.clone());
        let first = picks.next().unwrap();
        assert_eq!(&*first.label, "a:1");
        drop(first);
        assert!(picks.next().is_none() && picks.is_full());
        tokio::spawn(async move {
            let lease = picks.wait(|_| ()).await.unwrap().unwrap();
            came.lock().unwrap().push((number, lease));
        })
    };
    let clients = [refused(0), refused(1)];
    settle().await;
    for _ in 0..2 {
        let mut next = pool.pick(Asked::default());
        assert!(next.first().is_none() && next.is_full());
        let lease = timeout(Duration::from_secs(1), next.wait(|_| ())).await.unwrap().unwrap().unwrap();
        assert_eq!(&*lease.label, "a:1");
    }
    assert_eq!(pool.queue().waiting(), 2);
    drop(held);
    settle().await;
    assert_eq!(
        came.lock().unwrap().iter().map(|(number, lease)| (*number, lease.label.to_string())).collect::<Vec<_>>(),
        [(0, "b:1".into())]
    );
    came.lock().unwrap().clear();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(came.lock().unwrap()[0].0, 1);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_length_and_in_time() {
    let limits = Limits { most: NonZeroUsize::new(1), waiting: 1, patience: Duration::from_secs(3) };
    let pool = pool("a:1", limits).await;
    let _held: Vec<_> = pool.pick(Asked::default()).collect();
    let came = Came::default();
    let first = client(&pool, 0, &came);
    settle().await;
    assert_eq!(client(&pool, 1, &came).await.unwrap(), Err(Unplaced::Full(1)));
    let started = tokio::time::Instant::now();
    assert_eq!(first.await.unwrap(), Err(Unplaced::TimedOut(Duration::from_secs(3))));
    assert_eq!((started.elapsed().as_secs(), pool.queue().waiting()), (3, 0));
}

/// Many come, wait, give up and leave at once on several threads: nobody waits for a place that is free.
#[test]
fn no_place_is_lost() {
    let built = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pool = built().block_on(pool("a:1,b:1", Limits { most: NonZeroUsize::new(2), waiting: 10_000, patience: Duration::from_mins(1) }));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                built().block_on(async {
                    let one = |number: usize| {
                        let pool = pool.clone();
                        tokio::spawn(async move {
                            let lease = pool.queue().join().unwrap().turn(|| look(&pool)).await.unwrap();
                            for _ in 0..number % 3 {
                                yield_now().await;
                            }
                            drop(lease);
                        })
                    };
                    let all: Vec<_> = (0..500).map(|number| one(number + thread)).collect();
                    all.iter().step_by(7).for_each(JoinHandle::abort);
                    for task in all {
                        // Those that were aborted say so.
                        let _ = task.await;
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((pool.queue().waiting(), pool.is_idle()), (0, true));
    assert!(pool.pick(Asked::default()).next().is_some());
}
