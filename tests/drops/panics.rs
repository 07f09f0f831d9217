//! User code that panics does no harm.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crate::support::{Census, Counted, PATIENCE, panics, quiet, within};
use nori_cache::{Cache, ManualClock, Ttl, Update};

/// Where user code is called.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    Hash,
    Eq,
    Clone,
    Drop,
    Closure,
}

thread_local! {
    /// How many more calls of user code go well, and where the last one was if it did not.
    static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
    static FIRED: Cell<Option<Point>> = const { Cell::new(None) };
    /// What was handed to callers, apart from what the cache was given.
    static CLONES: Census = Census::new();
}

fn visit(point: Point) {
    // A second panic while the first unwinds would abort, whatever the cache does.
    if thread::panicking() {
        return;
    }
    match FUSE.get() {
        None => {}
        Some(0) => {
            FUSE.set(None);
            FIRED.set(Some(point));
            panic!("user code: {point:?}");
        }
        Some(n) => FUSE.set(Some(n - 1)),
    }
}

/// A key and a value each of whose methods may panic.
struct Touchy(Counted);

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        visit(Point::Hash);
        self.0.hash(state);
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        visit(Point::Eq);
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        visit(Point::Clone);
        Self(CLONES.with(|clones| clones.counted(self.0.tag)))
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        visit(Point::Drop);
    }
}

/// Every call of the API, some of them on a full house.
fn script(census: Census, clock: &ManualClock, cache: &Cache<Touchy, Touchy>) {
    let t = |tag| Touchy(census.counted(tag));
    let value_of = |key| Touchy(census.counted(key));
    for n in 0..12 {
        cache.insert(t(n), value_of(n));
    }
    cache.insert(t(9), value_of(9));
    cache.insert_with_ttl(t(8), value_of(8), Duration::from_millis(1));
    cache.insert_with_ttl(t(10), value_of(10), Duration::ZERO);
    drop(cache.get(&t(9)));
    cache.get_with(&t(9), |v| {
        visit(Point::Closure);
        assert_eq!(v.0.tag, 9);
    });
    drop(cache.peek(&t(7)));
    cache.contains_key(&t(7));
    cache.ttl(&t(8));
    drop(cache.get_many(&[t(6), t(7), t(99)]));
    for key in [9, 30] {
        for _ in 0..2 {
            cache.update(t(key), |_| {
                visit(Point::Closure);
                Update::Set(value_of(key))
            });
        }
        cache.update(t(key), |_| Update::Keep);
        cache.update(t(key), |_| Update::SetWithTtl(value_of(key), Ttl::Never));
        cache.update(t(key), |_| Update::Remove);
    }
    cache.remove(&t(6));
    drop(cache.take(&t(7)));
    drop(cache.iter().collect::<Vec<_>>());
    clock.advance(Duration::from_millis(1));
    cache.purge_expired();
    for n in 40..52 {
        cache.insert(t(n), value_of(n));
    }
    cache.retain(|k, _| {
        visit(Point::Closure);
        k.0.tag % 2 == 0
    });
    cache.clear();
    for n in 0..9 {
        cache.insert(t(n), value_of(n));
    }
}

fn touchy() -> (Census, ManualClock, Cache<Touchy, Touchy>) {
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .max_keys(8)
        .shards(2)
        .clock(clock.clone())
        .build()
        .unwrap();
    (Census::new(), clock, cache)
}

#[test]
fn a_panic_at_any_call_of_user_code_does_no_harm() {
    let _quiet = quiet();
    within(PATIENCE, || {
        let mut seen = [0; 5];
        let mut excused = 0;
        // The n-th call of user code panics, for every n there is.
        for n in 0.. {
            let (census, clock, cache) = touchy();
            FUSE.set(Some(n));
            FIRED.set(None);
            let outcome = catch_unwind(AssertUnwindSafe(|| script(census, &clock, &cache)));
            FUSE.set(None);
            let Some(point) = FIRED.get() else {
                assert!(outcome.is_ok());
                break;
            };
            seen[point as usize] += 1;
            if point != Point::Drop {
                assert!(outcome.is_err(), "{point:?} {n}: the panic was swallowed");
            }

            // What is there is sound, all of the room is left, other threads get through.
            let context = format!("{point:?}, call {n}");
            for (k, v) in cache.iter() {
                assert_eq!(k.0.tag, v.0.tag, "{context}");
            }
            assert!(cache.len() <= 8, "{context}");
            thread::scope(|scope| {
                scope.spawn(|| {
                    cache.clear();
                    for tag in 100..108 {
                        let key = || Touchy(census.counted(tag));
                        cache.insert(key(), key());
                    }
                    let there = (100..108).filter(|&tag| {
                        let key = Touchy(census.counted(tag));
                        cache.get_with(&key, |v| v.0.tag) == Some(tag)
                    });
                    assert_eq!(there.count(), 8, "{context}");
                    assert_eq!(cache.len(), 8, "{context}");
                });
            });
            // Nor is anything that was replaced, evicted or removed kept for ever.
            cache.clear();
            assert_eq!(census.alive(), 0, "{context}");
            drop(cache);
            assert_eq!(census.alive(), 0, "{context}");
            // rustc leaks a function's return value when the drop of one of its locals panics (rust-lang/rust#47949).
            let clones = CLONES.with(|clones| clones.alive()) - excused;
            assert!(clones <= usize::from(point == Point::Drop), "{context}");
            excused += clones;
        }
        assert!(seen.iter().all(|&n| n >= 5), "{seen:?}");
    });
}

