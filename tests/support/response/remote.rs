//! A backend that is elsewhere, as far as can be told.

use nori_cache::{
    BackendFuture, CacheBackend, Error, Flights, ManualClock, MemoryCacheBackend, Ttl, Value,
};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A backend in memory that keeps JSON only, as one elsewhere does, and that can be unplugged.
#[derive(Debug)]
pub struct Remote {
    pub memory: MemoryCacheBackend,
    pub down: AtomicBool,
    /// Where a write waits, if the test wants it to.
    pub stop: Mutex<Option<Stop>>,
    /// As `stop`, for a write that compares first.
    pub stop_comparing: Mutex<Option<Stop>>,
    written: Mutex<BTreeSet<String>>,
}

/// Holds up the next write, before and after it takes place.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    pub before: Arc<Barrier>,
    pub after: Arc<Barrier>,
}

/// A place where a test and what it tests wait for each other.
#[derive(Debug)]
pub struct Barrier(tokio::sync::Barrier);

impl Default for Barrier {
    fn default() -> Self {
        Self(tokio::sync::Barrier::new(2))
    }
}

impl Barrier {
    /// Waits for what is tested, which then waits here until the test lets it [`go`](Self::go).
    pub async fn meet(&self) {
        self.0.wait().await;
    }

    pub async fn go(&self) {
        self.0.wait().await;
    }

    async fn pass(&self) {
        self.0.wait().await;
        self.0.wait().await;
    }
}

impl Remote {
    pub fn new(clock: &ManualClock) -> Arc<Self> {
        let memory = MemoryCacheBackend::builder()
            .clock(clock.clone())
            .build()
            .unwrap();
        Arc::new(Self {
            memory,
            down: AtomicBool::new(false),
            stop: Mutex::new(None),
            stop_comparing: Mutex::new(None),
            written: Mutex::default(),
        })
    }

    fn up(&self) -> Result<(), Error> {
        match self.down.load(SeqCst) {
            true => Err(Error::connection("unplugged")),
            false => Ok(()),
        }
    }

    /// The keys that were written to, in their order.
    pub fn keys(&self) -> Vec<String> {
        self.written.lock().unwrap().iter().cloned().collect()
    }

    pub async fn json(&self, key: &str) -> Option<serde_json::Value> {
        let value = self.memory.get_value(key).await.unwrap()?;
        Some(serde_json::from_slice(&value.encode().unwrap()).unwrap())
    }

    pub async fn put(&self, key: &str, text: &str) {
        let ttl = Ttl::After(Duration::from_secs(60));
        self.memory
            .set_value(key, Value::encoded(text), ttl)
            .await
            .unwrap();
    }
}

impl CacheBackend for Remote {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        BackendFuture::boxed(async move {
            self.up()?;
            tokio::task::yield_now().await;
            self.memory.get_value(key).await
        })
    }
    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        BackendFuture::boxed(async move {
            self.up()?;
            let encoded = Value::encoded(value.encode()?.into_owned());
            self.written.lock().unwrap().insert(key.to_owned());
            let stop = self.stop.lock().unwrap().take();
            if let Some(stop) = &stop {
                stop.before.pass().await;
            }
            let set = self.memory.set_value(key, encoded, ttl).await;
            if let Some(stop) = stop {
                stop.after.pass().await;
            }
            set
        })
    }
    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        BackendFuture::boxed(async move {
            self.up()?;
            self.memory.delete_value(key).await
        })
    }
    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.memory.flush_values()
    }
    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        BackendFuture::boxed(async move {
            self.up()?;
            tokio::task::yield_now().await;
            self.written.lock().unwrap().insert(key.to_owned());
            self.memory.incr_value(key, by, ttl).await
        })
    }
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        BackendFuture::boxed(async move {
            self.up()?;
            let encoded = Value::encoded(new.encode()?.into_owned());
            self.written.lock().unwrap().insert(key.to_owned());
            let stop = self.stop_comparing.lock().unwrap().take();
            if let Some(stop) = &stop {
                stop.before.pass().await;
            }
            let memory = &self.memory;
            let set = memory.compare_and_set(key, expected, encoded, ttl).await;
            if let Some(stop) = stop {
                stop.after.pass().await;
            }
            set
        })
    }
    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.memory.value_ttl(key)
    }
    fn flights(&self) -> &Flights {
        self.memory.flights()
    }
}
