//! The near tier before a server in this process, which is asked while the tier is filled and then no more.

use crate::operations::{FEW, Run, TAGS, TTL, ask, few, now};
use crate::tiers::server;
use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend, TieredCacheBackend};
use nori_cache_benches::subjects::OURS;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

pub const NEAR_GET: &[Run] = &[(OURS, get)];
pub const NEAR_TAGGED_GET: &[Run] = &[(OURS, tagged_get)];

/// Longer than Valgrind takes.
const LONG: Duration = Duration::from_secs(3600);

/// A tier that has all keys, with these tags.
fn filled(tags: &'static [&'static str]) -> Arc<dyn CacheBackend> {
    let redis = RedisCacheBackend::builder()
        .url(server::start())
        .timeout(LONG);
    let tiers = TieredCacheBackend::builder()
        .redis(redis)
        .max_staleness(LONG)
        .near_ttl(LONG);
    let backend: Arc<dyn CacheBackend> = Arc::new(tiers.build().expect("it is allowed"));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("there are threads").block_on(async {
        for key in &few()[..FEW] {
            let stored = backend.set_tagged(key, "x".repeat(64), TTL, tags).await;
            stored.expect("the server is there");
        }
        // A write may have put the copy of another key out of date.
        for key in few()[..FEW].iter().cycle().take(3 * FEW) {
            let value = backend.get_shared::<String>(key).await;
            assert!(value.expect("the server is there").is_some());
        }
    });
    backend
}

fn get() {
    hits(&[]);
}

fn tagged_get() {
    hits(&TAGS);
}

fn hits(tags: &'static [&'static str]) {
    let backend = filled(tags);
    ask(&few(), |key| {
        let value = now(backend.get_shared::<String>(key)).expect("nothing fails here");
        black_box(value.expect("it is there"));
    });
}
