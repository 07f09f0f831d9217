//! Lifetimes that depend on what is stored: [`Expiry`], and when it is asked.

use super::Inner;
use super::lifetime::Lifetime;
use crate::core::{Held, NEVER, Route, reclaim};
use crate::sync::Ordering;
use crate::time::Ttl;
use std::sync::Arc;
use std::time::Duration;

/// Says how long each entry lives, by its key and value: see [`CacheBuilder::expiry`](super::CacheBuilder::expiry).
///
/// Each method returns the time that the entry has *from now on*; zero means that it goes at once. By default each returns what it is
/// given, so one that is not written changes nothing.
///
/// They run on the thread of the call, with no lock held and outside of the epoch, and may call the cache. One that panics
/// is the caller's panic, and nothing has changed by it: what was to be stored is not, and what was read lives as long as before.
///
/// ```
/// use nori_cache::{Cache, Expiry, ManualClock, Ttl};
/// use std::time::Duration;
///
/// struct Token { text: String, expires_in: Duration }
///
/// struct ByToken;
///
/// impl Expiry<u64, Token> for ByToken {
///     fn after_create(&self, _: &u64, token: &Token, _: Ttl) -> Ttl {
///         token.expires_in.into()
///     }
///
///     fn after_update(&self, _: &u64, token: &Token, _: Ttl, _: Ttl) -> Ttl {
///         token.expires_in.into()
///     }
/// }
///
/// let clock = ManualClock::new();
/// let cache = Cache::builder().expiry(ByToken).clock(clock.clone()).build()?;
/// cache.insert(1, Token { text: "abc".to_owned(), expires_in: Duration::from_secs(60) });
/// clock.advance(Duration::from_secs(60));
/// assert!(cache.get_with(&1, |token| token.text.len()).is_none());
/// # Ok::<(), nori_cache::Error>(())
/// ```
pub trait Expiry<K, V>: Send + Sync {
    /// An entry under a key that has none alive. `ttl` is the cache's own time to live.
    fn after_create(&self, key: &K, value: &V, ttl: Ttl) -> Ttl {
        let _ = (key, value);
        ttl
    }

    /// A value that takes the place of a live entry, which would have lived for `remaining`; or the value that is there, when it
    /// is [touched](super::Cache::touch). `ttl` is what it gets if nothing else is said: the cache's own time to live, or `remaining` for
    /// [`Update::Set`](super::Update::Set).
    fn after_update(&self, key: &K, value: &V, ttl: Ttl, remaining: Ttl) -> Ttl {
        let _ = (key, value, remaining);
        ttl
    }

    /// An entry that was read, and has still `remaining` to live. To live longer costs the read a store, at most one a millisecond; to
    /// live less long, the shard's lock.
    fn after_read(&self, key: &K, value: &V, remaining: Ttl) -> Ttl {
        let _ = (key, value);
        remaining
    }
}

/// One that several caches ask, or somebody else looks at.
impl<K, V, E: Expiry<K, V> + ?Sized> Expiry<K, V> for Arc<E> {
    fn after_create(&self, key: &K, value: &V, ttl: Ttl) -> Ttl {
        (**self).after_create(key, value, ttl)
    }

    fn after_update(&self, key: &K, value: &V, ttl: Ttl, remaining: Ttl) -> Ttl {
        (**self).after_update(key, value, ttl, remaining)
    }

    fn after_read(&self, key: &K, value: &V, remaining: Ttl) -> Ttl {
        (**self).after_read(key, value, remaining)
    }
}

impl<K, V, S> Inner<K, V, S> {
    /// What an entry with this deadline has still to live, in milliseconds: one at least.
    pub(super) fn remaining(&self, deadline: u64, now: u64) -> Ttl {
        if deadline == NEVER {
            return Ttl::Never;
        }
        let left = deadline.saturating_sub(self.clock.round_up(now));
        // Less than a millisecond is one, as in the entry's own time to live.
        Ttl::After(Duration::from_millis(left.max(1)))
    }

    /// The same, by the clock itself; `None` if the deadline has passed.
    pub(super) fn left(&self, deadline: u64) -> Option<Ttl> {
        let now = self.clock_now();
        (now < deadline).then(|| self.remaining(deadline, now))
    }

    /// The lifetime of what is about to be inserted. `None` if it is not to be stored.
    #[cold]
    pub(super) fn lifetime_of(&self, route: Route, key: &K, value: &V) -> Option<Lifetime>
    where
        K: Eq,
    {
        let Some(expiry) = &self.lifetimes.expiry else {
            return Some(self.ttl);
        };
        let ttl = self.ttl.ttl();
        let current = {
            let pin = reclaim::pin();
            let hit = self.store.find(&pin, route, |other| other == key);
            self.alive(hit)
                .map(|hit| hit.life().limit().get().deadline())
        };
        Lifetime::new(match current {
            None => expiry.after_create(key, value, ttl),
            Some(deadline) => {
                let remaining = self.remaining(deadline, self.recent());
                expiry.after_update(key, value, ttl, remaining)
            }
        })
    }

    /// The lifetime of a value that takes the place of an entry, or is that entry's own. `ttl` is what it gets if nothing else is said;
    /// without it, what is left. Outer `None`: it is as if nothing had been said. Inner `None`: it is not to live.
    #[cold]
    pub(super) fn lifetime_after(
        &self,
        current: &Held<'_, '_, K, V>,
        value: &V,
        ttl: Option<Lifetime>,
    ) -> Option<Option<Lifetime>> {
        let expiry = self.lifetimes.expiry.as_ref()?;
        let deadline = current.life().limit().get().deadline();
        let remaining = self.remaining(deadline, self.recent());
        let ttl = ttl.map_or(remaining, Lifetime::ttl);
        let said = expiry.after_update(&current.entry().key, value, ttl, remaining);
        (said != ttl).then(|| Lifetime::new(said))
    }
}

impl<K, V, S> Inner<K, V, S> {
    /// Asks how long an entry that has been read is to live on.
    pub(super) fn ask_after_read(&self, route: Route, held: &Held<'_, '_, K, V>) {
        let Some(expiry) = &self.lifetimes.expiry else {
            return;
        };
        let limit = held.life().limit();
        let Some(deadline) = limit.deadline_after(self.now()) else {
            return;
        };
        let remaining = self.remaining(deadline, self.recent());
        let entry = held.entry();
        let said = expiry.after_read(&entry.key, &entry.value, remaining);
        if said == remaining {
            return;
        }
        let Some(lifetime) = Lifetime::new(said) else {
            self.write(self.now()).remove_seen(held.seen(route));
            return;
        };
        if lifetime != Lifetime::EVER {
            self.expect_deadlines();
        }
        let now = self.recent();
        let next = lifetime.deadline(self.clock.round_up(now));
        // Who reads only makes it later; to make it earlier is to file it, which the lock's holder does.
        let before = limit.shift(now, |old| (old < next).then_some(next));
        if before.is_some_and(|before| before > next) {
            self.write(now).revise_seen(held.seen(route), (next, None));
        }
    }

    /// Makes known that there are going to be entries with a time to live.
    pub(super) fn expect_deadlines(&self) {
        // Relaxed, all: see `Inner::now`, and `Inner::has_limits`.
        for it in [&self.timed, &self.lifetimes.limited] {
            if !it.load(Ordering::Relaxed) {
                it.store(true, Ordering::Relaxed);
            }
        }
    }
}
