//! What else decides how long an entry lives: idle time, `set_ttl`, `touch`, an `Expiry`, jitter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::watchdog::ends;
use nori_cache::{Cache, CacheBuilder, Clock, Expiry, ManualClock, Ttl, Update};

const MS: Duration = Duration::from_millis(1);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn after(millis: u64) -> Option<Ttl> {
    Some(Ttl::After(ms(millis)))
}

/// A builder on a clock that stands still until told.
fn manual<V>() -> (ManualClock, CacheBuilder<u64, V>) {
    let clock = ManualClock::new();
    let builder = Cache::builder().clock(clock.clone());
    (clock, builder)
}

// ---- idle time -------------------------------------------------------------------------------------------------

/// Whether an entry with an idle time of 160 ms is there at its end, after this at half of it.
fn outlives(look: impl Fn(&Cache<u64, u64>)) -> bool {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.time_to_idle(ms(160)).build().unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    clock.advance(ms(80));
    look(&cache);
    clock.advance(ms(80));
    assert!(!cache.contains_key(&2), "what nobody looks at goes");
    let there = cache.contains_key(&1);
    clock.advance(ms(79));
    assert_eq!(cache.contains_key(&1), there);
    clock.advance(MS);
    assert!(!cache.contains_key(&1), "in the end it goes all the same");
    assert_eq!(cache.purge_expired(), 2);
    there
}

#[test]
fn which_calls_restart_the_idle_time() {
    assert!(outlives(|cache| assert_eq!(cache.get(&1), Some(1))));
    assert!(outlives(|cache| assert_eq!(
        cache.get_with(&1, |it| *it),
        Some(1)
    )));
    assert!(outlives(|cache| assert_eq!(
        cache.get_many(&[1, 3]),
        [Some(1), None]
    )));
    assert!(outlives(|cache| assert!(cache.touch(&1))));
    assert!(outlives(|cache| _ = cache.insert(1, 2)));
    assert!(outlives(|cache| assert!(
        cache.update(1, |_| Update::Set(3))
    )));
}

#[test]
fn which_calls_do_not() {
    assert!(!outlives(|_| ()));
    assert!(!outlives(|cache| assert_eq!(cache.peek(&1), Some(1))));
    assert!(!outlives(|cache| assert!(cache.contains_key(&1))));
    assert!(!outlives(|cache| assert_eq!(cache.ttl(&1), after(80))));
    assert!(!outlives(|cache| assert_eq!(cache.iter().count(), 2)));
    assert!(!outlives(|cache| cache.retain(|_, _| true)));
    assert!(!outlives(|cache| assert!(
        !cache.update(1, |_| Update::Keep)
    )));
    assert!(!outlives(|cache| assert!(cache.set_ttl(&1, ms(1_000)))));
}

#[test]
fn what_has_been_idle_is_gone_for_every_call() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.time_to_idle(MS).build().unwrap();
    (0..6).for_each(|n| _ = cache.insert(n, n));
    assert_eq!(cache.ttl(&0), after(1));
    clock.advance(MS);
    assert_eq!((cache.get(&0), cache.peek(&0)), (None, None));
    assert_eq!(cache.get_with(&0, |v| *v), None);
    assert_eq!(cache.get_many(&[0, 1]), [None, None]);
    assert!(!cache.contains_key(&0) && !cache.touch(&0) && !cache.set_ttl(&0, Ttl::Never));
    assert_eq!((cache.ttl(&0), cache.iter().count()), (None, 0));
    assert_eq!((cache.take(&1), cache.remove(&2)), (None, false));
    assert!(cache.update(3, |old| Update::Set(old.map_or(30, |_| unreachable!()))));
    cache.retain(|&key, _| key == 3);
    assert_eq!((cache.len(), cache.get(&3)), (1, Some(30)));
    assert_eq!(cache.stats().expirations, 6);
}

