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

use super::links::{Node, Nodes};
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

    /// Whether the entry has been used in this era.
    #[inline(always)]
    pub(crate) fn is_of(&self, era: u64) -> bool {
        // Relaxed: as in `touch`.
        self.0.load(Ordering::Relaxed) >> 1 == era
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

/// What the list keeps with each entry.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) stamp: Stamp,
    pub(crate) node: Node,
}

impl Member {
    /// In no list.
    pub(crate) fn new() -> Self {
        Self {
            stamp: Stamp::new(),
            node: Node::new(),
        }
    }
}

/// Where the list finds its members.
pub(crate) trait Members: Copy {
    fn member(&self, id: u32) -> &Member;
}

/// See the module.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct List {
    len: usize,
    /// The era of the youngest mark.
    era: u64,
    /// The era of the oldest mark that is linked.
    oldest: u64,
    /// Links left in this era.
    left: u32,
    /// How many links make an era; 0 for an exact list.
    stride: u32,
    /// The youngest mark.
    front: u32,
    /// Nodes with the numbers `ANCHOR` and up: the root that closes the ring, then the marks.
    anchors: Box<[Node]>,
}

/// The bit that tells an anchor's number from an id.
const ANCHOR: u32 = 1 << 31;
/// Ids are below this one.
pub(crate) const MAX_IDS: usize = ANCHOR as usize;
const ROOT: u32 = ANCHOR;
const FIRST_MARK: u32 = ANCHOR + 1;

/// The ring of a list: anchors and members.
struct Ring<'r, M> {
    anchors: &'r [Node],
    members: M,
}

impl<M: Members> Nodes for Ring<'_, M> {
    #[inline(always)]
    fn node(&self, number: u32) -> &Node {
        if number & ANCHOR != 0 {
            self.anchor(number)
        } else {
            &self.members.member(number).node
        }
    }
}

