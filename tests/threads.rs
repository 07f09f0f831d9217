//! Threads that come and go, and threads that have a cache read while they end.

#[path = "support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::sync::{Arc, Barrier};
use std::thread::{self, ScopedJoinHandle};

use nori_cache::Cache;
use support::{Census, Counted, PATIENCE, quiet, within};

/// What may wait to be dropped in a small cache of one shard, beside what is in it: some batches of 8.
const LAG: usize = 64;

fn small() -> (Census, Cache<u64, Counted>) {
    let cache = Cache::builder().max_keys(10).shards(1).build().unwrap();
    (Census::new(), cache)
}

/// Inserts fresh keys; returns the most values that were alive.
fn fill(census: Census, cache: &Cache<u64, Counted>, count: u64) -> usize {
    let alive = (0..count).map(|n| {
        cache.insert(n, census.counted(n));
        census.alive()
    });
    alive.max().unwrap()
}

/// Waits for the ends of threads, destructors of thread-locals included, which the end of a scope does not.
fn join(threads: Vec<ScopedJoinHandle<'_, ()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn threads_that_have_ended_keep_nothing_waiting() {
    let _quiet = quiet();
    let (census, cache) = small();
    for _ in 0..3 {
        // All of them read before the first of them ends.
        let together = Barrier::new(200);
        thread::scope(|scope| {
            let run = || {
                cache.get_with(&1, |_| ());
                together.wait();
            };
            join((0..200).map(|_| scope.spawn(run)).collect());
        });
    }
    let most = fill(census, &cache, 5_000);
    assert!(most <= 10 + LAG, "{most} alive");
}

#[test]
fn idle_threads_keep_little_waiting() {
    let _quiet = quiet();
    let (census, cache) = small();
    let (read, end) = (Barrier::new(101), Barrier::new(101));
    let most = thread::scope(|scope| {
        let run = || {
            cache.get_with(&1, |_| ());
            read.wait();
            end.wait();
        };
        let idle = (0..100).map(|_| scope.spawn(run)).collect();
        read.wait();
        let most = fill(census, &cache, 5_000);
        end.wait();
        join(idle);
        most
    });
    // Batches are as large as there are threads.
    assert!(most <= 10 + LAG + 4 * 100, "{most} alive");
}

/// A value whose clone stands still until it is told to go on.
struct Parked {
    inside: Arc<Barrier>,
    go_on: Arc<Barrier>,
}

impl Clone for Parked {
    fn clone(&self) -> Self {
        self.inside.wait();
        self.go_on.wait();
        Self {
            inside: Arc::clone(&self.inside),
            go_on: Arc::clone(&self.go_on),
        }
    }
}

/// A clone runs inside of the epoch.
#[test]
fn what_queued_up_behind_a_parked_reader_is_dropped_soon_after() {
    let _quiet = quiet();
    within(PATIENCE, || {
        let (census, cache) = small();
        let [inside, go_on] = std::array::from_fn(|_| Arc::new(Barrier::new(2)));
        let other = Cache::new(10);
        let parked = Parked {
            inside: Arc::clone(&inside),
            go_on: Arc::clone(&go_on),
        };
        other.insert(1, parked);
        let reader = thread::spawn(move || drop(other.get(&1)));
        inside.wait();
        fill(census, &cache, 32_000);
        assert!(census.alive() >= 31_000);
        assert!(cache.stats().pending >= 31_000);
        go_on.wait();
        reader.join().unwrap();
        // One for each write, and 16 more.
        fill(census, &cache, 3_000);
        assert!(census.alive() <= 10 + LAG, "{} alive", census.alive());
        assert!(cache.stats().pending <= LAG as u64);
    });
}

/// However long they take, whatever the others do to their keys, and though each of them is in more closures than a record has cells for
/// on its own line.
#[test]
fn closures_that_stand_still_keep_their_entries_and_nothing_else() {
    const THREADS: u64 = 20;
    const DEEP: u64 = 6;
    fn nest(cache: &Cache<u64, Counted>, first: u64, depth: u64, innermost: &dyn Fn()) {
        let Some(depth) = depth.checked_sub(1) else {
            return innermost();
        };
        let check = |value: &Counted| {
            nest(cache, first, depth, innermost);
            assert_eq!(value.tag, first + depth);
        };
        let key = first + depth;
        if depth.is_multiple_of(2) {
            cache.get_with(&key, check).expect("it is there");
        } else {
            cache.update(key, |value| {
                check(value.expect("it is there"));
                nori_cache::Update::Keep
            });
        }
    }
    let _quiet = quiet();
    within(PATIENCE, || {
        let census = Census::new();
        let held = (THREADS * DEEP) as usize;
        let cache = Cache::builder().max_keys(held).shards(1).build().unwrap();
        let [inside, go_on] = [(); 2].map(|()| Barrier::new(THREADS as usize + 1));
        for key in 0..THREADS * DEEP {
            cache.insert(key, census.counted(key));
        }
        let most = thread::scope(|scope| {
            for reader in 0..THREADS {
                let (cache, inside, go_on) = (&cache, &inside, &go_on);
                let stand_still = move || {
                    inside.wait();
                    go_on.wait();
                };
                scope.spawn(move || nest(cache, reader * DEEP, DEEP, &stand_still));
            }
            inside.wait();
            let most = (0..30)
                .map(|_| {
                    cache.clear();
                    fill(census, &cache, 1_000)
                })
                .max();
            // All of the entries that are read have left, and are as they were.
            assert!(cache.stats().pending as usize >= held);
            go_on.wait();
            most.unwrap()
        });
        // What is read, what is in the cache, and some batches, of as many as there are readers.
        assert!(most <= 2 * held + LAG + 4 * 21, "{most} alive");
        fill(census, &cache, 3_000);
        assert!(
            census.alive() <= held + LAG + 4 * 21,
            "{} alive",
            census.alive()
        );
    });
}

/// Each of them reads and writes in the destructors of its thread-locals, when its record may be gone, nested, and while another
/// value of the cache is being read.
#[test]
fn threads_may_end_in_the_middle_of_much() {
    struct AtExit(Cache<u64, Counted>, Census);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let Self(cache, census) = self;
            for n in 0..50 {
                cache.insert(n % 12, census.counted(n));
                cache.get_with(&(n % 12), |outer| {
                    cache.remove(&outer.tag);
                    cache.get_with(&((n + 1) % 12), |inner| assert!(inner.tag < 50));
                    cache.insert(n % 5, census.counted(n));
                    assert!(outer.tag < 50);
                });
            }
        }
    }
    thread_local! {
        static EARLY: RefCell<Option<AtExit>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<AtExit>> = const { RefCell::new(None) };
    }
    let _quiet = quiet();
    let (census, cache) = small();
    for _ in 0..10 {
        thread::scope(|scope| {
            let run = || {
                EARLY.set(Some(AtExit(cache.clone(), census)));
                cache.get_with(&1, |_| ());
                LATE.set(Some(AtExit(cache.clone(), census)));
            };
            join((0..8).map(|_| scope.spawn(run)).collect());
        });
    }
    // What queued up while one of them was held up inside a read.
    fill(census, &cache, 3_000);
    assert!(census.alive() <= 10 + LAG, "{} alive", census.alive());
    cache.clear();
    assert_eq!(census.alive(), 0);
}
