//! Reads: no lock, and no write but to the reader's own line and, once an era, to the entry's stamp.

use super::{CLOSER, Front, SHARED, Seen, Shard};
use crate::core::entry::Entry;
use crate::core::index::{Further, Index, Place, Route};
use crate::core::life::{Life, MetaWord};
use crate::core::list::{self, RENEWAL, Stamp};
use crate::core::meta::Meta;
use crate::core::reclaim::{Hold, Pin};
use crate::core::side::SideWords;
use crate::core::slab::Slot;
use crate::sync::Ordering;

/// An entry that a pinned reader has found. It stays as it is for as long as the pin, in the cache or not.
#[derive(Debug)]
pub(crate) struct Hit<'p, K, V> {
    front: &'p Front<K, V>,
    slot: &'p Slot<K, V>,
    pub(crate) entry: &'p Entry<K, V>,
}

/// What is to be held of a [`Hit`].
#[derive(Debug)]
pub(crate) struct Found<K, V> {
    front: *const Front<K, V>,
    slot: *const Slot<K, V>,
}

impl<K, V> Found<K, V> {
    /// Ends the pin; what the slot holds stays as it is.
    ///
    /// # Safety
    /// It was found under this pin, in a shard that lives as long as the result.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(in crate::core) unsafe fn hold<'s, 'd>(self, pin: Pin<'d>) -> Held<'s, 'd, K, V> {
        // SAFETY: from a reference that was tied to the shard and the pin. In the pin's place `Held` has the hold, which keeps the
        // slot from being vacated, so that its segment is not given back.
        let (front, slot) = unsafe { (&*self.front, &*self.slot) };
        let hold = pin.hold(slot.address());
        Held {
            front,
            slot,
            _hold: hold,
        }
    }
}

/// An entry that stays as it is although its reader has left the epoch.
#[derive(Debug)]
pub(crate) struct Held<'s, 'd, K, V> {
    front: &'s Front<K, V>,
    slot: &'s Slot<K, V>,
    /// Names the slot, or is the pin under which it was found.
    _hold: Hold<'d>,
}

impl<K, V> Held<'_, '_, K, V> {
    /// The word with the entry's first deadline.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn word(&self) -> MetaWord<'_> {
        self.slot.word()
    }

    /// What a writer needs of it.
    pub(crate) fn seen(&self, route: Route) -> Seen {
        Seen::entry(route, self.front.id_of(self.slot))
    }

    /// The entry's deadlines.
    pub(crate) fn life(&self) -> Life<'_> {
        self.front.life(self.slot)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn entry(&self) -> &Entry<K, V> {
        // SAFETY: found in the index under the pin that the hold was made from, so the slot holds the entry until limbo lets go
        // of it, which is not before the hold ends.
        unsafe { self.slot.entry() }
    }
}

