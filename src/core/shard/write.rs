//! Writes: everything that happens under the shard's lock.
//!
//! No user code runs here: keys have been compared and hashed before the lock is taken ([`Seen`]), and entries that leave
//! are moved into [`Garbage`], which is dropped after the lock and the pin.

use super::reuse::Vacant;
use super::{Front, Inner, SHARED, Seen, Shard};
use crate::core::budget::{Budget, Token};
use crate::core::entry::{Entry, NEVER};
use crate::core::garbage::{Garbage, Retired};
use crate::core::index::{Index, Outgrown, Place, Route};
use crate::core::limbo::LOOKS;
use crate::core::reclaim::{Domain, Pin, Ticket};
use crate::core::slab::Slots;
use crate::core::wheel::IDLE;
use crate::sync::{MutexGuard, Ordering};

/// How many entries of the wheel each write takes out or moves on.
const WORK: u32 = 4;
/// After how many links an exact list that threads have read at the same time is offered to one of them again.
const TERM: u32 = 64;

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
}

/// The shard, locked.
#[derive(Debug)]
pub(crate) struct Locked<'w, 'c, K, V> {
    pub(super) shard: &'w Shard<K, V>,
    pub(super) front: &'w Front<K, V>,
    pub(super) inner: MutexGuard<'w, Inner>,
    pub(super) context: &'w Context<'c>,
    pub(super) garbage: &'w mut Garbage<K, V>,
}

/// What a put goes by.
#[derive(Debug)]
pub(crate) struct Attempt<'a, 'c> {
    /// What was seen of the key.
    pub(crate) seen: &'a Seen,
    /// Those of the key's fragment that were compared, if that was remembered.
    pub(crate) others: &'a [u32],
    /// For a new key; without one, a free one is taken, or that of this shard's least recently used entry.
    pub(crate) token: Option<Token<'c>>,
}

/// Everything that an entry needs to be put: nothing can refuse it any more.
#[derive(Debug)]
struct Room<'w, 'c, K, V> {
    route: Route,
    /// What it replaces.
    old: Option<(Place, u32)>,
    token: Option<Token<'c>>,
    vacant: Vacant<'w, K, V>,
}

impl<K, V> Shard<K, V> {
    /// Puts an entry in the place of what was seen of its key, as the key is absent or to be replaced; returns the id that the entry
    /// is filed under. If that is refused the entry comes back.
    #[inline(always)]
    pub(crate) fn put<'c>(
        &self,
        context: &Context<'c>,
        garbage: &mut Garbage<K, V>,
        pin: &Pin<'_>,
        attempt: Attempt<'_, 'c>,
        entry: Entry<K, V>,
    ) -> Result<u32, (Entry<K, V>, Refused)> {
        let mut locked = self.lock(context, garbage);
        match locked.admit(attempt) {
            Ok(room) => {
                let id = locked.put(room, entry, pin);
                locked.finish(None);
                Ok(id)
            }
            Err(refused) => {
                locked.finish_slow();
                Err((entry, refused))
            }
        }
    }

    /// Does some work under the lock: the way in and out for all that is not [`Shard::put`].
    #[inline(always)]
    pub(crate) fn locked<'w, 'c, R>(
        &'w self,
        context: &'w Context<'c>,
        garbage: &'w mut Garbage<K, V>,
        work: impl FnOnce(&mut Locked<'w, 'c, K, V>) -> R,
    ) -> R {
        let mut locked = self.lock(context, garbage);
        let result = work(&mut locked);
        locked.finish(None);
        result
    }

    /// Moves limbo on, and out of it up to `most` entries whose grace period has passed. Returns how many slots and tables were there
    /// before, and whether any are left.
    pub(crate) fn collect(
        &self,
        context: &Context<'_>,
        garbage: &mut Garbage<K, V>,
        most: u32,
    ) -> (usize, bool) {
        let mut locked = self.lock(context, garbage);
        let before = locked.in_limbo();
        let lagging = locked.turn(u32::MAX);
        let drained = locked.drain(most);
        let left = locked.inner.limbo.is_waiting() || drained == most;
        locked.finish(lagging);
        (before, left)
    }

    #[inline(always)]
    pub(in crate::core) fn lock<'w, 'c>(
        &'w self,
        context: &'w Context<'c>,
        garbage: &'w mut Garbage<K, V>,
    ) -> Locked<'w, 'c, K, V> {
        Locked {
            shard: self,
            front: self.front(),
            inner: self.back.inner.lock(),
            context,
            garbage,
        }
    }
}

impl<'w, 'c, K, V> Locked<'w, 'c, K, V> {
    /// Lets go of the lock. A limbo that has just been turned, and found idle threads, has them asked first.
    #[inline(always)]
    pub(in crate::core) fn finish(mut self, mut lagging: Option<Ticket>) {
        if self.inner.limbo.is_in_arrears() {
            self.drain(self.inner.limbo.arrears());
        }
        self.prefetch_ready();
        if self.inner.limbo.is_due() && lagging.is_none() {
            lagging = self.turn(LOOKS);
        }
        let domain = self.context.domain;
        drop(self);
        if let Some(ticket) = lagging {
            domain.quiesce(ticket);
        }
    }

