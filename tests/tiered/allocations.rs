//! What a hit in the near tier asks the allocator for: nothing.

use crate::counting::allocations;
use crate::server::Server;
use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend, TieredCacheBackend, Ttl};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// The answer of a future that is ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a hit does not wait"),
    }
}

#[tokio::test]
async fn near_hits_allocate_nothing() {
    let server = Server::start();
    let redis = RedisCacheBackend::builder().url(server.url()).timeout(HOUR);
    let tiers = TieredCacheBackend::builder().redis(redis).near_ttl(HOUR);
    let backend: Arc<dyn CacheBackend> = Arc::new(tiers.max_staleness(HOUR).build().unwrap());
    let load = async || Err::<(u32, [f64; 4]), _>("it is there");
    backend
        .set("pair", (1, [0.5; 4]), Ttl::Never)
        .await
        .unwrap();
    backend.set("number", 7, Ttl::Never).await.unwrap();
    let _: (u32, [f64; 4]) = backend.get_or_load("pair", HOUR, load).await.unwrap();
    backend.get::<u32>("number").await.unwrap();
    backend.get::<u32>("missing").await.unwrap();
    // Decoded once.
    let _: (u32, [f64; 4]) = backend.get_or_load("pair", HOUR, load).await.unwrap();
    let during = allocations(|| {
        for _ in 0..100 {
            let pair: Option<(u32, [f64; 4])> = now(backend.get("pair")).unwrap();
            assert_eq!(pair, Some((1, [0.5; 4])));
            assert_eq!(now(backend.get::<u32>("number")).unwrap(), Some(7));
            assert_eq!(now(backend.get::<u32>("missing")).unwrap(), None);
            let shared = now(backend.get_shared::<(u32, [f64; 4])>("pair")).unwrap();
            assert!(shared.is_some());
        }
    });
    assert_eq!(during, 0);
}