impl<K, V> Front<K, V> {
    /// Holds the entry that has this id under the pin, which ends.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn hold<'s, 'd>(&'s self, pin: Pin<'d>, id: u32) -> Held<'s, 'd, K, V> {
        let slots = self.slab.slots();
        let slot = slots.slot(id);
        let hold = pin.hold(slot.address());
        Held {
            front: self,
            slot,
            _hold: hold,
        }
    }

    /// Holds an entry that was filed with this id under the pin, which goes on.
    pub(crate) fn hold_too<'d>(&self, pin: &Pin<'d>, id: u32) -> Hold<'d> {
        pin.hold_too(self.slab.slots().slot(id).address())
    }

    /// The deadlines of an entry that is held, or that a pinned reader has found.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn life<'s>(&'s self, slot: &'s Slot<K, V>) -> Life<'s> {
        let slots = self.slab.slots();
        let limit = slots
            .has(SideWords::LIMIT)
            .then(|| slots.limit(self.id_of(slot)));
        Life::new(slot.word(), limit)
    }

    /// The id of the slot of an entry that is held, or that a pinned reader has found.
    fn id_of(&self, slot: &Slot<K, V>) -> u32 {
        let id = self.slab.slots().id_at(slot.address());
        id.expect("the slot is one of these")
    }

    /// Finds a key: the entry of this route that `is_it` accepts.
    #[cfg_attr(not(debug_assertions), inline(always))]
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

    /// The entry that has this id.
    ///
    /// # Safety
    /// The pinned reader has found the id in the index.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) unsafe fn hit<'p>(&'p self, _pin: &'p Pin<'_>, id: u32) -> Hit<'p, K, V> {
        let slots = self.slab.slots();
        let slot = slots.slot(id);
        // SAFETY: by the contract, the slot holds the entry at least until the unpin.
        let entry = unsafe { slot.entry() };
        Hit {
            front: self,
            slot,
            entry,
        }
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

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn accept(&self, id: u32, is_it: &impl Fn(&K) -> bool) -> Option<&Slot<K, V>> {
        let slot = self.slab.slots().slot(id);
        // SAFETY: a pinned reader found the id in the index, so its slot holds the entry at least until the unpin.
        is_it(unsafe { &slot.entry().key }).then_some(slot)
    }

    /// Has an era begin, of a list that is exact or not. For the holder of the lock.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn begin(&self, era: u64, exact: bool) {
        // Relaxed, both: recency orders nothing.
        self.era.store(era, Ordering::Relaxed);
        if !exact {
            self.current.store(Stamp::of_era(era), Ordering::Relaxed);
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

impl<'p, K, V> Hit<'p, K, V> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn meta(&self) -> Meta {
        self.slot.word().get()
    }

    /// The word with the entry's deadline.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn word(&self) -> MetaWord<'p> {
        self.slot.word()
    }

    /// The entry's deadlines.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn life(&self) -> Life<'p> {
        self.front.life(self.slot)
    }

    /// What is to be held of it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn found(&self) -> Found<K, V> {
        Found {
            front: self.front,
            slot: self.slot,
        }
    }

    /// Leaves the stamp of this read in the entry. Returns the era of the read if [`Shard::renew`] is to be called with it.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(in crate::core) fn touch(&self, pin: &Pin<'_>) -> Option<u64> {
        // Relaxed: recency orders nothing.
        let current = self.front.current.load(Ordering::Relaxed);
        if self.slot.member.stamp.is(current) {
            return None;
        }
        self.touch_closer(current == CLOSER, pin.index())
    }

    #[inline(never)]
    fn touch_closer(&self, exact: bool, thread: usize) -> Option<u64> {
        let era = if exact {
            self.front.era_of_read(thread)
        } else {
            // Relaxed: recency orders nothing.
            self.front.era.load(Ordering::Relaxed)
        };
        self.slot.member.stamp.touch(era);
        (exact && era.is_multiple_of(RENEWAL)).then_some(era)
    }
}

impl<K, V> Shard<K, V> {
    /// Gives all stamps new eras, in a list that is exact, before they are too old to be told apart.
    #[cold]
    pub(crate) fn renew(&self, _pin: &Pin<'_>, index: &Index, era: u64) {
        let slots = self.front().slab.slots();
        let ids = index.ids(self.number);
        list::renew(era, ids.map(|id| &slots.slot(id).member.stamp));
    }

    /// Starts to bring the first slot that may be the key's into the cache.
    #[cfg_attr(not(debug_assertions), inline(always))]
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
        pin: &'p Pin<'_>,
        index: &Index,
        mut each: impl FnMut(Seen, Hit<'p, K, V>),
    ) {
        for id in index.ids(self.number) {
            // SAFETY: this pinned reader has just found the id in the index.
            let hit = unsafe { self.front().hit(pin, id) };
            let route = index.route_of(self.number, hit.meta().fragment());
            each(Seen::entry(route, id), hit);
        }
    }

    /// All entries, as [`Shard::for_each`] shows them, from the least to the most recently used, as far as stamps tell.
    #[cfg(feature = "serde")]
    pub(crate) fn by_use(&self, pin: &Pin<'_>, index: &Index) -> Vec<Seen> {
        let front = self.front();
        let slots = front.slab.slots();
        // Relaxed: recency orders nothing.
        let now = front.era.load(Ordering::Relaxed);
        let mut filed = Vec::new();
        self.for_each(pin, index, |seen, _| filed.push(seen));
        filed.sort_by_cached_key(|seen| {
            let stamp = seen.id().map(|id| &slots.slot(id).member.stamp);
            stamp.map(|stamp| stamp.era(now))
        });
        filed
    }
}
