//! All shards of a cache, and the budget they share.

use super::budget::Budget;
use super::index::{Index, Route};
use super::listener::Listener;
use super::policy::{Balance, Policy};
use super::reclaim::{Domain, Hold, Pin};
use super::shard::{Context, Found, Fronts, Held, Hit, Others, Seen, Shard};
use super::side::SideWords;
use super::sizing::{Plan, Sizing};
use crate::sync::{AtomicU64, CachePadded, Ordering};
use std::sync::Arc;

/// See the module. What a hit needs comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Store<K, V> {
    index: Index,
    fronts: Fronts<K, V>,
    shards: Box<[Shard<K, V>]>,
    /// On lines of its own, as writers write it.
    shared: Box<Shared>,
}

#[derive(Debug)]
struct Shared {
    budget: Budget,
    /// No entry expired at or before this time was left when a sweep last came to its end.
    swept: CachePadded<AtomicU64>,
}

impl<K, V> Store<K, V> {
    /// An empty store of `shards` shards, a power of two, for nothing but that.
    #[cfg(any(test, fuzzing, nori_loom))]
    pub(crate) fn new(max_keys: usize, shards: usize) -> Self {
        Self::with(Plan::plain(max_keys, shards))
    }

    /// An empty store.
    pub(crate) fn with(plan: Plan) -> Self {
        let Plan {
            max_keys,
            shards,
            policy,
            side,
            max_weight,
        } = plan;
        debug_assert!(shards.is_power_of_two());
        debug_assert_eq!(side.has(SideWords::WEIGHT), max_weight.is_some());
        let sizing = Sizing::new(plan);
        let balance = (policy == Policy::Adaptive).then(|| Arc::new(Balance::new()));
        let fronts = Shard::fronts(shards, sizing);
        Self {
            index: Index::new(shards, sizing.range()),
            shards: (0..shards)
                .map(|number| Shard::new(number, Arc::clone(&fronts), sizing, balance.clone()))
                .collect(),
            fronts,
            shared: Box::new(Shared {
                budget: Budget::new(max_keys, max_weight),
                swept: CachePadded(AtomicU64::new(0)),
            }),
        }
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// The same store, whose listener is told what leaves. Before anybody uses it.
    pub(crate) fn listening(mut self, listener: Arc<Listener<K, V>>) -> Self {
        for shard in &mut self.shards {
            shard.listen(Arc::clone(&listener));
        }
        self
    }

    /// Who is told what leaves.
    pub(crate) fn listener(&self) -> Option<&Arc<Listener<K, V>>> {
        self.shards[0].listener()
    }

    pub(crate) fn max_keys(&self) -> usize {
        self.shared.budget.keys.max() as usize
    }

    pub(crate) fn len(&self) -> usize {
        self.shared.budget.keys.used() as usize
    }

    pub(crate) fn shards(&self) -> &[Shard<K, V>] {
        &self.shards
    }

    /// All shards, from somewhere on that depends on the route: not always the same one is to give first.
    pub(super) fn shards_from(&self, route: Route) -> impl Iterator<Item = &Shard<K, V>> {
        let start = route.spread() as usize % self.shards.len();
        let (before, after) = self.shards.split_at(start);
        after.iter().chain(before)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn shard(&self, route: Route) -> &Shard<K, V> {
        // SAFETY: there are as many shards as the index has ranges.
        unsafe { self.shards.get_unchecked(self.index.range_of(route)) }
    }

    /// Finds a key: the entry that `is_it` accepts. Takes no lock.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn find<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Option<Hit<'p, K, V>> {
        // SAFETY: there are as many fronts as the index has ranges.
        let front = unsafe { self.fronts.get_unchecked(self.index.range_of(route)) };
        front.find(pin, &self.index, route, is_it)
    }

    /// As [`Store::find`], for a write that is to follow.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn look<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Seen {
        self.shard(route).look(pin, &self.index, route, is_it)
    }

