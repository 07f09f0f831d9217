//! One shard, with several readers inside it, against a map: what is in it, and what may be dropped when.
//!
//! All readers are records of one domain that this one thread enters and leaves as it likes; so every interleaving of whole
//! operations can be had, and repeated. (Interleavings inside operations are for the model checker.)

use super::ledger::{Ledger, Value};
use super::{Ops, sorted};
use crate::core::budget::{Budget, Token};
use crate::core::reclaim::{Domain, Pin};
use crate::core::shard::{Context, Refused, Seen};
use crate::core::{Entry, Fragment, Meta, NEVER, Shard};
use arbitrary::Arbitrary;
use std::collections::BTreeMap;
use std::rc::Rc;

const READERS: usize = 3;
const MOST_KEYS: u8 = 200;
/// How often to look again for what no reader holds up, and to ask again what an expiry got in the way of.
const PATIENCE: usize = 16;

/// A shard, its budget, and what happens to it.
#[derive(Debug, Arbitrary)]
pub struct Input {
    /// How many keys the shard expects, whatever the budget: other shards may leave it more.
    expected: u8,
    max_keys: u8,
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
    Put {
        reader: u8,
        key: u8,
        ttl: Option<u8>,
        sweep: bool,
    },
    PutMany(u8, u8),
    Remove(u8, u8),
    Evict,
    Expire(u8),
    ExpireOne(u8),
    Advance(u8),
    Clear,
    Collect(u8),
    /// Other shards take tokens, and give them back.
    TakeToken,
    ReturnToken,
}