#[test]
fn a_failed_call_leaves_the_entry_as_it_was() {
    let _quiet = quiet();
    type Call = fn(Census, &Cache<Touchy, Touchy>);
    let t = |census: Census, tag| Touchy(census.counted(tag));
    let calls: [(&str, Call); 8] = [
        ("get", |s, c| drop(c.get(&Touchy(s.counted(1))))),
        ("peek", |s, c| drop(c.peek(&Touchy(s.counted(1))))),
        ("get_with", |s, c| {
            c.get_with(&Touchy(s.counted(1)), |_| visit(Point::Closure));
        }),
        ("get_many", |s, c| drop(c.get_many(&[Touchy(s.counted(1))]))),
        ("insert", |s, c| {
            let (key, value) = (s.counted(1), s.counted(2));
            c.insert(Touchy(key), Touchy(value));
        }),
        ("remove", |s, c| {
            c.remove(&Touchy(s.counted(1)));
        }),
        ("take", |s, c| drop(c.take(&Touchy(s.counted(1))))),
        ("update", |s, c| {
            c.update(Touchy(s.counted(1)), |_| {
                visit(Point::Closure);
                Update::Set(Touchy(s.counted(2)))
            });
        }),
    ];
    for (name, call) in calls {
        let mut panicked = 0;
        for n in 0.. {
            let (census, _clock, cache) = touchy();
            cache.insert(t(census, 1), t(census, 1));
            FUSE.set(Some(n));
            FIRED.set(None);
            let outcome = catch_unwind(AssertUnwindSafe(|| call(census, &cache)));
            FUSE.set(None);
            let Some(point) = FIRED.get() else { break };
            if matches!(point, Point::Hash | Point::Eq | Point::Closure) {
                panicked += 1;
                assert!(outcome.is_err(), "{name}: {point:?}");
                assert_eq!(cache.len(), 1, "{name}: {point:?}");
                let value = cache.get_with(&t(census, 1), |v| v.0.tag);
                assert_eq!(value, Some(1), "{name}: {point:?}");
                cache.retain(|_, _| true);
                // The one key and the one value: what the call was given is gone.
                assert_eq!(census.alive(), 2, "{name}: {point:?}");
            }
        }
        assert!(panicked >= 2, "{name} hashes and compares");
    }
}

#[test]
fn a_panicking_drop_does_not_take_others_along() {
    struct Grenade(Counted);
    impl Drop for Grenade {
        fn drop(&mut self) {
            if self.0.tag == 13 && !thread::panicking() {
                panic!("thirteen");
            }
        }
    }
    let _quiet = quiet();
    type Empty = fn(Cache<u64, Grenade>);
    let ways: [(&str, Empty); 4] = [
        ("clear", |cache| cache.clear()),
        ("retain", |cache| cache.retain(|_, _| false)),
        ("evict", |cache| {
            for tag in 1_000..10_000 {
                let there = cache.len();
                cache.remove(&(tag - 1_000));
                assert!(cache.len() <= there);
            }
        }),
        ("last handle", drop),
    ];
    for (name, empty) in ways {
        let census = Census::new();
        let cache = Cache::new(500);
        for tag in 0..500 {
            cache.insert(tag, Grenade(census.counted(tag)));
        }
        let last = cache.clone();
        // The panic may reach whoever happened to drop it, or nobody; the others must be dropped either way.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if name == "last handle" {
                drop(last);
            } else {
                empty(last);
            }
        }));
        if name != "last handle" {
            cache.insert(1, Grenade(census.counted(1)));
            assert_eq!(cache.get_with(&1, |v| v.0.tag), Some(1), "{name}");
        }
        let _ = catch_unwind(AssertUnwindSafe(|| drop(cache)));
        assert_eq!(census.alive(), 0, "{name}");
    }
}

#[test]
fn a_panicking_reader_holds_nothing_up() {
    let _quiet = quiet();
    let census = Census::new();
    let cache: Cache<u64, Counted> = Cache::new(100);
    for tag in 0..100 {
        cache.insert(tag, census.counted(tag));
    }
    for _ in 0..50 {
        let text = panics(|| {
            cache.get_with(&1, |_| -> () { panic!("in get_with") });
        });
        assert_eq!(text, "in get_with");
        let text = panics(|| {
            cache.update(1, |_| panic!("in update"));
        });
        assert_eq!(text, "in update");
        let text = panics(|| cache.retain(|_, _| panic!("in retain")));
        assert_eq!(text, "in retain");
    }
    assert_eq!(cache.len(), 100);
    cache.clear();
    assert_eq!(
        census.alive(),
        0,
        "a reader that panicked is still waited for"
    );
}

#[test]
fn a_thread_that_dies_in_a_closure_holds_nothing_up() {
    let _quiet = quiet();
    let census = Census::new();
    let cache: Cache<u64, Counted> = Cache::new(100);
    cache.insert(1, census.counted(1));
    for _ in 0..10 {
        let theirs = cache.clone();
        let death = thread::spawn(move || theirs.get_with(&1, |_| -> () { panic!("dead") })).join();
        assert!(death.is_err());
    }
    cache.clear();
    assert_eq!(census.alive(), 0);
}
