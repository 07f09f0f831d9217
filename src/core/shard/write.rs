//! Writes: everything that happens under the shard's lock.
//!
//! No user code runs here: keys have been compared and hashed before the lock is taken ([`Seen`]), and entries that leave
//! are moved into [`Leftovers`], which the caller settles after it has let go of the lock and its pin.

use super::{Generation, Inner, NOBODY, SHARED, Seen, Shard, Sizing};
use crate::core::budget::{Budget, Token};
use crate::core::entry::Entry;
use crate::core::index::Place;
use crate::core::list::{Stamp, Stamps};
use crate::core::reclaim::{Domain, Pin, Ticket};
use crate::core::slab::Slab;
use crate::core::wheel::{Deadlines, IDLE};
use crate::sync::{MutexGuard, Ordering};
use smallvec::SmallVec;
use std::cell::Cell;

/// How many entries of the wheel each write takes out or moves on.
const WORK: u32 = 4;
/// After how many links an exact list that several threads use is offered to one of them again.
const TERM: u32 = 64;

/// What a write works with.
#[derive(Debug)]
pub(crate) struct Context<'c> {
    pub(crate) domain: &'c Domain,
    pub(crate) budget: &'c Budget,
    /// Milliseconds of the cache's clock; 0 as long as no entry has had a deadline.
    pub(crate) now: u64,
}

/// Why a key was not put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// What the writer saw no longer stands, and only a comparison of keys can tell what does: look again.
    Raced,
    /// No token is free; one of an expired entry of another shard is to be preferred to a live entry of this one.
    Sweep,
    /// No token is free and this shard has no entry to evict.
    Empty,
}

/// What a write leaves to be done without the lock: entries and index generations to drop, idle threads to ask.
#[derive(Debug)]
#[must_use]
pub(crate) struct Leftovers<K, V> {
    entries: SmallVec<[Entry<K, V>; 2]>,
    generations: Vec<Retired<K, V>>,
    quiesce: Option<Ticket>,
}

impl<K, V> Leftovers<K, V> {
    pub(crate) fn none() -> Self {
        Self {
            entries: SmallVec::new(),
            generations: Vec::new(),
            quiesce: None,
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.entries.is_empty() && self.generations.is_empty() && self.quiesce.is_none()
    }

    /// Drops what is to be dropped: user code runs here.
    #[inline(always)]
    pub(crate) fn settle(self, domain: &Domain) {
        if let Some(ticket) = self.quiesce {
            domain.quiesce(ticket);
        }
    }
}

/// The shard, locked.
#[derive(Debug)]
pub(crate) struct Writer<'s, 'c, K, V> {
    shard: &'s Shard<K, V>,
    context: &'c Context<'c>,
    inner: MutexGuard<'s, Inner<K, V>>,
    leftovers: Leftovers<K, V>,
    /// Slots that this write may still move from ready to free.
    quota: u32,
}

impl<K, V> Shard<K, V> {
    /// Takes the lock.
    #[inline(always)]
    pub(crate) fn lock<'s, 'c>(&'s self, context: &'c Context<'c>) -> Writer<'s, 'c, K, V> {
        Writer {
            shard: self,
            context,
            inner: self.back.inner.lock(),
            leftovers: Leftovers::none(),
            quota: 1,
        }
    }
}

impl<'s, 'c, K, V> Writer<'s, 'c, K, V> {
    /// Puts an entry under its key, in place of the one it has if any, and takes the entry out of `entry`.
    ///
    /// A new key needs a token: `token`, or a free one, or that of this shard's least recently used entry, unless `sweep`
    /// says that expired entries elsewhere are to be looked for first.
    #[inline(always)]
    pub(crate) fn put(
        &mut self,
        pin: &Pin<'_>,
        seen: Seen,
        entry: &mut Option<Entry<K, V>>,
        token: &mut Option<Token<'c>>,
        sweep: bool,
    ) -> Result<(), Refused> {
        self.expire(WORK);
        // First of all, as it may replace the generation, and with it every place in the index.
        let id = self.allocate();
        let put = self.put_at(pin, seen, id, entry, token, sweep);
        if put.is_err() {
            self.inner.free.push(id);
        }
        put
    }

