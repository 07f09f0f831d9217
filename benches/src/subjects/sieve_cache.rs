//! sieve-cache: SIEVE behind sixteen mutexes.

use std::sync::Arc;

use ahash::RandomState;
use sieve_cache::ShardedSieveCache;

use crate::{Key, Subject, Value};

/// `sieve_cache::ShardedSieveCache`. It has no read in place that does not clone.
pub struct ShardedSieve<K: Key, V: Value>(Arc<ShardedSieveCache<K, V, RandomState>>);

impl<K: Key, V: Value> Subject<K, V> for ShardedSieve<K, V> {
    const NAME: &'static str = "sieve-cache";

    fn fresh(capacity: usize) -> Self {
        let cache = ShardedSieveCache::new_with_hasher(capacity, crate::hasher())
            .expect("the workloads use capacities above zero");
        Self(Arc::new(cache))
    }

    fn share(&self) -> Option<Self> {
        Some(Self(Arc::clone(&self.0)))
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.get(key.lookup())
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }
}
