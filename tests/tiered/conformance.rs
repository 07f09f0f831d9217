//! Two tiers keep the contract: over one server, behind sentinels, over a cluster of three primaries, and with each way of learning of
//! writes.

use crate::redis;
use crate::server::{Sentinels, Server, shared_cluster};
use nori_cache::conformance::{self, Harness, Task};
use nori_cache::{CacheBackend, Coherence, TieredCacheBackend};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// All backends are on the same servers, under prefixes that a careless pattern would mix up.
struct Tiers {
    url: String,
    coherence: Coherence,
    made: AtomicU32,
    backends: Mutex<Vec<Arc<TieredCacheBackend>>>,
}

impl Harness for Tiers {
    async fn backend(&self) -> Arc<dyn CacheBackend> {
        let nth = self.made.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("[?*{:?}{nth}:", self.coherence);
        let builder = TieredCacheBackend::builder()
            .redis(redis(&self.url).prefix(prefix))
            .coherence(self.coherence);
        let backend = Arc::new(builder.build().unwrap());
        self.backends.lock().unwrap().push(Arc::clone(&backend));
        backend
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

/// Rows of a second each, for which the far tier answers alone: how this process is told of writes makes no difference to them, and on a
/// cluster they are run without a near tier.
const FAR: [&str; 3] = [
    "64 tasks with 1000 increments each get every number once",
    "16 tasks with 500 updates each lose nothing",
    "what becomes too large is a miss",
];

/// Runs all rows.
async fn all(url: String, coherence: Coherence) {
    run(url, coherence, &[]).await;
}

/// Runs those that depend on how this process is told of writes; the others are run on one server with client tracking.
async fn near(url: String, coherence: Coherence) {
    let is_row = |row: &&str| conformance::ROWS.contains(row);
    assert!(FAR.iter().all(is_row), "a row has another name");
    run(url, coherence, &FAR).await;
}

/// One that fails does not hide the others. Copies must have been in use.
async fn run(url: String, coherence: Coherence, but: &[&str]) {
    let harness = Tiers {
        url,
        coherence,
        made: AtomicU32::new(0),
        backends: Mutex::default(),
    };
    let mut failures = Vec::new();
    for row in conformance::ROWS.iter().filter(|row| !but.contains(row)) {
        let started = Instant::now();
        if let Err(failure) = conformance::check_row(&harness, row).await {
            failures.push(failure.to_string());
        }
        println!("{:>6} ms  {row}", started.elapsed().as_millis());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let backends = harness.backends.lock().unwrap();
    let hits = backends.iter().map(|it| it.tier_stats().near_hits);
    let hits: u64 = hits.sum();
    println!("{hits} near hits");
    assert!(hits > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server() {
    let server = Server::start();
    all(server.url(), Coherence::Tracking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_broadcasts() {
    let server = Server::start();
    near(server.url(), Coherence::Broadcast).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_that_tells_nothing() {
    let server = Server::start();
    near(server.url(), Coherence::NearTtl).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_whose_users_tell_each_other() {
    let server = Server::start();
    near(server.url(), Coherence::Backplane).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_sentinels_name() {
    let sentinels = Sentinels::start();
    near(sentinels.url(), Coherence::Tracking).await;
    near(sentinels.url(), Coherence::Backplane).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_three_primaries() {
    near(shared_cluster().url(), Coherence::Tracking).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_users_tell_each_other() {
    near(shared_cluster().url(), Coherence::Backplane).await;
}
