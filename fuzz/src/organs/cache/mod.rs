//! The whole cache against a naive LRU with times to live, call by call.
//!
//! With one shard of an LRU every answer must be the model's. With several, or another policy, the choice of the victims is the
//! cache's own, and all else must be the model's: which entries live, that none is evicted while there is room or an expired one, and the counts.
//! Half of the caches weigh their entries, and half have a listener, which is told of each that leaves, once.

mod snapshots;

use super::Ops;
use super::ledger::{Ledger, Value};
use crate::cache::{Cache, Inserted, Refusal, Stats, Update};
use crate::core::{Policy, RemovalCause};
use crate::error::Error;
use crate::time::{ManualClock, Ttl};
use arbitrary::Arbitrary;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::mem;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const MOST_KEYS: usize = 64;
/// Different keys in use: more than fit in.
const KEYS: u8 = 96;
/// The deadline that counts as never, in milliseconds of the cache's clock.
const NEVER: u64 = (1 << 38) - 1;
/// What an entry weighs is below this.
const HEAVIEST: u64 = 24;
/// Entries that have left a shard and are not dropped yet, at most: a few small batches.
const LIMBO: usize = 64;

/// A cache, and what is called.
#[derive(Debug, Arbitrary)]
pub struct Input {
    max_keys: u8,
    shards: u8,
    adaptive: bool,
    /// Whether somebody is told of what leaves.
    listens: bool,
    /// If it is odd.
    max_weight: u8,
    default_ttl: Life,
    /// No idle time, or so many milliseconds.
    idle: Option<u16>,
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
enum Life {
    Never,
    Zero,
    Nanos(u32),
    Millis(u8),
    Seconds(u64),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Op {
    Insert(u8),
    InsertWithTtl(u8, Life),
    InsertPinned(u8),
    Unpin(u8),
    SetMaxKeys(u8),
    SetMaxWeight(u8),
    Get(u8),
    GetMany(u8, u8, u8),
    Peek(u8),
    ContainsKey(u8),
    Ttl(u8),
    Remove(u8),
    Take(u8),
    Update(u8, Change),
    SetTtl(u8, Life),
    Touch(u8),
    /// The closure inserts another key, or removes one, the first time it runs.
    UpdateNested(u8, Change, u8, bool),
    /// The closure does so, and looks at its value after that.
    GetWithNested(u8, Nested),
    Retain(u8, u8),
    InvalidateIf(u8),
    InsertIfAbsent(u8),
    Replace(u8),
    RemoveIf(u8, bool),
    Drain(u8),
    Load(u8, Life),
    /// The loader writes that key before it returns.
    LoadNested(u8, Nested),
    LoadFails(u8),
    Clear,
    PurgeExpired,
    /// Another cache with so much room restores it.
    Snapshot(u8),
    /// With this byte changed so, or cut there.
    DamagedSnapshot(u16, u8),
    AdvanceNanos(u32),
    AdvanceMillis(u8),
    Advance(u64),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Change {
    Keep,
    Set,
    SetWithTtl(Life),
    Remove,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Nested {
    Insert(u8),
    Remove(u8),
    Get(u8),
    Clear,
}

impl Life {
    fn ttl(self) -> Ttl {
        match self {
            Self::Never => Ttl::Never,
            Self::Zero => Ttl::After(Duration::ZERO),
            Self::Nanos(nanos) => Ttl::After(Duration::from_nanos(nanos.into())),
            Self::Millis(millis) => Ttl::After(Duration::from_millis(millis.into())),
            Self::Seconds(seconds) => Ttl::After(Duration::from_secs(seconds)),
        }
    }
}

impl Input {
    /// Compares.
    ///
    /// # Panics
    /// If the cache is wrong.
    pub fn run(self) {
        let max_keys = usize::from(self.max_keys) % (MOST_KEYS + 1);
        // Half of the caches have one shard; of the others some have a number that is not allowed.
        let shards = if self.shards < 128 {
            1
        } else {
            usize::from(self.shards) % 18
        };
        let clock = ManualClock::new();
        let ttl = self.default_ttl.ttl();
        let policy = if self.adaptive {
            Policy::Adaptive
        } else {
            Policy::Lru
        };
        let idle = self.idle.map(u64::from);
        let idle = idle.map_or(Ttl::Never, |millis| Duration::from_millis(millis).into());
        let cache = Cache::builder()
            .max_keys(max_keys)
            .shards(shards)
            .policy(policy)
            .ttl(ttl)
            .time_to_idle(idle)
            .hasher(Hasher::new(self.hashes))
            .clock(clock.clone());
        let max_weight = (self.max_weight & 1 == 1).then_some(u64::from(self.max_weight));
        let cache = match max_weight {
            Some(max_weight) => cache
                .max_weight(max_weight)
                .weigher(|_, value: &Value| weigh(value.serial())),
            None => cache,
        };
        let told = Told::default();
        let cache = if self.listens {
            let told = told.clone();
            cache.on_removal(move |key: &String, value: &Value, cause| {
                told.add(key, value.serial(), cause);
            })
        } else {
            cache
        };
        let cache = cache.build();
        let allowed = max_keys > 0
            && shards.is_power_of_two()
            && shards <= max_keys.next_power_of_two()
            && ![ttl, idle].contains(&Ttl::After(Duration::ZERO));
        let cache = match cache {
            Ok(cache) => cache,
            Err(error) => {
                assert!(!allowed && error.is_invalid_config(), "{error}");
                return;
            }
        };
        assert!(allowed);
        assert_eq!((cache.max_keys(), cache.shards()), (max_keys, shards));
        assert_eq!(cache.max_weight(), max_weight.unwrap_or(u64::MAX));
        let ledger = Rc::new(Ledger::default());
        let mut subject = Subject {
            cache,
            policy,
            clock,
            ttl,
            idle: self.idle.map(u64::from),
            is_weighed: max_weight.is_some(),
            updated: None,
            victims: Vec::new(),
            nanos: 0,
            ledger: Rc::clone(&ledger),
            entries: Vec::new(),
            stats: Stats::default(),
            ended: 0,
            loads: 0,
            left: HashMap::new(),
            told: self.listens.then_some(told),
        };
        for op in self.ops.0 {
            subject.apply(op);
            subject.settle(op);
            subject.check();
            subject.check_told();
        }
        drop(subject);
        assert_eq!(ledger.alive(), 0, "values are lost");
    }
}

/// A hasher without a random seed, that may be a bad one.
#[derive(Debug, Clone)]
struct Hasher {
    good: ahash::RandomState,
    mask: u64,
}

impl Hasher {
    fn new(hashes: Hashes) -> Self {
        Self {
            good: ahash::RandomState::with_seeds(1, 2, 3, 4),
            mask: match hashes {
                Hashes::Good => u64::MAX,
                Hashes::Few => 3,
                Hashes::One => 0,
            },
        }
    }
}

impl BuildHasher for Hasher {
    type Hasher = Masked;

    fn build_hasher(&self) -> Masked {
        Masked(self.good.build_hasher(), self.mask)
    }
}

struct Masked(ahash::AHasher, u64);

impl std::hash::Hasher for Masked {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finish() & self.1
    }
}

/// What a listener has been told.
#[derive(Debug, Clone, Default)]
struct Told(Arc<Mutex<Vec<(String, u32, RemovalCause)>>>);

impl Told {
    fn add(&self, key: &str, serial: u32, cause: RemovalCause) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.push((key.to_owned(), serial, cause));
    }

    fn take(&self) -> Vec<(String, u32, RemovalCause)> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Subjects = Cache<String, Value, Hasher>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored {
    key: u8,
    serial: u32,
    /// When it goes however often it is read.
    limit: u64,
    /// When it goes if it is not; never where there is no idle time.
    idle: u64,
    is_pinned: bool,
}

impl Stored {
    fn deadline(self) -> u64 {
        self.limit.min(self.idle)
    }
}

fn weigh(serial: u32) -> u64 {
    u64::from(serial) * 7 % HEAVIEST
}

struct Subject {
    cache: Subjects,
    policy: Policy,
    clock: ManualClock,
    ttl: Ttl,
    idle: Option<u64>,
    is_weighed: bool,
    /// The key of the update that is going on, and whether it is what an insertion inside has evicted.
    updated: Option<(u8, bool)>,
    /// What had to go in this operation.
    victims: Vec<Stored>,
    nanos: u64,
    ledger: Rc<Ledger>,
    /// The model: live entries, the least recently used first.
    entries: Vec<Stored>,
    /// Without `expirations`: which entries are taken out when is the cache's affair.
    stats: Stats,
    /// How many entries have expired.
    ended: u64,
    /// How many loaders have returned a value.
    loads: u64,
    /// What has left, or never came in, and why, of which nobody has been told yet: by its serial.
    left: HashMap<u32, (u8, RemovalCause)>,
    told: Option<Told>,
}

fn name(key: u8) -> String {
    format!("user:{:02}", key % KEYS)
}

impl Subject {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Insert(key) => {
                let value = self.ledger.value();
                let serial = value.serial();
                let inserted = self.cache.insert(name(key), value);
                assert_eq!(inserted, self.insert(key, serial, self.ttl));
            }
            Op::InsertWithTtl(key, life) => {
                let value = self.ledger.value();
                let serial = value.serial();
                let inserted = self.cache.insert_with_ttl(name(key), value, life.ttl());
                assert_eq!(inserted, self.insert(key, serial, life.ttl()));
            }
            Op::InsertPinned(key) => {
                let value = self.ledger.value();
                let serial = value.serial();
                let inserted = self.cache.insert_pinned(name(key), value);
                assert_eq!(inserted, self.insert_as(key, serial, self.ttl, true));
            }
            Op::Unpin(key) => {
                let unpinned = self.cache.unpin(name(key).as_str());
                assert_eq!(unpinned, self.unpin(key));
            }
            Op::SetMaxKeys(max_keys) => {
                let max_keys = usize::from(max_keys) % (MOST_KEYS + 1);
                let pinned = self.entries.iter().filter(|it| it.is_pinned).count();
                let before = self.cache.max_keys();
                let resized = self.cache.set_max_keys(max_keys);
                assert_eq!(resized.is_ok(), max_keys > 0 && max_keys >= pinned);
                let expected = if resized.is_ok() { max_keys } else { before };
                assert_eq!(self.cache.max_keys(), expected);
                self.evict(None, |it| it.entries.len() > expected);
            }
            Op::SetMaxWeight(max_weight) => {
                let max_weight = u64::from(max_weight);
                let before = self.cache.max_weight();
                let resized = self.cache.set_max_weight(max_weight);
                let fits = max_weight >= self.weight(|it| it.is_pinned);
                assert_eq!(resized.is_ok(), self.is_weighed && max_weight > 0 && fits);
                let expected = if resized.is_ok() { max_weight } else { before };
                assert_eq!(self.cache.max_weight(), expected);
                self.evict(None, |it| it.weight(|_| true) > expected);
            }
            Op::Get(key) => {
                let found = self.cache.get(name(key).as_str());
                assert_eq!(found.map(|it| it.serial()), self.get(key));
            }
            Op::GetMany(start, step, n) => {
                let keys: Vec<u8> = (0..n)
                    .map(|i| start.wrapping_add(step.wrapping_mul(i)))
                    .collect();
                let names: Vec<String> = keys.iter().map(|&key| name(key)).collect();
                let found = self.cache.get_many(names.iter().map(String::as_str));
                let found: Vec<_> = found
                    .into_iter()
                    .map(|it| it.map(|it| it.serial()))
                    .collect();
                let expected: Vec<_> = keys.iter().map(|&key| self.get(key)).collect();
                assert_eq!(found, expected);
            }
            Op::Peek(key) => {
                let found = self.cache.peek(name(key).as_str());
                let expected = self.find(key).map(|it| it.serial);
                assert_eq!(found.map(|it| it.serial()), expected);
            }
            Op::ContainsKey(key) => {
                let found = self.cache.contains_key(name(key).as_str());
                assert_eq!(found, self.find(key).is_some());
            }
            Op::Ttl(key) => {
                let expected = self.find(key).map(|it| match it.deadline() {
                    NEVER => Ttl::Never,
                    deadline => {
                        let left = deadline.saturating_sub(self.rounded_up()).max(1);
                        Ttl::After(Duration::from_millis(left))
                    }
                });
                assert_eq!(self.cache.ttl(name(key).as_str()), expected);
            }
            Op::Remove(key) => {
                let removed = self.cache.remove(name(key).as_str());
                assert_eq!(removed, self.remove(key).is_some());
            }
            Op::Take(key) => {
                let taken = self.cache.take(name(key).as_str());
                assert_eq!(taken.map(|it| it.serial()), self.remove(key));
            }
            Op::SetTtl(key, life) => {
                let set = self.cache.set_ttl(name(key).as_str(), life.ttl());
                assert_eq!(set, self.find(key).is_some());
                match self.limit(life.ttl()) {
                    None => _ = self.remove(key),
                    Some(limit) => {
                        let is_it = |it: &&mut Stored| it.key == key % KEYS;
                        if let Some(it) = self.entries.iter_mut().find(is_it) {
                            it.limit = limit;
                        }
                    }
                }
            }
            Op::Touch(key) => {
                let touched = self.cache.touch(name(key).as_str());
                assert_eq!(touched, self.find(key).is_some());
                let at = self.entries.iter().position(|it| it.key == key % KEYS);
                if let Some(at) = at {
                    let mut used = self.entries.remove(at);
                    used.limit = self.limit(self.ttl).expect("it is not zero");
                    used.idle = used.idle.max(self.idle_deadline());
                    self.entries.push(used);
                }
            }
            Op::Update(key, change) => self.update(key, change, None),
            Op::UpdateNested(key, change, other, insert) => {
                self.update(key, change, Some((other, insert)));
            }
            Op::GetWithNested(key, nested) => self.get_with(key, nested),
            Op::Retain(bits, serial_bits) => {
                let keep = |serial: u32| (serial ^ u32::from(serial_bits)) & u32::from(bits) != 0;
                let mut shown = 0;
                self.cache.retain(|_, value| {
                    shown += 1;
                    keep(value.serial())
                });
                assert_eq!(shown, self.entries.len());
                self.remove_all_but(keep);
                self.assert_tidy();
            }
            Op::InvalidateIf(bits) => {
                let is_it = |serial: u32| serial & u32::from(bits) != 0;
                self.cache.invalidate_if(|_, value| is_it(value.serial()));
                self.remove_all_but(|serial| !is_it(serial));
                self.assert_tidy();
            }
            Op::InsertIfAbsent(key) => {
                let value = self.ledger.value();
                let serial = value.serial();
                let refused = self.cache.insert_if_absent(name(key), value);
                let refused = refused.err().map(|it| it.serial());
                match self.find(key) {
                    Some(_) => assert_eq!(refused, Some(serial)),
                    None => {
                        let inserted = self.insert(key, serial, self.ttl);
                        assert_eq!(refused.is_none(), inserted.is_stored());
                        self.comes_back(refused);
                    }
                }
            }
            Op::Replace(key) => {
                let value = self.ledger.value();
                let serial = value.serial();
                let refused = self.cache.replace(name(key), value);
                let refused = refused.err().map(|it| it.serial());
                match self.find(key) {
                    None => assert_eq!(refused, Some(serial)),
                    Some(Stored { is_pinned, .. }) => {
                        let inserted = self.insert_as(key, serial, self.ttl, is_pinned);
                        assert_eq!(refused.is_none(), inserted.is_stored());
                        self.comes_back(refused);
                    }
                }
            }
            Op::RemoveIf(key, is_it) => {
                let mut shown = None;
                let removed = self.cache.remove_if(name(key).as_str(), |value| {
                    shown = Some(value.serial());
                    is_it
                });
                assert_eq!(shown, self.find(key).map(|it| it.serial));
                assert_eq!(removed, is_it && shown.is_some());
                if is_it {
                    self.remove(key);
                }
            }
            Op::Drain(most) => {
                let drained: Vec<_> = self.cache.drain().take(most.into()).collect();
                assert_eq!(drained.len(), self.entries.len().min(most.into()));
                for (key, value) in drained {
                    let is_it = |it: &Stored| name(it.key) == key && it.serial == value.serial();
                    let at = self.entries.iter().position(is_it);
                    let drained = self.entries.remove(at.expect("it was there"));
                    self.leaves(drained.key, drained.serial, RemovalCause::Removed);
                    self.stats.removals += 1;
                }
            }
            Op::Load(key, life) => {
                let ledger = &self.ledger;
                let mut loaded = None;
                let found =
                    self.cache
                        .get_or_insert_with_ttl(name(key).as_str(), life.ttl(), || {
                            let value = ledger.value();
                            loaded = Some(value.serial());
                            value
                        });
                let found = found.serial();
                match self.get(key) {
                    Some(expected) => assert_eq!((found, loaded), (expected, None)),
                    None => {
                        assert_eq!(Some(found), loaded);
                        self.loads += 1;
                        let inserted = self.insert(key, found, life.ttl());
                        self.comes_back((!inserted.is_stored()).then_some(found));
                    }
                }
            }
            Op::LoadNested(key, nested) => self.load(key, nested),
            Op::LoadFails(key) => {
                let load = || Err(Error::closed());
                let found = self.cache.try_get_or_insert_with(name(key).as_str(), load);
                assert_eq!(found.ok().map(|it| it.serial()), self.get(key));
            }
            Op::Clear => {
                self.cache.clear();
                self.clear();
                self.assert_tidy();
            }
            Op::PurgeExpired => {
                let before = self.cache.len();
                let purged = self.cache.purge_expired();
                assert_eq!(before - self.cache.len(), purged);
                self.assert_tidy();
            }
            Op::Snapshot(room) => self.is_restored(room),
            Op::DamagedSnapshot(at, change) => self.is_refused_if_damaged(at, change),
            Op::AdvanceNanos(by) => self.advance(Duration::from_nanos(by.into())),
            Op::AdvanceMillis(by) => self.advance(Duration::from_millis(by.into())),
            Op::Advance(by) => self.advance(Duration::from_nanos(by >> (by % 64))),
        }
    }