    #[cold]
    #[inline(never)]
    fn finish_slow(self) {
        self.finish(None);
    }

    /// Makes room for an entry. All that can refuse it comes before anything is moved.
    #[inline(always)]
    fn admit(&mut self, attempt: Attempt<'_, 'c>) -> Result<Room<'w, 'c, K, V>, Refused> {
        let Attempt {
            seen,
            others,
            token,
        } = attempt;
        self.expire(WORK);
        let old = self.locate(seen, others)?;
        if old.is_some() {
            let vacant = self.allocate();
            return Ok(Room {
                route: seen.route,
                old,
                token: None,
                vacant,
            });
        }
        let token = token.or_else(|| self.context.budget.take());
        if token.is_none() && self.context.sweep {
            return Err(Refused::Sweep);
        }
        let vacant = self.allocate();
        let Some(token) = token.or_else(|| self.evict()) else {
            self.vacate(vacant.id);
            return Err(Refused::Empty);
        };
        Ok(Room {
            route: seen.route,
            old,
            token: Some(token),
            vacant,
        })
    }

    /// Puts an entry where room was made for it; returns the id that it is filed under.
    #[inline(always)]
    fn put(&mut self, room: Room<'w, 'c, K, V>, entry: Entry<K, V>, pin: &Pin<'_>) -> u32 {
        let Room {
            route,
            old,
            token,
            vacant,
        } = room;
        let meta = entry.meta;
        // SAFETY: `allocate` returned the slot, vacant, and we have held the lock since.
        unsafe { vacant.slot.fill(entry) };
        match old {
            Some((place, old)) => {
                let before = self.entry(old).meta;
                self.inner.counts.expirations += u64::from(before.deadline() <= self.context.now);
                if before.fragment() == meta.fragment() {
                    self.context
                        .index
                        .replace(self.shard.number, place, vacant.id);
                    self.forget(old);
                } else {
                    self.replace_stranger(old, route, vacant.id);
                }
            }
            None => {
                self.file(route, vacant.id);
                token.into_iter().for_each(Token::spend);
            }
        }
        self.link(pin, &vacant, meta.deadline());
        self.inner.counts.inserts += 1;
        vacant.id
    }

    /// Files the id of an entry whose slot is filled.
    #[inline(always)]
    fn file(&mut self, route: Route, id: u32) {
        if !self.context.index.insert(route, id) {
            self.file_in_annex(route, id);
        }
    }

    #[cold]
    #[inline(never)]
    fn file_in_annex(&mut self, route: Route, id: u32) {
        self.refit();
        let filed = self.context.index.insert(route, id);
        assert!(filed, "a new annex has room");
    }

    /// Gives the shard an annex that suits what is in it.
    #[cold]
    #[inline(never)]
    fn refit(&mut self) {
        let fragment_of = |id| self.entry(id).meta.fragment();
        let old = self.context.index.refit(self.shard.number, fragment_of);
        self.retire_annex(old);
        self.changed();
    }

    fn retire_annex(&mut self, annex: Option<Outgrown>) {
        if let Some(annex) = annex {
            self.inner.limbo.retire_table(Retired::Annex(annex));
        }
    }

    /// Files an entry's id in place of that of one which is equal to it and hashes otherwise: a user's `Hash` and `Eq`
    /// disagree. The old id is filed, and will be looked for, under its own fragment.
    #[cold]
    fn replace_stranger(&mut self, old: u32, route: Route, id: u32) {
        let (token, _) = self.take_out(old);
        self.file(route, id);
        token.spend();
    }

    /// Takes a key's entry out. True if it was still alive; refused means to look again.
    #[inline(always)]
    pub(crate) fn remove(&mut self, seen: &Seen) -> Result<bool, Refused> {
        self.expire(WORK);
        Ok(self.locate(seen, &[])?.is_some_and(|(_, id)| {
            let (token, alive) = self.take_out(id);
            drop(token);
            self.inner.counts.expirations += u64::from(!alive);
            self.drain(1);
            alive
        }))
    }

