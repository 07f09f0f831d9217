//! Every key and value is dropped exactly once, and in time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use crate::support::{Census, Counted, Rng, quiet};
use nori_cache::{Cache, ManualClock, Ttl, Update};

/// How much garbage may wait for later writes, beside what is live. Generous: the point is that it is bounded.
const LAG: usize = 4_096;

fn counted(max_keys: usize) -> (Census, Cache<Counted, Counted>) {
    let cache = Cache::builder().max_keys(max_keys).build().unwrap();
    (Census::new(), cache)
}

/// A cache of four shards, and the clock for its times to live.
fn timed(max_keys: usize) -> (ManualClock, Cache<u64, Counted>) {
    let clock = ManualClock::new();
    let builder = Cache::builder().max_keys(max_keys).shards(4);
    let cache = builder.clock(clock.clone()).build().unwrap();
    (clock, cache)
}

fn put(census: Census, cache: &Cache<Counted, Counted>, tag: u64) {
    cache.insert(census.counted(tag), census.counted(tag));
}

#[test]
fn the_last_handle_drops_everything_exactly_once() {
    let _quiet = quiet();
    for (max_keys, shards) in [(1, 1), (10, 1), (200, 2), (5_000, 8)] {
        let census = Census::new();
        let clock = ManualClock::new();
        let cache: Cache<Counted, Counted> = Cache::builder()
            .max_keys(max_keys)
            .shards(shards)
            .clock(clock.clone())
            .build()
            .unwrap();
        let mut rng = Rng(max_keys as u64);
        for _ in 0..5_000 {
            let tag = rng.below(300);
            let value = || census.counted(tag);
            match rng.below(16) {
                0..5 => put(census, &cache, tag),
                5 => {
                    _ = cache.insert_with_ttl(value(), value(), Duration::from_millis(rng.below(4)))
                }
                6 => assert!(cache.get(&tag).is_none_or(|v| v.tag == tag)),
                7 => drop(cache.get_many(&[tag, tag + 1])),
                8 => drop(cache.take(&tag)),
                9 => drop(cache.remove(&tag)),
                10 => drop(cache.update(value(), |_| Update::Set(value()))),
                11 => drop(cache.update(value(), |_| Update::SetWithTtl(value(), Ttl::Never))),
                12 => drop(cache.update(value(), |_| Update::Remove)),
                13 => drop(cache.update(value(), |_| Update::Keep)),
                14 => clock.advance(Duration::from_millis(1)),
                _ if rng.below(50) == 0 => cache.retain(|k, _| k.tag % 2 == 0),
                _ if rng.below(50) == 0 => cache.clear(),
                _ if rng.below(50) == 0 => assert!(cache.iter().all(|(k, v)| k.tag == v.tag)),
                _ => drop(cache.purge_expired()),
            }
            assert!(census.alive() >= cache.len());
        }
        assert!(census.born() > 5_000);
        drop(cache);
        assert_eq!(census.alive(), 0);
    }
}

#[test]
fn clear_drops_everything_inserted_so_far() {
    let _quiet = quiet();
    let (census, cache) = counted(1_000);
    for round in 0..5 {
        for tag in 0..3_000 {
            put(census, &cache, tag + 1_000 * round);
            if tag % 5 == 0 {
                cache.remove(&tag);
            }
        }
        assert!(census.alive() >= 2 * cache.len());
        cache.clear();
        assert_eq!(census.alive(), 0, "round {round}");
    }
}

#[test]
fn retain_and_purge_drop_what_they_remove() {
    let _quiet = quiet();
    let census = Census::new();
    let clock = ManualClock::new();
    let cache: Cache<Counted, Counted> = Cache::builder()
        .max_keys(1_000)
        .clock(clock.clone())
        .build()
        .unwrap();
    for tag in 0..1_000 {
        let ttl = Duration::from_millis(1 + tag);
        cache.insert_with_ttl(census.counted(tag), census.counted(tag), ttl);
    }
    cache.retain(|key, _| key.tag % 4 == 0);
    assert_eq!(census.alive(), 2 * 250);
    clock.advance(Duration::from_millis(500));
    assert_eq!(cache.purge_expired(), 125);
    assert_eq!(census.alive(), 2 * 125);
    cache.retain(|_, _| false);
    assert_eq!(census.alive(), 0);
}

