//! What the index costs when a hasher does not spread keys over the shards.

use super::*;
use crate::core::meta::NEVER;
use crate::core::reclaim;
use crate::core::write::Write;

const SHARDS: usize = 1_024;
const KEYS: usize = 100_000;
/// Bytes of the index for each key of an evenly filled cache, and for each key that is there, at most.
const BYTES_OF_EVEN: usize = 12;
const BYTES_OF_KEY: usize = 26;

struct Skewed {
    store: Store<u64, ()>,
    /// How large the table's ranges and each shard's annex are.
    range: usize,
    annexes: Vec<usize>,
    /// How many keys have been filed again.
    filed: usize,
    most_bytes: usize,
}

impl Skewed {
    fn new(max_keys: usize, shards: usize) -> Self {
        Self {
            store: Store::new(max_keys, shards),
            range: 0,
            annexes: vec![0; shards],
            filed: 0,
            most_bytes: 0,
        }
    }

    /// The route of a key to this shard, as if by a hasher that knows how the store spreads hashes.
    fn route(&self, shard: usize, key: u64) -> Route {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        // Newton's iteration: each step doubles the number of right bits.
        let inverse = (0..6).fold(1_u64, |it, _| {
            it.wrapping_mul(2_u64.wrapping_sub(SPREAD.wrapping_mul(it)))
        });
        let bits = self.annexes.len().trailing_zeros();
        let mixed = key.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let spread = (shard as u64)
            .checked_shl(64 - bits)
            .map_or(mixed, |high| high | mixed >> bits);
        let route = Route::new(spread.wrapping_mul(inverse));
        assert_eq!(self.store.index().range_of(route), shard);
        route
    }

    fn insert(&mut self, shard: usize, key: u64) {
        let route = self.route(shard, key);
        let before = self.store.len();
        Write::new(&self.store, reclaim::domain(), reclaim::pin(), 0).insert(route, NEVER, key, ());
        self.account(shard, before);
    }

    fn remove(&mut self, shard: usize, key: u64) {
        let route = self.route(shard, key);
        let before = self.store.len();
        let mut write = Write::new(&self.store, reclaim::domain(), reclaim::pin(), 0);
        assert!(write.remove(route, |it| *it == key).is_some());
        drop(write);
        self.account(shard, before);
    }

    fn has(&self, shard: usize, key: u64) -> bool {
        let pin = reclaim::pin();
        let route = self.route(shard, key);
        self.store.find(&pin, route, |it| *it == key).is_some()
    }

    /// Notes what the index costs after a write to a shard; there were `before` keys in the store.
    fn account(&mut self, shard: usize, before: usize) {
        let index = self.store.index();
        let shards = self.annexes.len();
        if index.range() != self.range {
            self.range = index.range();
            self.filed += before;
            self.annexes = (0..shards).map(|it| index.annex_buckets(it)).collect();
        } else if index.annex_buckets(shard) != self.annexes[shard] {
            self.filed += index.annex_len(shard);
            self.annexes[shard] = index.annex_buckets(shard);
        } else {
            return;
        }
        self.most_bytes = self.most_bytes.max(self.bytes());
    }

    fn bytes(&self) -> usize {
        let annexes: usize = self.annexes.iter().sum();
        (self.range * self.annexes.len() + annexes) * 64
    }
}

#[test]
fn a_hasher_that_fills_one_shard_costs_little() {
    let mut skewed = Skewed::new(KEYS, SHARDS);
    for key in 0..KEYS as u64 {
        skewed.insert(7, key);
    }
    assert_eq!(skewed.store.len(), KEYS);
    assert!((0..KEYS as u64).all(|key| skewed.has(7, key)));
    let (bytes, filed) = (skewed.most_bytes, skewed.filed);
    assert!(
        bytes <= KEYS * (BYTES_OF_EVEN + BYTES_OF_KEY),
        "{bytes} bytes for {KEYS} keys"
    );
    assert!(filed <= KEYS * 3 / 2, "{filed} of {KEYS} keys filed again");
    skewed.store.validate();
}

/// Keys that move from shard to shard do not leave an annex for all of them in each; the few that stay do not keep it.
#[test]
fn an_annex_shrinks_as_its_keys_go() {
    const ALL: u64 = 5_000;
    const STAY: u64 = 10;
    let mut skewed = Skewed::new(2 * ALL as usize, 64);
    for shard in 0..64 {
        let first = shard as u64 * ALL;
        for key in first..first + ALL {
            skewed.insert(shard, key);
        }
        for key in first + STAY..first + ALL {
            skewed.remove(shard, key);
        }
        assert!((first..first + STAY).all(|key| skewed.has(shard, key)));
    }
    let (bytes, filed) = (skewed.bytes(), skewed.filed);
    assert!(
        bytes <= 2 * ALL as usize * BYTES_OF_EVEN + 64 * STAY as usize * BYTES_OF_KEY,
        "{bytes} bytes for {} keys",
        64 * STAY
    );
    assert!(
        filed <= 64 * ALL as usize * 3,
        "{filed} keys filed again in {} writes",
        64 * ALL * 2
    );
    skewed.store.validate();
}

/// Half of the shards, or fewer, get all keys: the others' ranges are in proportion, and no fill files all keys for each shard.
#[test]
fn hashers_that_use_some_of_the_shards_cost_little() {
    for used in [512, 128, 16, 2] {
        let mut skewed = Skewed::new(KEYS, SHARDS);
        // One shard after the other.
        for key in 0..KEYS {
            skewed.insert(key * used / KEYS, key as u64);
        }
        assert_eq!(skewed.store.len(), KEYS);
        let (bytes, filed) = (skewed.most_bytes, skewed.filed);
        assert!(
            bytes <= KEYS * (BYTES_OF_EVEN + BYTES_OF_KEY),
            "{bytes} bytes for {KEYS} keys in {used} shards"
        );
        assert!(
            filed <= KEYS * 10,
            "{filed} of {KEYS} keys filed again, in {used} shards"
        );
        skewed.store.validate();
    }
}

/// Clearing a shard takes its annex, and what comes then is found.
#[test]
fn a_shard_with_an_annex_is_cleared() {
    let mut skewed = Skewed::new(2_000, 64);
    for round in 0..2 {
        for key in 0..2_000 {
            skewed.insert(3, key);
        }
        assert!((0..2_000).all(|key| skewed.has(3, key)), "round {round}");
        skewed
            .store
            .clear(&skewed.store.context(reclaim::domain(), 0));
        assert_eq!(skewed.store.len(), 0);
        skewed.store.validate();
        skewed.account(3, 0);
        assert_eq!(skewed.annexes[3], 0);
    }
}

/// An update replaces its key's entry where that is, in the annex, and needs no room of its own.
#[test]
fn an_update_in_a_full_annex_hits_its_key() {
    const SHARD: usize = 5;
    let mut skewed = Skewed::new(2_000, 64);
    let mut grown = 0;
    for key in 0..2_000 {
        let before = skewed.annexes[SHARD];
        skewed.insert(SHARD, key);
        let after = skewed.annexes[SHARD];
        grown += usize::from(before > 0 && after > before);
        skewed.insert(SHARD, key);
        assert_eq!(skewed.store.index().annex_buckets(SHARD), after);
        assert!(skewed.has(SHARD, key), "{key}");
        assert_eq!(skewed.store.len() as u64, key + 1);
    }
    assert!(grown > 3, "the annex grew {grown} times");
    assert!((0..2_000).all(|key| skewed.has(SHARD, key)));
    skewed.store.validate();
}
