//! Circular doubly linked lists over `u32` ids, all in one vector.
//!
//! The first ids are *anchors*: permanent list heads that are always linked. A node that is in no list points to itself.
//! Since every list is a ring through its anchor, unlinking a node needs to know neither the list nor the neighbours'
//! kinds. The LRU list and the timer wheel each hold one such vector, apart from the entries: readers never touch it, and
//! four nodes' links share 32 bytes.

/// A node's neighbours. `next` leads away from the anchor's front, to the older end.
#[derive(Debug, Clone, Copy)]
struct Node {
    prev: u32,
    next: u32,
}

/// Rings over ids; see the module.
#[derive(Debug)]
pub(crate) struct Links {
    nodes: Vec<Node>,
    anchors: u32,
}

impl Links {
    /// `anchors` empty rings.
    pub(crate) fn new(anchors: u32) -> Self {
        let mut links = Self {
            nodes: Vec::new(),
            anchors,
        };
        links.grow(anchors as usize);
        links
    }

    /// Makes room for `ids` ids behind the anchors; never shrinks.
    pub(crate) fn reserve(&mut self, ids: usize) {
        let len = self.anchors as usize + ids;
        if len > self.nodes.len() {
            self.grow(len);
        }
    }

    fn grow(&mut self, len: usize) {
        let from = self.nodes.len();
        self.nodes.reserve_exact(len - from);
        self.nodes.extend((from..len).map(|i| Node {
            prev: i as u32,
            next: i as u32,
        }));
    }

    /// The node of an entry's id.
    #[inline(always)]
    pub(crate) fn node(&self, id: u32) -> u32 {
        self.anchors + id
    }

    /// The entry's id of a node, or none for an anchor.
    #[inline(always)]
    pub(crate) fn id(&self, node: u32) -> Option<u32> {
        node.checked_sub(self.anchors)
    }

    #[inline(always)]
    pub(crate) fn next(&self, node: u32) -> u32 {
        self.nodes[node as usize].next
    }

    #[inline(always)]
    pub(crate) fn prev(&self, node: u32) -> u32 {
        self.nodes[node as usize].prev
    }

    /// Whether the node is in a list (for an anchor: whether its list has members).
    #[inline(always)]
    pub(crate) fn is_linked(&self, node: u32) -> bool {
        self.next(node) != node
    }

    /// Links an unlinked node behind another.
    #[inline(always)]
    pub(crate) fn link_after(&mut self, at: u32, node: u32) {
        debug_assert!(!self.is_linked(node), "node {node} is linked already");
        let next = self.next(at);
        self.nodes[node as usize] = Node { prev: at, next };
        self.nodes[at as usize].next = node;
        self.nodes[next as usize].prev = node;
    }

    /// Takes a node out of its list; nothing happens if it is in none.
    #[inline(always)]
    pub(crate) fn unlink(&mut self, node: u32) {
        let Node { prev, next } = self.nodes[node as usize];
        self.nodes[prev as usize].next = next;
        self.nodes[next as usize].prev = prev;
        self.nodes[node as usize] = Node {
            prev: node,
            next: node,
        };
    }

    /// The members of the ring through `anchor`, front to back, other anchors included.
    pub(crate) fn iter(&self, anchor: u32) -> impl Iterator<Item = u32> {
        let mut node = self.next(anchor);
        std::iter::from_fn(move || {
            let found = (node != anchor).then_some(node)?;
            node = self.next(found);
            Some(found)
        })
    }

    /// Checks that every ring closes and every neighbour points back.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        for (i, node) in self.nodes.iter().enumerate() {
            assert_eq!(self.nodes[node.next as usize].prev, i as u32, "next of {i}");
            assert_eq!(self.nodes[node.prev as usize].next, i as u32, "prev of {i}");
        }
    }
}
