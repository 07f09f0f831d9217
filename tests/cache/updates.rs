//! How often `update` runs its closure: once, unless the very key has changed meanwhile, and not for ever.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::thread;
use std::time::Duration;

use crate::support::Constant;
use nori_cache::{Cache, ManualClock, Ttl, Update};

/// More runs than any closure here may need.
const ENDLESS: u32 = 100;

/// Counts runs, and ends a test whose closure would run for ever.
#[derive(Default)]
struct Runs(Cell<u32>);

impl Runs {
    fn count(&self) {
        self.0.set(self.0.get() + 1);
        assert!(self.0.get() < ENDLESS, "the closure runs again and again");
    }

    #[track_caller]
    fn assert(&self, expected: u32) {
        assert_eq!(self.0.get(), expected, "runs");
    }
}

fn cache<S: BuildHasher>(hasher: S) -> Cache<u64, u64, S> {
    Cache::builder()
        .max_keys(100)
        .shards(1)
        .hasher(hasher)
        .build()
        .unwrap()
}

/// Keys below 100 hash alike, the others as themselves.
#[derive(Clone, Copy)]
struct Alike(u64);

impl BuildHasher for Alike {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Alike {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers")
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = if n < 100 { 0 } else { n };
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The look finds it, the closure is shown nothing, and the write takes it out before it comes to the key.
#[test]
fn an_expired_entry_makes_nothing_run_again() {
    let clock = ManualClock::new();
    let cache: Cache<u64, u64> = Cache::builder()
        .max_keys(10)
        .clock(clock.clone())
        .build()
        .unwrap();
    cache.insert_with_ttl(1, 0, Duration::from_millis(5));
    clock.advance(Duration::from_millis(10));
    let mut runs = 0;
    cache.update(1, |value| {
        assert_eq!(value, None);
        runs += 1;
        Update::Set(7)
    });
    assert_eq!((runs, cache.get(&1)), (1, Some(7)));
}

#[test]
fn unrelated_writes_do_not_run_it_again_where_keys_collide() {
    let cache = cache(Alike(0));
    (1..8).for_each(|n| _ = cache.insert(n, n));
    let (runs, unrelated) = (Runs::default(), Cell::new(1_000));
    let add = |value: Option<&u64>| {
        runs.count();
        unrelated.set(unrelated.get() + 1);
        thread::scope(|scope| {
            let n = unrelated.get();
            let cache = &cache;
            scope.spawn(move || cache.insert(n, 0));
        });
        Update::Set(value.map_or(1, |n| n + 1))
    };
    assert!(cache.update(50, add));
    runs.assert(1);
    assert!(cache.update(50, add));
    runs.assert(2);
    assert_eq!(cache.get(&50), Some(2));
}

#[test]
fn writes_of_colliding_keys_do_not_run_it_again() {
    let cache = cache(Constant(7));
    (1..40).for_each(|n| _ = cache.insert(n, n));
    let runs = Runs::default();
    let updated = cache.update(50, |value| {
        runs.count();
        assert_eq!(value, None);
        thread::scope(|scope| {
            scope.spawn(|| {
                cache.insert(3, 0);
                cache.insert(60, 0);
                cache.remove(&5);
            });
        });
        Update::Set(1)
    });
    assert!(updated);
    runs.assert(1);
    assert_eq!(
        cache.get_many(&[3, 5, 50, 60]),
        [Some(0), None, Some(1), Some(0)]
    );
    assert_eq!(cache.len(), 40);
}

/// As does an insertion, which has no closure to run again, but a key to look up.
#[test]
fn many_threads_count_on_keys_that_collide() {
    let cache = cache(Constant(7));
    thread::scope(|scope| {
        for thread in 0..4_u64 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..500 {
                    cache.update(1, |value| Update::Set(value.map_or(1, |n| n + 1)));
                    cache.insert(10 + thread, n);
                    if n % 50 == 0 {
                        cache.remove(&(10 + thread));
                    }
                }
            });
        }
    });
    assert_eq!(cache.get(&1), Some(2_000));
    assert_eq!(cache.len(), 5);
}

#[test]
fn a_change_by_another_thread_runs_it_again() {
    for hash_alike in [false, true] {
        let cache = cache(Alike(0));
        let key = if hash_alike { 50 } else { 500 };
        (1..8).for_each(|n| _ = cache.insert(n, n));
        for before in [None, Some(1)] {
            match before {
                None => _ = cache.remove(&key),
                Some(value) => _ = cache.insert(key, value),
            }
            let runs = Runs::default();
            cache.update(key, |value| {
                runs.count();
                if runs.0.get() == 1 {
                    assert_eq!(value.copied(), before);
                    thread::scope(|scope| {
                        scope.spawn(|| cache.insert(key, 10));
                    });
                } else {
                    assert_eq!(value, Some(&10));
                }
                Update::Set(value.map_or(1, |n| n + 1))
            });
            runs.assert(2);
            assert_eq!(cache.get(&key), Some(11));
        }
    }
}

