//! The naive twin of a cache with one shard.

use super::ops::{Bounds, Key, Life};
use nori_cache::{Inserted, Refusal, Ttl};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: u64,
    pub(crate) deadline: Option<u64>,
    pub(crate) idle: Option<u64>,
    pub(crate) is_pinned: bool,
}

impl Entry {
    fn end(&self) -> u64 {
        let ends = [self.deadline, self.idle];
        ends.into_iter().flatten().min().unwrap_or(u64::MAX)
    }
}

/// What an entry weighs, by its value.
pub(crate) fn weigh(value: u64) -> u64 {
    value * 7 % 24
}

/// What has become of a value that was to be stored, and the keys that had to go for it.
pub(crate) struct Put {
    pub(crate) inserted: Inserted,
    pub(crate) victims: Vec<Key>,
}

/// Least recently used first. Holds live entries only: what has expired makes room before anything live does, so it
/// never decides which live entry goes.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) bounds: Bounds,
    pub(crate) now: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) refusals: u64,
}

impl Model {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            now: 0,
            entries: Vec::new(),
            refusals: 0,
        }
    }

    pub(crate) fn find(&self, key: Key) -> Option<usize> {
        self.entries.iter().position(|e| e.key == key)
    }

    pub(crate) fn peek(&self, key: Key) -> Option<u64> {
        self.find(key).map(|i| self.entries[i].value)
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<u64> {
        let mut entry = self.remove(key)?;
        entry.idle = self.restarted(entry.idle, 16);
        self.entries.push(entry);
        Some(entry.value)
    }

    /// Unless less than this part of the idle time has passed since the last time.
    pub(crate) fn restarted(&self, last: Option<u64>, part: u64) -> Option<u64> {
        self.bounds.idle.map(|idle| {
            let (last, now) = (last.expect("the cache has an idle time"), self.now + idle);
            if now - last < (idle / part).max(1) {
                last
            } else {
                now
            }
        })
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<Entry> {
        self.find(key).map(|i| self.entries.remove(i))
    }

    /// What some of the entries weigh.
    pub(crate) fn weight(&self, of: impl Fn(&Entry) -> bool) -> u64 {
        if self.bounds.max_weight.is_none() {
            return 0;
        }
        let entries = self.entries.iter().filter(|it| of(it));
        entries.map(|it| weigh(it.value)).sum()
    }

    pub(crate) fn count(&self, of: impl Fn(&Entry) -> bool) -> usize {
        self.entries.iter().filter(|it| of(it)).count()
    }

    /// Stores an entry that is not pinned.
    pub(crate) fn put(&mut self, key: Key, value: u64, deadline: Option<u64>) -> Put {
        self.put_as(key, value, deadline, false)
    }

    /// What is in the way goes, least recently used first; but what is pinned stays, and what the new one replaces has its room for it.
    pub(crate) fn put_as(
        &mut self,
        key: Key,
        value: u64,
        deadline: Option<u64>,
        is_pinned: bool,
    ) -> Put {
        let max_weight = self.bounds.max_weight.unwrap_or(u64::MAX);
        let weight = self.bounds.max_weight.map_or(0, |_| weigh(value));
        let is_other = |it: &Entry| it.key != key;
        let stays = |it: &Entry| it.is_pinned && is_other(it);
        let refusal = if weight > max_weight {
            Some(Refusal::TooHeavy)
        } else if weight + self.weight(stays) > max_weight
            || self.count(stays) == self.bounds.max_keys
        {
            Some(Refusal::Pinned)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.remove(key);
            self.refusals += 1;
            return Put {
                inserted: Inserted::Refused(refusal),
                victims: Vec::new(),
            };
        }
        let victims = self.evict(Some(key), |it| {
            it.weight(is_other) + weight > max_weight || it.count(is_other) == it.bounds.max_keys
        });
        let inserted = match self.remove(key) {
            Some(_) => Inserted::Replaced,
            None => Inserted::Created,
        };
        self.entries.push(Entry {
            key,
            value,
            deadline,
            idle: self.bounds.idle.map(|idle| self.now + idle),
            is_pinned,
        });
        Put { inserted, victims }
    }

    /// Takes out the least recently used entries that may go, but not `spare`, as long as there is too much.
    fn evict(&mut self, spare: Option<Key>, is_too_much: impl Fn(&Self) -> bool) -> Vec<Key> {
        let mut victims = Vec::new();
        while is_too_much(self) {
            let may_go = |it: &Entry| !it.is_pinned && Some(it.key) != spare;
            let victim = self.entries.iter().position(may_go);
            let victim = self.entries.remove(victim.expect("one can go"));
            victims.push(victim.key);
        }
        victims
    }

    /// Changes the bounds, if what is pinned allows them; returns what had to go.
    pub(crate) fn resize(&mut self, bounds: Bounds) -> Option<Vec<Key>> {
        let is_pinned = |it: &Entry| it.is_pinned;
        let max_weight = bounds.max_weight.unwrap_or(u64::MAX);
        if self.count(is_pinned) > bounds.max_keys || self.weight(is_pinned) > max_weight {
            return None;
        }
        self.bounds = bounds;
        Some(self.evict(None, |it| {
            it.entries.len() > bounds.max_keys || it.weight(|_| true) > max_weight
        }))
    }

    /// Counts as a use. False if it was not pinned.
    pub(crate) fn unpin(&mut self, key: Key) -> bool {
        let Some(at) = self.find(key).filter(|&at| self.entries[at].is_pinned) else {
            return false;
        };
        let mut entry = self.entries.remove(at);
        entry.is_pinned = false;
        self.entries.push(entry);
        true
    }

    /// The deadline of something stored now; `None` for what is not to be stored.
    pub(crate) fn deadline(&self, life: Option<Life>) -> Option<Option<u64>> {
        match life {
            None => Some(None),
            Some(Life(0)) => None,
            Some(Life(ms)) => Some(Some(self.now + u64::from(ms))),
        }
    }

    pub(crate) fn insert(&mut self, key: Key, value: u64, life: Option<Life>) -> Put {
        self.insert_as(key, value, life, false)
    }

    pub(crate) fn insert_as(
        &mut self,
        key: Key,
        value: u64,
        life: Option<Life>,
        is_pinned: bool,
    ) -> Put {
        match self.deadline(life) {
            Some(deadline) => self.put_as(key, value, deadline, is_pinned),
            None => {
                self.remove(key);
                Put {
                    inserted: Inserted::Refused(Refusal::ZeroTtl),
                    victims: Vec::new(),
                }
            }
        }
    }

    pub(crate) fn advance(&mut self, ms: u32) {
        self.now += u64::from(ms);
        let now = self.now;
        self.entries.retain(|e| e.end() > now);
    }

    pub(crate) fn remaining(&self, key: Key) -> Option<Ttl> {
        self.find(key).map(|i| match self.entries[i].end() {
            u64::MAX => Ttl::Never,
            at => Ttl::After(Duration::from_millis(at - self.now)),
        })
    }

    pub(crate) fn contents(&self) -> Vec<(Key, u64)> {
        sorted(self.entries.iter().map(|e| (e.key, e.value)))
    }
}

pub(crate) fn sorted(entries: impl Iterator<Item = (Key, u64)>) -> Vec<(Key, u64)> {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable();
    entries
}
