//! Loads of many keys: what they ask the store for, and whom they wait for. The conformance suite has what holds for every backend.

use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{
    BackendFuture, CacheBackend, CacheBackendExt, Codec, Error, Flights, MemoryCacheBackend, Ttl,
    Value,
};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

/// As memory, and counts what it is asked for.
#[derive(Debug)]
struct Counting {
    inner: MemoryCacheBackend,
    calls: Mutex<Vec<String>>,
}

impl Counting {
    fn new() -> Self {
        Self {
            inner: MemoryCacheBackend::new(100),
            calls: Mutex::default(),
        }
    }

    fn called(&self, name: &str, count: usize) {
        self.calls.lock().unwrap().push(format!("{name} {count}"));
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl CacheBackend for Counting {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.called("get", 1);
        self.inner.get_value(key)
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.inner.set_value(key, value, ttl)
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.inner.delete_value(key)
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.inner.flush_values()
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        self.inner.incr_value(key, by, ttl)
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        self.called("compare", 1);
        self.inner.compare_and_set(key, expected, new, ttl)
    }

    fn compare_and_set_many<'a>(
        &'a self,
        entries: Vec<(&'a str, Option<&'a Value>, Value)>,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, Vec<bool>> {
        self.called("compare", entries.len());
        self.inner.compare_and_set_many(entries, ttl)
    }

    fn get_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, Vec<Option<Value>>> {
        self.called("get", keys.len());
        self.inner.get_values(keys)
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.inner.value_ttl(key)
    }

    fn flights(&self) -> &Flights {
        self.inner.flights()
    }
}

/// What a loader brings.
type Brought<'k> = Result<Vec<(&'k str, u64)>, Infallible>;

/// A loader that brings this for each key that it is asked for.
fn brings<'k>(value: u64) -> impl Fn(Vec<&'k str>) -> Ready<Brought<'k>> + Send {
    move |missing| ready(Ok(missing.into_iter().map(|key| (key, value)).collect()))
}

#[test]
fn what_the_store_is_asked_for() {
    let backend = Counting::new();
    block_on(backend.set("a", 1, Ttl::Never)).unwrap();
    let load = |keys: &[&'static str]| {
        let loaded = block_on(backend.get_or_load_many(keys, Ttl::Never, brings(2)));
        (loaded.unwrap(), backend.calls())
    };
    let (values, calls) = load(&["a", "b", "c", "b"]);
    assert_eq!(values, [Some(1), Some(2), Some(2), Some(2)]);
    assert_eq!(calls, ["get 3", "get 2", "compare 2"]);
    let (values, calls) = load(&["c", "a", "c"]);
    assert_eq!(values, [Some(2), Some(1), Some(2)]);
    assert_eq!(calls, ["get 2"]);
    let nothing = |_: Vec<&str>| ready(Ok::<_, Infallible>(HashMap::<String, u64>::new()));
    let loaded = block_on(backend.get_or_load_many(&["x", "y"], Ttl::Never, nothing));
    assert_eq!(loaded.unwrap(), [None, None]);
    assert_eq!(backend.calls(), ["get 2", "get 2"]);
}

/// Each loads one key, and inside its loader asks for both.
#[test]
fn loads_that_would_wait_for_each_other() {
    for _ in 0..50 {
        let answers = ends(|| {
            let (backend, meet) = (MemoryCacheBackend::new(100), Barrier::new(2));
            let call = |own: &'static str| {
                let (backend, meet) = (&backend, &meet);
                let outer = |missing: Vec<&'static str>| async move {
                    meet.wait();
                    let inner = backend.get_or_load_many(&["a", "b"], Ttl::Never, brings(1));
                    let sum: u64 = inner.await?.into_iter().flatten().sum();
                    Ok::<_, Error>(missing.into_iter().map(move |key| (key, sum)))
                };
                block_on(backend.get_or_load_many(&[own], Ttl::Never, outer)).unwrap()
            };
            thread::scope(|scope| {
                let one = scope.spawn(|| call("a"));
                let other = scope.spawn(|| call("b"));
                [one.join().unwrap()[0], other.join().unwrap()[0]]
            })
        });
        let mut answers = answers.map(Option::unwrap);
        answers.sort_unstable();
        // One goes ahead on its own with 1 and 1; the other gets what that one comes to, and 1.
        assert_eq!(answers, [2, 3]);
    }
}

