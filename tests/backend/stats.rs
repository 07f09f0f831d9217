//! What a backend in memory counts, and what every backend does.

use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{
    BackendFuture, BackendStats, CacheBackend, CacheBackendExt, Codec, Error, Flights,
    MemoryCacheBackend, Operation, Ttl, Value,
};
use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::thread;

/// Calls, hits and misses of each operation that was called.
fn counts(stats: &BackendStats) -> Vec<(&'static str, u64, u64, u64)> {
    let all = stats.operations();
    let all = all.map(|(operation, it)| (operation.name(), it.calls, it.hits, it.misses));
    all.filter(|(_, calls, ..)| *calls > 0).collect()
}

fn memory() -> MemoryCacheBackend {
    MemoryCacheBackend::new(100)
}

#[test]
fn each_call_is_counted_as_what_it_is() {
    let backend = memory();
    let mut last = backend.stats();
    assert_eq!(counts(&last), []);
    let mut told = |want: &[(&'static str, u64, u64, u64)]| {
        let now = backend.stats();
        assert_eq!(counts(&now.since(&last)), want);
        assert_eq!(backend.stats_since(&last), now.since(&last));
        last = now;
    };
    block_on(async {
        backend.set("a", 1, Ttl::Never).await.unwrap();
        backend.set_ref("b", "text", Ttl::Never).await.unwrap();
        told(&[("set", 2, 0, 0)]);
        assert_eq!(backend.get::<u8>("a").await.unwrap(), Some(1));
        assert_eq!(backend.get::<u8>("nothing").await.unwrap(), None);
        assert!(backend.get_shared::<String>("b").await.unwrap().is_some());
        told(&[("get", 3, 2, 1)]);
        let found = backend.get_many::<Value2>(&["a", "c", "b", "d"]).await;
        assert_eq!(found.unwrap().iter().flatten().count(), 2);
        told(&[("get_many", 1, 2, 2)]);
        backend
            .set_many([("c", 1), ("d", 2)], Ttl::Never)
            .await
            .unwrap();
        told(&[("set_many", 1, 0, 0)]);
        assert!(backend.delete("c").await.unwrap());
        assert!(!backend.delete("c").await.unwrap());
        told(&[("delete", 2, 1, 1)]);
        assert_eq!(backend.delete_many(&["c", "d"]).await.unwrap(), 1);
        told(&[("delete_many", 1, 1, 0)]);
        assert!(backend.ttl("a").await.unwrap().is_some());
        assert!(backend.ttl("c").await.unwrap().is_none());
        told(&[("ttl", 2, 1, 1)]);
        backend.verify().await.unwrap();
        backend.flush().await.unwrap();
        told(&[("flush", 1, 0, 0), ("verify", 1, 0, 0)]);
    });
    let stats = backend.stats();
    assert_eq!((stats.entries, stats.links.len()), (Some(0), 0));
    assert_eq!(stats.memory.unwrap(), backend.cache_stats());
    // No clock is read for it.
    assert!(stats.operations().all(|(_, it)| it.latency.count() == 0));
    assert!(stats.operations().all(|(_, it)| it.succeeded() == it.calls));
}

/// Whatever is stored.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(untagged)]
enum Value2 {
    Number(u8),
    Text(String),
}

/// Increments and updates look at entries too, and are no reads.
#[test]
fn increments_and_updates_are_not_taken_for_reads() {
    let backend = memory();
    block_on(async {
        for by in [1, 1, 1 << 40, 1, i64::MAX] {
            // The last one is too much.
            let sum = backend.incr_by("n", by, Ttl::Never).await;
            assert_eq!(sum.is_err(), by == i64::MAX);
        }
        backend.set("text", "text", Ttl::Never).await.unwrap();
        assert!(backend.incr("text", Ttl::Never).await.is_err());
        let add = |n: Option<i64>| ready(n.unwrap_or(0) + 1);
        backend.atomic_update("n", None, add).await.unwrap();
        backend.atomic_update("m", None, add).await.unwrap();
        let wrong = Value::integer(-1);
        let replaced = backend.compare_and_set("n", Some(&wrong), Value::integer(0), None);
        assert!(!replaced.await.unwrap());
    });
    let stats = backend.stats();
    // An update reads first.
    assert_eq!(
        counts(&stats),
        [
            ("get", 2, 1, 1),
            ("set", 1, 0, 0),
            ("incr", 6, 0, 0),
            ("compare_and_set", 3, 2, 1),
        ]
    );
    let errors = stats[Operation::Incr].errors;
    assert_eq!(
        (errors.overflow, errors.wrong_type, errors.total()),
        (1, 1, 2)
    );
    assert_eq!(stats[Operation::Incr].succeeded(), 4);
}

#[test]
fn failures_are_counted_by_what_went_wrong() {
    let backend = memory();
    block_on(backend.close()).unwrap();
    block_on(async {
        assert!(backend.get::<u8>("a").await.unwrap_err().is_closed());
        assert!(backend.incr("a", Ttl::Never).await.unwrap_err().is_closed());
        assert!(
            backend
                .set("a", 1, Ttl::Never)
                .await
                .unwrap_err()
                .is_closed()
        );
    });
    let stats = backend.stats();
    for operation in [Operation::Get, Operation::Incr, Operation::Set] {
        let it = stats[operation];
        assert_eq!(
            (it.calls, it.errors.closed, it.succeeded()),
            (1, 1, 0),
            "{operation:?}"
        );
        assert_eq!((it.hits, it.misses), (0, 0), "{operation:?}");
    }
}

/// Many threads at once: nothing is lost, and nothing counted twice.
#[test]
fn counts_are_exact_when_all_is_quiet() {
    const THREADS: usize = 4;
    const EACH: u64 = 2_000;
    let backend = memory();
    block_on(backend.set("here", 1, Ttl::Never)).unwrap();
    thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| {
            scope.spawn(|| {
                block_on(async {
                    for n in 0..EACH {
                        backend.get::<u8>("here").await.unwrap();
                        backend.get::<u8>("not here").await.unwrap();
                        backend.get_many::<u8>(&["here", "not here"]).await.unwrap();
                        // Large steps take counters out of their cells, so that others find dead ones.
                        let by = if n % 100 == 0 { 1 << 50 } else { 1 };
                        backend.incr_by("n", by, Ttl::Never).await.unwrap();
                        backend.get::<i64>("n").await.unwrap();
                    }
                });
            })
        });
        threads.into_iter().for_each(|it| it.join().unwrap());
    });
    let stats = backend.stats();
    let all = THREADS as u64 * EACH;
    assert_eq!(
        counts(&stats),
        [
            ("get", 3 * all, 2 * all, all),
            ("get_many", all, all, all),
            ("set", 1, 0, 0),
            ("incr", all, 0, 0),
        ]
    );
    assert_eq!(stats[Operation::Get].hit_ratio(), 2.0 / 3.0);
}

