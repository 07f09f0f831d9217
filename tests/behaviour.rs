//! What each call of the API promises, one thread at a time.

mod common;

use std::borrow::Borrow;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use nori_cache::{Cache, Error, ManualClock, Ttl, Update};

const fn is_send_sync_clone<T: Send + Sync + Clone>() {}
const _: () = is_send_sync_clone::<Cache<String, Arc<str>>>();
const _: () = is_send_sync_clone::<Cache<u64, Vec<u8>, common::Identity>>();
const fn is_send_sync_error<T: std::error::Error + Send + Sync + 'static>() {}
const _: () = is_send_sync_error::<Error>();

fn cache<V>(max_keys: usize) -> Cache<String, V> {
    Cache::builder().max_keys(max_keys).build().unwrap()
}

/// A cache of `u64 → u64` that holds `n → 10 * n` for each `n` of `keys`.
fn tens(keys: std::ops::Range<u64>) -> Cache<u64, u64> {
    let cache = Cache::new(1_000);
    for n in keys {
        cache.insert(n, 10 * n);
    }
    cache
}

fn contents(cache: &Cache<u64, u64>) -> BTreeMap<u64, u64> {
    let seen: Vec<_> = cache.iter().collect();
    let map: BTreeMap<_, _> = seen.iter().copied().collect();
    assert_eq!(map.len(), seen.len(), "iter gave a key twice");
    map
}

// ---- lookups ---------------------------------------------------------------------------------------------------

#[test]
fn get_returns_what_insert_stored() {
    let cache = cache(10);
    assert_eq!(cache.get("a"), None);
    cache.insert("a".to_owned(), 1);
    cache.insert("b".to_owned(), 2);
    assert_eq!(cache.get("a"), Some(1));
    assert_eq!(cache.get("b"), Some(2));
    assert_eq!(cache.get("c"), None);
}

#[test]
fn insert_replaces() {
    let cache = cache(10);
    cache.insert("a".to_owned(), 1);
    cache.insert("a".to_owned(), 2);
    assert_eq!(cache.get("a"), Some(2));
    assert_eq!(cache.len(), 1);
}

#[test]
fn clones_are_handles_to_one_cache() {
    let one = cache(10);
    let other = one.clone();
    one.insert("a".to_owned(), 1);
    assert_eq!(other.get("a"), Some(1));
    other.clear();
    assert_eq!(one.get("a"), None);
    drop(one);
    other.insert("b".to_owned(), 2);
    assert_eq!(other.get("b"), Some(2));
}

#[test]
fn every_lookup_takes_a_borrowed_key() {
    let cache = cache(10);
    cache.insert("a".to_owned(), 1);
    let owned = "a".to_owned();
    assert_eq!(cache.get("a"), Some(1));
    assert_eq!(cache.get(&owned), Some(1));
    assert_eq!(cache.get_with("a", |v| v + 1), Some(2));
    assert_eq!(cache.peek("a"), Some(1));
    assert!(cache.contains_key("a"));
    assert_eq!(cache.get_many(["a", "b"]), [Some(1), None]);
    assert_eq!(cache.get_many([&owned]), [Some(1)]);
    assert_eq!(cache.ttl("a"), Some(Ttl::Never));
    assert_eq!(cache.take("a"), Some(1));
    assert!(!cache.remove("a"));

    let bytes: Cache<Vec<u8>, u8> = Cache::new(4);
    bytes.insert(vec![1, 2], 3);
    assert_eq!(bytes.get(&[1, 2][..]), Some(3));
}

#[test]
fn a_newtype_is_found_by_what_it_wraps() {
    // Hashers may have short cuts for integers and strings, which must not lead elsewhere than the long way does.
    #[derive(PartialEq, Eq)]
    struct Wrapped<T>(T);

    impl<T: Hash> Hash for Wrapped<T> {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    impl Borrow<u64> for Wrapped<u64> {
        fn borrow(&self) -> &u64 {
            &self.0
        }
    }

    impl Borrow<str> for Wrapped<String> {
        fn borrow(&self) -> &str {
            &self.0
        }
    }

    let numbers: Cache<Wrapped<u64>, u64> = Cache::new(1_000);
    let words: Cache<Wrapped<String>, u64> = Cache::new(1_000);
    for n in 0..1_000 {
        numbers.insert(Wrapped(n), n);
        words.insert(Wrapped(n.to_string()), n);
    }
    for n in 0..1_000 {
        assert_eq!(numbers.get(&n), Some(n));
        assert_eq!(words.get(n.to_string().as_str()), Some(n));
    }
}

/// A key in two parts, looked up without building it.
#[derive(Hash, PartialEq, Eq)]
struct Route(String, u32);

struct RouteRef<'a>(&'a str, u32);

