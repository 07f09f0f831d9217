//! The model: what each call does to it, and whether the cache is what it says.

use super::{KEYS, LIMBO, NEVER, Op, Stored, Subject, name, weigh};
use crate::cache::{Inserted, Refusal, Stats};
use crate::core::{Policy, RemovalCause};
use crate::time::Ttl;
use std::time::Duration;

impl Subject {
    /// The time of the cache's clock, rounded up, in milliseconds.
    pub(super) fn rounded_up(&self) -> u64 {
        self.nanos.div_ceil(1_000_000) + 1
    }

    /// Milliseconds of the cache's clock.
    pub(super) fn now(&self) -> u64 {
        self.nanos / 1_000_000 + 1
    }

    pub(super) fn advance(&mut self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.clock.advance(by);
        self.nanos = self.nanos.saturating_add(nanos);
        let now = self.now();
        let ended = |it: &mut Stored| it.deadline() != NEVER && it.deadline() <= now;
        self.ended += self.take_out_if(ended, RemovalCause::Expired);
    }

    /// Takes out some entries, and says how many.
    pub(super) fn take_out_if(
        &mut self,
        is_it: impl FnMut(&mut Stored) -> bool,
        cause: RemovalCause,
    ) -> u64 {
        let gone: Vec<Stored> = self.entries.extract_if(.., is_it).collect();
        for it in &gone {
            self.leaves(it.key, it.serial, cause);
        }
        gone.len() as u64
    }

    /// Whoever listens is to be told of it.
    pub(super) fn leaves(&mut self, key: u8, serial: u32, cause: RemovalCause) {
        if self.told.is_some() {
            let again = self.left.insert(serial, (key % KEYS, cause));
            assert_eq!(again, None);
        }
    }

    /// Nobody is told of what is given back, or returned, to who would have stored it.
    pub(super) fn comes_back(&mut self, refused: Option<u32>) {
        if let Some(serial) = refused {
            self.left.remove(&serial);
        }
    }

    /// Whoever listens has been told of all that has left, once, but of what has expired and has not been found yet.
    pub(super) fn check_told(&mut self) {
        let Some(told) = &self.told else {
            return;
        };
        for (key, serial, cause) in told.take() {
            let expected = self.left.remove(&serial);
            let expected = expected.map(|(key, cause)| (name(key), cause));
            assert_eq!(expected, Some((key, cause)), "told of {serial}");
        }
        let found = self.cache.len() == self.entries.len();
        for (serial, (_, cause)) in &self.left {
            let is_due = *cause == RemovalCause::Expired && !found;
            assert!(is_due, "not told of {serial}, {cause:?}");
        }
    }

    pub(super) fn find(&self, key: u8) -> Option<Stored> {
        let is_it = |it: &&Stored| it.key == key % KEYS;
        self.entries.iter().find(is_it).copied()
    }

    pub(super) fn get(&mut self, key: u8) -> Option<u32> {
        let Some(at) = self.entries.iter().position(|it| it.key == key % KEYS) else {
            self.stats.misses += 1;
            return None;
        };
        self.stats.hits += 1;
        let mut used = self.entries.remove(at);
        let restarted = self.idle_deadline();
        if restarted - used.idle.min(restarted) >= self.idle.map_or(1, |idle| (idle / 16).max(1)) {
            used.idle = restarted;
        }
        self.entries.push(used);
        Some(used.serial)
    }

    /// The idle deadline of what is used now.
    pub(super) fn idle_deadline(&self) -> u64 {
        let idle = self.idle.map(|idle| self.rounded_up() + idle);
        idle.map_or(NEVER, |deadline| deadline.min(NEVER))
    }

    /// When a lifetime ends that begins now; none where it does not begin.
    pub(super) fn limit(&self, ttl: Ttl) -> Option<u64> {
        match ttl {
            Ttl::Never => Some(NEVER),
            Ttl::After(Duration::ZERO) => None,
            Ttl::After(after) => {
                let millis = after.as_nanos().div_ceil(1_000_000);
                let deadline = (u128::from(self.rounded_up()) + millis).min(NEVER.into());
                Some(u64::try_from(deadline).expect("not more than NEVER"))
            }
        }
    }

