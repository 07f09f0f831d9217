//! Redis keeps the contract: one real server, and a real cluster of three primaries.

use crate::server::{Server, shared_cluster};
use nori_cache::conformance::{self, Harness, Task};
use nori_cache::{CacheBackend, Codec, RedisCacheBackend};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// All backends are on the same servers, under prefixes that a careless pattern would mix up.
struct Redis {
    url: String,
    codec: Codec,
    made: AtomicU32,
}

impl Redis {
    fn at(url: String) -> Self {
        let made = AtomicU32::new(0);
        let codec = Codec::json();
        Self { url, codec, made }
    }
}

impl Harness for Redis {
    async fn backend(&self) -> Arc<dyn CacheBackend> {
        let nth = self.made.fetch_add(1, Ordering::Relaxed);
        let builder = RedisCacheBackend::builder()
            .url(&self.url)
            .prefix(format!("[?*{nth}:"))
            .codec(self.codec.clone())
            // A budget that holds on a busy machine, too.
            .timeout(Duration::from_secs(60));
        Arc::new(builder.build().unwrap())
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
        let started = Instant::now();
        if let Err(failure) = conformance::check_row(harness, row).await {
            failures.push(failure.to_string());
        }
        println!("{:>6} ms  {row}", started.elapsed().as_millis());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server() {
    let server = Server::start();
    all(&Redis::at(server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_primaries() {
    all(&Redis::at(shared_cluster().url())).await;
}

#[cfg(feature = "zstd")]
#[tokio::test(flavor = "multi_thread")]
async fn one_server_with_compression() {
    let server = Server::start();
    let mut redis = Redis::at(server.url());
    redis.codec = Codec::json().zstd_above(64);
    all(&redis).await;
}
