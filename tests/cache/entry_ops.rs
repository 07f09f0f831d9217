//! Writes that depend on what is there, and ways through all entries.

use std::cell::Cell;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Constant, PATIENCE};
use nori_cache::{Cache, ManualClock, Ttl, Update};

const MINUTE: Duration = Duration::from_secs(60);

fn timed() -> (Cache<u32, u32>, ManualClock) {
    let clock = ManualClock::new();
    let cache = Cache::builder().ttl(MINUTE).clock(clock.clone()).build();
    (cache.unwrap(), clock)
}

#[test]
fn expired_entries_count_as_absent() {
    let (cache, clock) = timed();
    cache.insert(1, 1);
    clock.advance(MINUTE / 2);
    assert_eq!(cache.insert_if_absent(1, 2), Err(2));
    assert_eq!(
        cache.ttl(&1),
        Some(Ttl::After(MINUTE / 2)),
        "it stays as it is"
    );
    assert_eq!(cache.replace(1, 3), Ok(()));
    assert_eq!(cache.ttl(&1), Some(Ttl::After(MINUTE)), "it is a new entry");
    clock.advance(MINUTE);
    assert!(!cache.remove_if(&1, |_| unreachable!("it has expired")));
    cache.for_each(|_, _| unreachable!("it has expired"));
    assert!(cache.keys().is_empty() && cache.drain().next().is_none());
    assert_eq!(cache.replace(1, 4), Err(4));
    assert_eq!(cache.insert_if_absent(1, 5), Ok(()));
    assert_eq!(cache.get(&1), Some(5));
}

#[test]
fn what_is_not_stored_is_given_back_and_need_not_be_clone() {
    struct Unique(u32);

    let cache: Cache<u32, Unique> = Cache::new(10);
    assert!(cache.insert_if_absent(1, Unique(1)).is_ok());
    assert_eq!(cache.insert_if_absent(1, Unique(2)).err().unwrap().0, 2);
    assert_eq!(cache.replace(2, Unique(3)).err().unwrap().0, 3);
    assert_eq!(cache.get_with(&1, |unique| unique.0), Some(1));
}

#[test]
fn one_of_many_inserts_where_nothing_is() {
    // All keys of a shard hash alike, so that they are in each other's way.
    let cache: Cache<u64, u64, Constant> = Cache::builder()
        .max_keys(1_000)
        .hasher(Constant(7))
        .build()
        .unwrap();
    let start = Barrier::new(4);
    let winners: usize = thread::scope(|scope| {
        let threads = [0, 1, 2, 3].map(|thread| {
            let (cache, start) = (&cache, &start);
            scope.spawn(move || {
                start.wait();
                let wins = |key: &u64| {
                    let wins = cache.insert_if_absent(*key, thread).is_ok();
                    assert!(!wins || cache.get(key) == Some(thread));
                    wins
                };
                (0..50).filter(wins).count()
            })
        });
        threads
            .map(|thread| thread.join().unwrap())
            .into_iter()
            .sum()
    });
    assert_eq!((winners, cache.len()), (50, 50));
}

#[test]
fn an_update_returns_what_its_last_run_returned() {
    let cache: Cache<u32, u32> = Cache::new(10);
    let runs = Cell::new(0);
    let result = cache.update_with(1, |current| {
        runs.set(runs.get() + 1);
        if runs.get() == 1 {
            cache.insert(1, 10);
        }
        (
            Update::Set(current.map_or(0, |n| n + 1)),
            (runs.get(), current.copied()),
        )
    });
    assert_eq!(result, (2, Some(10)));
    assert_eq!(cache.get(&1), Some(11));
    assert_eq!(
        cache.update_with(2, |current| (Update::Keep, current.copied())),
        None
    );
}

#[test]
fn remove_if_removes_what_it_was_shown() {
    let cache: Cache<u32, u32> = Cache::new(10);
    cache.insert(1, 1);
    let shown = Cell::new(0);
    // Replaced while the closure looks: it is asked again, about the new value.
    let removed = cache.remove_if(&1, |value| {
        shown.set(shown.get() + 1);
        if shown.get() == 1 {
            cache.insert(1, 2);
        }
        *value == 1
    });
    assert_eq!((removed, shown.get(), cache.get(&1)), (false, 2, Some(2)));
    assert!(cache.remove_if(&1, |value| *value == 2));
    assert!(!cache.remove_if(&1, |_| true));
}

