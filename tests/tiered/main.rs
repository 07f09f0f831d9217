//! The backend of two tiers, on real servers: the contract, races with other processes' writes, connections that are killed or
//! fall silent, servers that are killed, paused, restarted and emptied.

#![cfg(feature = "redis")]

mod allocations;
mod backplane;
#[cfg(feature = "conformance")]
mod conformance;
#[path = "../support/counting.rs"]
mod counting;
mod fail_safe;
mod faults;
mod hits;
mod nodes;
mod races;
mod refusals;
mod repairs;
#[path = "../support/scripted.rs"]
mod scripted;
#[path = "../support/redis.rs"]
mod server;
mod silence;
mod tags;

use nori_cache::{
    CacheBackend, CacheBackendExt, Coherence, RedisCacheBackend, RedisCacheBackendBuilder,
    TieredCacheBackend, TieredCacheBackendBuilder,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);
/// Servers tell of writes.
const TRACKED: [Coherence; 2] = [Coherence::Tracking, Coherence::Broadcast];
/// Somebody does.
const TOLD: [Coherence; 3] = [
    Coherence::Tracking,
    Coherence::Broadcast,
    Coherence::Backplane,
];

/// A budget that holds on a busy machine, too.
fn redis(url: impl Into<String>) -> RedisCacheBackendBuilder {
    RedisCacheBackend::builder().url(url).timeout(MINUTE)
}

/// Another process.
fn other(url: impl Into<String>) -> Arc<RedisCacheBackend> {
    Arc::new(redis(url).build().unwrap())
}

/// Copies that are used as long as may be, so that what takes them out of use is what a test does.
fn tiers(url: impl Into<String>) -> TieredCacheBackendBuilder {
    TieredCacheBackend::builder()
        .redis(redis(url))
        .near_ttl(60 * MINUTE)
        .max_staleness(60 * MINUTE)
}

fn built(tiers: TieredCacheBackendBuilder) -> Arc<TieredCacheBackend> {
    Arc::new(tiers.build().unwrap())
}

/// Asks the server that has the key something, by the connection that tells of writes: when this returns, what was announced
/// before it has been dealt with. Until there is a connection again it tries.
async fn caught_up(backend: &TieredCacheBackend, key: &str) {
    while let Err(error) = backend.ttl(key).await {
        assert!(error.is_connection(), "{error}");
        tokio::time::sleep(POLITE).await;
    }
}

/// Reads until there is a copy, and the copy is what is read. The key must be there, and nobody may write it meanwhile.
async fn has_copy(backend: &TieredCacheBackend, key: &str) {
    // On a machine that stands still a proof of life may be late, again and again.
    for _ in 0..100_000 {
        let before = backend.tier_stats().near_hits;
        assert!(backend.get_value(key).await.unwrap().is_some());
        if backend.tier_stats().near_hits > before {
            return;
        }
    }
    panic!("no copy is ever used: {:?}", backend.tier_stats());
}

/// What is read when everybody must know of a write that was acknowledged at that time. Where servers tell of it, that is as soon as the
/// reader has spoken to the key's server. Where writers do it is when the message is here, and no read that begins a `bound` after
/// the write, or later, may bring something else.
async fn read_after(
    near: &TieredCacheBackend,
    coherence: Coherence,
    key: &str,
    (expected, written): (Option<u32>, Instant),
    bound: Duration,
) -> Option<u32> {
    caught_up(near, key).await;
    loop {
        let began = Instant::now();
        let value = match near.get::<u32>(key).await {
            Ok(value) => value,
            // A connection that was killed meanwhile.
            Err(error) => {
                assert!(error.is_connection(), "{error}");
                tokio::time::sleep(POLITE).await;
                continue;
            }
        };
        // Times are whole milliseconds.
        let is_late = began.saturating_duration_since(written) > bound + Duration::from_millis(1);
        if value == expected || is_late || coherence != Coherence::Backplane {
            return value;
        }
        tokio::time::sleep(POLITE).await;
    }
}
