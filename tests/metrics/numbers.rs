//! What is published is what has come since the last time.

use crate::recorder::{Kept, Number};
use crate::scripted::Scripted;
use crate::watchdog::block_on;
use nori_cache::metrics::{BUCKETS, Publisher};
use nori_cache::{
    BackendFuture, BackendStats, BreakerState, Cache, CacheBackend, CacheBackendExt, Flights,
    LinkState, MemoryCacheBackend, Operation, RedisCacheBackend, Ttl, Value,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HITS: &str = "cache=users,operation=get,outcome=hit";
const LOOKUPS: &str = "nori_cache_lookups_total";

#[test]
fn counters_grow_by_what_has_come() {
    let users: Cache<u64, u64> = Cache::new(10);
    users.insert(1, 1);
    users.get(&1);
    let publisher = Publisher::new().cache("users", &users);
    let kept = Kept::default();
    for total in [1, 1, 4] {
        while users.stats().hits < total {
            users.get(&1);
        }
        assert!(kept.during(|| publisher.publish()));
        assert_eq!(kept.count(LOOKUPS, HITS), total);
    }
    // Whoever comes later is told what comes later.
    users.get(&1);
    let other = Kept::default();
    assert!(other.during(|| publisher.publish()));
    assert_eq!(
        (other.count(LOOKUPS, HITS), kept.count(LOOKUPS, HITS)),
        (1, 4)
    );
    users.remove(&1);
    assert!(kept.during(|| publisher.publish()));
    assert_eq!(
        kept.number("nori_cache_entries", "cache=users"),
        Number::Gauge(0.0)
    );
    assert_eq!(
        kept.count("nori_cache_removals_total", "cache=users,cause=removed"),
        1
    );
}

#[test]
fn durations_are_in_their_classes_and_have_their_sum() {
    let server = Scripted::well();
    let backend = RedisCacheBackend::builder().url(server.url());
    let backend = Arc::new(backend.timeout(Duration::from_secs(3600)).build().unwrap());
    let publisher = Publisher::new().backend("shop", backend.clone());
    let kept = Kept::default();
    for round in 1..=3 {
        for _ in 0..10 {
            block_on(backend.get::<u8>("k")).unwrap();
        }
        assert!(kept.during(|| publisher.publish()));
        let name = "nori_cache_operation_duration_seconds";
        let Number::Histogram(values) = kept.number(name, "cache=shop,operation=get") else {
            panic!("{name} is no histogram");
        };
        let latency = backend.stats()[Operation::Get].latency;
        let count: usize = values.iter().map(|(_, count)| count).sum();
        assert_eq!((count, latency.count()), (10 * round, 10 * round as u64));
        let sum: f64 = values
            .iter()
            .map(|(value, count)| value * *count as f64)
            .sum();
        let total = latency.total().as_secs_f64();
        assert!((sum - total).abs() < total * 1e-4, "{sum}, not {total}");
        let mut classes = [0; BUCKETS.len() + 1];
        for (value, count) in values {
            classes[BUCKETS.iter().filter(|bound| value > **bound).count()] += count as u64;
        }
        let want: Vec<u64> = latency.classes().map(|(_, count)| count).collect();
        assert_eq!(classes[..], want);
    }
}

/// A backend whose numbers are what a test says.
#[derive(Debug, Default)]
struct Told {
    inner: Flights,
    stats: Mutex<Option<BackendStats>>,
}

impl CacheBackend for Told {
    fn get_value<'a>(&'a self, _: &'a str) -> BackendFuture<'a, Option<Value>> {
        BackendFuture::ready(Ok(None))
    }
    fn set_value<'a>(&'a self, _: &'a str, _: Value, _: Ttl) -> BackendFuture<'a, ()> {
        BackendFuture::ready(Ok(()))
    }
    fn delete_value<'a>(&'a self, _: &'a str) -> BackendFuture<'a, bool> {
        BackendFuture::ready(Ok(false))
    }
    fn flush_values(&self) -> BackendFuture<'_, ()> {
        BackendFuture::ready(Ok(()))
    }
    fn incr_value<'a>(&'a self, _: &'a str, by: i64, _: Ttl) -> BackendFuture<'a, i64> {
        BackendFuture::ready(Ok(by))
    }
    fn compare_and_set<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a Value>,
        _: Value,
        _: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        BackendFuture::ready(Ok(true))
    }
    fn value_ttl<'a>(&'a self, _: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        BackendFuture::ready(Ok(None))
    }
    fn flights(&self) -> &Flights {
        &self.inner
    }
    /// # Panics
    /// If the test has said nothing.
    fn stats(&self) -> BackendStats {
        let stats = self.stats.lock().unwrap().clone();
        stats.expect("numbers")
    }
}

