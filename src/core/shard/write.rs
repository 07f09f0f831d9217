//! Writes: everything that happens under the shard's lock.
//!
//! No user code runs here: keys have been compared and hashed before the lock is taken ([`Seen`]), and entries that leave
//! are moved into [`Garbage`], which is dropped after the lock and the pin.

use super::locked::{Context, Locked, Refused, quiesce};
use super::reuse::Vacant;
use super::{Front, Inner, SHARED, Seen, Shard};
use crate::core::budget::Token;
use crate::core::entry::{Coming, Meta, NEVER};
use crate::core::garbage::{Garbage, Retired};
use crate::core::index::{Fragment, Lane, Outgrown, Route};
use crate::core::life::{INHERITED, Limit};
use crate::core::reclaim::Pin;
use crate::core::slab::Slot;
use crate::core::wheel::{IDLE, Wheel};
use crate::sync::Ordering;

/// How many entries of the wheel each write takes out or moves on.
const WORK: u32 = 4;
/// After how many links an exact list that threads have read at the same time is offered to one of them again.
const TERM: u32 = 64;

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
    pub(crate) unsafe fn put<'c, L: Limit>(
        &self,
        context: &Context<'c>,
        garbage: &mut Garbage<K, V>,
        pin: &Pin<'_>,
        attempt: Attempt<'_, 'c>,
        entry: &Coming<K, V, L>,
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
}

