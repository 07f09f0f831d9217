//! Reads.

use super::Cache;
use crate::core::{Hit, Route, reclaim};
use crate::time::Ttl;
use equivalent::Equivalent;
use smallvec::SmallVec;
use std::hash::{BuildHasher, Hash};

/// How many keys of a batch are on their way through the caches at a time.
const BATCH: usize = 32;

impl<K, V, S: BuildHasher> Cache<K, V, S> {
    /// A clone of the value under `key`, if there is a live one. Counts as a use.
    ///
    /// The key may be given in any borrowed form (`&str` for `String`), or as any type that is
    /// [`Equivalent`](equivalent::Equivalent) to it and hashes the same.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("answer".to_owned(), 42);
    /// assert_eq!(cache.get("answer"), Some(42));
    /// assert_eq!(cache.get("question"), None);
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        if self.inner.watched {
            return self.get_watched(key, V::clone);
        }
        self.get_briefly(key, V::clone)
    }

    /// What `read` makes of the value under `key`, if there is a live one. Counts as a use.
    ///
    /// The value is read in place: no clone, and no guard that could be held across an `.await`. `read` may take as long as it
    /// likes, and may call this cache: it keeps this one entry from being dropped, and nothing else.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert(1, vec![0_u8; 4096]);
    /// assert_eq!(cache.get_with(&1, |bytes| bytes.len()), Some(4096));
    /// ```
    #[inline]
    pub fn get_with<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        if inner.watched {
            return self.get_watched(key, read);
        }
        let route = inner.route(key);
        let pin = reclaim::pin();
        match inner
            .store
            .find(&pin, route, move |other| key.equivalent(other))
        {
            Some(hit) if inner.is_ahead(hit.word()) => {
                inner.reads.hit(&pin);
                inner.store.touch(&pin, route, &hit);
                let held = inner.store.hold(hit.found(), pin);
                Some(read(&held.entry().value))
            }
            _ => {
                inner.reads.miss(&pin);
                None
            }
        }
    }

    /// As [`get_with`](Self::get_with), for what takes no longer than a clone: it runs inside of the epoch, and so holds up all that
    /// leaves any cache. Not for a cache whose reads move deadlines.
    #[inline(always)]
    pub(crate) fn get_briefly<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        debug_assert!(!inner.watched);
        let route = inner.route(key);
        let pin = reclaim::pin();
        match inner
            .store
            .find(&pin, route, move |other| key.equivalent(other))
        {
            Some(hit) if inner.is_ahead(hit.word()) => {
                inner.reads.hit(&pin);
                inner.store.touch(&pin, route, &hit);
                Some(read(&hit.entry.value))
            }
            _ => {
                inner.reads.miss(&pin);
                None
            }
        }
    }

    /// As [`get`](Self::get), but does not count as a use: neither for eviction nor in [`stats`](Self::stats).
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert(1, "one");
    /// assert_eq!(cache.peek(&1), Some("one"));
    /// assert_eq!(cache.stats().hits, 0);
    /// ```
    #[inline]
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.look(key, |hit| hit.entry.value.clone())
    }

    /// Whether there is a live entry under `key`. Does not count as a use.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert(1, "one");
    /// assert!(cache.contains_key(&1) && !cache.contains_key(&2));
    /// ```
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.look(key, |_| ()).is_some()
    }

    /// How long the entry under `key` has still to live if nobody reads it, in whole milliseconds; `None` if there is none. So in a cache
    /// with an [idle time](super::CacheBuilder::time_to_idle) it is what is left of that, or of the time to live if that ends earlier. Does
    /// not count as a use.
    ///
    /// ```
    /// use nori_cache::{Cache, Ttl};
    ///
    /// let cache = Cache::new(10);
    /// cache.insert(1, "one");
    /// assert_eq!(cache.ttl(&1), Some(Ttl::Never));
    /// assert_eq!(cache.ttl(&2), None);
    /// ```
    pub fn ttl<Q>(&self, key: &Q) -> Option<Ttl>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let deadline = self.look(key, |hit| hit.life().deadline())?;
        self.inner.left(deadline)
    }

    /// The values under `keys`, in their order. Each key counts as a read and, if found, as a use.
    ///
    /// Faster for each key than [`get`](Self::get) where the cache is larger than the processor's: the memory of all keys of
    /// a batch is fetched at once. All keys are read as of one time: the clock is asked once for some thirty keys. Where an
    /// [`Expiry`](super::Expiry) is asked about each, it is as if they were read one by one.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("a".to_owned(), 1);
    /// cache.insert("b".to_owned(), 2);
    /// assert_eq!(cache.get_many(["b", "c", "a"]), [Some(2), None, Some(1)]);
    /// ```
    pub fn get_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> Vec<Option<V>>
    where
        Q: Hash + Equivalent<K> + ?Sized + 'q,
        V: Clone,
    {
        let mut keys = keys.into_iter();
        if self.inner.lifetimes.expiry.is_some() {
            return keys.map(|key| self.get(key)).collect();
        }
        let mut values = Vec::with_capacity(keys.size_hint().0);
        loop {
            let batch: SmallVec<[_; BATCH]> = keys.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return values;
            }
            self.get_batch(&batch, &mut values);
        }
    }

    fn get_batch<Q>(&self, keys: &[&Q], values: &mut Vec<Option<V>>)
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        let inner = &*self.inner;
        let now = inner.now();
        let routes: SmallVec<[Route; BATCH]> = keys.iter().map(|key| inner.route(*key)).collect();
        let pin = reclaim::pin();
        inner.store.prefetch(&pin, &routes);
        let hits: SmallVec<[Option<Hit<'_, K, V>>; BATCH]> = keys
            .iter()
            .zip(&routes)
            .map(|(key, &route)| {
                let hit = inner
                    .store
                    .find(&pin, route, move |other| key.equivalent(other))?;
                (!hit.life().has_expired(now)).then_some(hit)
            })
            .collect();
        let mut found = 0_usize;
        for (hit, &route) in hits.iter().zip(&routes) {
            values.push(hit.as_ref().map(|hit| {
                found += 1;
                inner.store.touch(&pin, route, hit);
                inner.restart_idle(hit.word());
                hit.entry.value.clone()
            }));
        }
        inner.reads.batch(&pin, found, keys.len() - found);
    }

    /// Reads a live entry without using it.
    #[inline(always)]
    fn look<Q, R>(&self, key: &Q, read: impl FnOnce(&Hit<'_, K, V>) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        let route = inner.route(key);
        let pin = reclaim::pin();
        let hit = inner
            .store
            .find(&pin, route, move |other| key.equivalent(other));
        inner.alive(hit).map(|hit| read(&hit))
    }
}
