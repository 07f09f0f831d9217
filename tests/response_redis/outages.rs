//! The server goes away and comes back, or answers no more: clients notice nothing but the handler's pace.

use crate::response::loopback::Server as Http;
use crate::response::real::Server;
use crate::response::{Got, Runs, settled, watch};
use axum::Router;
use axum::routing::get;
use nori_cache::RedisCacheBackend;
use nori_cache::response::CacheResponse;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Of a call of the backend.
const BUDGET: Duration = Duration::from_millis(500);
/// What a busy machine may add to it.
const GRACE: Duration = Duration::from_millis(1500);

/// An application on a Redis, and how often its handler ran.
async fn start(redis: &Server) -> (Http, CacheResponse, Runs) {
    let backend = RedisCacheBackend::builder()
        .url(redis.url())
        .timeout(BUDGET);
    let layer =
        CacheResponse::ttl(Duration::from_secs(60)).backend(Arc::new(backend.build().unwrap()));
    watch(&layer);
    let runs = Runs::default();
    let counted = runs.clone();
    let handler = move || {
        let run = counted.add();
        async move {
            sleep(Duration::from_millis(50)).await;
            format!("run {run}")
        }
    };
    let app = Router::new().route("/", get(handler)).layer(layer.clone());
    (Http::start(app).await, layer, runs)
}

/// A request that must be answered in time, whatever the backend does.
async fn in_time(http: &Http) -> Got {
    let started = Instant::now();
    let got = http.ask_now("GET", "/", &[]).await;
    let took = started.elapsed();
    assert!(took < BUDGET + GRACE, "took {took:?}: {}", got.how());
    assert_eq!(got.status, 200, "{}", got.how());
    got
}

/// Down: each request is served by the handler; and once it is back, from the cache.
async fn outage(http: &Http, layer: &CacheResponse, runs: &Runs) {
    let before = (runs.count(), layer.stats().backend_errors);
    for _ in 0..5 {
        let got = in_time(http).await;
        assert!(got.how().ends_with("detail=backend-down"), "{}", got.how());
    }
    assert!(runs.count() > before.0);
    assert!(layer.stats().backend_errors > before.1);
    settled().await;
    // Coalescing still protects the handler.
    let before = runs.count();
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let http = http.clone();
        asking.spawn(async move { in_time(&http).await });
    }
    while let Some(got) = asking.join_next().await {
        assert!(got.unwrap().how().contains("backend-down"));
    }
    // Who tries whether the server is back hears of it later than the others.
    assert!((1..=2).contains(&(runs.count() - before)));
}

async fn back(http: &Http) {
    let started = Instant::now();
    while !in_time(http).await.is_hit() {
        assert!(started.elapsed() < Duration::from_secs(20), "not yet back");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back() {
    let mut redis = Server::start();
    let (http, layer, runs) = start(&redis).await;
    http.get("/").await;
    assert!(http.get("/").await.is_hit());
    redis.kill();
    outage(&http, &layer, &runs).await;
    redis.start_again();
    back(&http).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer() {
    let redis = Server::start();
    let (http, layer, runs) = start(&redis).await;
    http.get("/").await;
    redis.pause();
    outage(&http, &layer, &runs).await;
    redis.resume();
    back(&http).await;
}

#[tokio::test]
async fn a_server_that_was_never_there() {
    let mut redis = Server::start();
    redis.kill();
    let (http, layer, runs) = start(&redis).await;
    outage(&http, &layer, &runs).await;
    redis.start_again();
    back(&http).await;
}

/// It keeps answering, but takes no writes: what it has is served, what it lacks comes from the handler.
#[tokio::test]
async fn a_server_that_is_full() {
    let redis = Server::start();
    let (http, layer, runs) = start(&redis).await;
    http.get("/").await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(http.get("/").await.is_hit());
    for run in 2..5 {
        let got = http.get(&format!("/?{run}")).await;
        assert_eq!((got.status, got.text()), (200, &*format!("run {run}")));
    }
    assert!(layer.stats().backend_errors >= 3);
    assert_eq!(runs.count(), 4);
}
