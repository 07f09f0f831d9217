//! Every key and value is dropped exactly once, in time, and user code that panics or calls back does no harm.

mod common;

use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use common::{Census, Counted, PATIENCE, Rng, panics, within};
use nori_cache::{Cache, ManualClock, Ttl, Update};
use parking_lot::{Mutex, MutexGuard};

/// How much garbage may wait for later writes, beside what is live. Generous: the point is that it is bounded.
const LAG: usize = 4_096;

/// Drops are prompt when nobody reads: the tests take turns, so that no reader of another test is in the way.
fn quiet() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock()
}

fn counted(max_keys: usize) -> (Census, Cache<Counted, Counted>) {
    let cache = Cache::builder().max_keys(max_keys).build().unwrap();
    (Census::new(), cache)
}

fn put(census: Census, cache: &Cache<Counted, Counted>, tag: u64) {
    cache.insert(census.counted(tag), census.counted(tag));
}

// ---- exactly once, in time -------------------------------------------------------------------------------------

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
                5 => cache.insert_with_ttl(value(), value(), Duration::from_millis(rng.below(4))),
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
    // The writers are gone; whatever they left behind comes back with somebody else's writes.
    for n in 0..LAG as u64 {
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

// ---- user code that panics -------------------------------------------------------------------------------------

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
            for tag in 1_000..1_000 + 2 * LAG as u64 {
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

// ---- user code that calls back ---------------------------------------------------------------------------------

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
            2 => cache.insert(key + 100, self.another(key + 100)),
            3 => cache.insert_with_ttl(key, self.another(key), long),
            4 => drop(cache.update(key, |_| Update::Set(self.another(key)))),
            5 => drop(cache.purge_expired()),
            6 if call % 110 == 6 => cache.retain(|k, _| k % 2 == 0),
            7 if call % 110 == 7 => cache.clear(),
            8 => cache.insert_with_ttl(key, self.another(key), Duration::ZERO),
            9 => cache.insert_with_ttl(key + 1, self.another(key + 1), Duration::from_millis(1)),
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
