//! All shards of a cache, and the budget they share.

use super::budget::{Budget, Token};
use super::entry::Entry;
use super::index::Fragment;
use super::reclaim::{Domain, Hold, Pin};
use super::shard::{Context, Held, Hit, Leftovers, Others, Refused, Seen, Shard, Writer};
use super::table::{Sizing, Table};
use crate::sync::{AtomicPtr, AtomicU64, CachePadded, Ordering, thread};

/// How many entries a collection drops between two releases of the lock.
const COLLECT: u32 = 64;
/// How often a collection looks again for readers to leave.
const PATIENCE: u32 = 16;

/// How many ids of the wheels a write looks at, at most, for an expired entry to go before a live one.
pub(crate) const SWEEP: u32 = 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Store<K, V> {
    /// Never null; replaced under all shards' locks, freed after a grace period.
    table: AtomicPtr<Table>,
    shards: Box<[Shard<K, V>]>,
    /// How many low bits of a fragment do not select the shard.
    shard_shift: u32,
    sizing: Sizing,
    budget: Budget,
    /// No entry expired at or before this time was left when a sweep last came to its end.
    swept: CachePadded<AtomicU64>,
}

/// Where a key belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Route {
    shard: usize,
    pub(crate) fragment: Fragment,
}

impl<K, V> Store<K, V> {
    /// An empty store of `shards` shards, a power of two.
    pub(crate) fn new(max_keys: usize, shards: usize) -> Self {
        debug_assert!(shards.is_power_of_two());
        let sizing = Sizing::new(max_keys, shards);
        Self {
            table: AtomicPtr::new(Box::into_raw(Box::new(Table::new(sizing, 1)))),
            shards: (0..shards)
                .map(|number| Shard::new(number, sizing))
                .collect(),
            shard_shift: Fragment::BITS - shards.trailing_zeros(),
            sizing,
            budget: Budget::new(max_keys),
            swept: CachePadded(AtomicU64::new(0)),
        }
    }

    pub(crate) fn max_keys(&self) -> usize {
        self.budget.max()
    }

    pub(crate) fn len(&self) -> usize {
        self.budget.used()
    }

    pub(crate) fn shards(&self) -> &[Shard<K, V>] {
        &self.shards
    }

    /// Where a key with this hash belongs.
    #[inline(always)]
    pub(crate) fn route(&self, hash: u64) -> Route {
        // The high bits choose shard and bucket, and a hasher may leave them zero: make them depend on all (Knuth's
        // multiplicative hashing, *TAOCP* 3, 6.4).
        let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let fragment = Fragment::new(spread >> (64 - Fragment::BITS));
        Route {
            shard: (fragment.get() >> self.shard_shift) as usize,
            fragment,
        }
    }

