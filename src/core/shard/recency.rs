//! The order of the list: what is linked, and what is the next to be evicted.

use super::locked::Locked;
use super::reuse::Vacant;
use super::{Front, Inner, SHARED};
use crate::core::index::Fragment;
use crate::core::reclaim::Pin;
use crate::core::slab::Slot;
use crate::sync::Ordering;

/// After how many links an exact list that threads have read at the same time is offered to one of them again.
const TERM: u32 = 64;

impl<'s, 'c, K, V> Locked<'s, '_, 'c, K, V> {
    /// The entry to evict: the least recently used one, or what another policy chooses.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn victim(&mut self) -> Option<u32> {
        let front = self.front;
        if self.inner.list.is_special() {
            return self.inner.special_victim(front, None);
        }
        // Relaxed: recency orders nothing.
        let seen = || front.era.load(Ordering::Relaxed);
        self.inner.list.victim(seen, &front.slab)
    }

    /// Links a filed entry into the list.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn link(&mut self, pin: &Pin<'_>, vacant: &Vacant<'_, K, V>) {
        self.note_insert();
        self.link_unpinned(|| Some(pin.index()), vacant.id, vacant.slot);
    }

    /// Links an entry as the one that was used last: by a thread, if it is said which.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn link_unpinned(
        &mut self,
        thread: impl FnOnce() -> Option<usize>,
        id: u32,
        slot: &Slot<K, V>,
    ) {
        let (front, inner) = (self.front, &mut *self.inner);
        if inner.list.is_due() {
            if inner.adaptive.is_some() {
                inner.adaptive_link(front, (id, slot));
            } else {
                inner.special_link(front, (id, slot), thread());
            }
        } else {
            let member = (id, &slot.member);
            inner.list.push_front(member, || 0, &front.slab);
        }
    }

    /// Has the list expect so many entries.
    pub(crate) fn expect(&mut self, expected: usize) {
        let slots = self.slots();
        if let Some(adaptive) = &mut self.inner.adaptive {
            adaptive.expect(expected);
            return;
        }
        let was_exact = self.inner.list.is_exact();
        self.inner.list.expect(expected, slots);
        if was_exact && !self.inner.list.is_exact() {
            // Relaxed: see `Front::take_over`. Reads begin no eras from now on.
            self.front.owner.store(SHARED, Ordering::Relaxed);
            self.front.begin(self.inner.list.era(), false);
        }
    }

    /// Takes an entry out of the list.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn unlink(&mut self, id: u32, slot: &Slot<K, V>) {
        let slots = self.slots();
        let Inner { list, adaptive, .. } = &mut *self.inner;
        if let Some(adaptive) = adaptive {
            let fragment = slot.word().get().fragment();
            adaptive.leave(id, fragment, list, slots);
        }
        list.unlink(&slot.member, slots);
    }
}

impl Inner {
    /// The victim in a list that is exact, or has two segments. If it is evicted, for a key if that is known, the policy remembers it.
    #[inline(never)]
    pub(super) fn special_victim<K, V>(
        &mut self,
        front: &Front<K, V>,
        evicted_for: Option<Option<Fragment>>,
    ) -> Option<u32> {
        let Some(adaptive) = &mut self.adaptive else {
            // Relaxed: recency orders nothing.
            let seen = || front.era.load(Ordering::Relaxed);
            return self.list.victim(seen, &front.slab);
        };
        let slots = front.slab.slots();
        let id = adaptive.victim(&mut self.list, slots)?;
        if let Some(coming) = evicted_for {
            let slot = slots.slot(id);
            adaptive.remember(slot.word().get().fragment(), &slot.member, coming);
        }
        Some(id)
    }

    /// Links an entry where the policy says.
    #[inline(never)]
    fn adaptive_link<K, V>(&mut self, front: &Front<K, V>, (id, slot): (u32, &Slot<K, V>)) {
        if let Some(adaptive) = &mut self.adaptive {
            let fragment = slot.word().get().fragment();
            let member = (id, &slot.member);
            if adaptive.link(member, fragment, &mut self.list, front.slab.slots()) {
                self.begin_era(front, None);
            }
        }
    }

    /// Links an entry where another era begins.
    #[inline(never)]
    fn special_link<K, V>(
        &mut self,
        front: &Front<K, V>,
        (id, slot): (u32, &Slot<K, V>),
        thread: Option<usize>,
    ) {
        let member = (id, &slot.member);
        // Relaxed: recency orders nothing.
        let seen = || front.era.load(Ordering::Relaxed);
        if self.list.push_front(member, seen, &front.slab) {
            self.begin_era(front, thread);
        }
    }

    /// Makes known that an era has begun. In an exact list that threads have read at the same time reads begin no eras: now and then
    /// one of them is asked to try again.
    #[inline(never)]
    fn begin_era<K, V>(&mut self, front: &Front<K, V>, thread: Option<usize>) {
        front.begin(self.list.era(), self.list.is_exact());
        // Relaxed, both: see `Front::take_over`.
        if self.list.is_exact() && front.owner.load(Ordering::Relaxed) == SHARED {
            self.links += 1;
            if self.links >= TERM
                && let Some(thread) = thread
            {
                self.links = 0;
                front.owner.store(thread as u64 + 1, Ordering::Relaxed);
            }
        }
    }
}
