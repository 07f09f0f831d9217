//! Many threads at once. Bounded by operation counts, so that a slow machine takes longer but does the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::support::sealed::{Sealed, mixed};
use crate::support::{Census, Counted, PATIENCE, Rng, within};
use nori_cache::{Cache, ManualClock, Update};

/// Runs `mixed` on four threads that stay and on many more that come and go.
fn crowd(max_keys: usize, shards: usize, keys: u64) {
    within(PATIENCE, move || {
        let clock = ManualClock::new();
        let cache: Cache<u64, Sealed> = Cache::builder()
            .max_keys(max_keys)
            .shards(shards)
            .clock(clock.clone())
            .build()
            .unwrap();
        thread::scope(|scope| {
            for seed in 0..4 {
                let (cache, clock) = (&cache, &clock);
                scope.spawn(move || mixed(cache, clock, seed, keys, 15_000));
            }
            // More than any table of threads is likely to start with, three batches of them.
            for batch in 0..3 {
                let visitors: Vec<_> = (0..24)
                    .map(|n| {
                        let (cache, clock) = (&cache, &clock);
                        let seed = 100 * (batch + 1) + n;
                        scope.spawn(move || mixed(cache, clock, seed, keys, 100))
                    })
                    .collect();
                for visitor in visitors {
                    visitor.join().unwrap();
                }
            }
        });
        cache.purge_expired();
        let mut seen = 0;
        for (key, value) in cache.iter() {
            value.check(key);
            seen += 1;
        }
        assert_eq!(cache.len(), seen);
        for key in 0..keys {
            cache.remove(&key);
            assert!(!cache.contains_key(&key), "{key} was there twice");
        }
        assert_eq!(cache.len(), 0);
    });
}

#[test]
fn a_crowd_over_few_keys() {
    crowd(64, 1, 12);
}

#[test]
fn a_crowd_over_more_keys_than_fit() {
    crowd(200, 4, 1_000);
}

#[test]
fn a_crowd_over_many_keys() {
    crowd(20_000, 8, 30_000);
}

#[test]
fn a_crowd_that_fights_for_two_slots() {
    crowd(2, 1, 6);
}

#[test]
fn a_crowd_drops_everything_exactly_once() {
    within(PATIENCE, || {
        let census = Census::new();
        let cache: Cache<Counted, Counted> =
            Cache::builder().max_keys(150).shards(4).build().unwrap();
        let threads: Vec<_> = (0..24)
            .map(|seed| {
                let cache = cache.clone();
                thread::spawn(move || {
                    let mut rng = Rng(seed);
                    for _ in 0..800 {
                        let tag = rng.below(400);
                        let new = || census.counted(tag);
                        match rng.below(10) {
                            0..4 => _ = cache.insert(new(), new()),
                            4..6 => drop(cache.get(&tag).map(|v| assert_eq!(v.tag, tag))),
                            6 => drop(cache.take(&tag)),
                            7 => drop(cache.update(new(), |_| Update::Set(new()))),
                            8 if rng.below(100) == 0 => cache.clear(),
                            8 => drop(cache.remove(&tag)),
                            _ => assert!(cache.get_with(&tag, |v| v.tag == tag) != Some(false)),
                        }
                    }
                })
            })
            .collect();
        drop(cache);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(census.born() > 10_000);
        assert_eq!(census.alive(), 0);
    });
}

// ---- updates ---------------------------------------------------------------------------------------------------

#[test]
fn concurrent_updates_lose_nothing() {
    within(PATIENCE, || {
        let cache: Cache<&str, u64> = Cache::new(10);
        let runs = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        assert!(cache.update("hits", |old| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            Update::Set(old.map_or(1, |n| n + 1))
                        }));
                    }
                });
            }
        });
        assert_eq!(cache.get("hits"), Some(16_000));
        assert!(runs.into_inner() >= 16_000);
    });
}

#[test]
fn updates_that_remove_and_restore_lose_nothing() {
    within(PATIENCE, || {
        let cache: Cache<u64, u64> = Cache::builder().max_keys(64).shards(1).build().unwrap();
        let taken = AtomicU64::new(0);
        thread::scope(|scope| {
            for seed in 0..6 {
                let (cache, taken) = (&cache, &taken);
                scope.spawn(move || {
                    let mut rng = Rng(seed);
                    for _ in 0..2_000 {
                        let key = rng.below(3);
                        if rng.below(4) == 0 {
                            // Empties the counter: by an update that removes, or by take.
                            let mut found = 0;
                            if rng.below(2) == 0 {
                                cache.update(key, |old| {
                                    found = old.copied().unwrap_or(0);
                                    Update::Remove
                                });
                            } else {
                                found = cache.take(&key).unwrap_or(0);
                            }
                            taken.fetch_add(found, Ordering::Relaxed);
                        }
                        cache.update(key, |old| Update::Set(old.map_or(1, |n| n + 1)));
                    }
                });
            }
        });
        let left: u64 = cache.iter().map(|(_, n)| n).sum();
        assert_eq!(taken.into_inner() + left, 12_000);
    });
}
