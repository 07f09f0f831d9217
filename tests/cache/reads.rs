//! Reads: what they find, and by which keys.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use crate::support::{cache, tens};
use nori_cache::{Cache, Ttl, Update};

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
        ("insert", |c| _ = c.insert(0, 0), true),
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
