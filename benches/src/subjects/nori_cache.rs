//! Ours, with a time to live on every entry.

use std::time::Duration;

use nori_cache::Cache;

use crate::{Key, Subject, Value};

/// `nori_cache::Cache` with its default shard count and hasher (ahash) and a TTL of one hour.
pub struct NoriCache<K, V>(Cache<K, V>);

impl<K: Key, V: Value> Subject<K, V> for NoriCache<K, V> {
    const NAME: &'static str = super::OURS;

    fn fresh(capacity: usize) -> Self {
        let cache = Cache::<K, V>::builder()
            .max_keys(capacity)
            .ttl(Duration::from_secs(3600))
            .build()
            .expect("the workloads use capacities above zero");
        Self(cache)
    }

    fn share(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.get(key.lookup())
    }

    #[inline]
    fn read_with<R>(&mut self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.get_with(key.lookup(), read)
    }

    #[inline]
    fn get_many(&mut self, keys: &[K], each: impl FnMut(Option<V>)) {
        self.0
            .get_many(keys.iter().map(Key::lookup))
            .into_iter()
            .for_each(each);
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }
}
