//! What the backend in memory asks the allocator for: nothing on a typed hit, nothing on an increment.

use crate::counting::allocations;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nori_cache::{CacheBackend, CacheBackendExt, MemoryCacheBackend, cache_get, set_backend};

/// The answer of a future that is ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("in memory nothing waits"),
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// One test: others beside it could hold up memory that it counts on.
#[test]
fn hits_and_increments_allocate_nothing() {
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(1_000));
    let keys: Vec<String> = (0..500).map(|n| format!("user:{n}")).collect();
    for (n, key) in keys.iter().enumerate() {
        now(backend.set(key, (n, [n as f64; 8]), HOUR)).unwrap();
    }
    now(backend.set("shared", "x".repeat(10_000), HOUR)).unwrap();
    now(backend.set("arc", Arc::new("x".repeat(10_000)), HOUR)).unwrap();
    assert_eq!(now(backend.incr("counter", HOUR)).unwrap(), 1);
    set_backend(Arc::clone(&backend));
    assert_eq!(now(cache_get("counter")).unwrap(), Some(1));

    let during = allocations(|| {
        for (n, key) in keys.iter().enumerate() {
            let value: Option<(usize, [f64; 8])> = now(backend.get(key)).unwrap();
            assert_eq!(value.unwrap().0, n);
            let value = now(cache_get::<(usize, [f64; 8])>(key)).unwrap();
            assert_eq!(value.unwrap().0, n);
            assert!(now(backend.get::<u8>("missing")).unwrap().is_none());
            assert!(
                now(backend.get_shared::<String>("shared"))
                    .unwrap()
                    .is_some()
            );
            assert!(now(backend.get::<Arc<String>>("arc")).unwrap().is_some());
            assert_eq!(now(backend.incr("counter", HOUR)).unwrap(), n as i64 + 2);
            assert_eq!(now(backend.get("counter")).unwrap(), Some(n + 2));
            assert!(now(backend.ttl(key)).unwrap().is_some());
        }
    });
    assert_eq!(during, 0);

    // A set: the key, and the value behind its pointer. Now and then a list in the cache grows.
    let value = (1_usize, [0.0_f64; 8]);
    let during = allocations(|| {
        for key in &keys {
            now(backend.set(key, value, HOUR)).unwrap();
        }
    });
    assert!(during <= 2 * 500 + 64, "{during} allocations");
}
