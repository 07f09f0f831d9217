//! Who listens is told of each entry that leaves: once, why, by the thread that took it out, and with nothing held.

use nori_cache::{Cache, Inserted, ManualClock, Policy, Refusal, RemovalCause, Ttl, Update};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

type Told = (u64, u64, RemovalCause);

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<Told>>>);

impl Log {
    fn note(&self) -> impl Fn(&u64, &u64, RemovalCause) + Send + Sync + 'static {
        let log = self.clone();
        move |&key, &value, cause| log.0.lock().unwrap().push((key, value, cause))
    }

    /// What was told since the last call, by key.
    fn take(&self) -> Vec<Told> {
        let mut told = std::mem::take(&mut *self.0.lock().unwrap());
        told.sort_unstable_by_key(|&(key, value, _)| (key, value));
        told
    }
}

/// Four keys in one shard, of an hour each.
fn cache(clock: &ManualClock) -> (Cache<u64, u64>, Log) {
    let log = Log::default();
    let cache = Cache::builder()
        .max_keys(4)
        .shards(1)
        .ttl(Duration::from_secs(3_600))
        .clock(clock.clone())
        .on_removal(log.note())
        .build()
        .unwrap();
    (cache, log)
}

#[test]
fn each_way_out_has_its_cause() {
    use RemovalCause::*;
    let clock = ManualClock::new();
    let (cache, log) = cache(&clock);
    cache.insert(1, 1);
    assert_eq!(log.take(), []);
    cache.insert(1, 2);
    assert_eq!(log.take(), [(1, 1, Replaced)]);
    assert_eq!(cache.replace(1, 3), Ok(()));
    cache.update(1, |_| Update::Set(4));
    assert_eq!(log.take(), [(1, 2, Replaced), (1, 3, Replaced)]);

    assert!(cache.remove(&1));
    assert!(!cache.remove(&1));
    assert_eq!(log.take(), [(1, 4, Removed)]);
    let ways: [fn(&Cache<u64, u64>); 8] = [
        |cache| _ = cache.take(&1),
        |cache| _ = cache.update(1, |_| Update::Remove),
        |cache| _ = cache.remove_if(&1, |_| true),
        |cache| cache.retain(|_, _| false),
        |cache| cache.invalidate_if(|_, _| true),
        |cache| assert_eq!(cache.drain().count(), 1),
        |cache| assert!(cache.set_ttl(&1, Duration::ZERO)),
        |cache| _ = cache.insert_with_ttl(1, 0, Duration::ZERO),
    ];
    for (way, value) in ways.iter().zip(0..) {
        cache.insert(1, value);
        way(&cache);
        assert_eq!(log.take(), [(1, value, Removed)]);
    }

    for key in 1..=4 {
        cache.insert(key, 0);
    }
    cache.insert(5, 0);
    assert_eq!(log.take(), [(1, 0, Evicted)]);
    cache.set_max_keys(2).unwrap();
    assert_eq!(log.take(), [(2, 0, Evicted), (3, 0, Evicted)]);
    cache.clear();
    assert_eq!(log.take(), [(4, 0, Cleared), (5, 0, Cleared)]);

    // What has expired is told by whoever comes across it, whatever that was about to do.
    let ends: [fn(&Cache<u64, u64>); 6] = [
        |cache| _ = cache.insert(1, 9),
        // Each write looks at a few deadlines only, those of entries that have long left among them.
        |cache| (0..100).for_each(|_| _ = cache.insert(2, 9)),
        |cache| assert!(!cache.remove(&1)),
        |cache| cache.clear(),
        |cache| assert_eq!(cache.purge_expired(), 1),
        |cache| cache.retain(|_, _| true),
    ];
    for end in ends {
        cache.insert(1, 0);
        log.take();
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(cache.get(&1), None);
        end(&cache);
        let mut told = log.take();
        told.retain(|&(key, ..)| key == 1);
        assert_eq!(told, [(1, 0, Expired)]);
        cache.clear();
        log.take();
    }
    // Nobody is told of what the cache still has when it goes.
    cache.insert(1, 0);
    drop(cache);
    assert_eq!(log.take(), []);
}

