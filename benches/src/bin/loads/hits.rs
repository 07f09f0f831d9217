//! Hits: of the typed cache, and of backends.

use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;

use nori_cache::{CacheBackend, CacheBackendExt, Error, LoadContext, MemoryCacheBackend};
use nori_cache_benches::runner::group::{BATCH, Row, now};

use super::{KEYS, TTL, Value, key, moka, moka_async, ours, value, wait_for};

/// Keys in an order that no prefetcher guesses.
fn order() -> Arc<Vec<String>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let numbers = (0..1 << 16).map(|_| (next() % KEYS as u64) as usize);
    Arc::new(numbers.map(key).collect())
}

/// A row whose work is one operation on a key.
fn each_key(
    group: &'static str,
    name: &'static str,
    keys: &Arc<Vec<String>>,
    operation: impl Fn(&str) -> Value + Send + Sync + 'static,
) -> Row {
    let keys = Arc::clone(keys);
    let work = move |from: usize| {
        for at in from..from + BATCH {
            black_box(operation(&keys[at % keys.len()]));
        }
    };
    Row::new(group, name, Arc::new(work))
}

/// The answer of a future that is ready, and polled where it lies in memory, as tasks are: whether a compiler would make one with its
/// caller is not what is to be compared.
#[inline(never)]
fn polled<T>(future: impl Future<Output = T>) -> T {
    now(future)
}

/// Hits of typed caches.
pub fn typed() -> Vec<Row> {
    const GROUP: &str = "hit, 10 k keys";
    let keys = order();
    let (get, with, waiting) = (ours(), ours(), ours());
    let (blocking, future) = (moka(), moka_async());
    let quick = quick_cache::sync::Cache::<String, Value>::new(2 * KEYS);
    for n in 0..KEYS {
        for cache in [&get, &with, &waiting] {
            cache.insert(key(n), value());
        }
        blocking.insert(key(n), value());
        now(future.insert(key(n), value()));
        quick.insert(key(n), value());
    }
    let missing = || -> Value { unreachable!("all keys are there") };
    vec![
        each_key(GROUP, "Cache::get", &keys, move |key| {
            get.get(key).expect("it is there")
        }),
        each_key(GROUP, "get_or_insert_with", &keys, move |key| {
            with.get_or_insert_with(key, missing)
        }),
        each_key(GROUP, "get_or_insert_async", &keys, move |key| {
            now(waiting.get_or_insert_async(key, || async move { missing() }))
        }),
        each_key(GROUP, "moka, get_with", &keys, move |key| {
            blocking.get_with_by_ref(key, missing)
        }),
        each_key(GROUP, "moka, async get_with", &keys, move |key| {
            wait_for(future.get_with_by_ref(key, async move { missing() }))
        }),
        each_key(
            GROUP,
            "quick_cache, get_or_insert_with",
            &keys,
            move |key| {
                let found = quick.get_or_insert_with(key, || Ok::<_, ()>(missing()));
                found.expect("the load does not fail")
            },
        ),
        by_amalgam(GROUP, &keys),
    ]
}

/// amalgam-cache's own way to load, with a time to live and no other option.
fn by_amalgam(group: &'static str, keys: &Arc<Vec<String>>) -> Row {
    let builder = amalgam::Cache::builder().default_options(amalgam::EntryOptions::new(TTL));
    let cache = builder.try_build().expect("these settings are allowed");
    // Its requests want it for ever.
    let cache: &'static amalgam::Cache<Value> = Box::leak(Box::new(cache));
    for n in 0..KEYS {
        now(async { cache.set(key(n), value()).await }).expect("it can be stored");
    }
    let missing = || -> Value { unreachable!("all keys are there") };
    each_key(group, "amalgam-cache, get_or_set", keys, move |key| {
        let load = move |_| async move { Ok::<_, amalgam::Error>(missing()) };
        let source = amalgam::source::factory(load);
        polled(async { cache.get_or_set(key, source).await }).expect("it is there")
    })
}

type Loader = fn(LoadContext<Value>) -> Ready<Result<Value, Error>>;

/// A row of loads in memory, which all hit.
fn loads(
    group: &'static str,
    name: &'static str,
    keys: &Arc<Vec<String>>,
    load: fn(&Arc<dyn CacheBackend>, &str, Loader) -> Result<Value, Error>,
) -> Row {
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(2 * KEYS));
    for n in 0..KEYS {
        load(&backend, &key(n), |_| ready(Ok(value()))).expect("it is loaded");
    }
    each_key(group, name, keys, move |key| {
        load(&backend, key, |_| unreachable!("all keys are there")).expect("it is there")
    })
}

fn plain(backend: &Arc<dyn CacheBackend>, key: &str, load: Loader) -> Result<Value, Error> {
    polled(backend.load(key).ttl(TTL).or_load(load))
}

fn all_options(backend: &Arc<dyn CacheBackend>, key: &str, load: Loader) -> Result<Value, Error> {
    let all = backend.load(key).ttl(TTL).jitter(0.1);
    let all = all.fail_safe(TTL).fail_safe_throttle(TTL).cache_errors(TTL);
    let all = all.soft_timeout(TTL).hard_timeout(TTL).negative_ttl(TTL);
    let all = all.eager_refresh(0.8).stale_while_revalidate(TTL);
    polled(all.or_load(load))
}

fn tagged(backend: &Arc<dyn CacheBackend>, key: &str, load: Loader) -> Result<Value, Error> {
    let all = backend.load(key).ttl(TTL).fail_safe(TTL).tags(["users"]);
    polled(all.eager_refresh(0.8).or_load(load))
}

/// Hits of backends in memory: beside amalgam-cache, and beside a typed get through `dyn CacheBackend`.
pub fn of_backends() -> Vec<Row> {
    const RIVAL: &str = "load hit, beside amalgam-cache";
    const GET: &str = "load hit, beside a typed get";
    let keys = order();
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(2 * KEYS));
    for n in 0..KEYS {
        now(backend.set(&key(n), value(), TTL)).expect("it can be stored");
    }
    let typed_get = each_key(GET, "get through dyn CacheBackend", &keys, move |key| {
        let found = polled(backend.get::<Value>(key)).expect("nothing fails here");
        found.expect("it is there")
    });
    vec![
        by_amalgam(RIVAL, &keys),
        loads(RIVAL, "load, all options but tags", &keys, all_options),
        loads(RIVAL, "load, with a tag", &keys, tagged),
        typed_get,
        loads(GET, "load, a time to live", &keys, plain),
        loads(GET, "load, all options but tags", &keys, all_options),
        loads(GET, "load, with a tag", &keys, tagged),
    ]
}