#[test]
fn reads_in_quick_succession_restart_it_once_in_a_sixteenth() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.time_to_idle(ms(1_600)).build().unwrap();
    cache.insert(1, 1);
    let left = |millis: u64| {
        clock.advance(ms(millis));
        assert_eq!(cache.get(&1), Some(1));
        cache.ttl(&1)
    };
    assert_eq!(left(99), after(1_501));
    assert_eq!(left(1), after(1_600));
    assert_eq!(left(99), after(1_501));
    assert_eq!(left(100), after(1_600));
    // However often it is read, fifteen sixteenths are left.
    for _ in 0..1_000 {
        let left = left(7);
        assert!((1_500..=1_600).any(|it| left == after(it)), "{left:?}");
    }
}

#[test]
fn with_a_time_to_live_the_earlier_end_counts() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.ttl(ms(250)).time_to_idle(ms(100)).build().unwrap();
    cache.insert(1, 1);
    cache.insert_with_ttl(2, 2, ms(50));
    cache.insert_with_ttl(3, 3, Ttl::Never);
    assert_eq!(cache.ttl(&2), after(50));
    clock.advance(ms(50));
    assert_eq!(cache.get_many(&[1, 2, 3]), [Some(1), None, Some(3)]);
    clock.advance(ms(99));
    assert_eq!(cache.get_many(&[1, 3]), [Some(1), Some(3)]);
    clock.advance(ms(99));
    assert_eq!(cache.ttl(&1), after(1), "left of its idle time");
    assert_eq!(cache.get_many(&[1, 3]), [Some(1), Some(3)]);
    assert_eq!(cache.ttl(&1), after(2), "left of its time to live");
    clock.advance(2 * MS);
    assert_eq!(cache.get_many(&[1, 3]), [None, Some(3)]);
    // What keeps the time to live keeps that, and not the idle time.
    cache.insert(1, 1);
    clock.advance(ms(90));
    assert!(cache.update(1, |_| Update::Set(2)));
    assert_eq!(cache.ttl(&1), after(100));
    clock.advance(ms(90));
    assert_eq!(cache.get(&1), Some(2));
    assert_eq!(cache.ttl(&1), after(70));
    // Some of the others a write may have come across.
    cache.purge_expired();
    assert_eq!(cache.len(), 1);
}

/// The first entry with a time to live comes when the cache has had none.
#[test]
fn a_time_to_live_of_one_entry_counts_beside_an_idle_time() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.time_to_idle(ms(100)).build().unwrap();
    cache.insert(1, 1);
    assert!(cache.set_ttl(&1, ms(120)));
    clock.advance(ms(60));
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(cache.ttl(&1), after(60));
    clock.advance(ms(60));
    assert_eq!((cache.get(&1), cache.peek(&1)), (None, None));
    assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
}

#[test]
fn idle_entries_make_room_before_others() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder
        .max_keys(100)
        .shards(1)
        .time_to_idle(ms(100))
        .build()
        .unwrap();
    (0..100).for_each(|n| _ = cache.insert(n, n));
    clock.advance(ms(99));
    (0..50).for_each(|n| assert_eq!(cache.get(&n), Some(n)));
    clock.advance(MS);
    (100..150).for_each(|n| _ = cache.insert(n, n));
    assert!((0..50).chain(100..150).all(|n| cache.contains_key(&n)));
    let stats = cache.stats();
    assert_eq!((stats.expirations, stats.evictions), (50, 0));
}

/// With the system's clock, and one that a thread reads: an idle time of weeks does not end, one of a millisecond does.
#[test]
fn idle_times_of_other_clocks() {
    for clock in [Clock::system(), Clock::ticking(MS)] {
        let build = |idle: Duration| {
            let builder = Cache::<u64, u64>::builder().clock(clock.clone());
            builder.time_to_idle(idle).build().unwrap()
        };
        let (long, short) = (build(Duration::from_secs(1 << 20)), build(MS));
        long.insert(1, 1);
        short.insert(1, 1);
        while short.contains_key(&1) {
            std::thread::yield_now();
        }
        assert_eq!((short.get(&1), long.get(&1)), (None, Some(1)));
    }
}

// ---- set_ttl, touch --------------------------------------------------------------------------------------------

