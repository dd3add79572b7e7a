//! The way of one direction's bytes through its delay and its rate.

use super::{Delay, Lane};
use crate::random::Random;
use bytes::Bytes;
use std::{collections::VecDeque, num::NonZeroU64, time::Duration};
use tokio::time::Instant;

/// Bytes that a direction without delay holds at most.
const ROOM: usize = 64 * 1024;
/// Bytes that a delay holds at most: 16 MiB, so that a delay of 200 ms lets 80 MiB a second through. What a rate cannot
/// let through within the delay is not read either.
const DELAYED: usize = 16 << 20;
/// How much of its time a rate may make up for: what a late timer cost, and no more, so that a second holds 2 % too much
/// at the most.
const CREDIT: Duration = Duration::from_millis(20);
/// How much is sent at one time under a rate.
const SLICE: Duration = Duration::from_millis(10);

/// What a push takes up at least: its time, where its bytes are, its share of their allocation.
const LEAST: usize = 64;

/// A delay line: bytes come out in the order in which they went in, each at its time, no faster than the rate. It is
/// bounded: who asks [`Line::has_room`] before each push holds at most 64 KiB more than the bytes in flight, which are
/// 16 MiB at most.
#[derive(Debug)]
pub struct Line {
    delay: Option<Delay>,
    pace: Option<Pace>,
    random: Random,
    held: VecDeque<(Instant, Bytes)>,
    /// The room that they take up.
    taken: usize,
    most: usize,
    /// When what went in last comes out: nothing overtakes it.
    last: Instant,
}

impl Line {
    /// An empty line. `id` and `salt` choose the jitter together with the seed.
    #[must_use]
    pub fn new(lane: &Lane, seed: u64, id: u64, salt: u64, now: Instant) -> Self {
        let most = match (lane.delay, lane.rate) {
            (None, _) => ROOM,
            (Some(_), None) => DELAYED,
            (Some(delay), Some(rate)) => {
                let within = delay.most().as_secs_f64() * rate.get() as f64;
                (within as usize).saturating_add(ROOM).min(DELAYED)
            }
        };
        let pace = lane.rate.map(|rate| Pace { rate, free_at: now });
        let random = Random::new(seed, id, salt);
        Self { delay: lane.delay, pace, random, held: VecDeque::new(), taken: 0, most, last: now }
    }

    /// Whether more may be put in.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.taken < self.most
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Puts in what arrived now.
    pub fn push(&mut self, bytes: Bytes, now: Instant) {
        let due = self.due_for(now);
        self.taken += room(bytes.len());
        self.held.push_back((due, bytes));
    }

    /// When what arrives now comes out: not before anything that came in earlier.
    pub fn due_for(&mut self, now: Instant) -> Instant {
        let late = self.delay.map_or(Duration::ZERO, |delay| {
            let jitter = delay.jitter.mul_f64(2.0 * self.random.unit());
            (delay.base + jitter).saturating_sub(delay.jitter)
        });
        self.last = self.last.max(now + late);
        self.last
    }

    /// When the next bytes may come out.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let (due, _) = self.held.front()?;
        Some(self.pace.as_ref().map_or(*due, |pace| pace.free_at.max(*due)))
    }

    /// Takes the next bytes out, at most so many, and as few as the rate says. At least one, where there is one.
    pub fn take(&mut self, most: usize, now: Instant) -> Bytes {
        let most = self.pace.as_ref().map_or(most, |pace| pace.slice().min(most));
        let Some((_, front)) = self.held.front_mut() else { return Bytes::new() };
        let before = room(front.len());
        let taken = front.split_to(front.len().min(most));
        self.taken -= before;
        if front.is_empty() {
            self.held.pop_front();
        } else {
            self.taken += room(front.len());
        }
        if let Some(pace) = &mut self.pace {
            pace.spend(taken.len(), now);
        }
        taken
    }
}

/// The room that so many bytes of one push take up.
fn room(bytes: usize) -> usize {
    bytes.max(LEAST)
}

