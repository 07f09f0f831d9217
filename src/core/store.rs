//! All shards of a cache, and the budget they share.

use super::budget::Budget;
use super::entry::Entry;
use super::garbage::Garbage;
use super::index::Fragment;
use super::reclaim::{Domain, Pin};
use super::shard::{Context, Hit, Others, Seen, Shard};
use super::table::{Sizing, Table};
use crate::sync::{AtomicPtr, AtomicU64, CachePadded, Ordering};

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
        self.route_of(Fragment::new(spread >> (64 - Fragment::BITS)))
    }

    /// Where a key with this fragment belongs.
    #[inline(always)]
    pub(super) fn route_of(&self, fragment: Fragment) -> Route {
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
    pub(super) fn shard(&self, route: Route) -> &Shard<K, V> {
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
    ) -> Seen {
        self.shard(route)
            .look(pin, || self.table(pin), route.fragment, is_it)
    }

    /// Leaves the stamp of this read in the entry.
    #[inline(always)]
    pub(crate) fn touch(&self, pin: &Pin<'_>, route: Route, hit: &Hit<'_, K, V>) {
        self.shard(route).touch(pin, || self.table(pin), hit);
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
            // Relaxed: who is late sweeps once more.
            sweep: now > self.swept.load(Ordering::Relaxed),
        }
    }

    /// Notes that a sweep has found no expired entry.
    pub(super) fn set_swept(&self, now: u64) {
        // Relaxed: see `context`.
        self.swept.fetch_max(now, Ordering::Relaxed);
    }

    /// As [`Store::look`], for a write that was refused.
    pub(crate) fn look_closely<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> (Seen, Others) {
        self.shard(route)
            .look_closely(pin, || self.table(pin), route.fragment, is_it)
    }

    /// Replaces the table by one with more room for a shard, unless another thread has just done so.
    #[cold]
    pub(super) fn grow(&self, context: &Context<'_>, route: Route) {
        // Always in this order, and by threads that hold no lock.
        let mut guards: Vec<_> = self.shards.iter().map(Shard::hold).collect();
        let mut garbage: Vec<_> = self.shards.iter().map(|_| Garbage::none()).collect();
        let mut locked: Vec<_> = self
            .shards
            .iter()
            .zip(garbage.iter_mut().zip(&mut guards))
            .map(|(shard, (garbage, guard))| shard.view(context, garbage, guard))
            .collect();
        let keys = locked[route.shard].len();
        if locked[0].table().is_outgrown(keys, self.len()) {
            let next = Box::new(Table::new(self.sizing, keys + 1));
            for shard in &locked {
                shard.file_all(&next);
            }
            locked[0].publish(next);
            for shard in &locked {
                shard.changed();
            }
        }
        let lagging = locked.iter_mut().filter_map(|shard| shard.settle(None));
        let lagging: Vec<_> = lagging.collect();
        drop(locked);
        drop(guards);
        lagging
            .into_iter()
            .for_each(|ticket| context.domain.quiesce(ticket));
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
mod growth;
#[cfg(all(test, not(nori_loom)))]
mod skew;
#[cfg(all(test, not(nori_loom)))]
mod tests;