    /// The entry that was seen under the pin.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn seen<'p>(&'p self, pin: &'p Pin<'_>, seen: &Seen) -> Option<Hit<'p, K, V>> {
        self.shard(seen.route()).seen(pin, seen)
    }

    /// Holds what was found under the pin, which ends.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn hold<'s, 'd>(&'s self, found: Found<K, V>, pin: Pin<'d>) -> Held<'s, 'd, K, V> {
        // SAFETY: who has found something has this one pin, and looked into this store, which is borrowed as long as the result.
        unsafe { found.hold(pin) }
    }

    /// As [`Store::look`], and holds the entry, or what is to be held where there is none. The pin ends here.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn look_and_hold<'s, 'd>(
        &'s self,
        pin: Pin<'d>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> (Seen, Result<Held<'s, 'd, K, V>, Hold<'d>>) {
        let seen = self.look(&pin, route, is_it);
        let held = match seen.id() {
            Some(id) => Ok(self.shard(route).front().hold(pin, id)),
            None => Err(pin.hold_nothing()),
        };
        (seen, held)
    }

    /// Whether this id is filed where the key belongs. Takes the shard's lock. If so, what it stands for stays until the pin ends.
    pub(crate) fn is_filed(&self, _pin: &Pin<'_>, route: Route, id: u32) -> bool {
        let fragment = self.index.fragment_of(route);
        self.shard(route).is_filed(&self.index, fragment, id)
    }

    /// Holds an entry that was filed with this id under the pin, which goes on.
    pub(crate) fn hold_too<'d>(&self, pin: &Pin<'d>, route: Route, id: u32) -> Hold<'d> {
        self.shard(route).front().hold_too(pin, id)
    }

    /// Leaves the stamp of this read in the entry.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn touch(&self, pin: &Pin<'_>, route: Route, hit: &Hit<'_, K, V>) {
        if let Some(era) = hit.touch(pin) {
            self.shard(route).renew(pin, &self.index, era);
        }
    }

    /// Starts to bring the memory of a batch of keys into the cache.
    pub(crate) fn prefetch(&self, pin: &Pin<'_>, routes: &[Route]) {
        for &route in routes {
            self.index.prefetch(route);
        }
        for &route in routes {
            self.shard(route).prefetch(pin, &self.index, route);
        }
    }

    /// Calls `each` for every entry of a shard; one that is there throughout is shown once.
    pub(crate) fn for_each<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        shard: usize,
        mut each: impl FnMut(Hit<'p, K, V>),
    ) {
        self.shards[shard].for_each(pin, &self.index, |_, hit| each(hit));
    }

    /// What a write at time `now` works with.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn context<'c>(&'c self, domain: &'c Domain, now: u64) -> Context<'c> {
        Context {
            domain,
            budget: &self.shared.budget,
            index: &self.index,
            now,
            // Relaxed: who is late sweeps once more.
            sweep: now > self.shared.swept.load(Ordering::Relaxed),
        }
    }

    /// Notes that a sweep has found no expired entry.
    pub(super) fn set_swept(&self, now: u64) {
        // Relaxed: see `context`.
        self.shared.swept.fetch_max(now, Ordering::Relaxed);
    }

    /// Whether the entry is pinned that was filed with this id under the pin.
    pub(crate) fn is_pinned(&self, pin: &Pin<'_>, route: Route, id: u32) -> bool {
        self.shard(route).is_pinned(pin, id)
    }

    /// As [`Store::look`], for a write that was refused.
    pub(crate) fn look_closely<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> (Seen, Others) {
        self.shard(route)
            .look_closely(pin, &self.index, route, is_it)
    }

    /// Checks every organ of every shard. No other thread may write.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        for shard in &self.shards {
            shard.validate(&self.index);
        }
    }
}

#[cfg(all(test, not(nori_loom)))]
mod skew;
#[cfg(all(test, not(nori_loom)))]
mod tests;
