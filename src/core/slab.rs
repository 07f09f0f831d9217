//! Type-stable storage for a shard's entries: slots in segments that stay where they are until the shard goes.
//!
//! A slot is *vacant* or holds an initialised entry; the shard knows which (an id is in the list, in limbo, or free) and
//! says so with each `unsafe` call.
//!
//! The first segment has room for all entries that the shard is expected to hold, up to a number of bytes, so that mostly the
//! way from an id to its slot is one multiplication, for readers and writers. Nothing is written to a slot before its id is
//! given out: until then a system that gives out memory by pages, when they are touched, has only set addresses aside. Should
//! the shard hold more, each further segment is twice as large as the one before. The last one is given back when all of its
//! slots are vacant again: no reader can be there, as one that found an id while its entry was filed keeps the slot from being
//! vacated; and a slot that is not in the first segment leaves the wheel when it is vacated.
//!
//! Behind the slots of a segment are their [side words](super::side), if the store has any: those of one kind side by side.

mod slot;
mod slots;
#[cfg(all(test, not(nori_loom)))]
mod tests;

pub(crate) use slot::Slot;
pub(crate) use slots::Slots;

use super::list::ANCHOR;
use super::side::SideWords;
use super::wheel::END;
use crate::sync::{AtomicPtr, AtomicU64, Guarded, Ordering};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::needs_drop;

/// Ids are below this one.
const MAX_IDS: usize = END as usize;
const _: () = assert!(END < ANCHOR);
/// Bytes to a cache line.
const LINE: usize = 64;

/// All segments of a slab.
pub(crate) const SEGMENTS: usize = 1 + FURTHER;
/// Enough for all ids, as the first of them has at least [`MIN_STEP`] slots.
const FURTHER: usize = 27;
const MIN_STEP: u32 = if cfg!(nori_loom) { 1 } else { 32 };

/// The slots of one shard. Readers go from an id to its slot; ids are given out under the shard's lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slab<K, V> {
    /// The first segment.
    base: *mut Slot<K, V>,
    /// How many slots that has.
    first: u32,
    /// The first of the further segments has `1 << step_bits` slots.
    step_bits: u32,
    /// Null until the segment's first slot is given out, and when the segment has been given back.
    further: Box<[AtomicPtr<Slot<K, V>>; FURTHER]>,
    /// Ids below this one have been given out, and have slots.
    used: Guarded,
    /// What each slot has beside its entry.
    side: SideWords,
    /// Where the first segment has that: a column of words for each kind.
    beside: *mut AtomicU64,
}

// SAFETY: the slab owns its slots, as a `Vec<Slot>` would; the pointers are only where it keeps them.
unsafe impl<K: Send, V: Send> Send for Slab<K, V> {}
// SAFETY: readers on any thread see `&K` and `&V`, and the lock's holder, whichever thread that is, takes them out.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Slab<K, V> {}

impl<K, V> Slab<K, V> {
    /// An empty slab that expects to give out about `expected` ids, whose first segment takes no more than `bytes` bytes if
    /// that is enough for one slot. Where so much is not to be had it takes less: most of it may never be needed.
    pub(crate) fn new(expected: usize, bytes: usize, side: SideWords) -> Self {
        let each = Slot::<K, V>::STRIDE + side.count() * size_of::<AtomicU64>();
        let mut first = expected.clamp(1, (bytes / each).max(1)) as u32;
        let mut base = Self::try_allocate(first as usize, side);
        while base.is_null() && first > 1 {
            first /= 2;
            base = Self::try_allocate(first as usize, side);
        }
        if base.is_null() {
            handle_alloc_error(Self::layout(1, side));
        }
        Self {
            base,
            first,
            step_bits: (first / 8).max(MIN_STEP).next_power_of_two().ilog2(),
            further: Box::new(std::array::from_fn(
                |_| AtomicPtr::new(std::ptr::null_mut()),
            )),
            used: Guarded::new(0),
            side,
            // SAFETY: inside the segment's memory, or at its end if there are no words.
            beside: unsafe { base.byte_add(Self::side_start(first as usize)).cast() },
        }
    }

