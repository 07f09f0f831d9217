//! The backend in memory beside what one would do without it: typed reads through `dyn CacheBackend` beside `Cache::get`, and
//! `incr` on one hot key beside a `DashMap` of atomic counters and moka's entry API, each with a time to live.
//!
//! ```sh
//! cargo run -p nori-cache-benches --profile bench --bin backend -- --rounds 9 --millis 300
//! ```
//!
//! Rounds are interleaved, the order rotates, medians are shown. The counters by hand do what ours does: look the key up, check
//! the deadline against the clock, add in place.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use nori_cache::{Cache, CacheBackend, CacheBackendExt, MemoryCacheBackend, Ttl};
use nori_cache_benches::runner::group::{self, BATCH, Options, Row, now};

const KEYS: usize = 10_000;
const TTL: Duration = Duration::from_secs(300);

fn keys() -> Vec<String> {
    (0..KEYS).map(|n| format!("user:{n:011}:profile")).collect()
}

/// Keys in an order that no prefetcher guesses.
fn order(len: usize) -> Vec<u32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..1 << 16).map(|_| (next() % len as u64) as u32).collect()
}

fn reads(group: &'static str, hot: bool) -> Vec<Row> {
    let keys: Arc<Vec<String>> = Arc::new(keys());
    let order: Arc<Vec<u32>> = Arc::new(order(if hot { 1 } else { KEYS }));
    let cache: Cache<String, Arc<String>> = Cache::builder()
        .max_keys(2 * KEYS)
        .ttl(TTL)
        .build()
        .expect("these settings are allowed");
    let memory: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(2 * KEYS));
    for key in keys.iter() {
        let value = Arc::new("x".repeat(64));
        cache.insert(key.clone(), Arc::clone(&value));
        now(memory.set(key, value, TTL)).expect("it can be stored");
    }
    let key_at = move |at: usize| keys[order[at % order.len()] as usize].as_str().to_owned();
    let row = |name, work| Row::new(group, name, work);
    // The same keys, ready as slices, for both.
    let ready: Arc<Vec<String>> = Arc::new((0..1 << 16).map(key_at).collect());
    let again = Arc::clone(&ready);
    vec![
        row(
            "Cache::get",
            Arc::new(move |from| {
                for at in from..from + BATCH {
                    let key = ready[at % ready.len()].as_str();
                    black_box(cache.get(key));
                }
            }),
        ),
        row(
            "dyn CacheBackend",
            Arc::new(move |from| {
                for at in from..from + BATCH {
                    let key = again[at % again.len()].as_str();
                    let value = now(memory.get::<Arc<String>>(key));
                    black_box(value.expect("nothing fails here"));
                }
            }),
        ),
    ]
}

/// A counter by hand.
struct Counter {
    value: AtomicI64,
    deadline: Instant,
}

fn by_hand(counters: &DashMap<String, Counter, ahash::RandomState>, key: &str) -> i64 {
    let now = Instant::now();
    if let Some(counter) = counters.get(key)
        && counter.deadline > now
    {
        return counter.value.fetch_add(1, Ordering::AcqRel) + 1;
    }
    let born = || Counter {
        value: AtomicI64::new(0),
        deadline: now + TTL,
    };
    let mut counter = counters.entry(key.to_owned()).or_insert_with(born);
    if counter.deadline <= now {
        *counter = born();
    }
    counter.value.fetch_add(1, Ordering::AcqRel) + 1
}

fn counters(group: &'static str) -> Vec<Row> {
    const KEY: &str = "login:user@example.com:attempts";
    let memory: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(KEYS));
    let dashmap = DashMap::with_hasher(ahash::RandomState::new());
    let moka: moka::sync::Cache<String, i64, ahash::RandomState> = moka::sync::Cache::builder()
        .max_capacity(KEYS as u64)
        .time_to_live(TTL)
        .build_with_hasher(ahash::RandomState::new());
    let row = |name, work| Row::new(group, name, work);
    vec![
        row(
            "DashMap by hand",
            Arc::new(move |_| {
                for _ in 0..BATCH {
                    black_box(by_hand(&dashmap, KEY));
                }
            }),
        ),
        row(
            "dyn CacheBackend",
            Arc::new(move |_| {
                for _ in 0..BATCH {
                    let sum = now(memory.incr(KEY, Ttl::After(TTL)));
                    black_box(sum.expect("nothing fails here"));
                }
            }),
        ),
        row(
            "moka's entry API",
            Arc::new(move |_| {
                for _ in 0..BATCH {
                    let entry = moka
                        .entry_by_ref(KEY)
                        .and_upsert_with(|old| old.map_or(1, |old| old.into_value() + 1));
                    black_box(entry.into_value());
                }
            }),
        ),
    ]
}

fn main() -> Result<(), lexopt::Error> {
    let Some(options) = Options::parse(lexopt::Parser::from_env())? else {
        return Ok(());
    };
    for threads in [1, 2] {
        let mut rows = reads("typed get, 10k keys", false);
        rows.extend(reads("typed get, one hot key", true));
        rows.extend(counters("incr, one hot key"));
        group::run(&mut rows, threads, options);
    }
    Ok(())
}
