//! foyer's in-memory cache under two of its policies.

use std::marker::PhantomData;

use ahash::RandomState;
use foyer::{Cache, CacheBuilder, EvictionConfig, LruConfig, S3FifoConfig};

use crate::{Key, Subject, Value};

/// Which eviction policy a [`Foyer`] runs.
pub trait Policy: Send + 'static {
    /// The subject's name.
    const NAME: &'static str;

    /// The policy with foyer's defaults.
    fn config() -> EvictionConfig;
}

/// foyer's LRU with its default high-priority pool.
pub struct Lru;

impl Policy for Lru {
    const NAME: &'static str = "foyer-lru";

    fn config() -> EvictionConfig {
        LruConfig::default().into()
    }
}

/// foyer's S3-FIFO.
pub struct S3Fifo;

impl Policy for S3Fifo {
    const NAME: &'static str = "foyer-s3fifo";

    fn config() -> EvictionConfig {
        S3FifoConfig::default().into()
    }
}

/// `foyer::Cache` with its default of eight shards.
pub struct Foyer<K: Key, V: Value, P>(Cache<K, V, RandomState>, PhantomData<P>);

impl<K: Key, V: Value, P: Policy> Subject<K, V> for Foyer<K, V, P> {
    const NAME: &'static str = P::NAME;

    fn fresh(capacity: usize) -> Self {
        let cache = CacheBuilder::new(capacity)
            .with_hash_builder(crate::hasher())
            .with_eviction_config(P::config())
            .build();
        Self(cache, PhantomData)
    }

    fn share(&self) -> Option<Self> {
        Some(Self(self.0.clone(), PhantomData))
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.get(key.lookup()).map(|entry| entry.value().clone())
    }

    #[inline]
    fn read_with<R>(&mut self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.get(key.lookup()).map(|entry| read(entry.value()))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }
}
