//! `max_weight`: exact at every moment, and what is too heavy is refused.

use crate::support::{Constant, Rng};
use nori_cache::{Cache, Inserted, ManualClock, Refusal, Ttl, Update};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Each value weighs what it says.
fn cache(max_keys: usize, max_weight: u64, shards: usize) -> Cache<u64, u64> {
    Cache::builder()
        .max_keys(max_keys)
        .max_weight(max_weight)
        .shards(shards)
        .weigher(|_: &u64, weight: &u64| *weight)
        .build()
        .unwrap()
}

/// What is in the cache weighs what the cache says.
#[track_caller]
fn is_exact<S>(cache: &Cache<u64, u64, S>) {
    let sum: u64 = cache.iter().map(|(_, weight)| weight).sum();
    assert_eq!(cache.weight(), sum);
    assert!(sum <= cache.max_weight());
    assert!(cache.len() <= cache.max_keys());
}

#[test]
fn weights_add_up() {
    let cache = cache(100, 1_000, 4);
    assert_eq!((cache.weight(), cache.max_weight()), (0, 1_000));
    cache.insert(1, 10);
    cache.insert(2, 20);
    cache.insert(1, 15);
    assert_eq!(cache.weight(), 35);
    cache.update(2, |_| Update::Set(5));
    assert_eq!(cache.weight(), 20);
    assert!(cache.remove(&1));
    assert_eq!(cache.weight(), 5);
    assert_eq!(cache.take(&2), Some(5));
    cache.insert(3, 7);
    cache.retain(|_, _| false);
    cache.insert(4, 7);
    cache.clear();
    assert_eq!((cache.weight(), cache.len()), (0, 0));
    assert_eq!(cache.stats().evicted_weight, 0);
}

#[test]
fn a_cache_without_a_weigher_weighs_nothing() {
    let cache = Cache::new(10);
    cache.insert(1, 1);
    assert_eq!((cache.weight(), cache.max_weight()), (0, u64::MAX));
}

#[test]
fn both_bounds_hold() {
    let cache = cache(10, 1_000, 1);
    (0..20).for_each(|n| _ = cache.insert(n, 1));
    assert_eq!((cache.len(), cache.weight()), (10, 10));
    (0..20).for_each(|n| _ = cache.insert(n, 300));
    assert_eq!((cache.len(), cache.weight()), (3, 900));
    assert!((17..20).all(|n| cache.contains_key(&n)));
}

/// Others go in the order in which they were used, and no more than it takes.
#[test]
fn what_was_used_last_stays() {
    let cache = cache(100, 100, 1);
    (0..10).for_each(|n| _ = cache.insert(n, 10));
    cache.get(&0);
    cache.insert(10, 25);
    assert!([1, 2, 3].iter().all(|n| !cache.contains_key(n)));
    assert!([0, 4, 9, 10].iter().all(|n| cache.contains_key(n)));
    assert_eq!((cache.weight(), cache.len()), (95, 8));
    assert_eq!(cache.stats().evicted_weight, 30);
    assert_eq!(cache.stats().evictions, 3);
    cache.insert(11, 5);
    assert_eq!((cache.weight(), cache.stats().evictions), (100, 3));
}

/// One that is full to the brim of the entry that is to be replaced, also where that is the least recently used.
#[test]
fn an_entry_that_grows_evicts_others_and_not_itself() {
    for shards in [1, 4] {
        let cache = cache(100, 100, shards);
        cache.insert(0, 60);
        (1..=40).for_each(|n| _ = cache.insert(n, 1));
        assert_eq!(cache.insert(0, 100), Inserted::Replaced);
        assert_eq!((cache.weight(), cache.len()), (100, 1));
        assert_eq!(cache.stats().evictions, 40);
        assert_eq!(cache.insert(0, 1), Inserted::Replaced);
        (1..=99).for_each(|n| _ = cache.insert(n, 1));
        assert_eq!((cache.weight(), cache.len()), (100, 100));
        let sees = |value: Option<&u64>| {
            assert_eq!(value, Some(&1));
            Update::Set(50)
        };
        assert!(cache.update(0, sees));
        assert_eq!((cache.weight(), cache.len()), (100, 51));
        is_exact(&cache);
    }
}