#[test]
fn loads_are_counted_as_those_of_the_typed_cache() {
    let backend = Arc::new(memory());
    block_on(async {
        for _ in 0..2 {
            let load = || async { Ok::<_, Error>(1) };
            backend.get_or_load("a", Ttl::Never, load).await.unwrap();
        }
        let load = || async { Err::<u8, _>("no") };
        assert!(backend.get_or_load("b", Ttl::Never, load).await.is_err());
        // Overtaken: it answers, and is a success all the same.
        let load = || async {
            backend.delete("c").await.unwrap();
            Ok::<_, Error>(1)
        };
        backend.get_or_load("c", Ttl::Never, load).await.unwrap();
    });
    {
        let load = || pending::<Result<u8, Error>>();
        let mut dropped = pin!(backend.get_or_load("d", Ttl::Never, load));
        assert!(poll_once(dropped.as_mut()).is_none());
        assert_eq!(backend.stats().loads.abandoned, 0);
    }
    let panics = Arc::clone(&backend);
    let panicked = thread::spawn(move || {
        let load = || async { panic!("a loader that panics") };
        block_on(panics.get_or_load::<u8, Error, _, _>("e", Ttl::Never, load))
    });
    assert!(panicked.join().is_err());
    let get = backend.stats()[Operation::Get];
    assert_eq!((get.hits, get.misses, get.missed_again), (1, 10, 5));
    assert_eq!((get.callers_misses(), get.hit_ratio()), (5, 1.0 / 6.0));
    let loads = backend.stats().loads;
    assert_eq!((loads.succeeded, loads.failed), (2, 1));
    assert_eq!(
        (loads.panicked, loads.abandoned, loads.coalesced),
        (1, 1, 0)
    );
    assert_eq!(loads.took.count(), 2);
}

#[test]
fn those_who_wait_for_a_load_are_counted() {
    ends(|| {
        let backend = memory();
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        let load = || async {
            gate.await.unwrap();
            Ok::<_, Error>(1_u8)
        };
        let mut leads = pin!(backend.get_or_load("a", Ttl::Never, load));
        assert!(poll_once(leads.as_mut()).is_none());
        let unused = || async { Err::<u8, _>("it is loaded already") };
        let mut follows = pin!(backend.get_or_load("a", Ttl::Never, unused));
        assert!(poll_once(follows.as_mut()).is_none());
        open.send(()).unwrap();
        assert_eq!(block_on(leads).unwrap(), 1);
        assert_eq!(block_on(follows).unwrap(), 1);
        let loads = backend.stats().loads;
        assert_eq!((loads.succeeded, loads.failed, loads.coalesced), (1, 0, 1));
    });
}

#[test]
fn what_cannot_be_decoded_is_a_hit_of_the_store() {
    let backend = memory();
    block_on(async {
        backend.set("text", "text", Ttl::Never).await.unwrap();
        assert_eq!(backend.get::<u64>("text").await.unwrap(), None);
    });
    let stats = backend.stats();
    assert_eq!(stats[Operation::Get].hits, 1);
    assert_eq!(stats.undecodable, backend.undecodable());
    assert_eq!(stats.undecodable.malformed, 1);
    assert_eq!(backend.stats_since(&stats).undecodable.total(), 0);
}

/// A backend of somebody's own, with nothing counted but what every backend counts.
#[derive(Debug, Default)]
struct Empty(Flights);

impl CacheBackend for Empty {
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
        &self.0
    }
}

#[test]
fn every_backend_counts_its_loads_and_views_are_what_they_show() {
    let backend = Empty::default();
    let load = || async { Ok::<_, Error>(1_u8) };
    block_on(backend.get_or_load("a", Ttl::Never, load)).unwrap();
    let stats = backend.stats();
    assert_eq!((stats.loads.succeeded, counts(&stats)), (1, Vec::new()));
    assert_eq!((stats.memory, stats.entries), (None, None));

    let backend: Arc<dyn CacheBackend> = Arc::new(memory());
    let view = backend.with_codec(&Codec::bytes());
    block_on(view.set("a", vec![1_u8], Ttl::Never)).unwrap();
    assert_eq!(view.stats(), backend.stats());
    assert_eq!(view.stats()[Operation::Set].calls, 1);
}
