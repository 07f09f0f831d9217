//! Writes: everything that happens under the shard's lock.
//!
//! No user code runs here: keys have been compared and hashed before the lock is taken ([`Seen`]), and entries that leave
//! are moved into [`Garbage`], which is dropped after the lock and the pin.

use super::reuse::Vacant;
use super::{Front, Inner, SHARED, Seen, Shard};
use crate::core::budget::{Budget, Token};
use crate::core::entry::{Coming, Entry, NEVER};
use crate::core::garbage::{Garbage, Retired};
use crate::core::index::{Filed, Index, Outgrown, Route};
use crate::core::limbo::LOOKS;
use crate::core::reclaim::{Domain, Pin, Ticket};
use crate::core::slab::{Slot, Slots};
use crate::core::wheel::IDLE;
use crate::sync::Ordering;

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
    /// No id is left: too many entries wait for a reader to end.
    Exhausted,
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

/// What a put goes by.
#[derive(Debug)]
pub(crate) struct Attempt<'a, 'c> {
    /// What was seen of the key.
    pub(crate) seen: Seen,
    /// Those of the key's fragment that were compared, if that was remembered.
    pub(crate) others: &'a [u32],
    /// For a new key; without one, a free one is taken, or that of this shard's least recently used entry.
    pub(crate) token: Option<Token<'c>>,
}

