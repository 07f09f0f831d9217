//! Reads: no lock, and no write but to the reader's own line and, once an era, to the entry's stamp.

use super::{SHARED, Shard};
use crate::core::entry::Entry;
use crate::core::index::{Fragment, Further, Place};
use crate::core::list::{self, RENEWAL};
use crate::core::reclaim::Pin;
use crate::core::slab::Slot;
use crate::core::table::Table;
use crate::sync::Ordering;

/// An entry that a pinned reader has found. It stays as it is for as long as the pin, in the cache or not.
#[derive(Debug)]
pub(crate) struct Hit<'p, K, V> {
    slot: &'p Slot<K, V>,
    pub(crate) entry: &'p Entry<K, V>,
}

impl<K, V> Shard<K, V> {
    /// Finds a key: the entry of this fragment that `is_it` accepts. The table must have been reached through the pin.
    #[inline(always)]
    pub(crate) fn find<'p>(
        &'p self,
        _pin: &'p Pin<'_>,
        table: &Table,
        fragment: Fragment,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Option<Hit<'p, K, V>> {
        let near = table
            .index
            .find_near(fragment, |id| self.accept(id, &is_it));
        let found = near.unwrap_or_else(|Further| self.find_further(table, fragment, is_it));
        let (_, slot) = found?;
        // SAFETY: as in `accept`.
        let entry = unsafe { slot.entry() };
        Some(Hit { slot, entry })
    }

    /// Out of line with what it works on, so that none of that has to be in memory for a key in its nearest bucket.
    #[cold]
    fn find_further(
        &self,
        table: &Table,
        fragment: Fragment,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Option<(Place, &Slot<K, V>)> {
        table
            .index
            .find_further(fragment, |id| self.accept(id, &is_it))
    }

    #[inline(always)]
    fn accept(&self, id: u32, is_it: &impl Fn(&K) -> bool) -> Option<&Slot<K, V>> {
        let slot = self.front.slab.slots().slot(id);
        // SAFETY: a pinned reader found the id in the index, so its slot holds the entry at least until the unpin.
        is_it(unsafe { &slot.entry().key }).then_some(slot)
    }

    /// Starts to bring the first slot that may be the key's into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self, table: &Table, fragment: Fragment) {
        table.index.find(fragment, |id| {
            self.front.slab.slots().slot(id).prefetch();
            Some(())
        });
    }

    /// Calls `each` for every entry; one that is there throughout is shown once.
    pub(crate) fn for_each<'p>(
        &'p self,
        _pin: &'p Pin<'_>,
        table: &Table,
        mut each: impl FnMut(u32, &'p Entry<K, V>),
    ) {
        let slots = self.front.slab.slots();
        for id in table.index.ids(self.number) {
            // SAFETY: as in `find`.
            each(id, unsafe { slots.slot(id).entry() });
        }
    }

    /// Leaves the stamp of this read in the entry. `table` is called for the table in place.
    #[inline(always)]
    pub(crate) fn touch<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        table: impl FnOnce() -> &'p Table,
        hit: &Hit<'_, K, V>,
    ) {
        // Relaxed, both: recency orders nothing.
        let mut era = self.front.era.load(Ordering::Relaxed);
        let owner = self.front.owner.load(Ordering::Relaxed);
        if owner != SHARED {
            era = self.begin_era(pin, owner, era);
            if era.is_multiple_of(RENEWAL) {
                let slots = self.front.slab.slots();
                let ids = table().index.ids(self.number);
                list::renew(era, ids.map(|id| &slots.slot(id).member.stamp));
            }
        }
        hit.slot.member.stamp.touch(era);
    }

    /// In an exact list each read is an era of its own, for as long as threads take turns: a read that finds another thread
    /// the owner takes over, unless that one reads at the same time. Reads then begin no eras, until a writer offers that
    /// again: threads that fight over the counter would pay more than an order among reads at the same time is worth.
    #[inline(never)]
    fn begin_era(&self, pin: &Pin<'_>, owner: u64, era: u64) -> u64 {
        let me = pin.index() as u64 + 1;
        if owner != me {
            return self.take_over(me, era);
        }
        // Relaxed: if others have begun eras since this read looked, the counter steps back, for all reads until the next
        // insertion, where the writer goes on from the later one. All of that is at the time of this read.
        self.front.era.store(era + 1, Ordering::Relaxed);
        era + 1
    }

    /// Makes this thread the one whose reads begin eras, unless another one has begun an era since this read began. Returns the
    /// era of this read.
    #[cold]
    fn take_over(&self, me: u64, era: u64) -> u64 {
        let front = &self.front;
        // Relaxed, all: recency orders nothing. What orders threads that take turns shows each the stores of the last one, so
        // the exchange fails only among reads at the same time, and succeeds among those only by chance.
        let next = front
            .era
            .compare_exchange(era, era + 1, Ordering::Relaxed, Ordering::Relaxed);
        let owner = if next.is_ok() { me } else { SHARED };
        front.owner.store(owner, Ordering::Relaxed);
        next.map_or(era, |before| before + 1)
    }
}
