//! A store that is slow, down or back on cue: memory, with a clock that stands still.

use nori_cache::{
    BackendFuture, CacheBackend, Error, Flights, LoadOptions, ManualClock, MemoryCacheBackend, Ttl,
    Value,
};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Debug)]
pub struct Store {
    inner: MemoryCacheBackend,
    clock: ManualClock,
    options: LoadOptions,
    reads_fail: AtomicBool,
    writes_fail: AtomicBool,
    /// How many turns of the executor a call takes.
    turns: AtomicUsize,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

impl Store {
    pub fn new() -> Arc<Self> {
        Self::with_options(LoadOptions::new())
    }

    pub fn with_options(options: LoadOptions) -> Arc<Self> {
        let clock = ManualClock::new();
        let inner = MemoryCacheBackend::builder().clock(clock.clone());
        Arc::new(Self {
            inner: inner.build().unwrap(),
            clock,
            options,
            reads_fail: AtomicBool::new(false),
            writes_fail: AtomicBool::new(false),
            turns: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            writes: AtomicUsize::new(0),
        })
    }

    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    pub fn down(&self, is_down: bool) {
        self.reads_are_down(is_down);
        self.writes_are_down(is_down);
    }

    pub fn reads_are_down(&self, are: bool) {
        self.reads_fail.store(are, Ordering::SeqCst);
    }

    pub fn writes_are_down(&self, are: bool) {
        self.writes_fail.store(are, Ordering::SeqCst);
    }

    pub fn slow(&self, turns: usize) {
        self.turns.store(turns, Ordering::SeqCst);
    }

    /// How many reads and writes there were.
    pub fn calls(&self) -> (usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (of(&self.reads), of(&self.writes))
    }

    /// Whatever is stored, fresh or not.
    pub async fn raw(&self, key: &str) -> Option<Value> {
        self.inner.get_value(key).await.unwrap()
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        is_write: bool,
        key: &'a str,
        work: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> BackendFuture<'a, T> {
        BackendFuture::boxed(async move {
            let (count, fails) = match is_write {
                true => (&self.writes, &self.writes_fail),
                false => (&self.reads, &self.reads_fail),
            };
            count.fetch_add(1, Ordering::SeqCst);
            for _ in 0..self.turns.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            if fails.load(Ordering::SeqCst) {
                let operation = if is_write { "set" } else { "get" };
                return Err(Error::connection("unplugged").during(operation, Some(key)));
            }
            work.await
        })
    }
}

impl CacheBackend for Store {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.call(false, key, self.inner.get_value(key))
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        let set = async move { self.inner.set_value(key, value, ttl).await };
        self.call(true, key, set)
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.call(true, key, async move { self.inner.delete_value(key).await })
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.call(true, "", async move { self.inner.flush_values().await })
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        let incr = async move { self.inner.incr_value(key, by, ttl).await };
        self.call(true, key, incr)
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        let set = async move { self.inner.compare_and_set(key, expected, new, ttl).await };
        self.call(true, key, set)
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.inner.value_ttl(key)
    }

    fn load_options(&self) -> &LoadOptions {
        &self.options
    }

    fn manual_clock(&self) -> Option<&ManualClock> {
        Some(&self.clock)
    }

    fn flights(&self) -> &Flights {
        self.inner.flights()
    }
}