    /// After these calls nothing is left but live entries, and what left has been dropped, as nobody is reading.
    fn assert_tidy(&self) {
        assert_eq!(self.cache.len(), self.entries.len());
        assert_eq!(self.ledger.alive(), self.entries.len());
    }

    fn get_with(&mut self, key: u8, nested: Nested) {
        let (cache, ledger) = (&self.cache, &self.ledger);
        let mut inserted = None;
        let found = cache.get_with(name(key).as_str(), |value| {
            let serial = value.serial();
            match nested {
                Nested::Insert(other) => {
                    let value = ledger.value();
                    inserted = Some(value.serial());
                    cache.insert(name(other), value);
                }
                Nested::Remove(other) => {
                    cache.remove(name(other).as_str());
                }
                Nested::Get(other) => {
                    cache.get(name(other).as_str());
                }
                Nested::Clear => cache.clear(),
            }
            assert_eq!(value.serial(), serial, "changed under a reader");
            serial
        });
        assert_eq!(found, self.get(key));
        if found.is_some() {
            match nested {
                Nested::Insert(other) => {
                    self.insert(other, inserted.expect("the closure ran"), self.ttl);
                }
                Nested::Remove(other) => {
                    self.remove(other);
                }
                Nested::Get(other) => {
                    self.get(other);
                }
                Nested::Clear => self.clear(),
            }
        }
    }

