//! What the layer asks the allocator for: on a hit little, and the same whatever the size of the body; on a miss no
//! more than it needed when this was written.

use crate::TURN;
use crate::counting::allocations;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use nori_cache::MemoryCacheBackend;
use nori_cache::response::CacheResponse;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower::{Layer, Service};

/// The answer of a future that is ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("in memory nothing waits"),
    }
}

fn request() -> Request<Empty<Bytes>> {
    Request::get("/reports?page=1")
        .header("host", "localhost")
        .body(Empty::new())
        .unwrap()
}

#[test]
fn a_hit_allocates_its_key_its_headers_and_two_of_their_values() {
    let _turn = TURN.blocking_lock();
    for size in [0, 1 << 10, 1 << 20] {
        let body = Bytes::from(vec![b'x'; size]);
        let handler = tower::service_fn(move |_: Request<Empty<Bytes>>| {
            let response = Response::builder()
                .header("content-type", "application/json")
                .header("cache-control", "max-age=3600")
                .header("etag", "\"1\"")
                .body(Full::new(body.clone()));
            std::future::ready(Ok::<_, Infallible>(response.unwrap()))
        });
        let layer = CacheResponse::ttl(Duration::from_secs(3600))
            .backend(Arc::new(MemoryCacheBackend::new(100)));
        let mut service = layer.layer(handler);
        for _ in 0..3 {
            let response = now(service.call(request())).unwrap();
            assert_eq!(response.headers()["content-type"], "application/json");
        }
        let requests: Vec<_> = (0..100).map(|_| request()).collect();
        let during = allocations(|| {
            for request in requests {
                drop(now(service.call(request)).unwrap());
            }
        });
        // The key; the headers' table and their list; `Age`, `Cache-Status`.
        assert_eq!(during, 5 * 100, "{size}");
        assert_eq!(layer.stats().hits, 102);
    }
}

#[test]
fn a_miss_allocates_23_times_at_most() {
    let _turn = TURN.blocking_lock();
    let handler = tower::service_fn(|_: Request<Empty<Bytes>>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(
            "x",
        )))))
    });
    let layer = CacheResponse::ttl(Duration::from_secs(3600))
        .backend(Arc::new(MemoryCacheBackend::new(100)));
    let mut service = layer.layer(handler);
    let miss = |n: u32| Request::get(format!("/reports?page={n}")).body(Empty::new());
    for n in 0..1_000 {
        now(service.call(miss(n).unwrap())).unwrap();
    }
    let during = (10..15).map(|hundred| {
        let range = hundred * 100..(hundred + 1) * 100;
        let requests: Vec<_> = range.map(|n| miss(n).unwrap()).collect();
        allocations(|| {
            for request in requests {
                drop(now(service.call(request)).unwrap());
            }
        })
    });
    // The least: now and then a table grows, more of them on a machine with many cores.
    let least = during.min().unwrap();
    assert_eq!(layer.stats().misses, 1_500);
    assert!(least <= 23 * 100, "{least}");
}