#[test]
fn set_ttl_shortens_and_prolongs() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.ttl(ms(100)).build().unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    cache.insert(3, 3);
    assert!(
        cache.set_ttl(&1, ms(10)) && cache.set_ttl(&2, ms(1_000)) && cache.set_ttl(&3, Ttl::Never)
    );
    assert!(!cache.set_ttl(&4, ms(1_000)), "no entry is made");
    assert_eq!(
        [1, 2, 3].map(|key| cache.ttl(&key)),
        [after(10), after(1_000), Some(Ttl::Never)]
    );
    clock.advance(ms(10));
    assert_eq!(cache.get_many(&[1, 2, 3]), [None, Some(2), Some(3)]);
    assert_eq!(cache.purge_expired(), 1, "what was shortened is found");
    clock.advance(ms(500));
    assert_eq!(cache.purge_expired(), 0);
    assert!(cache.set_ttl(&2, ms(1)) && cache.set_ttl(&3, ms(2)));
    clock.advance(MS);
    assert_eq!(cache.purge_expired(), 1);
    clock.advance(MS);
    assert_eq!(cache.purge_expired(), 1);
    assert!(cache.is_empty());
}

#[test]
fn set_ttl_of_zero_removes() {
    let cache: Cache<u64, u64> = Cache::new(10);
    cache.insert(1, 1);
    assert!(cache.set_ttl(&1, Duration::ZERO));
    assert!(cache.is_empty() && !cache.set_ttl(&1, Duration::ZERO));
}

/// The first deadline of a cache that has had none.
#[test]
fn set_ttl_of_what_lives_for_ever() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.build().unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    assert!(cache.touch(&1) && cache.set_ttl(&1, ms(5)));
    clock.advance(ms(5));
    assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(2)));
    assert_eq!((cache.purge_expired(), cache.len()), (1, 1));
}

#[test]
fn what_has_expired_is_not_brought_back() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.ttl(ms(10)).build().unwrap();
    cache.insert(1, 1);
    clock.advance(ms(10));
    assert_eq!(cache.len(), 1, "no write has taken it out");
    assert!(!cache.touch(&1) && !cache.set_ttl(&1, Ttl::Never) && !cache.touch(&1));
    assert_eq!((cache.get(&1), cache.ttl(&1)), (None, None));
    assert_eq!(cache.purge_expired(), 0, "the calls above have seen to it");
    assert_eq!((cache.len(), cache.stats().expirations), (0, 1));
}

#[test]
fn touch_restarts_the_lifetime_from_the_cache_s_own() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(2).shards(1).ttl(ms(100)).build().unwrap();
    cache.insert(1, 1);
    cache.insert_with_ttl(2, 2, ms(1_000));
    clock.advance(ms(60));
    assert!(cache.touch(&2) && cache.touch(&1));
    assert_eq!((cache.ttl(&1), cache.ttl(&2)), (after(100), after(100)));
    // A use, for eviction; and none that is counted.
    cache.insert(3, 3);
    assert_eq!(cache.get_many(&[1, 2, 3]), [Some(1), None, Some(3)]);
    assert_eq!((cache.stats().hits, cache.stats().inserts), (2, 3));
}

/// What the slot's next entry is filed under is not what was shortened, and the other way round.
#[test]
fn slots_that_are_used_again_are_filed_anew() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(4).shards(1).build().unwrap();
    for round in 0..200_u64 {
        for key in 0..4 {
            cache.insert_with_ttl(key, round, ms(10 + (round * 7 + key * 13) % 50));
            assert!(cache.set_ttl(&key, ms(1 + (round * 11 + key * 5) % 60)));
            if (round + key) % 3 == 0 {
                assert!(cache.set_ttl(&key, Ttl::Never) && cache.set_ttl(&key, ms(30)));
            }
        }
        clock.advance(ms(round % 70));
        let live = cache.iter().count();
        cache.purge_expired();
        assert_eq!(cache.len(), live);
    }
}

// ---- Expiry ----------------------------------------------------------------------------------------------------

type Asked = Arc<Mutex<Vec<String>>>;

/// Writes down what it is asked, and says of a value that lives so many milliseconds.
struct Script {
    asked: Asked,
    says: Arc<AtomicU64>,
}

impl Script {
    const DEFAULT: u64 = u64::MAX;
    const PANIC: u64 = u64::MAX - 1;

    fn say(&self, asked: String, default: Ttl) -> Ttl {
        self.asked.lock().unwrap().push(asked);
        match self.says.load(Ordering::Relaxed) {
            Self::DEFAULT => default,
            Self::PANIC => panic!("on purpose"),
            millis => Ttl::After(ms(millis)),
        }
    }
}

