//! Whether entries are alive, and what gives them more time: reads of a cache that counts idle time, `set_ttl`, `touch`.

use super::lifetime::{Lifetime, Lifetimes};
use super::{Cache, Inner};
use crate::core::{
    Deadlines, EXPIRED, Hit, INHERITED, Life, Meta, MetaWord, NEVER, Route, reclaim,
};
use crate::sync::Ordering;
use crate::time::{Packed, Ttl};
use equivalent::Equivalent;
use std::hash::{BuildHasher, Hash};

impl<K, V, S: BuildHasher> Cache<K, V, S> {
    /// Gives the entry under `key` a new time to live, from now on, and leaves its value as it is. True if there was a live one.
    ///
    /// Does not count as a use, and does not restart an idle time. Zero removes the entry. An entry whose time has passed is not brought
    /// back, even where no write has taken it out yet.
    ///
    /// ```
    /// use nori_cache::{Cache, Ttl};
    /// use std::time::Duration;
    ///
    /// let cache = Cache::new(10);
    /// cache.insert("key", 1);
    /// assert!(cache.set_ttl("key", Duration::from_secs(60)));
    /// assert_ne!(cache.ttl("key"), Some(Ttl::Never));
    /// assert!(cache.set_ttl("key", Duration::ZERO) && !cache.set_ttl("key", Ttl::Never));
    /// ```
    pub fn set_ttl<Q>(&self, key: &Q, ttl: impl Into<Ttl>) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let Some(lifetime) = Lifetime::new(ttl.into()) else {
            return self.remove(key);
        };
        let inner = &*self.inner;
        let route = inner.route(key);
        let (now, deadlines) = inner.deadlines(route, lifetime);
        let is_it = move |other: &K| key.equivalent(other);
        inner
            .write(now)
            .revise(route, is_it, (deadlines.limit, None), false)
    }

    /// Gives the entry under `key` the time that it would have if it were read and inserted anew, and leaves its value as it is: its
    /// time to live is the cache's own from now on, its idle time starts again, and it has just been used. True if there was a live
    /// one.
    ///
    /// An entry whose time has passed is not brought back, even where no write has taken it out yet. With an [`Expiry`](super::Expiry) the time
    /// to live is what its [`after_update`](super::Expiry::after_update) says. Not counted in [`stats`](Self::stats).
    ///
    /// ```
    /// use nori_cache::{Cache, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder().ttl(Duration::from_secs(60)).clock(clock.clone()).build()?;
    /// cache.insert("key", 1);
    /// clock.advance(Duration::from_secs(59));
    /// assert!(cache.touch("key"));
    /// clock.advance(Duration::from_secs(59));
    /// assert_eq!(cache.get("key"), Some(1));
    /// clock.advance(Duration::from_secs(1));
    /// assert!(!cache.touch("key"));
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn touch<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        let route = inner.route(key);
        if inner.lifetimes.expiry.is_some() {
            return self.touch_asking(key, route);
        }
        let (now, deadlines) = inner.deadlines(route, inner.ttl);
        let is_it = move |other: &K| key.equivalent(other);
        let mut write = inner.write(now);
        write.revise(route, is_it, (deadlines.limit, Some(deadlines.first)), true)
    }

    /// As [`get_with`](Self::get_with), where reads move deadlines.
    #[cold]
    #[inline(never)]
    pub(super) fn get_watched<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        let route = inner.route(key);
        let pin = reclaim::pin();
        let hit = inner
            .store
            .find(&pin, route, move |other| key.equivalent(other));
        let Some(hit) = inner.alive(hit) else {
            inner.reads.miss(&pin);
            return None;
        };
        inner.reads.hit(&pin);
        inner.store.touch(&pin, route, &hit);
        inner.restart_idle(hit.word());
        let held = inner.store.hold(hit.found(), pin);
        inner.ask_after_read(route, &held);
        Some(read(&held.entry().value))
    }

    /// As [`touch`](Self::touch), where there is somebody to ask.
    #[cold]
    fn touch_asking<Q>(&self, key: &Q, route: Route) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let inner = &*self.inner;
        let is_it = move |other: &K| key.equivalent(other);
        loop {
            let pin = reclaim::pin();
            let Some(hit) = inner.alive(inner.store.find(&pin, route, is_it)) else {
                return false;
            };
            inner.store.touch(&pin, route, &hit);
            let held = inner.store.hold(hit.found(), pin);
            let said = inner.lifetime_after(&held, &held.entry().value, Some(inner.ttl));
            let Some(lifetime) = said.unwrap_or(Some(inner.ttl)) else {
                match inner.write(inner.now()).remove_seen(held.seen(route)) {
                    Some(alive) => return alive,
                    None => continue,
                }
            };
            let (now, deadlines) = inner.deadlines(route, lifetime);
            let revised = inner
                .write(now)
                .revise_seen(held.seen(route), (deadlines.limit, Some(deadlines.first)));
            if let Some(alive) = revised {
                return alive;
            }
        }
    }
}

