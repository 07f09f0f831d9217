//! Room for what an entry weighs.
//!
//! What an entry weighs stands beside its slot, and is out of the pool for as long as the entry is in the cache. The weight of whatever
//! leaves is *loose* until the lock is released: an entry that comes takes what it needs from there first, then from the pool, and if
//! both have too little, from entries that it evicts. So a write that replaces or evicts an entry as heavy touches the pool not at all.

use super::Shard;
use super::locked::{Locked, Refused};
use super::needs::{Special, Weighed};
use super::write::Attempt;
use crate::core::budget::Token;
use crate::core::index::Lane;
use crate::core::reclaim::Pin;
use crate::core::side::SideWords;
use crate::sync::Ordering;

/// How many entries of its own shard a write evicts at most for what its own entry weighs. If that will not do, all shards are to give.
const OWN: u32 = 8;
/// How many a shard gives at a time.
const SHARE: u32 = 4;

/// What a write that has room for its entry goes on with.
pub(super) struct Room<'c> {
    pub(super) lane: Option<Lane>,
    pub(super) token: Option<Token<'c>>,
}

impl<K, V> Shard<K, V> {
    /// What an entry weighs that was found with this id under the pin.
    pub(crate) fn weight_of(&self, _pin: &Pin<'_>, id: u32) -> u64 {
        let slots = self.front().slab.slots();
        if !slots.has(SideWords::WEIGHT) {
            return 0;
        }
        // Relaxed: written before the id was filed, which is how the caller came to it.
        slots.side(id, SideWords::WEIGHT).load(Ordering::Relaxed)
    }
}