    /// A load during which its own loader writes: what is written wins.
    fn load(&mut self, key: u8, nested: Nested) {
        let (cache, ledger) = (&self.cache, &self.ledger);
        let mut inserted = None;
        let mut loaded = None;
        let found = cache.get_or_insert_with(name(key).as_str(), || {
            match nested {
                Nested::Insert(other) => {
                    let value = ledger.value();
                    inserted = Some(value.serial());
                    cache.insert(name(other), value);
                }
                Nested::Remove(other) => {
                    cache.remove(name(other).as_str());
                }
                Nested::Get(other) => {
                    cache.get(name(other).as_str());
                }
                Nested::Clear => cache.clear(),
            }
            let value = ledger.value();
            loaded = Some(value.serial());
            value
        });
        let found = found.serial();
        if let Some(expected) = self.get(key) {
            assert_eq!((found, loaded), (expected, None));
            return;
        }
        assert_eq!(Some(found), loaded);
        self.loads += 1;
        let is_own = |other: u8| other % KEYS == key % KEYS;
        let overtaken = match nested {
            Nested::Insert(other) => {
                self.insert(other, inserted.expect("the loader ran"), self.ttl);
                is_own(other)
            }
            Nested::Remove(other) => {
                self.remove(other);
                is_own(other)
            }
            Nested::Get(other) => {
                self.get(other);
                false
            }
            Nested::Clear => {
                self.clear();
                true
            }
        };
        if !overtaken {
            let inserted = self.insert(key, found, self.ttl);
            self.comes_back((!inserted.is_stored()).then_some(found));
        }
    }

