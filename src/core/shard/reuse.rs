//! From limbo back into use: how the lock's holder comes by vacant slots, and what becomes of those that nobody needs.

use super::write::Locked;
use crate::core::entry::NEVER;
use crate::core::garbage::Retired;
use crate::core::reclaim::Ticket;
use crate::core::slab::Slot;

/// A vacant slot.
#[derive(Debug)]
pub(super) struct Vacant<'s, K, V> {
    pub(super) id: u32,
    pub(super) slot: &'s Slot<K, V>,
    /// The deadline of the entry that has just left it; [`NEVER`] if that is longer ago.
    pub(super) before: u64,
}

impl<'w, K, V> Locked<'w, '_, K, V> {
    /// A vacant slot.
    #[inline(always)]
    pub(super) fn allocate(&mut self) -> Vacant<'w, K, V> {
        let Some(vacant) = self.pop_ready() else {
            return self.allocate_slow();
        };
        match self.slots().segment(vacant.id) {
            0 => vacant,
            segment => self.before(segment, vacant),
        }
    }

    /// A slot from those that wait, or one that has never been used.
    #[inline(never)]
    fn allocate_slow(&mut self) -> Vacant<'w, K, V> {
        let slots = self.slots();
        let id = self.inner.vacancies.pop(slots);
        // SAFETY: we hold the lock.
        let id = id.unwrap_or_else(|| unsafe { self.front.slab.fresh() });
        self.vacant(id)
    }

    fn vacant(&self, id: u32) -> Vacant<'w, K, V> {
        Vacant {
            id,
            slot: self.slots().slot(id),
            before: NEVER,
        }
    }

    /// A vacant slot of a segment before that of `vacant`, if there is one. So the entries move to the front, and what a burst
    /// needed is vacated from its end.
    #[cold]
    fn before(&mut self, segment: usize, vacant: Vacant<'w, K, V>) -> Vacant<'w, K, V> {
        let slots = self.slots();
        match self.inner.vacancies.pop_before(segment, slots) {
            None => vacant,
            Some(id) => {
                self.vacate(vacant.id);
                self.vacant(id)
            }
        }
    }

    /// Keeps a vacant slot for later, or gives the memory of the last segments back.
    #[cold]
    pub(super) fn vacate(&mut self, id: u32) {
        let slots = self.slots();
        self.inner.vacancies.push(id, slots);
        if slots.segment(id) > 0 {
            self.give_back();
        }
    }

    /// Gives the last segments back that are vacant, as long as as many slots are vacant elsewhere as limbo usually needs: what
    /// is needed again at once is not worth it.
    fn give_back(&mut self) {
        let slab = &self.front.slab;
        while let Some((segment, given)) = slab.last_further() {
            let (here, elsewhere) = self.inner.vacancies.count(segment);
            if here < given || elsewhere < self.inner.limbo.usual() {
                return;
            }
            self.inner.vacancies.forget(segment);
            // SAFETY: we hold the lock, and all ids of the segment were among the vacant ones.
            let memory = unsafe { slab.take_last() };
            self.garbage.push(Retired::Segment(memory));
        }
    }

    /// Vacates a slot whose grace period has passed; its entry becomes garbage.
    #[inline(always)]
    fn pop_ready(&mut self) -> Option<Vacant<'w, K, V>> {
        let slots = self.slots();
        let id = self.inner.limbo.pop_ready(|id| slots.node(id))?;
        let slot = slots.slot(id);
        // SAFETY: a ready slot holds an entry that was unlinked and whose grace period has passed; we hold the lock, and the slot
        // is vacant from here on, so the entry is not moved out twice.
        let meta = unsafe { slot.empty(|entry| self.garbage.take(entry)) };
        Some(Vacant {
            id,
            slot,
            before: meta.deadline(),
        })
    }

    /// Vacates up to so many slots for others to use; returns how many.
    #[cold]
    #[inline(never)]
    pub(super) fn drain(&mut self, most: u32) -> u32 {
        for drained in 0..most {
            let Some(Vacant { id, .. }) = self.pop_ready() else {
                return drained;
            };
            self.vacate(id);
        }
        most
    }

    /// Starts to fetch what the next write will need: its entry goes to the first slot that is ready, and what is there is dropped;
    /// the one after that goes to the slot behind it.
    #[inline(always)]
    pub(super) fn prefetch_ready(&self) {
        let slots = self.slots();
        let mut ready = self.inner.limbo.ready(|id| slots.node(id));
        if let Some(next) = ready.next() {
            slots.slot(next).prefetch_drop();
            if let Some(next) = ready.next() {
                slots.slot(next).prefetch();
            }
        }
    }

    /// Moves limbo on, looking at so many readers; returns a ticket that only idle threads hold up.
    #[cold]
    #[inline(never)]
    pub(super) fn turn(&mut self, looks: u32) -> Option<Ticket> {
        let slots = self.slots();
        let Self {
            inner,
            garbage,
            context,
            ..
        } = self;
        // What is in the list is in no batch that is waited for.
        let here = |slot| {
            let id = slots.id_of(slot)?;
            (!slots.node(id).is_linked()).then_some(id)
        };
        inner
            .limbo
            .turn(context.domain, looks, here, |retired| garbage.push(retired))
    }

    /// How many slots and tables have been unlinked and are not garbage yet.
    pub(super) fn in_limbo(&self) -> usize {
        self.inner.limbo.len()
    }
}
