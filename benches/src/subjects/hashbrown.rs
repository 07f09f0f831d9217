//! The floor: a hash map without synchronisation, recency, expiry or a bound.

use ahash::RandomState;
use hashbrown::HashMap;

use crate::{Key, Subject, Value};

/// `hashbrown::HashMap`, one thread only.
pub struct Hashbrown<K, V>(HashMap<K, V, RandomState>);

impl<K: Key, V: Value> Subject<K, V> for Hashbrown<K, V> {
    const NAME: &'static str = super::FLOOR;
    const EVICTS: bool = false;

    fn fresh(capacity: usize) -> Self {
        Self(HashMap::with_capacity_and_hasher(capacity, crate::hasher()))
    }

    fn share(&self) -> Option<Self> {
        None
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.get(key.lookup()).cloned()
    }

    #[inline]
    fn read_with<R>(&mut self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.get(key.lookup()).map(read)
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }
}
