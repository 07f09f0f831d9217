//! A store that is down: what goes on without it, and what does not.

use crate::watchdog::block_on;
use nori_cache::{
    BackendFuture, CacheBackend, CacheBackendExt, Error, Flights, MemoryCacheBackend, Ttl, Value,
};
use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// What of it is down.
const READS: u8 = 1;
const WRITES: u8 = 2;

#[derive(Debug)]
struct Flaky {
    inner: MemoryCacheBackend,
    down: AtomicU8,
    /// Writes that it was asked for.
    writes: AtomicU64,
    flights: Flights,
}

impl Flaky {
    fn new() -> Self {
        Self {
            inner: MemoryCacheBackend::new(100),
            down: AtomicU8::new(0),
            writes: AtomicU64::new(0),
            flights: Flights::default(),
        }
    }

    fn set_down(&self, what: u8) {
        self.down.store(what, Ordering::SeqCst);
    }

    fn reading<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce() -> BackendFuture<'a, T>,
    ) -> BackendFuture<'a, T> {
        self.unless(READS, work)
    }

    fn writing<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce() -> BackendFuture<'a, T>,
    ) -> BackendFuture<'a, T> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.unless(WRITES, work)
    }

    fn unless<'a, T: Send + 'a>(
        &'a self,
        what: u8,
        work: impl FnOnce() -> BackendFuture<'a, T>,
    ) -> BackendFuture<'a, T> {
        match self.down.load(Ordering::SeqCst) & what {
            0 => work(),
            _ => BackendFuture::ready(Err(Error::connection("unplugged"))),
        }
    }
}

impl CacheBackend for Flaky {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.reading(|| self.inner.get_value(key))
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.writing(|| self.inner.set_value(key, value, ttl))
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.writing(|| self.inner.delete_value(key))
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.writing(|| self.inner.flush_values())
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        self.writing(|| self.inner.incr_value(key, by, ttl))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        self.writing(|| self.inner.compare_and_set(key, expected, new, ttl))
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.reading(|| self.inner.value_ttl(key))
    }

    fn flights(&self) -> &Flights {
        &self.flights
    }
}

/// A rate limit that lets everybody through because Redis is away would be one that an attacker switches off.
#[test]
fn counters_and_updates_never_degrade() {
    let backend = Flaky::new();
    block_on(backend.set("n", 7, Ttl::Never)).unwrap();
    for down in [READS | WRITES, WRITES] {
        backend.set_down(down);
        let error = block_on(backend.incr("n", MINUTE)).unwrap_err();
        assert!(error.is_connection(), "{error}");
        let error = block_on(backend.incr_by("new", 5, MINUTE)).unwrap_err();
        assert!(error.is_connection(), "{error}");
        let runs = AtomicU64::new(0);
        let add = |n: Option<u64>| {
            runs.fetch_add(1, Ordering::SeqCst);
            ready(n.unwrap_or(0) + 1)
        };
        let error = block_on(backend.atomic_update("n", None, add)).unwrap_err();
        assert!(error.is_connection(), "{error}");
        // What cannot be read is not updated; what cannot be written is not tried for ever.
        let expected = u64::from(down == WRITES);
        assert_eq!(runs.load(Ordering::SeqCst), expected);
        let add = |n: Option<u64>| ready(Ok::<_, Error>(n.unwrap_or(0) + 1));
        let error = block_on(backend.try_atomic_update("n", MINUTE, add)).unwrap_err();
        assert!(error.is_connection(), "{error}");
    }
    backend.set_down(0);
    assert_eq!(block_on(backend.get("n")).unwrap(), Some(7));
    assert_eq!(block_on(backend.get::<i64>("new")).unwrap(), None);
    assert_eq!(block_on(backend.incr("n", MINUTE)).unwrap(), 8);
}

#[test]
fn a_load_of_many_goes_on() {
    let backend = Flaky::new();
    block_on(backend.set("a", 7, Ttl::Never)).unwrap();
    let load = |backend: &dyn CacheBackend| {
        let loader = |missing: Vec<&'static str>| async move {
            Ok::<_, Infallible>(missing.into_iter().map(|key| (key, 1)))
        };
        block_on(backend.get_or_load_many(&["a", "b"], Ttl::Never, loader))
    };
    backend.set_down(READS | WRITES);
    assert_eq!(load(&backend).unwrap(), [Some(1), Some(1)]);
    // What was there is not written over by what was loaded blindly.
    backend.set_down(READS);
    assert_eq!(load(&backend).unwrap(), [Some(1), Some(1)]);
    backend.set_down(0);
    assert_eq!(block_on(backend.get("a")).unwrap(), Some(7));
    assert_eq!(block_on(backend.get("b")).unwrap(), Some(1));
    block_on(backend.delete("b")).unwrap();
    // It can be read, and not written.
    backend.set_down(WRITES);
    let before = backend.writes.load(Ordering::SeqCst);
    assert_eq!(load(&backend).unwrap(), [Some(7), Some(1)]);
    assert_eq!(backend.writes.load(Ordering::SeqCst), before + 1);
    for down in [READS | WRITES, READS, WRITES] {
        backend.set_down(down);
        let error = load(&backend.strict()).unwrap_err();
        assert!(error.is_connection(), "{error}");
    }
    backend.set_down(0);
    assert_eq!(block_on(backend.get::<i64>("b")).unwrap(), None);
}

#[test]
fn a_backend_that_was_closed_loads_nothing() {
    let backend = MemoryCacheBackend::new(10);
    block_on(backend.close()).unwrap();
    let loader = |_: Vec<&str>| async { Ok::<_, Infallible>([("a", 1)]) };
    let error = block_on(backend.get_or_load_many(&["a"], Ttl::Never, loader)).unwrap_err();
    assert!(error.is_closed(), "{error}");
}
