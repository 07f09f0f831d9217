//! Circular doubly linked lists (rings) over numbered nodes.
//!
//! Every ring goes through an *anchor*, a node that is always linked, so unlinking a node needs to know neither the ring nor
//! the neighbours' kinds. The LRU list has its nodes in the slots.

use crate::sync::Guarded;

/// A node's neighbours. `next` leads away from the anchor's front, to the older end. Guarded by the shard's lock.
#[derive(Debug)]
pub(crate) struct Node {
    prev: Guarded,
    next: Guarded,
}

/// In the place of the previous node: the node is in no ring. Its `next` may be used for something else.
const OUT: u32 = u32::MAX;

impl Node {
    /// A node that is in no ring.
    pub(crate) fn new() -> Self {
        Self {
            prev: Guarded::new(OUT),
            next: Guarded::new(OUT),
        }
    }

    /// The anchor with this number, alone in its ring.
    pub(crate) fn anchor(number: u32) -> Self {
        Self {
            prev: Guarded::new(number),
            next: Guarded::new(number),
        }
    }

    #[inline(always)]
    pub(crate) fn prev(&self) -> u32 {
        self.prev.get()
    }

    #[inline(always)]
    pub(crate) fn next(&self) -> u32 {
        self.next.get()
    }

    /// Whether the node is in a ring.
    #[inline(always)]
    pub(crate) fn is_linked(&self) -> bool {
        self.prev() != OUT
    }

    /// Leads from a node that is in no ring to another.
    #[inline(always)]
    pub(crate) fn chain(&self, next: u32) {
        debug_assert!(!self.is_linked());
        self.next.set(next);
    }

    /// Where the next node's number is kept.
    #[inline(always)]
    pub(crate) fn next_cell(&self) -> &Guarded {
        &self.next
    }
}

/// Where rings find their nodes.
pub(crate) trait Nodes {
    fn node(&self, number: u32) -> &Node;

    /// Links an unlinked node, with its number, behind another.
    #[inline(always)]
    fn link_after(&self, at: u32, number: u32, node: &Node) {
        self.link_behind(self.node(at), at, number, node);
    }

    /// As above, where the node to link behind is at hand.
    #[inline(always)]
    fn link_behind(&self, before: &Node, at: u32, number: u32, node: &Node) {
        debug_assert!(!node.is_linked(), "node {number} is linked already");
        let next = before.next();
        node.prev.set(at);
        node.next.set(next);
        before.next.set(number);
        self.node(next).prev.set(number);
    }

    /// Takes a node out of its ring.
    #[inline(always)]
    fn unlink(&self, node: &Node) {
        debug_assert!(node.is_linked());
        let (prev, next) = (node.prev(), node.next());
        node.prev.set(OUT);
        self.node(prev).next.set(next);
        self.node(next).prev.set(prev);
    }

    /// The members of the ring through `anchor`, front to back, other anchors included.
    #[cfg(any(test, fuzzing))]
    fn ring(&self, anchor: u32) -> impl Iterator<Item = u32> {
        let mut number = self.node(anchor).next();
        std::iter::from_fn(move || {
            let found = (number != anchor).then_some(number)?;
            number = self.node(found).next();
            Some(found)
        })
    }

    /// Checks that the ring through `anchor` closes and every neighbour points back.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    fn validate_ring(&self, anchor: u32) {
        let mut before = anchor;
        for number in self.ring(anchor).chain([anchor]) {
            assert_eq!(self.node(number).prev(), before, "in front of {number}");
            before = number;
        }
    }
}