impl<K, V, S> Inner<K, V, S> {
    /// Whether the deadline in this word is yet to come; if not, the entry has expired for good. Only one that has a deadline is worth
    /// a look at the clock.
    #[inline(always)]
    pub(super) fn is_ahead(&self, word: MetaWord<'_>) -> bool {
        let meta = word.get();
        !self.is_past(meta) || !self.expires(word, meta)
    }

    #[inline(always)]
    fn is_past(&self, meta: Meta) -> bool {
        self.clock.is_past(Packed::new(meta.word()))
    }

    /// Has an entry expire whose deadline was seen to have passed, unless that has moved since.
    #[cold]
    fn expires(&self, word: MetaWord<'_>, mut meta: Meta) -> bool {
        while let Err(since) = word.expire(meta) {
            if !self.is_past(since) {
                return false;
            }
            meta = since;
        }
        true
    }

    /// What was found, if it is alive.
    #[inline(always)]
    pub(super) fn alive<'p>(&self, hit: Option<Hit<'p, K, V>>) -> Option<Hit<'p, K, V>> {
        hit.filter(|hit| self.is_alive(hit.word(), || hit.life()))
    }

    /// Whether an entry is alive that has its first deadline in this word.
    #[inline(always)]
    pub(super) fn is_alive<'w>(&self, word: MetaWord<'w>, life: impl FnOnce() -> Life<'w>) -> bool {
        self.is_ahead(word) && (!self.has_limits() || self.is_ahead_of_limit(life()))
    }

    /// Whether there may be entries with a limit beside their first deadline.
    #[inline(always)]
    fn has_limits(&self) -> bool {
        // Relaxed: a thread that has not learnt yet of the first limit takes its entry for one without, as it was just now.
        self.lifetimes.idle != Lifetime::EVER && self.lifetimes.limited.load(Ordering::Relaxed)
    }

    #[cold]
    fn is_ahead_of_limit(&self, life: Life<'_>) -> bool {
        life.second().is_none_or(|limit| self.is_ahead(limit))
    }

    /// Restarts the idle time, if there is one, of an entry that is read and has its first deadline in this word.
    pub(super) fn restart_idle(&self, word: MetaWord<'_>) {
        let idle = self.lifetimes.idle;
        if idle == Lifetime::EVER {
            return;
        }
        let restarted = |last, now| idle.restarted(last, self.clock.round_up(now));
        let roughly = self.clock.roughly().min(NEVER - 1);
        if restarted(word.get().deadline(), roughly).is_some() {
            let now = self.recent();
            // Should it have expired meanwhile, it was read before that.
            word.shift(now, |last| restarted(last, now));
        }
    }

    /// The time now, if any deadline counts, and the deadlines of an entry with this lifetime.
    #[inline(always)]
    pub(super) fn deadlines(&self, route: Route, lifetime: Lifetime) -> (u64, Deadlines<u64>) {
        if self.special {
            return self.special_deadlines(route, Some(lifetime));
        }
        let (now, deadline) = self.deadline(lifetime);
        let deadlines = Deadlines {
            first: deadline,
            limit: deadline,
        };
        (now, deadlines)
    }

    /// The time now, if any deadline counts, and the one deadline of an entry with this lifetime.
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

    /// The same, of an entry that is about to be stored with this lifetime or without one of its own. Where it is not to live, it has expired
    /// already.
    #[cold]
    pub(super) fn deadlines_of(
        &self,
        route: Route,
        key: &K,
        value: &V,
        lifetime: Option<Lifetime>,
    ) -> (u64, Deadlines<u64>)
    where
        K: Eq,
    {
        match lifetime.or_else(|| self.lifetime_of(route, key, value)) {
            Some(lifetime) => self.special_deadlines(route, Some(lifetime)),
            None => {
                let deadlines = Deadlines {
                    first: EXPIRED,
                    limit: EXPIRED,
                };
                (self.recent(), deadlines)
            }
        }
    }

    /// The same; without a lifetime, of an entry that inherits its limit.
    #[cold]
    pub(super) fn special_deadlines(
        &self,
        route: Route,
        lifetime: Option<Lifetime>,
    ) -> (u64, Deadlines<u64>) {
        let Lifetimes { idle, jitter, .. } = &self.lifetimes;
        if lifetime.is_some_and(|it| it != Lifetime::EVER) {
            self.expect_deadlines();
        }
        let now = self.recent();
        let start = self.clock.round_up(now);
        let limit = match lifetime {
            None => INHERITED,
            Some(lifetime) => jitter.shorten(lifetime, route, now).deadline(start),
        };
        let first = if *idle == Lifetime::EVER {
            limit
        } else {
            idle.deadline(start)
        };
        (now, Deadlines { first, limit })
    }
}

/// An entry's word is its deadline above the bits of its fragment.
const _: () = assert!(
    NEVER << Packed::SPARE >> Packed::SPARE == NEVER && NEVER << Packed::SPARE > u64::MAX / 2
);
