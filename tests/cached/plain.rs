//! Functions that are not `async`, over typed caches.

use crate::Runs;
use nori_cache::{Cache, Ttl, cached};
use std::collections::HashSet;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn a_call_is_cached_by_its_argument() {
    static RUNS: Runs = Runs::new();

    /// The length of a text.
    #[cached]
    fn length(text: &str) -> usize {
        text.len() + RUNS.next() - 1
    }

    assert_eq!(length("abc"), 3);
    assert_eq!(length("abc"), 3);
    assert_eq!(length("ab"), 3);
    assert_eq!(RUNS.count(), 2);
    let cache: &Cache<String, usize> = length_cache();
    assert_eq!((cache.len(), cache.max_keys()), (2, 10_000));
    assert_eq!(cache.ttl("abc"), Some(Ttl::Never));
    assert_eq!((cache.stats().hits, cache.stats().loads.succeeded), (1, 2));
    assert_eq!(length_cache_key("abc"), "abc");
    assert_eq!(length_uncached("abc"), 5);
    assert!(length_cache_remove("abc"));
    assert!(!length_cache_remove("abc"));
    assert_eq!(length("abc"), 6);
}

#[test]
fn a_call_is_cached_by_the_tuple_of_its_arguments() {
    #[derive(Debug, Clone, PartialEq, Eq, Hash)]
    struct Whole(u8);

    #[cached(max_keys = 50 + 50, ttl = "1h")]
    fn joined(path: &Path, mut n: u64, whole: Whole, list: &[u8], none: Option<bool>) -> String {
        n += 1;
        format!("{} {n} {} {list:?} {none:?}", path.display(), whole.0)
    }
    #[cached]
    fn none() -> usize {
        RUNS.next()
    }
    static RUNS: Runs = Runs::new();

    let expected = "a 2 3 [4] Some(true)";
    for _ in 0..2 {
        let joined = joined(Path::new("a"), 1, Whole(3), &[4], Some(true));
        assert_eq!(joined, expected);
    }
    type Key = (PathBuf, u64, Whole, Vec<u8>, Option<bool>);
    let cache: &Cache<Key, String> = joined_cache();
    let key = joined_cache_key(Path::new("a"), 1, Whole(3), &[4], Some(true));
    assert_eq!(cache.get(&key).unwrap(), expected);
    let Some(Ttl::After(left)) = cache.ttl(&key) else {
        panic!("it has a time to live");
    };
    assert!(left > Duration::from_secs(3000) && left <= Duration::from_secs(3600));
    assert_eq!((cache.max_keys(), cache.stats().hits), (100, 2));

    assert_eq!((none(), none()), (1, 1));
    none_cache_key();
    assert!(none_cache_remove());
    assert_eq!(none(), 2);
}

#[test]
fn one_call_runs_however_many_ask() {
    const THREADS: usize = 8;
    static RUNS: Runs = Runs::new();
    static ASKED: Runs = Runs::new();

    #[cached]
    fn slow(n: usize, text: &str) -> usize {
        let run = RUNS.next();
        while ASKED.count() < THREADS {
            std::thread::yield_now();
        }
        n + text.len() + run
    }

    std::thread::scope(|scope| {
        let ask = || {
            ASKED.next();
            slow(38, "abc")
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 42);
        }
    });
    assert_eq!(RUNS.count(), 1);
    assert_eq!(slow_cache().stats().loads.succeeded, 1);
}

#[test]
fn results_are_cached_and_errors_are_not() {
    /// Neither `Clone` nor an `Error`.
    #[derive(Debug, PartialEq)]
    struct Own(usize);
    static RUNS: Runs = Runs::new();

    #[cached]
    fn flaky(n: u8) -> Result<u8, Own> {
        match RUNS.next() {
            3 => Ok(n),
            run => Err(Own(run)),
        }
    }
    #[cached]
    fn number(text: &str) -> Result<u8, ParseIntError> {
        text.parse::<u8>()
    }
    #[cached]
    fn io(text: &str) -> std::io::Result<u8> {
        text.parse::<u8>().map_err(std::io::Error::other)
    }

    assert_eq!(flaky(7), Err(Own(1)));
    assert_eq!(flaky(7), Err(Own(2)));
    assert_eq!(flaky(7), Ok(7));
    assert_eq!(flaky(7), Ok(7));
    assert_eq!(RUNS.count(), 3);
    assert!(number("x").is_err() && io("x").is_err());
    assert_eq!((number("1").unwrap(), io("1").unwrap()), (1, 1));
    assert_eq!((number_cache().len(), io_cache().len()), (1, 1));
}

