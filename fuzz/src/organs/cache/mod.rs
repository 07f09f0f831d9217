//! The whole cache against a naive LRU with times to live, call by call.
//!
//! With one shard of an LRU every answer must be the model's. With several, or another policy, the choice of the victims is the
//! cache's own, and all else must be the model's: which entries live, that none is evicted while there is room or an expired one, and the counts.
//! Half of the caches weigh their entries, and half have a listener, which is told of each that leaves, once.

mod closures;
mod model;
mod snapshots;

use super::Ops;
use super::ledger::{Ledger, Value};
use crate::cache::{Cache, Stats};
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
}
