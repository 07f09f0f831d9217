//! What writes, iteration and the counters promise, one thread at a time.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::support::{cache, tens};
use nori_cache::{Cache, ManualClock, Ttl, Update};

fn contents(cache: &Cache<u64, u64>) -> BTreeMap<u64, u64> {
    let seen: Vec<_> = cache.iter().collect();
    let map: BTreeMap<_, _> = seen.iter().copied().collect();
    assert_eq!(map.len(), seen.len(), "iter gave a key twice");
    map
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