/// A rate as a clock that each byte puts forward.
#[derive(Debug)]
struct Pace {
    rate: NonZeroU64,
    free_at: Instant,
}

impl Pace {
    fn slice(&self) -> usize {
        let slice = SLICE.as_secs_f64() * self.rate.get() as f64;
        (slice as usize).clamp(1, ROOM)
    }

    fn spend(&mut self, bytes: usize, now: Instant) {
        let from = now.checked_sub(CREDIT).map_or(self.free_at, |earliest| self.free_at.max(earliest));
        self.free_at = from + Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep_until;

    fn line(delay: Option<(u64, u64)>, rate: Option<u64>) -> Line {
        let delay = delay.map(|(base, jitter)| Delay { base: Duration::from_millis(base), jitter: Duration::from_millis(jitter) });
        let lane = Lane { delay, rate: rate.and_then(NonZeroU64::new), ..Lane::default() };
        Line::new(&lane, 7, 1, 0, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn a_jittered_delay_stays_within_its_bounds_and_keeps_the_order() {
        let (mut line, started) = (line(Some((200, 50)), None), Instant::now());
        let mut before = started;
        for i in 0..200_u8 {
            line.push(Bytes::copy_from_slice(&[i]), Instant::now());
            let (due, _) = line.held[usize::from(i)];
            // One that would overtake waits for the one before it.
            let late = due - Instant::now();
            assert!((Duration::from_millis(150)..=Duration::from_millis(250)).contains(&late), "{late:?}");
            assert!(due >= before);
            before = due;
            tokio::time::advance(Duration::from_millis(3)).await;
        }
        let mut out = Vec::new();
        while let Some(due) = line.due() {
            sleep_until(due).await;
            out.extend(line.take(usize::MAX, Instant::now()));
        }
        assert_eq!(out, (0..200).collect::<Vec<u8>>());
    }

    #[tokio::test(start_paused = true)]
    async fn every_second_holds_what_the_rate_says() {
        for rate in [1_000_u64, 65_536, 50_000_000] {
            let (mut line, started, mut seconds) = (line(None, Some(rate)), Instant::now(), [0_u64; 4]);
            loop {
                if line.has_room() {
                    line.push(Bytes::from_static(&[0; 16 * 1024]), Instant::now());
                }
                sleep_until(line.due().unwrap()).await;
                let second = started.elapsed().as_secs() as usize;
                let Some(count) = seconds.get_mut(second) else { break };
                *count += line.take(usize::MAX, Instant::now()).len() as u64;
            }
            for count in seconds {
                assert!((rate * 97 / 100..=rate * 103 / 100).contains(&count), "{rate}: {seconds:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_bytes_is_not_saved_up() {
        let mut line = line(None, Some(1000));
        tokio::time::advance(Duration::from_mins(1)).await;
        line.push(Bytes::from_static(&[0; 3000]), Instant::now());
        let started = Instant::now();
        while let Some(due) = line.due() {
            sleep_until(due).await;
            line.take(usize::MAX, Instant::now());
        }
        assert!(started.elapsed() > Duration::from_millis(2900), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_holds_what_is_in_flight_and_no_more() {
        let chunk = Bytes::from(vec![0; 64 * 1024]);
        for (mut line, most) in
            [(line(None, None), ROOM), (line(Some((200, 0)), None), DELAYED), (line(Some((1000, 0)), Some(100_000)), 100_000 + ROOM)]
        {
            while line.has_room() {
                line.push(chunk.clone(), Instant::now());
            }
            assert!((most..most + chunk.len()).contains(&line.taken), "{}", line.taken);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn single_bytes_count_for_what_they_take_up() {
        let (mut line, mut pushes) = (line(Some((200, 0)), None), 0);
        while line.has_room() {
            line.push(Bytes::from_static(b"x"), Instant::now());
            pushes += 1;
        }
        assert_eq!(pushes, DELAYED / LEAST);
        line.push(Bytes::from_static(&[0; 100]), Instant::now());
        while !line.is_empty() {
            line.take(33, Instant::now());
        }
        assert_eq!(line.taken, 0);
    }
}
