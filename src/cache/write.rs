//! Writes.

use super::lifetime::Lifetime;
use super::{Cache, Inner, Inserted, Refusal};
use crate::core::reclaim;
use crate::core::{
    Care, Deadlines, Held, INHERITED, Limit, NEVER, Needs, NotPut, Pinning, Plain, Route, Seen,
    Special, Terms, Weighed, Write, own,
};
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
    /// Returns what has become of the value; only a cache with a weigher or with pinned entries ever refuses one, or one that is told
    /// by an [`Expiry`](super::Expiry) that it is not to live.
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Inserted {
        match self.inner.needs {
            Needs::Nothing => self.insert_plainly(key, value),
            Needs::Weights => self.insert_weighed(key, value),
            Needs::All => self.insert_specially(key, value, None, Pinning::No),
        }
    }

    /// A function of its own, as its two neighbours are: each has registers for what it works with.
    #[inline(never)]
    fn insert_plainly(&self, key: K, value: V) -> Inserted {
        self.put_for::<Plain>(key, value, self.inner.ttl, 0)
    }

    #[inline(never)]
    fn insert_weighed(&self, key: K, value: V) -> Inserted {
        let inner = &*self.inner;
        let weight = inner.weight_of(&key, &value);
        self.put_for::<Weighed>(key, value, inner.ttl, weight)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn put_for<C: Care>(&self, key: K, value: V, lifetime: Lifetime, weight: u64) -> Inserted {
        let inner = &*self.inner;
        let (now, deadline) = inner.deadline(lifetime);
        let route = inner.route(&key);
        let terms = Terms {
            weight,
            ..Terms::PLAIN
        };
        self.put::<_, C>(route, (key, value), (now, deadline), terms)
    }

    /// As [`insert`](Self::insert), with or without a lifetime, where the entry is weighed or pinned, or there is more to lifetimes than
    /// one time to live.
    #[inline(never)]
    pub(super) fn insert_specially(
        &self,
        key: K,
        value: V,
        lifetime: Option<Lifetime>,
        pinning: Pinning,
    ) -> Inserted {
        let inner = &*self.inner;
        let terms = inner.terms(&key, &value, pinning);
        let route = inner.route(&key);
        if !inner.special {
            let deadline = inner.deadline(lifetime.unwrap_or(inner.ttl));
            return if inner.needs == Needs::Weights && pinning == Pinning::No {
                self.put::<_, Weighed>(route, (key, value), deadline, terms)
            } else {
                self.put::<_, Special>(route, (key, value), deadline, terms)
            };
        }
        match lifetime.or_else(|| inner.lifetime_of(route, &key, &value)) {
            Some(lifetime) => {
                self.put::<_, Special>(route, (key, value), inner.deadlines(route, lifetime), terms)
            }
            None => {
                self.remove(&key);
                Inserted::Refused(Refusal::ZeroTtl)
            }
        }
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
        let Some(lifetime) = Lifetime::new(ttl.into()) else {
            self.remove(&key);
            return Inserted::Refused(Refusal::ZeroTtl);
        };
        match self.inner.needs {
            Needs::Nothing => self.put_for::<Plain>(key, value, lifetime, 0),
            _ => self.insert_specially(key, value, Some(lifetime), Pinning::No),
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn put<L: Limit, C: Care>(
        &self,
        route: Route,
        (key, value): (K, V),
        (now, deadlines): (u64, impl Into<Deadlines<L>>),
        terms: Terms,
    ) -> Inserted {
        let inner = &*self.inner;
        inner.overtake(route, |other| *other == key);
        let mut write = inner.write(now);
        match write.insert_on::<L, C>(route, (deadlines, key, value), terms) {
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
            let current = held.as_ref().ok();
            let current = current.filter(|held| inner.is_alive(held.word(), || held.life()));
            let (update, own) = own::watched(&inner.store, route, || {
                f(current.map(|held| &held.entry().value))
            });
            let update = inner.plan(route, &key, update, current);
            if !matches!(update, Update::Keep) {
                inner.overtake(route, is_it);
            }
            let mut alive = current.is_some();
            let mut write = inner.write(0);
            // The first time it runs again, and sees what it wrote.
            if !own.is_empty() && std::mem::replace(&mut wrote_own, true) {
                let (again, _) = write.look_closely(route, is_it);
                // If what the key has now is what the closure wrote, that is what is changed.
                if again.id().is_some_and(|id| own.contains(id)) {
                    let current = inner.alive(write.seen(&again));
                    (seen, alive) = (again, current.is_some());
                }
            }
            match inner.apply(&mut write, (seen, alive), key, update) {
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
        inner.store.retain(&context, reclaim::pin, |held| {
            let entry = held.entry();
            !held.life().has_expired(context.now) && keep(&entry.key, &entry.value)
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
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn overtake(&self, route: Route, is_it: impl Fn(&K) -> bool) {
        self.loads.overtake(route.spread(), is_it);
    }

    /// Begins a write of a key.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn write(&self, now: u64) -> Write<'_, K, V> {
        Write::new(&self.store, reclaim::domain(), reclaim::pin(), now)
    }

    /// Does as the closure of an update says, if what was seen of the key still stands, which was alive or not; otherwise gives the
    /// key back.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn apply(
        &self,
        write: &mut Write<'_, K, V>,
        (seen, alive): (Seen, bool),
        key: K,
        update: Update<V>,
    ) -> Result<bool, K>
    where
        K: Eq,
    {
        let route = seen.route();
        let put = match update {
            Update::Keep => return Ok(false),
            Update::Set(value) if alive => {
                let (now, deadlines) = self.inherited(route);
                Some((value, now, deadlines))
            }
            Update::Set(value) => {
                let (now, deadlines) = self.deadlines(route, self.ttl);
                Some((value, now, deadlines))
            }
            Update::SetWithTtl(value, ttl) => Lifetime::new(ttl).map(|lifetime| {
                let (now, deadlines) = self.deadlines(route, lifetime);
                (value, now, deadlines)
            }),
            Update::Remove => None,
        };
        let Some((value, now, deadlines)) = put else {
            if !alive {
                return Ok(false);
            }
            write.set_now(self.now());
            return write.remove_seen(seen).map(|_| true).ok_or(key);
        };
        write.set_now(now);
        // An expired entry was not shown, and may have been taken out since.
        let stands = |id: Option<u32>| id == seen.id() || (id.is_none() && !alive);
        let terms = self.terms(&key, &value, Pinning::AsBefore);
        match write.put(seen, (deadlines, key, value), terms, stands) {
            Ok(id) => {
                own::filed(write, route, id);
                Ok(true)
            }
            Err((NotPut::Outdated, entry)) => Err(entry.key),
            Err((NotPut::Refused(_), entry)) => {
                write.add_refused(entry);
                Ok(alive)
            }
        }
    }

    /// The time now, if any deadline counts, and the deadlines of an entry that lives as long as the one in whose place it comes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn inherited(&self, route: Route) -> (u64, Deadlines<u64>) {
        if self.special {
            return self.special_deadlines(route, None);
        }
        let deadlines = Deadlines {
            first: NEVER,
            limit: INHERITED,
        };
        (self.now(), deadlines)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn weight_of(&self, key: &K, value: &V) -> u64 {
        let weigher = self.weigher.as_ref();
        weigher.map_or(0, |weigh| weigh(key, value))
    }

    /// What an entry is stored with, beside its deadline.
    pub(super) fn terms(&self, key: &K, value: &V, pinning: Pinning) -> Terms {
        let pins = self.pins.as_ref();
        let pinned = || self.store.budget().keys.pinned();
        Terms {
            weight: self.weight_of(key, value),
            pinning: pins.map_or(pinning, |pins| pins.pinning(value, pinned())),
        }
    }

    /// What the closure of an update says, with what an [`Expiry`](super::Expiry) says of the lifetime where the closure says nothing.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn plan(
        &self,
        route: Route,
        key: &K,
        update: Update<V>,
        current: Option<&Held<'_, '_, K, V>>,
    ) -> Update<V>
    where
        K: Eq,
    {
        match update {
            Update::Set(value) if self.lifetimes.expiry.is_some() => {
                self.plan_asking(route, key, value, current)
            }
            update => update,
        }
    }

    #[cold]
    fn plan_asking(
        &self,
        route: Route,
        key: &K,
        value: V,
        current: Option<&Held<'_, '_, K, V>>,
    ) -> Update<V>
    where
        K: Eq,
    {
        let said = match current {
            None => Some(self.lifetime_of(route, key, &value)),
            Some(current) => self.lifetime_after(current, &value, None),
        };
        match said {
            None => Update::Set(value),
            Some(Some(lifetime)) => Update::SetWithTtl(value, lifetime.ttl()),
            Some(None) => Update::Remove,
        }
    }
}