impl Hash for RouteRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
        self.1.hash(state);
    }
}

impl equivalent::Equivalent<Route> for RouteRef<'_> {
    fn equivalent(&self, key: &Route) -> bool {
        self.0 == key.0 && self.1 == key.1
    }
}

#[test]
fn every_lookup_takes_an_equivalent_key() {
    let cache: Cache<Route, &str> = Cache::new(10);
    cache.insert(Route("/users".to_owned(), 1), "first");
    cache.insert(Route("/users".to_owned(), 2), "second");
    assert_eq!(cache.get(&RouteRef("/users", 1)), Some("first"));
    assert_eq!(cache.get(&RouteRef("/users", 3)), None);
    assert_eq!(cache.get_with(&RouteRef("/users", 2), |v| v.len()), Some(6));
    assert_eq!(cache.peek(&RouteRef("/users", 2)), Some("second"));
    assert!(cache.contains_key(&RouteRef("/users", 1)));
    assert_eq!(cache.ttl(&RouteRef("/posts", 1)), None);
    assert_eq!(
        cache.get_many(&[RouteRef("/users", 2), RouteRef("/users", 9)]),
        [Some("second"), None]
    );
    assert!(cache.remove(&RouteRef("/users", 1)));
    assert_eq!(cache.take(&RouteRef("/users", 2)), Some("second"));
    assert!(cache.is_empty());
}

#[test]
fn get_with_reads_in_place() {
    struct NotClone(Vec<u8>);
    let cache = cache(10);
    cache.insert("a".to_owned(), NotClone(vec![1, 2, 3]));
    assert_eq!(cache.get_with("a", |v| v.0.len()), Some(3));
    let mut calls = 0;
    assert_eq!(cache.get_with("b", |_| calls += 1), None);
    assert_eq!(calls, 0, "the closure runs for a hit only");
}

#[test]
fn get_many_answers_in_the_order_of_the_keys() {
    let cache = tens(0..200);
    // Hits, misses and repeats, more of them than any batch the cache may cut the keys into.
    let keys: Vec<u64> = (0..500).map(|i| (i * 37) % 300).collect();
    let expected: Vec<_> = keys.iter().map(|&k| (k < 200).then_some(10 * k)).collect();
    assert_eq!(cache.get_many(&keys), expected);
    for size in [0, 1, 2, 7, 8, 31, 32, 33, 65] {
        assert_eq!(
            cache.get_many(&keys[..size]),
            expected[..size],
            "{size} keys"
        );
    }
    // An iterator that does not know its length.
    assert_eq!(
        cache.get_many(keys.iter().filter(|k| **k >= 199)),
        keys.iter()
            .filter(|k| **k >= 199)
            .map(|&k| (k == 199).then_some(1_990))
            .collect::<Vec<_>>()
    );
}

#[test]
fn reads_refresh_and_peeks_do_not() {
    type Touch = fn(&Cache<u64, u64>);
    let calls: [(&str, Touch, bool); 10] = [
        ("get", |c| assert_eq!(c.get(&0), Some(0)), true),
        (
            "get_with",
            |c| assert_eq!(c.get_with(&0, |v| *v), Some(0)),
            true,
        ),
        (
            "get_many",
            |c| assert_eq!(c.get_many(&[0]), [Some(0)]),
            true,
        ),
        ("insert", |c| c.insert(0, 0), true),
        ("update", |c| assert!(c.update(0, |_| Update::Set(0))), true),
        ("peek", |c| assert_eq!(c.peek(&0), Some(0)), false),
        ("contains_key", |c| assert!(c.contains_key(&0)), false),
        ("ttl", |c| assert_eq!(c.ttl(&0), Some(Ttl::Never)), false),
        ("iter", |c| assert_eq!(c.iter().count(), 3), false),
        ("retain", |c| c.retain(|_, _| true), false),
    ];
    for (call, touch, survives) in calls {
        let cache: Cache<u64, u64> = Cache::builder().max_keys(3).shards(1).build().unwrap();
        for key in 0..3 {
            cache.insert(key, 10 * key);
        }
        touch(&cache);
        cache.insert(3, 30);
        assert_eq!(cache.contains_key(&0), survives, "{call}");
        assert_eq!(cache.contains_key(&1), !survives, "{call}");
        assert!(cache.contains_key(&2) && cache.contains_key(&3), "{call}");
    }
}

