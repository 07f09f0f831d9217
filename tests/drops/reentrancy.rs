//! User code that calls the cache it is called by does no harm.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::support::{Census, Counted, PATIENCE, quiet, within};
use nori_cache::{Cache, ManualClock, Update};

/// Everything a cache of `u64 → u64` can be asked.
fn everything(cache: &Cache<u64, u64>) {
    cache.clear();
    cache.insert(1, 1);
    cache.insert_with_ttl(2, 2, Duration::from_secs(1));
    assert_eq!(cache.get_many(&[1, 2, 3]), [Some(1), Some(2), None]);
    assert_eq!(cache.get_with(&1, |v| *v), Some(1));
    assert_eq!(cache.peek(&1), Some(1));
    assert!(cache.update(1, |v| Update::Set(v.unwrap() + 1)));
    assert_eq!(cache.take(&1), Some(2));
    assert!(cache.remove(&2));
    cache.purge_expired();
    cache.retain(|k, _| k % 2 == 0);
    assert!(cache.iter().all(|(k, _)| k % 2 == 0));
    cache.clear();
    assert!(cache.is_empty());
    for n in 0..200 {
        cache.insert(n, n);
    }
    assert_eq!(cache.len(), cache.max_keys());
}

#[test]
fn closures_may_call_the_same_cache() {
    let _quiet = quiet();
    within(PATIENCE, || {
        let cache: Cache<u64, u64> = Cache::builder().max_keys(64).shards(1).build().unwrap();
        cache.insert(7, 77);
        let read = cache.get_with(&7, |v| {
            everything(&cache);
            // Removed, its room used again by others: what was lent stays as it was.
            assert!(!cache.contains_key(&7));
            *v
        });
        assert_eq!(read, Some(77));

        cache.clear();
        cache.insert(7, 77);
        let mut runs = 0;
        assert!(cache.update(7, |v| {
            runs += 1;
            let old = v.copied();
            if runs == 1 {
                assert_eq!(old, Some(77));
                everything(&cache);
                cache.insert(7, 78);
            }
            assert_eq!(v.copied(), old);
            Update::Set(old.unwrap_or(0) + 1)
        }));
        assert_eq!(
            cache.get(&7),
            Some(79),
            "the update saw what came in between"
        );
        assert!(runs >= 2);

        cache.clear();
        for n in 0..64 {
            cache.insert(n, n);
        }
        let mut runs = 0;
        cache.retain(|_, _| {
            runs += 1;
            if runs == 5 {
                everything(&cache);
            }
            true
        });
        assert!(runs >= 5);
        assert_eq!(cache.len(), 64);

        for (k, _) in cache.iter().take(10) {
            cache.remove(&k);
            cache.insert(k + 1_000, 0);
        }
        everything(&cache);
    });
}

/// A value that calls the cache it was in when it is dropped.
struct Caller {
    cache: Cache<u64, Caller>,
    key: u64,
    calls: Arc<AtomicUsize>,
}

impl Caller {
    /// Later calls do nothing, or each new value's drop would go on for ever.
    const CALLS: usize = 20_000;

