//! From limbo back into use: how the lock's holder comes by vacant slots, and what becomes of those that nobody needs.

use super::locked::{Locked, Refused};
use crate::core::garbage::Retired;
use crate::core::reclaim::Ticket;
use crate::core::slab::Slot;

/// A vacant slot.
#[derive(Debug)]
pub(super) struct Vacant<'s, K, V> {
    pub(super) id: u32,
    pub(super) slot: &'s Slot<K, V>,
    /// The first deadline of the last entry that was there; `NEVER` if that had none, or there was none.
    pub(super) before: u64,
}

impl<'s, K, V> Locked<'s, '_, '_, K, V> {
    /// A vacant slot. Refused if a reader that never ends has let so many queue up in limbo that there is no id left.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn allocate(&mut self) -> Result<Vacant<'s, K, V>, Refused> {
        let slots = self.slots();
        if let Some(id) = self.inner.limbo.first_ready()
            && let Some(slot) = slots.in_first(id)
        {
            self.inner.limbo.pop_ready(|_| &slot.member.node);
            // SAFETY: as in `drain`.
            unsafe { slot.empty(|entry| self.garbage.take_first(entry)) };
            return Ok(self.vacant(id, slot));
        }
        let id = self.apart(|it| it.allocate_slow());
        let id = id.ok_or(Refused::Exhausted)?;
        Ok(self.vacant(id, slots.slot(id)))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn vacant(&self, id: u32, slot: &'s Slot<K, V>) -> Vacant<'s, K, V> {
        let before = slot.word().get().deadline();
        Vacant { id, slot, before }
    }

    /// A slot from those that wait, or one that has never been used. Where one is ready in a segment behind
    /// the first, one of an earlier segment is preferred. So the entries move to the front, and what a burst needed is vacated from its
    /// end.
    fn allocate_slow(&mut self) -> Option<u32> {
        let slots = self.slots();
        let Some(vacant) = self.inner.limbo.pop_ready(|id| slots.node(id)) else {
            let id = self.inner.vacancies.pop(slots);
            // SAFETY: we hold the lock.
            return id.or_else(|| unsafe { self.front.slab.fresh() });
        };
        // SAFETY: as in `drain`.
        unsafe { slots.slot(vacant).empty(|entry| self.garbage.take(entry)) };
        let segment = slots.segment(vacant);
        let earlier = self.inner.vacancies.pop_before(segment, slots);
        if earlier.is_some() {
            self.vacate(vacant);
        }
        earlier.or(Some(vacant))
    }

    /// Keeps a vacant slot for later, or gives the memory of the last segments back.
    pub(super) fn vacate(&mut self, id: u32) {
        let slots = self.slots();
        self.inner.vacancies.push(id, slots);
        if slots.segment(id) > 0 {
            self.inner.wheel.forget(id, &slots);
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

    /// Vacates up to so many slots whose grace period has passed, for others to use; returns how many.
    pub(super) fn drain(&mut self, most: u32) -> u32 {
        let slots = self.slots();
        for drained in 0..most {
            let Some(id) = self.inner.limbo.pop_ready(|id| slots.node(id)) else {
                return drained;
            };
            // SAFETY: a ready slot holds an entry that was unlinked and whose grace period has passed; we hold the lock, and the slot
            // is vacant from here on, so the entry is not moved out twice.
            unsafe { slots.slot(id).empty(|entry| self.garbage.take(entry)) };
            self.vacate(id);
        }
        most
    }

    /// Starts to fetch what the next write will need: its entry goes to the first slot that is ready, and what is there is dropped;
    /// the one after that goes to the slot behind it.
    #[cfg_attr(not(debug_assertions), inline(always))]
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
}