/// Where the list has marks, and the entry is the oldest of all, in the era in which all others came too.
#[test]
fn the_oldest_of_an_era_grows() {
    let cache = cache(10_000, 100, 1);
    (0..5).for_each(|n| _ = cache.insert(n, 20));
    assert_eq!(cache.insert(0, 60), Inserted::Replaced);
    assert_eq!((cache.weight(), cache.len()), (100, 3));
    assert!(!cache.contains_key(&1) && !cache.contains_key(&2));
}

#[test]
fn one_heavy_entry_does_not_empty_its_shard_alone() {
    let cache = cache(1_000, 1_000, 4);
    (0..1_000).for_each(|n| _ = cache.insert(n, 1));
    cache.insert(1_000, 500);
    is_exact(&cache);
    // Those that were inserted last are spread over all shards, and so are those that are left.
    let late = (800..1_000).filter(|n| cache.contains_key(n)).count();
    assert!(late >= 150, "{late} of the last 200 are left");
    assert_eq!(cache.len(), 501);
}

#[test]
fn what_is_too_heavy_is_refused() {
    let cache = cache(10, 100, 1);
    (0..5).for_each(|n| _ = cache.insert(n, 20));
    let refused = Inserted::Refused(Refusal::TooHeavy);
    assert_eq!(cache.insert(9, 101), refused);
    assert_eq!((cache.len(), cache.weight()), (5, 100));
    // No old value instead.
    assert_eq!(cache.insert(0, u64::MAX), refused);
    assert_eq!(cache.get(&0), None);
    assert!(cache.update(1, |_| Update::Set(101)));
    assert!(!cache.update(1, |_| Update::Set(101)));
    assert_eq!(cache.get(&1), None);
    assert_eq!((cache.len(), cache.weight()), (3, 60));
    assert_eq!(cache.stats().refusals, 4);
    assert_eq!(cache.insert(0, 100), Inserted::Created);
    assert_eq!((cache.len(), cache.weight()), (1, 100));
}

#[test]
fn entries_without_weight_take_a_key() {
    let cache = cache(3, 10, 1);
    assert_eq!(cache.insert(0, 10), Inserted::Created);
    (1..3).for_each(|n| _ = cache.insert(n, 0));
    assert_eq!((cache.len(), cache.weight()), (3, 10));
    cache.insert(3, 0);
    assert_eq!((cache.len(), cache.weight()), (3, 0));
    cache.insert(4, 10);
    assert_eq!((cache.len(), cache.weight()), (3, 10));
}

#[test]
fn a_weigher_that_panics_changes_nothing() {
    let cache: Cache<u64, u64> = Cache::builder()
        .max_weight(100)
        .weigher(|_: &u64, weight: &u64| {
            assert!(*weight < 50, "too much for me");
            *weight
        })
        .build()
        .unwrap();
    cache.insert(1, 40);
    let panics = |f: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
    panics(&|| _ = cache.insert(1, 50));
    panics(&|| _ = cache.insert(2, 50));
    panics(&|| _ = cache.update(1, |_| Update::Set(50)));
    panics(&|| _ = cache.insert_pinned(1, 50));
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(40), None));
    assert_eq!((cache.weight(), cache.len()), (40, 1));
    assert_eq!(cache.stats().inserts, 1);
}

/// An entry leaves with the weight that it came with.
#[test]
fn a_weigher_that_changes_its_mind_is_asked_once() {
    let calls = std::sync::Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_weight(1_000)
        .max_keys(10)
        .weigher(move |_: &u64, _: &u64| counted.fetch_add(1, Ordering::Relaxed) + 1)
        .build()
        .unwrap();
    for round in 0..100 {
        cache.insert(round % 20, round);
        cache.get(&round);
        if round % 7 == 0 {
            cache.remove(&(round % 20));
        }
    }
    assert_eq!(calls.load(Ordering::Relaxed), 100);
    cache.clear();
    assert_eq!(cache.weight(), 0);
    cache.insert(1, 1);
    assert_eq!(cache.weight(), 101);
}