    /// The ids that have been given out. For the holder of the lock.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn ids(&self) -> std::ops::Range<u32> {
        0..self.used.get()
    }

    /// How many slots there is memory for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        // Relaxed: for the holder of the lock.
        let further =
            (0..FURTHER).filter(|&it| !self.further[it].load(Ordering::Relaxed).is_null());
        self.first as usize + further.map(|it| self.len_of_further(it)).sum::<usize>()
    }

    /// The last segment in use, if that is not the first, and how many of its ids have been given out. For the holder of the
    /// lock.
    pub(crate) fn last_further(&self) -> Option<(usize, u32)> {
        let last = self.used.get().checked_sub(1)?;
        let (segment, index) = self.place_further(last)?;
        Some((1 + segment, index + 1))
    }

    /// Takes the last segment in use, which is not the first, out of the slab. Its ids are as if they had never been given out.
    ///
    /// # Safety
    /// The caller holds the shard's lock, and all slots of that segment are vacant.
    #[cold]
    pub(crate) unsafe fn take_last(&self) -> Segment {
        let (segment, given) = self.last_further().expect("it is not the first");
        let start = self.used.get() - given;
        // SAFETY: vacant, so nobody else looks at them.
        unsafe { self.drop_slots(start..self.used.get()) };
        self.used.set(start);
        let pointer = &self.further[segment - 1];
        // Relaxed, both: see `fresh`. A reader that has an id of this segment keeps its slot from being vacant.
        let slots = pointer.load(Ordering::Relaxed);
        pointer.store(std::ptr::null_mut(), Ordering::Relaxed);
        Segment {
            memory: slots.cast(),
            layout: Self::layout(self.len_of_further(segment - 1), self.side),
        }
    }

    /// An id that has never been used, or whose segment was given back since, with a vacant slot. None if there are no more ids.
    ///
    /// # Safety
    /// The caller holds the shard's lock.
    #[cold]
    pub(crate) unsafe fn fresh(&self) -> Option<u32> {
        let id = self.used.get();
        if id as usize >= MAX_IDS {
            return None;
        }
        if let Some((segment, 0)) = self.place_further(id) {
            let slots = self.allocate(self.len_of_further(segment));
            // Relaxed: a reader gets an id of this segment from an Acquire read of the index, where it is filed later; all
            // others hold the lock.
            self.further[segment].store(slots, Ordering::Relaxed);
        }
        // SAFETY: inside its segment; nobody looks at the slot, as nobody else gives out ids and nobody has this one yet.
        unsafe {
            self.slots().at(id).write(Slot::vacant());
            for word in SideWords::EACH {
                if self.side.has(word) {
                    let place = self.side.place_of(word);
                    self.side_at(id, place).write(AtomicU64::new(0));
                }
            }
        };
        self.used.set(id + 1);
        Some(id)
    }

    /// The segment of an id beyond the first, and the slot's index there.
    fn place_further(&self, id: u32) -> Option<(usize, u32)> {
        let index = id.checked_sub(self.first)?;
        let segment = ((index >> self.step_bits) + 1).ilog2();
        let start = ((1 << segment) - 1) << self.step_bits;
        Some((segment as usize, index - start))
    }

    #[cold]
    fn at_further(&self, id: u32) -> *mut Slot<K, V> {
        let (segment, index) = self.place_further(id).expect("it is not in the first one");
        // Relaxed: see `fresh`.
        let slots = self.further[segment].load(Ordering::Relaxed);
        debug_assert!(!slots.is_null());
        // SAFETY: `place_further` returns an index inside the segment, which was allocated before the id was given out.
        unsafe { slots.byte_add(index as usize * Slot::<K, V>::STRIDE) }
    }

    fn len_of_further(&self, segment: usize) -> usize {
        1 << (self.step_bits as usize + segment)
    }

    /// One of the words beside a slot that was given out.
    #[inline(always)]
    fn side_at(&self, id: u32, place: usize) -> *mut AtomicU64 {
        debug_assert!(place < self.side.count());
        if id >= self.first {
            return self.side_at_further(id, place);
        }
        // SAFETY: inside the segment's memory, which has as many words behind its slots as `layout` adds to them.
        unsafe { self.beside.add(place * self.first as usize + id as usize) }
    }

    #[cold]
    fn side_at_further(&self, id: u32, place: usize) -> *mut AtomicU64 {
        let (segment, index) = self.place_further(id).expect("it is not in the first one");
        let len = self.len_of_further(segment);
        // Relaxed: see `fresh`.
        let slots = self.further[segment].load(Ordering::Relaxed);
        // SAFETY: as in `side_at`.
        unsafe {
            let beside = slots.byte_add(Self::side_start(len)).cast::<AtomicU64>();
            beside.add(place * len + index as usize)
        }
    }

    /// Where the words beside so many slots begin.
    fn side_start(slots: usize) -> usize {
        (slots * Slot::<K, V>::STRIDE).next_multiple_of(align_of::<AtomicU64>())
    }

    /// Drops slots, and what is beside them. What is in them needs none.
    ///
    /// # Safety
    /// They were given out, and nobody uses them any more.
    unsafe fn drop_slots(&self, ids: std::ops::Range<u32>) {
        // Only the model checker's atomics need it.
        if needs_drop::<Slot<K, V>>() {
            for id in ids {
                // SAFETY: initialised in `fresh`; else by the contract.
                unsafe { self.slots().at(id).drop_in_place() };
                for place in 0..self.side.count() {
                    // SAFETY: as above.
                    unsafe { self.side_at(id, place).drop_in_place() };
                }
            }
        }
    }

    fn layout(slots: usize, side: SideWords) -> Layout {
        let word = size_of::<AtomicU64>();
        let words = slots.checked_mul(side.count() * word);
        let size = slots
            .checked_mul(Slot::<K, V>::STRIDE)
            .and_then(|size| size.checked_next_multiple_of(align_of::<AtomicU64>()))
            .and_then(|size| size.checked_add(words?));
        let align = align_of::<Slot<K, V>>().max(LINE);
        Layout::from_size_align(size.expect("a segment fits into memory"), align)
            .expect("a segment fits into memory")
    }

    /// A segment of so many slots, at least one, uninitialised.
    fn allocate(&self, slots: usize) -> *mut Slot<K, V> {
        let segment = Self::try_allocate(slots, self.side);
        if segment.is_null() {
            handle_alloc_error(Self::layout(slots, self.side));
        }
        segment
    }

    /// As above; null if there is no memory for it.
    fn try_allocate(slots: usize, side: SideWords) -> *mut Slot<K, V> {
        // SAFETY: not of size zero, as there is at least one slot, and that has a member.
        unsafe { alloc(Self::layout(slots, side)) }.cast()
    }

    /// Frees a segment.
    ///
    /// # Safety
    /// [`Slab::allocate`] returned it for as many slots, and nobody uses it any more.
    unsafe fn free(&self, segment: *mut Slot<K, V>, slots: usize) {
        // SAFETY: by the contract.
        unsafe { dealloc(segment.cast(), Self::layout(slots, self.side)) };
    }
}

impl<K, V> Drop for Slab<K, V> {
    /// Frees the segments. The shard has emptied the slots that held entries; what is left of them needs no drop.
    fn drop(&mut self) {
        // SAFETY: `&mut self` means that nobody else is left.
        unsafe { self.drop_slots(0..self.used.get()) };
        // SAFETY: allocated in `new`, and freed only here.
        unsafe { self.free(self.base, self.first as usize) };
        for (segment, slots) in self.further.iter().enumerate() {
            // Relaxed: `&mut self` means that no other thread is left.
            let slots = slots.load(Ordering::Relaxed);
            if !slots.is_null() {
                // SAFETY: allocated in `fresh`, and freed only here.
                unsafe { self.free(slots, self.len_of_further(segment)) };
            }
        }
    }
}

/// The memory of a segment that nobody uses any more. A system takes its time to get back much of it, so it is not dropped under
/// the lock.
#[derive(Debug)]
pub(crate) struct Segment {
    memory: *mut u8,
    layout: Layout,
}

// SAFETY: it is the only owner of plain memory.
unsafe impl Send for Segment {}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: allocated in `Slab::fresh` with this layout, and taken out of the slab by `take_last`.
        unsafe { dealloc(self.memory, self.layout) };
    }
}
