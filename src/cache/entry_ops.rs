//! Writes that depend on what is there, and ways through all entries.

use super::lifetime::Lifetime;
use super::{Cache, Update};
use crate::core::{Open, reclaim};
use crate::time::Ttl;
use equivalent::Equivalent;
use std::fmt;
use std::hash::{BuildHasher, Hash};

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Stores a value with the cache's time to live if the key has none, in one step.
    ///
    /// # Errors
    /// The value, if there is a live entry, which stays as it is; or if it is refused, as [`insert`](Self::insert) tells.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// assert_eq!(cache.insert_if_absent("key", 1), Ok(()));
    /// assert_eq!(cache.insert_if_absent("key", 2), Err(2));
    /// assert_eq!(cache.get("key"), Some(1));
    /// ```
    pub fn insert_if_absent(&self, key: K, value: V) -> Result<(), V> {
        self.put_if(key, value, None, false)
    }

    /// As [`insert_if_absent`](Self::insert_if_absent), with a time to live of the value's own. A zero time stores nothing, and
    /// gives the value back only if there is a live entry.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use nori_cache::{Cache, Ttl};
    ///
    /// let cache = Cache::new(10);
    /// assert_eq!(cache.insert_if_absent_with_ttl("key", 1, Ttl::Never), Ok(()));
    /// assert_eq!(cache.insert_if_absent_with_ttl("key", 2, Ttl::Never), Err(2));
    /// ```
    pub fn insert_if_absent_with_ttl(
        &self,
        key: K,
        value: V,
        ttl: impl Into<Ttl>,
    ) -> Result<(), V> {
        match Lifetime::new(ttl.into()) {
            Some(lifetime) => self.put_if(key, value, Some(lifetime), false),
            None if self.contains_key(&key) => Err(value),
            None => Ok(()),
        }
    }

    /// Stores a value with the cache's time to live if the key has one, in one step.
    ///
    /// # Errors
    /// The value, if there is no live entry; or if it is refused, as [`insert`](Self::insert) tells: then the key has none any more.
    /// A pinned entry stays pinned.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// assert_eq!(cache.replace("key", 1), Err(1));
    /// cache.insert("key", 1);
    /// assert_eq!(cache.replace("key", 2), Ok(()));
    /// assert_eq!(cache.get("key"), Some(2));
    /// ```
    pub fn replace(&self, key: K, value: V) -> Result<(), V> {
        self.put_if(key, value, None, true)
    }

    fn put_if(&self, key: K, value: V, lifetime: Option<Lifetime>, over: bool) -> Result<(), V> {
        let inner = &*self.inner;
        inner.overtake(inner.route(&key), |other| *other == key);
        self.put_where(key, value, lifetime, over, &Open)
    }

    /// As [`update`](Self::update), and returns what the closure returns beside what is to become of the key: of the run that
    /// counted, if it had to run again.
    ///
    /// ```
    /// use nori_cache::{Cache, Update};
    ///
    /// let tickets = Cache::new(10);
    /// tickets.insert("left", 1_u32);
    /// let take = || tickets.update_with("left", |left| match left.copied() {
    ///     Some(n @ 1..) => (Update::Set(n - 1), Some(n)),
    ///     _ => (Update::Keep, None),
    /// });
    /// assert_eq!((take(), take()), (Some(1), None));
    /// ```
    pub fn update_with<R>(&self, key: K, mut f: impl FnMut(Option<&V>) -> (Update<V>, R)) -> R {
        let mut last = None;
        self.update(key, |current| {
            let (update, result) = f(current);
            last = Some(result);
            update
        });
        match last {
            Some(result) => result,
            None => unreachable!("an update runs its closure"),
        }
    }
}

impl<K, V, S: BuildHasher> Cache<K, V, S> {
    /// Removes a key if its value is one that `is_it` accepts. True if there was such an entry.
    ///
    /// No lock is held while `is_it` runs. It runs again if the key has changed meanwhile, so what is removed is what it accepted.
    /// A load of the key that is under way is overtaken in any case.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("version", 3);
    /// assert!(!cache.remove_if("version", |version| *version < 3));
    /// assert!(cache.remove_if("version", |version| *version == 3));
    /// ```
    pub fn remove_if<Q>(&self, key: &Q, mut is_it: impl FnMut(&V) -> bool) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        let route = inner.route(key);
        inner.overtake(route, |other| key.equivalent(other));
        loop {
            let equal = |other: &K| key.equivalent(other);
            let (seen, held) = inner.store.look_and_hold(reclaim::pin(), route, equal);
            let held = held.as_ref().ok();
            let alive = held.filter(|held| inner.is_alive(held.word(), || held.life()));
            if !alive.is_some_and(|held| is_it(&held.entry().value)) {
                return false;
            }
            let mut write = inner.write(inner.now());
            if let Some(alive) = write.remove_seen(seen) {
                return alive;
            }
        }
    }
}

