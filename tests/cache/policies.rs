//! What the adaptive policy promises: the same bound and the same answers as any other, at least as many hits as an LRU has, but for a few,
//! on whatever is asked for, and far more where an LRU fails.

use std::sync::Barrier;
use std::thread;

use ahash::RandomState;
use nori_cache::{Cache, Policy};

const REQUESTS: u64 = 200_000;
/// Keys that are asked for.
const KEYS: u64 = 10_000;

fn cache(policy: Policy, max_keys: usize, shards: usize) -> Cache<u64, u64> {
    let builder = Cache::builder()
        .max_keys(max_keys)
        .shards(shards)
        .policy(policy);
    // Always the same, so that hits can be counted.
    let builder = builder.hasher(RandomState::with_seeds(1, 2, 3, 4));
    builder.build().expect("these settings are allowed")
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Many small numbers and few large ones, below `n`.
    fn skewed(&mut self, n: u64) -> u64 {
        let limit = 1 << self.below(u64::from(n.ilog2()) + 1);
        self.below(limit)
    }
}

/// The hits among requests for keys, each inserted when it is missed.
fn hits(cache: &Cache<u64, u64>, requests: &[u64]) -> u64 {
    let mut hits = 0;
    for &key in requests {
        match cache.get(&key) {
            Some(value) => {
                assert_eq!(value, key + 1);
                hits += 1;
            }
            None => {
                cache.insert(key, key + 1);
                assert!(cache.len() <= cache.max_keys());
            }
        }
    }
    hits
}

fn workloads() -> Vec<(&'static str, Vec<u64>)> {
    let mut random = Random(1);
    let mut at = KEYS / 2;
    let workload =
        |mut next: Box<dyn FnMut(u64) -> u64 + '_>| (0..REQUESTS).map(&mut next).collect();
    let skewed = workload(Box::new(|_| random.skewed(KEYS)));
    let loops = workload(Box::new(|nth| nth % KEYS));
    let there_and_back = workload(Box::new(|nth| {
        (nth % (2 * KEYS)).min(2 * KEYS - 1 - nth % (2 * KEYS))
    }));
    let scans = workload(Box::new(|nth| {
        if nth % 5_000 < 2_000 {
            KEYS + nth
        } else {
            random.skewed(KEYS)
        }
    }));
    let hot_set_that_moves = workload(Box::new(|nth| {
        let first = nth / 4_000 * 100;
        if random.below(10) < 9 {
            first + random.below(100)
        } else {
            random.below(KEYS)
        }
    }));
    let walk = workload(Box::new(|_| {
        at = (at + random.below(101)).saturating_sub(50).min(KEYS);
        at
    }));
    let phases = workload(Box::new(|nth| match nth / 20_000 % 3 {
        0 => nth % 4_000,
        1 => KEYS + nth / 3 - random.skewed(1_000).min(nth / 3),
        _ => random.skewed(KEYS),
    }));
    vec![
        ("skewed", skewed),
        ("loops", loops),
        ("there and back", there_and_back),
        ("scans", scans),
        ("hot set that moves", hot_set_that_moves),
        ("walk", walk),
        ("phases", phases),
    ]
}

/// Whatever is asked for, and however large the cache is, among so many requests at most so few hits are lost to an LRU.
#[test]
fn no_workload_loses_much() {
    for (name, requests) in workloads() {
        for (max_keys, shards) in [(20, 1), (500, 1), (2_000, 4)] {
            let [lru, adaptive] = [Policy::Lru, Policy::Adaptive]
                .map(|policy| hits(&cache(policy, max_keys, shards), &requests));
            let most = REQUESTS / 50;
            assert!(
                adaptive + most >= lru,
                "{name}: {adaptive} hits with {max_keys} keys in {shards} shards, an LRU has {lru}"
            );
        }
    }
}

/// A loop that is larger than the cache: an LRU has no hit at all, and nobody can have more than what stays of the loop.
#[test]
fn a_loop_keeps_what_fits() {
    for (max_keys, shards) in [(20, 1), (500, 1), (2_000, 4)] {
        let requests: Vec<u64> = (0..REQUESTS).map(|nth| nth % KEYS).collect();
        assert_eq!(hits(&cache(Policy::Lru, max_keys, shards), &requests), 0);
        let most = (REQUESTS - KEYS) * max_keys as u64 / KEYS;
        let adaptive = hits(&cache(Policy::Adaptive, max_keys, shards), &requests);
        assert!(
            adaptive <= most && adaptive >= most * 9 / 10,
            "{adaptive} of {most}"
        );
    }
}

/// Scans that come through do not wash out what is asked for again and again.
#[test]
fn scans_pass_through() {
    let mut random = Random(2);
    let requests: Vec<u64> = (0..REQUESTS)
        .map(|nth| {
            if nth % 2 == 0 {
                KEYS + nth
            } else {
                random.below(400)
            }
        })
        .collect();
    for shards in [1, 2] {
        let lru = hits(&cache(Policy::Lru, 512, shards), &requests);
        let adaptive = hits(&cache(Policy::Adaptive, 512, shards), &requests);
        assert!(
            adaptive > REQUESTS * 48 / 100,
            "{adaptive} hits, an LRU has {lru}"
        );
        assert!(adaptive > lru * 5 / 4, "{adaptive} hits, an LRU has {lru}");
    }
}

#[test]
fn the_bound_holds_at_every_moment() {
    const THREADS: u64 = 4;
    for (max_keys, shards) in [(1, 1), (2, 2), (50, 1), (700, 8)] {
        let cache = cache(Policy::Adaptive, max_keys, shards);
        let start = Barrier::new(THREADS as usize);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (cache, start) = (&cache, &start);
                scope.spawn(move || {
                    let mut random = Random(thread);
                    start.wait();
                    for _ in 0..20_000 {
                        let key = random.skewed(2_000);
                        match random.below(8) {
                            0 => _ = cache.remove(&key),
                            1 => _ = cache.insert(key, key + 1),
                            _ if cache.get(&key).is_none() => _ = cache.insert(key, key + 1),
                            _ => {}
                        }
                        assert!(cache.len() <= max_keys);
                    }
                });
            }
        });
        (0..max_keys as u64 * 2).for_each(|key| _ = cache.insert(key, key + 1));
        assert_eq!(cache.len(), max_keys);
        assert_eq!(cache.iter().count(), max_keys);
        cache.clear();
        assert_eq!((cache.len(), cache.iter().count()), (0, 0));
        cache.insert(1, 2);
        assert_eq!(cache.get(&1), Some(2));
    }
}

#[test]
fn an_update_keeps_its_key_and_evicts_none() {
    let cache = cache(Policy::Adaptive, 100, 1);
    (0..100).for_each(|key| _ = cache.insert(key, 0));
    for round in 1..50 {
        (0..100).for_each(|key| _ = cache.insert(key, round));
        assert!((0..100).all(|key| cache.get(&key) == Some(round)));
    }
    assert_eq!(cache.stats().evictions, 0);
}