    #[inline(always)]
    fn put_at(
        &mut self,
        pin: &Pin<'_>,
        seen: Seen,
        id: u32,
        entry: &mut Option<Entry<K, V>>,
        token: &mut Option<Token<'c>>,
        sweep: bool,
    ) -> Result<(), Refused> {
        match self.locate(seen)? {
            Some((place, old)) => {
                self.fill(id, entry);
                self.generation().index.replace(place, id);
                self.forget(old);
            }
            None => {
                let token = match token.take().or_else(|| self.context.budget.take()) {
                    Some(token) => token,
                    None if sweep => return Err(Refused::Sweep),
                    None => self.evict().ok_or(Refused::Empty)?,
                };
                self.make_room();
                self.fill(id, entry);
                self.generation().index.insert(seen.fragment, id);
                token.spend();
            }
        }
        self.link(pin, id);
        self.inner.counts.inserts += 1;
        Ok(())
    }

    /// Takes a key's entry out. True if it was still alive; `None` means to look again.
    #[inline(always)]
    pub(crate) fn remove(&mut self, seen: Seen) -> Result<bool, Refused> {
        self.expire(WORK);
        Ok(self.locate(seen)?.is_some_and(|(_, id)| {
            let alive = self.is_alive(id);
            drop(self.take_out(id));
            alive
        }))
    }

    /// Evicts the least recently used entry and returns its token.
    pub(crate) fn evict(&mut self) -> Option<Token<'c>> {
        let Inner { list, slab, .. } = &mut *self.inner;
        let id = list.victim(slab)?;
        let alive = self.is_alive(id);
        let counts = &mut self.inner.counts;
        *(if alive {
            &mut counts.evictions
        } else {
            &mut counts.expirations
        }) += 1;
        Some(self.take_out(id))
    }

