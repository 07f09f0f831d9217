//! Whichever way an expired entry leaves, it is counted once, as expired.

use std::time::Duration;

use nori_cache::{Cache, ManualClock, Ttl, Update};

const MS: Duration = Duration::from_millis(1);

/// A full cache of four keys, of which 1 has expired.
fn cache() -> (Cache<u64, u64>, ManualClock) {
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .max_keys(4)
        .clock(clock.clone())
        .build()
        .unwrap();
    cache.insert_with_ttl(1, 1, MS);
    (2..5).for_each(|n| _ = cache.insert(n, n));
    clock.advance(MS);
    (cache, clock)
}

#[track_caller]
fn counts(leave: impl Fn(&Cache<u64, u64>)) {
    let (cache, _clock) = cache();
    leave(&cache);
    let stats = cache.stats();
    assert_eq!((stats.expirations, stats.evictions), (1, 0));
    assert!((2..5).all(|n| cache.contains_key(&n)) || cache.is_empty());
    // It is not counted again when it is dropped, or when its deadline comes up in the wheel.
    (0..20).for_each(|n| _ = cache.insert(n % 2, n));
    cache.purge_expired();
    assert_eq!(cache.stats().expirations, 1);
}

#[test]
fn by_any_way() {
    counts(|cache| assert!(!cache.remove(&1)));
    counts(|cache| assert_eq!(cache.take(&1), None));
    counts(|cache| _ = cache.insert(1, 2));
    counts(|cache| _ = cache.insert_with_ttl(1, 2, Duration::ZERO));
    counts(|cache| assert!(cache.update(1, |_| Update::Set(2))));
    counts(|cache| assert!(cache.update(1, |_| Update::SetWithTtl(2, Ttl::Never))));
    counts(|cache| cache.retain(|_, _| true));
    counts(|cache| cache.clear());
    counts(|cache| assert_eq!(cache.purge_expired(), 1));
    counts(|cache| _ = cache.insert(9, 9));
}

/// A wheel that has no share of work left to find them: they leave one after the other, each its own way.
#[test]
fn many_by_many_ways() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_keys(1_000)
        .clock(clock.clone())
        .build()
        .unwrap();
    for n in 0..1_000 {
        cache.insert_with_ttl(n, n, MS);
    }
    clock.advance(MS);
    for n in 0..100 {
        cache.insert_with_ttl(n, n, Ttl::Never);
        cache.remove(&(n + 100));
        cache.update(n + 200, |old| {
            assert_eq!(old, None);
            Update::SetWithTtl(n, Ttl::Never)
        });
    }
    cache.retain(|key, _| *key < 150);
    let stats = cache.stats();
    assert_eq!((stats.expirations, stats.evictions), (1_000, 0));
    assert_eq!(cache.len(), 100);
}

/// What is live is not counted so, whichever way it leaves.
#[test]
fn live_entries_are_not_counted() {
    let (cache, _clock) = cache();
    cache.purge_expired();
    cache.insert_with_ttl(2, 0, MS);
    cache.insert(2, 1);
    cache.remove(&2);
    cache.update(3, |_| Update::Remove);
    cache.retain(|_, _| false);
    cache.clear();
    assert_eq!((cache.stats().expirations, cache.len()), (1, 0));
}
