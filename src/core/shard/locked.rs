//! The lock of a shard: the one way in and out, and what is at hand for its holder.

use super::{Front, Inner, Shard};
use crate::core::budget::Budget;
use crate::core::garbage::Garbage;
use crate::core::index::Index;
use crate::core::limbo::LOOKS;
use crate::core::reclaim::{Domain, Ticket};
use crate::core::slab::Slots;
use crate::sync::Ordering;

/// What a write works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'c> {
    pub(crate) domain: &'c Domain,
    pub(crate) budget: &'c Budget,
    pub(crate) index: &'c Index,
    /// Milliseconds of the cache's clock; 0 as long as no entry has had a deadline.
    pub(crate) now: u64,
    /// Whether an expired entry of any shard is to be looked for before a live one of this shard goes.
    pub(crate) sweep: bool,
}

/// Why a key was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// What the writer saw no longer stands, and only a comparison of keys can tell what does: look again.
    Raced,
    /// No token is free; one of an expired entry of another shard is to be preferred to a live entry of this one.
    Sweep,
    /// No token is free and this shard has no entry to evict.
    Empty,
    /// No id is left: too many entries wait for a reader to end.
    Exhausted,
    /// Entries here are weighed, or some are pinned: not for the way that all others take.
    Special,
    /// The entries of this shard that a write evicts weigh too little to make room: all shards are to give.
    Heavy,
    /// The entry weighs more than the cache holds.
    TooHeavy,
    /// Pinned entries leave no room for it.
    Pinned,
}

/// The shard, as the lock's holder sees it. Made where it is needed, so that what a write works with is not in memory for the few that
/// need a function out of line.
#[derive(Debug)]
pub(crate) struct Locked<'s, 'w, 'c, K, V> {
    pub(super) shard: &'s Shard<K, V>,
    pub(super) front: &'s Front<K, V>,
    pub(super) inner: &'w mut Inner,
    pub(super) context: &'w Context<'c>,
    pub(super) garbage: &'w mut Garbage<K, V>,
}

impl<K, V> Shard<K, V> {
    /// Does some work under the lock. This is the way in and out for all that is not [`Shard::put`]: at the end what is due at each
    /// write is done, the lock is released, and idle readers are asked where they are.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn locked<'c, R>(
        &self,
        context: &Context<'c>,
        garbage: &mut Garbage<K, V>,
        work: impl FnOnce(&mut Locked<'_, '_, 'c, K, V>) -> R,
    ) -> R {
        let mut guard = self.back.inner.lock();
        let mut locked = self.view(context, garbage, &mut guard);
        let result = work(&mut locked);
        if locked.inner.loose > 0 {
            locked.apart(|it| it.give_loose());
        }
        let lagging = locked.settle(None);
        drop(guard);
        quiesce(context.domain, lagging);
        result
    }

    /// Moves limbo on, and out of it up to `most` entries whose grace period has passed. Returns how many slots and annexes were there
    /// before, and whether there may be any left.
    pub(crate) fn collect(
        &self,
        context: &Context<'_>,
        garbage: &mut Garbage<K, V>,
        most: u32,
    ) -> (usize, bool) {
        let mut guard = self.back.inner.lock();
        let mut locked = self.view(context, garbage, &mut guard);
        let before = locked.inner.limbo.len();
        let lagging = locked.turn(u32::MAX);
        let drained = locked.drain(most);
        let left = locked.inner.limbo.is_waiting() || drained == most;
        let lagging = locked.settle(lagging);
        drop(guard);
        quiesce(context.domain, lagging);
        (before, left)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn view<'s, 'w, 'c>(
        &'s self,
        context: &'w Context<'c>,
        garbage: &'w mut Garbage<K, V>,
        inner: &'w mut Inner,
    ) -> Locked<'s, 'w, 'c, K, V> {
        Locked {
            shard: self,
            front: self.front(),
            inner,
            context,
            garbage,
        }
    }
}

/// Asks idle threads that hold up a ticket. For a thread that has let go of the lock.
#[cfg_attr(not(debug_assertions), inline(always))]
pub(super) fn quiesce(domain: &Domain, lagging: Option<Ticket>) {
    if let Some(ticket) = lagging {
        domain.quiesce(ticket);
    }
}

impl<'s, 'c, K, V> Locked<'s, '_, 'c, K, V> {
    /// Does what is due at the end of a write. Returns a ticket that only idle threads hold up: a limbo that has just been turned, and
    /// found some, has them asked first.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn settle(&mut self, lagging: Option<Ticket>) -> Option<Ticket> {
        if self.inner.limbo.is_in_arrears() {
            self.apart(move |it| it.drain(it.inner.limbo.arrears()));
        }
        self.prefetch_ready();
        if self.inner.limbo.is_due() && lagging.is_none() {
            return self.apart(move |it| it.turn(LOOKS));
        }
        lagging
    }

    /// Does something out of line. What a write works with is passed on in registers, so that it need not be in memory as long as
    /// that is not called for.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn apart<R>(&mut self, work: impl FnOnce(&mut Locked<'s, '_, 'c, K, V>) -> R) -> R {
        #[cold]
        #[inline(never)]
        fn call<'s, 'c, K, V, R>(
            shard: &'s Shard<K, V>,
            context: &Context<'c>,
            garbage: &mut Garbage<K, V>,
            inner: &mut Inner,
            work: impl FnOnce(&mut Locked<'s, '_, 'c, K, V>) -> R,
        ) -> R {
            work(&mut shard.view(context, garbage, inner))
        }
        call(self.shard, self.context, self.garbage, self.inner, work)
    }

    /// Makes known that the index has changed.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn changed(&self) {
        let version = &self.shard.back.version;
        // Relaxed load: written only under the lock. Release: pairs with the Acquire in `Shard::look`.
        version.store(version.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn slots(&self) -> Slots<'s, K, V> {
        self.front.slab.slots()
    }

    /// Makes known to those who do not hold the lock when the next entry is due.
    pub(super) fn publish_due(&self) {
        // Relaxed: a hint.
        let due = self.inner.wheel.next_due();
        self.shard.back.due.store(due, Ordering::Relaxed);
    }
}