#[test]
fn whoever_is_dropped_or_panics_leaves_nothing() {
    let backend = MemoryCacheBackend::new(100);
    let keys = ["a", "b"];
    let hang = |_: Vec<&'static str>| pending::<Brought<'static>>();
    {
        let mut leader = pin!(backend.get_or_load_many(&keys, Ttl::Never, hang));
        assert!(poll_once(leader.as_mut()).is_none());
        let shown = format!("{:?}", backend.flights());
        assert!(shown.contains("loads: 2"), "{shown}");
        // One that follows, and leaves.
        let mut follower = pin!(backend.get_or_load_many(&keys, Ttl::Never, brings(1)));
        assert!(poll_once(follower.as_mut()).is_none());
    }
    let panics =
        |_: Vec<&'static str>| -> Ready<Brought<'static>> { resume_unwind(Box::new("no loader")) };
    let load = || block_on(backend.get_or_load_many(&keys, Ttl::Never, panics));
    assert!(catch_unwind(AssertUnwindSafe(load)).is_err());
    let shown = format!("{:?}", backend.flights());
    assert!(shown.contains("loads: 0"), "{shown}");
    let loaded = block_on(backend.get_or_load_many(&keys, Ttl::Never, brings(3)));
    assert_eq!(loaded.unwrap(), [Some(3), Some(3)]);
}

/// The leader gives up after others have begun to wait: they load what is missing by then, with one call.
#[test]
fn a_leader_that_gives_up_has_its_keys_loaded_with_one_call() {
    let backend = MemoryCacheBackend::new(100);
    let hang = |_: Vec<&'static str>| pending::<Brought<'static>>();
    let mut leader = Box::pin(backend.get_or_load_many(&["b", "c"], Ttl::Never, hang));
    assert!(poll_once(leader.as_mut()).is_none());
    let calls = Mutex::new(Vec::new());
    let loader = |missing: Vec<&'static str>| {
        calls.lock().unwrap().push(missing.join(" "));
        brings(1)(missing)
    };
    let keys = ["a", "b", "c", "d"];
    let mut follower = pin!(backend.get_or_load_many(&keys, Ttl::Never, loader));
    assert!(poll_once(follower.as_mut()).is_none());
    // What nobody else loads is there already, for others.
    assert_eq!(block_on(backend.get("d")).unwrap(), Some(1));
    drop(leader);
    let loaded = block_on(follower);
    assert_eq!(loaded.unwrap(), [Some(1); 4]);
    assert_eq!(*calls.lock().unwrap(), ["a d", "b c"]);
}

/// A leader that loads a number where we want a text.
#[test]
fn what_others_load_as_another_type_is_loaded_again() {
    let backend = MemoryCacheBackend::new(100);
    let mut first = true;
    let hang_once = |missing: Vec<&'static str>| {
        let hangs = std::mem::take(&mut first);
        async move {
            if hangs {
                tokio::task::yield_now().await;
            }
            Ok::<_, Infallible>(missing.into_iter().map(|key| (key, 1_u64)))
        }
    };
    let mut leader = pin!(backend.get_or_load_many(&["a"], Ttl::Never, hang_once));
    assert!(poll_once(leader.as_mut()).is_none());
    let texts = |missing: Vec<&'static str>| {
        ready(Ok::<_, Infallible>(
            missing
                .into_iter()
                .map(|key| (key, key.to_owned()))
                .collect::<Vec<_>>(),
        ))
    };
    let mut follower = pin!(backend.get_or_load_many(&["a", "b"], Ttl::Never, texts));
    assert!(poll_once(follower.as_mut()).is_none());
    assert_eq!(block_on(leader).unwrap(), [Some(1)]);
    let texts: Vec<Option<String>> = block_on(follower).unwrap();
    assert_eq!(texts, [Some("a".to_owned()), Some("b".to_owned())]);
    assert_eq!(block_on(backend.get("a")).unwrap(), Some(1_u64));
}