impl Expiry<u64, u64> for Script {
    fn after_create(&self, key: &u64, value: &u64, ttl: Ttl) -> Ttl {
        self.say(format!("create {key} {value} {}", millis(ttl)), ttl)
    }

    fn after_update(&self, key: &u64, value: &u64, ttl: Ttl, remaining: Ttl) -> Ttl {
        let (of, left) = (millis(ttl), millis(remaining));
        self.say(format!("update {key} {value} {of} {left}"), ttl)
    }

    fn after_read(&self, key: &u64, value: &u64, remaining: Ttl) -> Ttl {
        self.say(
            format!("read {key} {value} {}", millis(remaining)),
            remaining,
        )
    }
}

fn millis(ttl: Ttl) -> String {
    match ttl {
        Ttl::After(after) => after.as_millis().to_string(),
        Ttl::Never => "never".to_owned(),
    }
}

struct Scripted {
    clock: ManualClock,
    cache: Cache<u64, u64>,
    asked: Asked,
    says: Arc<AtomicU64>,
}

impl Scripted {
    fn new(set: impl FnOnce(CacheBuilder<u64, u64>) -> CacheBuilder<u64, u64>) -> Self {
        let (clock, builder) = manual();
        let (asked, says) = (Asked::default(), Arc::new(AtomicU64::new(Script::DEFAULT)));
        let script = Script {
            asked: Arc::clone(&asked),
            says: Arc::clone(&says),
        };
        let cache = set(builder).expiry(script).build().unwrap();
        Self {
            clock,
            cache,
            asked,
            says,
        }
    }

    /// Does something with this answer at hand, and checks what was asked.
    #[track_caller]
    fn with<R>(&self, says: u64, asked: &[&str], run: impl FnOnce(&Cache<u64, u64>) -> R) -> R {
        self.says.store(says, Ordering::Relaxed);
        let result = run(&self.cache);
        assert_eq!(std::mem::take(&mut *self.asked.lock().unwrap()), asked);
        result
    }
}

#[test]
fn an_expiry_that_says_nothing_changes_nothing() {
    let it = Scripted::new(|builder| builder.ttl(ms(100)));
    let default = Script::DEFAULT;
    it.with(default, &["create 1 10 100"], |cache| cache.insert(1, 10));
    it.clock.advance(ms(30));
    it.with(default, &["read 1 10 70"], |cache| {
        assert_eq!(cache.get(&1), Some(10))
    });
    it.with(default, &["update 1 11 70 70"], |cache| {
        cache.update(1, |_| Update::Set(11))
    });
    assert_eq!(it.cache.ttl(&1), after(70));
    it.with(default, &["update 1 12 100 70"], |cache| {
        cache.insert(1, 12)
    });
    assert_eq!(it.cache.ttl(&1), after(100));
    it.clock.advance(ms(99));
    it.with(default, &["update 1 12 100 1"], |cache| {
        assert!(cache.touch(&1))
    });
    it.clock.advance(ms(100));
    it.with(default, &["create 1 13 100"], |cache| cache.insert(1, 13));
    // Calls that say how long, and looks that are no reads, ask nobody.
    it.with(default, &[], |cache| {
        cache.insert_with_ttl(2, 20, ms(5));
        cache.update(2, |_| Update::SetWithTtl(21, ms(6).into()));
        cache.set_ttl(&2, ms(7));
        assert_eq!((cache.peek(&2), cache.ttl(&2)), (Some(21), after(7)));
        assert!(cache.contains_key(&2) && cache.iter().count() == 2);
        assert!(!cache.update(2, |_| Update::Keep));
    });
}

