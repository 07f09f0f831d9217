//! Loads on threads: one for each key however many ask, whatever becomes of it.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use crate::support::Constant;
use crate::watchdog::ends;
use nori_cache::{Cache, Error, Loaded, ManualClock, Ttl};

/// What loaders here fail with.
#[derive(Debug)]
enum Failed {
    Source(&'static str),
    Cache(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

impl Failed {
    #[track_caller]
    fn assert_circular(&self) {
        assert!(
            matches!(self, Self::Cache(error) if error.is_circular()),
            "{self:?}"
        );
    }
}

/// A key that tells when it is compared with another: that is, when a caller has found the load of another.
#[derive(Clone)]
struct Compared {
    number: u64,
    compared: Arc<AtomicUsize>,
}

impl Compared {
    fn new(number: u64) -> Self {
        Self {
            number,
            compared: Arc::default(),
        }
    }

    /// Returns when it has been compared so often.
    fn wait(&self, times: usize) {
        while self.compared.load(Ordering::Acquire) < times {
            thread::yield_now();
        }
    }
}

impl Hash for Compared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl PartialEq for Compared {
    fn eq(&self, other: &Self) -> bool {
        self.compared.fetch_add(1, Ordering::Release);
        self.number == other.number
    }
}

impl Eq for Compared {}

#[test]
fn a_hit_does_not_load() {
    let cache: Cache<String, u32> = Cache::new(10);
    assert_eq!(cache.get_or_insert_with("a", || 1), 1);
    assert_eq!(cache.get_or_insert_with("a", || unreachable!()), 1);
    assert_eq!(
        cache
            .try_get_or_insert_with::<_, Failed>("a", || unreachable!())
            .unwrap(),
        1
    );
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.inserts), (2, 1, 1));
    assert_eq!((stats.loads.succeeded, stats.loads.failed), (1, 0));
}

#[test]
fn a_thousand_callers_load_once() {
    const CALLERS: usize = 1_000;
    let loads = ends(|| {
        let cache: Cache<Compared, u64> = Cache::new(10);
        let key = Compared::new(7);
        let loads = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    let value = cache.get_or_insert_with(&key, || {
                        loads.fetch_add(1, Ordering::Relaxed);
                        // All others have found this load before it ends.
                        key.wait(CALLERS - 1);
                        42
                    });
                    assert_eq!(value, 42);
                });
            }
        });
        let stats = cache.stats();
        assert_eq!(stats.loads.succeeded, 1);
        assert!(stats.loads.coalesced < CALLERS as u64);
        assert_eq!(stats.misses, CALLERS as u64);
        loads.into_inner()
    });
    assert_eq!(loads, 1);
}

#[test]
fn keys_that_hash_alike_are_loaded_side_by_side() {
    ends(|| {
        let cache: Cache<u64, u64, Constant> = Cache::builder()
            .max_keys(100)
            .hasher(Constant::default())
            .build()
            .unwrap();
        let all_load = Barrier::new(8);
        thread::scope(|scope| {
            for key in 0..8 {
                let (cache, all_load) = (&cache, &all_load);
                scope.spawn(move || {
                    let value = cache.get_or_insert_with(&key, || {
                        all_load.wait();
                        key * 10
                    });
                    assert_eq!(value, key * 10);
                });
            }
        });
        assert_eq!(cache.len(), 8);
    });
}

/// Two callers, of whom the second waits for the first when `first` runs as its loader. What both return.
fn handed_over<R: Send>(
    first: impl FnOnce(&Cache<Compared, u64>, &Compared, &dyn Fn()) -> R + Send,
) -> (R, u64, Cache<Compared, u64>) {
    let cache = Cache::new(10);
    let key = Compared::new(1);
    let (leads, led) = mpsc::channel();
    let (first, second) = thread::scope(|scope| {
        let leader = scope.spawn(|| {
            let found = || {
                leads.send(()).unwrap();
                key.wait(1);
            };
            first(&cache, &key, &found)
        });
        led.recv().unwrap();
        let second = cache.get_or_insert_with(&key, || 2);
        (leader.join().unwrap(), second)
    });
    (first, second, cache)
}

