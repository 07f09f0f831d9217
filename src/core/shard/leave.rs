//! How entries leave a shard: out of index and list, into limbo, and to the listener.

use super::Seen;
use super::deadlines::WORK;
use super::locked::{Locked, Refused};
use super::needs::{Care, Needs, Special};
use crate::core::budget::Token;
use crate::core::index::Route;
use crate::core::listener::{Departed, RemovalCause};
use crate::core::meta::Meta;
use crate::core::reclaim::{self, Hold, Pin};
use crate::core::side::SideWords;
use crate::core::slab::Slot;

impl<'s, 'c, K, V> Locked<'s, '_, 'c, K, V> {
    /// Takes a key's entry out. True if it was still alive; refused means to look again.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn remove(&mut self, seen: Seen) -> Result<bool, Refused> {
        self.remove_as(seen, RemovalCause::Removed)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn remove_as(&mut self, seen: Seen, cause: RemovalCause) -> Result<bool, Refused> {
        self.expire(WORK);
        let stands = self.locate(seen, &[])?.is_some();
        let Some(id) = seen.id().filter(|_| stands) else {
            return Ok(false);
        };
        let (token, alive) = self.take_out::<Special>(id, cause);
        self.inner.rare.removals += u64::from(alive && cause == RemovalCause::Removed);
        drop(token);
        self.inner.counts.expirations += u64::from(!alive);
        self.apart(move |it| it.drain(1));
        Ok(alive)
    }

    /// Takes out what the key has, as nothing is to be stored in its place. As [`Locked::remove`].
    pub(crate) fn refuse(&mut self, seen: Seen) -> Result<bool, Refused> {
        let alive = self.remove_as(seen, RemovalCause::Replaced)?;
        self.inner.rare.refusals += 1;
        Ok(alive)
    }

    /// Evicts the least recently used entry for another shard, and returns its token.
    pub(crate) fn give(&mut self) -> Option<Token<'c>> {
        let token = self.evict::<Special>(None);
        self.drain(1);
        token
    }

    /// Evicts an entry, for a key if that is known, and returns its token.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn evict<C: Care>(&mut self, coming: Option<Route>) -> Option<Token<'c>> {
        let slots = self.slots();
        let id = if self.inner.list.is_special() {
            let coming = coming.map(|route| self.context.index.fragment_of(route));
            self.inner.special_victim(self.front, Some(coming))?
        } else {
            self.victim()?
        };
        // The next one is the oldest again, and no longer in the processor's cache.
        if let Some(next) = self.inner.list.before(id, &self.front.slab) {
            slots.slot(next).prefetch();
        }
        let (token, alive) = self.take_out::<C>(id, RemovalCause::Evicted);
        if C::NEEDS > Needs::Nothing {
            let weight = self.weight_of(id);
            if C::WEIGHTS {
                self.inner.loose += weight;
            }
            if alive {
                let evicted = &mut self.inner.rare.evicted_weight;
                *evicted = evicted.saturating_add(weight);
            }
        }
        let counts = &mut self.inner.counts;
        *(if alive {
            &mut counts.evictions
        } else {
            &mut counts.expirations
        }) += 1;
        Some(token)
    }

    /// Takes out some entries, as [`Locked::clear`] does all; says how many.
    pub(crate) fn clear_some(&mut self, most: usize) -> usize {
        let slots = self.slots();
        let listed = self.inner.list.iter(slots);
        let ids: Vec<u32> = listed
            .chain(self.inner.pinned_ids(slots))
            .take(most)
            .collect();
        for &id in &ids {
            let (token, alive) = self.take_out::<Special>(id, RemovalCause::Cleared);
            drop(token);
            let (counts, rare) = (&mut self.inner.counts, &mut self.inner.rare);
            *(if alive {
                &mut rare.cleared
            } else {
                &mut counts.expirations
            }) += 1;
        }
        ids.len()
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        let slots = self.slots();
        let listed = self.inner.list.iter(slots);
        let ids: Vec<u32> = listed.chain(self.inner.pinned_ids(slots)).collect();
        let annex = self.context.index.clear(self.shard.number);
        self.retire_annex(annex);
        for id in ids {
            let slot = slots.slot(id);
            let alive = !slots.life(id).has_expired(self.context.now);
            let (counts, rare) = (&mut self.inner.counts, &mut self.inner.rare);
            *(if alive {
                &mut rare.cleared
            } else {
                &mut counts.expirations
            }) += 1;
            self.forget::<Special>(id, slot, RemovalCause::Cleared);
            drop(self.context.budget.keys.reclaim());
        }
        self.changed();
    }

    /// Takes an entry out of index and list, into limbo; returns its token, and whether it was still alive.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn take_out<C: Care>(&mut self, id: u32, cause: RemovalCause) -> (Token<'c>, bool) {
        let slot = self.slots().slot(id);
        let meta = slot.word().get();
        let (index, range) = (self.context.index, self.shard.number);
        if index.remove(range, meta.fragment(), id) {
            self.apart(|it| it.refit());
        }
        self.forget::<C>(id, slot, cause);
        self.changed();
        let alive = self.is_alive(id, slot, meta);
        (self.context.budget.keys.reclaim(), alive)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_alive(&mut self, id: u32, slot: &Slot<K, V>, seen: Meta) -> bool {
        let now = self.context.now;
        if slot.word().has_expired_as(seen, now) {
            return false;
        }
        !self.slots().has(SideWords::LIMIT)
            || self.apart(move |it| !it.slots().life(id).has_expired(now))
    }

    /// Takes an entry that is no longer in the index out of its list, into limbo. The wheel finds out by itself. What it weighed is
    /// the business of those who take care of nothing but weights.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn forget<C: Care>(&mut self, id: u32, slot: &Slot<K, V>, cause: RemovalCause) {
        let was_pinned = C::ALL && self.forget_special(id, cause);
        if !was_pinned {
            self.unlink(id, slot);
        }
        let node = &slot.member.node;
        // SAFETY: slots stay where they are until they are vacant.
        unsafe { self.inner.limbo.retire(id, node) };
    }

    /// What an entry weighed is loose from here on, and the listener is to be told of it. True if it was pinned: then it is in no list.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn forget_special(&mut self, id: u32, cause: RemovalCause) -> bool {
        if self.shard.listener().is_some() {
            self.apart(move |it| it.note_departure(id, cause));
        }
        self.inner.loose += self.weight_of(id);
        self.inner.pinned.is_some() && self.apart(move |it| it.unlink_pinned(id))
    }

    /// Holds an entry that is about to be retired, with a pin of this thread: so the hold is older than the ticket that the entry will
    /// wait for.
    pub(crate) fn hold_beyond<'d>(&self, id: u32, pin: Pin<'d>) -> Hold<'d> {
        pin.hold_beyond(self.slots().slot(id).address())
    }

    /// Notes what the listener is to be told of an entry that is about to be retired.
    #[cfg(not(nori_loom))]
    fn note_departure(&mut self, id: u32, cause: RemovalCause) {
        let Some(listener) = self.shard.listener() else {
            return;
        };
        let (slots, now) = (self.slots(), self.context.now);
        let cause = if slots.life(id).has_expired(now) {
            RemovalCause::Expired
        } else {
            cause
        };
        let hold = self.hold_beyond(id, reclaim::pin());
        let departed = Departed::new(listener, slots.slot(id), cause, hold);
        self.garbage.add_departed(departed);
    }

    /// The models' stores have no listeners: what matters of it is modelled apart.
    #[cfg(nori_loom)]
    fn note_departure(&mut self, _: u32, _: RemovalCause) {}
}