/// A server that has left the cluster is in no state any more; its counters stay what they were.
#[test]
fn links_that_are_gone() {
    let link = |server: &str, breaker| {
        let mut link = LinkState::new(server);
        (link.breaker, link.is_connected, link.reconnects) = (breaker, true, 2);
        link
    };
    let backend = Arc::new(Told::default());
    let publisher = Publisher::new().backend("shop", backend.clone());
    let kept = Kept::default();
    let publish = |links: Vec<LinkState>| {
        let mut stats = BackendStats::default();
        stats.links = links;
        *backend.stats.lock().unwrap() = Some(stats);
        assert!(kept.during(|| publisher.publish()));
    };
    let state = |server: &str, state: &str| {
        let labels = format!("cache=shop,server={server},state={state}");
        kept.number("nori_cache_link_breaker", &labels)
    };
    publish(vec![
        link("a:1", BreakerState::Closed),
        link("b:1", BreakerState::Open),
    ]);
    assert_eq!(state("a:1", "closed"), Number::Gauge(1.0));
    assert_eq!(state("a:1", "open"), Number::Gauge(0.0));
    assert_eq!(state("b:1", "open"), Number::Gauge(1.0));
    publish(vec![link("a:1", BreakerState::Closed)]);
    assert_eq!(state("a:1", "closed"), Number::Gauge(1.0));
    assert_eq!(state("b:1", "open"), Number::Gauge(0.0));
    let connected = |labels| kept.number("nori_cache_link_connected", labels);
    assert_eq!(connected("cache=shop,server=a:1"), Number::Gauge(1.0));
    assert_eq!(connected("cache=shop,server=b:1"), Number::Gauge(0.0));
    let reconnects = "nori_cache_link_reconnects_total";
    assert_eq!(kept.count(reconnects, "cache=shop,server=b:1"), 2);
}

/// What a publisher calls may panic. It publishes the next time all the same, and loses nothing.
#[test]
fn a_backend_that_panics_when_it_is_asked() {
    let users: Cache<u64, u64> = Cache::new(10);
    let backend = Arc::new(Told::default());
    let publisher = Publisher::new()
        .backend("shop", backend.clone())
        .cache("users", &users);
    let kept = Kept::default();
    users.insert(1, 1);
    users.get(&1);
    let publish = AssertUnwindSafe(|| kept.during(|| publisher.publish()));
    assert!(catch_unwind(publish).is_err());
    *backend.stats.lock().unwrap() = Some(BackendStats::default());
    assert!(kept.during(|| publisher.publish()));
    assert_eq!(kept.count(LOOKUPS, HITS), 1);
}

/// A backend that publishes when it is asked, as a recorder that does would.
#[derive(Debug, Default)]
struct Reentrant {
    inner: Option<MemoryCacheBackend>,
    publisher: Mutex<Option<Arc<Publisher>>>,
    published: Mutex<Vec<bool>>,
}

impl CacheBackend for Reentrant {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.inner().get_value(key)
    }
    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.inner().set_value(key, value, ttl)
    }
    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.inner().delete_value(key)
    }
    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.inner().flush_values()
    }
    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        self.inner().incr_value(key, by, ttl)
    }
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        self.inner().compare_and_set(key, expected, new, ttl)
    }
    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.inner().value_ttl(key)
    }
    fn flights(&self) -> &Flights {
        self.inner().flights()
    }
    fn stats(&self) -> BackendStats {
        let publisher = self.publisher.lock().unwrap().clone();
        let published = publisher.is_some_and(|publisher| publisher.publish());
        self.published.lock().unwrap().push(published);
        self.inner().stats()
    }
}

impl Reentrant {
    fn inner(&self) -> &MemoryCacheBackend {
        self.inner.as_ref().expect("it is there")
    }
}

#[test]
fn who_publishes_while_another_does_tells_nothing_twice() {
    let backend = Arc::new(Reentrant {
        inner: Some(MemoryCacheBackend::new(10)),
        ..Reentrant::default()
    });
    let publisher = Arc::new(Publisher::new().backend("users", backend.clone()));
    *backend.publisher.lock().unwrap() = Some(Arc::clone(&publisher));
    block_on(backend.set("k", 1, Ttl::Never)).unwrap();
    block_on(backend.get::<u8>("k")).unwrap();
    let kept = Kept::default();
    assert!(kept.during(|| publisher.publish()));
    assert_eq!(*backend.published.lock().unwrap(), [false]);
    assert_eq!(kept.count(LOOKUPS, HITS), 1);
    *backend.publisher.lock().unwrap() = None;
}