// ---- removals --------------------------------------------------------------------------------------------------

#[test]
fn remove_says_whether_something_was_there() {
    let cache = cache(10);
    cache.insert("a".to_owned(), 1);
    assert!(cache.remove("a"));
    assert_eq!(cache.get("a"), None);
    assert!(!cache.remove("a"));
    assert_eq!(cache.len(), 0);
}

#[test]
fn take_removes_and_returns() {
    let cache = cache(10);
    cache.insert("a".to_owned(), Arc::new(1));
    assert_eq!(cache.take("a").as_deref(), Some(&1));
    assert!(!cache.contains_key("a"));
    assert_eq!(cache.take("a"), None);
}

#[test]
fn clear_empties_and_the_cache_fills_again() {
    let cache = tens(0..500);
    cache.clear();
    assert_eq!(cache.len(), 0);
    assert!(cache.is_empty());
    assert_eq!(contents(&cache), BTreeMap::new());
    for n in 0..1_000 {
        assert!(!cache.contains_key(&n));
        cache.insert(n, n);
    }
    assert_eq!(cache.len(), 1_000);
    cache.clear();
    cache.clear();
    assert!(cache.is_empty());
}

#[test]
fn retain_keeps_what_the_closure_keeps() {
    let cache = tens(0..300);
    let mut seen = BTreeMap::new();
    cache.retain(|&k, &v| {
        assert_eq!(seen.insert(k, v), None, "retain asked twice about {k}");
        k % 3 == 0
    });
    assert_eq!(seen, (0..300).map(|n| (n, 10 * n)).collect());
    assert_eq!(
        contents(&cache),
        (0..300).step_by(3).map(|n| (n, 10 * n)).collect()
    );
    assert_eq!(cache.len(), 100);
}

// ---- update ----------------------------------------------------------------------------------------------------

#[test]
fn update_sees_the_value_and_sets_a_new_one() {
    let cache = tens(0..3);
    let seen = Cell::new(None);
    assert!(cache.update(2, |old| {
        seen.set(old.copied());
        Update::Set(21)
    }));
    assert_eq!(seen.get(), Some(20));
    assert_eq!(cache.get(&2), Some(21));
    assert!(cache.update(9, |old| {
        assert_eq!(old, None);
        Update::Set(90)
    }));
    assert_eq!(cache.get(&9), Some(90));
    assert_eq!(cache.len(), 4);
}

#[test]
fn update_keep_changes_nothing() {
    let cache = tens(0..3);
    assert!(!cache.update(2, |_| Update::Keep));
    assert!(!cache.update(9, |_| Update::Keep));
    assert_eq!(contents(&cache), [(0, 0), (1, 10), (2, 20)].into());
    assert_eq!(cache.len(), 3);
}

#[test]
fn update_remove_removes() {
    let cache = tens(0..3);
    assert!(cache.update(2, |old| {
        assert_eq!(old, Some(&20));
        Update::Remove
    }));
    assert!(!cache.update(2, |old| {
        assert_eq!(old, None);
        Update::Remove
    }));
    assert_eq!(contents(&cache), [(0, 0), (1, 10)].into());
    assert_eq!(cache.len(), 2);
}