    fn another(&self, key: u64) -> Self {
        Self {
            cache: self.cache.clone(),
            key,
            calls: self.calls.clone(),
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if call >= Self::CALLS {
            return;
        }
        let (cache, key) = (&self.cache, self.key);
        let long = Duration::from_secs(60);
        match call % 11 {
            0 => drop(cache.get_with(&key, |v| v.key)),
            1 => drop(cache.remove(&(key + 1))),
            2 => _ = cache.insert(key + 100, self.another(key + 100)),
            3 => _ = cache.insert_with_ttl(key, self.another(key), long),
            4 => drop(cache.update(key, |_| Update::Set(self.another(key)))),
            5 => drop(cache.purge_expired()),
            6 if call % 110 == 6 => cache.retain(|k, _| k % 2 == 0),
            7 if call % 110 == 7 => cache.clear(),
            8 => _ = cache.insert_with_ttl(key, self.another(key), Duration::ZERO),
            9 => {
                _ = cache.insert_with_ttl(key + 1, self.another(key + 1), Duration::from_millis(1))
            }
            _ => assert!(cache.len() <= cache.max_keys()),
        }
    }
}

#[test]
fn a_drop_may_call_the_same_cache() {
    let _quiet = quiet();
    for (max_keys, shards) in [(1, 1), (2, 2), (4, 4), (10, 2), (64, 1), (500, 8)] {
        within(PATIENCE, move || {
            let clock = ManualClock::new();
            let cache: Cache<u64, Caller> = Cache::builder()
                .max_keys(max_keys)
                .shards(shards)
                .clock(clock.clone())
                .build()
                .unwrap();
            let calls = Arc::new(AtomicUsize::new(0));
            let caller = |key| Caller {
                cache: cache.clone(),
                key,
                calls: calls.clone(),
            };
            for round in 0..50 {
                for n in 0..2 * max_keys as u64 {
                    cache.insert(n + round, caller(n + round));
                    let short = Duration::from_millis(1 + n % 3);
                    cache.insert_with_ttl(n + 1_000, caller(n + 1_000), short);
                    if n % 2 == 0 {
                        clock.advance(Duration::from_millis(1));
                    }
                }
                match round % 5 {
                    0 => cache.clear(),
                    1 => cache.retain(|k, _| k % 3 == 0),
                    2 => drop(cache.remove(&(round + 99))),
                    3 => drop(cache.update(round, |_| Update::Remove)),
                    _ => drop(cache.purge_expired()),
                }
                assert!(cache.len() <= max_keys);
            }
            assert!(calls.fetch_add(Caller::CALLS, Ordering::Relaxed) > 0);
            cache.clear();
            assert!(cache.is_empty());
            assert_eq!(Arc::strong_count(&calls), 1, "all callers are gone");
            for n in 0..max_keys as u64 {
                cache.insert(n, caller(n));
            }
            assert_eq!(cache.len(), max_keys, "all of the room is left");
            cache.clear();
        });
    }
}

/// What is dropped makes new garbage, as writers on other threads do: `clear` and the like drop what was there when they were
/// called, and leave the rest to others.
#[test]
fn a_collection_ends_though_garbage_keeps_coming() {
    struct Phoenix(Cache<u64, Phoenix>, Arc<AtomicUsize>);

    /// Then they stay dead, so that a collection without end is a failed test.
    const LIVES: usize = 100_000;

    thread_local! {
        static RISING: Cell<bool> = const { Cell::new(false) };
    }

    impl Drop for Phoenix {
        fn drop(&mut self) {
            let Self(cache, lives) = self;
            if !RISING.get() && lives.fetch_add(1, Ordering::Relaxed) < LIVES {
                RISING.set(true);
                cache.insert(0, Self(cache.clone(), lives.clone()));
                RISING.set(false);
            }
        }
    }

    let _quiet = quiet();
    type Collect = fn(&Cache<u64, Phoenix>);
    let ways: [(&str, Collect); 3] = [
        ("clear", |cache| cache.clear()),
        ("retain", |cache| cache.retain(|_, _| false)),
        ("purge_expired", |cache| {
            cache.purge_expired();
        }),
    ];
    for (name, collect) in ways {
        let cache = Cache::builder().max_keys(100).shards(1).build().unwrap();
        let lives = Arc::new(AtomicUsize::new(0));
        for key in 0..100 {
            cache.insert(key, Phoenix(cache.clone(), lives.clone()));
        }
        for key in 0..20 {
            cache.remove(&key);
        }
        collect(&cache);
        let before = lives.swap(LIVES, Ordering::Relaxed);
        assert!((1..1_000).contains(&before), "{name}: {before}");
        cache.clear();
    }
}

#[test]
fn a_clone_may_call_the_same_cache() {
    let _quiet = quiet();
    struct Cloner(Cache<u64, Cloner>, u64);

    impl Clone for Cloner {
        fn clone(&self) -> Self {
            let (cache, n) = (&self.0, self.1);
            assert!(cache.contains_key(&2));
            cache.insert(n + 100, Self(cache.clone(), n + 100));
            assert!(cache.remove(&(n + 100)));
            cache.insert(n, Self(cache.clone(), n));
            Self(cache.clone(), n)
        }
    }

    within(PATIENCE, || {
        let cache: Cache<u64, Cloner> = Cache::builder().max_keys(64).shards(1).build().unwrap();
        for n in 0..4 {
            cache.insert(n, Cloner(cache.clone(), n));
        }
        assert_eq!(cache.get(&1).map(|v| v.1), Some(1));
        assert_eq!(cache.peek(&1).map(|v| v.1), Some(1));
        let many = cache.get_many(&[0, 1, 9]);
        let tags: Vec<_> = many.iter().map(|v| v.as_ref().map(|v| v.1)).collect();
        assert_eq!(tags, [Some(0), Some(1), None]);
        assert_eq!(cache.take(&3).map(|v| v.1), Some(3));
        assert!(cache.iter().all(|(k, v)| k == v.1));
        cache.clear();
    });
}

#[test]
fn updates_of_one_key_nest() {
    let _quiet = quiet();
    within(PATIENCE, || {
        let cache: Cache<u64, Vec<u8>> = Cache::new(10);
        let mut first = true;
        cache.update(1, |old| {
            if std::mem::take(&mut first) {
                cache.update(1, |old| {
                    assert_eq!(old, None);
                    Update::Set(vec![1])
                });
            }
            let mut new = old.cloned().unwrap_or_default();
            new.push(2);
            Update::Set(new)
        });
        assert_eq!(cache.get(&1), Some(vec![1, 2]));
    });
}

#[test]
fn a_value_lent_to_a_reader_survives_its_removal() {
    let _quiet = quiet();
    let census = Census::new();
    let cache: Cache<u64, Counted> = Cache::new(64);
    cache.insert(1, census.counted(41));
    thread::scope(|scope| {
        let (entered, has_entered) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel::<()>();
        let cache = &cache;
        let reader = scope.spawn(move || {
            cache.get_with(&1, |v| {
                entered.send(()).unwrap();
                may_leave.recv().unwrap();
                (v.tag, v.clone().tag)
            })
        });
        has_entered.recv().unwrap();
        assert!(cache.remove(&1));
        cache.clear();
        for n in 0..10_000 {
            cache.insert(n, census.counted(n));
        }
        cache.clear();
        assert!(census.alive() >= 1, "it is being read");
        leave.send(()).unwrap();
        assert_eq!(reader.join().unwrap(), Some((41, 41)));
    });
    cache.clear();
    assert_eq!(census.alive(), 0);
}
