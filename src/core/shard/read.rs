//! Reads: no lock, and no write but to the reader's own line and, once an era, to the entry's stamp.

use super::{CLOSER, Front, SHARED, Seen, Shard};
use crate::core::entry::Entry;
use crate::core::index::{Further, Index, Place, Route};
use crate::core::reclaim::Pin;
use crate::core::slab::Slot;
use crate::sync::Ordering;

/// An entry that a pinned reader has found. It stays as it is for as long as the pin, in the cache or not.
#[derive(Debug)]
pub(crate) struct Hit<'p, K, V> {
    front: &'p Front<K, V>,
    slot: &'p Slot<K, V>,
    pub(crate) entry: &'p Entry<K, V>,
}

impl<K, V> Front<K, V> {
    /// Finds a key: the entry of this route that `is_it` accepts.
    #[inline(always)]
    pub(crate) fn find<'p>(
        &'p self,
        _pin: &'p Pin<'_>,
        index: &Index,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Option<Hit<'p, K, V>> {
        let near = index.find_near(route, |id| self.accept(id, &is_it));
        let found = near.unwrap_or_else(|Further| self.find_further(index, route, is_it));
        let (_, slot) = found?;
        // SAFETY: as in `accept`.
        let entry = unsafe { slot.entry() };
        Some(Hit {
            front: self,
            slot,
            entry,
        })
    }

    /// Out of line with what it works on, so that none of that has to be in memory for a key in its nearest bucket.
    #[cold]
    fn find_further(
        &self,
        index: &Index,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Option<(Place, &Slot<K, V>)> {
        index.find_further(route, |id| self.accept(id, &is_it))
    }

    #[inline(always)]
    fn accept(&self, id: u32, is_it: &impl Fn(&K) -> bool) -> Option<&Slot<K, V>> {
        let slot = self.slab.slots().slot(id);
        // SAFETY: a pinned reader found the id in the index, so its slot holds the entry at least until the unpin.
        is_it(unsafe { &slot.entry().key }).then_some(slot)
    }

    /// Has an era begin, of a list that is exact or not. For the holder of the lock.
    #[inline(always)]
    pub(super) fn begin(&self, era: u64, exact: bool) {
        // Relaxed, both: recency orders nothing.
        self.era.store(era, Ordering::Relaxed);
        if !exact {
            self.current.store(era, Ordering::Relaxed);
        }
    }

    /// The era of a read in an exact list. Each is an era of its own, for as long as threads take turns: a read that finds another
    /// thread the owner takes over, unless that one reads at the same time. Reads then begin no eras, until a writer offers that
    /// again: threads that fight over the counter would pay more than an order among reads at the same time is worth.
    fn era_of_read(&self, thread: usize) -> u64 {
        // Relaxed, both: recency orders nothing.
        let era = self.era.load(Ordering::Relaxed);
        let owner = self.owner.load(Ordering::Relaxed);
        let me = thread as u64 + 1;
        if owner == SHARED {
            return era;
        }
        if owner != me {
            return self.take_over(me, era);
        }
        // Relaxed: if others have begun eras since this read looked, the counter steps back, for all reads until the next
        // insertion, where the writer goes on from the later one. All of that is at the time of this read.
        self.era.store(era + 1, Ordering::Relaxed);
        era + 1
    }

    /// Makes this thread the one whose reads begin eras, unless another one has begun an era since this read began. Returns the
    /// era of this read.
    #[cold]
    fn take_over(&self, me: u64, era: u64) -> u64 {
        // Relaxed, all: recency orders nothing. What orders threads that take turns shows each the stores of the last one, so
        // the exchange fails only among reads at the same time, and succeeds among those only by chance.
        let next = self
            .era
            .compare_exchange(era, era + 1, Ordering::Relaxed, Ordering::Relaxed);
        let owner = if next.is_ok() { me } else { SHARED };
        self.owner.store(owner, Ordering::Relaxed);
        next.map_or(era, |before| before + 1)
    }
}

impl<K, V> Hit<'_, K, V> {
    /// Leaves the stamp of this read in the entry.
    #[inline(always)]
    pub(crate) fn touch(&self, pin: &Pin<'_>) {
        // Relaxed: recency orders nothing.
        let era = self.front.current.load(Ordering::Relaxed);
        if !self.slot.member.stamp.is_of(era) {
            self.touch_closer(era, pin.index());
        }
    }

    #[inline(never)]
    fn touch_closer(&self, era: u64, thread: usize) {
        let era = match era {
            CLOSER => self.front.era_of_read(thread),
            era => era,
        };
        self.slot.member.stamp.touch(era);
    }
}

impl<K, V> Shard<K, V> {
    /// Starts to bring the first slot that may be the key's into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self, _pin: &Pin<'_>, index: &Index, route: Route) {
        index.find(route, |id| {
            self.front().slab.slots().slot(id).prefetch();
            Some(())
        });
    }

    /// Calls `each` for every entry, with what a writer needs to take it out as long as the pin is the same; one that is there
    /// throughout is shown once.
    pub(crate) fn for_each<'p>(
        &'p self,
        _pin: &'p Pin<'_>,
        index: &Index,
        mut each: impl FnMut(Seen, &'p Entry<K, V>),
    ) {
        let slots = self.front().slab.slots();
        for id in index.ids(self.number) {
            // SAFETY: as in `Front::accept`.
            let entry = unsafe { slots.slot(id).entry() };
            let route = index.route_of(self.number, entry.meta.fragment());
            each(Seen::entry(route, id), entry);
        }
    }
}
