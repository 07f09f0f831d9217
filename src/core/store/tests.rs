//! All organs of a store together.

use super::*;
use crate::core::list::RENEWAL;
use crate::core::meta::NEVER;
use crate::core::reclaim;
use crate::core::shard::Counts;
use crate::core::wheel::STEPS;
use crate::core::write::{SWEEP, Write};
use std::collections::HashMap;

/// Random writes against a map, under each policy: every organ stays whole, and what the store holds is what was last written.
fn random_writes(max_keys: usize, shards: usize, keys: u64, hash_bits: u32) {
    for policy in [Policy::Lru, Policy::Adaptive] {
        let store = Store::with(Plan {
            policy,
            ..Plan::plain(max_keys, shards)
        });
        random_writes_to(&store, keys, hash_bits);
    }
}

fn random_writes_to(store: &Store<u64, u64>, keys: u64, hash_bits: u32) {
    let max_keys = store.max_keys();
    let domain = reclaim::domain();
    let mut last = HashMap::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for now in 1..4_000_u64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let key = random % keys;
        let route = Route::new(key & ((1 << hash_bits) - 1));
        let mut write = Write::new(store, domain, reclaim::pin(), now);
        match random >> 60 {
            0 => {
                let is_it = |it: &u64| *it == key;
                let removed = write.remove(route, is_it);
                assert_eq!(
                    removed.map(|entry| entry.value),
                    removed.and(last.remove(&key))
                );
            }
            1..=4 => {
                let pin = reclaim::pin();
                if let Some(hit) = store.find(&pin, route, |it| *it == key) {
                    assert_eq!(Some(&hit.entry.value), last.get(&key));
                    store.touch(&pin, route, &hit);
                }
            }
            kind => {
                let deadline = if kind < 10 {
                    now + random % 500 + 1
                } else {
                    NEVER
                };
                last.insert(key, now);
                write.insert(route, deadline, key, now);
            }
        }
        drop(write);
        assert!(store.len() <= max_keys);
        if now % 16 == 0 {
            store.validate();
        }
    }
    store.clear(&store.context(domain, 4_000));
    assert_eq!(store.len(), 0);
    store.validate();
}

#[test]
fn organs_agree_in_one_exact_shard() {
    random_writes(50, 1, 100, 64 - 1);
}

#[test]
fn organs_agree_in_large_shards() {
    random_writes(600, 4, 1_000, 64 - 1);
}

#[test]
fn organs_agree_when_all_keys_collide() {
    random_writes(200, 2, 400, 0);
}

/// In a shard out of many that gets so much that it has an annex.
#[test]
fn organs_agree_when_most_keys_go_to_one_shard() {
    random_writes(400, 64, 800, 0);
    random_writes(400, 64, 800, 3);
}

/// What a write may cost, beside the sweep: its share, as often as it takes its lock.
const SHARE: u64 = 4 * 3;

struct Timed {
    store: Store<u64, u64>,
    now: u64,
    next: u64,
    costliest: u64,
}

impl Timed {
    /// A store that is full, of entries that were inserted in a burst.
    fn full(max_keys: usize, shards: usize, ttl: impl Fn(u64) -> u64) -> Self {
        let mut timed = Self {
            store: Store::new(max_keys, shards),
            now: 1,
            next: 0,
            costliest: 0,
        };
        for n in 0..max_keys as u64 {
            timed.now = 1 + n / 500;
            timed.insert(ttl(n));
        }
        timed.costliest = 0;
        timed
    }

    /// Inserts a new key, and notes how many ids of the wheels that took.
    fn insert(&mut self, ttl: u64) {
        let key = self.next;
        self.next += 1;
        let route = Route::new(key.wrapping_mul(0xbf58_476d_1ce4_e5b9));
        let deadline = self.now + ttl;
        let before = STEPS.get();
        Write::new(&self.store, reclaim::domain(), reclaim::pin(), self.now)
            .insert(route, deadline, key, deadline);
        self.costliest = self.costliest.max(STEPS.get() - before);
    }

