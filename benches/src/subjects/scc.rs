//! scc: a bucket-locked cache, 32-way associative with LRU inside each bucket.

use std::sync::Arc;

use ahash::RandomState;
use scc::{HashCache, hash_cache::Entry};

use crate::{Key, Subject, Value};

/// `scc::HashCache`. Reads go through `get_sync`, since `read_sync` does not refresh the entry.
pub struct SccHashCache<K, V>(Arc<HashCache<K, V, RandomState>>);

impl<K: Key, V: Value> Subject<K, V> for SccHashCache<K, V> {
    const NAME: &'static str = "scc";

    fn fresh(capacity: usize) -> Self {
        // A minimum of zero: it grows with its content, as the others do.
        Self(Arc::new(HashCache::with_capacity_and_hasher(
            0,
            capacity,
            crate::hasher(),
        )))
    }

    fn share(&self) -> Option<Self> {
        Some(Self(Arc::clone(&self.0)))
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0
            .get_sync(key.lookup())
            .map(|entry| entry.get().clone())
    }

    #[inline]
    fn read_with<R>(&mut self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.get_sync(key.lookup()).map(|entry| read(entry.get()))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        if let Err((key, value)) = self.0.put_sync(key, value) {
            self.update(key, value);
        }
    }

    #[inline]
    fn update(&mut self, key: K, value: V) {
        match self.0.entry_sync(key) {
            Entry::Occupied(mut entry) => {
                entry.put(value);
            }
            Entry::Vacant(entry) => {
                entry.put_entry(value);
            }
        }
    }
}
