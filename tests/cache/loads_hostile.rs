//! Loads whose keys, values and loaders panic, whenever that may be: nothing is lost, nobody waits, and the next load works.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::support::{Census, Constant, Counted};
use crate::watchdog::ends;
use nori_cache::Cache;

thread_local! {
    /// So many calls of user code go well.
    static FUSE: Cell<u32> = const { Cell::new(u32::MAX) };
}

fn burn() {
    let left = FUSE.get();
    FUSE.set(left.wrapping_sub(1));
    if left == 0 {
        // Without the hook, whose words on another thread than the test's the thread sanitizer does not understand.
        resume_unwind(Box::new("the fuse is burnt"));
    }
}

struct Key(u64);

impl Clone for Key {
    fn clone(&self) -> Self {
        burn();
        Self(self.0)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Eq for Key {}

struct Value(Counted);

impl Clone for Value {
    fn clone(&self) -> Self {
        burn();
        Self(self.0.clone())
    }
}

type Subject = Cache<Key, Value, Constant>;

/// Calls `call` with a fuse that is longer each time, until it is long enough.
fn at_any_call(call: impl Fn(&Subject, Census) + Send + 'static) {
    ends(move || {
        for length in 0.. {
            let census = Census::new();
            let cache: Subject = Cache::builder()
                .max_keys(8)
                .hasher(Constant(1))
                .build()
                .unwrap();
            cache.insert(Key(0), Value(census.counted(0)));
            FUSE.set(length);
            let outcome = catch_unwind(AssertUnwindSafe(|| call(&cache, census)));
            let burnt = outcome.is_err();
            FUSE.set(u32::MAX);
            assert!(
                format!("{cache:?}").contains("loads: 0"),
                "{length}: {cache:?}"
            );
            let value = cache.get_or_insert_with(&Key(1), || Value(census.counted(7)));
            assert!([1, 7].contains(&value.0.tag));
            drop(value);
            drop(cache);
            assert_eq!(census.alive(), 0, "{length}");
            if !burnt {
                assert!(length > 5, "the fuse was never long enough to matter");
                return;
            }
        }
    });
}

#[test]
fn a_load_that_panics_anywhere() {
    at_any_call(|cache, census| {
        let value = cache.get_or_insert_with(&Key(1), || {
            burn();
            Value(census.counted(1))
        });
        assert_eq!(value.0.tag, 1);
    });
}

#[test]
fn a_load_of_many_that_panics_anywhere() {
    at_any_call(|cache, census| {
        let keys = [Key(1), Key(0), Key(2), Key(1)];
        let found = cache.get_or_load_many(&keys, |missing| {
            burn();
            let load = |key: &Key| (Key(key.0), Value(census.counted(key.0)));
            missing.into_iter().map(load).collect::<Vec<_>>()
        });
        assert!(found.iter().all(Option::is_some));
    });
}

#[test]
fn writes_that_panic_anywhere_during_a_load() {
    at_any_call(|cache, census| {
        cache.get_or_insert_with(&Key(1), || {
            let _ = cache.insert_if_absent(Key(1), Value(census.counted(1)));
            let _ = cache.replace(Key(1), Value(census.counted(1)));
            cache.remove_if(&Key(1), |_| true);
            cache.insert(Key(1), Value(census.counted(1)));
            cache.remove(&Key(1));
            Value(census.counted(1))
        });
    });
}