#[test]
fn a_loader_that_fails_hands_over_and_keeps_its_error() {
    let (first, second, cache) = handed_over(|cache, key, found| {
        cache.try_get_or_insert_with(key, || {
            found();
            Err(Failed::Source("down"))
        })
    });
    assert!(matches!(first, Err(Failed::Source("down"))), "{first:?}");
    assert_eq!(second, 2);
    let loads = cache.stats().loads;
    assert_eq!((loads.failed, loads.succeeded, loads.coalesced), (1, 1, 0));
}

#[test]
fn a_loader_that_panics_hands_over() {
    let (first, second, cache) = handed_over(|cache, key, found| {
        catch_unwind(AssertUnwindSafe(|| {
            cache.get_or_insert_with(key, || {
                found();
                panic!("of the loader")
            })
        }))
    });
    assert_eq!(first.unwrap_err().downcast_ref(), Some(&"of the loader"));
    assert_eq!(second, 2);
    let loads = cache.stats().loads;
    assert_eq!(
        (loads.panicked, loads.succeeded, loads.abandoned),
        (1, 1, 0)
    );
}

#[test]
fn every_caller_may_have_an_error_type_of_its_own_and_it_may_borrow() {
    struct Borrowed<'a>(&'a str);

    impl From<Error> for Borrowed<'_> {
        fn from(_: Error) -> Self {
            Self("circular")
        }
    }

    let cache: Cache<u32, u32> = Cache::new(10);
    let text = String::from("down");
    let failed = cache.try_get_or_insert_with(&1, || Err(Borrowed(&text)));
    assert_eq!(failed.unwrap_err().0, "down");
    let failed =
        cache.try_get_or_insert_with(&1, || Err(Box::<dyn std::error::Error>::from("also")));
    assert_eq!(failed.unwrap_err().to_string(), "also");
    assert!(cache.is_empty());
}

#[test]
fn neither_keys_nor_values_need_be_send_or_static() {
    let text = String::from("borrowed");
    let cache: Cache<&str, Rc<&str>> = Cache::new(10);
    let value = cache.get_or_insert_with(&&text[..], || Rc::new(&text[..3]));
    assert_eq!(**value, *"bor");
}

#[test]
fn a_borrowed_key_is_owned_only_on_a_miss() {
    thread_local!(static CLONES: Cell<u32> = const { Cell::new(0) });

    #[derive(PartialEq, Eq, Hash)]
    struct Key(u32);

    impl Clone for Key {
        fn clone(&self) -> Self {
            CLONES.set(CLONES.get() + 1);
            Self(self.0)
        }
    }

    let cache: Cache<Key, u32> = Cache::new(10);
    cache.get_or_insert_with(&Key(1), || 1);
    // For the load, and for the cache.
    assert_eq!(CLONES.get(), 2);
    cache.get_or_insert_with(&Key(1), || 1);
    cache.get_or_load_many(&[Key(1)], |_| Vec::<(Key, u32)>::new());
    assert_eq!(CLONES.get(), 2);
}

#[test]
fn a_load_that_asks_for_its_own_key_is_an_error() {
    ends(|| {
        let cache: Cache<u32, u32> = Cache::new(10);
        let inner = Cell::new(false);
        let outer = cache.try_get_or_insert_with(&1, || {
            cache
                .try_get_or_insert_with(&1, || unreachable!())
                .inspect_err(|error: &Failed| {
                    inner.set(true);
                    error.assert_circular();
                })
        });
        outer.unwrap_err().assert_circular();
        assert!(inner.get() && cache.is_empty());
        // Over another key, and in any of the calls.
        let outer = cache.try_get_or_insert_with(&1, || {
            cache.try_get_or_insert_with(&2, || {
                let many = cache.try_get_or_load_many(&[3, 1], |missing| {
                    assert_eq!(missing, [&3]);
                    Ok::<_, Failed>([(3, 3)])
                });
                many.map(|values| values[0].unwrap())
            })
        });
        outer.unwrap_err().assert_circular();
        assert_eq!(cache.iter().collect::<Vec<_>>(), [(3, 3)]);
        // Nothing is left of it.
        assert_eq!(cache.get_or_insert_with(&1, || 7), 7);
    });
}

#[test]
fn a_loader_that_cannot_fail_panics_for_its_own_key() {
    let cache: Cache<u32, u32> = Cache::new(10);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        cache.get_or_insert_with(&1, || cache.get_or_insert_with(&1, || 2))
    }));
    let panic = panic.unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("asks for the key that it loads"), "{text}");
    assert_eq!(cache.get_or_insert_with(&1, || 3), 3);
}

