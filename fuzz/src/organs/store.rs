//! The store, its shards and their reclamation, with several readers inside it, against a map: what is in it, and what may
//! be dropped when.
//!
//! All readers are records of one domain that this one thread enters and leaves as it likes; so every interleaving of whole
//! operations can be had, and repeated. (Interleavings inside operations are for the model checker.)

use super::Ops;
use super::ledger::{Ledger, Value};
use crate::core::budget::Token;
use crate::core::entry::Entry;
use crate::core::garbage::Garbage;
use crate::core::reclaim::{Domain, Pin};
use crate::core::shard::{Context, Locked, Seen};
use crate::core::{NEVER, Plan, Policy, Route, Store, Terms, Write};
use arbitrary::Arbitrary;
use std::collections::BTreeMap;
use std::rc::Rc;

const READERS: usize = 3;
/// So few that one sweep of all wheels reaches every expired entry.
const MOST_KEYS: u8 = 128;
const MOST_SHARDS_LOG2: u8 = 3;
/// How often to ask again what an expiry or growth got in the way of.
const PATIENCE: usize = 16;

/// A store, and what happens to it.
#[derive(Debug, Arbitrary)]
pub struct Input {
    max_keys: u8,
    shards: u8,
    adaptive: bool,
    /// Different keys in use: with few, readers and writers meet.
    keys: u8,
    hashes: Hashes,
    ops: Ops<Op>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Hashes {
    Good,
    Few,
    One,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Op {
    Enter(u8),
    Leave(u8),
    /// The entry that is found stays readable until the reader leaves.
    Read(u8, u8),
    /// What the reader sees of the key is what a later write of its goes by.
    Look(u8, u8),
    Put(u8, u8, Option<u8>),
    PutMany(u8, u8),
    Remove(u8, u8),
    /// These two on one shard, as when another needs a token.
    Evict(u8),
    ExpireOne(u8, u8),
    Advance(u8),
    Clear,
    Purge,
    /// As many entries of one shard as this are dropped, if no reader minds.
    Collect(u8, u8),
    /// Threads that are about to publish an entry hold tokens.
    TakeToken,
    ReturnToken,
}

impl Input {
    /// Compares.
    ///
    /// # Panics
    /// If the store is wrong.
    pub fn run(self) {
        let domain = &Domain::new();
        let max_keys = usize::from(self.max_keys % MOST_KEYS) + 1;
        let shards = 1 << (self.shards % (MOST_SHARDS_LOG2 + 1));
        let policy = if self.adaptive {
            Policy::Adaptive
        } else {
            Policy::Lru
        };
        let shards = shards.min(max_keys.next_power_of_two());
        let store = Store::with(Plan {
            policy,
            ..Plan::plain(max_keys, shards)
        });
        let ledger = Rc::new(Ledger::default());
        let records: [_; READERS] = std::array::from_fn(|_| domain.lease());
        let readers = records.map(|record| Reader::new(move || record.pin(domain)));
        let mut subject = Subject {
            store: &store,
            readers,
            domain,
            ledger: Rc::clone(&ledger),
            keys: self.keys.max(1),
            hashes: self.hashes,
            now: 1,
            changes: 0,
            tokens: Vec::new(),
            filed: BTreeMap::new(),
        };
        for op in self.ops.0 {
            subject.apply(op);
            subject.check();
        }
        subject.end();
        drop(subject);
        drop(store);
        assert_eq!(ledger.alive(), 0, "values are lost");
        records.iter().for_each(|record| domain.release(record));
    }
}

struct Reader<'d> {
    pin: Box<dyn Fn() -> Pin<'d> + 'd>,
    visit: Option<Visit<'d>>,
}

impl<'d> Reader<'d> {
    fn new(pin: impl Fn() -> Pin<'d> + 'd) -> Self {
        Self {
            pin: Box::new(pin),
            visit: None,
        }
    }
}

/// What a reader has from when it entered to when it leaves.
struct Visit<'d> {
    pin: Pin<'d>,
    /// A key, what was seen of it, and how many changes there had been.
    seen: Option<(u8, Seen, u64)>,
    /// Entries that were found, and the serial number of each.
    held: Vec<(*const Entry<u8, Value>, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    serial: u32,
    deadline: u64,
}

struct Subject<'d> {
    store: &'d Store<u8, Value>,
    readers: [Reader<'d>; READERS],
    domain: &'d Domain,
    ledger: Rc<Ledger>,
    keys: u8,
    hashes: Hashes,
    now: u64,
    /// How many operations may have changed the store.
    changes: u64,
    /// Those that other threads have.
    tokens: Vec<Token<'d>>,
    /// The model.
    filed: BTreeMap<u8, Stored>,
}

impl<'d> Subject<'d> {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Enter(reader) => {
                let Reader { pin, visit } = &mut self.readers[usize::from(reader) % READERS];
                visit.get_or_insert_with(|| Visit {
                    pin: pin(),
                    seen: None,
                    held: Vec::new(),
                });
            }
            Op::Leave(reader) => {
                self.readers[usize::from(reader) % READERS].visit = None;
            }
            Op::Read(reader, key) => self.read(reader, key),
            Op::Look(reader, key) => {
                let key = key % self.keys;
                let route = self.route(key);
                if let Some(visit) = &mut self.readers[usize::from(reader) % READERS].visit {
                    let seen = look(self.store, &visit.pin, route, key);
                    visit.seen = Some((key, seen, self.changes));
                }
            }
            Op::Put(reader, key, ttl) => self.put(reader, key, ttl),
            Op::PutMany(reader, key) => {
                (key..key.saturating_add(16)).for_each(|key| self.put(reader, key, None));
            }
            Op::Remove(reader, key) => self.remove(reader, key),
            Op::Evict(shard) => {
                let evicted = self.write(shard, |locked| locked.give().is_some());
                assert_eq!(self.sync().len(), usize::from(evicted));
            }
            Op::ExpireOne(shard, work) => {
                let mut work = work.into();
                let expired = self.write(shard, |locked| locked.expire_one(&mut work).is_some());
                let gone = self.sync();
                assert_eq!(gone.len(), usize::from(expired));
                assert!(gone.iter().all(|it| it.deadline <= self.now));
            }
            Op::Advance(by) => self.now += u64::from(by),
            Op::Clear => {
                self.store.clear(&self.context());
                self.changes += 1;
                self.sync();
                assert!(self.filed.is_empty());
            }
            Op::Purge => self.purge(),
            Op::Collect(shard, quota) => {
                let shards = self.store.shards();
                let shard = &shards[usize::from(shard) % shards.len()];
                shard.collect(&self.context(), &mut Garbage::none(), quota.into());
                self.changes += 1;
                assert!(self.sync().is_empty());
            }
            // One at least must be had, or be an entry's.
            Op::TakeToken if self.tokens.len() + 1 < self.store.max_keys() => {
                self.tokens.extend(self.context().budget.keys.token());
            }
            Op::TakeToken => {}
            Op::ReturnToken => drop(self.tokens.pop()),
        }
    }

    fn route(&self, key: u8) -> Route {
        Route::new(match self.hashes {
            Hashes::Good => u64::from(key),
            Hashes::Few => u64::from(key % 5),
            Hashes::One => 0,
        })
    }

    fn context<'c>(&self) -> Context<'c>
    where
        'd: 'c,
    {
        self.store.context(self.domain, self.now)
    }

    fn write<R>(
        &mut self,
        shard: u8,
        write: impl FnOnce(&mut Locked<'_, '_, '_, u8, Value>) -> R,
    ) -> R {
        let context = self.context();
        let shards = self.store.shards();
        let shard = &shards[usize::from(shard) % shards.len()];
        let result = shard.locked(&context, &mut Garbage::none(), write);
        self.changes += 1;
        result
    }

    fn read(&mut self, reader: u8, key: u8) {
        let key = key % self.keys;
        let route = self.route(key);
        let reader = &mut self.readers[usize::from(reader) % READERS];
        let lone;
        let (pin, held) = match &mut reader.visit {
            Some(visit) => (&visit.pin, Some(&mut visit.held)),
            None => {
                lone = (reader.pin)();
                (&lone, None)
            }
        };
        let hit = self.store.find(pin, route, |&other| other == key);
        let serial = hit.as_ref().map(|hit| hit.entry.value.serial());
        assert_eq!(serial, self.filed.get(&key).map(|it| it.serial));
        if let Some(hit) = hit {
            self.store.touch(pin, route, &hit);
            if let Some(held) = held {
                held.push((hit.entry, hit.entry.value.serial()));
            }
        }
    }

    fn put(&mut self, reader: u8, key: u8, ttl: Option<u8>) {
        let key = key % self.keys;
        let deadline = ttl.map_or(NEVER, |ttl| self.now + u64::from(ttl.max(1)));
        let route = self.route(key);
        // Growth moves places in the index, and of keys that collide the writer asks to look again.
        let mut grown = false;
        for _ in 0..PATIENCE {
            let value = self.ledger.value();
            let serial = value.serial();
            let was_filed = self.filed.contains_key(&key);
            let room = self.store.max_keys() - self.store.len() > 0
                || self.filed.values().any(|it| it.deadline <= self.now);
            let reader = &mut self.readers[usize::from(reader) % READERS];
            let mut write = Write::new(self.store, self.domain, (reader.pin)(), self.now);
            let old = reader.visit.as_mut().and_then(|visit| visit.seen.take());
            let (seen, since) = match old.filter(|&(of, ..)| of == key) {
                Some((_, old, changes)) => (old, changes),
                None => (write.look(route, |&other| other == key), self.changes),
            };
            // Not once more by itself: whatever the key has now does not stand.
            let put = write.put(seen, (deadline, key, value), Terms::PLAIN, |_| false);
            let put = put.is_ok();
            drop(write);
            let unchanged = since == self.changes;
            self.changes += 1;
            if put {
                self.filed.insert(key, Stored { serial, deadline });
            }
            let gone = self.sync();
            let now = self.now;
            let expired = gone.iter().filter(|it| it.deadline <= now).count();
            let evicted = gone.len() - expired;
            let needed = put && !was_filed && !room;
            assert_eq!(evicted, usize::from(needed), "evictions");
            if put {
                return;
            }
            let for_nothing = unchanged && expired == 0;
            assert!(!(for_nothing && grown), "raced with nobody");
            grown |= for_nothing;
        }
        panic!("raced too often");
    }

    fn remove(&mut self, reader: u8, key: u8) {
        let key = key % self.keys;
        let route = self.route(key);
        let reader = &mut self.readers[usize::from(reader) % READERS];
        let mut write = Write::new(self.store, self.domain, (reader.pin)(), self.now);
        // Its place in the index may be out of date, not the entry: that stays the same for as long as the pin.
        let old = reader.visit.as_mut().and_then(|visit| visit.seen.take());
        let (seen, since) = match old.filter(|&(of, ..)| of == key) {
            Some((_, old, changes)) => (old, changes),
            None => (write.look(route, |&other| other == key), self.changes),
        };
        let before = self.filed.get(&key).copied();
        let removed = write.remove_seen(seen);
        drop(write);
        let unchanged = since == self.changes;
        self.changes += 1;
        let gone = self.sync();
        let expired = gone.iter().filter(|it| it.deadline <= self.now).count();
        match removed {
            Some(alive) => {
                assert!(!self.filed.contains_key(&key), "still there");
                assert_eq!(alive, before.is_some_and(|it| it.deadline > self.now));
                assert_eq!(gone.len() - expired, usize::from(alive));
            }
            None => {
                assert!(!unchanged || expired > 0, "raced with nobody");
                assert_eq!(gone.len(), expired);
            }
        }
    }

    fn purge(&mut self) {
        let purged = self.store.purge_expired(&self.context());
        self.changes += 1;
        let gone = self.sync();
        assert_eq!(gone.len(), purged);
        assert!(gone.iter().all(|it| it.deadline <= self.now));
        assert!(self.filed.values().all(|it| it.deadline > self.now));
    }

    /// Takes over what the store has left of the model; returns what is gone from it.
    fn sync(&mut self) -> Vec<Stored> {
        let pin = (self.readers[0].pin)();
        let mut found = BTreeMap::new();
        for shard in 0..self.store.shards().len() {
            self.store.for_each(&pin, shard, |hit| {
                let entry = hit.entry;
                let before = found.insert(entry.key, entry.value.serial());
                assert_eq!(before, None, "a key is there twice");
            });
        }
        for (key, serial) in &found {
            let expected = self.filed.get(key).map(|it| it.serial);
            assert_eq!(expected, Some(*serial), "what key {key} has");
        }
        self.filed
            .extract_if(.., |key, _| !found.contains_key(key))
            .map(|(_, stored)| stored)
            .collect()
    }

    fn check(&self) {
        self.store.validate();
        let used = self.filed.len() + self.tokens.len();
        assert_eq!(self.store.len(), used, "tokens");
        let earliest = self.filed.values().map(|it| it.deadline).min();
        if let Some(deadline) = earliest.filter(|&it| it != NEVER) {
            let due = self.store.shards().iter().map(|it| it.due()).min();
            assert!(due <= Some(deadline.max(self.now)));
        }
        for visit in self.readers.iter().filter_map(|it| it.visit.as_ref()) {
            for &(entry, serial) in &visit.held {
                assert!(self.ledger.is_alive(serial), "dropped under a reader");
                // SAFETY: the slot lives as long as the store, and that the entry in it lives as long as the pin, which is
                // in `visit`, is what the store promises, and the line above has just checked.
                let value = unsafe { &(*entry).value };
                assert_eq!(value.serial(), serial, "overwritten under a reader");
            }
        }
    }

    /// When no reader is left, everything that left the store can be dropped.
    fn end(&mut self) {
        for reader in &mut self.readers {
            reader.visit = None;
        }
        self.purge();
        self.check();
        assert_eq!(self.ledger.alive(), self.filed.len());
    }
}

fn look(store: &Store<u8, Value>, pin: &Pin<'_>, route: Route, key: u8) -> Seen {
    store.look(pin, route, |&other| other == key)
}