#[test]
fn update_set_keeps_the_remaining_ttl() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_keys(10)
        .ttl(Duration::from_secs(10))
        .clock(clock.clone())
        .build()
        .unwrap();
    cache.insert_with_ttl(1, 0, Duration::from_secs(60));
    cache.insert_with_ttl(2, 0, Ttl::Never);
    clock.advance(Duration::from_secs(20));
    for key in [1, 2, 3] {
        assert!(cache.update(key, |old| Update::Set(old.map_or(100, |v| v + 1))));
    }
    assert_eq!(cache.ttl(&1), Some(Ttl::After(Duration::from_secs(40))));
    assert_eq!(cache.ttl(&2), Some(Ttl::Never));
    // A new entry gets the cache's own.
    assert_eq!(cache.ttl(&3), Some(Ttl::After(Duration::from_secs(10))));
    assert_eq!(cache.get_many(&[1, 2, 3]), [Some(1), Some(1), Some(100)]);
    clock.advance(Duration::from_secs(40));
    assert_eq!(cache.get_many(&[1, 2, 3]), [None, Some(1), None]);
}

#[test]
fn update_set_with_ttl_sets_both() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder().clock(clock.clone()).build().unwrap();
    cache.insert(1, 10);
    let five = Ttl::After(Duration::from_secs(5));
    assert!(cache.update(1, |old| Update::SetWithTtl(old.unwrap() + 1, five)));
    assert!(cache.update(2, |_| Update::SetWithTtl(20, five)));
    assert_eq!(cache.get_many(&[1, 2]), [Some(11), Some(20)]);
    assert_eq!(cache.ttl(&1), Some(five));
    assert_eq!(cache.ttl(&2), Some(five));
    assert!(cache.update(1, |_| Update::SetWithTtl(12, Ttl::Never)));
    assert_eq!(cache.ttl(&1), Some(Ttl::Never));
    clock.advance(Duration::from_secs(5));
    assert_eq!(cache.get_many(&[1, 2]), [Some(12), None]);

    // A zero duration stores nothing and removes what was there, here as in `insert_with_ttl`.
    let zero = Ttl::After(Duration::ZERO);
    assert!(cache.update(1, |_| Update::SetWithTtl(13, zero)));
    assert!(!cache.update(3, |_| Update::SetWithTtl(30, zero)));
    assert_eq!(cache.get_many(&[1, 3]), [None, None]);
}

#[test]
fn update_sees_no_expired_value() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder()
        .ttl(Duration::from_secs(10))
        .clock(clock.clone())
        .build()
        .unwrap();
    cache.insert_with_ttl(1, 1, Duration::from_secs(60));
    clock.advance(Duration::from_secs(60));
    assert!(!cache.update(1, |old| {
        assert_eq!(old, None);
        Update::Remove
    }));
    assert!(cache.update(1, |old| {
        assert_eq!(old, None);
        Update::Set(2)
    }));
    assert_eq!(cache.get(&1), Some(2));
    assert_eq!(cache.ttl(&1), Some(Ttl::After(Duration::from_secs(10))));
}

// ---- iteration -------------------------------------------------------------------------------------------------

#[test]
fn iter_gives_each_entry_once() {
    assert_eq!(contents(&tens(0..0)), BTreeMap::new());
    assert_eq!(
        contents(&tens(0..777)),
        (0..777).map(|n| (n, 10 * n)).collect()
    );
}

#[test]
fn iter_skips_what_has_expired() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder().clock(clock.clone()).build().unwrap();
    for n in 0..100 {
        cache.insert_with_ttl(n, n, Duration::from_millis(1 + n));
    }
    clock.advance(Duration::from_millis(40));
    assert_eq!(contents(&cache), (40..100).map(|n| (n, n)).collect());
}

#[test]
fn iter_is_weakly_consistent() {
    let cache = tens(0..500);
    let mut iter = cache.iter();
    let mut seen = HashMap::new();
    for _ in 0..100 {
        let (k, v) = iter.next().unwrap();
        assert_eq!(seen.insert(k, v), None);
    }
    // Changes under way: what stays must appear exactly once, what comes and goes may appear or not.
    for n in 0..500 {
        if n % 2 == 1 {
            cache.remove(&n);
        }
    }
    for n in 1_000..1_300 {
        cache.insert(n, 10 * n);
    }
    for (k, v) in iter {
        assert_eq!(seen.insert(k, v), None, "{k} came twice");
    }
    for n in (0..500).step_by(2) {
        assert_eq!(seen.get(&n), Some(&(10 * n)), "{n} was there all along");
    }
    for (k, v) in seen {
        assert!(k < 500 || (1_000..1_300).contains(&k), "{k} never was");
        assert_eq!(v, 10 * k);
    }
}

