//! Random operations on the cache and on a naive model of it: equal step by step.
//!
//! The seed is fixed so that a run can be repeated; `PROPTEST_RNG_SEED=…` takes another one and `PROPTEST_CASES=…`
//! more of them.

use std::env;
use std::time::Duration;

use nori_cache::{Cache, Error, Loaded, ManualClock, Ttl, Update};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(0x6e6f_7269);
    }
    // The seed already says how to repeat a failure.
    config.failure_persistence = None;
    config
}

// ---- operations ------------------------------------------------------------------------------------------------

type Key = u16;

#[derive(Debug, Clone, Copy)]
enum Op {
    Insert(Key, Option<Life>),
    Get(Key),
    GetWith(Key),
    GetMany(Key, Key),
    Peek(Key),
    Contains(Key),
    Remaining(Key),
    Remove(Key),
    Take(Key),
    Update(Key, Change),
    SetTtl(Key, Option<Life>),
    Touch(Key),
    Retain(Key),
    InvalidateIf(Key),
    Clear,
    Drain,
    InsertIfAbsent(Key),
    Replace(Key),
    RemoveIf(Key, bool),
    UpdateWith(Key),
    Load(Key, Option<Life>),
    LoadFails(Key),
    /// All of them but the second are found.
    LoadMany(Key, Key, Key),
    Advance(u32),
    Purge,
}

/// A time to live in milliseconds; 0 stores nothing.
#[derive(Debug, Clone, Copy)]
struct Life(u32);

#[derive(Debug, Clone, Copy)]
enum Change {
    Set,
    SetWithTtl(Option<Life>),
    Remove,
}

impl Life {
    fn ttl(life: Option<Self>) -> Ttl {
        life.map_or(Ttl::Never, |Self(ms)| {
            Ttl::After(Duration::from_millis(u64::from(ms)))
        })
    }
}

fn life() -> impl Strategy<Value = Option<Life>> {
    prop_oneof![
        6 => Just(None),
        4 => (1..60_u32).prop_map(|ms| Some(Life(ms))),
        2 => (1..100_000_u32).prop_map(|ms| Some(Life(ms))),
        1 => Just(Some(Life(0))),
    ]
}

fn op(keys: Key) -> impl Strategy<Value = Op> {
    let key = move || 0..keys;
    let change = prop_oneof![
        4 => Just(Change::Set),
        2 => life().prop_map(Change::SetWithTtl),
        1 => Just(Change::Remove),
    ];
    prop_oneof![
        40 => (key(), life()).prop_map(|(k, l)| Op::Insert(k, l)),
        25 => key().prop_map(Op::Get),
        8 => key().prop_map(Op::GetWith),
        4 => (key(), key()).prop_map(|(a, b)| Op::GetMany(a, b)),
        4 => key().prop_map(Op::Peek),
        3 => key().prop_map(Op::Contains),
        3 => key().prop_map(Op::Remaining),
        5 => key().prop_map(Op::Remove),
        3 => key().prop_map(Op::Take),
        8 => (key(), change).prop_map(|(k, c)| Op::Update(k, c)),
        6 => (key(), life()).prop_map(|(k, l)| Op::SetTtl(k, l)),
        4 => key().prop_map(Op::Touch),
        1 => key().prop_map(Op::Retain),
        1 => key().prop_map(Op::InvalidateIf),
        1 => Just(Op::Clear),
        1 => Just(Op::Drain),
        6 => key().prop_map(Op::InsertIfAbsent),
        5 => key().prop_map(Op::Replace),
        4 => (key(), any::<bool>()).prop_map(|(k, is_it)| Op::RemoveIf(k, is_it)),
        3 => key().prop_map(Op::UpdateWith),
        12 => (key(), life()).prop_map(|(k, l)| Op::Load(k, l)),
        2 => key().prop_map(Op::LoadFails),
        4 => (key(), key(), key()).prop_map(|(a, b, c)| Op::LoadMany(a, b, c)),
        5 => (0..40_u32).prop_map(Op::Advance),
        1 => (0..200_000_u32).prop_map(Op::Advance),
        2 => Just(Op::Purge),
    ]
}

/// The idle time of a cache in milliseconds, if it has one.
fn idle() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        Just(None),
        (1..15_u64).prop_map(Some),
        (1..300_u64).prop_map(Some)
    ]
}

