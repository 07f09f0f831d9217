//! From ids to slots.

use super::{Slab, Slot};
use crate::core::life::{Life, MetaWord};
use crate::core::links::Node;
use crate::core::list::{Member, Members};
use crate::core::side::SideWords;
use crate::core::wheel::{Timed, Timer};
use crate::sync::{AtomicU64, Ordering};

/// The way from ids to slots, with what it needs of the slab at hand.
///
/// Ids come from [`Slab::fresh`] alone, so whatever part of the shard one has been through since, its slot is initialised and
/// stays in its place, until the last segment is given back: then nobody but the wheel has ids of it.
#[derive(Debug)]
pub(crate) struct Slots<'s, K, V> {
    slab: &'s Slab<K, V>,
    base: *mut Slot<K, V>,
    first: u32,
}

impl<K, V> Slab<K, V> {
    /// The way to the slots.
    #[inline(always)]
    pub(crate) fn slots(&self) -> Slots<'_, K, V> {
        Slots {
            slab: self,
            base: self.base,
            first: self.first,
        }
    }
}

impl<K, V> Clone for Slots<'_, K, V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Slots<'_, K, V> {}

impl<'s, K, V> Slots<'s, K, V> {
    /// The segment that an id belongs to.
    #[inline(always)]
    pub(crate) fn segment(self, id: u32) -> usize {
        if id < self.first {
            return 0;
        }
        let (segment, _) = self.slab.place_further(id).expect("it is not in the first");
        1 + segment
    }

    /// The slot of an id, if that is in the first segment.
    #[inline(always)]
    pub(crate) fn in_first(self, id: u32) -> Option<&'s Slot<K, V>> {
        (id < self.first).then(|| self.slot(id))
    }

    /// The slot of an id.
    #[inline(always)]
    pub(crate) fn slot(self, id: u32) -> &'s Slot<K, V> {
        // To the model checker `used` is a cell, which readers must not touch.
        debug_assert!(cfg!(nori_loom) || id < self.slab.used.get());
        // SAFETY: the id was given out, so its slot is initialised and only ever shared. It stays while anybody has the id: a
        // reader or the lock's holder, of an entry in the cache or in limbo, or of a slot among those that are vacant.
        unsafe { &*self.at(id) }
    }

    /// A word beside the slot of an id, which the store has: 0 when the slot is first given out, and after that what was last
    /// written to it, also by an entry that has left.
    #[inline(always)]
    pub(crate) fn side(self, id: u32, word: SideWords) -> &'s AtomicU64 {
        // SAFETY: as in `slot`.
        unsafe { &*self.slab.side_at(id, self.slab.side.place_of(word)) }
    }

    /// What there is beside each slot.
    pub(crate) fn words(self) -> SideWords {
        self.slab.side
    }

    /// Whether there is this word beside each slot.
    #[inline(always)]
    pub(crate) fn has(self, word: SideWords) -> bool {
        self.slab.side.has(word)
    }

    /// The deadlines of an id's entry.
    #[inline(always)]
    pub(crate) fn life(self, id: u32) -> Life<'s> {
        let limit = self.has(SideWords::LIMIT);
        Life::new(self.slot(id).word(), limit.then(|| self.limit(id)))
    }

    /// In a store that has it.
    #[cold]
    pub(crate) fn limit(self, id: u32) -> MetaWord<'s> {
        MetaWord::new(self.side(id, SideWords::LIMIT))
    }

    /// The id of the slot at this address, if it is one of these, and has been given out. For the holder of the lock.
    #[cold]
    pub(crate) fn id_of(self, slot: *mut ()) -> Option<u32> {
        self.id_at(slot).filter(|&id| id < self.slab.used.get())
    }

    /// The id of the slot at this address, if it is one of these. Also for a reader who keeps the slot from being vacated: a segment that was
    /// given back before the slot's own took its memory reads as null, as that came before the slot's id was filed; and one that has come
    /// since lies elsewhere.
    pub(crate) fn id_at(self, slot: *mut ()) -> Option<u32> {
        let stride = Slot::<K, V>::STRIDE;
        let within = |segment: *mut Slot<K, V>, len: usize| {
            let offset = slot.addr().wrapping_sub(segment.addr());
            (offset < len * stride).then_some((offset / stride) as u32)
        };
        within(self.base, self.first as usize).or_else(|| {
            let mut start = self.first;
            self.slab
                .further
                .iter()
                .enumerate()
                .find_map(|(it, segment)| {
                    // Relaxed: see `Slab::fresh`.
                    let segment = segment.load(Ordering::Relaxed);
                    let len = self.slab.len_of_further(it);
                    let id = within(segment, len).filter(|_| !segment.is_null());
                    let id = id.map(|index| start + index);
                    start = start.saturating_add(len as u32);
                    id
                })
        })
    }

    /// The node that links a slot into the list, or chains it to another slot that is in no list.
    #[inline(always)]
    pub(crate) fn node(self, id: u32) -> &'s Node {
        &self.slot(id).member.node
    }

    #[inline(always)]
    pub(super) fn at(self, id: u32) -> *mut Slot<K, V> {
        if id >= self.first {
            return self.slab.at_further(id);
        }
        // SAFETY: inside the first segment.
        unsafe { self.base.byte_add(id as usize * Slot::<K, V>::STRIDE) }
    }
}

impl<K, V> Members for Slots<'_, K, V> {
    #[inline(always)]
    fn member(&self, id: u32) -> &Member {
        &self.slot(id).member
    }
}

impl<K, V> Members for &Slab<K, V> {
    #[inline(always)]
    fn member(&self, id: u32) -> &Member {
        &self.slots().slot(id).member
    }
}

impl<K, V> Timed for Slots<'_, K, V> {
    fn deadline(&self, id: u32) -> u64 {
        self.life(id).deadline()
    }

    fn deadline_after(&self, id: u32, now: u64) -> Option<u64> {
        self.life(id).deadline_after(now)
    }

    fn is_live(&self, id: u32) -> bool {
        self.slot(id).member.node.is_linked()
    }

    fn timer(&self, id: u32) -> &Timer {
        &self.slot(id).timer
    }

    fn is_lasting(&self, id: u32) -> bool {
        self.segment(id) == 0
    }
}