#[test]
fn an_expiry_says_how_long() {
    let it = Scripted::new(|builder| builder);
    it.with(50, &["create 1 10 never"], |cache| cache.insert(1, 10));
    assert_eq!(it.cache.ttl(&1), after(50));
    it.clock.advance(ms(20));
    // A read that prolongs.
    let found = it.with(60, &["read 1 10 30"], |cache| cache.get_with(&1, |it| *it));
    assert_eq!((found, it.cache.ttl(&1)), (Some(10), after(60)));
    it.clock.advance(ms(59));
    assert_eq!(it.cache.purge_expired(), 0, "which nobody has filed");
    // One that shortens, which is.
    let found = it.with(5, &["read 1 10 1"], |cache| cache.get_many(&[1, 3]));
    assert_eq!((found, it.cache.ttl(&1)), (vec![Some(10), None], after(5)));
    it.with(100, &["read 1 10 5"], |cache| cache.get(&1));
    it.with(5, &["read 1 10 100"], |cache| cache.get(&1));
    it.clock.advance(ms(5));
    assert_eq!(it.cache.purge_expired(), 1);
    // Updates, new keys among them.
    it.with(7, &["create 2 20 never"], |cache| {
        cache.update(2, |_| Update::Set(20))
    });
    it.with(9, &["update 2 21 7 7"], |cache| {
        cache.update(2, |_| Update::Set(21))
    });
    assert_eq!(it.cache.ttl(&2), after(9));
    it.with(11, &["update 2 21 never 9"], |cache| {
        assert!(cache.touch(&2))
    });
    assert_eq!(it.cache.ttl(&2), after(11));
    // No time at all.
    it.with(0, &["read 2 21 11"], |cache| {
        assert_eq!(cache.get(&2), Some(21))
    });
    assert!(it.cache.is_empty());
    it.with(0, &["create 2 22 never"], |cache| cache.insert(2, 22));
    it.with(10, &["create 2 23 never"], |cache| cache.insert(2, 23));
    it.with(0, &["update 2 23 never 10"], |cache| {
        assert!(cache.touch(&2))
    });
    assert!(it.cache.is_empty());
}

#[test]
fn an_idle_time_counts_beside_an_expiry() {
    let it = Scripted::new(|builder| builder.time_to_idle(ms(40)));
    it.with(100, &["create 1 10 never"], |cache| cache.insert(1, 10));
    it.clock.advance(ms(39));
    it.with(50, &["read 1 10 61"], |cache| cache.get(&1));
    assert_eq!(it.cache.ttl(&1), after(40));
    it.clock.advance(ms(39));
    it.with(Script::DEFAULT, &["read 1 10 11"], |cache| cache.get(&1));
    assert_eq!(it.cache.ttl(&1), after(11));
    it.clock.advance(ms(11));
    it.with(Script::DEFAULT, &[], |cache| {
        assert_eq!(cache.get(&1), None)
    });
}

#[test]
fn an_expiry_that_panics_changes_nothing() {
    let it = Scripted::new(|builder| builder.ttl(ms(100)));
    let panics = |asked: &str, run: &dyn Fn(&Cache<u64, u64>)| {
        let run = AssertUnwindSafe(|| it.cache_with(Script::PANIC, run));
        assert!(catch_unwind(run).is_err());
        let mut all = it.asked.lock().unwrap_or_else(|it| it.into_inner());
        assert_eq!(std::mem::take(&mut *all), [asked]);
        it.asked.clear_poison();
    };
    panics("create 1 10 100", &|cache| _ = cache.insert(1, 10));
    assert!(it.cache.is_empty());
    it.with(Script::DEFAULT, &["create 1 11 100"], |cache| {
        cache.insert(1, 11)
    });
    it.clock.advance(ms(1));
    panics("read 1 11 99", &|cache| assert!(cache.get(&1).is_none()));
    panics("update 1 12 100 99", &|cache| _ = cache.insert(1, 12));
    panics("update 1 13 99 99", &|cache| {
        assert!(cache.update(1, |_| Update::Set(13)))
    });
    panics("update 1 11 100 99", &|cache| assert!(cache.touch(&1)));
    assert_eq!((cache_peek(&it), it.cache.ttl(&1)), (Some(11), after(99)));
    // Nothing is held by what has unwound: that goes, as soon as the readers of other tests let it.
    let cache = it.cache.clone();
    ends(move || {
        while cache.stats().pending > 0 {
            cache.clear();
            thread::yield_now();
        }
    });
}

fn cache_peek(it: &Scripted) -> Option<u64> {
    it.cache.peek(&1)
}

