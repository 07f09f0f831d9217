//! Writes: everything that happens under the shard's lock.
//!
//! No user code runs here: keys have been compared and hashed before the lock is taken ([`Seen`]), and entries that leave
//! are moved into [`Garbage`], which is dropped after the lock and the pin.

use super::locked::{Context, Locked, Refused, quiesce};
use super::needs::{Care, Special};
use super::reuse::Vacant;
use super::{Front, Inner, Needs, SHARED, Seen, Shard};
use crate::core::budget::Token;
use crate::core::entry::Coming;
use crate::core::garbage::{Garbage, Retired};
use crate::core::index::{Fragment, Lane, Outgrown, Route};
use crate::core::life::{INHERITED, Limit};
use crate::core::listener::{Departed, RemovalCause};
use crate::core::meta::{Meta, NEVER};
use crate::core::reclaim::{self, Hold, Pin};
use crate::core::side::SideWords;
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
    pub(crate) terms: Terms,
    /// What has been collected for the entry's weight, if anything was. A put that is not refused has spent it.
    pub(crate) purse: Option<u64>,
}

/// What an entry is stored with, beside its deadline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// If the store weighs entries.
    pub(crate) weight: u64,
    pub(crate) pinning: Pinning,
}

/// Whether an entry can be evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pinning {
    No,
    Yes,
    /// If the one that it replaces could not, and was alive.
    AsBefore,
}

impl Terms {
    /// Those of entries in a store that asks for nothing else.
    pub(crate) const PLAIN: Self = Self {
        weight: 0,
        pinning: Pinning::No,
    };
}

impl<K, V> Shard<K, V> {
    /// Puts an entry in the place of what was seen of its key; returns the id that the entry is filed under. All that can refuse it comes
    /// before anything is moved. It serves shards that need no more than it takes care of; only one that takes care of all looks for pins in the terms.
    ///
    /// # Safety
    /// If it is not refused, `entry` has been moved, and is used no more.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) unsafe fn put<'c, L: Limit, C: Care>(
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
        let put = unsafe { locked.put::<L, C>(pin, attempt, entry) };
        if C::NEEDS > Needs::Nothing {
            locked.give_loose();
        }
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
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn put<L: Limit, C: Care>(
        &mut self,
        pin: &Pin<'_>,
        attempt: Attempt<'_, 'c>,
        entry: &Coming<K, V, L>,
    ) -> Result<u32, Refused> {
        if self.inner.needs > C::NEEDS {
            return Err(Refused::Special);
        }
        let (seen, terms) = (attempt.seen, attempt.terms);
        let purse = attempt.purse.unwrap_or(0);
        // 1. See what the key has now.
        self.expire(WORK);
        let mut lane = self.locate(seen, attempt.others)?;
        // 2. Find a slot, room for what the entry weighs, and a token if the key is new.
        let mut token = None;
        let mut is_pinned = false;
        if C::ALL {
            let old = lane.and(seen.id());
            is_pinned = self.is_to_be_pinned(terms.pinning, old);
            if self.has_room(terms.weight, purse, old) {
                token = attempt.token;
            } else {
                let room = self.apart(move |it| it.make_room(attempt, lane))?;
                (lane, token) = (room.lane, room.token);
            }
        } else if lane.is_none() {
            token = attempt.token;
        }
        let vacant;
        if let Some(lane) = lane {
            vacant = self.allocate()?;
            if C::WEIGHTS && !self.exchange(terms.weight, seen.id) {
                return Err(self.vacated(vacant.id, Refused::Special));
            }
            if C::NEEDS > Needs::Nothing {
                self.set_weight(vacant.id, terms.weight);
            }
            // 3. Fill the slot, and file it.
            self.replace::<L, C>(seen, lane, &vacant, entry);
        } else {
            let token = if C::WEIGHTS && !self.may_fit(terms.weight)? {
                token
            } else {
                self.token(token)?
            };
            vacant = self.allocate()?;
            let token = match token {
                None => self.evict::<C>(Some(seen.route)),
                token => token,
            };
            let Some(token) = token else {
                return Err(self.vacated(vacant.id, Refused::Empty));
            };
            if C::WEIGHTS && !self.claim(terms.weight, 0) {
                self.apart(move |it| it.evict_for(terms.weight, vacant.id))?;
            }
            if C::NEEDS > Needs::Nothing {
                self.set_weight(vacant.id, terms.weight);
            }
            self.add(token, seen, &vacant, entry);
        }
        if C::ALL {
            self.spend(terms.weight, purse);
        }
        // 4. Link it.
        let deadline = match entry.limit.get() {
            None => entry.meta.deadline(),
            // Which may be the limit that it has inherited.
            Some(_) => vacant.slot.word().get().deadline(),
        };
        let id = vacant.id;
        if C::ALL && is_pinned {
            self.note_insert();
            self.link_pinned(id);
        } else {
            self.link(pin, &vacant);
        }
        self.schedule(&vacant, deadline);
        Ok(id)
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_to_be_pinned(&self, pinning: Pinning, old: Option<u32>) -> bool {
        match pinning {
            Pinning::No => false,
            Pinning::Yes => true,
            Pinning::AsBefore => old.is_some_and(|id| {
                let has_expired = self.slots().life(id).has_expired(self.context.now);
                !has_expired && self.inner.is_pinned(id)
            }),
        }
    }

    /// Leaves a slot vacant after all, as there is something that refuses the entry.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn vacated(&mut self, id: u32, refused: Refused) -> Refused {
        self.apart(move |it| it.vacate(id));
        refused
    }