#[test]
fn iter_stays_valid_after_clear() {
    let cache = tens(0..300);
    let mut iter = cache.iter();
    let first = iter.next().unwrap();
    cache.clear();
    let rest: Vec<_> = iter.collect();
    assert!(rest.len() < 300);
    assert!(rest.iter().chain([&first]).all(|&(k, v)| v == 10 * k));
    assert!(cache.is_empty());
}

// ---- sizes and counts ------------------------------------------------------------------------------------------

#[test]
fn len_follows_the_writes() {
    let cache = cache(3);
    assert!(cache.is_empty());
    assert_eq!(cache.max_keys(), 3);
    for (key, len) in [("a", 1), ("b", 2), ("b", 2), ("c", 3), ("d", 3)] {
        cache.insert(key.to_owned(), 0);
        assert_eq!(cache.len(), len);
        assert!(!cache.is_empty());
    }
    cache.remove("d");
    assert_eq!(cache.len(), 2);
}

#[test]
fn stats_count_what_happened() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_keys(100)
        .shards(1)
        .clock(clock.clone())
        .build()
        .unwrap();
    let fresh = cache.stats();
    assert_eq!((fresh.hits, fresh.misses, fresh.inserts), (0, 0, 0));
    assert_eq!((fresh.evictions, fresh.expirations), (0, 0));
    assert_eq!(fresh.hit_ratio(), 0.0, "no lookup yet: a number, not NaN");

    for n in 0..130 {
        cache.insert(n, n);
    }
    let after = cache.stats();
    assert_eq!((after.inserts, after.evictions), (130, 30));

    // Keys 30..130 are there.
    assert_eq!(cache.get(&0), None);
    assert_eq!(cache.get(&30), Some(30));
    assert_eq!(cache.get_with(&31, |v| *v), Some(31));
    assert_eq!(cache.get_with(&1, |v| *v), None);
    assert_eq!(cache.get_many(&[32, 33, 2]), [Some(32), Some(33), None]);
    // These look without counting.
    assert_eq!((cache.peek(&40), cache.peek(&3)), (Some(40), None));
    assert!(cache.contains_key(&40) && !cache.contains_key(&3));
    assert_eq!(cache.ttl(&40), Some(Ttl::Never));
    let after = cache.stats();
    assert_eq!((after.hits, after.misses), (4, 3));
    assert!((after.hit_ratio() - 4.0 / 7.0).abs() < 1e-12);

    // Removals are not evictions; expirations count when the entries go.
    for n in 100..130 {
        assert!(cache.remove(&n));
    }
    for n in 200..220 {
        cache.insert_with_ttl(n, n, Duration::from_secs(1));
    }
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.purge_expired(), 20);
    let after = cache.stats();
    assert_eq!((after.evictions, after.expirations), (30, 20));
}

#[test]
fn stats_add_up_over_threads() {
    let cache = tens(0..100);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                for n in 0..500 {
                    cache.get(&(n % 125));
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (8_000, 2_000));
    assert!((stats.hit_ratio() - 0.8).abs() < 1e-12);
}

#[test]
fn stats_add_up_over_more_threads_than_cores() {
    let cache = tens(0..10);
    // All alive at once, so that no two can share what is meant for one.
    let all_alive = std::sync::Barrier::new(100);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                for n in 0..20 {
                    all_alive.wait();
                    cache.get(&n);
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (1_000, 1_000));
}

// ---- building --------------------------------------------------------------------------------------------------

