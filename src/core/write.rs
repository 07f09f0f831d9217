//! One write of a key, from the look at what the key has to the drop of what the write leaves.

mod conditional;

pub(crate) use conditional::{Gate, Open};

use super::budget::Token;
use super::entry::{Coming, Entry, Meta};
use super::garbage::Garbage;
use super::index::Route;
use super::reclaim::{Domain, Pin};
use super::shard::{Attempt, Context, Others, Refused, Seen};
use super::store::Store;
use crate::sync::thread;

/// How many ids of the wheels a write looks at, at most, for an expired entry to go before a live one.
pub(crate) const SWEEP: u32 = 1024;

/// A write. The order in which its parts are dropped is the protocol: a lock is released first, as it borrows the write, then
/// the pin, which would hold up what others have to drop, and then user code runs, which drops the garbage.
#[derive(Debug)]
pub(crate) struct Write<'s, K, V> {
    store: &'s Store<K, V>,
    context: Context<'s>,
    // From here on the order counts.
    pin: Pin<'s>,
    garbage: Garbage<K, V>,
}

impl<'s, K, V> Write<'s, K, V> {
    /// A write by a pinned thread, at the time `now` as in [`Context`].
    #[inline(always)]
    pub(crate) fn new(store: &'s Store<K, V>, domain: &'s Domain, pin: Pin<'s>, now: u64) -> Self {
        Self {
            store,
            context: store.context(domain, now),
            pin,
            garbage: Garbage::none(),
        }
    }

    /// Sets the time, for a write that has looked first.
    #[inline(always)]
    pub(crate) fn set_now(&mut self, now: u64) {
        self.context = self.store.context(self.context.domain, now);
    }

    /// What the key has: the entry that `is_it` accepts.
    #[cfg(fuzzing)]
    pub(crate) fn look(&self, route: Route, is_it: impl Fn(&K) -> bool + Copy) -> Seen {
        self.store.look(&self.pin, route, is_it)
    }

    /// The entry that was seen by a look of this write.
    #[inline(always)]
    pub(crate) fn seen(&self, seen: &Seen) -> Option<&Entry<K, V>> {
        let shard = self.store.shard(seen.route());
        shard.seen(&self.pin, seen)
    }

    /// What the key has: the entry that `is_it` accepts. As [`Store::look`], for a write that was refused.
    pub(crate) fn look_closely(
        &self,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> (Seen, Others) {
        self.store.look_closely(&self.pin, route, is_it)
    }

    pub(crate) fn store(&self) -> &'s Store<K, V> {
        self.store
    }

    /// How much of what was to be dropped this write has so far.
    #[cfg(test)]
    pub(super) fn garbage(&self) -> usize {
        self.garbage.len()
    }

    /// Puts a value under a key, with a deadline as in [`Meta::new`]. Returns the id that the entry is filed under.
    #[inline(always)]
    pub(crate) fn insert(&mut self, route: Route, deadline: u64, key: K, value: V) -> u32
    where
        K: Eq,
    {
        let shard = self.store.shard(route);
        let index = self.context.index;
        let seen = shard.look(&self.pin, index, route, |other| *other == key);
        let entry = Coming::new(Meta::new(index.fragment_of(route), deadline), key, value);
        let attempt = Attempt {
            seen,
            others: &[],
            token: None,
        };
        // SAFETY: the entry is used only if it is refused.
        let put =
            unsafe { shard.put(&self.context, &mut self.garbage, &self.pin, attempt, &entry) };
        match put {
            Ok(id) => id,
            Err(refused) => match self.put_slow(seen, entry.into_entry(), |_| true, refused) {
                Ok(id) => id,
                Err(_) => unreachable!("whatever the key has may be replaced"),
            },
        }
    }

    /// Puts a value in the place of what was seen of its key, or of what the key has by now, if that `stands`: gives the key back if
    /// not. Returns the id that the entry is filed under.
    #[inline(always)]
    pub(crate) fn put(
        &mut self,
        seen: Seen,
        (deadline, key, value): (u64, K, V),
        stands: impl Fn(Option<u32>) -> bool,
    ) -> Result<u32, K>
    where
        K: Eq,
    {
        let entry = Coming::new(
            Meta::new(self.context.index.fragment_of(seen.route()), deadline),
            key,
            value,
        );
        match self.try_put(seen, &[], None, &entry) {
            Ok(id) => Ok(id),
            Err(refused) => self.put_slow(seen, entry.into_entry(), stands, refused),
        }
    }

