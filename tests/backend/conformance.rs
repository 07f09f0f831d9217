//! The backend in memory keeps the contract: with a clock that tests move, and with the system's.

use nori_cache::conformance::{self, Harness, Task};
use nori_cache::{CacheBackend, ManualClock, MemoryCacheBackend};
use std::sync::Arc;
use std::time::Duration;

struct Manual(ManualClock);

impl Harness for Manual {
    async fn backend(&self) -> Arc<dyn CacheBackend> {
        let builder = MemoryCacheBackend::builder().clock(self.0.clone());
        Arc::new(builder.build().unwrap())
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn tolerance(&self) -> Duration {
        Duration::from_millis(2)
    }
}

struct System;

impl Harness for System {
    async fn backend(&self) -> Arc<dyn CacheBackend> {
        Arc::new(MemoryCacheBackend::new(10_000))
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    fn tolerance(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// Runs all rows, so that one that fails does not hide the others.
async fn all(harness: &impl Harness) {
    let mut failures = Vec::new();
    for row in conformance::ROWS {
        let started = std::time::Instant::now();
        if let Err(failure) = conformance::check_row(harness, row).await {
            failures.push(failure.to_string());
        }
        println!("{:>6} ms  {row}", started.elapsed().as_millis());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// As many threads as there are processors: with more of them, those that only wait for a turn keep the others from theirs.
#[tokio::test(flavor = "multi_thread")]
async fn memory_with_a_manual_clock() {
    all(&Manual(ManualClock::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_with_the_system_clock() {
    all(&System).await;
}

#[tokio::test]
async fn memory_on_one_thread() {
    all(&Manual(ManualClock::new())).await;
}
