//! Entries that are not evicted.
//!
//! They hang in a ring of their own, so that whoever evicts never comes across them. In all else they are like others: they are in the
//! index and in the wheel, hold tokens, and can be replaced and removed.

use super::locked::Locked;
use super::{Inner, Needs, Shard, needs_of};
use crate::core::links::{Node, Nodes};
use crate::core::list::{ANCHOR, Members};
use crate::core::reclaim::Pin;
use crate::core::slab::Slots;
use std::collections::HashSet;

/// The pinned entries of one shard. Guarded by the shard's lock.
#[derive(Debug)]
pub(in crate::core) struct Pinned {
    anchor: Node,
    ids: HashSet<u32, ahash::RandomState>,
}

struct Ring<'r, M> {
    anchor: &'r Node,
    members: M,
}

impl<M: Members> Nodes for Ring<'_, M> {
    fn node(&self, number: u32) -> &Node {
        if number == ANCHOR {
            self.anchor
        } else {
            &self.members.member(number).node
        }
    }
}

impl Pinned {
    fn new() -> Self {
        Self {
            anchor: Node::anchor(ANCHOR),
            ids: HashSet::default(),
        }
    }

    fn ring<M: Members>(&self, members: M) -> Ring<'_, M> {
        Ring {
            anchor: &self.anchor,
            members,
        }
    }

    fn link(&mut self, id: u32, members: impl Members) {
        self.ids.insert(id);
        let node = &members.member(id).node;
        self.ring(members).link_after(ANCHOR, id, node);
    }

    /// Takes an entry out, if it is here.
    fn unlink(&mut self, id: u32, members: impl Members) -> bool {
        let is_here = self.ids.remove(&id);
        if is_here {
            let node = &members.member(id).node;
            self.ring(members).unlink(node);
        }
        is_here
    }

    fn ids(&self, members: impl Members) -> impl Iterator<Item = u32> {
        let ring = self.ring(members);
        let mut number = ANCHOR;
        std::iter::from_fn(move || {
            number = ring.node(number).next();
            (number != ANCHOR).then_some(number)
        })
    }

    /// Checks the ring.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, members: impl Members) {
        assert!(!self.ids.is_empty(), "nothing is pinned");
        self.ring(members).validate_ring(ANCHOR);
        let ids: HashSet<u32, _> = self.ids(members).collect();
        assert_eq!(ids, self.ids);
    }
}

impl Inner {
    pub(super) fn is_pinned(&self, id: u32) -> bool {
        let pinned = self.pinned.as_ref();
        pinned.is_some_and(|pinned| pinned.ids.contains(&id))
    }

    /// The pinned entries, in no particular order.
    pub(super) fn pinned_ids<K, V>(&self, slots: Slots<'_, K, V>) -> impl Iterator<Item = u32> {
        let pinned = self.pinned.as_ref().into_iter();
        pinned.flat_map(move |pinned| pinned.ids(slots))
    }
}

impl<K, V> Shard<K, V> {
    /// Whether the entry is pinned that was filed with this id under the pin.
    pub(crate) fn is_pinned(&self, _pin: &Pin<'_>, id: u32) -> bool {
        self.back.inner.lock().is_pinned(id)
    }
}

impl<K, V> Locked<'_, '_, '_, K, V> {
    /// Links an entry among the pinned ones.
    pub(super) fn link_pinned(&mut self, id: u32) {
        let slots = self.slots();
        let pinned = self
            .inner
            .pinned
            .get_or_insert_with(|| Box::new(Pinned::new()));
        pinned.link(id, slots);
        self.inner.needs = Needs::All;
        self.context.budget.keys.pin(1);
        if let Some(pool) = self.context.budget.weight() {
            pool.pin(self.weight_of(id));
        }
    }

    /// Takes an entry out of the pinned ones, if it is there. It is in no list then.
    pub(super) fn unlink_pinned(&mut self, id: u32) -> bool {
        let slots = self.slots();
        let Some(pinned) = &mut self.inner.pinned else {
            return false;
        };
        if !pinned.unlink(id, slots) {
            return false;
        }
        if pinned.ids.is_empty() {
            self.inner.pinned = None;
            let listens = self.shard.listener().is_some();
            self.inner.needs = needs_of(slots.words(), listens);
        }
        self.context.budget.keys.unpin(1);
        if let Some(pool) = self.context.budget.weight() {
            pool.unpin(self.weight_of(id));
        }
        true
    }

    /// Has an entry be evicted like any other from now on: it counts as used just now. False if it was not pinned. The id was filed
    /// under the pin.
    pub(crate) fn unpin(&mut self, pin: &Pin<'_>, id: u32) -> bool {
        let was_pinned = self.unlink_pinned(id);
        if was_pinned {
            let slots = self.slots();
            self.link_unpinned(|| Some(pin.index()), id, slots.slot(id));
        }
        was_pinned
    }
}
