//! Hashers that help nobody: every key the same hash, or a hash that is the key.

use std::hash::BuildHasher;
use std::thread;
use std::time::Duration;

use crate::support::{Constant, Identity, PATIENCE, Rng, within};
use nori_cache::{Cache, ManualClock, Update};

const KEYS: u64 = 500;

fn cache<S: BuildHasher>(max_keys: usize, shards: usize, hasher: S) -> Cache<u64, u64, S> {
    Cache::builder()
        .max_keys(max_keys)
        .shards(shards)
        .hasher(hasher)
        .build()
        .unwrap()
}

/// What must hold whatever the hashes are. `key` spreads `0..KEYS` (and some more) over `u64`.
fn correct<S: BuildHasher>(cache: &Cache<u64, u64, S>, key: impl Fn(u64) -> u64) {
    for n in 0..KEYS {
        assert_eq!(cache.get(&key(n)), None);
        cache.insert(key(n), n);
        assert_eq!(cache.get(&key(n)), Some(n));
    }
    assert_eq!(cache.len() as u64, KEYS);
    let keys: Vec<_> = (0..KEYS + 20).map(&key).collect();
    let expected: Vec<_> = (0..KEYS + 20).map(|n| (n < KEYS).then_some(n)).collect();
    assert_eq!(cache.get_many(&keys), expected);
    assert_eq!(cache.iter().count() as u64, KEYS);

    // A hole must not hide what lies behind it.
    for n in (0..KEYS).step_by(3) {
        assert!(cache.remove(&key(n)));
        assert!(!cache.remove(&key(n)));
    }
    for n in 0..KEYS {
        let expected = (n % 3 != 0).then_some(n);
        assert_eq!(cache.get(&key(n)), expected, "{n}");
    }
    for n in 0..KEYS {
        let changed = cache.update(key(n), |old| match old {
            Some(old) if n % 3 == 1 => Update::Set(old + 1_000),
            Some(_) => Update::Remove,
            None => Update::Set(n + 2_000),
        });
        assert!(changed);
    }
    for n in 0..KEYS {
        let expected = [Some(n + 2_000), Some(n + 1_000), None][n as usize % 3];
        assert_eq!(cache.take(&key(n)), expected, "{n}");
    }
    assert!(cache.is_empty());

    // Churn: holes come and go in one long chain, and lookups of what is not there must still end.
    let mut model = std::collections::BTreeMap::new();
    let mut rng = Rng(1);
    for step in 0..6_000 {
        let n = rng.below(KEYS);
        match rng.below(5) {
            0..2 => {
                cache.insert(key(n), step);
                model.insert(n, step);
            }
            2 => assert_eq!(cache.remove(&key(n)), model.remove(&n).is_some()),
            3 => assert_eq!(cache.get(&key(n)), model.get(&n).copied()),
            _ => assert!(!cache.contains_key(&key(KEYS + n))),
        }
        assert_eq!(cache.len(), model.len());
    }
    for n in 0..KEYS {
        assert_eq!(cache.peek(&key(n)), model.get(&n).copied());
    }
    cache.clear();
    assert_eq!(cache.get(&key(1)), None);
}

/// Where the entropy sits: nowhere near the bits that shards, buckets or tags are likely to be taken from.
const SPREADS: [fn(u64) -> u64; 6] = [
    |n| n,
    |n| n << 7,
    |n| n << 16,
    |n| n << 32,
    |n| n << 54,
    |n| !n,
];

#[test]
fn a_constant_hash_is_slow_but_right() {
    within(PATIENCE, || {
        for hash in [0, 1, u64::MAX, 1 << 63, 0x7f << 57] {
            for shards in [1, 8] {
                correct(&cache(1_000, shards, Constant(hash)), |n| n);
            }
        }
    });
}

#[test]
fn an_identity_hash_is_right_wherever_the_entropy_is() {
    within(PATIENCE, || {
        for spread in SPREADS {
            for shards in [1, 8] {
                correct(&cache(1_000, shards, Identity), spread);
            }
        }
    });
}