    /// Evicts the least recently used entry for another shard, and returns its token.
    pub(crate) fn give(&mut self) -> Option<Token<'c>> {
        let token = self.evict();
        self.drain(1);
        token
    }

    /// Evicts the least recently used entry and returns its token.
    #[inline(always)]
    fn evict(&mut self) -> Option<Token<'c>> {
        let slots = self.slots();
        let list = &mut self.inner.list;
        let id = list.victim(&slots)?;
        // The next one is the oldest again, and no longer in the processor's cache.
        if let Some(next) = list.before(id, &slots) {
            slots.slot(next).prefetch();
        }
        let (token, alive) = self.take_out(id);
        let counts = &mut self.inner.counts;
        *(if alive {
            &mut counts.evictions
        } else {
            &mut counts.expirations
        }) += 1;
        Some(token)
    }

    /// Takes out one expired entry, with at most `work` steps of the wheel, and returns its token.
    #[inline(always)]
    pub(crate) fn expire_one(&mut self, work: &mut u32) -> Option<Token<'c>> {
        if self.context.now < self.inner.wheel.next_due() {
            return None;
        }
        self.expire_one_slow(work)
    }

    #[cold]
    #[inline(never)]
    fn expire_one_slow(&mut self, work: &mut u32) -> Option<Token<'c>> {
        let expired = {
            let slots = self.slots();
            self.inner.wheel.poll(self.context.now, work, &slots)
        };
        self.publish_due();
        let id = expired?;
        self.inner.counts.expirations += 1;
        let (token, _) = self.take_out(id);
        self.drain(1);
        Some(token)
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
        let slots = self.slots();
        let ids: Vec<u32> = self.inner.list.iter(&slots).collect();
        let annex = self.context.index.clear(self.shard.number);
        self.retire_annex(annex);
        for id in ids {
            let expired = self.entry(id).meta.deadline() <= self.context.now;
            self.inner.counts.expirations += u64::from(expired);
            self.forget(id);
            drop(self.context.budget.reclaim());
        }
        self.changed();
    }

    /// The entry that the key has now.
    #[inline(always)]
    fn locate(&self, seen: &Seen, others: &[u32]) -> Result<Option<(Place, u32)>, Refused> {
        // Relaxed: written only under the lock that we hold.
        if self.shard.back.version.load(Ordering::Relaxed) == seen.version {
            return Ok(seen.id.map(|id| (seen.place, id)));
        }
        self.locate_slow(seen, others)
    }

    /// What became of what was seen. Compares fragments, not keys: the id that was seen is the key's entry if it is still filed
    /// (ids are not reused while the writer is pinned), and where nothing of that fragment is filed but what was compared the key
    /// is absent.
    #[cold]
    fn locate_slow(&self, seen: &Seen, others: &[u32]) -> Result<Option<(Place, u32)>, Refused> {
        let index = self.context.index;
        let fragment = index.fragment_of(seen.route);
        if let Some(id) = seen.id {
            let place = index.place_of(self.shard.number, fragment, id);
            return place.map_or(Err(Refused::Raced), |place| Ok(Some((place, id))));
        }
        let unknown = index.find(seen.route, |id| {
            let is_known = self.entry(id).meta.fragment() != fragment || others.contains(&id);
            (!is_known).then_some(())
        });
        unknown.map_or(Ok(None), |_| Err(Refused::Raced))
    }

    /// A live entry, or one in limbo.
    #[inline(always)]
    fn entry(&self, id: u32) -> &Entry<K, V> {
        // SAFETY: called for ids in the index, whose slots hold entries while we hold the lock.
        unsafe { self.slots().slot(id).entry() }
    }

    /// Links a filed entry into list and wheel.
    #[inline(always)]
    fn link(&mut self, pin: &Pin<'_>, vacant: &Vacant<'_, K, V>, deadline: u64) {
        self.changed();
        let front = self.front;
        let slots = self.slots();
        let inner = &mut *self.inner;
        if inner.list.is_exact() {
            // Relaxed, both: see `Shard::begin_era`.
            if front.owner.load(Ordering::Relaxed) == SHARED {
                inner.links += 1;
                if inner.links >= TERM {
                    inner.links = 0;
                    front.owner.store(pin.index() as u64 + 1, Ordering::Relaxed);
                }
            }
        }
        // Relaxed, both: recency orders nothing.
        let seen = front.era.load(Ordering::Relaxed);
        inner.list.push_front(vacant.id, seen, &slots);
        if inner.list.era() != seen {
            front.begin(inner.list.era(), inner.list.is_exact());
        }
        if inner.wheel.file(vacant.id, deadline, vacant.before) {
            self.publish_due();
        }
    }

    /// Takes an entry out of index and list, into limbo; returns its token, and whether it was still alive.
    #[inline(always)]
    fn take_out(&mut self, id: u32) -> (Token<'c>, bool) {
        let meta = self.entry(id).meta;
        if self
            .context
            .index
            .remove(self.shard.number, meta.fragment(), id)
        {
            self.refit();
        }
        self.forget(id);
        self.changed();
        let alive = meta.deadline() > self.context.now;
        (self.context.budget.reclaim(), alive)
    }

    /// Takes an entry that is no longer in the index out of the list, into limbo. The wheel finds out by itself.
    #[inline(always)]
    fn forget(&mut self, id: u32) {
        let slots = self.slots();
        let Inner { list, limbo, .. } = &mut *self.inner;
        list.unlink(id, &slots);
        limbo.retire(id, |id| slots.node(id));
    }

    /// Makes known that the index has changed.
    #[inline(always)]
    pub(crate) fn changed(&self) {
        let version = &self.shard.back.version;
        // Relaxed load: written only under the lock. Release: pairs with the Acquire in `Shard::look`.
        version.store(version.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    #[inline(always)]
    pub(super) fn slots(&self) -> Slots<'w, K, V> {
        self.front.slab.slots()
    }

    /// Makes known to those who do not hold the lock when the next entry is due.
    fn publish_due(&self) {
        // Relaxed: a hint.
        let due = self.inner.wheel.next_due();
        self.shard.back.due.store(due, Ordering::Relaxed);
    }
}

const _: () = assert!(IDLE > NEVER);
