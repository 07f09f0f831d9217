//! dashmap: a sharded map under read-write locks that never evicts.

use std::sync::Arc;

use ahash::RandomState;

use crate::{Key, Subject, Value};

/// `dashmap::DashMap`.
pub struct DashMap<K, V>(Arc<dashmap::DashMap<K, V, RandomState>>);

impl<K: Key, V: Value> Subject<K, V> for DashMap<K, V> {
    const NAME: &'static str = "dashmap";
    const EVICTS: bool = false;

    fn fresh(capacity: usize) -> Self {
        Self(Arc::new(dashmap::DashMap::with_capacity_and_hasher(
            capacity,
            crate::hasher(),
        )))
    }

    fn share(&self) -> Option<Self> {
        Some(Self(Arc::clone(&self.0)))
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.get(key.lookup()).map(|guard| guard.value().clone())
    }

    #[inline]
    fn read_with<R>(&mut self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.get(key.lookup()).map(|guard| read(guard.value()))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }
}
