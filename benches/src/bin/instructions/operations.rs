//! What is counted: loops over one operation each.

use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nori_cache::{Cache, CacheBackend, CacheBackendExt, LoadContext, MemoryCacheBackend};
use nori_cache_benches::workload::{Zipf, keys, uniform};
use nori_cache_benches::{Key, Profile, Subject, Value, hasher};

const CAPACITY: usize = 10_000;
/// What is in the caches: room is left, so that sharded rivals have lost hardly any of it.
const KEYS: u64 = 8_000;
const REQUESTS: usize = 1 << 16;
/// How many operations are counted.
pub const OPERATIONS: usize = 40_000;
pub const TTL: Duration = Duration::from_secs(3600);
/// So few keys that what is looked up once a second for each of them does not count.
pub const FEW: usize = 64;
pub const TAGS: [&str; 4] = ["a", "b", "c", "d"];

/// A subject's name, and a run of it.
pub type Run = (&'static str, fn());

fn value() -> Profile {
    Profile::from_id(7)
}

/// A cache of 8,000 keys of 10,000.
fn filled<S: Subject<String, Profile>>() -> S {
    let mut subject = S::fresh(CAPACITY);
    for id in 0..KEYS {
        subject.insert(Key::from_id(id), Value::from_id(id));
    }
    subject
}

/// Calls `each` with one request after the other: with [`OPERATIONS`] of them counted, after half as many that are not.
pub fn ask(requests: &[String], mut each: impl FnMut(&String)) {
    let (before, rest) = requests.split_at(OPERATIONS / 2);
    before.iter().for_each(&mut each);
    counted(|| rest[..OPERATIONS].iter().for_each(each));
}

/// Valgrind counts what is called from here.
#[inline(never)]
fn counted(run: impl FnOnce()) {
    run();
}

pub fn hit<S: Subject<String, Profile>>() {
    let mut subject = filled::<S>();
    let requests = popular();
    ask(&requests, |key| {
        black_box(subject.get(key).map(|value| value[0]));
    });
    std::mem::forget(subject);
}

pub fn hot<S: Subject<String, Profile>>() {
    let mut subject = filled::<S>();
    let requests: Vec<String> = keys(&[42; REQUESTS]);
    ask(&requests, |key| {
        black_box(subject.read_with(key, |value| value[0]));
    });
    std::mem::forget(subject);
}

pub fn miss<S: Subject<String, Profile>>() {
    let mut subject = filled::<S>();
    let absent: Vec<u64> = uniform(KEYS, REQUESTS, 1)
        .iter()
        .map(|n| n + KEYS)
        .collect();
    let requests: Vec<String> = keys(&absent);
    ask(&requests, |key| {
        assert!(subject.get(key).is_none());
    });
    std::mem::forget(subject);
}

pub fn update<S: Subject<String, Profile>>() {
    let mut subject = filled::<S>();
    let requests: Vec<String> = keys(&uniform(KEYS, REQUESTS, 1));
    let value = value();
    ask(&requests, |key| {
        subject.update(key.clone(), Arc::clone(&value));
    });
    std::mem::forget(subject);
}

/// New keys into a full cache.
pub fn evict<S: Subject<String, Profile>>() {
    let mut subject = S::fresh(CAPACITY);
    let value = value();
    // So many that each has been evicted again before its turn comes.
    let ids: Vec<u64> = (0..REQUESTS as u64).collect();
    let requests: Vec<String> = keys(&ids);
    for key in &requests {
        subject.insert(key.clone(), Arc::clone(&value));
    }
    ask(&requests, |key| {
        subject.insert(key.clone(), Arc::clone(&value));
    });
    std::mem::forget(subject);
}

/// New keys into a cache that has room for all of them.
pub fn fill<S: Subject<String, Profile>>() {
    let mut subject = S::fresh(4 * REQUESTS);
    let value = value();
    let ids: Vec<u64> = (0..REQUESTS as u64).collect();
    let requests: Vec<String> = keys(&ids);
    ask(&requests, |key| {
        subject.insert(key.clone(), Arc::clone(&value));
    });
    std::mem::forget(subject);
}

/// A new key comes and goes.
pub fn insert_and_remove() {
    let builder = Cache::builder().max_keys(CAPACITY).ttl(TTL);
    let cache: Cache<String, Profile, _> = builder.hasher(hasher()).build().expect("it is allowed");
    let value = value();
    let requests: Vec<String> = keys(&uniform(KEYS, REQUESTS, 1));
    ask(&requests, |key| {
        cache.insert(key.clone(), Arc::clone(&value));
        assert!(cache.remove(key));
    });
}

/// As `filled`, for calls that only ours has.
fn filled_cache() -> Cache<String, Profile, impl std::hash::BuildHasher> {
    let builder = Cache::builder().max_keys(CAPACITY).ttl(TTL);
    let cache = builder.hasher(hasher()).build().expect("it is allowed");
    for id in 0..KEYS {
        cache.insert(Key::from_id(id), Value::from_id(id));
    }
    cache
}

pub fn load_hit() {
    let cache = filled_cache();
    let requests = popular();
    ask(&requests, |key| {
        let value = cache.get_or_insert_with(key, || unreachable!("it is there"));
        black_box(value[0]);
    });
}

pub fn load_hit_async() {
    let cache = filled_cache();
    let requests = popular();
    ask(&requests, |key| {
        let value = now(cache.get_or_insert_async(key, || async { unreachable!("it is there") }));
        black_box(value[0]);
    });
}

/// New keys, loaded into a cache that has room for all of them.
pub fn load_cold() {
    let builder = Cache::builder().max_keys(4 * REQUESTS).ttl(TTL);
    let cache: Cache<String, Profile, _> = builder.hasher(hasher()).build().expect("it is allowed");
    let value = value();
    let ids: Vec<u64> = (0..REQUESTS as u64).collect();
    let requests: Vec<String> = keys(&ids);
    ask(&requests, |key| {
        black_box(cache.get_or_insert_with(key, || Arc::clone(&value)));
    });
}

/// The answer of a future that is ready.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("in memory nothing waits"),
    }
}

