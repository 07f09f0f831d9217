//! Writes.

use super::lifetime::Lifetime;
use super::{Cache, Inner, Inserted, Refusal};
use crate::core::reclaim;
use crate::core::{Entry, Held, NEVER, NotPut, Pinning, Route, Seen, Terms, Write, own};
use crate::sync::Ordering;
use crate::time::Ttl;
use equivalent::Equivalent;
use std::hash::{BuildHasher, Hash};

/// What [`Cache::update`] is to do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update<V> {
    /// Leave everything as it is.
    Keep,
    /// Store this value; it lives as long as the one it replaces would have, or as the cache's ttl says for a new key.
    Set(V),
    /// Store this value with this time to live; zero removes the key.
    SetWithTtl(V, Ttl),
    /// Remove the key.
    Remove,
}

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Stores a value with the cache's time to live. Replaces what was there; counts as a use.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("key", 1);
    /// cache.insert("key", 2);
    /// assert_eq!(cache.get("key"), Some(2));
    /// ```
    ///
    /// Returns what has become of the value; only a cache with a weigher or with pinned entries ever refuses one.
    pub fn insert(&self, key: K, value: V) -> Inserted {
        self.put(key, value, self.inner.ttl)
    }

    /// Stores a value with a time to live of its own. Replaces what was there; counts as a use. A zero time stores nothing
    /// and removes what was there.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert_with_ttl("token", "abc", Duration::from_secs(60));
    /// cache.insert_with_ttl("token", "abc", Duration::ZERO);
    /// assert!(cache.is_empty());
    /// ```
    pub fn insert_with_ttl(&self, key: K, value: V, ttl: impl Into<Ttl>) -> Inserted {
        match Lifetime::new(ttl.into()) {
            Some(lifetime) => self.put(key, value, lifetime),
            None => {
                self.remove(&key);
                Inserted::Refused(Refusal::ZeroTtl)
            }
        }
    }

    fn put(&self, key: K, value: V, lifetime: Lifetime) -> Inserted {
        if self.inner.weigher.is_some() {
            return self.put_slow(key, value, lifetime, Pinning::No);
        }
        self.put_on::<false>(key, value, lifetime, Terms::PLAIN)
    }

    /// As `put`, of what is to be weighed, or pinned.
    #[inline(never)]
    pub(super) fn put_slow(
        &self,
        key: K,
        value: V,
        lifetime: Lifetime,
        pinning: Pinning,
    ) -> Inserted {
        let terms = self.inner.terms(&key, &value, pinning);
        self.put_on::<true>(key, value, lifetime, terms)
    }

    #[inline(always)]
    fn put_on<const SPECIAL: bool>(
        &self,
        key: K,
        value: V,
        lifetime: Lifetime,
        terms: Terms,
    ) -> Inserted {
        let inner = &*self.inner;
        let (now, deadline) = inner.deadline(lifetime);
        let route = inner.route(&key);
        inner.overtake(route, |other| *other == key);
        let mut write = inner.write(now);
        match write.insert_on::<SPECIAL>(route, (deadline, key, value), terms) {
            Ok((id, replaced)) => {
                own::filed(&write, route, id);
                if replaced {
                    Inserted::Replaced
                } else {
                    Inserted::Created
                }
            }
            Err(refusal) => Inserted::Refused(refusal.into()),
        }
    }

    /// Reads, modifies and writes one key, atomically: `f` gets the live value, if there is one, and says what is to become
    /// of the key. True if that changed the cache. A value that is too heavy removes the key.
    ///
    /// Optimistic: no lock is held while `f` runs, and it runs again if another thread has changed the key meanwhile: as often
    /// as that happens, and not for other keys. As with [`get_with`](Self::get_with), it keeps nothing but this entry from being
    /// dropped; but it must not wait for another thread that writes the key.
    ///
    /// `f` may call the cache. Should it write the key itself, it runs again and is shown that; should it do so in that run too,
    /// what it returns takes the place of what it wrote, and of what others wrote before that since the run began: it does not run
    /// a third time for writes of its own.
    ///
    /// ```
    /// use nori_cache::{Cache, Update};
    ///
    /// let visits = Cache::new(10);
    /// for _ in 0..3 {
    ///     visits.update("home", |count| Update::Set(count.map_or(1, |n| n + 1)));
    /// }
    /// assert_eq!(visits.get("home"), Some(3));
    /// ```
    pub fn update(&self, mut key: K, mut f: impl FnMut(Option<&V>) -> Update<V>) -> bool {
        let inner = &*self.inner;
        let route = inner.route(&key);
        let mut wrote_own = false;
        loop {
            let is_it = |other: &K| *other == key;
            let (mut seen, held) = inner.store.look_and_hold(reclaim::pin(), route, is_it);
            let current = held.as_ref().ok().map(Held::entry);
            let current = current.filter(|entry| inner.is_alive(entry));
            let (update, own) =
                own::watched(&inner.store, route, || f(current.map(|entry| &entry.value)));
            if !matches!(update, Update::Keep) {
                inner.overtake(route, is_it);
            }
            let mut deadline = current.map(|entry| entry.meta.deadline());
            let mut write = inner.write(0);
            // The first time it runs again, and sees what it wrote.
            if !own.is_empty() && std::mem::replace(&mut wrote_own, true) {
                let (again, _) = write.look_closely(route, is_it);
                // If what the key has now is what the closure wrote, that is what is changed.
                if again.id().is_some_and(|id| own.contains(id)) {
                    let current = inner.alive(write.seen(&again));
                    (seen, deadline) = (again, current.map(|entry| entry.meta.deadline()));
                }
            }
            match inner.apply(&mut write, (seen, deadline), key, update) {
                Ok(changed) => return changed,
                Err(refused) => key = refused,
            }
        }
    }

    /// Keeps only the entries for which `keep` returns true; expired ones are not shown, and go.
    ///
    /// `keep` runs without a lock; an entry that is replaced meanwhile stays.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// (0..10).for_each(|n| _ = cache.insert(n, n));
    /// cache.retain(|_, value| value % 2 == 0);
    /// assert_eq!(cache.len(), 5);
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        let inner = &*self.inner;
        inner.loads.overtake_all();
        let context = inner.store.context(reclaim::domain(), inner.now());
        inner.store.retain(&context, reclaim::pin, |entry| {
            entry.meta.deadline() > context.now && keep(&entry.key, &entry.value)
        });
    }
}