#[test]
fn what_is_refused_is_told_and_so_is_what_it_was_to_replace() {
    use RemovalCause::*;
    let log = Log::default();
    let cache = Cache::builder()
        .max_keys(10)
        .shards(1)
        .max_weight(100)
        .weigher(|_: &u64, &weight: &u64| weight)
        .on_removal(log.note())
        .build()
        .unwrap();
    let too_heavy = Inserted::Refused(Refusal::TooHeavy);
    assert_eq!(cache.insert(1, 101), too_heavy);
    assert_eq!(log.take(), [(1, 101, Refused)]);
    cache.insert(1, 60);
    assert_eq!(cache.insert(1, 102), too_heavy);
    assert_eq!(log.take(), [(1, 60, Replaced), (1, 102, Refused)]);
    cache.insert(1, 60);
    assert!(cache.update(1, |_| Update::Set(103)));
    assert_eq!(log.take(), [(1, 60, Replaced), (1, 103, Refused)]);
    // One that makes room for itself.
    for key in 1..=5 {
        cache.insert(key, 20);
    }
    cache.insert(6, 50);
    assert_eq!(
        log.take(),
        [(1, 20, Evicted), (2, 20, Evicted), (3, 20, Evicted)]
    );
    cache.insert_pinned(7, 60);
    log.take();
    assert_eq!(cache.insert(8, 50), Inserted::Refused(Refusal::Pinned));
    assert_eq!(log.take(), [(8, 50, Refused)]);
}

/// Many threads, many shards, all ways out at once.
#[test]
fn each_entry_is_told_of_once() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 3_000;
    for (policy, weighed) in [(Policy::Lru, false), (Policy::Adaptive, true)] {
        let log = Log::default();
        let mut builder = Cache::builder()
            .max_keys(64)
            .shards(4)
            .policy(policy)
            .on_removal(log.note());
        if weighed {
            builder = builder
                .max_weight(500)
                .weigher(|_: &u64, &value: &u64| value % 50);
        }
        let cache = builder.build().unwrap();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let cache = &cache;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let serial = thread * ROUNDS + round;
                        let key = serial * 7 % 100;
                        cache.insert(key, serial);
                        match round % 50 {
                            7 => _ = cache.remove(&key),
                            17 => cache.retain(|key, _| key % 3 == 0),
                            27 => cache.clear(),
                            37 => _ = cache.set_max_keys(32 + (round as usize & 32)),
                            _ => {}
                        }
                    }
                });
            }
        });
        cache.clear();
        let mut times: HashMap<u64, usize> = HashMap::new();
        for (_, serial, _) in log.take() {
            *times.entry(serial).or_default() += 1;
        }
        assert_eq!(times.len() as u64, THREADS * ROUNDS);
        assert!(times.values().all(|&times| times == 1));
    }
}

#[test]
fn it_is_told_by_the_thread_that_did_it_before_the_call_returns() {
    let told: Arc<Mutex<Vec<ThreadId>>> = Arc::default();
    let cache = Cache::builder()
        .max_keys(10)
        .on_removal({
            let told = Arc::clone(&told);
            move |_: &u64, _: &u64, _| told.lock().unwrap().push(thread::current().id())
        })
        .build()
        .unwrap();
    // A reader that stays inside holds up what leaves; not the news.
    cache.insert(0, 0);
    cache.get_with(&0, |_| {
        thread::scope(|scope| {
            for key in 1..5 {
                let (cache, told) = (&cache, &told);
                let done = scope.spawn(move || {
                    cache.insert(key, key);
                    cache.remove(&key);
                    let last = told.lock().unwrap().last().copied();
                    assert_eq!(last, Some(thread::current().id()));
                });
                done.join().unwrap();
            }
        });
    });
    assert_eq!(told.lock().unwrap().len(), 4);
}

