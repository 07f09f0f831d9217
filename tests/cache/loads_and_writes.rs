//! Writes during a load win over it: what the load brings is not stored, and who asks after the write loads afresh.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::Constant;
use crate::watchdog::ends;
use nori_cache::{Cache, Error, ManualClock, Ttl, Update};

const KEY: u64 = 1;

type Subject = Cache<u64, u64, Constant>;

fn cache() -> Subject {
    Cache::builder()
        .max_keys(100)
        .hasher(Constant::default())
        .clock(ManualClock::new())
        .build()
        .unwrap()
}

/// What is left in the cache when a load of 1 meets this write, which another thread makes during it.
fn beside(write: impl Fn(&Subject) + Sync) -> Option<u64> {
    let cache = cache();
    let loaded = cache.get_or_insert_with(&KEY, || {
        thread::scope(|scope| scope.spawn(|| write(&cache)).join().unwrap());
        1
    });
    assert_eq!(loaded, 1, "its caller gets what it loaded");
    let left = cache.get(&KEY);
    // The same by the loader itself, with one call for many, and with a future.
    let own = self::cache();
    own.get_or_insert_with(&KEY, || {
        write(&own);
        1
    });
    assert_eq!(own.get(&KEY), left, "by the loader");
    let many = self::cache();
    let loaded = many.get_or_load_many(&[7, KEY], |_| {
        write(&many);
        [(KEY, 1), (7, 1)]
    });
    assert_eq!(loaded, [Some(1), Some(1)]);
    assert_eq!(many.get(&KEY), left, "one of many");
    left
}

#[test]
fn an_insertion_wins() {
    assert_eq!(beside(|cache| _ = cache.insert(KEY, 2)), Some(2));
    assert_eq!(
        beside(|cache| _ = cache.insert_with_ttl(KEY, 2, Ttl::Never)),
        Some(2)
    );
    assert_eq!(
        beside(|cache| _ = cache.insert_with_ttl(KEY, 2, Duration::ZERO)),
        None
    );
}

#[test]
fn a_removal_wins_also_one_that_finds_nothing() {
    assert_eq!(beside(|cache| assert!(!cache.remove(&KEY))), None);
    assert_eq!(beside(|cache| assert_eq!(cache.take(&KEY), None)), None);
    let insert_and_remove = |cache: &Subject| {
        cache.insert(KEY, 2);
        cache.remove(&KEY);
    };
    assert_eq!(beside(insert_and_remove), None);
}

#[test]
fn clear_and_retain_win() {
    assert_eq!(beside(Subject::clear), None);
    assert_eq!(beside(|cache| cache.retain(|_, _| true)), None);
}

#[test]
fn an_update_wins_if_it_changes_anything() {
    let update = |cache: &Subject, update: Update<u64>| {
        cache.update(KEY, |current| {
            assert_eq!(current, None);
            update
        });
    };
    assert_eq!(beside(|cache| update(cache, Update::Set(2))), Some(2));
    assert_eq!(
        beside(|cache| update(cache, Update::SetWithTtl(2, Ttl::Never))),
        Some(2)
    );
    assert_eq!(beside(|cache| update(cache, Update::Remove)), None);
    assert_eq!(beside(|cache| update(cache, Update::Keep)), Some(1));
}

#[test]
fn reads_and_writes_of_other_keys_do_not() {
    let others = |cache: &Subject| {
        cache.insert(2, 2);
        cache.remove(&3);
        cache.update(4, |_| Update::Remove);
        cache.get(&KEY);
        cache.peek(&KEY);
        cache.purge_expired();
        cache.get_or_insert_with(&5, || 5);
    };
    assert_eq!(beside(others), Some(1));
}

#[test]
fn who_asks_after_the_write_does_not_get_what_was_loaded_before_it() {
    ends(|| {
        let cache = cache();
        let loaded = cache.get_or_insert_with(&KEY, || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    cache.remove(&KEY);
                    assert_eq!(cache.get_or_insert_with(&KEY, || 2), 2);
                });
            });
            1
        });
        assert_eq!(loaded, 1);
        assert_eq!(cache.get(&KEY), Some(2), "the later load stays");
    });
}

#[test]
fn a_loader_that_removes_its_key_may_load_it_again() {
    let cache = cache();
    let loaded = cache.try_get_or_insert_with(&KEY, || {
        cache.remove(&KEY);
        cache
            .try_get_or_insert_with(&KEY, || Ok::<_, Error>(2))
            .map(|value| value + 1)
    });
    assert_eq!((loaded.unwrap(), cache.get(&KEY)), (3, Some(2)));
}

#[test]
fn no_read_is_older_than_the_last_removal_before_it() {
    // The truth grows, and each change of it is followed by a removal: who asks after that must see no less.
    ends(|| {
        const CHANGES: u64 = 20_000;
        let cache: Cache<u64, u64> = Cache::new(16);
        let truth = AtomicU64::new(0);
        let removed = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        let least = removed.load(Ordering::SeqCst);
                        let value =
                            cache.get_or_insert_with(&KEY, || truth.load(Ordering::Relaxed));
                        assert!(value >= least, "{value} after {least} was removed");
                        if value == CHANGES {
                            break;
                        }
                    }
                });
            }
            for change in 1..=CHANGES {
                truth.store(change, Ordering::Relaxed);
                cache.remove(&KEY);
                removed.store(change, Ordering::SeqCst);
            }
        });
        // Nothing, if the load of the last value was itself overtaken by the last removal, and nobody asked again.
        assert!(cache.get(&KEY).is_none_or(|last| last == CHANGES));
    });
}