    pub(super) fn remove_all_but(&mut self, keep: impl Fn(u32) -> bool) {
        self.stats.removals += self.take_out_if(|it| !keep(it.serial), RemovalCause::Removed);
    }

    pub(super) fn clear(&mut self) {
        self.stats.cleared += self.take_out_if(|_| true, RemovalCause::Cleared);
    }

    pub(super) fn remove(&mut self, key: u8) -> Option<u32> {
        let removed = self.take_out(key, RemovalCause::Removed);
        self.stats.removals += u64::from(removed.is_some());
        removed
    }

    pub(super) fn take_out(&mut self, key: u8, cause: RemovalCause) -> Option<u32> {
        let at = self.entries.iter().position(|it| it.key == key % KEYS)?;
        let serial = self.entries.remove(at).serial;
        self.leaves(key, serial, cause);
        Some(serial)
    }

    pub(super) fn insert(&mut self, key: u8, serial: u32, ttl: Ttl) -> Inserted {
        self.insert_as(key, serial, ttl, false)
    }

    pub(super) fn insert_as(
        &mut self,
        key: u8,
        serial: u32,
        ttl: Ttl,
        is_pinned: bool,
    ) -> Inserted {
        match self.limit(ttl) {
            Some(limit) => self.put(key, serial, limit, is_pinned),
            None => {
                self.remove(key);
                Inserted::Refused(Refusal::ZeroTtl)
            }
        }
    }

    pub(super) fn put(&mut self, key: u8, serial: u32, limit: u64, is_pinned: bool) -> Inserted {
        let key = key % KEYS;
        let weight = if self.is_weighed { weigh(serial) } else { 0 };
        let is_other = |it: &Stored| it.key != key;
        let before = self.find(key);
        let pinned = |it: &Stored| it.is_pinned && is_other(it);
        let pinned_keys = self.entries.iter().filter(|it| pinned(it)).count();
        let refusal = if weight > self.cache.max_weight() {
            Some(Refusal::TooHeavy)
        } else if weight + self.weight(pinned) > self.cache.max_weight()
            || pinned_keys == self.cache.max_keys()
        {
            Some(Refusal::Pinned)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.take_out(key, RemovalCause::Replaced);
            self.leaves(key, serial, RemovalCause::Refused);
            self.stats.refusals += 1;
            return Inserted::Refused(refusal);
        }
        let max_weight = self.cache.max_weight();
        let max_keys = self.cache.max_keys();
        self.evict(Some(key), |it| {
            let keys = it.entries.iter().filter(|it| is_other(it)).count();
            it.weight(is_other) + weight > max_weight || keys == max_keys
        });
        self.take_out(key, RemovalCause::Replaced);
        self.stats.inserts += 1;
        self.entries.push(Stored {
            key,
            serial,
            limit,
            idle: self.idle_deadline(),
            is_pinned,
        });
        match before {
            Some(_) => Inserted::Replaced,
            None => Inserted::Created,
        }
    }

    pub(super) fn unpin(&mut self, key: u8) -> bool {
        let is_it = |it: &Stored| it.key == key % KEYS && it.is_pinned;
        let Some(at) = self.entries.iter().position(is_it) else {
            return false;
        };
        let mut unpinned = self.entries.remove(at);
        unpinned.is_pinned = false;
        self.entries.push(unpinned);
        true
    }

    /// What some of the entries weigh.
    pub(super) fn weight(&self, of: impl Fn(&Stored) -> bool) -> u64 {
        if !self.is_weighed {
            return 0;
        }
        let entries = self.entries.iter().filter(|it| of(it));
        entries.map(|it| weigh(it.serial)).sum()
    }

    /// Takes out the entries that had to go, but not this key's, as long as there is too much.
    pub(super) fn evict(&mut self, spare: Option<u8>, is_too_much: impl Fn(&Self) -> bool) {
        while is_too_much(self) {
            let victim = self.victim(spare).expect("one can go");
            self.evict_this(victim);
        }
    }