    fn update(&mut self, key: u8, change: Change, nested: Option<(u8, bool)>) {
        let (cache, ledger) = (&self.cache, &self.ledger);
        let mut first = nested;
        let mut inserted = None;
        let mut stored = None;
        let mut shown = None;
        let updated = cache.update(name(key), |value| {
            shown = value.map(Value::serial);
            match first.take() {
                Some((other, true)) => {
                    let value = ledger.value();
                    inserted = Some(value.serial());
                    cache.insert(name(other), value);
                }
                Some((other, false)) => {
                    cache.remove(name(other).as_str());
                }
                None => {}
            }
            assert_eq!(shown, value.map(Value::serial), "changed under a reader");
            let mut value = || {
                let value = ledger.value();
                stored = Some(value.serial());
                value
            };
            match change {
                Change::Keep => Update::Keep,
                Change::Set => Update::Set(value()),
                Change::SetWithTtl(life) => Update::SetWithTtl(value(), life.ttl()),
                Change::Remove => Update::Remove,
            }
        });
        let before = self.find(key);
        match nested {
            Some((other, true)) => {
                // What the closure was shown last tells whether its own key went, which the update may have taken out since. One that
                // keeps everything runs once, and takes nothing out.
                let went = match change {
                    Change::Keep => self.cache.peek(name(key).as_str()).is_none(),
                    _ => shown.is_none(),
                };
                self.updated = Some((key % KEYS, before.is_some() && went));
                self.insert(other, inserted.expect("the closure ran"), self.ttl);
                self.updated = None;
            }
            Some((other, false)) => {
                self.remove(other);
            }
            None => {}
        }
        let current = self.find(key);
        let writes = match change {
            Change::Keep => false,
            Change::Set => true,
            Change::SetWithTtl(life) => life.ttl() != Ttl::After(Duration::ZERO),
            Change::Remove => false,
        };
        let removes = !writes && !matches!(change, Change::Keep);
        if removes && before.is_none() && current.is_some() {
            // There was nothing to remove when the closure said so: as if the update had come before the insertion.
            assert!(!updated);
            return;
        }
        let expected = if writes { current } else { before };
        if writes || removes && current.is_some() {
            assert_eq!(shown, current.map(|it| it.serial));
        } else if matches!(change, Change::Keep) {
            assert_eq!(shown, expected.map(|it| it.serial));
        }
        let is_pinned = current.is_some_and(|it| it.is_pinned);
        let mut is_stored = writes;
        match change {
            Change::Set => {
                let serial = stored.expect("the closure ran");
                is_stored = match current {
                    Some(current) => self.put(key, serial, current.limit, is_pinned),
                    None => self.insert(key, serial, self.ttl),
                }
                .is_stored();
            }
            Change::SetWithTtl(life) => {
                let serial = stored.expect("the closure ran");
                is_stored = self
                    .insert_as(key, serial, life.ttl(), is_pinned)
                    .is_stored();
            }
            Change::Remove => {
                self.remove(key);
            }
            Change::Keep => {}
        }
        let gone = !is_stored && !matches!(change, Change::Keep);
        assert_eq!(updated, is_stored || gone && current.is_some());
    }

