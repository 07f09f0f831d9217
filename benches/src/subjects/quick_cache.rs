//! quick_cache: sharded Clock-PRO.

use std::sync::Arc;

use ahash::RandomState;
use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};

use crate::{Key, Subject, Value};

type Inner<K, V> = Cache<K, V, UnitWeighter, RandomState, DefaultLifecycle<K, V>>;

/// `quick_cache::sync::Cache`.
pub struct QuickCache<K, V>(Arc<Inner<K, V>>);

impl<K: Key, V: Value> Subject<K, V> for QuickCache<K, V> {
    const NAME: &'static str = "quick_cache";

    fn fresh(capacity: usize) -> Self {
        Self(Arc::new(Cache::with(
            capacity,
            capacity as u64,
            UnitWeighter,
            crate::hasher(),
            DefaultLifecycle::default(),
        )))
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
