//! The LRU list against a vector in the order of the last use.

use super::{Ops, pick, sorted};
use crate::core::list::{EXACT, List, MARKS, Member, Members};
use arbitrary::Arbitrary;
use std::collections::HashSet;

/// How many entries one eviction looks at (`BOUND` in the list).
const LOOKS: usize = 128;
/// Entries in a list with marks: enough that evictions run into `LOOKS`.
const MOST: usize = 300;
/// How many ids are added at a time.
const MORE: usize = 8;

/// What a list expects, who reads it, and what happens to it.
#[derive(Debug, Arbitrary)]
pub struct Input {
    expected: u16,
    readers: Readers,
    ops: Ops<Op>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Readers {
    /// One thread: in an exact list each read begins an era.
    One,
    /// Several threads: a read stamps with the present era.
    Many,
    /// Several threads, some of which have read the era long ago, or raced for the next one.
    Late,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Op {
    Insert,
    InsertMany(u8),
    Read(u16),
    /// A read by a thread that the era has left behind, or that is ahead of the writers.
    ReadAt(u16, i8),
    /// What an update does: a new id takes the place of the old one.
    Replace(u16),
    Remove(u16),
    Evict,
    /// A victim that is not taken out after all.
    Victim,
}

impl Input {
    /// Compares.
    ///
    /// # Panics
    /// If the list is wrong.
    pub fn run(self) {
        let expected = usize::from(self.expected) % (2 * EXACT) + 1;
        let mut subject = Subject::new(expected, self.readers);
        for op in self.ops.0 {
            subject.apply(op);
            subject.check();
        }
        while !subject.uses.is_empty() {
            subject.evict();
            subject.check();
        }
        let era = subject.era;
        assert_eq!(subject.list.victim(|| era, &subject.slots), None);
    }
}

struct Slots(Vec<Member>);

impl Members for &Slots {
    fn member(&self, id: u32) -> &Member {
        &self.0[id as usize]
    }
}

struct Subject {
    list: List,
    slots: Slots,
    free: Vec<u32>,
    /// The era that readers stamp with, as in the front of a shard.
    era: u64,
    readers: Readers,
    most: usize,
    /// The model: entries and the eras of their last uses, the least recently used first.
    uses: Vec<(u32, u64)>,
    /// Entries that may have been read since they were linked.
    read: HashSet<u32>,
}

impl Subject {
    fn new(expected: usize, readers: Readers) -> Self {
        let list = List::new(expected);
        assert_eq!(list.is_exact(), expected <= EXACT);
        Self {
            era: list.era(),
            slots: Slots(Vec::new()),
            free: Vec::new(),
            readers,
            most: if list.is_exact() { EXACT } else { MOST },
            uses: Vec::new(),
            read: HashSet::new(),
            list,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Insert => self.insert(),
            Op::InsertMany(n) => (0..n % 64).for_each(|_| self.insert()),
            Op::Read(at) => self.read(at, 0),
            Op::ReadAt(at, by) => self.read(at, by),
            Op::Replace(at) => {
                if self.remove(at) {
                    self.insert();
                }
            }
            Op::Remove(at) => {
                self.remove(at);
            }
            Op::Evict => self.evict(),
            Op::Victim => {
                self.victim();
            }
        }
    }

    fn insert(&mut self) {
        if self.uses.len() == self.most {
            self.evict();
        }
        let id = self.free.pop().unwrap_or_else(|| self.fresh());
        let (era, member) = (self.era, &self.slots.0[id as usize]);
        if self.list.push_front((id, member), || era, &self.slots) {
            self.era = self.list.era();
        }
        self.uses.push((id, self.era));
    }

    fn fresh(&mut self) -> u32 {
        let id = self.slots.0.len() as u32;
        for _ in 0..MORE {
            self.slots.0.push(Member::new());
        }
        self.free.extend((id + 1..id + MORE as u32).rev());
        id
    }

    /// As `Shard::touch`.
    fn read(&mut self, at: u16, by: i8) {
        let Some(id) = self.at(at) else { return };
        let era = match self.readers {
            Readers::One if self.list.is_exact() => {
                self.era += 1;
                self.era
            }
            Readers::One | Readers::Many => self.era,
            Readers::Late => self.era.saturating_add_signed(by.into()),
        };
        if self.readers == Readers::Late && self.list.is_exact() {
            self.era = era;
        }
        (&self.slots).member(id).stamp.touch(era);
        self.read.insert(id);
        self.uses.retain(|&(other, _)| other != id);
        self.uses.push((id, era));
    }

    fn remove(&mut self, at: u16) -> bool {
        let Some(id) = self.at(at) else { return false };
        self.unlink(id);
        true
    }

    fn unlink(&mut self, id: u32) {
        let member = &self.slots.0[id as usize];
        self.list.unlink(member, &self.slots);
        self.free.push(id);
        self.read.remove(&id);
        self.uses.retain(|&(other, _)| other != id);
    }

    fn at(&self, at: u16) -> Option<u32> {
        pick(&self.uses, at.into()).map(|(id, _)| id)
    }

    fn evict(&mut self) {
        if let Some(id) = self.victim() {
            self.unlink(id);
        }
    }

    fn victim(&mut self) -> Option<u32> {
        let victim = self.list.victim(|| self.era, &self.slots);
        let Some(id) = victim else {
            assert!(self.uses.is_empty(), "no victim in a list with entries");
            return None;
        };
        let found = self.uses.iter().find(|&&(other, _)| other == id);
        let &(_, era) = found.expect("the victim is an entry of the list");
        if self.list.is_exact() && self.readers == Readers::One {
            assert_eq!(id, self.uses[0].0, "not the least recently used");
        }
        // An eviction that has looked at as many entries as it may takes what comes next.
        if self.readers != Readers::Late && self.read.len() < LOOKS {
            // What was last used before the oldest mark can be, is all one.
            let floor = if self.list.is_exact() {
                0
            } else {
                self.list.era().saturating_sub(u64::from(MARKS) - 1)
            };
            let oldest = self.uses.iter().map(|&(_, era)| era).min();
            let oldest = oldest.expect("there is at least the victim");
            assert!(
                era.max(floor) <= oldest.max(floor),
                "used in era {era}, but another was last used in era {oldest}"
            );
        }
        victim
    }

    fn check(&self) {
        self.list.validate(&self.slots);
        assert_eq!(self.list.len(), self.uses.len());
        let expected = sorted(self.uses.iter().map(|&(id, _)| id));
        assert_eq!(sorted(self.list.iter(&self.slots)), expected);
    }
}
