//! Ghosts: what is remembered of keys that were evicted, which is a tag and the era of the last use.
//!
//! A set is one cache line: fifteen tags, fifteen eras, and which of them is replaced next, so that each set is a queue. A key's fragment
//! chooses the set by its high bits and is told from others by its low ones.

use super::super::index::Fragment;

/// Ghosts to a set.
const WAYS: usize = 15;
/// Numbers to a set: a line.
const LANES: usize = 32;
/// Where a set has the lane that is written next, and the eras of its ghosts.
const NEXT: usize = WAYS;
const ERAS: usize = WAYS + 1;
/// Ghosts for each key that a shard is expected to hold.
const SHARE: usize = 2;

type Set = [u16; LANES];

/// A ghost: the tag of its key, and the low bits of the era of its last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ghost {
    pub(crate) tag: Tag,
    pub(crate) era: u16,
}

/// Tells the keys of a set apart. Not 0, which marks a free lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u16);

impl Tag {
    pub(crate) fn of(fragment: Fragment) -> Self {
        Self((fragment.get() as u16).max(1))
    }

    /// Whether the key is in a sample that has these bits set.
    pub(crate) fn has(self, bits: u16) -> bool {
        self.0 & bits == bits
    }
}

/// Where a set begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(usize);

/// The ghosts of one shard. Guarded by the shard's lock.
#[derive(Debug)]
pub(crate) struct Ghosts {
    lanes: Vec<u16>,
    /// Where the first set begins, on a line of its own.
    start: usize,
    sets: usize,
}

impl Ghosts {
    /// For a shard that is expected to hold so many keys. Memory is taken as ghosts come, where it is given out by pages.
    pub(crate) fn new(expected: usize) -> Self {
        let sets = expected.saturating_mul(SHARE).div_ceil(WAYS).max(1);
        let lanes = vec![0; (sets + 1) * LANES];
        let start = lanes.as_ptr().align_offset(LANES * size_of::<u16>());
        Self {
            // Where the model checker or an interpreter cannot tell, sets lie across lines.
            start: start.min(LANES),
            lanes,
            sets,
        }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn place_of(&self, fragment: Fragment) -> Place {
        let set = (u64::from(fragment.get()) * self.sets as u64) >> Fragment::BITS;
        Place(self.start + set as usize * LANES)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn set(&mut self, Place(start): Place) -> &mut Set {
        debug_assert!(start + LANES <= self.lanes.len());
        // SAFETY: places are made by `place_of` alone, of these ghosts, which have one set more than those that begin there; and a set
        // is so many numbers.
        unsafe { &mut *self.lanes.as_mut_ptr().add(start).cast() }
    }

    /// Starts to bring into the cache what tells whether a key has a ghost. Returns where that is.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn prefetch(&self, fragment: Fragment) -> Place {
        let place = self.place_of(fragment);
        crate::arch::prefetch::read(self.lanes.as_ptr().wrapping_add(place.0));
        place
    }

    /// Takes a key's ghost, if it has one; returns the era.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn take(&mut self, fragment: Fragment) -> Option<u16> {
        let set = self.set(self.place_of(fragment));
        let Tag(tag) = Tag::of(fragment);
        let found = equal(set, tag);
        if found == 0 {
            return None;
        }
        let way = found.trailing_zeros() as usize;
        set[way] = 0;
        Some(set[ERAS + way])
    }

    /// Remembers a key, in the place that it has. Returns the ghost whose place that takes.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn put(&mut self, place: Place, Ghost { tag, era }: Ghost) -> Option<Ghost> {
        let set = self.set(place);
        let way = usize::from(set[NEXT]).min(WAYS - 1);
        set[NEXT] = if way + 1 < WAYS { way as u16 + 1 } else { 0 };
        let old = Ghost {
            tag: Tag(set[way]),
            era: set[ERAS + way],
        };
        set[way] = tag.0;
        set[ERAS + way] = era;
        (old.tag.0 != 0).then_some(old)
    }
}

/// A bit for each lane of a set whose tag is `tag`.
#[cfg(all(target_arch = "x86_64", not(any(miri, nori_portable))))]
#[cfg_attr(not(debug_assertions), inline(always))]
fn equal(set: &Set, tag: u16) -> u32 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16,
        _mm_set1_epi16,
    };
    let eight = |at: usize| -> __m128i {
        // SAFETY: SSE2 is part of x86-64. Eight lanes lie there.
        unsafe {
            let lanes = _mm_loadu_si128(set[at..][..8].as_ptr().cast());
            _mm_cmpeq_epi16(lanes, _mm_set1_epi16(tag.cast_signed()))
        }
    };
    // SAFETY: as above.
    let equal = unsafe { _mm_movemask_epi8(_mm_packs_epi16(eight(0), eight(8))) };
    equal as u32 & ((1 << WAYS) - 1)
}

/// As above, one after the other.
#[cfg(not(all(target_arch = "x86_64", not(any(miri, nori_portable)))))]
fn equal(set: &Set, tag: u16) -> u32 {
    let is_it = |&way: &usize| set[way] == tag;
    (0..WAYS).filter(is_it).fold(0, |bits, way| bits | 1 << way)
}
