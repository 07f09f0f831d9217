//! `set_max_keys` and `set_max_weight`, beside whoever reads and writes.

use crate::support::Rng;
use nori_cache::{Cache, Inserted, ManualClock};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

fn cache(max_keys: usize, shards: usize) -> Cache<u64, u64> {
    Cache::builder()
        .max_keys(max_keys)
        .shards(shards)
        .build()
        .unwrap()
}

fn weighed(max_keys: usize, max_weight: u64, shards: usize) -> Cache<u64, u64> {
    Cache::builder()
        .max_keys(max_keys)
        .max_weight(max_weight)
        .shards(shards)
        .weigher(|_: &u64, weight: &u64| *weight)
        .build()
        .unwrap()
}

/// So many keys fit, and not one more.
#[track_caller]
fn holds(cache: &Cache<u64, u64>, first: u64) {
    let max = cache.max_keys() as u64;
    cache.clear();
    let evictions = cache.stats().evictions;
    (first..first + max).for_each(|n| _ = cache.insert(n, n));
    assert_eq!(cache.len() as u64, max);
    assert!((first..first + max).all(|n| cache.get(&n) == Some(n)));
    assert_eq!(cache.stats().evictions, evictions);
    cache.insert(first + max, 0);
    assert_eq!(cache.len() as u64, max);
    assert_eq!(cache.stats().evictions, evictions + 1);
}

#[test]
fn a_cache_that_shrinks_keeps_what_was_used_last() {
    let cache = cache(1_000, 1);
    (0..1_000).for_each(|n| _ = cache.insert(n, n));
    cache.set_max_keys(400).unwrap();
    assert_eq!((cache.max_keys(), cache.len()), (400, 400));
    assert!((600..1_000).all(|n| cache.contains_key(&n)));
    assert_eq!(cache.stats().evictions, 600);
    holds(&cache, 2_000);
}

#[test]
fn shards_shrink_in_proportion() {
    let cache = cache(10_000, 8);
    (0..10_000).for_each(|n| _ = cache.insert(n, n));
    cache.set_max_keys(5_000).unwrap();
    assert_eq!(cache.len(), 5_000);
    let late = (5_000..10_000).filter(|n| cache.contains_key(n)).count();
    assert!(late > 4_700, "{late} of the last 5,000 are left");
    holds(&cache, 20_000);
}

/// Through further segments of slots, and annexes of the index.
#[test]
fn a_cache_grows_to_ten_times_its_size() {
    for (max_keys, shards) in [(10, 1), (100, 1), (1_000, 4), (20_000, 16)] {
        let cache = cache(max_keys, shards);
        (0..max_keys as u64).for_each(|n| _ = cache.insert(n, n));
        cache.set_max_keys(10 * max_keys).unwrap();
        assert_eq!(cache.len(), max_keys);
        assert!((0..max_keys as u64).all(|n| cache.contains_key(&n)));
        holds(&cache, 1_000_000);
        cache.set_max_keys(max_keys).unwrap();
        holds(&cache, 2_000_000);
    }
}

/// Also one that was exact, and has outgrown that: what is used stays.
#[test]
fn a_cache_that_has_grown_evicts_what_was_used_least() {
    for max_keys in [50, 500] {
        let cache = cache(max_keys, 1);
        (0..max_keys as u64).for_each(|n| _ = cache.insert(n, n));
        (0..10).for_each(|n| _ = cache.get(&n));
        cache.set_max_keys(4_000).unwrap();
        (10_000..20_000).for_each(|n| {
            cache.insert(n, n);
            (0..10).for_each(|n| assert_eq!(cache.get(&n), Some(n)));
        });
        assert!((10..max_keys as u64).all(|n| !cache.contains_key(&n)));
        // An era is a thirty-second of what it holds now.
        let late = (20_000 - 3_600..20_000).filter(|n| cache.contains_key(n));
        assert_eq!(late.count(), 3_600);
    }
}

#[test]
fn what_was_read_last_stays_when_an_exact_list_gets_marks() {
    let cache = cache(100, 1);
    (0..100).for_each(|n| _ = cache.insert(n, n));
    (0..50).for_each(|n| _ = cache.get(&n));
    cache.set_max_keys(200).unwrap();
    cache.set_max_keys(50).unwrap();
    assert!((0..50).all(|n| cache.contains_key(&n)));
}

#[test]
fn weights_shrink_and_grow() {
    for shards in [1, 4] {
        let cache = weighed(10_000, 1_000, shards);
        (0..100).for_each(|n| _ = cache.insert(n, 10));
        cache.set_max_weight(105).unwrap();
        assert_eq!(cache.max_weight(), 105);
        assert_eq!((cache.weight(), cache.len()), (100, 10));
        assert_eq!(cache.stats().evicted_weight, 900);
        assert!(!cache.insert(1_000, 106).is_stored());
        cache.set_max_weight(u64::MAX).unwrap();
        assert_eq!(cache.weight(), 100);
        cache.insert(1_000, u64::MAX - 100);
        assert_eq!((cache.weight(), cache.len()), (u64::MAX, 11));
        cache.set_max_weight(1).unwrap();
        assert_eq!((cache.weight(), cache.len()), (0, 0));
        assert_eq!(cache.insert(1, 1), Inserted::Created);
    }
}

