//! One subject, one action, some threads, some time.

use std::{
    hint::black_box,
    sync::{
        Barrier,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use super::scenario::{Action, BATCH};
use crate::{Key, Subject, Value};

/// Caches and branch predictors are warmed for the `n`-th part of the measured time first.
pub const WARM_UP_SHARE: u32 = 5;

/// What one cell measured.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Requests per second, summed over the threads.
    pub rate: f64,
    /// Hits among the reads; `None` without reads.
    pub hit_ratio: Option<f64>,
}

// The phases of a cell, told to the threads through one word.
pub(super) const WARM_UP: u8 = 0;
pub(super) const MEASURE: u8 = 1;
pub(super) const STOP: u8 = 2;

/// A walk over the request array in circles, batch by batch.
pub(super) struct Walk<'k, K> {
    keys: &'k [K],
    next: usize,
}

impl<'k, K> Walk<'k, K> {
    /// Starts near request `start`; the array holds at least one batch.
    pub(super) fn new(keys: &'k [K], start: usize) -> Self {
        let next = start % keys.len() / BATCH * BATCH;
        Self { keys, next }
    }

    pub(super) fn batch(&mut self) -> &'k [K] {
        if self.next + BATCH > self.keys.len() {
            self.next = 0;
        }
        let batch = &self.keys[self.next..self.next + BATCH];
        self.next += BATCH;
        batch
    }
}

/// What the requests of one thread came to.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    requests: u64,
    reads: u64,
    hits: u64,
}

/// Runs `threads` handles of `subject` and sums them up; `None` if the subject cannot be shared among so many.
pub fn run<K: Key, V: Value, S: Subject<K, V>>(
    subject: &mut S,
    action: Action,
    keys: &[K],
    start: usize,
    threads: usize,
    time: Duration,
) -> Option<Sample> {
    let mut shared: Vec<S> = (1..threads)
        .map(|_| subject.share())
        .collect::<Option<_>>()?;
    let phase = AtomicU8::new(WARM_UP);
    let barrier = Barrier::new(threads + 1);
    let results: Vec<(Tally, Duration)> = thread::scope(|scope| {
        let workers: Vec<_> = std::iter::once(subject)
            .chain(&mut shared)
            .enumerate()
            .map(|(nth, handle)| {
                let walk = Walk::new(keys, start + nth * keys.len() / threads);
                let (phase, barrier) = (&phase, &barrier);
                scope.spawn(move || work::<K, V, S>(handle, action, walk, phase, barrier))
            })
            .collect();
        thread::sleep(time / WARM_UP_SHARE);
        phase.store(MEASURE, Relaxed);
        barrier.wait();
        thread::sleep(time);
        phase.store(STOP, Relaxed);
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a subject panicked"))
            .collect()
    });
    let reads: u64 = results.iter().map(|(tally, _)| tally.reads).sum();
    let hits: u64 = results.iter().map(|(tally, _)| tally.hits).sum();
    Some(Sample {
        rate: results
            .iter()
            .map(|(tally, elapsed)| tally.requests as f64 / elapsed.as_secs_f64())
            .sum(),
        hit_ratio: (reads > 0).then(|| hits as f64 / reads as f64),
    })
}

/// Goes over `requests` requests from request `start` on, on the calling thread, without measuring.
pub fn walk<K: Key, V: Value, S: Subject<K, V>>(
    subject: &mut S,
    action: Action,
    keys: &[K],
    start: usize,
    requests: usize,
) {
    let mut walk = Walk::new(keys, start);
    for _ in 0..requests.div_ceil(BATCH) {
        perform(subject, action, walk.batch());
    }
}

fn work<K: Key, V: Value, S: Subject<K, V>>(
    subject: &mut S,
    action: Action,
    mut walk: Walk<'_, K>,
    phase: &AtomicU8,
    barrier: &Barrier,
) -> (Tally, Duration) {
    while phase.load(Relaxed) == WARM_UP {
        perform(subject, action, walk.batch());
    }
    barrier.wait();
    let start = Instant::now();
    let mut total = Tally::default();
    while phase.load(Relaxed) == MEASURE {
        let batch = perform(subject, action, walk.batch());
        total.requests += BATCH as u64;
        total.reads += batch.reads;
        total.hits += batch.hits;
    }
    (total, start.elapsed())
}

#[inline]
pub(super) fn perform<K: Key, V: Value, S: Subject<K, V>>(
    subject: &mut S,
    action: Action,
    batch: &[K],
) -> Tally {
    let mut reads = batch.len();
    let mut hits = 0;
    match action {
        Action::Get => {
            for key in batch {
                hits += usize::from(black_box(subject.get(key)).is_some());
            }
        }
        Action::ReadInPlace => {
            for key in batch {
                let byte = subject.read_with(key, |value| black_box(value.first_byte()));
                hits += usize::from(byte.is_some());
            }
        }
        Action::GetMany => {
            for keys in batch.chunks(32) {
                subject.get_many(keys, |value| {
                    hits += usize::from(black_box(value).is_some());
                });
            }
        }
        Action::UpdateEvery(n) => {
            reads -= batch.len() / n;
            for group in batch.chunks_exact(n) {
                let (update, gets) = (&group[n - 1], &group[..n - 1]);
                for key in gets {
                    hits += usize::from(black_box(subject.get(key)).is_some());
                }
                subject.update(update.clone(), V::from_id(n as u64));
            }
        }
        Action::Insert => {
            reads = 0;
            for key in batch {
                subject.insert(key.clone(), V::from_id(1));
            }
        }
        Action::GetOrInsert => {
            for key in batch {
                match black_box(subject.get(key)) {
                    Some(_) => hits += 1,
                    None => subject.insert(key.clone(), V::from_id(1)),
                }
            }
        }
    }
    Tally {
        requests: batch.len() as u64,
        reads: reads as u64,
        hits: hits as u64,
    }
}
