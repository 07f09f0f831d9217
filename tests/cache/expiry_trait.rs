//! An `Expiry`, which is asked how long entries live.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::lifetimes::{MS, after, manual, ms};
use crate::watchdog::ends;
use nori_cache::{Cache, CacheBuilder, Expiry, ManualClock, Ttl, Update};

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