impl<M> Ring<'_, M> {
    #[inline(always)]
    fn anchor(&self, number: u32) -> &Node {
        let anchor = (number & !ANCHOR) as usize;
        debug_assert!(anchor < self.anchors.len());
        // SAFETY: only the list itself makes numbers of anchors, none beyond its last mark.
        unsafe { self.anchors.get_unchecked(anchor) }
    }
}

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
        let anchors: Box<[Node]> = (0..=marks)
            .map(|mark| match mark {
                // The first era's mark is in the ring from the start; no entry is needed to link it.
                0 => Node::anchor(ROOT),
                _ => Node::new(),
            })
            .collect();
        let mut list = Self {
            anchors,
            len: 0,
            era: 1,
            oldest: 1,
            stride,
            front: FIRST_MARK,
            left: if exact { 0 } else { stride },
        };
        list.front = list.mark(list.era);
        let ring = list.ring(NoMembers);
        ring.link_after(ROOT, list.front, ring.node(list.front));
        list
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.stride == 0
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The present era.
    #[inline(always)]
    pub(crate) fn era(&self) -> u64 {
        self.era
    }

    #[inline(always)]
    fn ring<M: Members>(&self, members: M) -> Ring<'_, M> {
        Ring {
            anchors: &self.anchors,
            members,
        }
    }

    /// Links an entry as the most recently used. `seen` is the latest era that readers may have used, which an exact list asks for.
    /// Says whether another era has begun.
    #[inline(always)]
    pub(crate) fn push_front(
        &mut self,
        (id, member): (u32, &Member),
        seen: impl FnOnce() -> u64,
        members: impl Members,
    ) -> bool {
        let begun = self.left == 0;
        if begun {
            self.next_era(seen, members);
        }
        self.left -= 1;
        member.stamp.set_linked(self.era);
        let ring = self.ring(members);
        ring.link_behind(ring.anchor(self.front), self.front, id, &member.node);
        self.len += 1;
        begun
    }

    /// Takes an entry out.
    #[inline(always)]
    pub(crate) fn unlink(&mut self, member: &Member, members: impl Members) {
        self.ring(members).unlink(&member.node);
        self.len -= 1;
    }

    /// The entry to evict: the least recently used one, after putting right the order of those that the tail shows.
    /// It stays linked.
    #[inline(always)]
    pub(crate) fn victim(&mut self, members: impl Members) -> Option<u32> {
        for _ in 0..BOUND {
            let id = self.tail(members)?;
            let (era, read) = members.member(id).stamp.get();
            if !read {
                return Some(id);
            }
            self.relink(id, era, members);
        }
        self.tail(members)
    }

    /// The entry linked in front of another one, unless a mark is.
    #[inline(always)]
    pub(crate) fn before(&self, id: u32, members: impl Members) -> Option<u32> {
        let before = members.member(id).node.prev();
        (before & ANCHOR == 0).then_some(before)
    }

    /// The entries from the most to the least recently linked.
    pub(crate) fn iter(&self, members: impl Members) -> impl Iterator<Item = u32> {
        let ring = self.ring(members);
        let mut number = ROOT;
        std::iter::from_fn(move || {
            loop {
                number = ring.node(number).next();
                if number == ROOT {
                    return None;
                }
                if number & ANCHOR == 0 {
                    return Some(number);
                }
            }
        })
    }

    /// The last entry; marks that the tail has reached are taken out.
    #[inline(always)]
    fn tail(&mut self, members: impl Members) -> Option<u32> {
        loop {
            let number = self.anchors[0].prev();
            if number & ANCHOR == 0 {
                return Some(number);
            }
            if self.oldest == self.era || self.is_exact() {
                return None;
            }
            let ring = self.ring(members);
            ring.unlink(ring.node(self.mark(self.oldest)));
            self.oldest += 1;
        }
    }

    fn relink(&mut self, id: u32, era: u64, members: impl Members) {
        let Member { stamp, node, .. } = members.member(id);
        stamp.set_linked(era);
        let ring = self.ring(members);
        ring.unlink(node);
        let mut at = self.mark(era.clamp(self.oldest, self.era));
        if self.is_exact() {
            for _ in 0..BOUND {
                let next = ring.node(at).next();
                if next & ANCHOR != 0 || members.member(next).stamp.get().0 <= era {
                    break;
                }
                at = next;
            }
        }
        ring.link_after(at, id, node);
    }

    #[inline(never)]
    fn next_era(&mut self, seen: impl FnOnce() -> u64, members: impl Members) {
        self.left = self.stride;
        if self.is_exact() {
            self.left = 1;
            self.era = self.era.max(seen()) + 1;
            return;
        }
        self.era += 1;
        let mark = self.mark(self.era);
        let full = self.era - self.oldest >= u64::from(MARKS);
        let ring = self.ring(members);
        if full {
            // The oldest mark's anchor serves again; its entries join those of the era before.
            ring.unlink(ring.node(mark));
        }
        ring.link_after(ROOT, mark, ring.node(mark));
        self.oldest += u64::from(full);
        self.front = mark;
    }

    #[inline(always)]
    fn mark(&self, era: u64) -> u32 {
        if self.is_exact() {
            FIRST_MARK
        } else {
            FIRST_MARK + (era % u64::from(MARKS)) as u32
        }
    }

    /// Checks the ring, the length and the order of the marks.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, members: impl Members) {
        let ring = self.ring(members);
        ring.validate_ring(ROOT);
        assert_eq!(self.iter(members).count(), self.len);
        let marks: Vec<u32> = ring.ring(ROOT).filter(|at| at & ANCHOR != 0).collect();
        if self.is_exact() {
            assert_eq!(marks, [FIRST_MARK]);
        } else {
            let expected: Vec<u32> = (self.oldest..=self.era)
                .rev()
                .map(|e| self.mark(e))
                .collect();
            assert_eq!(marks, expected);
        }
    }
}

/// For a ring of anchors alone.
#[derive(Clone, Copy)]
struct NoMembers;

impl Members for NoMembers {
    fn member(&self, _: u32) -> &Member {
        unreachable!("a new list has no members")
    }
}