impl<'c, K, V> Locked<'_, '_, 'c, K, V> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn is_weighed(&self) -> bool {
        self.slots().has(SideWords::WEIGHT)
    }

    /// What an entry weighs.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn weight_of(&self, id: u32) -> u64 {
        if !self.is_weighed() {
            return 0;
        }
        // Relaxed: written under the lock that we hold.
        self.slots()
            .side(id, SideWords::WEIGHT)
            .load(Ordering::Relaxed)
    }

    /// Notes what an entry weighs whose id is about to be filed.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn set_weight(&self, id: u32, weight: u64) {
        if self.is_weighed() {
            let word = self.slots().side(id, SideWords::WEIGHT);
            // Relaxed: the lock orders it; who looks without it is a writer that found the id in the index.
            word.store(weight, Ordering::Relaxed);
        }
    }

    /// Whether there is room for what an entry weighs, in the place of `old`. What it needs is loose when that has left.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn has_room(&mut self, weight: u64, purse: u64, old: Option<u32>) -> bool {
        !self.is_weighed() || self.gain(weight, purse + old.map_or(0, |id| self.weight_of(id)))
    }

    /// Makes room for what the entry of a put weighs, where there is none.
    pub(super) fn make_room(
        &mut self,
        attempt: Attempt<'_, 'c>,
        lane: Option<Lane>,
    ) -> Result<Room<'c>, Refused> {
        let (weight, seen) = (attempt.terms.weight, attempt.seen);
        let mut room = Room {
            lane,
            token: attempt.token,
        };
        let Some(pool) = self.context.budget.weight() else {
            return Ok(room);
        };
        let old = seen.id().filter(|_| lane.is_some());
        let given = attempt.purse.unwrap_or(0) + old.map_or(0, |id| self.weight_of(id));
        let max = pool.max();
        if weight > max {
            return Err(Refused::TooHeavy);
        }
        if self.context.sweep {
            return Err(Refused::Sweep);
        }
        let pinned = old.filter(|&id| self.inner.is_pinned(id));
        let own = pinned.map_or(0, |id| self.weight_of(id));
        let others = pool.pinned().saturating_sub(own);
        if weight > max.saturating_sub(others) {
            return Err(Refused::Pinned);
        }
        // One that collects takes no more of this shard than of the others.
        let most = if attempt.purse.is_some() { 0 } else { OWN };
        let mut evicted = 0;
        while evicted < most {
            let Some(token) = self.evict_but(old) else {
                break;
            };
            evicted += 1;
            if lane.is_none() && room.token.is_none() {
                room.token = Some(token);
            }
            if self.gain(weight, given) {
                // An annex may have been replaced.
                room.lane = old.and_then(|id| self.lane_of(id));
                return Ok(room);
            }
        }
        Err(Refused::Heavy)
    }

    /// Whether there is as much as an entry weighs: given to it, loose, or taken from the pool now.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn gain(&mut self, weight: u64, given: u64) -> bool {
        let have = given + self.inner.loose;
        let short = weight.saturating_sub(have);
        let pool = self.context.budget.weight();
        let gained = short == 0 || pool.is_some_and(|pool| pool.take(short));
        if gained {
            self.inner.loose += short;
        }
        gained
    }

    /// Takes what an entry weighs: out of what is given to it, loose, or in the pool. Of what is given, the rest is loose after that.
    /// False if there is too little; then nothing has been taken.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn claim(&mut self, weight: u64, given: u64) -> bool {
        let have = given + self.inner.loose;
        if weight <= have {
            self.inner.loose = have - weight;
            return true;
        }
        let pool = self.context.budget.weight();
        let claimed = pool.is_some_and(|pool| pool.take(weight - have));
        if claimed {
            self.inner.loose = 0;
        }
        claimed
    }

    /// The same, for an entry that takes the place of another one, from which on that weighs nothing.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn exchange(&mut self, weight: u64, old: u32) -> bool {
        let given = self.weight_of(old);
        self.claim(weight, given)
    }

    /// Whether what a new entry weighs seems to be free. If not, others are to be evicted for it; refused if that must not be, or not yet.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn may_fit(&self, weight: u64) -> Result<bool, Refused> {
        let Some(pool) = self.context.budget.weight() else {
            return Ok(true);
        };
        if weight <= pool.free().saturating_add(self.inner.loose) {
            return Ok(true);
        }
        if weight > pool.max().saturating_sub(pool.pinned()) {
            return Err(Refused::Special);
        }
        if self.context.sweep {
            return Err(Refused::Sweep);
        }
        Ok(false)
    }

    /// Claims what a new entry weighs, for which one has been evicted, or a token was there, and that was not enough: evicts some more.
    /// If that will not do either, the entry's slot is left vacant.
    pub(super) fn evict_for(&mut self, weight: u64, vacant: u32) -> Result<(), Refused> {
        let mut refused = Refused::Heavy;
        for _ in 1..OWN {
            match self.may_fit(weight) {
                Ok(true) => {}
                Ok(false) => match self.evict::<Weighed>(None) {
                    Some(token) => drop(token),
                    None => break,
                },
                Err(other) => {
                    refused = other;
                    break;
                }
            }
            if self.claim(weight, 0) {
                return Ok(());
            }
        }
        self.vacate(vacant);
        Err(refused)
    }

    /// Leaves with the entry that has been published what it weighs; `purse` comes from its collector.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn spend(&mut self, weight: u64, purse: u64) {
        if self.is_weighed() {
            self.inner.loose = self.inner.loose + purse - weight;
        }
    }

    /// Gives back what is loose: at the end, before the lock is released.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn give_loose(&mut self) {
        let loose = std::mem::take(&mut self.inner.loose);
        if loose > 0
            && let Some(pool) = self.context.budget.weight()
        {
            pool.give(loose);
        }
    }

    /// Evicts some of the least recently used entries, but not `spare`, until they weighed as much as is `wanted`; returns what they
    /// weighed, up to that.
    pub(crate) fn give_weight(&mut self, wanted: u64, spare: Option<u32>) -> u64 {
        self.shed(SHARE as usize, wanted, spare)
    }

    /// Evicts up to `most` of the least recently used entries until they weighed as much as is `wanted`; returns what they weighed, up to
    /// that, which is out of the pool.
    pub(crate) fn shed_weight(&mut self, most: usize, wanted: u64) -> u64 {
        self.shed(most, wanted, None)
    }

    fn shed(&mut self, most: usize, wanted: u64, spare: Option<u32>) -> u64 {
        for _ in 0..most {
            if self.inner.loose >= wanted || self.evict_but(spare).is_none() {
                break;
            }
            self.drain(1);
        }
        let given = self.inner.loose.min(wanted);
        self.inner.loose -= given;
        given
    }

    /// Evicts up to `most` of the least recently used entries; returns how many, whose tokens are out of the pool.
    pub(crate) fn shed_keys(&mut self, most: usize) -> u64 {
        let tokens = (0..most).map_while(|_| self.give());
        tokens.map(Token::spend).count() as u64
    }

    /// How many entries could be evicted.
    pub(crate) fn len(&self) -> usize {
        self.inner.list.len()
    }

    /// Evicts the least recently used entry that is not `spare`, which counts as used if it is met, and returns its token.
    fn evict_but(&mut self, spare: Option<u32>) -> Option<Token<'c>> {
        if let Some(spare) = spare
            && self.victim() == Some(spare)
        {
            // Relaxed: recency orders nothing.
            let era = self.front.era.load(Ordering::Relaxed);
            let era = era.max(self.inner.list.era());
            self.slots().slot(spare).member.stamp.set_read(era);
            if self.victim() == Some(spare) {
                return None;
            }
        }
        self.evict::<Special>(None)
    }
}