    /// Takes out one expired entry, with at most `work` steps of the wheel, and returns its token.
    #[inline(always)]
    pub(crate) fn expire_one(&mut self, work: &mut u32) -> Option<Token<'c>> {
        let Inner { wheel, slab, .. } = &mut *self.inner;
        let id = wheel.poll(self.context.now, work, slab)?;
        self.inner.counts.expirations += 1;
        Some(self.take_out(id))
    }

    /// Takes out expired entries, with at most `work` steps of the wheel; says how many.
    #[inline(always)]
    pub(crate) fn expire(&mut self, mut work: u32) -> usize {
        let mut expired = 0;
        while self.expire_one(&mut work).is_some() {
            expired += 1;
        }
        expired
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        let ids: Vec<u32> = self.inner.list.iter().collect();
        let empty = self.new_generation(1);
        self.publish(empty);
        for id in ids {
            self.forget(id);
            drop(self.context.budget.reclaim());
        }
        self.changed();
    }

    /// Moves limbo on, and out of it up to `quota` entries whose grace period has passed. False if nothing is left there.
    pub(crate) fn collect(&mut self, quota: u32) -> bool {
        self.turn();
        self.quota = quota;
        self.drain();
        self.inner.limbo.is_waiting() || self.quota == 0
    }

    /// Lets go of the lock.
    #[inline(always)]
    pub(crate) fn finish(mut self) -> Leftovers<K, V> {
        self.drain();
        if self.inner.limbo.is_due() {
            self.turn();
        }
        let due = self.inner.wheel.next_due();
        if due != self.shard.due() {
            // Relaxed: a hint.
            self.shard.back.due.store(due, Ordering::Relaxed);
        }
        self.leftovers
    }

    /// The entry that the key has now.
    #[inline(always)]
    fn locate(&self, seen: Seen) -> Result<Option<(Place, u32)>, Refused> {
        // Relaxed: written only under the lock that we hold.
        if self.shard.back.version.load(Ordering::Relaxed) == seen.version {
            return Ok(seen.id.map(|id| (seen.place, id)));
        }
        self.locate_slow(seen)
    }

    /// Compares fragments, not keys: the id that was seen is the key's entry if it is still filed (ids are not reused while
    /// the writer is pinned), and where nothing of that fragment is filed the key is absent.
    #[cold]
    fn locate_slow(&self, seen: Seen) -> Result<Option<(Place, u32)>, Refused> {
        let others = Cell::new(false);
        let found = self.generation().index.find(seen.fragment, |id| {
            if self.entry(id).meta.fragment() == seen.fragment {
                others.set(true);
            }
            (Some(id) == seen.id).then_some(id)
        });
        match (found, seen.id) {
            (Some(found), _) => Ok(Some(found)),
            (None, None) if !others.get() => Ok(None),
            _ => Err(Refused::Raced),
        }
    }

    #[inline(always)]
    fn generation(&self) -> &'s Generation<K, V> {
        // Relaxed: written only under the lock that we hold.
        let generation = self.shard.front.generation.load(Ordering::Relaxed);
        // SAFETY: never null; only the lock's holder, us, retires it, and frees it not before the lock was released.
        unsafe { &*generation }
    }

    /// A live entry, or one in limbo.
    #[inline(always)]
    fn entry(&self, id: u32) -> &Entry<K, V> {
        // SAFETY: called for ids in the index, whose slots hold entries while we hold the lock.
        unsafe { self.inner.slab.slot(id).entry() }
    }

    fn is_alive(&self, id: u32) -> bool {
        self.entry(id).meta.deadline() > self.context.now
    }

    /// Moves the entry into a slot that `allocate` has just returned.
    #[inline(always)]
    fn fill(&mut self, id: u32, entry: &mut Option<Entry<K, V>>) {
        let entry = entry.take().expect("an entry is put once");
        // SAFETY: `allocate` returns vacant slots, and we hold the lock.
        unsafe { self.inner.slab.slot(id).fill(entry) };
    }

    /// A vacant slot.
    #[inline(always)]
    fn allocate(&mut self) -> u32 {
        let id = self.inner.free.pop();
        id.or_else(|| self.pop_ready())
            .or_else(|| self.inner.slab.fresh())
            .unwrap_or_else(|| self.allocate_slow())
    }

    #[cold]
    fn allocate_slow(&mut self) -> u32 {
        let inner = &mut *self.inner;
        inner.slab.grow();
        let capacity = inner.slab.capacity();
        inner.list.reserve(capacity);
        inner.wheel.reserve(capacity);
        if capacity > self.generation().directory.capacity() {
            self.rebuild();
        } else {
            self.generation().directory.add_last_chunk(&self.inner.slab);
        }
        self.inner.slab.fresh().expect("the slab has just grown")
    }

    /// Vacates a slot whose grace period has passed; its entry is left over.
    #[inline(always)]
    fn pop_ready(&mut self) -> Option<u32> {
        let id = self.inner.limbo.pop_ready()?;
        self.quota = self.quota.saturating_sub(1);
        // SAFETY: a ready slot holds an entry that was unlinked and whose grace period has passed; we hold the lock.
        let entry = unsafe { self.inner.slab.slot(id).empty() };
        self.leftovers.entries.push(entry);
        Some(id)
    }

    #[inline(always)]
    fn drain(&mut self) {
        while self.quota > 0 {
            let Some(id) = self.pop_ready() else { break };
            self.inner.free.push(id);
        }
    }

    #[cold]
    fn turn(&mut self) {
        let (generations, quiesce) = self.inner.limbo.turn(self.context.domain);
        self.leftovers.generations.extend(generations);
        self.leftovers.quiesce = quiesce;
    }

    /// Links a filed entry into list and wheel.
    #[inline(always)]
    fn link(&mut self, pin: &Pin<'_>, id: u32) {
        let front = &self.shard.front;
        let inner = &mut *self.inner;
        if inner.list.is_exact() {
            inner.links += 1;
            let me = pin.index() as u64 + 1;
            // Relaxed: see `Shard::begin_era`.
            let owner = front.owner.load(Ordering::Relaxed);
            if owner == NOBODY || inner.links >= TERM {
                inner.links = 0;
                front.owner.store(me, Ordering::Relaxed);
            } else if owner != me && owner != SHARED {
                front.owner.store(SHARED, Ordering::Relaxed);
            }
        }
        // Relaxed, both: recency orders nothing.
        let seen = front.era.load(Ordering::Relaxed);
        inner.list.push_front(id, seen, &inner.slab);
        if inner.list.era() != seen {
            front.era.store(inner.list.era(), Ordering::Relaxed);
        }
        // SAFETY: just filled; we hold the lock.
        let meta = unsafe { inner.slab.slot(id).entry() }.meta;
        if meta.is_mortal() {
            inner.wheel.insert(id, meta.deadline());
        }
        self.changed();
    }

    /// Takes an entry out of index, list and wheel, into limbo; returns its token.
    #[inline(always)]
    fn take_out(&mut self, id: u32) -> Token<'c> {
        self.generation()
            .index
            .remove(self.entry(id).meta.fragment(), id);
        self.forget(id);
        self.changed();
        self.context.budget.reclaim()
    }

    /// Takes an entry that is no longer in the index out of list and wheel, into limbo.
    #[inline(always)]
    fn forget(&mut self, id: u32) {
        let mortal = self.entry(id).meta.is_mortal();
        let inner = &mut *self.inner;
        inner.list.unlink(id);
        if mortal {
            inner.wheel.remove(id);
        }
        inner.limbo.retire(id);
        self.quota += 1;
    }

    #[inline(always)]
    fn changed(&self) {
        let version = &self.shard.back.version;
        // Relaxed load: written only under the lock. Release: pairs with the Acquire in `Shard::look`.
        version.store(version.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Makes room in the index for one more key.
    #[inline(always)]
    fn make_room(&mut self) {
        if self.inner.list.len() >= Sizing::max_keys(self.generation().index.buckets()) {
            self.rebuild();
        }
    }

    /// Replaces the generation by one that has room for more keys and knows all chunks.
    #[cold]
    fn rebuild(&mut self) {
        let next = self.new_generation(self.inner.list.len() + 1);
        for id in self.generation().index.ids() {
            next.index.insert(self.entry(id).meta.fragment(), id);
        }
        self.publish(next);
        self.changed();
    }

    fn new_generation(&self, keys: usize) -> Box<Generation<K, V>> {
        Box::new(Generation::new(self.inner.sizing, &self.inner.slab, keys))
    }

    fn publish(&mut self, next: Box<Generation<K, V>>) {
        let next = Box::into_raw(next);
        // Release: pairs with the Acquire in `Shard::generation`.
        let old = self.shard.front.generation.swap(next, Ordering::Release);
        self.inner.limbo.retire_generation(Retired(old));
    }
}

/// A generation that has been replaced. Readers may be inside it until the grace period is over; then it is dropped.
#[derive(Debug)]
pub(super) struct Retired<K, V>(*mut Generation<K, V>);

// SAFETY: it is the only owner of the generation, whose parts are all `Send`.
unsafe impl<K: Send, V: Send> Send for Retired<K, V> {}

impl<K, V> Drop for Retired<K, V> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, replaced once, and dropped here alone: by limbo's user after the grace period, or
        // with the shard, when no reader is left.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl<K, V> Stamps for Slab<K, V> {
    #[inline(always)]
    fn stamp(&self, id: u32) -> &Stamp {
        &self.slot(id).stamp
    }
}

impl<K, V> Deadlines for Slab<K, V> {
    #[inline(always)]
    fn deadline(&self, id: u32) -> u64 {
        // SAFETY: the wheel asks for entries that are linked in it, which are live, under the lock.
        unsafe { self.slot(id).entry() }.meta.deadline()
    }
}

const _: () = assert!(IDLE > super::super::entry::NEVER);
