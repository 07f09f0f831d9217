//! mini-moka: moka's older, smaller sibling (dashmap 5 and TinyLFU).

use ahash::RandomState;
use mini_moka::sync::{Cache, ConcurrentCacheExt};

use crate::{Key, Subject, Value};

/// `mini_moka::sync::Cache`. Its lookups ask for `Arc<K>: Borrow<Q>`, so a `String` is looked up by `&String`.
pub struct MiniMoka<K, V>(Cache<K, V, RandomState>);

impl<K: Key, V: Value> Subject<K, V> for MiniMoka<K, V> {
    const NAME: &'static str = "mini-moka";

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
        self.0.get(key)
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }

    fn settle(&mut self) {
        self.0.sync();
    }
}