impl<K, V, S> Cache<K, V, S> {
    /// Removes the entries that `is_it` accepts: at once, so that no reader finds one that comes after this call. An entry that is
    /// replaced meanwhile stays. The opposite of [`retain`](Self::retain).
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("user:1:name", 1);
    /// cache.insert("user:2:name", 2);
    /// cache.invalidate_if(|key, _| key.starts_with("user:1:"));
    /// assert_eq!(cache.keys(), ["user:2:name"]);
    /// ```
    pub fn invalidate_if(&self, mut is_it: impl FnMut(&K, &V) -> bool)
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        self.retain(|key, value| !is_it(key, value));
    }

    /// Shows `each` the live entries in place, without clones, in no particular order.
    ///
    /// Weakly consistent, as [`iter`](Self::iter) is. Does not count as a use. `each` runs without a lock, may take as long as it likes
    /// and may call the cache: it keeps the one entry that it is shown from being dropped, and nothing else.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("a", vec![0; 100]);
    /// cache.insert("b", vec![0; 20]);
    /// let mut bytes = 0;
    /// cache.for_each(|_, value| bytes += value.len());
    /// assert_eq!(bytes, 120);
    /// ```
    pub fn for_each(&self, mut each: impl FnMut(&K, &V)) {
        let inner = &*self.inner;
        inner.store.show_all(reclaim::pin, |held| {
            if inner.is_alive(held.word(), || held.life()) {
                let entry = held.entry();
                each(&entry.key, &entry.value);
            }
        });
    }

    /// The keys of the live entries, cloned, in no particular order. Weakly consistent, as [`iter`](Self::iter) is. Does not count as a
    /// use.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("a", 1);
    /// assert_eq!(cache.keys(), ["a"]);
    /// ```
    pub fn keys(&self) -> Vec<K>
    where
        K: Clone,
    {
        let mut keys = Vec::new();
        for shard in 0..self.shards() {
            self.copy_keys(shard, &mut keys);
        }
        keys
    }

    /// Takes the live entries out, one after the other, as clones: each goes to one caller alone, however many drain at a time.
    ///
    /// Weakly consistent: an entry that is in the cache throughout is taken, one that comes meanwhile may be. What has not been asked for
    /// when the iterator is dropped stays.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("a", 1);
    /// assert_eq!(cache.drain().collect::<Vec<_>>(), [("a", 1)]);
    /// assert!(cache.is_empty());
    /// ```
    pub fn drain(&self) -> Drain<'_, K, V, S>
    where
        K: Clone + Hash + Eq,
        V: Clone,
        S: BuildHasher,
    {
        Drain {
            cache: self,
            shard: 0,
            keys: Vec::new().into_iter(),
        }
    }

    fn copy_keys(&self, shard: usize, keys: &mut Vec<K>)
    where
        K: Clone,
    {
        let inner = &*self.inner;
        let now = inner.now();
        let pin = reclaim::pin();
        inner.store.for_each(&pin, shard, |hit| {
            if !hit.life().has_expired(now) {
                keys.push(hit.entry.key.clone());
            }
        });
    }
}

/// Iterator that takes a cache's entries out; see [`Cache::drain`].
pub struct Drain<'c, K, V, S = ahash::RandomState> {
    cache: &'c Cache<K, V, S>,
    /// The next shard to take from.
    shard: usize,
    keys: std::vec::IntoIter<K>,
}

impl<K: Clone + Hash + Eq, V: Clone, S: BuildHasher> Iterator for Drain<'_, K, V, S> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        loop {
            for key in self.keys.by_ref() {
                // `None` if another was faster.
                if let Some(value) = self.cache.take(&key) {
                    return Some((key, value));
                }
            }
            if self.shard == self.cache.shards() {
                return None;
            }
            let mut keys = Vec::new();
            self.cache.copy_keys(self.shard, &mut keys);
            self.shard += 1;
            self.keys = keys.into_iter();
        }
    }
}

impl<K: Clone + Hash + Eq, V: Clone, S: BuildHasher> std::iter::FusedIterator
    for Drain<'_, K, V, S>
{
}

impl<K, V, S> fmt::Debug for Drain<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").finish_non_exhaustive()
    }
}
