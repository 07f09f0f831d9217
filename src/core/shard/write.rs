//! Writes: how an entry gets into a shard, under its lock.
//!
//! No user code runs here: keys have been compared and hashed before the lock is taken ([`Seen`]), and entries that leave
//! are moved into [`Garbage`], which is dropped after the lock and the pin.

use super::deadlines::WORK;
use super::locked::{Context, Locked, Refused, quiesce};
use super::needs::Care;
use super::reuse::Vacant;
use super::{Needs, Seen, Shard};
use crate::core::budget::Token;
use crate::core::entry::Coming;
use crate::core::garbage::{Garbage, Retired};
use crate::core::index::{Lane, Outgrown, Route};
use crate::core::life::Limit;
use crate::core::listener::RemovalCause;
use crate::core::reclaim::Pin;
use crate::sync::Ordering;

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
    pub(super) fn refit(&mut self) {
        let slots = self.slots();
        let fragment_of = |id| slots.slot(id).word().get().fragment();
        let old = self.context.index.refit(self.shard.number, fragment_of);
        self.retire_annex(old);
    }

    pub(super) fn retire_annex(&mut self, annex: Option<Outgrown>) {
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

    /// How many entries there are.
    pub(crate) fn count(&self) -> usize {
        self.inner.list.len() + self.inner.pinned_ids(self.slots()).count()
    }

    /// Where the key's entry is filed now, if it has one: that which was seen.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn locate(&mut self, seen: Seen, others: &[u32]) -> Result<Option<Lane>, Refused> {
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
    pub(super) fn note_insert(&mut self) {
        self.inner.counts.inserts += 1;
        self.changed();
    }

    /// Where an entry is filed now.
    pub(super) fn lane_of(&self, id: u32) -> Option<Lane> {
        let fragment = self.slots().slot(id).word().get().fragment();
        self.context.index.lane_of(self.shard.number, fragment, id)
    }
}
