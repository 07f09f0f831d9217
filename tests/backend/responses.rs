//! Responses on a backend with a codec: JSON inside of it, whatever its format, and compressed and encrypted with all else.

use crate::watchdog::block_on;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use nori_cache::response::CacheResponse;
use nori_cache::{CacheBackend, Codec, MemoryCacheBackend};
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
