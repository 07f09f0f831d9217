//! Entries that are not evicted.

use crate::support::Rng;
use nori_cache::{Cache, Inserted, ManualClock, Refusal, Update};
use std::thread;
use std::time::Duration;

fn cache(max_keys: usize, shards: usize) -> Cache<u64, u64> {
    Cache::builder()
        .max_keys(max_keys)
        .shards(shards)
        .build()
        .unwrap()
}

const FULL: Inserted = Inserted::Refused(Refusal::Pinned);

#[test]
fn what_is_pinned_stays() {
    for shards in [1, 8] {
        let cache = cache(100, shards);
        (0..50).for_each(|n| assert_eq!(cache.insert_pinned(n, n), Inserted::Created));
        (100..10_000).for_each(|n| _ = cache.insert(n, n));
        assert!((0..50).all(|n| cache.get(&n) == Some(n) && cache.is_pinned(&n)));
        assert_eq!(cache.len(), 100);
        assert!(!cache.is_pinned(&9_999) && !cache.is_pinned(&77));
    }
}

#[test]
fn a_cache_full_of_pinned_entries_refuses() {
    for shards in [1, 8] {
        let cache = cache(20, shards);
        (0..20).for_each(|n| _ = cache.insert_pinned(n, n));
        assert_eq!(cache.insert(20, 0), FULL);
        assert_eq!(cache.insert_pinned(20, 0), FULL);
        assert!(!cache.update(20, |_| Update::Set(0)));
        assert_eq!(cache.len(), 20);
        assert_eq!(cache.stats().refusals, 3);
        // A key of its own has its room.
        assert_eq!(cache.insert_pinned(3, 4), Inserted::Replaced);
        assert!(cache.update(3, |_| Update::Set(5)));
        assert!(cache.is_pinned(&3));
        assert_eq!(cache.insert(3, 6), Inserted::Replaced);
        assert!(!cache.is_pinned(&3));
        assert_eq!(cache.insert(20, 0), Inserted::Created);
        assert_eq!(cache.get(&3), None);
        assert!(cache.remove(&5));
        assert_eq!(cache.insert_pinned(21, 0), Inserted::Created);
        assert_eq!(cache.insert(22, 0), Inserted::Created);
        assert_eq!(cache.get(&20), None);
    }
}

#[test]
fn what_is_unpinned_goes_in_its_turn() {
    let cache = cache(3, 1);
    cache.insert_pinned(1, 1);
    cache.insert(2, 2);
    cache.insert(3, 3);
    assert!(cache.unpin(&1));
    assert!(!cache.unpin(&1) && !cache.unpin(&2) && !cache.unpin(&9));
    cache.insert(4, 4);
    assert_eq!((cache.get(&2), cache.get(&1)), (None, Some(1)));
    cache.insert(5, 5);
    cache.insert(6, 6);
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(cache.get(&4), None);
}

#[test]
fn what_is_pinned_expires_and_is_removed() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_keys(4)
        .ttl(Duration::from_secs(1))
        .clock(clock.clone())
        .build()
        .unwrap();
    (0..4).for_each(|n| _ = cache.insert_pinned(n, n));
    assert_eq!(cache.insert(9, 9), FULL);
    clock.advance(Duration::from_secs(1));
    assert!(!cache.is_pinned(&0) && !cache.unpin(&0));
    assert_eq!(cache.insert(9, 9), Inserted::Created);
    cache.purge_expired();
    assert_eq!(cache.len(), 1);
    (0..3).for_each(|n| _ = cache.insert_pinned(n, n));
    assert_eq!(cache.take(&0), Some(0));
    cache.retain(|key, _| *key != 1);
    assert_eq!(cache.len(), 2);
    cache.clear();
    assert_eq!(cache.len(), 0);
    (0..4).for_each(|n| _ = cache.insert(n, n));
    (4..8).for_each(|n| _ = cache.insert_pinned(n, n));
    assert_eq!(cache.insert(0, 0), FULL);
}

#[test]
fn pinned_weight_leaves_no_room() {
    for shards in [1, 4] {
        let cache: Cache<u64, u64> = Cache::builder()
            .max_keys(100)
            .max_weight(100)
            .shards(shards)
            .weigher(|_: &u64, weight: &u64| *weight)
            .build()
            .unwrap();
        cache.insert_pinned(0, 70);
        (1..=30).for_each(|n| _ = cache.insert(n, 1));
        assert_eq!(cache.insert(50, 31), FULL);
        assert_eq!((cache.weight(), cache.len()), (100, 31), "evicted in vain");
        assert_eq!(cache.insert(50, 30), Inserted::Created);
        assert_eq!((cache.weight(), cache.len()), (100, 2));
        // In its own place a pinned entry may grow as far as the cache.
        assert_eq!(cache.insert_pinned(0, 100), Inserted::Replaced);
        assert_eq!((cache.weight(), cache.len()), (100, 1));
        assert_eq!(cache.insert(1, 1), FULL);
        assert_eq!(cache.insert(1, 0), Inserted::Created);
        assert_eq!(
            cache.insert_pinned(0, 101),
            Inserted::Refused(Refusal::TooHeavy)
        );
        assert_eq!((cache.weight(), cache.len()), (0, 1));
        assert_eq!(cache.insert(1, 100), Inserted::Replaced);
    }
}

/// Writers that pin and unpin at the same time: nobody hangs, and at the end nothing is lost.
#[test]
fn pins_beside_writers() {
    for shards in [1, 8] {
        let cache = cache(64, shards);
        thread::scope(|scope| {
            for seed in 0..6 {
                let cache = &cache;
                scope.spawn(move || {
                    let mut rng = Rng(seed + 1);
                    for n in 0..5_000 {
                        let key = rng.below(100);
                        match rng.below(6) {
                            0 | 1 => _ = cache.insert_pinned(key, n),
                            2 => _ = cache.unpin(&key),
                            3 => _ = cache.remove(&key),
                            4 => _ = cache.is_pinned(&key),
                            _ => _ = cache.insert(key, n),
                        }
                        assert!(cache.len() <= 64);
                    }
                });
            }
        });
        (0..100).for_each(|key| _ = cache.unpin(&key));
        (1_000..1_064).for_each(|key| assert_eq!(cache.insert_pinned(key, 0), Inserted::Created));
        assert_eq!(cache.len(), 64);
        assert_eq!(cache.insert(1, 1), FULL);
    }
}