impl<K, V> Shard<K, V> {
    /// Puts an entry in the place of what was seen of its key; returns the id that the entry is filed under. All that can refuse it comes
    /// before anything is moved.
    ///
    /// # Safety
    /// If it is not refused, `entry` has been moved, and is used no more.
    #[inline(always)]
    pub(crate) unsafe fn put<'c>(
        &self,
        context: &Context<'c>,
        garbage: &mut Garbage<K, V>,
        pin: &Pin<'_>,
        attempt: Attempt<'_, 'c>,
        entry: &Coming<K, V>,
    ) -> Result<u32, Refused> {
        let mut guard = self.back.inner.lock();
        let mut locked = self.view(context, garbage, &mut guard);
        // SAFETY: by the contract.
        let put = unsafe { locked.put(pin, attempt, entry) };
        let lagging = if put.is_ok() {
            locked.settle(None)
        } else {
            locked.apart(|it| it.settle(None))
        };
        drop(guard);
        quiesce(context.domain, lagging);
        put
    }

    /// Does some work under the lock. This is the way in and out for all that is not [`Shard::put`]: at the end what is due at each
    /// write is done, the lock is released, and idle readers are asked where they are.
    #[inline(always)]
    pub(crate) fn locked<'c, R>(
        &self,
        context: &Context<'c>,
        garbage: &mut Garbage<K, V>,
        work: impl FnOnce(&mut Locked<'_, '_, 'c, K, V>) -> R,
    ) -> R {
        let mut guard = self.back.inner.lock();
        let mut locked = self.view(context, garbage, &mut guard);
        let result = work(&mut locked);
        let lagging = locked.settle(None);
        drop(guard);
        quiesce(context.domain, lagging);
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

    #[inline(always)]
    fn view<'s, 'w, 'c>(
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
#[inline(always)]
fn quiesce(domain: &Domain, lagging: Option<Ticket>) {
    if let Some(ticket) = lagging {
        domain.quiesce(ticket);
    }
}

impl<'s, 'c, K, V> Locked<'s, '_, 'c, K, V> {
    /// Does what is due at the end of a write. Returns a ticket that only idle threads hold up: a limbo that has just been turned, and
    /// found some, has them asked first.
    #[inline(always)]
    fn settle(&mut self, lagging: Option<Ticket>) -> Option<Ticket> {
        if self.inner.limbo.is_in_arrears() {
            self.apart(move |it| it.drain(it.inner.limbo.arrears()));
        }
        self.prefetch_ready();
        if self.inner.limbo.is_due() && lagging.is_none() {
            return self.apart(move |it| it.turn(LOOKS));
        }
        lagging
    }

    /// As [`Shard::put`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn put(
        &mut self,
        pin: &Pin<'_>,
        attempt: Attempt<'_, 'c>,
        entry: &Coming<K, V>,
    ) -> Result<u32, Refused> {
        let Attempt {
            seen,
            others,
            token,
        } = attempt;
        // 1. See what the key has now.
        self.expire(WORK);
        let filed = self.locate(seen, others)?;
        // 2. Find a slot, and a token if the key is new.
        let vacant;
        if let Some(filed) = filed {
            vacant = self.allocate()?;
            // 3. Fill the slot, and file it.
            self.replace(seen, filed, &vacant, entry);
        } else {
            let token = self.token(token)?;
            vacant = self.allocate()?;
            let token = match token {
                None => self.evict(),
                token => token,
            };
            let Some(token) = token else {
                let id = vacant.id;
                self.apart(move |it| it.vacate(id));
                return Err(Refused::Empty);
            };
            self.add(token, seen, &vacant, entry);
        }
        // 4. Link it.
        self.link(pin, &vacant);
        Ok(vacant.id)
    }

    /// A token for a new key, if any is free. None if one is to be had by an eviction.
    #[inline(always)]
    fn token(&self, token: Option<Token<'c>>) -> Result<Option<Token<'c>>, Refused> {
        if token.is_some() {
            return Ok(token);
        }
        let token = self.context.budget.take();
        if token.is_none() && self.context.sweep {
            return Err(Refused::Sweep);
        }
        Ok(token)
    }

    /// Files an entry in the place of another one with the same key.
    #[inline(always)]
    fn replace(
        &mut self,
        seen: Seen,
        filed: Filed,
        vacant: &Vacant<'_, K, V>,
        entry: &Coming<K, V>,
    ) {
        // SAFETY: `allocate` returned the slot, vacant, and we have held the lock since; the entry may be moved, by the contract of
        // `Shard::put`.
        unsafe { vacant.slot.fill(entry) };
        let old = self.slots().slot(seen.id);
        // SAFETY: the id is in the index, and we hold the lock.
        let before = unsafe { old.entry() }.meta;
        self.inner.counts.expirations += u64::from(before.deadline() <= self.context.now);
        if before.fragment() == entry.meta.fragment() {
            // SAFETY: `filed` is from the version that stands, or has been found since we have the lock.
            unsafe { filed.replace(vacant.id) };
            self.forget(seen.id, old);
        } else {
            let id = vacant.id;
            self.apart(move |it| it.replace_stranger(seen.id, seen.route, id));
        }
    }

    /// Files an entry with a new key.
    #[inline(always)]
    fn add(
        &mut self,
        token: Token<'c>,
        seen: Seen,
        vacant: &Vacant<'_, K, V>,
        entry: &Coming<K, V>,
    ) {
        // SAFETY: as in `replace`.
        unsafe { vacant.slot.fill(entry) };
        self.file(seen.route, vacant.id);
        token.spend();
    }

    /// Does something out of line. What a write works with is passed on in registers, so that it need not be in memory as long as
    /// that is not called for.
    #[inline(always)]
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

    /// Files the id of an entry whose slot is filled.
    #[inline(always)]
    fn file(&mut self, route: Route, id: u32) {
        if !self.context.index.insert(route, id) {
            self.apart(move |it| it.file_in_annex(route, id));
        }
    }

    fn file_in_annex(&mut self, route: Route, id: u32) {
        self.refit();
        let filed = self.context.index.insert(route, id);
        assert!(filed, "a new annex has room");
    }

    /// Gives the shard an annex that suits what is in it.
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
    fn replace_stranger(&mut self, old: u32, route: Route, id: u32) {
        let (token, _) = self.take_out(old);
        self.file(route, id);
        token.spend();
    }

    /// Takes a key's entry out. True if it was still alive; refused means to look again.
    #[inline(always)]
    pub(crate) fn remove(&mut self, seen: Seen) -> Result<bool, Refused> {
        self.expire(WORK);
        let stands = self.locate(seen, &[])?.is_some();
        let Some(id) = seen.id().filter(|_| stands) else {
            return Ok(false);
        };
        let (token, alive) = self.take_out(id);
        drop(token);
        self.inner.counts.expirations += u64::from(!alive);
        self.apart(move |it| it.drain(1));
        Ok(alive)
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
        let id = self.inner.list.victim(slots)?;
        // The next one is the oldest again, and no longer in the processor's cache.
        if let Some(next) = self.inner.list.before(id, slots) {
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
    pub(crate) fn expire(&mut self, work: u32) -> usize {
        if self.context.now < self.inner.wheel.next_due() {
            return 0;
        }
        self.apart(move |it| {
            let mut work = work;
            std::iter::from_fn(|| it.expire_one(&mut work)).count()
        })
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        let slots = self.slots();
        let ids: Vec<u32> = self.inner.list.iter(slots).collect();
        let annex = self.context.index.clear(self.shard.number);
        self.retire_annex(annex);
        for id in ids {
            let expired = self.entry(id).meta.deadline() <= self.context.now;
            self.inner.counts.expirations += u64::from(expired);
            self.forget(id, slots.slot(id));
            drop(self.context.budget.reclaim());
        }
        self.changed();
    }

    /// Where the key's entry is filed now, if it has one: that which was seen.
    #[inline(always)]
    fn locate(&mut self, seen: Seen, others: &[u32]) -> Result<Option<Filed>, Refused> {
        // Relaxed: written only under the lock that we hold.
        if self.shard.back.version.load(Ordering::Relaxed) == seen.version {
            return Ok(seen.filed);
        }
        let found = self.apart(move |it| it.locate_slow(seen, others));
        found.ok_or(Refused::Raced)
    }

    /// What became of what was seen. Compares fragments, not keys: the id that was seen is the key's entry if it is still filed
    /// (ids are not reused while the writer is pinned), and where nothing of that fragment is filed but what was compared the key
    /// is absent. None if only a comparison of keys can tell.
    fn locate_slow(&self, seen: Seen, others: &[u32]) -> Option<Option<Filed>> {
        let index = self.context.index;
        let fragment = index.fragment_of(seen.route);
        if let Some(id) = seen.id() {
            return index.filed(self.shard.number, fragment, id).map(Some);
        }
        let unknown = index.find_filed(seen.route, |id| {
            self.entry(id).meta.fragment() == fragment && !others.contains(&id)
        });
        unknown.is_none().then_some(None)
    }

    /// A live entry, or one in limbo.
    #[inline(always)]
    fn entry(&self, id: u32) -> &Entry<K, V> {
        // SAFETY: called for ids in the index, whose slots hold entries while we hold the lock.
        unsafe { self.slots().slot(id).entry() }
    }

    /// Links a filed entry into list and wheel.
    #[inline(always)]
    fn link(&mut self, pin: &Pin<'_>, vacant: &Vacant<'_, K, V>) {
        self.inner.counts.inserts += 1;
        self.changed();
        let front = self.front;
        let inner = &mut *self.inner;
        // Relaxed: recency orders nothing.
        let seen = || front.era.load(Ordering::Relaxed);
        let member = (vacant.id, &vacant.slot.member);
        if inner.list.push_front(member, seen, &front.slab) {
            inner.begin_era(front, pin.index());
        }
        // SAFETY: just filled; we hold the lock.
        let deadline = unsafe { vacant.slot.entry() }.meta.deadline();
        if inner.wheel.file(vacant.id, deadline, vacant.before) {
            self.publish_due();
        }
    }

    /// Takes an entry out of index and list, into limbo; returns its token, and whether it was still alive.
    #[inline(always)]
    fn take_out(&mut self, id: u32) -> (Token<'c>, bool) {
        let slot = self.slots().slot(id);
        // SAFETY: the id is in the index, and we hold the lock.
        let meta = unsafe { slot.entry() }.meta;
        if self
            .context
            .index
            .remove(self.shard.number, meta.fragment(), id)
        {
            self.apart(|it| it.refit());
        }
        self.forget(id, slot);
        self.changed();
        let alive = meta.deadline() > self.context.now;
        (self.context.budget.reclaim(), alive)
    }

    /// Takes an entry that is no longer in the index out of the list, into limbo. The wheel finds out by itself.
    #[inline(always)]
    fn forget(&mut self, id: u32, slot: &Slot<K, V>) {
        let slots = self.slots();
        let Inner { list, limbo, .. } = &mut *self.inner;
        let member = &slot.member;
        list.unlink(member, slots);
        // SAFETY: slots stay where they are until they are vacant.
        unsafe { limbo.retire(id, &member.node) };
    }

    /// Makes known that the index has changed.
    #[inline(always)]
    pub(crate) fn changed(&self) {
        let version = &self.shard.back.version;
        // Relaxed load: written only under the lock. Release: pairs with the Acquire in `Shard::look`.
        version.store(version.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    #[inline(always)]
    pub(super) fn slots(&self) -> Slots<'s, K, V> {
        self.front.slab.slots()
    }

    /// Makes known to those who do not hold the lock when the next entry is due.
    fn publish_due(&self) {
        // Relaxed: a hint.
        let due = self.inner.wheel.next_due();
        self.shard.back.due.store(due, Ordering::Relaxed);
    }
}

impl Inner {
    /// Makes known that an era has begun. In an exact list that threads have read at the same time reads begin no eras: now and then
    /// one of them is asked to try again.
    #[inline(never)]
    fn begin_era<K, V>(&mut self, front: &Front<K, V>, thread: usize) {
        // Relaxed, all: see `Front::era_of_read`.
        front.begin(self.list.era(), self.list.is_exact());
        if self.list.is_exact() && front.owner.load(Ordering::Relaxed) == SHARED {
            self.links += 1;
            if self.links >= TERM {
                self.links = 0;
                front.owner.store(thread as u64 + 1, Ordering::Relaxed);
            }
        }
    }
}

const _: () = assert!(IDLE > NEVER);