#[test]
fn a_loader_may_load_other_keys_and_write_them() {
    let cache: Cache<u64, u64> = Cache::new(100);
    fn fibonacci(cache: &Cache<u64, u64>, n: u64) -> u64 {
        cache.get_or_insert_with(&n, || match n {
            0 | 1 => n,
            _ => fibonacci(cache, n - 1) + fibonacci(cache, n - 2),
        })
    }
    assert_eq!(fibonacci(&cache, 50), 12_586_269_025);
    assert_eq!(cache.stats().loads.succeeded, 51);
}

#[test]
fn loads_in_a_circle_do_not_wait_for_each_other() {
    for _ in 0..100 {
        ends(|| {
            let cache: Cache<u32, u32> = Cache::new(10);
            let both_load = Barrier::new(2);
            let load = |own: u32, other: u32| {
                cache.try_get_or_insert_with(&own, || {
                    both_load.wait();
                    cache.try_get_or_insert_with(&other, || {
                        Err(Failed::Source("led by nobody else"))
                    })
                })
            };
            let (one, other) = thread::scope(|scope| {
                let one = scope.spawn(|| load(1, 2));
                let other = load(2, 1);
                (one.join().unwrap(), other)
            });
            // One of them is told. The other sees that one give up, and its own loader in its place.
            let circular = |result: &Result<u32, Failed>| matches!(result, Err(Failed::Cache(error)) if error.is_circular());
            assert!(circular(&one) || circular(&other), "{one:?}, {other:?}");
            assert!(one.is_err() && other.is_err());
            assert!(cache.is_empty());
        });
    }
}

#[test]
fn loaded_values_live_as_long_as_they_say() {
    let clock = ManualClock::new();
    let minute = Duration::from_secs(60);
    let cache: Cache<u32, u32> = Cache::builder()
        .ttl(minute)
        .clock(clock.clone())
        .build()
        .unwrap();
    let ttl = |key| cache.ttl(&key);
    cache.get_or_insert_with(&1, || 1);
    assert_eq!(ttl(1), Some(Ttl::After(minute)));
    cache.get_or_insert_with_ttl(&2, Ttl::Never, || 2);
    assert_eq!(ttl(2), Some(Ttl::Never));
    cache.get_or_insert_loaded(&3, || Loaded::new(3).ttl(minute * 2));
    assert_eq!(ttl(3), Some(Ttl::After(minute * 2)));
    cache.get_or_insert_loaded(&4, || Loaded::new(4));
    assert_eq!(ttl(4), Some(Ttl::After(minute)));
    cache
        .try_get_or_insert_with_ttl::<_, Failed>(&5, minute / 2, || Ok(5))
        .unwrap();
    assert_eq!(ttl(5), Some(Ttl::After(minute / 2)));
    cache
        .try_get_or_insert_loaded::<_, Failed>(&6, || Ok(Loaded::new(6).ttl(minute / 3)))
        .unwrap();
    assert_eq!(ttl(6), Some(Ttl::After(minute / 3)));
    // Nothing is stored that lives for no time.
    assert_eq!(cache.get_or_insert_with_ttl(&7, Duration::ZERO, || 7), 7);
    assert_eq!(ttl(7), None);
    // What has expired is loaded anew, and by its own time to live.
    clock.advance(minute);
    assert_eq!(cache.get_or_insert_with_ttl(&1, minute * 3, || 11), 11);
    assert_eq!(ttl(1), Some(Ttl::After(minute * 3)));
    assert_eq!(cache.get_or_insert_with(&3, || unreachable!()), 3);
}