    #[inline(always)]
    pub(super) fn table<'p>(&'p self, _pin: &'p Pin<'_>) -> &'p Table {
        // Acquire: pairs with the Release in `Writer::publish`; the table is filled before we see it.
        let table = self.table.load(Ordering::Acquire);
        // SAFETY: never null, and a replaced table is freed only after a grace period, which the pin holds up.
        unsafe { &*table }
    }

    #[inline(always)]
    fn shard(&self, route: Route) -> &Shard<K, V> {
        // SAFETY: a fragment shifted by `shard_shift` is below the number of shards.
        unsafe { self.shards.get_unchecked(route.shard) }
    }

    /// Finds a key: the entry that `is_it` accepts. Takes no lock.
    #[inline(always)]
    pub(crate) fn find<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Option<Hit<'p, K, V>> {
        let table = self.table(pin);
        self.shard(route).find(pin, table, route.fragment, is_it)
    }

    /// As [`Store::find`], for a write that is to follow.
    #[inline(always)]
    pub(crate) fn look<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> (Seen, Option<Hit<'p, K, V>>) {
        self.shard(route)
            .look(pin, || self.table(pin), route.fragment, is_it)
    }

    /// Finds a key, and holds its entry if `accept` says so, which is asked under the pin. The pin ends here.
    #[inline(always)]
    pub(crate) fn hold<'s, 'd>(
        &'s self,
        pin: Pin<'d>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
        accept: impl FnOnce(&Pin<'_>, &Hit<'_, K, V>) -> bool,
    ) -> Option<Held<'s, 'd, K, V>> {
        let hit = self.find(&pin, route, is_it)?;
        let id = accept(&pin, &hit).then(|| hit.id())?;
        Some(self.shard(route).hold(pin, id))
    }

    /// As [`Store::look`], and holds the entry, or what is to be held where there is none. The pin ends here.
    #[inline(always)]
    pub(crate) fn look_and_hold<'s, 'd>(
        &'s self,
        pin: Pin<'d>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> (Seen, Result<Held<'s, 'd, K, V>, Hold<'d>>) {
        let (seen, _) = self.look(&pin, route, is_it);
        let held = match seen.id() {
            Some(id) => Ok(self.shard(route).hold(pin, id)),
            None => Err(pin.hold_nothing()),
        };
        (seen, held)
    }

    /// Whether this id is filed under the route's fragment.
    pub(crate) fn is_filed(&self, pin: &Pin<'_>, route: Route, id: u32) -> bool {
        let table = self.table(pin);
        self.shard(route).is_filed(table, route.fragment, id)
    }

    /// Holds an entry that was filed with this id under the pin, which goes on.
    pub(crate) fn hold_too<'d>(&self, pin: &Pin<'d>, route: Route, id: u32) -> Hold<'d> {
        self.shard(route).hold_too(pin, id)
    }

    /// Leaves the stamp of this read in the entry.
    #[inline(always)]
    pub(crate) fn touch(&self, pin: &Pin<'_>, route: Route, hit: &Hit<'_, K, V>) {
        self.shard(route).touch(pin, hit);
    }

    /// Starts to bring the memory of a batch of keys into the cache.
    pub(crate) fn prefetch(&self, pin: &Pin<'_>, routes: &[Route]) {
        let table = self.table(pin);
        for route in routes {
            table.index.prefetch(route.fragment);
        }
        for &route in routes {
            self.shard(route).prefetch(table, route.fragment);
        }
    }

    /// Calls `each` for every entry of a shard; one that is there throughout is shown once.
    pub(crate) fn for_each<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        shard: usize,
        mut each: impl FnMut(&'p Entry<K, V>),
    ) {
        self.shards[shard].for_each(pin, self.table(pin), |_, entry| each(entry));
    }

    /// What a write at time `now` works with.
    #[inline(always)]
    pub(crate) fn context<'c>(&'c self, domain: &'c Domain, now: u64) -> Context<'c> {
        Context {
            domain,
            budget: &self.budget,
            table: &self.table,
            now,
        }
    }

    /// As [`Store::look`], for a write that was refused.
    pub(crate) fn look_closely<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> (Seen, Option<Hit<'p, K, V>>, Others) {
        self.shard(route)
            .look_closely(pin, || self.table(pin), route.fragment, is_it)
    }

    /// Puts `entry` under its key, and takes it. Returns the id that it is filed under.
    #[inline(always)]
    pub(crate) fn insert<'c>(
        &'c self,
        context: Context<'c>,
        leftovers: &mut Leftovers<K, V>,
        pin: &Pin<'_>,
        route: Route,
        entry: &mut Option<Entry<K, V>>,
    ) -> Option<u32>
    where
        K: Eq,
    {
        let Entry { key, .. } = entry.as_ref()?;
        let (seen, _) = self.look(pin, route, move |other| other == key);
        let put = self.put(context, leftovers, pin, route, seen, &[], entry);
        if put.is_some() {
            return put;
        }
        self.insert_slow(context, leftovers, pin, route, entry.take()?)
    }

    /// Goes on where another writer was faster.
    #[cold]
    fn insert_slow<'c>(
        &'c self,
        context: Context<'c>,
        leftovers: &mut Leftovers<K, V>,
        pin: &Pin<'_>,
        route: Route,
        entry: Entry<K, V>,
    ) -> Option<u32>
    where
        K: Eq,
    {
        let mut entry = Some(entry);
        loop {
            let Entry { key, .. } = entry.as_ref()?;
            let (seen, _, others) = self.look_closely(pin, route, move |other| other == key);
            let put = self.put(context, leftovers, pin, route, seen, &others, &mut entry);
            if put.is_some() {
                return put;
            }
        }
    }

    /// As [`Store::put`], once more for as long as that was refused because of other keys. Gives the key back if the entry that
    /// it has now, if any, is not one that `stands`.
    #[cold]
    pub(crate) fn put_slow<'c>(
        &'c self,
        context: Context<'c>,
        leftovers: &mut Leftovers<K, V>,
        pin: &Pin<'_>,
        route: Route,
        stands: impl Fn(Option<u32>) -> bool,
        mut entry: Entry<K, V>,
    ) -> Result<u32, K>
    where
        K: Eq,
    {
        loop {
            let key = &entry.key;
            let (again, _, others) = self.look_closely(pin, route, move |other| other == key);
            if !stands(again.id()) {
                return Err(entry.key);
            }
            let mut put = Some(entry);
            let filed = self.put(context, leftovers, pin, route, again, &others, &mut put);
            match (filed, put) {
                (Some(id), _) => return Ok(id),
                (None, Some(refused)) => entry = refused,
                (None, None) => unreachable!("what is not filed is still here"),
            }
        }
    }

    /// Puts `entry` in the place of what was seen of its key, and takes it; `None` if that no longer stands, as far as can be
    /// told without comparing keys. `others` as in [`Writer::put`].
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "each has a name of its own")]
    pub(crate) fn put<'c>(
        &'c self,
        context: Context<'c>,
        leftovers: &mut Leftovers<K, V>,
        pin: &Pin<'_>,
        route: Route,
        seen: Seen,
        others: &[u32],
        entry: &mut Option<Entry<K, V>>,
    ) -> Option<u32> {
        let mut token = None;
        // Relaxed: who is late sweeps once more.
        let mut sweep = context.now > self.swept.load(Ordering::Relaxed);
        loop {
            let mut writer = self.shard(route).lock(context, leftovers);
            let put = writer.put(pin, seen, others, entry, &mut token, sweep);
            writer.finish();
            match put {
                Ok(id) => return Some(id),
                Err(Refused::Raced) => return None,
                Err(Refused::Sweep) => {
                    sweep = false;
                    token = self.sweep(context, leftovers);
                }
                Err(Refused::Empty) => token = Some(self.steal(context, leftovers, route)),
                Err(Refused::Full) => self.grow(context, route),
            }
        }
    }

    /// Takes a key out. Returns its entry, which stays as it is for as long as the pin, if there was one alive.
    #[inline(always)]
    pub(crate) fn remove<'p>(
        &'p self,
        context: Context<'_>,
        leftovers: &mut Leftovers<K, V>,
        pin: &'p Pin<'_>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Option<&'p Entry<K, V>> {
        loop {
            let (seen, hit) = self.look(pin, route, is_it);
            let hit = hit?;
            if let Some(alive) = self.remove_seen(context, leftovers, route, seen) {
                return alive.then_some(hit.entry);
            }
        }
    }

    /// Takes out what was seen of a key and says whether it was alive; `None` if it no longer stands.
    #[inline(always)]
    pub(crate) fn remove_seen(
        &self,
        context: Context<'_>,
        leftovers: &mut Leftovers<K, V>,
        route: Route,
        seen: Seen,
    ) -> Option<bool> {
        let mut writer = self.shard(route).lock(context, leftovers);
        let removed = writer.remove(seen);
        writer.finish();
        removed.ok()
    }

    /// Takes out all entries that `keep` refuses; it is called without a lock.
    pub(crate) fn retain(
        &self,
        context: Context<'_>,
        pin: impl Fn() -> Pin<'static>,
        mut keep: impl FnMut(&Entry<K, V>) -> bool,
    ) {
        for shard in &self.shards {
            let first = pin();
            let mut filed = Vec::new();
            shard.for_each(&first, self.table(&first), |id, entry| {
                filed.push((id, entry.meta.fragment()));
            });
            drop(first);
            for (id, fragment) in filed {
                // Gone since, or another entry's id by now, which is shown as well.
                let pin = pin();
                if !shard.is_filed(self.table(&pin), fragment, id) {
                    continue;
                }
                let held = shard.hold(pin, id);
                if !keep(held.entry()) {
                    let mut leftovers = Leftovers::none();
                    let mut writer = shard.lock(context, &mut leftovers);
                    // Refused if a writer was faster: then what the key has now was not refused by `keep`.
                    let _ = writer.remove(Seen::held(id, &held));
                    writer.finish();
                }
            }
        }
        self.collect(context);
    }

    /// Takes everything out.
    pub(crate) fn clear(&self, context: Context<'_>) {
        for shard in &self.shards {
            let mut leftovers = Leftovers::none();
            let mut writer = shard.lock(context, &mut leftovers);
            writer.clear();
            writer.finish();
        }
        self.collect(context);
    }

    /// Takes out all entries that are expired; says how many.
    pub(crate) fn purge_expired(&self, context: Context<'_>) -> usize {
        let mut purged = 0;
        for shard in &self.shards {
            while shard.due() <= context.now {
                let mut leftovers = Leftovers::none();
                let mut writer = shard.lock(context, &mut leftovers);
                purged += writer.expire(COLLECT);
                writer.finish();
            }
        }
        self.collect(context);
        purged
    }

    /// Drops what has left the cache until now, as far as readers allow.
    fn collect(&self, context: Context<'_>) {
        for shard in &self.shards {
            let mut patience = PATIENCE;
            // What leaves limbo leaves it in the order in which it came: this many, and all that was there at first is gone.
            let mut left = None;
            loop {
                let mut leftovers = Leftovers::none();
                let mut writer = shard.lock(context, &mut leftovers);
                let before = left.unwrap_or_else(|| writer.in_limbo());
                let more = writer.collect(COLLECT);
                writer.finish();
                left = Some(before.saturating_sub(leftovers.len()));
                if leftovers.len() == 0 {
                    patience -= 1;
                    thread::yield_now();
                }
                if !more || left == Some(0) || patience == 0 {
                    break;
                }
            }
        }
    }

    /// The token of an expired entry, of any shard, if one is found among the next [`SWEEP`] ids of the wheels. What it has
    /// looked at is filed more finely after that, or has gone, so that the next write goes on where this one stops.
    #[cold]
    fn sweep<'c>(
        &self,
        context: Context<'c>,
        leftovers: &mut Leftovers<K, V>,
    ) -> Option<Token<'c>> {
        let mut work = SWEEP;
        for shard in self.shards.iter().filter(|it| it.due() <= context.now) {
            let mut writer = shard.lock(context, leftovers);
            let token = writer.expire_one(&mut work);
            writer.finish();
            if token.is_some() || work == 0 {
                return token;
            }
        }
        // Relaxed: see `put`.
        self.swept.fetch_max(context.now, Ordering::Relaxed);
        None
    }

    /// A token from wherever one can be had: for a shard that is empty when the cache is full.
    #[cold]
    fn steal<'c>(
        &self,
        context: Context<'c>,
        leftovers: &mut Leftovers<K, V>,
        route: Route,
    ) -> Token<'c> {
        loop {
            // Starting anywhere, so that it is not always the first shard that gives.
            let start = route.fragment.get() as usize % self.shards.len();
            let (before, after) = self.shards.split_at(start);
            for shard in after.iter().chain(before) {
                if let Some(token) = context.budget.take() {
                    return token;
                }
                let mut writer = shard.lock(context, leftovers);
                let token = writer.evict();
                writer.finish();
                if let Some(token) = token {
                    return token;
                }
            }
            // Every token is in the hands of a thread that is about to publish its entry.
            thread::yield_now();
        }
    }

    /// Replaces the table by one with more room for a shard, unless another thread has just done so.
    #[cold]
    fn grow(&self, context: Context<'_>, route: Route) {
        // Always in this order, and by threads that hold no lock.
        let mut leftovers: Vec<_> = self.shards.iter().map(|_| Leftovers::none()).collect();
        let mut writers: Vec<Writer<'_, '_, K, V>> = self
            .shards
            .iter()
            .zip(&mut leftovers)
            .map(|(shard, leftovers)| shard.lock(context, leftovers))
            .collect();
        let keys = writers[route.shard].len();
        if writers[0].table().is_outgrown(keys, self.len()) {
            let next = Box::new(Table::new(self.sizing, keys + 1));
            for writer in &writers {
                writer.file_all(&next);
            }
            writers[0].publish(next);
            for writer in &writers {
                writer.changed();
            }
        }
        writers.into_iter().for_each(Writer::finish);
    }

    /// Checks every organ of every shard. No other thread may write.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, pin: &Pin<'_>) {
        for shard in &self.shards {
            shard.validate(self.table(pin));
        }
    }
}

impl<K, V> Drop for Store<K, V> {
    fn drop(&mut self) {
        // Relaxed: `&mut self` means that no other thread is left.
        let table = self.table.load(Ordering::Relaxed);
        // SAFETY: made by `Box::into_raw`; the last table was never retired, and is freed only here.
        drop(unsafe { Box::from_raw(table) });
    }
}

#[cfg(all(test, not(nori_loom)))]
mod skew;
#[cfg(all(test, not(nori_loom)))]
mod tests;