#[test]
fn nobody_waits_longer_than_the_patience() {
    let patience = Duration::from_millis(20);
    let backend = MemoryCacheBackend::builder()
        .patience(patience)
        .build()
        .unwrap();
    let hang = |_: Vec<&'static str>| pending::<Brought<'static>>();
    let mut leader = pin!(backend.get_or_load_many(&["a", "b"], Ttl::Never, hang));
    assert!(poll_once(leader.as_mut()).is_none());
    let follower = backend.get_or_load_many(&["c", "b", "a"], Ttl::Never, brings(1));
    let error = block_on(follower).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(
        error.to_string().starts_with("get_or_load_many \"b\""),
        "{error}"
    );
    // What it had loaded by then is there.
    assert_eq!(block_on(backend.get("c")).unwrap(), Some(1_u64));
}

#[test]
fn codecs_and_views() {
    let backend = Arc::new(MemoryCacheBackend::new(100));
    let codec = Codec::json().version(3);
    let view = backend.with_codec(&codec);
    let loaded = block_on(view.get_or_load_many(&["a", "b"], Ttl::Never, brings(1)));
    assert_eq!(loaded.unwrap(), [Some(1), Some(1)]);
    block_on(view.set("a", "text", Ttl::Never)).unwrap();
    let loaded = block_on(view.get_or_load_many(&["a", "b"], Ttl::Never, brings(2)));
    assert_eq!(loaded.unwrap(), [Some(2), Some(1)]);
    assert_eq!(block_on(view.get("a")).unwrap(), Some(2_u64));
    // Of another codec it is nothing, and written over.
    let plain = block_on(backend.set("a", "other", Ttl::Never));
    plain.unwrap();
    let loaded = block_on(view.get_or_load_many(&["a"], Ttl::Never, brings(3)));
    assert_eq!(loaded.unwrap(), [Some(3)]);
    assert_eq!(block_on(view.get("a")).unwrap(), Some(3_u64));
}

/// In different orders, some backwards: each leads what others follow.
#[test]
fn many_callers_of_many_keys_load_each_once() {
    const KEYS: usize = 40;
    for round in 0..20 {
        let backend = MemoryCacheBackend::new(100);
        let names: Vec<String> = (0..KEYS).map(|n| format!("k{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let loaded: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let (meet, loaded, backend) = (Barrier::new(4), &loaded, &backend);
        thread::scope(|scope| {
            let callers = [0, 1, 2, 3].map(|caller| {
                let (names, meet) = (&names, &meet);
                scope.spawn(move || {
                    let mut keys = names.clone();
                    keys.rotate_left((round * 7 + caller * 11) % KEYS);
                    if caller % 2 == 1 {
                        keys.reverse();
                    }
                    let loader = |missing: Vec<&str>| {
                        let numbers = missing.into_iter().map(|key| {
                            let n: usize = key[1..].parse().unwrap();
                            loaded[n].fetch_add(1, Ordering::SeqCst);
                            (key.to_owned(), n)
                        });
                        ready(Ok::<_, Infallible>(numbers.collect::<Vec<_>>()))
                    };
                    meet.wait();
                    let got = backend.get_or_load_many(&keys, Ttl::Never, loader);
                    let got: Vec<Option<usize>> = block_on(got).unwrap();
                    for (key, got) in keys.iter().zip(got) {
                        assert_eq!(format!("k{}", got.unwrap()), *key);
                    }
                })
            });
            // ThreadSanitizer sees who joins, and not how a scope ends.
            callers
                .into_iter()
                .for_each(|caller| caller.join().unwrap());
        });
        assert!(loaded.iter().all(|it| it.load(Ordering::SeqCst) == 1));
    }
}