    /// A token for a new key, if any is free. None if one is to be had by an eviction.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn token(&self, token: Option<Token<'c>>) -> Result<Option<Token<'c>>, Refused> {
        if token.is_some() {
            return Ok(token);
        }
        let token = self.context.budget.keys.token();
        if token.is_none() && self.context.sweep {
            return Err(Refused::Sweep);
        }
        Ok(token)
    }

    /// Files an entry in the place of another one with the same key.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn replace<L: Limit, C: Care>(
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
            self.forget::<C>(seen.id, old, RemovalCause::Replaced);
        } else {
            let id = vacant.id;
            self.apart(move |it| it.replace_stranger::<C>(seen.id, seen.route, id));
        }
    }

    /// Files an entry with a new key.
    #[cfg_attr(not(debug_assertions), inline(always))]
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
    #[cfg_attr(not(debug_assertions), inline(always))]
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
    fn replace_stranger<C: Care>(&mut self, old: u32, route: Route, id: u32) {
        let (token, _) = self.take_out::<C>(old, RemovalCause::Replaced);
        self.file(route, id);
        token.spend();
    }

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
        let token = self.evict::<Special>(None);
        self.drain(1);
        token
    }

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

    /// Takes out one expired entry, with at most `work` steps of the wheel, and returns its token.
    #[cfg_attr(not(debug_assertions), inline(always))]
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
        let (token, _) = self.take_out::<Special>(id, RemovalCause::Expired);
        self.drain(1);
        Some(token)
    }

    /// Takes out expired entries, with at most `work` steps of the wheel; says how many.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn expire(&mut self, work: u32) -> usize {
        if self.context.now < self.inner.wheel.next_due() {
            return 0;
        }
        self.apart(move |it| {
            let mut work = work;
            std::iter::from_fn(|| it.expire_one(&mut work)).count()
        })
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

    /// How many entries there are.
    pub(crate) fn count(&self) -> usize {
        self.inner.list.len() + self.inner.pinned_ids(self.slots()).count()
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

    /// Where the key's entry is filed now, if it has one: that which was seen.
    #[cfg_attr(not(debug_assertions), inline(always))]
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

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn note_insert(&mut self) {
        self.inner.counts.inserts += 1;
        self.changed();
    }

    /// Links a filed entry into the list.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn link(&mut self, pin: &Pin<'_>, vacant: &Vacant<'_, K, V>) {
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
    fn unlink(&mut self, id: u32, slot: &Slot<K, V>) {
        let slots = self.slots();
        let Inner { list, adaptive, .. } = &mut *self.inner;
        if let Some(adaptive) = adaptive {
            let fragment = slot.word().get().fragment();
            adaptive.leave(id, fragment, list, slots);
        }
        list.unlink(&slot.member, slots);
    }

    /// Files an entry in the wheel under its first deadline, if it has to be.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn schedule(&mut self, vacant: &Vacant<'_, K, V>, deadline: u64) {
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
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn take_out<C: Care>(&mut self, id: u32, cause: RemovalCause) -> (Token<'c>, bool) {
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
    fn forget<C: Care>(&mut self, id: u32, slot: &Slot<K, V>, cause: RemovalCause) {
        let was_pinned = C::ALL && self.forget_special(id, cause);
        if !was_pinned {
            self.unlink(id, slot);
        }
        let node = &slot.member.node;
        // SAFETY: slots stay where they are until they are vacant.
        unsafe { self.inner.limbo.retire(id, node) };
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

    /// What an entry weighed is loose from here on, and the listener is to be told of it. True if it was pinned: then it is in no list.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn forget_special(&mut self, id: u32, cause: RemovalCause) -> bool {
        if self.shard.listener().is_some() {
            self.apart(move |it| it.note_departure(id, cause));
        }
        self.inner.loose += self.weight_of(id);
        self.inner.pinned.is_some() && self.apart(move |it| it.unlink_pinned(id))
    }

    /// Where an entry is filed now.
    pub(super) fn lane_of(&self, id: u32) -> Option<Lane> {
        let fragment = self.slots().slot(id).word().get().fragment();
        self.context.index.lane_of(self.shard.number, fragment, id)
    }

    /// Takes out what the key has, as nothing is to be stored in its place. As [`Locked::remove`].
    pub(crate) fn refuse(&mut self, seen: Seen) -> Result<bool, Refused> {
        let alive = self.remove_as(seen, RemovalCause::Replaced)?;
        self.inner.rare.refusals += 1;
        Ok(alive)
    }
}

impl Inner {
    /// The victim in a list that is exact, or has two segments. If it is evicted, for a key if that is known, the policy remembers it.
    #[inline(never)]
    fn special_victim<K, V>(
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

const _: () = assert!(IDLE > NEVER);