#[test]
fn keys_may_be_templates_and_expressions() {
    #[cached(key = "{a}:{b}")]
    fn template(a: &str, b: u8) -> u8 {
        b
    }
    #[cached(key: (u64, String) = (user.0, lang.to_lowercase()), skip(log))]
    fn expression(user: &(u64, [f64; 2]), lang: &str, log: &mut Vec<String>) -> usize {
        log.push(lang.to_owned());
        user.1.len()
    }
    #[cached(key: u64 = ids.iter().copied().sum(), ttl = Duration::from_secs(1), max_keys = 2)]
    fn borrowed(ids: &[&u64]) -> u64 {
        ids.len() as u64
    }

    assert_eq!(template("a:b", 1), 1);
    assert_eq!(template_cache_key("a:b", 1), "a%3Ab:1");
    assert_eq!(template_cache().len(), 1);
    let mut log = Vec::new();
    assert_eq!(expression(&(1, [0.0; 2]), "EN", &mut log), 2);
    assert_eq!(expression(&(1, [1.0; 2]), "en", &mut log), 2);
    assert_eq!(log, ["EN"]);
    assert_eq!(
        expression_cache_key(&(1, [0.0; 2]), "De"),
        (1, "de".to_owned())
    );
    assert_eq!(borrowed(&[&1, &2]), 2);
    assert_eq!(borrowed(&[&3]), 2);
    assert_eq!(borrowed_cache().max_keys(), 2);
}

#[test]
fn a_function_may_call_itself() {
    static RUNS: Runs = Runs::new();

    #[cached(max_keys = 100)]
    fn fibonacci(n: u64) -> u64 {
        RUNS.next();
        match n {
            0 | 1 => n,
            _ => fibonacci(n - 1) + fibonacci(n - 2),
        }
    }
    #[cached(skip(depth))]
    fn same_key(name: &str, depth: u32) -> u32 {
        match depth {
            0 => 0,
            _ => depth + same_key(name, depth - 1),
        }
    }

    assert_eq!(fibonacci(80), 23_416_728_348_467_685);
    assert_eq!(RUNS.count(), 81);
    assert_eq!(same_key("a", 6), 21);
}

#[test]
fn the_bound_holds() {
    static RUNS: Runs = Runs::new();

    #[cached(max_keys = 3)]
    fn square(n: u64) -> u64 {
        RUNS.next();
        n * n
    }

    for n in 0..10 {
        assert_eq!(square(n), n * n);
        assert!(square_cache().len() <= 3);
    }
    assert_eq!(RUNS.count(), 10);
    square(9);
    assert_eq!(RUNS.count(), 10);
    square(0);
    assert_eq!(RUNS.count(), 11);
}

#[test]
fn a_panic_stores_nothing() {
    static RUNS: Runs = Runs::new();

    #[cached]
    fn panics_once(n: usize) -> usize {
        assert_ne!(RUNS.next(), 1, "the first does");
        n
    }

    assert!(std::panic::catch_unwind(|| panics_once(1)).is_err());
    assert_eq!(panics_once(1), 1);
    assert_eq!(RUNS.count(), 2);
}

#[test]
fn settings_that_are_not_allowed_are_told_at_the_first_call() {
    const NONE: usize = 0;

    #[cached(max_keys = NONE)]
    fn bounded(n: usize) -> usize {
        n
    }

    let panic = std::panic::catch_unwind(|| bounded(1)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert_eq!(
        message,
        "#[cached] on cached::plain::bounded: max_keys is 0; it must be at least 1"
    );
}

#[test]
fn values_of_any_type_that_can_be_cloned_are_cached() {
    #[cached]
    fn set(n: u8) -> std::sync::Arc<HashSet<u8>> {
        std::sync::Arc::new(HashSet::from([n]))
    }

    assert!(std::sync::Arc::ptr_eq(&set(1), &set(1)));
}
