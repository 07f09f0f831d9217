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

use super::entry::{Coming, Entry};
use super::index::Fragment;
use super::life::{Life, MetaWord};
use super::links::Node;
use super::list::{ANCHOR, Member, Members};
use super::meta::{Meta, NEVER};
use super::side::SideWords;
use super::wheel::{END, Timed, Timer};
use crate::sync::{AtomicPtr, AtomicU64, Guarded, Ordering, UnsafeCell};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::{MaybeUninit, needs_drop};

/// Ids are below this one.
const MAX_IDS: usize = END as usize;
const _: () = assert!(END < ANCHOR);
/// Bytes to a cache line.
const LINE: usize = 64;

/// Room for one entry, and its place in the shard's list and wheel.
#[derive(Debug)]
pub(crate) struct Slot<K, V> {
    pub(crate) member: Member,
    pub(crate) timer: Timer,
    /// Of the entry, or of the last one that was here.
    meta: AtomicU64,
    entry: UnsafeCell<MaybeUninit<Entry<K, V>>>,
}

impl<K, V> Slot<K, V> {
    /// Bytes from one slot of a segment to the next: rounded up to whole cache lines where that costs an eighth at most, as a
    /// slot across two lines costs two misses.
    const STRIDE: usize = {
        let (size, lines) = (size_of::<Self>(), size_of::<Self>().next_multiple_of(LINE));
        if lines - size <= lines / 8 {
            lines
        } else {
            size
        }
    };

    fn vacant() -> Self {
        Self {
            member: Member::new(),
            timer: Timer::new(),
            meta: AtomicU64::new(Meta::new(Fragment::new(0), NEVER).word()),
            entry: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The word with the first deadline, and the fragment, of the entry, or of the last one that was here.
    #[inline(always)]
    pub(crate) fn word(&self) -> MetaWord<'_> {
        MetaWord::new(&self.meta)
    }

    /// What a hold names it by.
    #[inline(always)]
    pub(crate) fn address(&self) -> *mut () {
        (&raw const *self).cast_mut().cast()
    }

    /// Starts to bring the slot into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        crate::arch::prefetch::read(&raw const *self);
    }

    /// Starts to bring into the cache what dropping the entry will need, for which the slot should be there already.
    #[inline(always)]
    pub(crate) fn prefetch_drop(&self) {
        // SAFETY: inside the slot, vacant or not.
        self.entry.with(|entry| unsafe {
            let entry = entry.cast::<Entry<K, V>>();
            crate::arch::prefetch::drop(&raw const (*entry).key);
            crate::arch::prefetch::drop(&raw const (*entry).value);
        });
    }

    /// The entry.
    ///
    /// # Safety
    /// The slot holds an entry, and goes on holding it for as long as the reference is used: the caller is pinned and found
    /// the id in the index after that, or holds the shard's lock while the entry is live or in limbo.
    #[inline(always)]
    pub(crate) unsafe fn entry(&self) -> &Entry<K, V> {
        // SAFETY: initialised and not written, by the contract.
        self.entry
            .with(|entry| unsafe { (*entry).assume_init_ref() })
    }

    /// Moves an entry into a vacant slot.
    ///
    /// # Safety
    /// The slot is vacant and the caller holds the shard's lock. The entry is used no more.
    #[inline(always)]
    pub(crate) unsafe fn fill<L: Copy>(&self, entry: &Coming<K, V, L>) {
        self.word().set(entry.meta);
        // SAFETY: nobody looks into a vacant slot, so this access is the only one.
        self.entry.with_mut(|slot| unsafe {
            entry.write_to((*slot).as_mut_ptr());
        });
    }

    /// Has the entry taken out of the slot, which is vacant from here on.
    ///
    /// # Safety
    /// The slot holds an entry that no reader can see any more (its grace period has passed), the caller holds the shard's lock,
    /// and `take` moves the entry.
    #[inline(always)]
    pub(crate) unsafe fn empty(&self, take: impl FnOnce(*const Entry<K, V>)) {
        // This access is the only one, by the contract.
        self.entry.with_mut(|slot| {
            // SAFETY: initialised, by the contract.
            take(unsafe { (*slot).as_ptr() });
        });
    }