    pub(super) fn evict_this(&mut self, victim: usize) {
        let victim = self.entries.remove(victim);
        self.leaves(victim.key, victim.serial, RemovalCause::Evicted);
        self.stats.evictions += 1;
        if self.is_weighed {
            self.stats.evicted_weight += weigh(victim.serial);
        }
        self.victims.push(victim);
    }

    /// A cache with several shards may have had less luck with what it evicted for an entry's weight; but the last one that it took out
    /// was needed. Not so if an operation has gone on after that.
    pub(super) fn settle(&mut self, op: Op) {
        if !self.is_exact() && self.is_weighed {
            let before = self.victims.len();
            while let Some(victim) = self.victim(None) {
                self.evict_this(victim);
            }
            let is_one = matches!(
                op,
                Op::Insert(_) | Op::InsertWithTtl(..) | Op::InsertPinned(_) | Op::Replace(_)
            );
            if self.victims.len() > before && is_one {
                let weight = self.weight(|_| true);
                let room = self.cache.max_weight() - weight;
                let mut victims = self.victims.iter();
                let was_needed = victims.any(|it| weigh(it.serial) > room);
                let is_full = self.entries.len() == self.cache.max_keys();
                assert!(was_needed || is_full, "evicted in vain");
            }
        }
        self.victims.clear();
    }

    /// Whether the model knows which entry goes.
    pub(super) fn is_exact(&self) -> bool {
        self.policy == Policy::Lru && self.cache.shards() == 1
    }

    /// An entry that had to go.
    pub(super) fn victim(&self, spare: Option<u8>) -> Option<usize> {
        let exact = self.is_exact();
        let gone = |it: &Stored| match self.updated {
            _ if exact => true,
            Some((key, went)) if key == it.key => went,
            _ => self.cache.peek(name(it.key).as_str()).is_none(),
        };
        let may_go = |it: &Stored| !it.is_pinned && Some(it.key) != spare;
        self.entries.iter().position(|it| may_go(it) && gone(it))
    }

    pub(super) fn check(&self) {
        for key in 0..KEYS {
            let found = self.cache.peek(name(key).as_str());
            let expected = self.find(key).map(|it| it.serial);
            assert_eq!(found.map(|it| it.serial()), expected, "key {key}");
        }
        let mut all: Vec<_> = self
            .cache
            .iter()
            .map(|(key, value)| (key, value.serial()))
            .collect();
        all.sort_unstable();
        let mut expected: Vec<_> = self
            .entries
            .iter()
            .map(|it| (name(it.key), it.serial))
            .collect();
        expected.sort_unstable();
        assert_eq!(all, expected);
        let pinned = self.entries.iter().filter(|it| it.is_pinned);
        for it in pinned {
            assert!(self.cache.is_pinned(name(it.key).as_str()));
        }
        let weight = self.cache.weight();
        assert!(self.weight(|_| true) <= weight && weight <= self.cache.max_weight());
        let len = self.cache.len();
        if len == self.entries.len() {
            assert_eq!(weight, self.weight(|_| true), "weight");
        }
        assert!(self.entries.len() <= len && len <= self.cache.max_keys());
        assert_eq!(self.cache.is_empty(), len == 0);
        let stats = self.cache.stats();
        // Each is counted once, when it leaves.
        let left = self.ended - (len - self.entries.len()) as u64;
        assert_eq!(stats.expirations, left, "expirations");
        let counted = Stats {
            expirations: 0,
            pending: 0,
            loads: self.stats.loads,
            ..stats
        };
        assert_eq!(counted, self.stats);
        assert_eq!(stats.loads.succeeded, self.loads);
        let waiting = self.ledger.alive() - len;
        assert_eq!(stats.pending, waiting as u64);
        assert!(
            waiting <= LIMBO * self.cache.shards(),
            "{waiting} not dropped"
        );
    }
}