#[test]
fn expired_entries_make_room_first() {
    for shards in [1, 4] {
        let clock = ManualClock::new();
        let cache = Cache::builder()
            .max_keys(1_000)
            .max_weight(100)
            .shards(shards)
            .weigher(|_: &u64, weight: &u64| *weight)
            .clock(clock.clone())
            .build()
            .unwrap();
        (0..50).for_each(|n| _ = cache.insert(n, 1));
        (50..100).for_each(|n| _ = cache.insert_with_ttl(n, 1, Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(cache.weight(), 100);
        assert_eq!(cache.insert(100, 50), Inserted::Created);
        assert!((0..50).all(|n| cache.contains_key(&n)));
        assert_eq!(cache.stats().evictions, 0);
        assert_eq!(cache.weight(), 100);
        cache.insert(101, 3);
        assert_eq!((cache.stats().evictions, cache.weight()), (3, 100));
    }
}

#[test]
fn all_keys_may_collide() {
    let cache: Cache<u64, u64, Constant> = Cache::builder()
        .max_keys(200)
        .max_weight(500)
        .shards(4)
        .weigher(|_: &u64, weight: &u64| *weight)
        .hasher(Constant(1))
        .build()
        .unwrap();
    let mut rng = Rng(7);
    for _ in 0..5_000 {
        cache.insert(rng.below(300), rng.below(40));
        assert!(cache.weight() <= 500);
    }
    is_exact(&cache);
}

/// Many writers of light and heavy entries, and one that looks at all times.
#[test]
fn no_moment_is_too_heavy() {
    const WEIGHT: u64 = 1_000;
    for shards in [1, 4, 16] {
        let cache = cache(300, WEIGHT, shards);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut most = 0;
                loop {
                    let last = done.load(Ordering::Acquire);
                    let (weight, len) = (cache.weight(), cache.len());
                    assert!(weight <= WEIGHT, "{weight}");
                    assert!(len <= 300, "{len}");
                    most = most.max(weight);
                    if last {
                        break most;
                    }
                }
            });
            let writers: Vec<_> = (0..8)
                .map(|seed| {
                    let cache = &cache;
                    scope.spawn(move || {
                        let mut rng = Rng(seed + 1);
                        for _ in 0..4_000 {
                            let key = rng.below(400);
                            match rng.below(20) {
                                0 => _ = cache.remove(&key),
                                1 => _ = cache.insert(key, 600 + rng.below(500)),
                                2 => {
                                    _ = cache.update(key, |old| {
                                        Update::Set(old.map_or(1, |old| (old * 2).min(WEIGHT)))
                                    })
                                }
                                3 => _ = cache.insert_with_ttl(key, 30, Ttl::Never),
                                _ => _ = cache.insert(key, rng.below(20)),
                            }
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|it| it.join().unwrap());
            done.store(true, Ordering::Release);
            assert!(watcher.join().unwrap() > 0);
        });
        is_exact(&cache);
        // Nothing is lost either: so much fits.
        cache.clear();
        assert_eq!(cache.weight(), 0);
        assert_eq!(cache.insert(0, WEIGHT), Inserted::Created);
        assert_eq!(cache.weight(), WEIGHT);
    }
}

/// Entries that each need more than half of all there is: one of them at a time, and nobody waits for ever.
#[test]
fn heavy_writers_do_not_starve_each_other() {
    for shards in [1, 8] {
        let cache = cache(1_000, 100, shards);
        thread::scope(|scope| {
            for seed in 0..8 {
                let cache = &cache;
                scope.spawn(move || {
                    let mut rng = Rng(seed + 1);
                    for n in 0..500 {
                        let heavy = 51 + rng.below(50);
                        assert!(cache.insert(seed * 1_000 + n, heavy).is_stored());
                        (0..5).for_each(|_| _ = cache.insert(rng.below(10_000) + 10_000, 1));
                    }
                });
            }
        });
        is_exact(&cache);
    }
}
