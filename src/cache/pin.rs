//! Entries that are never evicted.

use super::{Cache, Inserted};
use crate::core::{Pinning, reclaim};
use equivalent::Equivalent;
use std::hash::{BuildHasher, Hash};

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Stores a value that is never evicted, with the cache's time to live. In all else it is like others: it counts for
    /// [`max_keys`](Self::max_keys) and [`max_weight`](Self::max_weight), it expires, and it can be replaced and removed.
    ///
    /// The pin is the entry's: [`update`](Self::update) keeps it, [`insert`](Self::insert) puts an entry there that is not pinned, and
    /// [`unpin`](Self::unpin) ends it. Where pinned entries leave no room, what comes is refused, pinned or not.
    ///
    /// ```
    /// use nori_cache::{Cache, Inserted, Refusal};
    ///
    /// let cache = Cache::new(2);
    /// cache.insert_pinned("config", 1);
    /// (0..10).for_each(|n| _ = cache.insert(if n % 2 == 0 { "a" } else { "b" }, n));
    /// assert_eq!(cache.get("config"), Some(1));
    ///
    /// cache.insert_pinned("b", 2);
    /// assert_eq!(cache.insert("c", 3), Inserted::Refused(Refusal::Pinned));
    /// cache.unpin("b");
    /// assert_eq!(cache.insert("c", 3), Inserted::Created);
    /// assert_eq!(cache.get("b"), None);
    /// ```
    pub fn insert_pinned(&self, key: K, value: V) -> Inserted {
        self.insert_specially(key, value, None, Pinning::Yes)
    }
}

impl<K, V, S: BuildHasher> Cache<K, V, S> {
    /// Has the entry under `key` be evicted like any other from now on; it counts as used just now. False if there is no live entry that
    /// is pinned.
    pub fn unpin<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        let route = inner.route(key);
        let mut write = inner.write(inner.now());
        let seen = write.look(route, move |other| key.equivalent(other));
        inner.alive(write.seen(&seen)).is_some() && write.unpin(&seen)
    }

    /// Whether there is a live entry under `key` that is pinned. Takes the shard's lock for a moment. Does not count as a use.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert_pinned("a", 1);
    /// cache.insert("b", 1);
    /// assert!(cache.is_pinned("a") && !cache.is_pinned("b"));
    /// ```
    pub fn is_pinned<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        let route = inner.route(key);
        let pin = reclaim::pin();
        let seen = inner
            .store
            .look(&pin, route, move |other| key.equivalent(other));
        let alive = inner.alive(inner.store.seen(&pin, &seen));
        let id = seen.id().filter(|_| alive.is_some());
        id.is_some_and(|id| inner.store.is_pinned(&pin, route, id))
    }
}