#[test]
fn garbage_is_bounded_while_writes_go_on() {
    let _quiet = quiet();
    type Write = fn(Census, &Cache<Counted, Counted>, u64);
    let writes: [(&str, Write); 6] = [
        ("evict", |census, cache, n| put(census, cache, n)),
        ("replace", |census, cache, n| put(census, cache, n % 8)),
        ("update", |census, cache, n| {
            let tag = n % 8;
            cache.update(census.counted(tag), |_| Update::Set(census.counted(tag)));
        }),
        ("remove", |census, cache, n| {
            put(census, cache, n);
            assert!(cache.remove(&n));
        }),
        ("take", |census, cache, n| {
            put(census, cache, n);
            assert!(cache.take(&n).is_some());
        }),
        ("zero ttl", |census, cache, n| {
            put(census, cache, n);
            cache.insert_with_ttl(census.counted(n), census.counted(n), Duration::ZERO);
        }),
    ];
    for max_keys in [1, 64, 2_000] {
        for (name, write) in writes {
            let (census, cache) = counted(max_keys);
            let mut most = 0;
            for n in 0..15_000 {
                write(census, &cache, n);
                // Reads in between must not hold anything up.
                cache.get(&(n % 64));
                most = most.max(census.alive());
            }
            // Keys and values count alike.
            assert!(
                most <= 2 * (max_keys + LAG),
                "{name}, {max_keys} keys: {most} alive"
            );
            drop(cache);
            assert_eq!(census.alive(), 0, "{name}");
        }
    }
}

#[test]
fn many_writers_leave_a_bounded_rest() {
    let _quiet = quiet();
    let (census, cache) = counted(500);
    thread::scope(|scope| {
        for writer in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                let mut rng = Rng(writer);
                for _ in 0..2_000 {
                    put(census, cache, rng.below(2_000));
                    cache.remove(&rng.below(2_000));
                    cache.get(&rng.below(2_000));
                }
            });
        }
    });
    // The writers are gone; whatever they left behind (any number, if one of them was stopped in the middle of a write)
    // comes back with as many of somebody else's writes.
    for n in 0..(LAG + census.alive()) as u64 {
        put(census, &cache, n);
    }
    assert!(
        census.alive() <= 2 * (500 + LAG),
        "{} alive",
        census.alive()
    );
    cache.clear();
    assert_eq!(census.alive(), 0);
}

