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
//! only make them younger, and the walk stops in front of the first entry that is not younger). So a tail that has not been read is
//! the least recently used entry. In a list with marks the same holds between eras, and entries of one era, a
//! thirty-second of the list, are in the order in which they came there.

mod segments;

use super::links::{Node, Nodes};
use crate::sync::{AtomicU32, Ordering};
use smallvec::SmallVec;
use std::cmp::Reverse;

/// How many marks a list that is not exact keeps.
pub(crate) const MARKS: u32 = 64;
/// Up to this many expected entries a list is exact.
pub(crate) const EXACT: usize = 127;
/// How many entries one eviction looks at, and how far it walks for each: all of an exact list.
const BOUND: usize = 128;

/// An exact list gives its stamps new eras whenever the present one is a multiple of this. See [`renew`].
pub(crate) const RENEWAL: u64 = 1 << 29;

/// An entry's last use: the low bits of `era << 1`, and [`Stamp::READ`] if that was a read after it was linked.
///
/// Readers store it without a lock; two of them, or a reader and an eviction, may overwrite each other's: what is lost is
/// one use among several at the same time.
///
/// So a stamp tells eras apart that lie less than 2^30 from the present one. Those of an exact list do, thanks to [`renew`]. In a list
/// with marks what is older than the last 64 eras is all one, and for an entry that the tail has not come to for billions of eras it
/// hardly ever makes a difference, and no great one, to be taken for one that was used later.
#[derive(Debug)]
pub(crate) struct Stamp(AtomicU32);

impl Stamp {
    const READ: u32 = 1;

    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of(era: u64) -> u32 {
        (era << 1) as u32
    }

    /// A number by which [`Stamp::is`] knows the era.
    pub(crate) fn of_era(era: u64) -> u64 {
        Self::of(era).into()
    }

    /// Whether the entry has been used in an era: that of [`Stamp::of_era`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is(&self, number: u64) -> bool {
        // Relaxed: as in `touch`.
        u64::from(self.0.load(Ordering::Relaxed) & !Self::READ) == number
    }

    /// A read in era `era`: writes only if the entry has not been used in it yet.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn touch(&self, era: u64) {
        // Relaxed: a stamp orders nothing; the pin keeps the slot the reader's entry's until the store is done.
        if self.0.load(Ordering::Relaxed) & !Self::READ != Self::of(era) {
            self.0.store(Self::of(era) | Self::READ, Ordering::Relaxed);
        }
    }

    /// As if the entry had just been read in era `era`, also if it was linked in that one.
    pub(crate) fn set_read(&self, era: u64) {
        // Relaxed: see `touch`.
        self.0.store(Self::of(era) | Self::READ, Ordering::Relaxed);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn set_linked(&self, era: u64) {
        // Relaxed: see `touch`.
        self.0.store(Self::of(era), Ordering::Relaxed);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn get(&self) -> u32 {
        // Relaxed: see `touch`.
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the last use was a read since the entry was linked.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_read(&self) -> bool {
        self.get() & Self::READ != 0
    }

    /// The low bits of the era of the last use.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn low(&self) -> u16 {
        (self.get() >> 1) as u16
    }

    /// The era of a use, as of now, and whether it was a read since the entry was linked.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn tell(stamp: u32, now: u64) -> (u64, bool) {
        let behind = Self::of(now)
            .wrapping_sub(stamp & !Self::READ)
            .cast_signed()
            >> 1;
        let era = now.saturating_add_signed(-i64::from(behind));
        (era, stamp & Self::READ != 0)
    }

    /// The era of the last use, as of now.
    #[cfg(feature = "serde")]
    pub(crate) fn era(&self, now: u64) -> u64 {
        self.last_use(now).0
    }

    /// The era of the last use, and whether it was a read since the entry was linked.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn last_use(&self, now: u64) -> (u64, bool) {
        Self::tell(self.get(), now)
    }
}