#[test]
fn many_keys_are_loaded_with_one_call() {
    let cache: Cache<String, usize> = Cache::new(10);
    cache.insert("b".to_owned(), 0);
    let mut calls = 0;
    let found = cache.get_or_load_many(["a", "b", "cc", "a", "ddd"], |missing| {
        calls += 1;
        assert_eq!(missing, ["a", "cc", "ddd"]);
        let found = missing.into_iter().filter(|key| *key != "cc");
        let others = [("unasked".to_owned(), 9), ("a".to_owned(), 8)];
        found
            .map(|key| (key.to_owned(), key.len()))
            .chain(others)
            .collect::<Vec<_>>()
    });
    assert_eq!(found, [Some(1), Some(0), None, Some(1), Some(3)]);
    assert_eq!(calls, 1);
    assert_eq!(cache.len(), 3);
    assert_eq!(cache.get("a"), Some(1));
    assert_eq!(cache.stats().loads.succeeded, 1);
    assert!(
        cache
            .get_or_load_many::<str, Vec<(String, usize)>, _>([], |_| unreachable!())
            .is_empty()
    );
    let failed = cache.try_get_or_load_many::<_, Vec<(String, usize)>, _, _>(["e", "a"], |_| {
        Err(Failed::Source("down"))
    });
    assert!(matches!(failed, Err(Failed::Source("down"))));
    assert_eq!(cache.len(), 3);
}

#[test]
fn each_of_many_has_the_lifetime_that_its_loader_says() {
    let clock = ManualClock::new();
    let cache = Cache::builder().clock(clock.clone()).max_keys(10);
    let cache: Cache<u32, u32> = cache.ttl(Duration::from_secs(60)).build().unwrap();
    let ttls = [
        None,
        Some(Ttl::Never),
        Some(Duration::from_secs(5).into()),
        Some(Duration::ZERO.into()),
    ];
    let loaded = cache.get_or_load_many(&[0, 1, 2, 3], |missing| {
        let loaded = missing.into_iter().zip(ttls).map(|(&key, ttl)| {
            let loaded = Loaded::new(key);
            (key, ttl.map_or(loaded, |ttl| loaded.ttl(ttl)))
        });
        loaded.collect::<Vec<_>>()
    });
    assert_eq!(loaded, [0, 1, 2, 3].map(Some));
    let after = |secs| Some(Ttl::After(Duration::from_secs(secs)));
    let left: Vec<_> = (0..4).map(|key| cache.ttl(&key)).collect();
    assert_eq!(left, [after(60), Some(Ttl::Never), after(5), None]);
}

#[test]
fn callers_of_the_same_keys_in_any_order_load_each_once() {
    ends(|| {
        let cache: Cache<u32, u32> = Cache::new(1_000);
        let loads: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        let start = Barrier::new(4);
        thread::scope(|scope| {
            let callers = [0, 1, 2, 3].map(|thread: u32| {
                let (cache, loads, start) = (&cache, &loads, &start);
                scope.spawn(move || {
                    let mut keys: Vec<u32> = (0..100).collect();
                    keys.rotate_left(thread as usize * 25);
                    if thread % 2 == 1 {
                        keys.reverse();
                    }
                    start.wait();
                    let found = cache.get_or_load_many(&keys, |missing| {
                        missing
                            .into_iter()
                            .map(|&key| {
                                loads[key as usize].fetch_add(1, Ordering::Relaxed);
                                (key, key * 2)
                            })
                            .collect::<Vec<_>>()
                    });
                    let expected: Vec<_> = keys.iter().map(|key| Some(key * 2)).collect();
                    assert_eq!(found, expected);
                })
            });
            // ThreadSanitizer sees who joins, and not how a scope ends.
            callers
                .into_iter()
                .for_each(|caller| caller.join().unwrap());
        });
        for load in &loads {
            assert_eq!(load.load(Ordering::Relaxed), 1);
        }
    });
}

#[test]
fn what_became_of_loads_is_counted() {
    let cache: Cache<u32, u32> = Cache::new(10);
    cache.get_or_insert_with(&1, || 1);
    let before = cache.stats();
    cache.get_or_insert_with(&2, || 2);
    let _ = cache.try_get_or_insert_with(&3, || Err(Failed::Source("down")));
    let since = cache.stats_since(&before);
    assert_eq!((since.loads.succeeded, since.loads.failed), (1, 1));
    assert_eq!((since.hits, since.misses, since.inserts), (0, 2, 1));
    let loads = cache.stats().loads;
    assert_eq!(loads.histogram().map(|(_, count)| count).sum::<u64>(), 2);
    assert_eq!(loads.mean_time(), loads.took.total() / 2);
    assert_eq!(
        since.loads.histogram().map(|(_, count)| count).sum::<u64>(),
        1
    );
}