    /// Moves the entry out, when the shard goes.
    ///
    /// # Safety
    /// The slot holds an entry, and nobody else uses the shard any more.
    pub(crate) unsafe fn take(&self) -> Entry<K, V> {
        // SAFETY: by the contract.
        self.entry
            .with_mut(|slot| unsafe { (*slot).assume_init_read() })
    }
}

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

    /// The way to the slots.
    #[inline(always)]
    pub(crate) fn slots(&self) -> Slots<'_, K, V> {
        Slots {
            slab: self,
            base: self.base,
            first: self.first,
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
    fn at(self, id: u32) -> *mut Slot<K, V> {
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

#[cfg(all(test, not(nori_loom)))]
mod tests {
    use super::*;

    /// Also of a size that needs rounding up, and beyond what any cache expects.
    #[test]
    fn every_id_has_a_slot_of_its_own() {
        for expected in [1, 7, 100, 1000] {
            let slab = Slab::<[u8; 3], u8>::new(expected, 1 << 12, SideWords::NONE);
            let ids = 0..5000;
            let mut slots: Vec<usize> = ids
                .map(|id| {
                    // SAFETY: no other thread has it.
                    assert_eq!(unsafe { slab.fresh() }, Some(id));
                    assert!(!slab.slots().node(id).is_linked());
                    &raw const *slab.slots().slot(id) as usize
                })
                .collect();
            slots.sort_unstable();
            let stride = Slot::<[u8; 3], u8>::STRIDE;
            assert!(slots.windows(2).all(|pair| pair[0] + stride <= pair[1]));
            assert!(
                slots
                    .iter()
                    .all(|slot| slot.is_multiple_of(align_of::<Slot<[u8; 3], u8>>()))
            );
        }
    }

    /// Behind the slots of its segment, whatever the size of those; also of a segment that is given back and comes again.
    #[test]
    fn every_slot_has_words_of_its_own() {
        const OTHER: SideWords = SideWords::LIMIT;
        const IDS: u32 = 3_000;
        let slab = Slab::<[u8; 3], u8>::new(70, 1 << 12, SideWords::WEIGHT.and(OTHER));
        let write = |from: u32| {
            for id in from..IDS {
                // SAFETY: no other thread has it.
                assert_eq!(unsafe { slab.fresh() }, Some(id));
                for (at, word) in [SideWords::WEIGHT, OTHER].into_iter().enumerate() {
                    let word = slab.slots().side(id, word);
                    assert_eq!(word.load(Ordering::Relaxed), 0);
                    word.store(u64::from(id) * 2 + at as u64, Ordering::Relaxed);
                    assert!(
                        slab.slots()
                            .id_of((&raw const *word).cast_mut().cast())
                            .is_none()
                    );
                }
            }
        };
        write(0);
        let (_, given) = slab.last_further().unwrap();
        // SAFETY: no other thread is there.
        drop(unsafe { slab.take_last() });
        write(IDS - given);
        for id in 0..IDS {
            let of = |word| slab.slots().side(id, word).load(Ordering::Relaxed);
            assert_eq!(of(SideWords::WEIGHT), u64::from(id) * 2);
            assert_eq!(of(OTHER), u64::from(id) * 2 + 1);
            let meta = slab.slots().slot(id).word().get();
            assert_eq!(meta.deadline(), NEVER, "the words are in no slot");
        }
    }

    #[test]
    fn an_address_tells_the_id() {
        let slab = Slab::<[u8; 3], u8>::new(100, 1 << 12, SideWords::NONE);
        let other = Slab::<[u8; 3], u8>::new(100, 1 << 12, SideWords::NONE);
        for id in 0..2000 {
            // SAFETY: no other thread has them.
            let fresh = unsafe { (slab.fresh(), other.fresh()) };
            assert_eq!(fresh, (Some(id), Some(id)));
        }
        for id in 0..2000 {
            let slot = slab.slots().slot(id).address();
            assert_eq!(slab.slots().id_of(slot), Some(id));
            assert_eq!(other.slots().id_of(slot), None);
        }
        // Memory that is there, of a slot that is not yet.
        let next = slab.slots().slot(1999).address();
        assert_eq!(
            slab.slots()
                .id_of(next.wrapping_byte_add(Slot::<[u8; 3], u8>::STRIDE)),
            None
        );
    }

    #[test]
    fn the_last_id_is_in_the_last_segment() {
        let slab = Slab::<u8, u8>::new(1, 1 << 12, SideWords::NONE);
        let (segment, index) = slab.place_further(MAX_IDS as u32 - 1).unwrap();
        assert!(segment < FURTHER && (index as usize) < slab.len_of_further(segment));
        for id in 1..100_000 {
            let (segment, index) = slab.place_further(id).unwrap();
            let before: usize = (0..segment).map(|it| slab.len_of_further(it)).sum();
            assert_eq!(1 + before + index as usize, id as usize);
        }
    }
}
