//! Counters in memory under threads that add in place while others replace the entry.

use nori_cache::{CacheBackend, CacheBackendExt, MemoryCacheBackend, Ttl, Value};
use std::future::{Future, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// The answer of a future that is ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("in memory nothing waits"),
    }
}

/// Two threads add one by one until the third is done; all there is to count must be there in the end.
fn beside_increments(work: impl FnOnce(&MemoryCacheBackend) -> i64) {
    let backend = MemoryCacheBackend::new(100);
    let done = AtomicBool::new(false);
    let total = thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !done.load(Ordering::Relaxed) {
                        now(backend.incr("n", HOUR)).unwrap();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let worked = work(&backend);
        done.store(true, Ordering::Relaxed);
        let counted = threads.into_iter().map(|it| it.join().unwrap());
        counted.sum::<i64>() + worked
    });
    assert_eq!(now(backend.get("n")).unwrap(), Some(total));
}

#[test]
fn updates_that_replace_the_entry_lose_no_increment() {
    beside_increments(|backend| {
        let mut updates = 0;
        for _ in 0..20_000 {
            let add = |n: Option<i64>| ready(n.unwrap_or(0) + 1);
            match now(backend.atomic_update("n", HOUR, add)) {
                Ok(_) => updates += 1,
                Err(error) => assert!(error.is_contention(), "{error}"),
            }
        }
        assert!(updates > 0);
        updates
    });
}

#[test]
fn updates_in_place_lose_no_increment() {
    beside_increments(|backend| {
        let mut updates = 0;
        for _ in 0..20_000 {
            let add = |n: Option<i64>| ready(n.unwrap_or(0) + 1);
            match now(backend.atomic_update("n", None, add)) {
                Ok(_) => updates += 1,
                Err(error) => assert!(error.is_contention(), "{error}"),
            }
        }
        updates
    });
}

#[test]
fn large_steps_lose_no_small_one() {
    beside_increments(|backend| {
        for _ in 0..20_000 {
            now(backend.incr_by("n", 1 << 30, HOUR)).unwrap();
            now(backend.incr_by("n", -(1 << 30), HOUR)).unwrap();
        }
        0
    });
}

/// A counter that grows out of its cell, back and forth over the edge.
#[test]
fn the_edge_of_the_cell_loses_nothing() {
    let backend = MemoryCacheBackend::new(100);
    let edge = (1_i64 << 61) - 500;
    now(backend.incr_by("n", edge, HOUR)).unwrap();
    thread::scope(|scope| {
        for by in [1, 1, 1, -1] {
            let backend = &backend;
            scope.spawn(move || {
                for _ in 0..10_000 {
                    now(backend.incr_by("n", by, HOUR)).unwrap();
                }
            });
        }
    });
    assert_eq!(now(backend.get("n")).unwrap(), Some(edge + 20_000));
}

/// A set and a delete end a counter; what is acknowledged afterwards counts from there.
#[test]
fn a_set_starts_anew_for_increments_that_follow() {
    let backend = MemoryCacheBackend::new(100);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    now(backend.incr("n", HOUR)).unwrap();
                }
            });
        }
        for round in 1..2_000_i64 {
            let start = round << 32;
            now(backend.set("n", start, HOUR)).unwrap();
            let sum = now(backend.incr("n", HOUR)).unwrap();
            assert!(sum > start && sum < start + (1 << 32), "{sum:x}");
            now(backend.delete("n")).unwrap();
            let sum = now(backend.incr("n", HOUR)).unwrap();
            assert!(sum < 1 << 32, "{sum:x}");
            // As another process would have.
            let value = Value::encoded((-start).to_string());
            now(backend.set_value("n", value, Ttl::Never)).unwrap();
            assert!(now(backend.incr_by("n", 0, HOUR)).unwrap() < 0);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