/// A capacity, an idle time, the range of keys (some fit, some do not) and what is done with them.
fn scenario() -> impl Strategy<Value = (usize, Option<u64>, Vec<Op>)> {
    (1..=64_usize)
        .prop_flat_map(|max_keys| (Just(max_keys), 1..=max_keys * 3))
        .prop_flat_map(|(max_keys, keys)| {
            let ops = prop::collection::vec(op(keys as Key), 1..400);
            (Just(max_keys), idle(), ops)
        })
}

// ---- the model -------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    key: Key,
    value: u64,
    deadline: Option<u64>,
    idle: Option<u64>,
}

impl Entry {
    fn end(&self) -> u64 {
        let ends = [self.deadline, self.idle];
        ends.into_iter().flatten().min().unwrap_or(u64::MAX)
    }
}

/// Least recently used first. Holds live entries only: what has expired makes room before anything live does, so it
/// never decides which live entry goes.
struct Model {
    max_keys: usize,
    idle: Option<u64>,
    now: u64,
    entries: Vec<Entry>,
}

impl Model {
    fn find(&self, key: Key) -> Option<usize> {
        self.entries.iter().position(|e| e.key == key)
    }

    fn peek(&self, key: Key) -> Option<u64> {
        self.find(key).map(|i| self.entries[i].value)
    }

    fn get(&mut self, key: Key) -> Option<u64> {
        let mut entry = self.remove(key)?;
        entry.idle = self.restarted(entry.idle, 16);
        self.entries.push(entry);
        Some(entry.value)
    }

    /// Unless less than this part of the idle time has passed since the last time.
    fn restarted(&self, last: Option<u64>, part: u64) -> Option<u64> {
        self.idle.map(|idle| {
            let (last, now) = (last.expect("the cache has an idle time"), self.now + idle);
            if now - last < (idle / part).max(1) {
                last
            } else {
                now
            }
        })
    }

    fn remove(&mut self, key: Key) -> Option<Entry> {
        self.find(key).map(|i| self.entries.remove(i))
    }

    /// Returns the key that had to go.
    fn put(&mut self, key: Key, value: u64, deadline: Option<u64>) -> Option<Key> {
        self.remove(key);
        let victim = (self.entries.len() == self.max_keys).then(|| self.entries.remove(0).key);
        self.entries.push(Entry {
            key,
            value,
            deadline,
            idle: self.idle.map(|idle| self.now + idle),
        });
        victim
    }

    /// The deadline of something stored now; `None` for what is not to be stored.
    fn deadline(&self, life: Option<Life>) -> Option<Option<u64>> {
        match life {
            None => Some(None),
            Some(Life(0)) => None,
            Some(Life(ms)) => Some(Some(self.now + u64::from(ms))),
        }
    }

    fn insert(&mut self, key: Key, value: u64, life: Option<Life>) -> Option<Key> {
        match self.deadline(life) {
            Some(deadline) => self.put(key, value, deadline),
            None => {
                self.remove(key);
                None
            }
        }
    }

    fn advance(&mut self, ms: u32) {
        self.now += u64::from(ms);
        let now = self.now;
        self.entries.retain(|e| e.end() > now);
    }

    fn remaining(&self, key: Key) -> Option<Ttl> {
        self.find(key).map(|i| match self.entries[i].end() {
            u64::MAX => Ttl::Never,
            at => Ttl::After(Duration::from_millis(at - self.now)),
        })
    }

    fn contents(&self) -> Vec<(Key, u64)> {
        sorted(self.entries.iter().map(|e| (e.key, e.value)))
    }
}

fn sorted(entries: impl Iterator<Item = (Key, u64)>) -> Vec<(Key, u64)> {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable();
    entries
}

