//! Type-stable storage for a shard's entries: slots in chunks that stay where they are until the shard goes.
//!
//! A slot is *vacant* or holds an initialised entry; the shard knows which (an id is in the list, in limbo, or free) and
//! says so with each `unsafe` call. Readers reach slots through a [`Directory`], a copy of all shards' chunk pointers
//! that belongs to one generation of the table.

use super::entry::{Entry, NEVER};
use super::links::Node;
use super::list::{MAX_IDS, Member, Members};
use super::wheel::Deadlines;
use crate::sync::{AtomicPtr, Ordering, UnsafeCell};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;

/// Bytes to a cache line.
const LINE: usize = 64;

/// Room for one entry, and its place in the shard's list.
#[derive(Debug)]
pub(crate) struct Slot<K, V> {
    pub(crate) member: Member,
    entry: UnsafeCell<MaybeUninit<Entry<K, V>>>,
}

impl<K, V> Slot<K, V> {
    /// Bytes from one slot of a chunk to the next: rounded up to whole cache lines where that costs an eighth at most, as a slot
    /// across two lines costs two misses.
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
            entry: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Starts to bring the slot into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        super::prefetch::read(&raw const *self);
    }

    /// Starts to bring into the cache what dropping the entry will need, for which the slot should be there already.
    #[inline(always)]
    pub(crate) fn prefetch_drop(&self) {
        // SAFETY: inside the slot, vacant or not.
        self.entry
            .with(|entry| unsafe { super::prefetch::drop(entry.cast::<Entry<K, V>>()) });
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
    /// # Panics
    /// If there is none.
    ///
    /// # Safety
    /// The slot is vacant and the caller holds the shard's lock.
    #[inline(always)]
    pub(crate) unsafe fn fill(&self, entry: &mut Option<Entry<K, V>>) {
        let moved: *const Entry<K, V> = entry.as_ref().expect("an entry is put once");
        // SAFETY: nobody looks into a vacant slot, so this access is the only one. What the copy is of is forgotten right
        // behind it, so there is one owner. (A plain move goes through the stack, in pieces that the processor cannot forward.)
        self.entry
            .with_mut(|slot| unsafe { (*slot).as_mut_ptr().copy_from_nonoverlapping(moved, 1) });
        std::mem::forget(entry.take());
    }

    /// Moves the entry out and leaves the slot vacant, as its node says from here on.
    ///
    /// # Safety
    /// The slot holds an entry that no reader can see any more (its grace period has passed), and the caller holds the
    /// shard's lock.
    #[inline(always)]
    pub(crate) unsafe fn empty(&self) -> Entry<K, V> {
        self.member.node.vacate();
        // SAFETY: initialised, and this access is the only one, by the contract; the slot is vacant from here on, so the entry
        // is not moved out twice.
        self.entry
            .with_mut(|slot| unsafe { (*slot).assume_init_read() })
    }
}

/// The chunks of one shard. Guarded by its lock.
#[derive(Debug)]
pub(crate) struct Slab<K, V> {
    chunks: Vec<*mut Slot<K, V>>,
    chunk_bits: u32,
    /// `(1 << chunk_bits) - 1`.
    mask: u32,
    /// Ids below this one have been given out.
    len: u32,
}

// SAFETY: the slab owns its slots, as a `Vec<Slot>` would; the pointers are only where it keeps them.
unsafe impl<K: Send, V: Send> Send for Slab<K, V> {}

impl<K, V> Slab<K, V> {
    /// An empty slab with `1 << chunk_bits` slots to a chunk.
    pub(crate) fn new(chunk_bits: u32) -> Self {
        Self {
            chunks: Vec::new(),
            chunk_bits,
            mask: (1 << chunk_bits) - 1,
            len: 0,
        }
    }

    /// How many chunks there are.
    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// How many ids the chunks have room for.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.len() << self.chunk_bits
    }

    /// The node that links a slot into the list, or chains it to another slot that is in no list.
    #[inline(always)]
    pub(crate) fn node(&self, id: u32) -> &Node {
        &self.slot(id).member.node
    }

    /// The ids that have been given out.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn ids(&self) -> std::ops::Range<u32> {
        0..self.len
    }

    /// An id that has never been used, if a chunk has one left.
    #[inline(always)]
    pub(crate) fn fresh(&mut self) -> Option<u32> {
        let id = self.len;
        ((id as usize) < self.capacity()).then(|| {
            self.len += 1;
            id
        })
    }

    fn layout(&self) -> Layout {
        let size = Slot::<K, V>::STRIDE
            .checked_mul(1 << self.chunk_bits)
            .expect("a chunk fits into memory");
        let align = align_of::<Slot<K, V>>().max(LINE);
        Layout::from_size_align(size, align).expect("a chunk fits into memory")
    }

    /// Adds a chunk.
    ///
    /// # Panics
    /// If that makes more ids than there are: a reader that never ends lets slots queue up in limbo without bound.
    #[cold]
    pub(crate) fn grow(&mut self) {
        assert!(
            self.capacity() + (1 << self.chunk_bits) <= MAX_IDS,
            "too many entries wait for a reader to end"
        );
        let layout = self.layout();
        // SAFETY: not of size zero, as a slot has a member.
        let chunk: *mut Slot<K, V> = unsafe { alloc(layout) }.cast();
        if chunk.is_null() {
            handle_alloc_error(layout);
        }
        for index in 0..1 << self.chunk_bits {
            // SAFETY: the chunk has as many slots, aligned as `STRIDE` is a multiple of a slot's alignment.
            unsafe { at(chunk, index).write(Slot::vacant()) };
        }
        self.chunks.push(chunk);
    }

    /// The slot of an id that was given out.
    #[inline(always)]
    pub(crate) fn slot(&self, id: u32) -> &Slot<K, V> {
        debug_assert!(id < self.len);
        let chunk = self.chunks[(id >> self.chunk_bits) as usize];
        // SAFETY: the chunk has `1 << chunk_bits` slots, so the index is inside; it lives as long as `self`, and slots are
        // only ever shared.
        unsafe { &*at(chunk, id & self.mask) }
    }
}