/// Gives the stamps of an exact list the latest eras before `now`, in the order that they have. Whoever begins an era that is a multiple
/// of [`RENEWAL`] does this: a writer under the lock, or a reader, which comes to the entries by way of the index.
#[cold]
pub(crate) fn renew<'s>(now: u64, stamps: impl Iterator<Item = &'s Stamp>) {
    let mut stamps: SmallVec<[(u64, u32, &Stamp); EXACT + 1]> = stamps
        .map(|stamp| {
            let old = stamp.get();
            (Stamp::tell(old, now).0, old, stamp)
        })
        .collect();
    stamps.sort_unstable_by_key(|&(era, ..)| Reverse(era));
    let (mut last, mut next) = (None, now);
    for (era, old, stamp) in stamps {
        next -= u64::from(last != Some(era));
        last = Some(era);
        let new = Stamp::of(next) | old & Stamp::READ;
        // Relaxed, and on failure: see `touch`. Who has used the entry meanwhile knows better.
        let _ = stamp
            .0
            .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
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

/// The list of one shard. Guarded by the shard's lock.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct List {
    len: usize,
    /// The era of the youngest mark.
    era: u64,
    /// The era of the oldest mark that is linked.
    oldest: u64,
    /// Links left in this era that need nothing else: none in a special list.
    left: u32,
    /// How many links make an era; 0 for a list that is special: an exact one, or one of two segments.
    stride: u32,
    /// The youngest mark.
    front: u32,
    /// Nodes with the numbers `ANCHOR` and up: the root that closes the ring, then the marks, then that of the main ring.
    anchors: Box<[Node]>,
}

/// The bit that tells an anchor's number from an id.
pub(crate) const ANCHOR: u32 = 1 << 31;
const ROOT: u32 = ANCHOR;
const FIRST_MARK: u32 = ANCHOR + 1;

/// The ring of a list: anchors and members.
struct Ring<'r, M> {
    anchors: &'r [Node],
    members: M,
}

impl<M: Members> Nodes for Ring<'_, M> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn node(&self, number: u32) -> &Node {
        if number & ANCHOR != 0 {
            self.anchor(number)
        } else {
            &self.members.member(number).node
        }
    }
}