impl<'s, 'c, K, V> Locked<'s, '_, 'c, K, V> {
    /// As [`Shard::put`].
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn put<L: Limit>(
        &mut self,
        pin: &Pin<'_>,
        attempt: Attempt<'_, 'c>,
        entry: &Coming<K, V, L>,
    ) -> Result<u32, Refused> {
        let Attempt {
            seen,
            others,
            token,
        } = attempt;
        // 1. See what the key has now.
        self.expire(WORK);
        let lane = self.locate(seen, others)?;
        // 2. Find a slot, and a token if the key is new.
        let vacant;
        if let Some(lane) = lane {
            vacant = self.allocate()?;
            // 3. Fill the slot, and file it.
            self.replace(seen, lane, &vacant, entry);
        } else {
            let token = self.token(token)?;
            vacant = self.allocate()?;
            let token = match token {
                None => self.evict(Some(seen.route)),
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
        let deadline = match entry.limit.get() {
            None => entry.meta.deadline(),
            // Which may be the limit that it has inherited.
            Some(_) => vacant.slot.word().get().deadline(),
        };
        self.link(pin, &vacant, deadline);
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
    fn replace<L: Limit>(
        &mut self,
        seen: Seen,
        lane: Lane,
        vacant: &Vacant<'_, K, V>,
        entry: &Coming<K, V, L>,
    ) {
        // SAFETY: `allocate` returned the slot, vacant, and we have held the lock since; the entry may be moved, by the contract of
        // `Shard::put`.
        unsafe { vacant.slot.fill(entry) };
        let old = self.slots().slot(seen.id);
        let before = old.word().get();
        let mut expired = old.word().has_expired_as(before, self.context.now);
        if let Some(limit) = entry.limit.get() {
            let (id, before) = (vacant.id, vacant.before);
            expired |= self.apart(move |it| it.limit_after(id, before, limit, seen.id));
        }
        self.inner.counts.expirations += u64::from(expired);
        if before.fragment() == entry.meta.fragment() {
            // SAFETY: `lane` is from the version that stands, or has been found since we have the lock.
            unsafe { lane.replace(vacant.id) };
            self.forget(seen.id, old);
        } else {
            let id = vacant.id;
            self.apart(move |it| it.replace_stranger(seen.id, seen.route, id));
        }
    }

    /// Files an entry with a new key.
    #[inline(always)]
    fn add<L: Limit>(
        &mut self,
        token: Token<'c>,
        seen: Seen,
        vacant: &Vacant<'_, K, V>,
        entry: &Coming<K, V, L>,
    ) {
        // SAFETY: as in `replace`.
        unsafe { vacant.slot.fill(entry) };
        if let Some(limit) = entry.limit.get() {
            let (id, before) = (vacant.id, vacant.before);
            self.apart(move |it| it.set_limit(id, before, limit));
        }
        self.file(seen.route, vacant.id);
        token.spend();
    }

    /// As [`Locked::set_limit`], where an entry takes the place of another one, whose limit it may inherit. Says whether that had expired.
    fn limit_after(&mut self, id: u32, before: u64, limit: u64, old: u32) -> bool {
        let old = self.slots().life(old);
        let expired = old.has_expired(self.context.now);
        let inherited = old.limit().get().deadline();
        let limit = if limit == INHERITED { inherited } else { limit };
        self.set_limit(id, before, limit);
        expired
    }

    /// Sets the limit of an entry whose slot is filled, and is not filed yet.
    fn set_limit(&mut self, id: u32, before: u64, limit: u64) {
        let slots = self.slots();
        let life = slots.life(id);
        let word = life.limit();
        let before = before.min(word.get().deadline());
        word.set(word.get().with_deadline(limit));
        // What readers look at first is filed when the entry is linked, and that will do unless the limit comes before it. To file what comes
        // later would make it look as if the slot were filed early enough.
        let first = slots.slot(id).word().get().deadline();
        if limit < first && Wheel::is_needed(&slots.slot(id).timer, limit, before) {
            self.file_in_wheel(id, limit);
        }
    }

    /// Files the id of an entry whose slot is filled.
    #[inline(always)]
    fn file(&mut self, route: Route, id: u32) {
        if !self.context.index.insert(route, id) {
            self.apart(move |it| {
                it.refit();
                let filed = it.context.index.insert(route, id);
                assert!(filed, "a new annex has room");
            });
        }
    }

    /// Gives the shard an annex that suits what is in it. The caller makes known that places have changed.
    fn refit(&mut self) {
        let slots = self.slots();
        let fragment_of = |id| slots.slot(id).word().get().fragment();
        let old = self.context.index.refit(self.shard.number, fragment_of);
        self.retire_annex(old);
    }

    fn retire_annex(&mut self, annex: Option<Outgrown>) {
        if let Some(annex) = annex {
            self.inner.limbo.retire_annex(Retired::Annex(annex));
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

    /// Moves the deadlines of a key's entry: the limit, and the idle deadline, if there is one, further ahead. True if it was still alive;
    /// refused means to look again.
    pub(crate) fn revise(
        &mut self,
        seen: Seen,
        (limit, idle): (u64, Option<u64>),
    ) -> Result<bool, Refused> {
        self.expire(WORK);
        let stands = self.locate(seen, &[])?.is_some();
        let Some(id) = seen.id().filter(|_| stands) else {
            return Ok(false);
        };
        let (slots, now) = (self.slots(), self.context.now);
        let life = slots.life(id);
        if life.has_expired(now) {
            return Ok(false);
        }
        if let (Some(word), Some(idle)) = (life.idle(), idle) {
            let later = |old: u64| (idle > old).then_some(idle);
            if word.shift(now, later).is_none() {
                return Ok(false);
            }
        }
        let Some(before) = life.limit().shift(now, |_| Some(limit)) else {
            return Ok(false);
        };
        if Wheel::is_needed(&slots.slot(id).timer, limit, before) {
            self.apart(move |it| it.file_in_wheel(id, limit));
        }
        Ok(true)
    }

    /// Evicts the least recently used entry for another shard, and returns its token.
    pub(crate) fn give(&mut self) -> Option<Token<'c>> {
        let token = self.evict(None);
        self.drain(1);
        token
    }

    /// Evicts the least recently used entry, or what another policy chooses, for a key if that is known. Returns its token.
    #[inline(always)]
    fn evict(&mut self, coming: Option<Route>) -> Option<Token<'c>> {
        let slots = self.slots();
        let front = self.front;
        // Relaxed: recency orders nothing.
        let seen = || front.era.load(Ordering::Relaxed);
        let id = if self.inner.list.is_special() {
            let coming = coming.map(|route| self.context.index.fragment_of(route));
            self.inner.special_victim(front, coming)?
        } else {
            self.inner.list.victim(seen, &front.slab)?
        };
        // The next one is the oldest again, and no longer in the processor's cache.
        if let Some(next) = self.inner.list.before(id, &front.slab) {
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
            let slot = slots.slot(id);
            self.inner.counts.expirations +=
                u64::from(slots.life(id).has_expired(self.context.now));
            self.forget(id, slot);
            drop(self.context.budget.reclaim());
        }
        self.changed();
    }

    /// Where the key's entry is filed now, if it has one: that which was seen.
    #[inline(always)]
    fn locate(&mut self, seen: Seen, others: &[u32]) -> Result<Option<Lane>, Refused> {
        // Relaxed: written only under the lock that we hold.
        if self.shard.back.version.load(Ordering::Relaxed) == seen.version {
            return Ok(seen.lane);
        }
        let found = self.apart(move |it| it.locate_slow(seen, others));
        found.ok_or(Refused::Raced)
    }

    /// What became of what was seen. Compares fragments, not keys: the id that was seen is the key's entry if it is still filed
    /// (ids are not reused while the writer is pinned), and where nothing of that fragment is filed but what was compared the key
    /// is absent. None if only a comparison of keys can tell.
    fn locate_slow(&self, seen: Seen, others: &[u32]) -> Option<Option<Lane>> {
        let index = self.context.index;
        let fragment = index.fragment_of(seen.route);
        if let Some(id) = seen.id() {
            return index.lane_of(self.shard.number, fragment, id).map(Some);
        }
        let unknown = index.find(seen.route, |id| {
            let filed = self.slots().slot(id).word().get().fragment();
            let is_known = filed != fragment || others.contains(&id);
            (!is_known).then_some(())
        });
        unknown.is_none().then_some(None)
    }

    /// Links a filed entry into list and wheel, under its first deadline.
    #[inline(always)]
    fn link(&mut self, pin: &Pin<'_>, vacant: &Vacant<'_, K, V>, deadline: u64) {
        self.inner.counts.inserts += 1;
        self.changed();
        let inner = &mut *self.inner;
        if inner.list.is_due() {
            inner.special_link(self.front, vacant, pin.index());
        } else {
            let member = (vacant.id, &vacant.slot.member);
            inner.list.push_front(member, || 0, &self.front.slab);
        }
        if Wheel::is_needed(&vacant.slot.timer, deadline, vacant.before) {
            let id = vacant.id;
            self.apart(move |it| it.file_in_wheel(id, deadline));
        }
    }

    fn file_in_wheel(&mut self, id: u32, deadline: u64) {
        let slots = self.slots();
        self.inner.wheel.file(id, deadline, &slots);
        self.publish_due();
    }

    /// Takes an entry out of index and list, into limbo; returns its token, and whether it was still alive.
    #[inline(always)]
    fn take_out(&mut self, id: u32) -> (Token<'c>, bool) {
        let slot = self.slots().slot(id);
        let meta = slot.word().get();
        let (index, range) = (self.context.index, self.shard.number);
        if index.remove(range, meta.fragment(), id) {
            self.apart(|it| it.refit());
        }
        self.forget(id, slot);
        self.changed();
        let alive = self.is_alive(id, slot, meta);
        (self.context.budget.reclaim(), alive)
    }

    #[inline(always)]
    fn is_alive(&mut self, id: u32, slot: &Slot<K, V>, seen: Meta) -> bool {
        let now = self.context.now;
        if slot.word().has_expired_as(seen, now) {
            return false;
        }
        !self.slots().has_limits() || self.apart(move |it| !it.slots().life(id).has_expired(now))
    }

    /// Takes an entry that is no longer in the index out of the list, into limbo. The wheel finds out by itself.
    #[inline(always)]
    fn forget(&mut self, id: u32, slot: &Slot<K, V>) {
        let slots = self.slots();
        let Inner {
            list,
            limbo,
            adaptive,
            ..
        } = &mut *self.inner;
        let member = &slot.member;
        if let Some(adaptive) = adaptive {
            let fragment = slot.word().get().fragment();
            adaptive.leave(id, fragment, list, slots);
        }
        list.unlink(member, slots);
        // SAFETY: slots stay where they are until they are vacant.
        unsafe { limbo.retire(id, &member.node) };
    }
}

impl Inner {
    /// The victim in a list that is exact, or has two segments.
    #[inline(never)]
    fn special_victim<K, V>(
        &mut self,
        front: &Front<K, V>,
        coming: Option<Fragment>,
    ) -> Option<u32> {
        let Some(adaptive) = &mut self.adaptive else {
            // Relaxed: recency orders nothing.
            let seen = || front.era.load(Ordering::Relaxed);
            return self.list.victim(seen, &front.slab);
        };
        let slots = front.slab.slots();
        let id = adaptive.victim(&mut self.list, slots)?;
        let slot = slots.slot(id);
        let fragment = slot.word().get().fragment();
        adaptive.remember(fragment, &slot.member, coming);
        Some(id)
    }

    /// Links an entry where another era begins, or a policy says where.
    #[inline(never)]
    fn special_link<K, V>(
        &mut self,
        front: &Front<K, V>,
        vacant: &Vacant<'_, K, V>,
        thread: usize,
    ) {
        let member = (vacant.id, &vacant.slot.member);
        let begun = if let Some(adaptive) = &mut self.adaptive {
            let fragment = vacant.slot.word().get().fragment();
            adaptive.link(member, fragment, &mut self.list, front.slab.slots())
        } else {
            // Relaxed: recency orders nothing.
            let seen = || front.era.load(Ordering::Relaxed);
            self.list.push_front(member, seen, &front.slab)
        };
        if begun {
            self.begin_era(front, thread);
        }
    }

    /// Makes known that an era has begun. In an exact list that threads have read at the same time reads begin no eras: now and then
    /// one of them is asked to try again.
    #[inline(never)]
    fn begin_era<K, V>(&mut self, front: &Front<K, V>, thread: usize) {
        front.begin(self.list.era(), self.list.is_exact());
        // Relaxed, both: see `Front::take_over`.
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
