//! papaya: a concurrent map with lock-free reads that never evicts.

use std::sync::Arc;

use ahash::RandomState;
use papaya::HashMap;

use crate::{Key, Subject, Value};

/// `papaya::HashMap`, pinned for each operation.
pub struct Papaya<K, V>(Arc<HashMap<K, V, RandomState>>);

impl<K: Key, V: Value> Subject<K, V> for Papaya<K, V> {
    const NAME: &'static str = "papaya";
    const EVICTS: bool = false;

    fn fresh(capacity: usize) -> Self {
        Self(Arc::new(HashMap::with_capacity_and_hasher(
            capacity,
            crate::hasher(),
        )))
    }

    fn share(&self) -> Option<Self> {
        Some(Self(Arc::clone(&self.0)))
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.pin().get(key.lookup()).cloned()
    }

    #[inline]
    fn read_with<R>(&mut self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.pin().get(key.lookup()).map(read)
    }

    #[inline]
    fn get_many(&mut self, keys: &[K], each: impl FnMut(Option<V>)) {
        let map = self.0.pin();
        keys.iter()
            .map(|key| map.get(key.lookup()).cloned())
            .for_each(each);
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.pin().insert(key, value);
    }
}
