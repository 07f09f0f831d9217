//! `#[cached]`: memoised functions.

#![cfg(all(feature = "macros", feature = "global"))]

mod asynchronous;
mod failures;
mod hygiene;
mod keys;
#[cfg(feature = "tracing")]
#[path = "../support/listening.rs"]
mod listening;
mod methods;
mod plain;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
#[path = "../support/redis.rs"]
mod server;

use nori_cache::{BackendFuture, CacheBackend, Error, Flights, MemoryCacheBackend, Ttl, Value};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

/// How often something has run.
#[derive(Debug, Default)]
struct Runs(AtomicUsize);

impl Runs {
    const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Counts one, and says which it is, from 1.
    fn next(&self) -> usize {
        self.0.fetch_add(1, SeqCst) + 1
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

/// A door that is opened once.
#[derive(Debug, Default)]
struct Gate(AtomicBool);

impl Gate {
    const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    fn open(&self) {
        self.0.store(true, SeqCst);
    }

    async fn pass(&self) {
        while !self.0.load(SeqCst) {
            tokio::task::yield_now().await;
        }
    }
}

/// Polls so many calls that are under way until all but one wait for that one, on a runtime of one thread: a call in memory goes as far as
/// it can whenever it is polled.
async fn all_have_asked(asked: &Runs, count: usize) {
    while asked.count() < count {
        tokio::task::yield_now().await;
    }
}

/// Polls a future once.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

/// It can run on any executor's threads.
fn is_send<T: Send>(future: T) -> T {
    future
}

/// A backend in memory whose reads or writes fail on request.
#[derive(Debug)]
struct Failing {
    memory: MemoryCacheBackend,
    reads: AtomicBool,
    writes: AtomicBool,
}

impl Failing {
    fn new() -> Self {
        Self {
            memory: MemoryCacheBackend::new(100),
            reads: AtomicBool::new(false),
            writes: AtomicBool::new(false),
        }
    }

    fn set(&self, reads: bool, writes: bool) {
        self.reads.store(reads, SeqCst);
        self.writes.store(writes, SeqCst);
    }

    fn or<'a, T>(
        &self,
        fails: &AtomicBool,
        call: impl FnOnce() -> BackendFuture<'a, T>,
    ) -> BackendFuture<'a, T> {
        if fails.load(SeqCst) {
            BackendFuture::ready(Err(Error::connection("unplugged")))
        } else {
            call()
        }
    }
}

impl CacheBackend for Failing {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.or(&self.reads, || self.memory.get_value(key))
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.or(&self.writes, || self.memory.set_value(key, value, ttl))
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.or(&self.writes, || self.memory.delete_value(key))
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.or(&self.writes, || self.memory.flush_values())
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        self.or(&self.writes, || self.memory.incr_value(key, by, ttl))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        self.or(&self.writes, || {
            self.memory.compare_and_set(key, expected, new, ttl)
        })
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.or(&self.reads, || self.memory.value_ttl(key))
    }

    fn flights(&self) -> &Flights {
        self.memory.flights()
    }
}