#[test]
fn they_win_over_loads() {
    let cache: Cache<u32, u32> = Cache::new(10);
    let during = |write: &dyn Fn()| {
        cache.clear();
        let loaded = cache.get_or_insert_with(&1, || {
            write();
            1
        });
        assert_eq!(loaded, 1);
        cache.get(&1)
    };
    assert_eq!(
        during(&|| assert!(cache.insert_if_absent(1, 2).is_ok())),
        Some(2)
    );
    assert_eq!(during(&|| assert!(!cache.remove_if(&1, |_| true))), None);
    assert_eq!(during(&|| cache.invalidate_if(|_, _| false)), None);
    assert_eq!(
        during(&|| cache.update_with(1, |_| (Update::Set(3), ()))),
        Some(3)
    );
    assert_eq!(
        during(&|| assert!(cache.insert_if_absent(2, 2).is_ok())),
        Some(1)
    );
    assert_eq!(during(&|| assert!(!cache.remove_if(&2, |_| true))), Some(1));
}

#[test]
fn closures_may_call_the_cache() {
    let cache: Cache<u32, u32> = Cache::builder().max_keys(100).shards(2).build().unwrap();
    (0..50).for_each(|n| _ = cache.insert(n, n));
    cache.for_each(|key, value| {
        assert_eq!(cache.get(key).is_some(), key == value);
        cache.insert(*key, value + 1);
    });
    let mut keys = cache.keys();
    keys.sort_unstable();
    assert_eq!(keys, (0..50).collect::<Vec<_>>());
    cache.invalidate_if(|key, _| {
        cache.get(key);
        key % 2 == 0
    });
    assert_eq!(cache.len(), 25);
}

#[test]
fn each_entry_is_drained_once() {
    let cache: Cache<u32, u32> = Cache::builder().max_keys(10_000).shards(8).build().unwrap();
    (0..10_000).for_each(|n| _ = cache.insert(n, n));
    let mut drain = cache.drain();
    let (one, other) = (drain.next().unwrap(), drain.next().unwrap());
    drop(drain);
    assert_eq!(cache.len(), 9_998, "what was not asked for stays");
    let start = Barrier::new(3);
    let mut drained = thread::scope(|scope| {
        let threads = [(); 3].map(|()| {
            scope.spawn(|| {
                start.wait();
                cache.drain().collect::<Vec<_>>()
            })
        });
        threads.map(|thread| thread.join().unwrap()).concat()
    });
    drained.extend([one, other]);
    drained.sort_unstable();
    assert_eq!(drained, (0..10_000).map(|n| (n, n)).collect::<Vec<_>>());
    assert!(cache.is_empty());
}

/// Writes until what has left the cache is dropped. A thread that were still inside of a read would wait for itself.
fn until_others_are_dropped(cache: &Cache<u32, u32>) {
    let start = Instant::now();
    (1_000..2_000).for_each(|n| _ = cache.insert(n, n));
    while cache.stats().pending >= 100 {
        (1_000..2_000).for_each(|n| _ = cache.insert(n, n));
        assert!(start.elapsed() < PATIENCE, "nothing is dropped");
    }
}

#[test]
fn closures_keep_nothing_but_their_entry() {
    let cache = Cache::builder().max_keys(500).shards(1).build().unwrap();
    cache.insert(1, 1);
    let mut shown = 0;
    cache.for_each(|key, value| {
        until_others_are_dropped(&cache);
        assert_eq!((*key, *value), (1, 1), "what is shown stays");
        shown += 1;
    });
    assert_eq!(shown, 1);
    cache.insert(1, 1);
    let removed = cache.remove_if(&1, |value| {
        until_others_are_dropped(&cache);
        *value == 1
    });
    assert!(!removed, "it was evicted meanwhile");
}