    /// If it is not refused, the entry has been moved.
    #[inline(always)]
    fn try_put(
        &mut self,
        seen: Seen,
        others: &[u32],
        token: Option<Token<'s>>,
        entry: &Coming<K, V>,
    ) -> Result<u32, Refused> {
        let attempt = Attempt {
            seen,
            others,
            token,
        };
        let shard = self.store.shard(seen.route());
        // SAFETY: the callers use the entry only if it is refused.
        unsafe { shard.put(&self.context, &mut self.garbage, &self.pin, attempt, entry) }
    }

    /// Goes on where the shard refused: finds what was missing, or looks again, as often as that happens.
    ///
    /// # Panics
    /// If a reader that never ends has let entries queue up until no id is left.
    #[cold]
    #[inline(never)]
    fn put_slow(
        &mut self,
        mut seen: Seen,
        mut entry: Entry<K, V>,
        stands: impl Fn(Option<u32>) -> bool,
        mut refused: Refused,
    ) -> Result<u32, K>
    where
        K: Eq,
    {
        let route = seen.route();
        let mut others = Others::new();
        loop {
            let mut token = None;
            match refused {
                Refused::Raced => {
                    let key = &entry.key;
                    (seen, others) = self.look_closely(route, move |other| other == key);
                    if !stands(seen.id()) {
                        return Err(entry.key);
                    }
                }
                missing => token = self.supply(route, missing),
            }
            self.garbage.move_up();
            let Entry { meta, key, value } = entry;
            let coming = Coming::new(meta, key, value);
            match self.try_put(seen, &others, token, &coming) {
                Ok(id) => return Ok(id),
                Err(again) => (entry, refused) = (coming.into_entry(), again),
            }
        }
    }

    /// Finds what a shard was missing: a token, or that there is none to be preferred to that of its own oldest entry.
    ///
    /// # Panics
    /// As [`Write::put_slow`].
    #[cold]
    fn supply(&mut self, route: Route, missing: Refused) -> Option<Token<'s>> {
        match missing {
            Refused::Raced => None,
            Refused::Sweep => {
                self.context.sweep = false;
                self.sweep()
            }
            Refused::Empty => Some(self.steal(route)),
            Refused::Exhausted => panic!("too many entries wait for a reader to end"),
        }
    }

    /// Takes a key out. Returns its entry, which stays as it is for as long as the write, if there was one alive.
    #[inline(always)]
    pub(crate) fn remove(
        &mut self,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Option<&Entry<K, V>> {
        let Self {
            store,
            context,
            pin,
            garbage,
        } = self;
        let pin = &*pin;
        loop {
            let seen = store.look(pin, route, is_it);
            let shard = store.shard(route);
            let entry = shard.seen(pin, &seen)?;
            let removed = shard.locked(context, garbage, |locked| locked.remove(seen));
            if let Ok(alive) = removed {
                return alive.then_some(entry);
            }
        }
    }

    /// Takes out what was seen of a key and says whether it was alive; `None` if it no longer stands.
    #[inline(always)]
    pub(crate) fn remove_seen(&mut self, seen: Seen) -> Option<bool> {
        let shard = self.store.shard(seen.route());
        let removed = shard.locked(&self.context, &mut self.garbage, |locked| {
            locked.remove(seen)
        });
        removed.ok()
    }

    /// The token of an expired entry, of any shard, if one is found among the next [`SWEEP`] ids of the wheels. What it has
    /// looked at is filed more finely after that, or has gone, so that the next write goes on where this one stops.
    #[cold]
    fn sweep(&mut self) -> Option<Token<'s>> {
        let Self {
            store,
            context,
            garbage,
            ..
        } = self;
        let mut work = SWEEP;
        for shard in store.shards().iter().filter(|it| it.due() <= context.now) {
            let token = shard.locked(context, garbage, |locked| locked.expire_one(&mut work));
            if token.is_some() || work == 0 {
                return token;
            }
        }
        store.set_swept(context.now);
        None
    }

    /// A token from wherever one can be had: for a shard that is empty when the cache is full.
    #[cold]
    fn steal(&mut self, route: Route) -> Token<'s> {
        let Self {
            store,
            context,
            garbage,
            ..
        } = self;
        let shards = store.shards();
        loop {
            // Starting anywhere, so that it is not always the first shard that gives.
            let start = route.spread() as usize % shards.len();
            let (before, after) = shards.split_at(start);
            for shard in after.iter().chain(before) {
                if let Some(token) = context.budget.take() {
                    return token;
                }
                let token = shard.locked(context, garbage, |locked| locked.give());
                if let Some(token) = token {
                    return token;
                }
            }
            // Every token is in the hands of a thread that is about to publish its entry.
            thread::yield_now();
        }
    }
}