impl Scripted {
    fn cache_with(&self, says: u64, run: &dyn Fn(&Cache<u64, u64>)) {
        self.says.store(says, Ordering::Relaxed);
        run(&self.cache);
    }
}

/// It may call the cache, and the key that it is asked about.
#[test]
fn an_expiry_may_call_the_cache() {
    struct Calls(Mutex<Option<Cache<u64, u64>>>);

    impl Calls {
        fn call(&self, key: u64) {
            let cache = self.0.lock().unwrap().take();
            if let Some(cache) = cache {
                cache.insert(key, 100);
                cache.remove(&key);
                cache.insert(key + 1, 200);
                cache.clear();
                *self.0.lock().unwrap() = Some(cache);
            }
        }
    }

    impl Expiry<u64, u64> for Calls {
        fn after_create(&self, key: &u64, _: &u64, ttl: Ttl) -> Ttl {
            self.call(*key);
            ttl
        }

        fn after_read(&self, key: &u64, value: &u64, _: Ttl) -> Ttl {
            self.call(*key);
            assert_eq!(*value, 1, "still the one that was read");
            Ttl::After(MS)
        }
    }

    let calls = Arc::new(Calls(Mutex::default()));
    let cache: Cache<u64, u64> = Cache::builder().expiry(Arc::clone(&calls)).build().unwrap();
    *calls.0.lock().unwrap() = Some(cache.clone());
    cache.insert(1, 1);
    assert_eq!(cache.get_with(&1, |it| *it), Some(1));
    assert!(cache.is_empty(), "what it cleared is not brought back");
    calls.0.lock().unwrap().take();
}

// ---- jitter ----------------------------------------------------------------------------------------------------

#[test]
fn jitter_is_a_share_from_zero_to_one() {
    for share in [-0.1, 1.1, f64::NAN, f64::INFINITY, -f64::MIN_POSITIVE] {
        let error = Cache::<u64, u64>::builder()
            .ttl_jitter(share)
            .build()
            .unwrap_err();
        assert!(error.is_invalid_config());
        let expected = format!("ttl_jitter is {share}; it must be a share from 0 to 1");
        assert_eq!(error.to_string(), expected);
    }
    for share in [0.0, -0.0, 0.1, 1.0] {
        assert!(
            Cache::<u64, u64>::builder()
                .ttl_jitter(share)
                .build()
                .is_ok()
        );
    }
    let error = Cache::<u64, u64>::builder()
        .time_to_idle(Duration::ZERO)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "time_to_idle is zero; it must be longer than zero, or Ttl::Never"
    );
}

#[test]
fn jitter_shortens_what_begins_and_nothing_else() {
    let lives = |seed: u64| {
        let (_clock, builder) = manual();
        let cache: Cache<u64, u64, _> = builder
            .ttl(ms(1_000))
            .ttl_jitter(0.2)
            .hasher(ahash::RandomState::with_seeds(seed, 2, 3, 4))
            .build()
            .unwrap();
        let left = |key| match cache.ttl(&key) {
            Some(Ttl::After(left)) => left.as_millis(),
            other => panic!("{other:?}"),
        };
        (0..500).for_each(|n| _ = cache.insert(n, n));
        let lives: Vec<_> = (0..500).map(left).collect();
        assert!(lives.iter().all(|it| (800..=1_000).contains(it)));
        assert!(lives.iter().any(|&it| it < 850) && lives.iter().any(|&it| it > 950));
        // A lifetime that goes on is not shortened again.
        for n in 0..500 {
            assert!(cache.update(n, |_| Update::Set(n)));
        }
        assert_eq!((0..500).map(left).collect::<Vec<_>>(), lives);
        (0..500).for_each(|n| assert!(cache.set_ttl(&n, ms(100))));
        assert!((0..500).map(left).all(|it| (80..=100).contains(&it)));
        (0..500).for_each(|n| assert!(cache.touch(&n)));
        assert!((0..500).map(left).all(|it| (800..=1_000).contains(&it)));
        cache.insert_with_ttl(0, 0, Ttl::Never);
        assert_eq!(cache.ttl(&0), Some(Ttl::Never));
        lives
    };
    assert_eq!(lives(1), lives(1), "the same each time");
    assert_ne!(lives(1), lives(2));
}