    fn count(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.store
            .shards()
            .iter()
            .map(|it| of(&it.counts().0))
            .sum()
    }

    fn expired(&self) -> usize {
        let pin = reclaim::pin();
        let mut expired = 0;
        for shard in 0..self.store.shards().len() {
            self.store.for_each(&pin, shard, |hit| {
                expired += usize::from(hit.entry.value <= self.now);
            });
        }
        expired
    }
}

/// At every moment of a cache's life, however its entries came: also when the wheels' coarsest buckets come due.
#[test]
fn no_write_pays_for_all_that_is_filed() {
    const KEYS: u64 = 20_000;
    let ttls: [fn(u64) -> u64; 4] = [
        |_| 300_000,
        |n| 300_000 - n,
        |n| 262_100 + n * 7 % 101,
        // One that is due among many that are not.
        |n| if n == KEYS / 2 { 262_144 } else { 300_000 + n },
    ];
    for (number, ttl) in ttls.into_iter().enumerate() {
        for shards in [1, 4] {
            let mut timed = Timed::full(KEYS as usize, shards, ttl);
            for now in (260_000..264_000)
                .chain(279_000..281_000)
                .chain(299_900..302_000)
            {
                timed.now = now;
                timed.insert(1_000_000);
            }
            let most = u64::from(SWEEP) + SHARE;
            let costliest = timed.costliest;
            assert!(
                costliest <= most,
                "{costliest} ids in one write, {number}, {shards} shards"
            );
        }
    }
}

/// Where none of many entries is due, nobody looks at them.
#[test]
fn a_sweep_with_nothing_expired_costs_nothing() {
    let mut timed = Timed::full(20_000, 4, |_| 300_000);
    timed.now = 262_144;
    for _ in 0..100 {
        timed.insert(300_000);
    }
    assert_eq!(timed.costliest, 0);
}

/// A write that finds no expired entry among so many ids evicts a live one, and the next goes on from there: live ones go
/// before expired ones for a bounded number of writes.
#[test]
fn writes_catch_up_with_what_has_expired() {
    const KEYS: u64 = 20_000;
    // Those that are due first are found last.
    let mut timed = Timed::full(KEYS as usize, 1, |n| {
        if n < KEYS / 2 { 270_000 } else { 400_000 }
    });
    timed.now = 270_000 + KEYS / 500;
    let passes = 7 * KEYS / u64::from(SWEEP);
    for _ in 0..passes {
        timed.insert(1_000_000);
    }
    let evicted = timed.count(|counts| counts.evictions);
    assert!(evicted <= passes, "{evicted} live entries evicted");
    while timed.expired() > 0 {
        timed.insert(1_000_000);
        let now = timed.count(|counts| counts.evictions);
        assert_eq!(now, evicted, "evicted with {} expired", timed.expired());
    }
    assert_eq!(timed.count(|counts| counts.expirations), KEYS / 2);
}

/// In an exact list that is hardly ever written reads lie further apart than stamps can tell; they keep their order all the same.
#[test]
fn billions_of_reads_keep_their_order() {
    const KEYS: u64 = 20;
    let store = Store::new(KEYS as usize, 1);
    let write = || Write::new(&store, reclaim::domain(), reclaim::pin(), 0);
    (0..KEYS).for_each(|key| _ = write().insert(Route::new(key), NEVER, key, key));
    let read = |key: u64| {
        let (pin, route) = (reclaim::pin(), Route::new(key));
        let hit = store.find(&pin, route, |it| *it == key)?;
        store.touch(&pin, route, &hit);
        Some(hit.entry.value)
    };
    let order: Vec<u64> = (0..KEYS).map(|n| n * 7 % KEYS).collect();
    for (n, &key) in (1..).zip(&order) {
        // Each is the next of those that renew the stamps.
        store.shards()[0].skip_to(n * RENEWAL);
        assert_eq!(read(key), Some(key));
    }
    for (new, &oldest) in (KEYS..).zip(&order) {
        write().insert(Route::new(new), NEVER, new, new);
        assert_eq!(read(oldest), None, "{oldest} was used least recently");
    }
}