impl<M> Ring<'_, M> {
    #[cfg_attr(not(debug_assertions), inline(always))]
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
        if expected <= EXACT {
            Self::of(1, 0)
        } else {
            Self::of(MARKS, Self::stride_of(expected))
        }
    }

    fn of(marks: u32, stride: u32) -> Self {
        let main = ANCHOR + marks + 1;
        let anchors: Box<[Node]> = (ROOT..=main)
            .map(|number| {
                // The first era's mark is in the ring from the start; no entry is needed to link it.
                if number == ROOT || number == main {
                    Node::anchor(number)
                } else {
                    Node::new()
                }
            })
            .collect();
        let mut list = Self {
            anchors,
            len: 0,
            era: 1,
            oldest: 1,
            stride,
            front: FIRST_MARK,
            left: stride,
        };
        list.front = list.mark(list.era);
        let ring = list.ring(NoMembers);
        ring.link_after(ROOT, list.front, ring.node(list.front));
        list
    }

    /// How many links make an era in a list that expects to hold so many entries.
    pub(crate) fn stride_of(expected: usize) -> u32 {
        (expected / (MARKS as usize / 2)).clamp(1, u32::MAX as usize) as u32
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.main() == FIRST_MARK + 1
    }

    /// Whether the list is exact, or has two segments: then it takes more than usual to find a victim.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_special(&self) -> bool {
        self.stride == 0
    }

    /// Whether the next link begins an era, or is one of a special list.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn is_due(&self) -> bool {
        self.left == 0
    }

    /// Has eras be as long as suits so many entries. An exact list of more than [`EXACT`] is exact no more: it gets marks.
    pub(crate) fn expect(&mut self, expected: usize, members: impl Members) {
        if expected <= EXACT {
            return;
        }
        if self.is_exact() {
            let mut uses: Vec<(u64, u32)> = self
                .iter(members)
                .map(|id| (members.member(id).stamp.last_use(self.era).0, id))
                .collect();
            // Those that were used last come last. Where uses tie, the order of the list counts.
            uses.reverse();
            uses.sort_by_key(|&(era, _)| era);
            let mut new = Self::new(expected);
            new.begin_at(self.era + 1);
            for (_, id) in uses {
                let member = members.member(id);
                self.unlink(member, members);
                member.stamp.set_linked(new.era);
                new.ring(members).link_after(new.front, id, &member.node);
                new.len += 1;
            }
            *self = new;
            return;
        }
        self.stride = Self::stride_of(expected);
        self.left = self.left.min(self.stride);
    }

    /// Has an empty list with marks begin at some era.
    fn begin_at(&mut self, era: u64) {
        let ring = self.ring(NoMembers);
        ring.unlink(ring.node(self.front));
        let mark = self.mark(era);
        ring.link_after(ROOT, mark, ring.node(mark));
        (self.era, self.oldest, self.front) = (era, era, mark);
    }

    /// The present era.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn era(&self) -> u64 {
        self.era
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn ring<M: Members>(&self, members: M) -> Ring<'_, M> {
        Ring {
            anchors: &self.anchors,
            members,
        }
    }

    /// Links an entry as the most recently used. `seen` is the latest era that readers may have used, which an exact list asks for.
    /// Says whether another era has begun.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn push_front(
        &mut self,
        (id, member): (u32, &Member),
        seen: impl FnOnce() -> u64,
        members: impl Members,
    ) -> bool {
        let begun = self.is_due();
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
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn unlink(&mut self, member: &Member, members: impl Members) {
        self.ring(members).unlink(&member.node);
        self.len -= 1;
    }

    /// The entry to evict: the least recently used one, after putting right the order of those that the tail shows.
    /// It stays linked. `seen` as in [`List::push_front`].
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn victim(
        &mut self,
        seen: impl FnOnce() -> u64,
        members: impl Members,
    ) -> Option<u32> {
        if self.is_special() {
            self.era = self.era.max(seen());
        }
        for _ in 0..BOUND {
            let id = self.tail(members)?;
            let (era, read) = members.member(id).stamp.last_use(self.era);
            if !read {
                return Some(id);
            }
            self.relink(id, era, members);
        }
        self.tail(members)
    }

    /// The entry linked in front of another one, unless a mark is.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn before(&self, id: u32, members: impl Members) -> Option<u32> {
        let before = members.member(id).node.prev();
        (before & ANCHOR == 0).then_some(before)
    }

    /// The entries from the most to the least recently linked, then those of the main ring.
    pub(crate) fn iter(&self, members: impl Members) -> impl Iterator<Item = u32> {
        let from = |root| self.iter_from(root, members);
        from(ROOT).chain(from(self.main()))
    }

    fn iter_from(&self, root: u32, members: impl Members) -> impl Iterator<Item = u32> {
        let ring = self.ring(members);
        let mut number = root;
        std::iter::from_fn(move || {
            loop {
                number = ring.node(number).next();
                if number == root {
                    return None;
                }
                if number & ANCHOR == 0 {
                    return Some(number);
                }
            }
        })
    }

    /// The last entry; marks that the tail has reached are taken out.
    #[cfg_attr(not(debug_assertions), inline(always))]
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
                if next & ANCHOR != 0 || members.member(next).stamp.last_use(self.era).0 <= era {
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
            if self.era.is_multiple_of(RENEWAL) {
                let ids = self.iter(members);
                renew(self.era, ids.map(|id| &members.member(id).stamp));
            }
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

    #[cfg_attr(not(debug_assertions), inline(always))]
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
        ring.validate_ring(self.main());
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

#[cfg(all(test, not(nori_loom)))]
mod tests {
    use super::*;

    const IDS: u32 = 8;

    impl Members for &Vec<Member> {
        fn member(&self, id: u32) -> &Member {
            &self[id as usize]
        }
    }

    /// Uses lie further apart than a stamp can tell, but not further than between two renewals.
    #[test]
    fn an_exact_list_stays_exact_as_eras_pass() {
        for written in [false, true] {
            let members: Vec<Member> = (0..IDS).map(|_| Member::new()).collect();
            let mut list = List::new(IDS as usize);
            let mut era = list.era();
            for id in 0..IDS {
                list.push_front((id, &members[id as usize]), || era, &members);
                era = list.era();
            }
            let mut uses: Vec<u32> = (0..IDS).collect();
            for turn in 0..40_u32 {
                if turn % 4 == 0 {
                    era = era.next_multiple_of(RENEWAL) - 2;
                }
                let id = turn * 5 % (IDS - 1 - turn / 16);
                uses.retain(|&other| other != id);
                uses.push(id);
                let member = &members[id as usize];
                if written {
                    list.unlink(member, &members);
                    list.push_front((id, member), || era, &members);
                    era = list.era();
                } else {
                    era += 1;
                    if era.is_multiple_of(RENEWAL) {
                        renew(era, members.iter().map(|it| &it.stamp));
                    }
                    member.stamp.touch(era);
                }
            }
            for expected in uses {
                assert_eq!(list.victim(|| era, &members), Some(expected));
                list.unlink(&members[expected as usize], &members);
                list.validate(&members);
            }
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