#[test]
fn a_constant_hash_evicts_the_least_recently_used() {
    let cache = cache(64, 1, Constant(0));
    for n in 0..64 {
        cache.insert(n, n);
    }
    for n in (0..64).step_by(2) {
        assert_eq!(cache.get(&n), Some(n));
    }
    for n in 100..132 {
        cache.insert(n, n);
    }
    for n in 0..64 {
        assert_eq!(cache.contains_key(&n), n % 2 == 0, "{n}");
    }
    assert!((100..132).all(|n| cache.get(&n) == Some(n)));
}

#[test]
fn a_full_house_of_collisions_churns() {
    within(PATIENCE, || {
        for hasher in [Constant(0), Constant(u64::MAX)] {
            let cache = cache(64, 4, hasher);
            for n in 0..3_000 {
                cache.insert(n, n);
                assert_eq!(cache.get(&n), Some(n));
                assert_eq!(cache.len() as u64, 64.min(n + 1));
            }
            // All in one shard, and few enough to be exactly LRU: the last sixty-four.
            let mut left: Vec<_> = cache.iter().map(|(k, _)| k).collect();
            left.sort_unstable();
            assert_eq!(left, (2_936..3_000).collect::<Vec<_>>());
        }
    });
}

#[test]
fn colliding_entries_expire_one_by_one() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64, Constant> = Cache::builder()
        .max_keys(1_000)
        .hasher(Constant(0))
        .clock(clock.clone())
        .build()
        .unwrap();
    for n in 0..300 {
        cache.insert_with_ttl(n, n, Duration::from_millis(1 + (n * 7) % 300));
    }
    for now in 1..=300 {
        clock.advance(Duration::from_millis(1));
        if now % 10 == 0 {
            cache.purge_expired();
        }
        if now % 15 == 0 {
            for n in 0..300 {
                assert_eq!(cache.contains_key(&n), 1 + (n * 7) % 300 > now);
            }
        }
    }
    cache.purge_expired();
    assert!(cache.is_empty());
}

#[test]
fn concurrent_writers_of_the_same_few_colliding_keys() {
    within(PATIENCE, || {
        let cache = cache(1_000, 8, Constant(42));
        // A value says which key it belongs to; keys 100.. are never removed.
        for key in 100..110 {
            cache.insert(key, key << 32);
        }
        thread::scope(|scope| {
            for seed in 0..4 {
                let cache = &cache;
                scope.spawn(move || {
                    let mut rng = Rng(seed);
                    for n in 0..8_000 {
                        let key = rng.below(8);
                        match rng.below(8) {
                            0..3 => _ = cache.insert(key, key << 32 | n),
                            3 => drop(cache.remove(&key)),
                            4 => {
                                let key = 100 + rng.below(10);
                                assert!(cache.update(key, |old| {
                                    let old = old.expect("nobody removes this key");
                                    assert_eq!(old >> 32, key);
                                    Update::Set(old + 1)
                                }));
                            }
                            5 => assert!(cache.take(&key).is_none_or(|v| v >> 32 == key)),
                            _ => assert!(cache.get(&key).is_none_or(|v| v >> 32 == key)),
                        }
                        let stable = 100 + n % 10;
                        let value = cache.get(&stable).expect("nobody removes this key");
                        assert_eq!(value >> 32, stable);
                    }
                });
            }
        });
        assert_eq!(cache.len(), cache.iter().count());
        assert!(cache.iter().all(|(key, value)| value >> 32 == key));
        for key in 0..8 {
            // Two entries of one key would show here.
            cache.remove(&key);
            assert!(!cache.contains_key(&key));
        }
        assert_eq!(cache.len(), 10);
    });
}

#[test]
fn concurrent_updates_of_colliding_keys_lose_nothing() {
    within(PATIENCE, || {
        let cache = cache(100, 1, Constant(7));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..2_000 {
                        cache.update(n % 5, |old| Update::Set(old.map_or(1, |v| v + 1)));
                    }
                });
            }
        });
        assert_eq!(cache.get_many(&[0, 1, 2, 3, 4]), [Some(1_600); 5]);
    });
}