#[test]
fn the_last_handle_may_be_dropped_anywhere() {
    let _quiet = quiet();
    let (census, cache) = counted(100);
    let handles: Vec<_> = (0..20).map(|_| cache.clone()).collect();
    drop(cache);
    let threads: Vec<_> = handles
        .into_iter()
        .enumerate()
        .map(|(n, cache)| {
            thread::spawn(move || {
                for tag in 0..200 {
                    put(census, &cache, tag + 10 * n as u64);
                    cache.get(&tag);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(census.born() > 0);
    assert_eq!(census.alive(), 0);
}

#[test]
fn an_idle_thread_keeps_nothing_alive() {
    let _quiet = quiet();
    let (census, cache) = counted(50);
    let (idle, go_home) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let theirs = cache.clone();
        let (idle, go_home) = (&idle, &go_home);
        scope.spawn(move || {
            for tag in 0..300 {
                put(census, &theirs, tag);
                theirs.get(&tag);
            }
            drop(theirs);
            idle.wait();
            go_home.wait();
        });
        idle.wait();
        // The thread that made the garbage lives on, but has no handle any more.
        drop(cache);
        let alive = census.alive();
        go_home.wait();
        assert_eq!(alive, 0);
    });
}

#[test]
fn what_get_returned_outlives_the_cache() {
    let _quiet = quiet();
    let census = Census::new();
    let cache: Cache<u64, Arc<Counted>> = Cache::new(10);
    cache.insert(1, Arc::new(census.counted(7)));
    let hit = cache.get(&1).unwrap();
    drop(cache);
    assert_eq!(hit.tag, 7);
    assert_eq!(Arc::strong_count(&hit), 1);
    drop(hit);
    assert_eq!(census.alive(), 0);
}

#[test]
fn values_may_borrow_and_stay_on_one_thread() {
    struct Note<'a>(&'a Cell<usize>, #[allow(dead_code)] Rc<()>);
    impl Drop for Note<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let _quiet = quiet();
    let dropped = Cell::new(0);
    let text = "one two three".to_owned();
    let shared = Rc::new(());
    {
        let cache: Cache<&str, Note<'_>> = Cache::new(10);
        for word in text.split(' ') {
            cache.insert(word, Note(&dropped, shared.clone()));
            cache.insert(word, Note(&dropped, shared.clone()));
        }
        assert!(cache.contains_key("two"));
    }
    assert_eq!(dropped.get(), 6);
    assert_eq!(Rc::strong_count(&shared), 1);
}

#[test]
fn caches_nest() {
    let _quiet = quiet();
    let census = Census::new();
    let outer: Cache<u64, Cache<u64, Counted>> = Cache::new(4);
    for n in 0..20 {
        let inner = Cache::new(10);
        for m in 0..20 {
            inner.insert(m, census.counted(m));
        }
        outer.insert(n, inner);
        let tag = outer.get_with(&n, |inner| inner.get_with(&15, |v| v.tag));
        assert_eq!(tag, Some(Some(15)));
    }
    outer.clear();
    assert_eq!(census.alive(), 0);
    outer.insert(0, Cache::new(10));
    outer.get(&0).unwrap().insert(1, census.counted(1));
    drop(outer);
    assert_eq!(census.alive(), 0);
}

#[test]
fn values_that_hold_a_handle_go_with_clear() {
    struct Node {
        cache: Cache<u64, Node>,
        _counted: Counted,
    }
    let _quiet = quiet();
    let census = Census::new();
    let cache: Cache<u64, Node> = Cache::new(64);
    for n in 0..500 {
        let node = Node {
            cache: cache.clone(),
            _counted: census.counted(n),
        };
        cache.insert(n, node);
        assert_eq!(
            cache.get_with(&n, |node| node.cache.contains_key(&n)),
            Some(true)
        );
    }
    cache.clear();
    assert_eq!(census.alive(), 0);
}

#[test]
fn destructors_of_thread_locals_may_use_the_cache() {
    struct AtExit(Cache<u64, Counted>, Census);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let Self(cache, census) = self;
            for n in 0..300 {
                cache.insert(n, census.counted(n));
                assert_eq!(cache.get_with(&n, |v| v.tag), Some(n));
            }
            assert!(cache.remove(&299));
            cache.insert(1_000, census.counted(1_000));
        }
    }
    thread_local! {
        // One is made before the thread's first use of a cache and one after: whichever of them goes last, goes after
        // all that the cache may keep for the thread.
        static EARLY: RefCell<Option<AtExit>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<AtExit>> = const { RefCell::new(None) };
    }
    let _quiet = quiet();
    for _ in 0..20 {
        let census = Census::new();
        let cache: Cache<u64, Counted> = Cache::new(100);
        let theirs = cache.clone();
        let user = thread::spawn(move || {
            EARLY.set(Some(AtExit(theirs.clone(), census)));
            assert!(!theirs.contains_key(&1_000));
            LATE.set(Some(AtExit(theirs, census)));
        });
        user.join().unwrap();
        assert_eq!(cache.get_with(&1_000, |v| v.tag), Some(1_000));
        assert_eq!(cache.len(), 100);
        cache.clear();
        assert_eq!(census.alive(), 0);
    }
}

#[test]
fn later_writes_give_back_what_expired() {
    let _quiet = quiet();
    let census = Census::new();
    let (clock, cache) = timed(100_000);
    for n in 0..20_000 {
        cache.insert_with_ttl(n, census.counted(n), Duration::from_millis(1 + n % 5_000));
    }
    clock.advance(Duration::from_secs(5));
    assert!(cache.len() <= 20_000);
    // Nobody reads the old keys again. Overwriting 1 000 others must find all of them, a bounded step each time.
    for n in 0..60_000_u64 {
        let key = 1_000_000 + n % 1_000;
        cache.insert(key, census.counted(key));
    }
    assert_eq!(cache.len(), 1_000);
    assert!(census.alive() <= 1_000 + LAG, "{} alive", census.alive());
    assert_eq!(cache.stats().expirations, 20_000);
}

#[test]
fn reclaim_keeps_up_with_a_steady_stream_of_short_lives() {
    let _quiet = quiet();
    let census = Census::new();
    let (clock, cache) = timed(1_000_000);
    // One write a millisecond, each of which lives 100 ms and is never read: far below max_keys, so only expiry helps.
    let mut most = (0, 0);
    for n in 0..50_000_u64 {
        cache.insert_with_ttl(n, census.counted(n), Duration::from_millis(100));
        clock.advance(Duration::from_millis(1));
        most = (most.0.max(cache.len()), most.1.max(census.alive()));
    }
    assert!(most.0 <= 1_000, "len() reached {}", most.0);
    assert!(most.1 <= 1_000 + LAG, "{} alive at once", most.1);
}
