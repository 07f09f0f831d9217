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

    #[inline(always)]
    fn set(&self, fragment: Fragment) -> usize {
        let set = (u64::from(fragment.get()) * self.sets as u64) >> Fragment::BITS;
        self.start + set as usize * LANES
    }

    /// Takes a key's ghost, if it has one; returns the era.
    #[inline(always)]
    pub(crate) fn take(&mut self, fragment: Fragment) -> Option<u16> {
        let start = self.set(fragment);
        let set = &mut self.lanes[start..start + LANES];
        let Tag(tag) = Tag::of(fragment);
        let found = set[..WAYS].iter().position(|&it| it == tag)?;
        set[found] = 0;
        Some(set[ERAS + found])
    }

    /// Remembers a key. Returns the ghost whose place that takes.
    #[inline(always)]
    pub(crate) fn put(&mut self, fragment: Fragment, era: u16) -> Option<Ghost> {
        let start = self.set(fragment);
        let set = &mut self.lanes[start..start + LANES];
        let way = usize::from(set[NEXT]) % WAYS;
        set[NEXT] = (way as u16 + 1) % WAYS as u16;
        let old = Ghost {
            tag: Tag(set[way]),
            era: set[ERAS + way],
        };
        set[way] = Tag::of(fragment).0;
        set[ERAS + way] = era;
        (old.tag.0 != 0).then_some(old)
    }
}
