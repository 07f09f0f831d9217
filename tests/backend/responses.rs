//! Responses on a backend with a codec: JSON inside of it, whatever its format, and compressed and encrypted with all else.

use crate::watchdog::block_on;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use nori_cache::response::CacheResponse;
use nori_cache::{CacheBackend, CacheBackendExt, Codec, MemoryCacheBackend, Ttl};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tower::{Layer, ServiceExt, service_fn};

/// Asks twice; how often the handler ran, and what is in the store.
fn ask(codec: Option<Codec>) -> (u32, Vec<u8>) {
    let builder = MemoryCacheBackend::builder();
    let builder = match codec {
        Some(codec) => builder.codec(codec),
        None => builder,
    };
    let backend: Arc<dyn CacheBackend> = Arc::new(builder.build().unwrap());
    let layer = CacheResponse::ttl(Duration::from_secs(60)).backend(Arc::clone(&backend));
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let handler = service_fn(move |_: Request<Full<bytes::Bytes>>| {
        counted.fetch_add(1, Ordering::SeqCst);
        let body = Full::new(bytes::Bytes::from("a secret ".repeat(100)));
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let service = layer.layer(handler);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            for _ in 0..2 {
                let request = Request::get("/page").body(Full::default()).unwrap();
                let response = service.clone().oneshot(request).await.unwrap();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, "a secret ".repeat(100));
            }
        });
    let stored = block_on(backend.get_value("view:/page:")).unwrap().unwrap();
    let stored = stored.encode().unwrap().into_owned();
    (runs.load(Ordering::SeqCst), stored)
}

#[test]
fn responses_are_json_in_any_format() {
    let (runs, plain) = ask(None);
    assert_eq!(runs, 1);
    let response: serde_json::Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(response["status_code"], 200);
    for codec in [Codec::json(), Codec::bytes(), Codec::json().version(3)] {
        let (runs, stored) = ask(Some(codec));
        assert_eq!(runs, 1);
        let stored: serde_json::Value = serde_json::from_slice(&stored).unwrap();
        assert_eq!(stored["body_b64"], response["body_b64"]);
    }
}

#[cfg(feature = "zstd")]
#[test]
fn responses_are_compressed() {
    let (_, plain) = ask(None);
    let (runs, stored) = ask(Some(Codec::bytes().zstd_above(100)));
    assert_eq!(runs, 1);
    assert!(
        stored.len() * 2 < plain.len(),
        "{} of {}",
        stored.len(),
        plain.len()
    );
}

#[cfg(all(feature = "encryption", feature = "postcard"))]
#[test]
fn responses_are_encrypted() {
    use nori_cache::Keys;
    let codec = Codec::postcard().encrypted(Keys::new(1, &[7; 32]));
    let (runs, stored) = ask(Some(codec));
    assert_eq!(runs, 1);
    assert!(!stored.windows(9).any(|part| part == b"media_typ"));
}

/// Each page has 100,000 bytes.
async fn crawl(layer: CacheResponse, pages: u32) -> u32 {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let handler = service_fn(move |_: Request<Full<bytes::Bytes>>| {
        counted.fetch_add(1, Ordering::SeqCst);
        let body = Full::new(bytes::Bytes::from(vec![b'x'; 100_000]));
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let service = layer.layer(handler);
    for page in 0..pages {
        let uri = format!("/page/{page}");
        let request = Request::get(uri).body(Full::default()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    runs.load(Ordering::SeqCst)
}

/// Far more pages than there is room for, with their bodies counted; counters and, where responses are kept apart, values stay.
#[tokio::test]
async fn a_crawler_fills_no_memory_and_evicts_no_counter() {
    let builder = MemoryCacheBackend::builder()
        .max_keys(50)
        .max_bytes(1_000_000);
    let backend = Arc::new(builder.build().unwrap());
    let layer = CacheResponse::ttl(Duration::from_secs(60)).backend(Arc::clone(&backend) as _);
    backend.incr("counter", Ttl::Never).await.unwrap();
    backend.set("value", "there", Ttl::Never).await.unwrap();
    crawl(layer, 100).await;
    assert!((800_000..=1_000_000).contains(&backend.bytes()));
    assert_eq!(backend.incr("counter", Ttl::Never).await.unwrap(), 2);
    assert_eq!(backend.get::<String>("value").await.unwrap(), None);

    let builder = MemoryCacheBackend::builder()
        .max_keys(50)
        .responses(1_000, 1_000_000);
    let backend = Arc::new(builder.build().unwrap());
    let layer = CacheResponse::ttl(Duration::from_secs(60)).backend(Arc::clone(&backend) as _);
    backend.set("value", "there", Ttl::Never).await.unwrap();
    assert_eq!(crawl(layer.clone(), 100).await, 100);
    assert_eq!(
        backend.get::<String>("value").await.unwrap().unwrap(),
        "there"
    );
    assert_eq!(backend.len(), 1);
    // They are hits all the same, until they are flushed, or purged.
    assert_eq!(crawl(layer.clone(), 1).await, 1, "the first was evicted");
    assert_eq!(crawl(layer.clone(), 1).await, 0);
    backend.flush().await.unwrap();
    assert_eq!(crawl(layer.clone(), 1).await, 1);
    assert_eq!(crawl(layer.clone(), 1).await, 0);
    layer.purge_prefix("view:/page").await.unwrap();
    assert_eq!(crawl(layer, 1).await, 1);
}