#[test]
fn what_it_returns_replaces_what_it_writes_itself_at_each_run() {
    for before in [None, Some(1)] {
        let cache = cache(Alike(0));
        let set = |key| {
            cache.insert(51, 0);
            match before {
                None => _ = cache.remove(&key),
                Some(value) => _ = cache.insert(key, value),
            }
        };
        for key in [50, 500] {
            let change = |inner: &dyn Fn(), change: Update<u64>| {
                set(key);
                let runs = Runs::default();
                let changed = cache.update(key, |value| {
                    runs.count();
                    let shown = if runs.0.get() == 1 { before } else { Some(7) };
                    assert_eq!(value.copied(), shown);
                    inner();
                    change
                });
                (runs.0.get(), changed, cache.get(&key))
            };
            let insert = || _ = cache.insert(key, 7);
            let update = || {
                let runs = Runs::default();
                cache.update(key, |_| {
                    runs.count();
                    cache.insert(key, 6);
                    // An own write of a key that hashes alike is another matter.
                    cache.insert(52, 6);
                    Update::Set(7)
                });
                runs.assert(2);
            };
            for inner in [&insert as &dyn Fn(), &update] {
                assert_eq!(change(inner, Update::Set(2)), (2, true, Some(2)));
                let with_ttl = Update::SetWithTtl(3, Ttl::Never);
                assert_eq!(change(inner, with_ttl), (2, true, Some(3)));
                assert_eq!(change(inner, Update::Keep), (1, false, Some(7)));
                // Where it was shown nothing, it has nothing removed.
                let removed = match before {
                    None => (1, false, Some(7)),
                    Some(_) => (2, true, None),
                };
                assert_eq!(change(inner, Update::Remove), removed);
            }
        }
    }
}

/// Removals of its own end by themselves: the next run finds nothing to remove.
#[test]
fn a_closure_that_removes_its_key_ends() {
    let cache = cache(Alike(0));
    for key in [50, 500] {
        cache.insert(51, 0);
        cache.insert(key, 1);
        let runs = Runs::default();
        assert!(cache.update(key, |_| {
            runs.count();
            cache.remove(&key);
            Update::Set(2)
        }));
        assert_eq!(cache.get(&key), Some(2));
        let runs = Runs::default();
        assert!(cache.update(key, |_| {
            runs.count();
            cache.insert(key, 5);
            cache.clear();
            Update::Set(3)
        }));
        assert_eq!(cache.get(&key), Some(3));
        let runs = Runs::default();
        cache.update(key, |_| {
            runs.count();
            cache.insert(key, 5);
            cache.retain(|_, _| false);
            Update::Remove
        });
        assert_eq!(cache.get(&key), None);
    }
}

/// A closure that evicts its own key, too.
#[test]
fn a_closure_that_evicts_its_key_ends() {
    let cache: Cache<u64, u64> = Cache::builder().max_keys(1).build().unwrap();
    cache.insert(1, 1);
    let runs = Runs::default();
    assert!(cache.update(1, |_| {
        runs.count();
        cache.insert(1, 5);
        cache.insert(2, 2);
        Update::Set(3)
    }));
    assert_eq!(cache.get_many(&[1, 2]), [Some(3), None]);
}

#[test]
fn the_life_of_what_it_wrote_itself_is_kept() {
    let clock = ManualClock::new();
    let cache = Cache::<u64, u64>::builder()
        .max_keys(10)
        .clock(clock.clone())
        .build()
        .unwrap();
    let (long, short) = (Duration::from_secs(100), Duration::from_secs(1));
    cache.insert_with_ttl(1, 1, long);
    let runs = Runs::default();
    cache.update(1, |_| {
        runs.count();
        cache.insert_with_ttl(1, 5, short);
        Update::Set(2)
    });
    assert_eq!(cache.ttl(&1), Some(Ttl::After(short)));
}

/// The atomicity towards other threads stays: what another one writes after the closure's own write is seen.
#[test]
fn a_change_behind_its_own_write_runs_it_again() {
    let cache = cache(Alike(0));
    let runs = Runs::default();
    cache.update(1, |value| {
        runs.count();
        cache.insert(1, 5);
        if runs.0.get() == 1 {
            assert_eq!(value, None);
            thread::scope(|scope| {
                scope.spawn(|| cache.insert(1, 10));
            });
        }
        Update::Set(value.map_or(1, |n| n + 1))
    });
    runs.assert(2);
    assert_eq!(cache.get(&1), Some(11));
}

#[test]
fn a_closure_that_panics_leaves_nothing_behind() {
    let cache = cache(Alike(0));
    crate::support::panics(|| {
        cache.update(1, |_| {
            cache.insert(1, 5);
            panic!("user code")
        });
    });
    let runs = Runs::default();
    cache.update(1, |value| {
        runs.count();
        if runs.0.get() == 1 {
            thread::scope(|scope| {
                scope.spawn(|| cache.insert(1, 10));
            });
        }
        Update::Set(value.map_or(1, |n| n + 1))
    });
    runs.assert(2);
    assert_eq!(cache.get(&1), Some(11));
}