pub fn typed_get() {
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(CAPACITY));
    for id in 0..KEYS {
        let (key, value) = (String::from_id(id), Arc::new("x".repeat(64)));
        now(backend.set(&key, value, TTL)).expect("it can be stored");
    }
    let requests = popular();
    ask(&requests, |key| {
        let value = now(backend.get::<Arc<String>>(key));
        black_box(value.expect("nothing fails here"));
    });
}

/// A value in the place of another.
pub fn typed_set() {
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(CAPACITY));
    let value = Arc::new("x".repeat(64));
    let requests: Vec<String> = keys(&uniform(KEYS, REQUESTS, 1));
    ask(&requests, |key| {
        now(backend.set(key, Arc::clone(&value), TTL)).expect("it can be stored");
    });
}

/// Requests some of whose keys come often.
fn popular() -> Vec<String> {
    keys(&Zipf::new(KEYS, 0.99, 1).take(REQUESTS))
}

/// Requests for a few keys; each of them is among the first.
pub fn few() -> Vec<String> {
    let ids: Vec<u64> = (0..REQUESTS as u64).map(|id| id % FEW as u64).collect();
    keys(&ids)
}

/// The same hit as in the near tier of two.
pub fn shared_get() {
    shared_hits(&[]);
}

/// A hit of an entry with four tags.
pub fn tagged_get() {
    shared_hits(&TAGS);
}

fn shared_hits(tags: &[&str]) {
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(CAPACITY));
    for key in &few()[..FEW] {
        now(backend.set_tagged(key, "x".repeat(64), TTL, tags)).expect("it can be stored");
    }
    ask(&few(), |key| {
        let value = now(backend.get_shared::<String>(key)).expect("nothing fails here");
        black_box(value.expect("it is there"));
    });
}

/// A load that hits, with the time to live as its one option.
pub fn plain_load() {
    loads(&popular(), |backend, key, load| {
        now(backend.load(key).ttl(TTL).or_load(load))
    });
}

/// A load that hits, with all options but tags, each of which is a look of its own.
pub fn kept_load() {
    loads(&popular(), |backend, key, load| {
        let all = backend.load(key).ttl(TTL).jitter(0.1);
        let all = all.fail_safe(TTL).fail_safe_throttle(TTL).cache_errors(TTL);
        let all = all.soft_timeout(TTL).hard_timeout(TTL).negative_ttl(TTL);
        let all = all.eager_refresh(0.8).stale_while_revalidate(TTL);
        now(all.or_load(load))
    });
}

/// The same with a tag, whose version is looked at too.
pub fn tagged_load() {
    loads(&few(), |backend, key, load| {
        let all = backend.load(key).ttl(TTL).fail_safe(TTL).tags(["users"]);
        now(all.eager_refresh(0.8).or_load(load))
    });
}

type Loaded = Result<Arc<String>, nori_cache::Error>;
type Loader = fn(LoadContext<Arc<String>>) -> Ready<Loaded>;

fn loads(requests: &[String], load: impl Fn(&Arc<dyn CacheBackend>, &str, Loader) -> Loaded) {
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(CAPACITY));
    for key in requests {
        load(&backend, key, |_| ready(Ok(Arc::new("x".repeat(64))))).expect("it is loaded");
    }
    ask(requests, |key| {
        let value = load(&backend, key, |_| unreachable!("it is there"));
        black_box(value.expect("nothing fails here"));
    });
}

pub fn incr() {
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(CAPACITY));
    ask(&vec!["counter".to_owned(); REQUESTS], |key| {
        black_box(now(backend.incr(key, TTL)).expect("nothing fails here"));
    });
}
