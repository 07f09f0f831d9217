//! Random operations on the cache and on a naive model of it: equal step by step.
//!
//! The seed is fixed so that a run can be repeated; `PROPTEST_RNG_SEED=…` takes another one and `PROPTEST_CASES=…`
//! more of them.

use std::env;
use std::time::Duration;

use crate::twin::model::{Entry, Model, sorted, weigh};
use crate::twin::ops::{Bounds, Key, Op, idle, op, scenario};
use crate::twin::step::step;
use nori_cache::{Cache, ManualClock, Ttl};
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

fn ttl(millis: Option<u64>) -> Ttl {
    millis.map_or(Ttl::Never, |millis| {
        Ttl::After(Duration::from_millis(millis))
    })
}

// ---- one shard: exactly LRU ------------------------------------------------------------------------------------

fn exactly_lru(bounds: Bounds, ops: &[Op]) -> Result<(), TestCaseError> {
    let clock = ManualClock::new();
    let builder = Cache::builder()
        .max_keys(bounds.max_keys)
        .time_to_idle(ttl(bounds.idle))
        .shards(1)
        .clock(clock.clone());
    let builder = match bounds.max_weight {
        None => builder,
        Some(max_weight) => builder
            .max_weight(max_weight)
            .weigher(|_, &value| weigh(value)),
    };
    let cache: Cache<Key, u64> = builder.build().expect("a valid configuration");
    let mut model = Model::new(bounds);
    for (value, &op) in ops.iter().enumerate() {
        let before = cache.stats().evictions;
        let victims = step(&cache, &clock, &mut model, op, value as u64)?;

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
            victims.len() as u64,
            "evicted by {:?}",
            op
        );
        for victim in victims {
            prop_assert!(!cache.contains_key(&victim));
        }
        let is_pinned = |(key, _): &&(Key, u64)| cache.is_pinned(key);
        let pinned = contents.iter().filter(is_pinned).count();
        prop_assert_eq!(pinned, model.count(|it| it.is_pinned));
        prop_assert_eq!(cache.stats().refusals, model.refusals);
        let (max_keys, max_weight) = (model.bounds.max_keys, model.bounds.max_weight);
        prop_assert_eq!(cache.max_keys(), max_keys);
        prop_assert_eq!(cache.max_weight(), max_weight.unwrap_or(u64::MAX));
        prop_assert!(cache.len() >= contents.len() && cache.len() <= max_keys);
        let weight = model.weight(|_| true);
        prop_assert!(cache.weight() >= weight && cache.weight() <= cache.max_weight());
        if cache.len() == contents.len() {
            prop_assert_eq!(cache.weight(), weight);
        }
        prop_assert_eq!(cache.is_empty(), matches!(cache.len(), 0));
    }
    // The rest of the order, from the oldest on: each new key costs exactly the next one.
    model.advance(0);
    for filler in 0..model.bounds.max_keys {
        let key = 10_000 + filler as Key;
        cache.insert(key, 0);
        model.insert(key, 0, None);
        let contents = sorted(cache.iter());
        prop_assert_eq!(&contents, &model.contents(), "filler {}", filler);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn one_shard_is_exactly_lru((bounds, ops) in scenario()) {
        exactly_lru(bounds, &ops)?;
    }
}

proptest! {
    #![proptest_config(config(10))]

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
        exactly_lru(Bounds::keys(64), &ops)?;
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
                exactly_lru(Bounds::keys(max_keys), &ops).unwrap();
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
        let mut model = Model::new(Bounds { idle, ..Bounds::keys(max_keys + 1) });
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