    /// The same, rounded up.
    fn rounded_up(&self) -> u64 {
        self.nanos.div_ceil(1_000_000) + 1
    }

    /// Milliseconds of the cache's clock.
    fn now(&self) -> u64 {
        self.nanos / 1_000_000 + 1
    }

    fn advance(&mut self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.clock.advance(by);
        self.nanos = self.nanos.saturating_add(nanos);
        let now = self.now();
        let ended = |it: &mut Stored| it.deadline() != NEVER && it.deadline() <= now;
        self.ended += self.take_out_if(ended, RemovalCause::Expired);
    }

    /// Takes out some entries, and says how many.
    fn take_out_if(&mut self, is_it: impl FnMut(&mut Stored) -> bool, cause: RemovalCause) -> u64 {
        let gone: Vec<Stored> = self.entries.extract_if(.., is_it).collect();
        for it in &gone {
            self.leaves(it.key, it.serial, cause);
        }
        gone.len() as u64
    }

    /// Whoever listens is to be told of it.
    fn leaves(&mut self, key: u8, serial: u32, cause: RemovalCause) {
        if self.told.is_some() {
            let again = self.left.insert(serial, (key % KEYS, cause));
            assert_eq!(again, None);
        }
    }

    /// Nobody is told of what is given back, or returned, to who would have stored it.
    fn comes_back(&mut self, refused: Option<u32>) {
        if let Some(serial) = refused {
            self.left.remove(&serial);
        }
    }

