//! Threads that come and go, and threads that have a cache read while they end.

#[path = "support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::sync::{Arc, Barrier, mpsc};
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

#[test]
fn what_queued_up_behind_a_parked_reader_is_dropped_soon_after() {
    let _quiet = quiet();
    within(PATIENCE, || {
        let (census, cache) = small();
        let other: Cache<u64, u64> = Cache::new(10);
        other.insert(1, 1);
        let (open, opened) = mpsc::channel::<()>();
        let inside = Arc::new(Barrier::new(2));
        let theirs = Arc::clone(&inside);
        let reader = thread::spawn(move || {
            other.get_with(&1, |_| {
                theirs.wait();
                opened.recv().expect("it is opened");
            });
        });
        inside.wait();
        fill(census, &cache, 32_000);
        assert!(census.alive() >= 31_000);
        open.send(()).unwrap();
        reader.join().unwrap();
        // One for each write, and 16 more.
        fill(census, &cache, 3_000);
        assert!(census.alive() <= 10 + LAG, "{} alive", census.alive());
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