#[test]
fn it_may_call_the_cache() {
    thread_local! {
        static CACHE: RefCell<Option<Cache<u64, u64>>> = const { RefCell::new(None) };
        static DEPTH: RefCell<u64> = const { RefCell::new(0) };
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let cache = Cache::builder()
        .max_keys(2)
        .shards(1)
        .on_removal({
            let calls = Arc::clone(&calls);
            move |&key: &u64, &value: &u64, _| {
                calls.fetch_add(1, Ordering::Relaxed);
                let cache = CACHE.with_borrow(Option::clone).unwrap();
                let depth = DEPTH.with_borrow_mut(|depth| {
                    *depth += 1;
                    *depth
                });
                // Back it comes, and something else goes.
                if depth < 10 {
                    cache.insert(key, value);
                    cache.clear();
                    cache.retain(|_, _| false);
                }
            }
        })
        .build()
        .unwrap();
    CACHE.set(Some(cache.clone()));
    for key in 0..3 {
        cache.insert(key, key);
    }
    assert!(calls.load(Ordering::Relaxed) >= 10);
    assert!(cache.len() <= 2);
    CACHE.set(None);
}

#[test]
fn a_panic_in_it_is_contained_and_counted() {
    let told = Arc::new(AtomicUsize::new(0));
    let cache = Cache::builder()
        .max_keys(1_000)
        .shards(1)
        .on_removal({
            let told = Arc::clone(&told);
            move |&key: &u64, _: &u64, _| {
                told.fetch_add(1, Ordering::Relaxed);
                assert!(key % 2 == 0, "odd");
            }
        })
        .build()
        .unwrap();
    for key in 0..200 {
        cache.insert(key, key);
    }
    let before = cache.stats();
    cache.clear();
    assert_eq!(told.load(Ordering::Relaxed), 200);
    let stats = cache.stats_since(&before);
    assert_eq!(
        (stats.listener_panics, stats.cleared, stats.removals),
        (100, 200, 0)
    );
    cache.insert(1, 1);
    assert!(cache.remove(&1));
    assert_eq!(cache.stats().removals, 1);
    assert_eq!(cache.stats().listener_panics, 101);
    cache.insert(1, 2);
    assert_eq!(cache.get(&1), Some(2));
}

/// Nor does what it panics with harm anybody.
#[test]
fn a_panic_that_panics_when_it_is_dropped_is_contained() {
    struct Worse;

    impl Drop for Worse {
        fn drop(&mut self) {
            panic!("and again");
        }
    }

    let cache = Cache::builder()
        .max_keys(10)
        .on_removal(|_: &u64, _: &u64, _| std::panic::panic_any(Worse))
        .build()
        .unwrap();
    cache.insert(1, 1);
    assert!(cache.remove(&1));
    cache.insert(1, 2);
    assert_eq!(cache.insert(1, 3), Inserted::Replaced);
    assert_eq!((cache.get(&1), cache.stats().listener_panics), (Some(3), 2));
}

/// The one it is told of stays as it is, and others can write the shard.
#[test]
fn while_it_takes_its_time_nobody_waits() {
    let (told, telling) = mpsc::channel();
    let (go_on, going) = mpsc::channel::<()>();
    let going = Mutex::new(going);
    let cache: Cache<u64, String> = Cache::builder()
        .max_keys(100)
        .shards(1)
        .on_removal(move |&key: &u64, value: &String, _| {
            if key == 0 {
                told.send(()).unwrap();
                going.lock().unwrap().recv().unwrap();
                assert_eq!(value, "the first one");
            }
        })
        .build()
        .unwrap();
    cache.insert(0, "the first one".to_owned());
    thread::scope(|scope| {
        let removing = scope.spawn(|| cache.remove(&0));
        telling.recv().unwrap();
        for key in 1..10_000 {
            cache.insert(key, "another one".to_owned());
        }
        go_on.send(()).unwrap();
        assert!(removing.join().unwrap());
    });
    assert_eq!((cache.len(), cache.stats().listener_panics), (100, 0));
}

#[test]
fn destructors_of_thread_locals_are_listened_to() {
    struct AtTheEnd(Cache<u64, u64>);

    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.0.insert(1, 2);
            self.0.remove(&1);
            self.0.clear();
        }
    }

    thread_local! {
        static AT_THE_END: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    }
    let clock = ManualClock::new();
    let (cache, log) = cache(&clock);
    cache.insert(1, 1);
    cache.insert(2, 1);
    let ended = cache.clone();
    thread::spawn(move || {
        AT_THE_END.set(Some(AtTheEnd(ended.clone())));
        // Has a record by now, which goes before or after that.
        assert_eq!(ended.get(&1), Some(1));
    })
    .join()
    .unwrap();
    let expected = [
        (1, 1, RemovalCause::Replaced),
        (1, 2, RemovalCause::Removed),
        (2, 1, RemovalCause::Cleared),
    ];
    assert_eq!(log.take(), expected);
}

/// Two threads take out the same key: one of them tells.
#[test]
fn of_two_that_remove_one_tells() {
    let clock = ManualClock::new();
    let (cache, log) = cache(&clock);
    for round in 0..200 {
        cache.insert_with_ttl(1, round, Ttl::Never);
        let start = Barrier::new(2);
        let removed: usize = thread::scope(|scope| {
            let both = [(); 2].map(|()| {
                scope.spawn(|| {
                    start.wait();
                    usize::from(cache.remove(&1))
                })
            });
            both.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(removed, 1);
        assert_eq!(log.take(), [(1, round, RemovalCause::Removed)]);
    }
}
