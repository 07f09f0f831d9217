//! moka: TinyLFU over a lock-free map, with read and write logs.

use ahash::RandomState;
use moka::sync::Cache;

use crate::{Key, Subject, Value};

/// `moka::sync::Cache`.
pub struct Moka<K, V>(Cache<K, V, RandomState>);

impl<K: Key, V: Value> Subject<K, V> for Moka<K, V> {
    const NAME: &'static str = "moka";

    fn fresh(capacity: usize) -> Self {
        let cache = Cache::builder()
            .max_capacity(capacity as u64)
            .build_with_hasher(crate::hasher());
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
    fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }

    fn settle(&mut self) {
        self.0.run_pending_tasks();
    }
}