impl<K, V, S: BuildHasher> Cache<K, V, S> {
    /// Removes a key. True if there was a live entry.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("key", 1);
    /// assert!(cache.remove("key"));
    /// assert!(!cache.remove("key"));
    /// ```
    pub fn remove<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.remove_with(key, |_| ()).is_some()
    }

    /// Removes a key and returns a clone of its value, if there was a live one.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("key", 1);
    /// assert_eq!(cache.take("key"), Some(1));
    /// assert_eq!(cache.take("key"), None);
    /// ```
    pub fn take<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        V: Clone,
    {
        self.remove_with(key, V::clone)
    }

    fn remove_with<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        let route = inner.route(key);
        inner.overtake(route, |other| key.equivalent(other));
        let mut write = inner.write(inner.now());
        let removed = write.remove(route, move |other| key.equivalent(other));
        removed.map(|entry| read(&entry.value))
    }
}

impl<K, V, S> Cache<K, V, S> {
    /// Removes every entry. Entries that come while it runs may stay.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("key", 1);
    /// cache.clear();
    /// assert!(cache.is_empty());
    /// ```
    pub fn clear(&self) {
        let inner = &*self.inner;
        inner.loads.overtake_all();
        let context = inner.store.context(reclaim::domain(), inner.now());
        inner.store.clear(&context);
    }

