//! One write of a key, from the look at what the key has to the drop of what the write leaves.

mod conditional;

pub(crate) use conditional::{Gate, Open};

use super::budget::{Collector, Token};
use super::entry::{Coming, Entry};
use super::garbage::Garbage;
use super::index::Route;
use super::life::{Deadlines, Limit};
use super::reclaim::{Domain, Pin};
use super::shard::{
    Attempt, Care, Context, Hit, Others, Plain, Refused, Seen, Shard, Special, Terms,
};
use super::store::Store;
use crate::sync::thread;

/// How many ids of the wheels a write looks at, at most, for an expired entry to go before a live one.
pub(crate) const SWEEP: u32 = 1024;

/// Why an entry cannot be stored, however often one tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It weighs more than the cache holds.
    TooHeavy,
    /// Pinned entries leave no room for it.
    Pinned,
}

/// Why an entry was not put.
#[derive(Debug)]
pub(crate) enum NotPut {
    /// What the key has by now is not to be replaced.
    Outdated,
    /// It is refused. The key has no entry: none is better than an old one.
    Refused(Refusal),
}

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
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn new(store: &'s Store<K, V>, domain: &'s Domain, pin: Pin<'s>, now: u64) -> Self {
        Self {
            store,
            context: store.context(domain, now),
            pin,
            garbage: Garbage::none(),
        }
    }

    /// Sets the time, for a write that has looked first.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn set_now(&mut self, now: u64) {
        self.context = self.store.context(self.context.domain, now);
    }

    /// What the key has: the entry that `is_it` accepts.
    pub(crate) fn look(&self, route: Route, is_it: impl Fn(&K) -> bool + Copy) -> Seen {
        self.store.look(&self.pin, route, is_it)
    }

    /// The entry that was seen by a look of this write.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn seen(&self, seen: &Seen) -> Option<Hit<'_, K, V>> {
        self.store.seen(&self.pin, seen)
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

    /// Puts a value under a key in a store that asks for nothing else. Returns the id that the entry is filed under.
    #[cfg(any(test, fuzzing, nori_loom))]
    pub(crate) fn insert<L: Limit>(
        &mut self,
        route: Route,
        deadlines: impl Into<Deadlines<L>>,
        key: K,
        value: V,
    ) -> u32
    where
        K: Eq,
    {
        match self.insert_on::<L, Plain>(route, (deadlines, key, value), Terms::PLAIN) {
            Ok((id, _)) => id,
            Err(_) => unreachable!("nothing is weighed or pinned"),
        }
    }

    /// Puts a value under a key, with a deadline as in [`Meta::new`]. Returns the id that the entry is filed under, and whether
    /// it replaces one that was alive. `C` is as for [`Shard::put`]. What is refused is dropped with what the write leaves.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn insert_on<L: Limit, C: Care>(
        &mut self,
        route: Route,
        (deadlines, key, value): (impl Into<Deadlines<L>>, K, V),
        terms: Terms,
    ) -> Result<(u32, bool), Refusal>
    where
        K: Eq,
    {
        let shard = self.store.shard(route);
        let seen = shard.look(&self.pin, self.context.index, route, |other| *other == key);
        let entry = self.coming(route, deadlines.into(), key, value);
        match self.try_first::<L, C>(shard, seen, terms, &entry) {
            Ok(id) => Ok((id, self.was_alive(&seen))),
            Err(refused) => self.insert_slow(seen, entry, terms, refused),
        }
    }

    /// Whether there was an entry of the key, and it was alive, as of the time of this write.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn was_alive(&self, seen: &Seen) -> bool {
        let hit = self.seen(seen);
        hit.is_some_and(|hit| !hit.life().has_expired(self.context.now))
    }

    #[cold]
    #[inline(never)]
    fn insert_slow<L: Limit>(
        &mut self,
        seen: Seen,
        entry: Coming<K, V, L>,
        terms: Terms,
        refused: Refused,
    ) -> Result<(u32, bool), Refusal>
    where
        K: Eq,
    {
        match self.put_slow(seen, entry, terms, |_| true, refused) {
            Ok((id, seen)) => Ok((id, self.was_alive(&seen))),
            Err((NotPut::Refused(refusal), entry)) => {
                self.add_refused(entry);
                Err(refusal)
            }
            Err((NotPut::Outdated, _)) => unreachable!("whatever the key has may be replaced"),
        }
    }

    /// Has an entry that was refused be dropped with what the write leaves. The listener is told.
    #[cold]
    pub(crate) fn add_refused(&mut self, entry: Entry<K, V>) {
        self.garbage.add_refused(entry, self.store.listener());
    }

    /// Puts a value in the place of what was seen of its key, or of what the key has by now, if that `stands`. Gives key and value back
    /// if they are not put.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put<L: Limit>(
        &mut self,
        seen: Seen,
        (deadlines, key, value): (impl Into<Deadlines<L>>, K, V),
        terms: Terms,
        stands: impl Fn(Option<u32>) -> bool,
    ) -> Result<u32, (NotPut, Entry<K, V>)>
    where
        K: Eq,
    {
        let entry = self.coming(seen.route(), deadlines.into(), key, value);
        let shard = self.store.shard(seen.route());
        // What is weighed is refused here, and put at the second attempt.
        match self.try_first::<L, Plain>(shard, seen, terms, &entry) {
            Ok(id) => Ok(id),
            Err(refused) => {
                let put = self.put_slow(seen, entry, terms, stands, refused);
                put.map(|(id, _)| id)
            }
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn coming<L: Limit>(
        &self,
        route: Route,
        deadlines: Deadlines<L>,
        key: K,
        value: V,
    ) -> Coming<K, V, L> {
        Coming::new(self.context.index.fragment_of(route), deadlines, key, value)
    }

    /// The first attempt. If it is not refused, the entry has been moved.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn try_first<L: Limit, C: Care>(
        &mut self,
        shard: &Shard<K, V>,
        seen: Seen,
        terms: Terms,
        entry: &Coming<K, V, L>,
    ) -> Result<u32, Refused> {
        let attempt = Attempt {
            seen,
            others: &[],
            token: None,
            terms,
            purse: None,
        };
        // SAFETY: the callers use the entry only if it is refused.
        unsafe { shard.put::<L, C>(&self.context, &mut self.garbage, &self.pin, attempt, entry) }
    }

    /// Goes on where the shard refused: finds what was missing, or looks again, as often as that happens.
    ///
    /// # Panics
    /// If a reader that never ends has let entries queue up until no id is left.
    #[cold]
    #[inline(never)]
    fn put_slow<L: Limit>(
        &mut self,
        mut seen: Seen,
        coming: Coming<K, V, L>,
        terms: Terms,
        stands: impl Fn(Option<u32>) -> bool,
        mut refused: Refused,
    ) -> Result<(u32, Seen), (NotPut, Entry<K, V>)>
    where
        K: Eq,
    {
        let route = seen.route();
        let mut others = Others::new();
        // In this form it is dropped should a comparison panic.
        let (deadlines, mut entry) = (coming.deadlines(), coming.into_entry());
        let mut collector: Option<Collector<'s>> = None;
        loop {
            let mut token = None;
            match refused {
                Refused::Raced => {
                    // Others go first, as keys are compared here, which is the user's affair.
                    collector = None;
                    let key = &entry.key;
                    (seen, others) = self.look_closely(route, move |other| other == key);
                    if !stands(seen.id()) {
                        return Err((NotPut::Outdated, entry));
                    }
                }
                missing => match self.supply(&seen, terms, missing, &mut collector) {
                    Ok(found) => token = found,
                    Err(refusal) => {
                        collector = None;
                        if self.refuse(seen) {
                            return Err((NotPut::Refused(refusal), entry));
                        }
                        refused = Refused::Raced;
                        continue;
                    }
                },
            }
            self.garbage.move_up();
            let Entry { key, value } = entry;
            let coming = self.coming(route, deadlines, key, value);
            let attempt = Attempt {
                seen,
                others: &others,
                token,
                terms,
                purse: collector.as_ref().map(Collector::purse),
            };
            let (context, shard) = (&self.context, self.store.shard(route));
            // SAFETY: the entry is used only if it is refused.
            let put = unsafe {
                shard.put::<L, Special>(context, &mut self.garbage, &self.pin, attempt, &coming)
            };
            match put {
                Ok(id) => {
                    if let Some(collector) = collector {
                        collector.spend();
                    }
                    return Ok((id, seen));
                }
                Err(again) => (entry, refused) = (coming.into_entry(), again),
            }
        }
    }

    /// Takes out what was seen of a key for which nothing can be stored; false if it no longer stands.
    #[cold]
    fn refuse(&mut self, seen: Seen) -> bool {
        let shard = self.store.shard(seen.route());
        let refused = shard.locked(&self.context, &mut self.garbage, |it| it.refuse(seen));
        refused.is_ok()
    }

    /// Finds what a shard was missing: a token, weight for the collector, or that there is none to be preferred to those of its own oldest
    /// entries.
    ///
    /// # Panics
    /// As [`Write::put_slow`].
    #[cold]
    fn supply(
        &mut self,
        seen: &Seen,
        terms: Terms,
        missing: Refused,
        collector: &mut Option<Collector<'s>>,
    ) -> Result<Option<Token<'s>>, Refusal> {
        match missing {
            Refused::Special | Refused::Raced => Ok(None),
            Refused::Sweep => {
                self.context.sweep = false;
                Ok(self.sweep(self.missing_weight(seen, terms)))
            }
            Refused::Empty => {
                let token = self.steal(seen.route());
                token.map_or(Err(Refusal::Pinned), |token| Ok(Some(token)))
            }
            Refused::Heavy => {
                *collector = self.gather(collector.take(), seen, terms);
                Ok(None)
            }
            Refused::TooHeavy => Err(Refusal::TooHeavy),
            Refused::Pinned => Err(Refusal::Pinned),
            Refused::Exhausted => panic!("too many entries wait for a reader to end"),
        }
    }

    /// Takes a key out. Returns its entry, which stays as it is for as long as the write, if there was one alive.
    #[cfg_attr(not(debug_assertions), inline(always))]
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
            let entry = shard.seen(pin, &seen)?.entry;
            let removed = shard.locked(context, garbage, |locked| locked.remove(seen));
            if let Ok(alive) = removed {
                return alive.then_some(entry);
            }
        }
    }

    /// Takes out what was seen of a key and says whether it was alive; `None` if it no longer stands.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remove_seen(&mut self, seen: Seen) -> Option<bool> {
        let shard = self.store.shard(seen.route());
        let removed = shard.locked(&self.context, &mut self.garbage, |locked| {
            locked.remove(seen)
        });
        removed.ok()
    }

    /// Moves the deadlines of a key's entry: the limit, and the idle deadline, if there is one, further ahead. True if it was alive. Counts
    /// as a use if `used` says so.
    pub(crate) fn revise(
        &mut self,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
        deadlines: (u64, Option<u64>),
        used: bool,
    ) -> bool {
        loop {
            let seen = self.store.look(&self.pin, route, is_it);
            let Some(hit) = self.seen(&seen) else {
                return false;
            };
            if used {
                self.store.touch(&self.pin, route, &hit);
            }
            if let Some(alive) = self.revise_seen(seen, deadlines) {
                return alive;
            }
        }
    }

    /// The same, of what was seen; `None` if that no longer stands.
    pub(crate) fn revise_seen(
        &mut self,
        seen: Seen,
        deadlines: (u64, Option<u64>),
    ) -> Option<bool> {
        let shard = self.store.shard(seen.route());
        let revised = shard.locked(&self.context, &mut self.garbage, |locked| {
            locked.revise(seen, deadlines)
        });
        revised.ok()
    }

    /// Has what was seen be evicted like any other entry. False if it was not pinned.
    pub(crate) fn unpin(&mut self, seen: &Seen) -> bool {
        let Some(id) = seen.id() else {
            return false;
        };
        let shard = self.store.shard(seen.route());
        let pin = &self.pin;
        shard.locked(&self.context, &mut self.garbage, |it| it.unpin(pin, id))
    }

    /// By how much an entry weighs more than the one that was seen, which it is to replace.
    fn missing_weight(&self, seen: &Seen, terms: Terms) -> u64 {
        let shard = self.store.shard(seen.route());
        let old = seen.id().map_or(0, |id| shard.weight_of(&self.pin, id));
        terms.weight.saturating_sub(old)
    }

    /// The token of an expired entry, of any shard, if one is found among the next [`SWEEP`] ids of the wheels; and where entries are
    /// weighed, as many of them as it takes until so much weight is free. What it has looked at is filed more finely after that, or has
    /// gone, so that the next write goes on where this one stops.
    #[cold]
    fn sweep(&mut self, wanted: u64) -> Option<Token<'s>> {
        let Self {
            store,
            context,
            garbage,
            ..
        } = self;
        let mut work = SWEEP;
        let mut token = None;
        let is_enough = || {
            let pool = context.budget.weight();
            pool.is_none_or(|pool| pool.free() >= wanted)
        };
        for shard in store.shards() {
            while shard.due() <= context.now {
                let expired = shard.locked(context, garbage, |it| it.expire_one(&mut work));
                let is_found = expired.is_some();
                token = token.or(expired);
                if work == 0 || token.is_some() && is_enough() {
                    return token;
                }
                if !is_found {
                    break;
                }
            }
        }
        store.set_swept(context.now);
        token
    }

    /// A token from wherever one can be had: for a shard that has nothing to evict when the cache is full. None if all are pinned.
    #[cold]
    fn steal(&mut self, route: Route) -> Option<Token<'s>> {
        let Self {
            store,
            context,
            garbage,
            ..
        } = self;
        let keys = &context.budget.keys;
        loop {
            for shard in store.shards_from(route) {
                if let Some(token) = keys.token() {
                    return Some(token);
                }
                let token = shard.locked(context, garbage, |locked| locked.give());
                if token.is_some() {
                    return token;
                }
            }
            if keys.pinned() >= keys.max() {
                return None;
            }
            // The others are in the hands of threads that are about to publish their entries.
            thread::yield_now();
        }
    }

    /// Goes round the shards once for the weight that an entry needs: as the one that collects, which waits for its turn without
    /// holding any. What is to be replaced gives none, as the new entry has that anyhow.
    #[cold]
    fn gather(
        &mut self,
        collector: Option<Collector<'s>>,
        seen: &Seen,
        terms: Terms,
    ) -> Option<Collector<'s>> {
        let wanted = self.missing_weight(seen, terms);
        let Self {
            store,
            context,
            garbage,
            ..
        } = self;
        let mut collector = match collector {
            None => context.budget.collect()?,
            Some(collector) => collector,
        };
        let before = collector.purse();
        let own: *const Shard<K, V> = store.shard(seen.route());
        for shard in store.shards_from(seen.route()) {
            collector.take(wanted);
            let missing = wanted.saturating_sub(collector.purse());
            if missing == 0 {
                break;
            }
            let spare = seen.id().filter(|_| std::ptr::eq(shard, own));
            let given = shard.locked(context, garbage, |it| it.give_weight(missing, spare));
            collector.add(given);
        }
        if collector.purse() == before {
            // All is in the hands of threads that are about to publish their entries.
            thread::yield_now();
        }
        Some(collector)
    }
}
