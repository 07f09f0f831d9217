//! What the cache asks the allocator for: nothing on a hit, nothing on an insert once it has grown.

use crate::TURN;
use crate::counting::{allocations, bytes};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nori_cache::{Cache, Error, ManualClock, Update};

#[test]
fn the_counter_counts() {
    let _turn = TURN.blocking_lock();
    assert_eq!(allocations(|| drop(Box::new(1_u64))), 1);
}

#[test]
fn a_hit_allocates_nothing() {
    let _turn = TURN.blocking_lock();
    let cache: Cache<String, Arc<[u8; 64]>> = Cache::builder()
        .max_keys(1_000)
        .ttl(Duration::from_secs(300))
        .build()
        .unwrap();
    let keys: Vec<_> = (0..1_000)
        .map(|n| format!("user:{n:011}:profile"))
        .collect();
    for key in &keys {
        cache.insert(key.clone(), Arc::new([0; 64]));
    }
    // The thread's first read of all may.
    assert!(cache.get(&keys[0]).is_some());
    let during = allocations(|| {
        for key in &keys {
            let key = key.as_str();
            assert!(cache.get(key).is_some());
            assert_eq!(cache.get_with(key, |v| v[0]), Some(0));
            assert!(cache.peek(key).is_some());
            assert!(cache.contains_key(key));
            assert!(cache.ttl(key).is_some());
            assert!(cache.get("nobody").is_none());
        }
        assert_eq!(cache.stats().hits, 2_001);
    });
    assert_eq!(during, 0);
}

/// The output of a future that is ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a hit waits for nothing"),
    }
}

#[test]
fn a_load_that_hits_allocates_nothing() {
    let _turn = TURN.blocking_lock();
    let cache: Cache<String, Arc<[u8; 64]>> = Cache::new(1_000);
    let keys: Vec<_> = (0..1_000)
        .map(|n| format!("user:{n:011}:profile"))
        .collect();
    for key in &keys {
        cache.insert(key.clone(), Arc::new([0; 64]));
    }
    assert!(cache.get(&keys[0]).is_some());
    let during = allocations(|| {
        for key in &keys {
            let key = key.as_str();
            cache.get_or_insert_with(key, || unreachable!("it is there"));
            now(cache.get_or_insert_async(key, || async { unreachable!("it is there") }));
            let load = || async { Err(Error::closed()) };
            assert!(now(cache.try_get_or_insert_async(key, load)).is_ok());
        }
    });
    assert_eq!(during, 0);
}

#[test]
fn a_batch_allocates_its_answer_and_nothing_else() {
    let _turn = TURN.blocking_lock();
    let cache: Cache<u64, u64> = Cache::new(1_000);
    for n in 0..1_000 {
        cache.insert(n, n);
    }
    let keys: Vec<u64> = (0..200).collect();
    let during = allocations(|| {
        assert!(cache.get_many(&keys).iter().all(Option::is_some));
    });
    assert_eq!(during, 1);
}

/// What 100 000 writes of a kind allocate in a full cache that has seen as many before. A list of free slots or the like
/// may still double here and there.
fn steady(write: impl Fn(&Cache<u64, u64>, u64)) -> u64 {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_keys(10_000)
        .shards(4)
        .clock(clock.clone())
        .build()
        .unwrap();
    let writes = |numbers: std::ops::Range<u64>| {
        for n in numbers {
            write(&cache, n);
            if n % 50 == 0 {
                clock.advance(Duration::from_millis(1));
            }
        }
    };
    for n in 0..10_000 {
        cache.insert(n, n);
    }
    writes(0..100_000);
    allocations(|| writes(100_000..200_000))
}

const DOUBLINGS: u64 = 64;

#[test]
fn an_insert_that_evicts_allocates_nothing() {
    let _turn = TURN.blocking_lock();
    let during = steady(|cache, n| _ = cache.insert(n, n));
    assert!(during <= DOUBLINGS, "{during} allocations");
}

#[test]
fn an_update_allocates_nothing() {
    let _turn = TURN.blocking_lock();
    let during = steady(|cache, n| {
        assert!(cache.update(n % 500, |_| Update::Set(n)));
    });
    assert!(during <= DOUBLINGS, "{during} allocations");
}

#[test]
fn a_removal_allocates_nothing() {
    let _turn = TURN.blocking_lock();
    let during = steady(|cache, n| {
        cache.insert(n, n);
        cache.remove(&(n - n % 7));
    });
    assert!(during <= DOUBLINGS, "{during} allocations");
}

#[test]
fn an_insert_that_finds_others_expired_allocates_nothing() {
    let _turn = TURN.blocking_lock();
    let during = steady(|cache, n| {
        cache.insert_with_ttl(n, n, Duration::from_millis(1 + n % 500));
    });
    assert!(during <= DOUBLINGS, "{during} allocations");
}

/// Bytes an entry of a full cache, its key and value included, after `insert` has put in each of so many keys.
fn bytes_an_entry(keys: u64, insert: impl Fn(&Cache<u64, u64>, u64)) -> f64 {
    let before = bytes();
    let cache = Cache::builder()
        .max_keys(keys as usize)
        .shards(8)
        .ttl(Duration::from_secs(300))
        .build()
        .unwrap();
    (0..keys).for_each(|key| insert(&cache, key));
    assert_eq!(cache.len() as u64, keys);
    (bytes() - before) as f64 / keys as f64
}

#[test]
fn a_large_cache_of_entries_with_deadlines_takes_48_bytes_for_each() {
    let _turn = TURN.blocking_lock();
    let taken = bytes_an_entry(1_000_000, |cache, key| _ = cache.insert(key, key));
    // Where addresses are dear, most slots lie in segments of doubling size, the last of which is half empty.
    let most = if cfg!(nori_portable) { 96.0 } else { 48.0 };
    assert!(taken <= most, "{taken} bytes an entry");
}

/// What takes another's place and is due earlier costs more: not again for each time that happens.
#[test]
fn entries_that_are_due_earlier_than_those_before_them_take_a_bounded_amount() {
    let _turn = TURN.blocking_lock();
    let taken = bytes_an_entry(100_000, |cache, key| {
        for seconds in (1..10).rev() {
            cache.insert_with_ttl(key, key, Duration::from_secs(seconds * 1_000));
        }
    });
    assert!(taken <= 96.0, "{taken} bytes an entry");
}