/// Does `op` to both and compares what they say. `value` is what is written, if anything is. Returns the model's victim.
fn step(
    cache: &Cache<Key, u64>,
    clock: &ManualClock,
    model: &mut Model,
    op: Op,
    value: u64,
) -> Result<Option<Key>, TestCaseError> {
    match op {
        Op::Insert(key, life) => {
            match life {
                None => _ = cache.insert(key, value),
                _ => _ = cache.insert_with_ttl(key, value, Life::ttl(life)),
            }
            return Ok(model.insert(key, value, life));
        }
        Op::Get(key) => prop_assert_eq!(cache.get(&key), model.get(key)),
        Op::GetWith(key) => prop_assert_eq!(cache.get_with(&key, |v| *v), model.get(key)),
        Op::GetMany(a, b) => {
            let keys = [a, b, a];
            let expected: Vec<_> = keys.iter().map(|&k| model.get(k)).collect();
            prop_assert_eq!(cache.get_many(&keys), expected);
        }
        Op::Peek(key) => prop_assert_eq!(cache.peek(&key), model.peek(key)),
        Op::Contains(key) => {
            prop_assert_eq!(cache.contains_key(&key), model.find(key).is_some());
        }
        Op::Remaining(key) => prop_assert_eq!(cache.ttl(&key), model.remaining(key)),
        Op::Remove(key) => {
            prop_assert_eq!(cache.remove(&key), model.remove(key).is_some());
        }
        Op::Take(key) => {
            let expected = model.remove(key).map(|e| e.value);
            prop_assert_eq!(cache.take(&key), expected);
        }
        Op::Update(key, change) => {
            let mut seen = None;
            let changed = cache.update(key, |old| {
                seen = old.copied();
                match change {
                    Change::Set => Update::Set(value),
                    Change::SetWithTtl(life) => Update::SetWithTtl(value, Life::ttl(life)),
                    Change::Remove => Update::Remove,
                }
            });
            let there = model.find(key);
            prop_assert_eq!(seen, model.peek(key));
            let (stores, victim) = match change {
                Change::Set => {
                    let deadline = there.and_then(|i| model.entries[i].deadline);
                    (true, model.put(key, value, deadline))
                }
                Change::SetWithTtl(life) => {
                    let stores = model.deadline(life).is_some();
                    (stores, model.insert(key, value, life))
                }
                Change::Remove => {
                    model.remove(key);
                    (false, None)
                }
            };
            prop_assert_eq!(changed, stores || there.is_some());
            return Ok(victim);
        }
        Op::SetTtl(key, life) => {
            let there = model.find(key);
            prop_assert_eq!(cache.set_ttl(&key, Life::ttl(life)), there.is_some());
            match (there, model.deadline(life)) {
                (Some(i), Some(deadline)) => model.entries[i].deadline = deadline,
                (Some(_), None) => drop(model.remove(key)),
                (None, _) => {}
            }
        }
        Op::Touch(key) => {
            prop_assert_eq!(cache.touch(&key), model.find(key).is_some());
            if let Some(mut entry) = model.remove(key) {
                entry.deadline = None;
                entry.idle = model.restarted(entry.idle, u64::MAX);
                model.entries.push(entry);
            }
        }
        Op::Retain(bound) => {
            let mut seen = Vec::new();
            cache.retain(|&k, &v| {
                seen.push((k, v));
                k >= bound
            });
            prop_assert_eq!(sorted(seen.into_iter()), model.contents());
            model.entries.retain(|e| e.key >= bound);
            prop_assert_eq!(cache.len(), model.entries.len());
        }
        Op::InvalidateIf(bound) => {
            cache.invalidate_if(|&k, _| k < bound);
            model.entries.retain(|e| e.key >= bound);
            prop_assert_eq!(cache.len(), model.entries.len());
        }
        Op::Drain => {
            prop_assert_eq!(sorted(cache.drain()), model.contents());
            model.entries.clear();
        }
        Op::InsertIfAbsent(key) => {
            let stores = model.find(key).is_none();
            let expected = if stores { Ok(()) } else { Err(value) };
            prop_assert_eq!(cache.insert_if_absent(key, value), expected);
            return Ok(stores.then(|| model.put(key, value, None)).flatten());
        }
        Op::Replace(key) => {
            let stores = model.find(key).is_some();
            let expected = if stores { Ok(()) } else { Err(value) };
            prop_assert_eq!(cache.replace(key, value), expected);
            return Ok(stores.then(|| model.put(key, value, None)).flatten());
        }
        Op::RemoveIf(key, is_it) => {
            let mut shown = None;
            let removed = cache.remove_if(&key, |v| {
                shown = Some(*v);
                is_it
            });
            prop_assert_eq!(shown, model.peek(key));
            prop_assert_eq!(removed, is_it && shown.is_some());
            if is_it {
                model.remove(key);
            }
        }
        Op::UpdateWith(key) => {
            let before = cache.update_with(key, |old| (Update::Set(value), old.copied()));
            prop_assert_eq!(before, model.peek(key));
            let deadline = model.find(key).and_then(|i| model.entries[i].deadline);
            return Ok(model.put(key, value, deadline));
        }
        Op::Load(key, life) => {
            let expected = model.get(key);
            let found = match (life, value % 2) {
                (None, 0) => cache.get_or_insert_with(&key, || value),
                (_, 0) => cache.get_or_insert_with_ttl(&key, Life::ttl(life), || value),
                _ => cache.get_or_insert_loaded(&key, || Loaded::new(value).ttl(Life::ttl(life))),
            };
            prop_assert_eq!(found, expected.unwrap_or(value));
            if expected.is_none() {
                return Ok(model.insert(key, value, life));
            }
        }
        Op::LoadFails(key) => {
            let found = cache.try_get_or_insert_with(&key, || Err(Error::closed()));
            prop_assert_eq!(found.ok(), model.get(key));
        }
        Op::LoadMany(a, b, c) => {
            // More than one may have to go for these, so only where all fit.
            let keys = [a, b, c];
            let room = model.max_keys.saturating_sub(model.entries.len());
            let mut expected = keys.map(|k| model.get(k));
            let mut lacks = |k: &Key| room >= keys.len() && *k != b && model.find(*k).is_none();
            let load: Vec<Key> = keys.into_iter().filter(&mut lacks).collect();
            let found = cache.get_or_load_many(&keys, |missing| {
                assert!(load.iter().all(|k| missing.contains(&k)));
                load.iter().map(|&k| (k, value)).collect::<Vec<_>>()
            });
            for (&key, expected) in keys.iter().zip(&mut expected) {
                if load.contains(&key) {
                    *expected = Some(value);
                }
            }
            prop_assert_eq!(found, expected);
            for &key in &load {
                if model.find(key).is_none() {
                    model.put(key, value, None);
                }
            }
        }
        Op::Clear => {
            cache.clear();
            model.entries.clear();
            prop_assert_eq!(cache.len(), 0);
        }
        Op::Advance(ms) => {
            clock.advance(Duration::from_millis(u64::from(ms)));
            model.advance(ms);
        }
        Op::Purge => {
            let expired = cache.len() - model.entries.len();
            prop_assert_eq!(cache.purge_expired(), expired);
            prop_assert_eq!(cache.len(), model.entries.len());
        }
    }
    Ok(None)
}

