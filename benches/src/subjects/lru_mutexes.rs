//! What one writes by hand: 64 mutexes around exact LRU lists.

use std::{hash::Hash, num::NonZeroUsize, sync::Arc};

use ahash::RandomState;
use lru::LruCache;
use parking_lot::Mutex;

use crate::{Key, Subject, Value};

const SHARDS: usize = 64;

/// `lru::LruCache` in 64 shards.
pub struct LruMutexes<K, V>(Arc<Shards<K, V>>);

struct Shards<K, V> {
    hasher: RandomState,
    shards: Vec<Shard<K, V>>,
}

/// Two cache lines, so that neighbouring locks do not share a prefetched pair.
#[repr(align(128))]
struct Shard<K, V>(Mutex<LruCache<K, V, RandomState>>);

impl<K, V> Shards<K, V> {
    #[inline]
    fn of<Q: ?Sized + Hash>(&self, key: &Q) -> &Mutex<LruCache<K, V, RandomState>> {
        // The top bits: the low ones choose the bucket inside the shard.
        let hash = self.hasher.hash_one(key);
        &self.shards[(hash >> 58) as usize].0
    }
}

impl<K: Key, V: Value> Subject<K, V> for LruMutexes<K, V> {
    const NAME: &'static str = "lru-64-mutexes";

    fn fresh(capacity: usize) -> Self {
        let each = NonZeroUsize::new(capacity.div_ceil(SHARDS)).unwrap_or(NonZeroUsize::MIN);
        let hasher = crate::hasher();
        let shards = (0..SHARDS)
            .map(|_| Shard(Mutex::new(LruCache::with_hasher(each, hasher.clone()))))
            .collect();
        Self(Arc::new(Shards { hasher, shards }))
    }

    fn share(&self) -> Option<Self> {
        Some(Self(Arc::clone(&self.0)))
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        let key = key.lookup();
        self.0.of(key).lock().get(key).cloned()
    }

    #[inline]
    fn read_with<R>(&mut self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        let key = key.lookup();
        self.0.of(key).lock().get(key).map(read)
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        let old = self.0.of(key.lookup()).lock().push(key, value);
        drop(old);
    }
}