#[test]
fn the_builder_sets_what_it_says() {
    let cache: Cache<u64, u64> = Cache::builder().max_keys(4_096).shards(4).build().unwrap();
    assert_eq!((cache.max_keys(), cache.shards()), (4_096, 4));
    cache.insert(1, 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::Never));

    let cache: Cache<u64, u64> = Cache::builder().build().unwrap();
    assert_eq!(cache.max_keys(), 10_000);
    assert!(cache.shards().is_power_of_two());
    assert!(cache.shards() * 64 <= 10_000, "at least 64 keys a shard");

    let small: Cache<u64, u64> = Cache::builder().max_keys(64).build().unwrap();
    assert_eq!(small.shards(), 1, "a small cache is one exact LRU");
    let tiny: Cache<u64, u64> = Cache::builder().max_keys(1).build().unwrap();
    assert_eq!(tiny.shards(), 1);

    let clock = ManualClock::new();
    let cache: Cache<u64, u64, common::Identity> = Cache::builder()
        .hasher(common::Identity)
        .ttl(Ttl::After(Duration::from_secs(3)))
        .clock(clock.clone())
        .build()
        .unwrap();
    cache.insert(1, 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::After(Duration::from_secs(3))));
    assert_eq!(cache.get(&1), Some(1));

    let cache = Cache::<u32, String>::builder().build().unwrap();
    cache.insert(1, "one".to_owned());
    assert_eq!(cache.get(&1).as_deref(), Some("one"));
}

/// The error of `build()` for this many keys and shards.
fn refused(max_keys: usize, shards: Option<usize>) -> Error {
    let mut builder = Cache::<u64, u64>::builder().max_keys(max_keys);
    if let Some(shards) = shards {
        builder = builder.shards(shards);
    }
    match builder.build() {
        Ok(_) => panic!("max_keys {max_keys}, shards {shards:?} was accepted"),
        Err(error) => error,
    }
}

#[test]
fn bad_input_is_a_typed_error_that_says_what_is_allowed() {
    let error = refused(0, None);
    assert!(error.is_invalid_config());
    let text = error.to_string();
    assert!(text.contains("max_keys"), "{text}");
    assert!(
        text.contains('0') && text.contains('1'),
        "given and least allowed: {text}"
    );

    for shards in [
        0,
        3,
        6,
        1_000,
        (1 << 20) + 1,
        usize::MAX,
        1 << (usize::BITS - 1),
    ] {
        let error = refused(1 << 20, Some(shards));
        assert!(error.is_invalid_config());
        let text = error.to_string();
        assert!(text.contains("shards"), "{text}");
        assert!(text.contains(&shards.to_string()), "what was given: {text}");
        assert!(text.contains("power of two"), "what is allowed: {text}");
    }
}

#[test]
fn a_cache_whose_entries_would_never_live_is_refused() {
    let built = Cache::<u64, u64>::builder().ttl(Duration::ZERO).build();
    let error = built.expect_err("a default ttl of zero was accepted");
    assert!(error.is_invalid_config());
    assert!(error.to_string().contains("ttl"), "{error}");
}

#[test]
fn an_absurd_max_keys_is_refused_or_costs_nothing_up_front() {
    for max_keys in [1 << 40, usize::MAX / 2, usize::MAX] {
        match Cache::<u64, u64>::builder().max_keys(max_keys).build() {
            Ok(cache) => {
                cache.insert(1, 2);
                assert_eq!(cache.get(&1), Some(2));
                assert_eq!(cache.max_keys(), max_keys);
            }
            Err(error) => {
                assert!(error.is_invalid_config());
                let text = error.to_string();
                assert!(text.contains("max_keys"), "{text}");
                assert!(text.contains(&max_keys.to_string()), "{text}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "max_keys")]
fn new_panics_on_zero() {
    let _ = Cache::<u64, u64>::new(0);
}

#[test]
fn zero_sized_keys_and_values_work() {
    let cache: Cache<(), ()> = Cache::new(1);
    assert_eq!(cache.get(&()), None);
    cache.insert((), ());
    assert_eq!(cache.get(&()), Some(()));
    assert_eq!(cache.len(), 1);
    assert!(cache.remove(&()));
    assert!(cache.is_empty());
}

#[test]
fn large_and_overaligned_values_work() {
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(128))]
    struct Page([u64; 512]);
    let cache: Cache<u64, Page> = Cache::new(64);
    for n in 0..200 {
        cache.insert(n, Page([n; 512]));
    }
    assert_eq!(cache.len(), 64);
    for n in 136..200 {
        let read = cache.get_with(&n, |page| {
            let aligned = std::ptr::from_ref(page).addr() % 128 == 0;
            (aligned, page.clone())
        });
        assert_eq!(read, Some((true, Page([n; 512]))));
    }
}