    /// Whoever listens has been told of all that has left, once, but of what has expired and has not been found yet.
    fn check_told(&mut self) {
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

    fn find(&self, key: u8) -> Option<Stored> {
        let is_it = |it: &&Stored| it.key == key % KEYS;
        self.entries.iter().find(is_it).copied()
    }

    fn get(&mut self, key: u8) -> Option<u32> {
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
    fn idle_deadline(&self) -> u64 {
        let idle = self.idle.map(|idle| self.rounded_up() + idle);
        idle.map_or(NEVER, |deadline| deadline.min(NEVER))
    }

    /// When a lifetime ends that begins now; none where it does not begin.
    fn limit(&self, ttl: Ttl) -> Option<u64> {
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

    fn remove_all_but(&mut self, keep: impl Fn(u32) -> bool) {
        self.stats.removals += self.take_out_if(|it| !keep(it.serial), RemovalCause::Removed);
    }

    fn clear(&mut self) {
        self.stats.cleared += self.take_out_if(|_| true, RemovalCause::Cleared);
    }

    fn remove(&mut self, key: u8) -> Option<u32> {
        let removed = self.take_out(key, RemovalCause::Removed);
        self.stats.removals += u64::from(removed.is_some());
        removed
    }

    fn take_out(&mut self, key: u8, cause: RemovalCause) -> Option<u32> {
        let at = self.entries.iter().position(|it| it.key == key % KEYS)?;
        let serial = self.entries.remove(at).serial;
        self.leaves(key, serial, cause);
        Some(serial)
    }

    fn insert(&mut self, key: u8, serial: u32, ttl: Ttl) -> Inserted {
        self.insert_as(key, serial, ttl, false)
    }

    fn insert_as(&mut self, key: u8, serial: u32, ttl: Ttl, is_pinned: bool) -> Inserted {
        match self.limit(ttl) {
            Some(limit) => self.put(key, serial, limit, is_pinned),
            None => {
                self.remove(key);
                Inserted::Refused(Refusal::ZeroTtl)
            }
        }
    }

    fn put(&mut self, key: u8, serial: u32, limit: u64, is_pinned: bool) -> Inserted {
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

    fn unpin(&mut self, key: u8) -> bool {
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
    fn weight(&self, of: impl Fn(&Stored) -> bool) -> u64 {
        if !self.is_weighed {
            return 0;
        }
        let entries = self.entries.iter().filter(|it| of(it));
        entries.map(|it| weigh(it.serial)).sum()
    }

    /// Takes out the entries that had to go, but not this key's, as long as there is too much.
    fn evict(&mut self, spare: Option<u8>, is_too_much: impl Fn(&Self) -> bool) {
        while is_too_much(self) {
            let victim = self.victim(spare).expect("one can go");
            self.evict_this(victim);
        }
    }

    fn evict_this(&mut self, victim: usize) {
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
    fn settle(&mut self, op: Op) {
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
    fn is_exact(&self) -> bool {
        self.policy == Policy::Lru && self.cache.shards() == 1
    }

    /// An entry that had to go.
    fn victim(&self, spare: Option<u8>) -> Option<usize> {
        let exact = self.is_exact();
        let gone = |it: &Stored| match self.updated {
            _ if exact => true,
            Some((key, went)) if key == it.key => went,
            _ => self.cache.peek(name(it.key).as_str()).is_none(),
        };
        let may_go = |it: &Stored| !it.is_pinned && Some(it.key) != spare;
        self.entries.iter().position(|it| may_go(it) && gone(it))
    }

    fn check(&self) {
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
