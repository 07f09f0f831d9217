//! The shard's LRU list: entries in the order of their last use, as far as the writers know it.
//!
//! Readers do not move entries. A read leaves a [`Stamp`] in the entry, and whoever evicts puts the list right: an entry at
//! the tail that was read since it was linked is linked again where its stamp belongs.
//!
//! # Eras and marks
//!
//! Recency is measured in *eras*, which the shard counts up as entries are linked. The ring holds one anchor for each of
//! the last eras, its *mark*, linked where the era began:
//!
//! ```text
//! front  mark 9 · a · b · mark 8 · c · mark 7 · d · e · f  back (= root)
//! ```
//!
//! so that an entry last read in era 8 finds its place, right behind mark 8, without a walk. A mark with nothing behind it
//! is taken out when the tail comes to it.
//!
//! A list of few entries is *exact*: it has one mark, every link and every read is an era of its own, and the place is
//! found by walking from the front past the entries with younger stamps. That is true LRU: for any entry that has not been
//! read since it was linked, everything in front of it has been used later (linking in front keeps that, reads of others
//! only make them younger, and the walk stops behind the last entry that is younger). So a tail that has not been read is
//! the least recently used entry. In a list with marks the same holds between eras, and entries of one era, a sixty-fourth
//! of twice the list, are in the order in which they came there.

use super::links::Links;
use crate::sync::{AtomicU64, Ordering};

/// How many marks a list that is not exact keeps.
pub(crate) const MARKS: u32 = 64;
/// Up to this many expected entries a list is exact.
pub(crate) const EXACT: usize = 127;
/// How many entries one eviction looks at, and how far it walks for each: all of an exact list.
const BOUND: usize = 128;

/// An entry's last use: `era << 1`, and [`Stamp::READ`] if that was a read after it was linked.
///
/// Readers store it without a lock; two of them, or a reader and an eviction, may overwrite each other's: what is lost is
/// one use among several at the same time.
#[derive(Debug)]
pub(crate) struct Stamp(AtomicU64);