    /// Removes the entries whose time to live has passed, and says how many. Writes do the same by and by.
    ///
    /// ```
    /// use nori_cache::{Cache, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder().clock(clock.clone()).build()?;
    /// cache.insert_with_ttl("token", 1, Duration::from_secs(60));
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!((cache.len(), cache.purge_expired(), cache.len()), (1, 1, 0));
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn purge_expired(&self) -> usize {
        let inner = &*self.inner;
        let context = inner.store.context(reclaim::domain(), inner.now());
        inner.store.purge_expired(&context)
    }
}

impl<K, V, S> Inner<K, V, S> {
    /// A load of the key that is under way will not store what it loads: to be called before each write.
    #[inline(always)]
    pub(super) fn overtake(&self, route: Route, is_it: impl Fn(&K) -> bool) {
        self.loads.overtake(route.spread(), is_it);
    }

    /// Begins a write of a key.
    #[inline(always)]
    pub(super) fn write(&self, now: u64) -> Write<'_, K, V> {
        Write::new(&self.store, reclaim::domain(), reclaim::pin(), now)
    }

    /// Does as the closure of an update says, if what was seen of the key still stands; otherwise gives the key back. With what
    /// was seen comes the deadline of the live entry, if there was one.
    #[inline(always)]
    fn apply(
        &self,
        write: &mut Write<'_, K, V>,
        (seen, current): (Seen, Option<u64>),
        key: K,
        update: Update<V>,
    ) -> Result<bool, K>
    where
        K: Eq,
    {
        let put = match update {
            Update::Keep => return Ok(false),
            Update::Set(value) => {
                let (now, deadline) = match current {
                    Some(deadline) => (self.now(), deadline),
                    None => self.deadline(self.ttl),
                };
                Some((value, now, deadline))
            }
            Update::SetWithTtl(value, ttl) => Lifetime::new(ttl).map(|lifetime| {
                let (now, deadline) = self.deadline(lifetime);
                (value, now, deadline)
            }),
            Update::Remove => None,
        };
        let Some((value, now, deadline)) = put else {
            if current.is_none() {
                return Ok(false);
            }
            write.set_now(self.now());
            return write.remove_seen(seen).map(|_| true).ok_or(key);
        };
        write.set_now(now);
        // An expired entry was not shown, and may have been taken out since.
        let stands = |id: Option<u32>| id == seen.id() || (id.is_none() && current.is_none());
        let terms = self.terms(&key, &value, Pinning::AsBefore);
        match write.put(seen, (deadline, key, value), terms, stands) {
            Ok(id) => {
                own::filed(write, seen.route(), id);
                Ok(true)
            }
            Err((NotPut::Outdated, entry)) => Err(entry.key),
            Err((NotPut::Refused(_), _)) => Ok(current.is_some()),
        }
    }

    /// What was found, if its deadline is yet to come.
    pub(super) fn alive<'p>(&self, entry: Option<&'p Entry<K, V>>) -> Option<&'p Entry<K, V>> {
        entry.filter(|entry| self.is_alive(entry))
    }

    /// What an entry is stored with, beside its deadline.
    pub(super) fn terms(&self, key: &K, value: &V, pinning: Pinning) -> Terms {
        let weigher = self.weigher.as_ref();
        Terms {
            weight: weigher.map_or(0, |weigh| weigh(key, value)),
            pinning,
        }
    }

    /// The time now, if any deadline counts, and the deadline of an entry with this lifetime.
    #[inline(always)]
    pub(super) fn deadline(&self, lifetime: Lifetime) -> (u64, u64) {
        // Relaxed, both: see `Inner::now`.
        let timed = self.timed.load(Ordering::Relaxed);
        if lifetime == Lifetime::EVER {
            return (if timed { self.recent() } else { 0 }, NEVER);
        }
        if !timed {
            self.timed.store(true, Ordering::Relaxed);
        }
        let now = self.recent();
        (now, lifetime.deadline(self.clock.round_up(now)))
    }
}
