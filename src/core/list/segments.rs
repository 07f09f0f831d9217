//! A list of two segments, for a policy that keeps some entries apart: the *window*, which is the ring with the marks, and the
//! *main* ring, whose order is that of a second chance (CLOCK): its tail goes to the front if it has been read since it was linked.
//!
//! A plain list leaves the main ring empty.

use super::{ANCHOR, List, MARKS, Member, Members, ROOT};
use crate::core::links::Nodes;

impl List {
    /// A list of two segments. It has marks, however small it is; its user says when an era begins.
    pub(crate) fn segmented() -> Self {
        Self::of(MARKS, 0)
    }

    /// Has another era begin.
    pub(crate) fn begin_era(&mut self, members: impl Members) {
        self.next_era(|| 0, members);
    }

    /// Links an entry that is used now, in the window or in the main ring.
    pub(crate) fn link(&mut self, (id, member): (u32, &Member), main: bool, members: impl Members) {
        member.stamp.set_linked(self.era);
        let at = if main { self.main() } else { self.front };
        let ring = self.ring(members);
        ring.link_behind(ring.anchor(at), at, id, &member.node);
        self.len += 1;
    }

    /// Moves an entry to the front of the main ring, as last used in an era.
    pub(crate) fn promote(&self, id: u32, era: u64, members: impl Members) {
        let Member { stamp, node } = members.member(id);
        stamp.set_linked(era);
        let ring = self.ring(members);
        ring.unlink(node);
        ring.link_after(self.main(), id, node);
    }

    /// Moves an entry to where its last use belongs in the window.
    pub(crate) fn place(&mut self, id: u32, era: u64, members: impl Members) {
        self.relink(id, era, members);
    }

    /// The last entry of the window, and the era that it was linked in: as far as the marks tell.
    #[inline(always)]
    pub(crate) fn window_tail(&mut self, members: impl Members) -> Option<(u32, u64)> {
        let id = self.tail(members)?;
        Some((id, self.oldest))
    }

    /// The last entry of the main ring.
    #[inline(always)]
    pub(crate) fn main_tail(&self) -> Option<u32> {
        let id = self.anchors[(self.main() & !ANCHOR) as usize].prev();
        (id & ANCHOR == 0).then_some(id)
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many entries are in the main ring.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn main_len(&self, members: impl Members) -> usize {
        self.iter_from(self.main(), members).count()
    }

    /// The anchor of the main ring.
    pub(super) fn main(&self) -> u32 {
        ROOT + self.anchors.len() as u32 - 1
    }
}