#[test]
fn expired_entries_go_first() {
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .max_keys(100)
        .clock(clock.clone())
        .build()
        .unwrap();
    (0..50).for_each(|n| _ = cache.insert(n, n));
    (50..100).for_each(|n| _ = cache.insert_with_ttl(n, n, Duration::from_secs(1)));
    clock.advance(Duration::from_secs(1));
    cache.set_max_keys(50).unwrap();
    assert!((0..50).all(|n| cache.contains_key(&n)));
    assert_eq!(cache.stats().evictions, 0);
}

#[test]
fn sizes_that_are_not_allowed() {
    let cache = weighed(100, 100, 4);
    let text = |error: nori_cache::Error| {
        assert!(error.is_invalid_config());
        error.to_string()
    };
    let error = text(cache.set_max_keys(0).unwrap_err());
    assert_eq!(error, "max_keys is 0; it must be at least 1");
    let error = text(cache.set_max_keys(usize::MAX).unwrap_err());
    assert!(error.ends_with("with 4 shards"), "{error}");
    let error = text(cache.set_max_weight(0).unwrap_err());
    assert_eq!(error, "max_weight is 0; it must be at least 1");
    assert_eq!((cache.max_keys(), cache.max_weight()), (100, 100));
    let plain = Cache::<u64, u64>::new(10);
    let error = text(plain.set_max_weight(10).unwrap_err());
    assert!(error.contains("weigher"), "{error}");
    (0..6).for_each(|n| _ = cache.insert_pinned(n, 10));
    let error = text(cache.set_max_keys(5).unwrap_err());
    assert_eq!(
        error,
        "max_keys is 5; it must be at least 6, as so many keys are pinned"
    );
    let error = text(cache.set_max_weight(59).unwrap_err());
    assert!(
        error.starts_with("max_weight is 59; it must be at least 60"),
        "{error}"
    );
    assert_eq!((cache.max_keys(), cache.max_weight()), (100, 100));
    cache.set_max_keys(6).unwrap();
    cache.set_max_weight(60).unwrap();
    assert_eq!((cache.len(), cache.weight()), (6, 60));
}

/// Writers, readers, and several that resize: the bound of the moment holds, and at the end all tokens are there.
#[test]
fn resizes_beside_writers() {
    for shards in [1, 8] {
        let cache = weighed(400, 2_000, shards);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let mut others = Vec::new();
            for seed in 0..4 {
                let (cache, done) = (&cache, &done);
                others.push(scope.spawn(move || {
                    let mut rng = Rng(seed + 1);
                    while !done.load(Ordering::Relaxed) {
                        let key = rng.below(600);
                        match rng.below(10) {
                            0 => _ = cache.remove(&key),
                            1 => _ = cache.get(&key),
                            2 => _ = cache.insert(key, rng.below(1_500)),
                            _ => _ = cache.insert(key, rng.below(10)),
                        }
                        // Whatever they are resized to.
                        assert!(cache.len() <= 800);
                        assert!(cache.weight() <= 4_000);
                    }
                }));
            }
            let resizers: Vec<_> = (0..2)
                .map(|seed| {
                    let cache = &cache;
                    scope.spawn(move || {
                        let mut rng = Rng(100 + seed);
                        for _ in 0..40 {
                            cache.set_max_keys(1 + rng.below(800) as usize).unwrap();
                            cache.set_max_weight(1 + rng.below(4_000)).unwrap();
                        }
                    })
                })
                .collect();
            resizers.into_iter().for_each(|it| it.join().unwrap());
            cache.set_max_keys(100).unwrap();
            cache.set_max_weight(300).unwrap();
            for _ in 0..10_000 {
                assert!(cache.len() <= 100 && cache.weight() <= 300);
            }
            done.store(true, Ordering::Relaxed);
            others.into_iter().for_each(|it| it.join().unwrap());
        });
        assert_eq!((cache.max_keys(), cache.max_weight()), (100, 300));
        let sum: u64 = cache.iter().map(|(_, weight)| weight).sum();
        assert_eq!(cache.weight(), sum);
        cache.clear();
        assert_eq!((cache.len(), cache.weight()), (0, 0));
        (0..100).for_each(|n| _ = cache.insert(n, 3));
        assert_eq!((cache.len(), cache.weight()), (100, 300));
    }
}

/// Values whose drop resizes the cache that they were in.
#[test]
fn a_drop_may_resize() {
    struct Resizes(Cache<u64, Resizes>);

    impl Drop for Resizes {
        fn drop(&mut self) {
            self.0.set_max_keys(50).unwrap();
        }
    }

    let cache = Cache::builder().max_keys(500).shards(4).build().unwrap();
    (0..500).for_each(|n| _ = cache.insert(n, Resizes(cache.clone())));
    cache.set_max_keys(60).unwrap();
    // Whether any of what has left has been dropped by now is for the readers of other caches to say.
    let max_keys = cache.max_keys();
    assert!([50, 60].contains(&max_keys));
    assert_eq!(cache.len(), max_keys);
    cache.clear();
}