impl Input {
    /// Compares.
    ///
    /// # Panics
    /// If the shard is wrong.
    pub fn run(self) {
        let domain = Domain::new();
        let budget = Budget::new(usize::from(self.max_keys % MOST_KEYS) + 1);
        let ledger = Rc::new(Ledger::default());
        let records: [_; READERS] = std::array::from_fn(|_| domain.lease());
        let pins = records
            .map(|record| -> Box<dyn Fn() -> Pin<'_> + '_> { Box::new(|| record.pin(&domain)) });
        let mut subject = Subject {
            shard: Shard::new(usize::from(self.expected) + 1),
            readers: pins.map(|pin| Reader { pin, visit: None }),
            domain: &domain,
            budget: &budget,
            ledger: Rc::clone(&ledger),
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
        assert_eq!(ledger.alive(), 0, "values are lost");
        records.map(|record| record.release());
    }
}

struct Reader<'d> {
    pin: Box<dyn Fn() -> Pin<'d> + 'd>,
    visit: Option<Visit<'d>>,
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
    shard: Shard<u8, Value>,
    readers: [Reader<'d>; READERS],
    domain: &'d Domain,
    budget: &'d Budget,
    ledger: Rc<Ledger>,
    hashes: Hashes,
    now: u64,
    /// How many operations may have changed the shard.
    changes: u64,
    /// Those that other shards have.
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
                let fragment = self.fragment(key);
                if let Some(visit) = &mut self.readers[usize::from(reader) % READERS].visit {
                    let (seen, _) = self.shard.look(&visit.pin, fragment, |&other| other == key);
                    visit.seen = Some((key, seen, self.changes));
                }
            }
            Op::Put {
                reader,
                key,
                ttl,
                sweep,
            } => self.put(reader, key, ttl, sweep),
            Op::PutMany(reader, key) => {
                (key..key.saturating_add(16)).for_each(|key| self.put(reader, key, None, false));
            }
            Op::Remove(reader, key) => self.remove(reader, key),
            Op::Evict => {
                let context = self.context();
                let mut writer = self.shard.lock(&context);
                let evicted = writer.evict().is_some();
                writer.finish().settle(self.domain);
                self.changes += 1;
                let gone = self.sync();
                assert_eq!(gone.len(), usize::from(evicted));
                assert_eq!(evicted, !(self.filed.is_empty() && gone.is_empty()));
            }
            Op::Expire(work) => self.expire(work.into()),
            Op::ExpireOne(work) => {
                let context = self.context();
                let mut writer = self.shard.lock(&context);
                let mut work = u32::from(work);
                let expired = writer.expire_one(&mut work).is_some();
                writer.finish().settle(self.domain);
                self.changes += 1;
                let gone = self.sync();
                assert_eq!(gone.len(), usize::from(expired));
                assert!(gone.iter().all(|it| it.deadline <= self.now));
            }
            Op::Advance(by) => self.now += u64::from(by),
            Op::Clear => {
                let context = self.context();
                let mut writer = self.shard.lock(&context);
                writer.clear();
                writer.finish().settle(self.domain);
                self.changes += 1;
                self.sync();
                assert!(self.filed.is_empty());
            }
            Op::Collect(quota) => {
                self.collect(quota.into());
            }
            Op::TakeToken => self.tokens.extend(self.budget.take()),
            Op::ReturnToken => drop(self.tokens.pop()),
        }
    }

    fn fragment(&self, key: u8) -> Fragment {
        let bits = match self.hashes {
            Hashes::Good => u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32,
            Hashes::Few => u64::from(key % 5) << (Fragment::BITS - 3),
            Hashes::One => 0,
        };
        Fragment::new(bits)
    }

    fn context<'c>(&self) -> Context<'c>
    where
        'd: 'c,
    {
        Context {
            domain: self.domain,
            budget: self.budget,
            now: self.now,
        }
    }

    fn read(&mut self, reader: u8, key: u8) {
        let fragment = self.fragment(key);
        let reader = &mut self.readers[usize::from(reader) % READERS];
        let lone;
        let (pin, held) = match &mut reader.visit {
            Some(visit) => (&visit.pin, Some(&mut visit.held)),
            None => {
                lone = (reader.pin)();
                (&lone, None)
            }
        };
        let hit = self.shard.find(pin, fragment, |&other| other == key);
        let serial = hit.as_ref().map(|hit| hit.entry.value.serial());
        assert_eq!(serial, self.filed.get(&key).map(|it| it.serial));
        if let Some(hit) = hit {
            self.shard.touch(pin, &hit);
            if let Some(held) = held {
                held.push((hit.entry, hit.entry.value.serial()));
            }
        }
    }

    fn put(&mut self, reader: u8, key: u8, ttl: Option<u8>, sweep: bool) {
        let deadline = ttl.map_or(NEVER, |ttl| self.now + u64::from(ttl.max(1)));
        let value = self.ledger.value();
        let serial = value.serial();
        let fragment = self.fragment(key);
        let mut entry = Some(Entry {
            meta: Meta::new(fragment, deadline),
            key,
            value,
        });
        let was_filed = self.filed.contains_key(&key);
        let context = self.context();
        for _ in 0..PATIENCE {
            let free = self.budget.max() - self.budget.used();
            let reader = &mut self.readers[usize::from(reader) % READERS];
            let (lone, seen, since);
            let pin = match &mut reader.visit {
                Some(visit) => {
                    let old = visit.seen.take().filter(|&(of, ..)| of == key);
                    (seen, since) = old.map_or_else(
                        || (look(&self.shard, &visit.pin, fragment, key), self.changes),
                        |(_, seen, changes)| (seen, changes),
                    );
                    &visit.pin
                }
                None => {
                    lone = (reader.pin)();
                    (seen, since) = (look(&self.shard, &lone, fragment, key), self.changes);
                    &lone
                }
            };
            let mut token = None;
            let mut writer = self.shard.lock(&context);
            let put = writer.put(pin, seen, &mut entry, &mut token, sweep);
            let leftovers = writer.finish();
            leftovers.settle(self.domain);
            assert_eq!(entry.is_none(), put.is_ok());
            let unchanged = since == self.changes;
            self.changes += 1;
            if put.is_ok() {
                self.filed.insert(key, Stored { serial, deadline });
            }
            let gone = self.sync();
            let now = self.now;
            let expired = gone.iter().filter(|it| it.deadline <= now).count();
            let evicted = gone.len() - expired;
            match put {
                Ok(()) => {
                    let room = was_filed || free > 0 || expired > 0;
                    assert!(evicted <= usize::from(!room), "evicted without need");
                    return;
                }
                Err(refused) => {
                    assert_eq!(evicted, 0);
                    match refused {
                        Refused::Raced => assert!(!unchanged || expired > 0, "raced with nobody"),
                        Refused::Sweep => assert!(sweep && free == 0 && expired == 0),
                        Refused::Empty => assert!(self.filed.is_empty() && free == 0),
                    }
                    if refused != Refused::Raced {
                        return;
                    }
                }
            }
        }
        panic!("raced too often");
    }

    fn remove(&mut self, reader: u8, key: u8) {
        let fragment = self.fragment(key);
        let context = self.context();
        let reader = &mut self.readers[usize::from(reader) % READERS];
        let (lone, seen, since);
        let old = reader.visit.as_mut().and_then(|visit| visit.seen.take());
        match old.filter(|&(of, ..)| of == key) {
            Some((_, old, changes)) => (seen, since) = (old, changes),
            None => {
                lone = (reader.pin)();
                (seen, since) = (look(&self.shard, &lone, fragment, key), self.changes);
            }
        }
        let before = self.filed.get(&key).copied();
        let mut writer = self.shard.lock(&context);
        let removed = writer.remove(seen);
        writer.finish().settle(self.domain);
        let unchanged = since == self.changes;
        self.changes += 1;
        let gone = self.sync();
        let expired = gone.iter().filter(|it| it.deadline <= self.now).count();
        match removed {
            Ok(alive) => {
                assert!(!self.filed.contains_key(&key), "still there");
                assert_eq!(alive, before.is_some_and(|it| it.deadline > self.now));
                assert_eq!(gone.len() - expired, usize::from(alive));
            }
            Err(refused) => {
                assert_eq!(refused, Refused::Raced);
                assert!(!unchanged || expired > 0, "raced with nobody");
                assert_eq!(gone.len(), expired);
            }
        }
    }

    fn expire(&mut self, work: u32) {
        let context = self.context();
        let mut writer = self.shard.lock(&context);
        let expired = writer.expire(work);
        writer.finish().settle(self.domain);
        self.changes += 1;
        let gone = self.sync();
        assert_eq!(gone.len(), expired);
        assert!(gone.iter().all(|it| it.deadline <= self.now));
    }

    fn collect(&mut self, quota: u32) -> bool {
        let context = self.context();
        let mut writer = self.shard.lock(&context);
        let more = writer.collect(quota);
        writer.finish().settle(self.domain);
        more
    }

    /// Takes over what the shard has left of the model; returns what is gone from it.
    fn sync(&mut self) -> Vec<Stored> {
        let pin = (self.readers[0].pin)();
        let mut found = BTreeMap::new();
        self.shard.for_each(&pin, |_, entry| {
            let before = found.insert(entry.key, entry.value.serial());
            assert_eq!(before, None, "a key is there twice");
        });
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
        self.shard.validate();
        let used = self.filed.len() + self.tokens.len();
        assert_eq!(self.budget.used(), used, "tokens");
        let earliest = self.filed.values().map(|it| it.deadline).min();
        if let Some(deadline) = earliest.filter(|&it| it != NEVER) {
            assert!(self.shard.due() <= deadline.max(self.now));
        }
        for visit in self.readers.iter().filter_map(|it| it.visit.as_ref()) {
            for &(entry, serial) in &visit.held {
                assert!(self.ledger.is_alive(serial), "dropped under a reader");
                // SAFETY: the slot lives as long as the shard, and that the entry in it lives as long as the pin, which is
                // in `visit`, is what the shard promises, and the line above has just checked.
                let value = unsafe { &(*entry).value };
                assert_eq!(value.serial(), serial, "overwritten under a reader");
            }
        }
    }

    /// When no reader is left, everything that left the shard can be dropped.
    fn end(&mut self) {
        for reader in &mut self.readers {
            reader.visit = None;
        }
        let patience = (0..PATIENCE).take_while(|_| self.collect(u32::MAX)).count();
        assert!(patience < PATIENCE, "not collected");
        self.check();
        assert_eq!(self.ledger.alive(), self.filed.len());
        let serials = self.filed.values().map(|it| it.serial);
        assert!(sorted(serials).iter().all(|&it| self.ledger.is_alive(it)));
    }
}

fn look(shard: &Shard<u8, Value>, pin: &Pin<'_>, fragment: Fragment, key: u8) -> Seen {
    shard.look(pin, fragment, |&other| other == key).0
}