/// A slot of a chunk.
///
/// # Safety
/// The chunk has more than `index` slots.
#[inline(always)]
unsafe fn at<K, V>(chunk: *mut Slot<K, V>, index: u32) -> *mut Slot<K, V> {
    // SAFETY: inside the chunk, by the contract.
    unsafe { chunk.byte_add(index as usize * Slot::<K, V>::STRIDE) }
}

impl<K, V> Members for Slab<K, V> {
    #[inline(always)]
    fn member(&self, id: u32) -> &Member {
        &self.slot(id).member
    }
}

impl<K, V> Deadlines for Slab<K, V> {
    fn deadline(&self, id: u32) -> u64 {
        let slot = self.slot(id);
        if slot.member.node.is_vacant() {
            return NEVER;
        }
        // SAFETY: a slot that is not vacant holds an entry, and the wheel asks under the shard's lock.
        unsafe { slot.entry() }.meta.deadline()
    }

    fn is_live(&self, id: u32) -> bool {
        self.slot(id).member.node.is_linked()
    }
}

impl<K, V> Drop for Slab<K, V> {
    /// Frees the chunks. The shard has emptied the slots that held entries; what is left of them needs no drop.
    fn drop(&mut self) {
        for &chunk in &self.chunks {
            for index in 0..1 << self.chunk_bits {
                // SAFETY: initialised in `grow`, and dropped only here. (Only the model checker's atomics have a `Drop`.)
                unsafe { at(chunk, index).drop_in_place() };
            }
            // SAFETY: allocated with this layout in `grow`, and freed only here.
            unsafe { dealloc(chunk.cast(), self.layout()) };
        }
    }
}

/// A reader's way from an id of any shard to its slot: the shards' chunk pointers, so many places to a shard.
#[derive(Debug)]
pub(crate) struct Directory<K, V> {
    chunks: Box<[AtomicPtr<Slot<K, V>>]>,
    /// Places to a shard.
    places: usize,
    chunk_bits: u32,
    /// `(1 << chunk_bits) - 1`.
    mask: u32,
}

impl<K, V> Directory<K, V> {
    /// A directory with `places` places for chunks to each of `shards` shards.
    pub(crate) fn new(shards: usize, places: usize, chunk_bits: u32) -> Self {
        let null = || AtomicPtr::new(std::ptr::null_mut());
        Self {
            chunks: (0..shards * places).map(|_| null()).collect(),
            places,
            chunk_bits,
            mask: (1 << chunk_bits) - 1,
        }
    }

    /// Places to a shard.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// Makes all chunks of a shard's slab known, for which there must be places.
    pub(crate) fn add_chunks(&self, shard: usize, slab: &Slab<K, V>) {
        let places = &self.chunks[shard * self.places..][..self.places];
        for (place, &chunk) in places[..slab.chunks.len()].iter().zip(&slab.chunks) {
            // Relaxed: a reader gets an id of this chunk from an Acquire read of the index, which is filled later.
            place.store(chunk, Ordering::Relaxed);
        }
    }

    /// The slot of an id.
    ///
    /// # Safety
    /// The id came from the shard's range of the index that this directory belongs to, and the slab lives for as long as the
    /// reference is used.
    #[inline(always)]
    pub(crate) unsafe fn slot(&self, shard: usize, id: u32) -> &Slot<K, V> {
        let place = shard * self.places + (id >> self.chunk_bits) as usize;
        // SAFETY: an id is filed only after its chunk was added here, so the place is one of the shard's.
        let chunk = unsafe { self.chunks.get_unchecked(place) };
        // Relaxed: see `add_chunks`.
        let chunk = chunk.load(Ordering::Relaxed);
        // SAFETY: the pointer is the chunk's, which has `1 << chunk_bits` slots and stays in place until the slab is dropped.
        unsafe { &*at(chunk, id & self.mask) }
    }
}