fn ttl(millis: Option<u64>) -> Ttl {
    millis.map_or(Ttl::Never, |millis| {
        Ttl::After(Duration::from_millis(millis))
    })
}

// ---- one shard: exactly LRU ------------------------------------------------------------------------------------

fn exactly_lru(max_keys: usize, idle: Option<u64>, ops: &[Op]) -> Result<(), TestCaseError> {
    let clock = ManualClock::new();
    let cache: Cache<Key, u64> = Cache::builder()
        .max_keys(max_keys)
        .time_to_idle(ttl(idle))
        .shards(1)
        .clock(clock.clone())
        .build()
        .expect("a valid configuration");
    let mut model = Model {
        max_keys,
        idle,
        now: 0,
        entries: Vec::new(),
    };
    for (value, &op) in ops.iter().enumerate() {
        let before = cache.stats().evictions;
        let victim = step(&cache, &clock, &mut model, op, value as u64)?;

        let contents = sorted(cache.iter());
        let mut shown = Vec::new();
        cache.for_each(|&key, &value| shown.push((key, value)));
        prop_assert_eq!(&sorted(shown.into_iter()), &contents);
        let mut keys = cache.keys();
        keys.sort_unstable();
        prop_assert!(keys.iter().eq(contents.iter().map(|(key, _)| key)));
        prop_assert_eq!(
            &contents,
            &model.contents(),
            "after {:?}, step {}",
            op,
            value
        );
        prop_assert_eq!(
            cache.stats().evictions - before,
            u64::from(victim.is_some())
        );
        if let Some(victim) = victim {
            prop_assert!(!cache.contains_key(&victim));
        }
        prop_assert!(cache.len() >= contents.len() && cache.len() <= max_keys);
        prop_assert_eq!(cache.is_empty(), matches!(cache.len(), 0));
    }
    // The rest of the order, from the oldest on: each new key costs exactly the next one.
    model.advance(0);
    for filler in 0..max_keys {
        let key = 10_000 + filler as Key;
        cache.insert(key, 0);
        model.insert(key, 0, None);
        let contents = sorted(cache.iter());
        prop_assert_eq!(&contents, &model.contents(), "filler {}", filler);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn one_shard_is_exactly_lru((max_keys, idle, ops) in scenario()) {
        exactly_lru(max_keys, idle, &ops)?;
    }
}

proptest! {
    #![proptest_config(config(20))]

    /// Mostly reads, at the largest size that is promised to be exact.
    #[test]
    fn long_runs_of_reads_are_exactly_lru(
        rounds in prop::collection::vec((prop::collection::vec(0..64_u16, 0..200), 0..96_u16), 1..40),
    ) {
        let ops: Vec<_> = rounds
            .iter()
            .flat_map(|(reads, insert)| {
                reads.iter().map(|&k| Op::Get(k)).chain([Op::Insert(*insert, None)])
            })
            .collect();
        exactly_lru(64, None, &ops)?;
    }
}

#[test]
fn the_worst_orders_for_a_lazy_list_are_exact() {
    for max_keys in [1, 2, 3, 31, 63, 64] {
        let keys = 0..max_keys as Key;
        let fill = || keys.clone().map(|k| Op::Insert(k, None));
        let evict = || (100..100 + max_keys as Key).map(|k| Op::Insert(k, None));
        let reads: [Vec<Key>; 5] = [
            keys.clone().collect(),
            keys.clone().rev().collect(),
            // Everything but the oldest, everything but the newest, and one key over and over.
            keys.clone().skip(1).collect(),
            keys.clone().rev().skip(1).collect(),
            vec![0; 300],
        ];
        for read in &reads {
            for rounds in [1, 2, 5] {
                let mut ops: Vec<_> = fill().collect();
                for _ in 0..rounds {
                    ops.extend(read.iter().map(|&k| Op::Get(k)));
                }
                ops.extend(evict());
                ops.extend(fill());
                exactly_lru(max_keys, None, &ops).unwrap();
            }
        }
    }
}

// ---- several shards: what holds wherever the keys live ---------------------------------------------------------

proptest! {
    #![proptest_config(config(20))]

    #[test]
    fn several_shards_lose_one_entry_for_one_and_only_when_full(
        idle in idle(),
        ops in prop::collection::vec((op(600), 0..4_u8), 1..1_500),
    ) {
        let max_keys = 4 * 64;
        let clock = ManualClock::new();
        let cache: Cache<Key, u64> = Cache::builder()
            .max_keys(max_keys)
            .time_to_idle(ttl(idle))
            .shards(4)
            .clock(clock.clone())
            .build()
            .expect("a valid configuration");
        // The model has room for one more, so it holds what the cache holds and the one that this step pushed out.
        let mut model = Model { max_keys: max_keys + 1, idle, now: 0, entries: Vec::new() };
        for (value, (op, dice)) in ops.into_iter().enumerate() {
            // Inserts that last dominate, or the cache would never be full.
            let op = match op {
                Op::Clear | Op::Drain | Op::Retain(_) | Op::InvalidateIf(_) | Op::Advance(100..) if dice > 0 => Op::Purge,
                Op::Remove(key) | Op::Take(key) | Op::Get(key) if dice > 0 => Op::Insert(key, None),
                op => op,
            };
            let evicted = cache.stats().evictions;
            step(&cache, &clock, &mut model, op, value as u64)?;
            let contents = sorted(cache.iter());
            prop_assert!(cache.len() >= contents.len() && cache.len() <= max_keys);

            let newest = model.entries.last().map(|e| e.key);
            if model.entries.len() > max_keys {
                let held = |e: &Entry| contents.binary_search(&(e.key, e.value)).is_ok();
                let lost: Vec<_> = model.entries.iter().filter(|e| !held(e)).copied().collect();
                prop_assert_eq!(lost.len(), 1, "full, after {:?}: {:?}", op, &lost);
                prop_assert_ne!(Some(lost[0].key), newest, "the new entry itself was evicted");
                prop_assert_eq!(cache.stats().evictions, evicted + 1);
                model.remove(lost[0].key);
            } else {
                prop_assert_eq!(cache.stats().evictions, evicted, "without need: {:?}", op);
            }
            prop_assert_eq!(contents, model.contents(), "after {:?}", op);
        }
    }
}
