//! stretto: a port of ristretto (sampled LFU, writes applied by a background thread).

use std::{hash::Hash, marker::PhantomData};

use ahash::RandomState;
use stretto::{
    Cache, CacheBuilder, DefaultCacheCallback, DefaultCoster, DefaultUpdateValidator, KeyBuilder,
};

use crate::{Key, Subject, Value};

type Inner<K, V> = Cache<
    K,
    V,
    AhashKeys<K>,
    DefaultCoster<V>,
    DefaultUpdateValidator<V>,
    DefaultCacheCallback<V>,
    RandomState,
>;

/// `stretto::Cache` with ten counters per entry, as its documentation advises. An insert is only queued and may be
/// dropped, so its insert numbers measure less than a store.
pub struct Stretto<K: Key, V: Value>(Inner<K, V>);

/// stretto keeps two 64-bit hashes in place of the key.
pub struct AhashKeys<K> {
    index: RandomState,
    conflict: RandomState,
    key: PhantomData<fn(K)>,
}

impl<K: Key> KeyBuilder for AhashKeys<K> {
    type Key = K;

    #[inline]
    fn hash_index<Q>(&self, key: &Q) -> u64
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.index.hash_one(key)
    }

    #[inline]
    fn hash_conflict<Q>(&self, key: &Q) -> u64
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.conflict.hash_one(key)
    }
}

impl<K: Key, V: Value> Subject<K, V> for Stretto<K, V> {
    const NAME: &'static str = "stretto";

    fn fresh(capacity: usize) -> Self {
        let keys = AhashKeys {
            index: crate::hasher(),
            conflict: crate::hasher(),
            key: PhantomData,
        };
        let cache = CacheBuilder::new(capacity * 10, capacity as i64)
            .set_key_builder(keys)
            .set_hasher(crate::hasher())
            .finalize()
            .expect("counters and cost are above zero");
        Self(cache)
    }

    fn share(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
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
        self.0.insert(key, value, 1);
    }

    fn settle(&mut self) {
        self.0.wait().expect("stretto's worker is alive");
    }
}