impl Stamp {
    const READ: u64 = 1;

    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A read in era `era`: writes only if the entry has not been used in it yet.
    #[inline(always)]
    pub(crate) fn touch(&self, era: u64) {
        // Relaxed: a stamp orders nothing; the pin keeps the slot the reader's entry's until the store is done.
        if self.0.load(Ordering::Relaxed) >> 1 != era {
            self.0.store(era << 1 | Self::READ, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn set_linked(&self, era: u64) {
        // Relaxed: see `touch`.
        self.0.store(era << 1, Ordering::Relaxed);
    }

    /// The era of the last use, and whether it was a read since the entry was linked.
    #[inline(always)]
    fn get(&self) -> (u64, bool) {
        // Relaxed: see `touch`.
        let stamp = self.0.load(Ordering::Relaxed);
        (stamp >> 1, stamp & Self::READ != 0)
    }
}

/// Where the list finds the stamp of an entry.
pub(crate) trait Stamps {
    fn stamp(&self, id: u32) -> &Stamp;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct List {
    links: Links,
    len: usize,
    /// The era of the youngest mark.
    era: u64,
    /// The era of the oldest mark that is linked.
    oldest: u64,
    /// How many links make an era; 0 for an exact list.
    stride: u32,
    /// Links left in this era.
    left: u32,
}

/// The anchor that closes the ring; marks are the anchors behind it.
const ROOT: u32 = 0;

impl List {
    /// A list that expects to hold about `expected` entries.
    pub(crate) fn new(expected: usize) -> Self {
        let exact = expected <= EXACT;
        let marks = if exact { 1 } else { MARKS };
        let stride = if exact {
            0
        } else {
            (expected / (MARKS as usize / 2)).clamp(1, u32::MAX as usize) as u32
        };
        let mut list = Self {
            links: Links::new(1 + marks),
            len: 0,
            era: 1,
            oldest: 1,
            stride,
            left: stride,
        };
        let mark = list.mark(1);
        list.links.link_after(ROOT, mark);
        list
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.stride == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The present era.
    #[inline(always)]
    pub(crate) fn era(&self) -> u64 {
        self.era
    }

    pub(crate) fn reserve(&mut self, ids: usize) {
        self.links.reserve(ids);
    }

    /// Links an entry as the most recently used. `seen` is the latest era that readers may have used.
    #[inline(always)]
    pub(crate) fn push_front(&mut self, id: u32, seen: u64, stamps: &impl Stamps) {
        if self.is_exact() {
            self.era = self.era.max(seen) + 1;
        } else if self.left == 0 {
            self.next_era();
        } else {
            self.left -= 1;
        }
        stamps.stamp(id).set_linked(self.era);
        let (mark, node) = (self.mark(self.era), self.links.node(id));
        self.links.link_after(mark, node);
        self.len += 1;
    }

    /// Takes an entry out.
    #[inline(always)]
    pub(crate) fn unlink(&mut self, id: u32) {
        let node = self.links.node(id);
        debug_assert!(self.links.is_linked(node));
        self.links.unlink(node);
        self.len -= 1;
    }

    /// The entry to evict: the least recently used one, after putting right the order of those that the tail shows.
    /// It stays linked.
    pub(crate) fn victim(&mut self, stamps: &impl Stamps) -> Option<u32> {
        for _ in 0..BOUND {
            let id = self.tail()?;
            let (era, read) = stamps.stamp(id).get();
            if !read {
                return Some(id);
            }
            self.relink(id, era, stamps);
        }
        self.tail()
    }

    /// The entry linked in front of another one, unless a mark is.
    #[inline(always)]
    pub(crate) fn before(&self, id: u32) -> Option<u32> {
        self.links.id(self.links.prev(self.links.node(id)))
    }

    /// The entries from the most to the least recently linked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.links.iter(ROOT).filter_map(|node| self.links.id(node))
    }

    /// The last entry; marks that the tail has reached are taken out.
    #[inline(always)]
    fn tail(&mut self) -> Option<u32> {
        loop {
            let node = self.links.prev(ROOT);
            if let Some(id) = self.links.id(node) {
                return Some(id);
            }
            if self.oldest == self.era || self.is_exact() {
                return None;
            }
            let mark = self.mark(self.oldest);
            self.links.unlink(mark);
            self.oldest += 1;
        }
    }

    fn relink(&mut self, id: u32, era: u64, stamps: &impl Stamps) {
        stamps.stamp(id).set_linked(era);
        let node = self.links.node(id);
        self.links.unlink(node);
        let mut at = self.mark(era.clamp(self.oldest, self.era));
        if self.is_exact() {
            for _ in 0..BOUND {
                match self.links.id(self.links.next(at)) {
                    Some(next) if stamps.stamp(next).get().0 > era => at = self.links.next(at),
                    _ => break,
                }
            }
        }
        self.links.link_after(at, node);
    }

    #[cold]
    fn next_era(&mut self) {
        self.era += 1;
        self.left = self.stride - 1;
        let mark = self.mark(self.era);
        if self.era - self.oldest >= u64::from(MARKS) {
            // The oldest mark's anchor serves again; its entries join those of the era before.
            self.links.unlink(mark);
            self.oldest += 1;
        }
        self.links.link_after(ROOT, mark);
    }

    #[inline(always)]
    fn mark(&self, era: u64) -> u32 {
        if self.is_exact() {
            ROOT + 1
        } else {
            ROOT + 1 + (era % u64::from(MARKS)) as u32
        }
    }

    /// Checks the ring, the length and the order of the marks.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        self.links.validate();
        assert_eq!(self.iter().count(), self.len);
        let marks: Vec<u32> = self
            .links
            .iter(ROOT)
            .filter(|&node| self.links.id(node).is_none())
            .collect();
        if self.is_exact() {
            assert_eq!(marks, [ROOT + 1]);
        } else {
            let expected: Vec<u32> = (self.oldest..=self.era)
                .rev()
                .map(|e| self.mark(e))
                .collect();
            assert_eq!(marks, expected);
        }
    }
}
