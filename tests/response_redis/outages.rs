//! The server goes away and comes back, or answers no more: clients notice nothing but the handler's pace.

use crate::support::loopback::Server as Http;
use crate::support::real::server::Server;
use crate::support::{Got, Runs, settled, watch};
use crate::within::within;
use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use axum::routing::get;
use nori_cache::RedisCacheBackend;
use nori_cache::response::CacheResponse;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Of a call of the backend.
const BUDGET: Duration = Duration::from_millis(500);
/// What a busy machine may add to it.
const GRACE: Duration = Duration::from_millis(1500);

/// An application on a Redis.
struct App {
    http: Http,
    layer: CacheResponse,
    /// How often its handler ran.
    runs: Runs,
    /// How many requests have reached it.
    arrived: Arc<Sender<u32>>,
    /// How many the handler waits for.
    awaited: Arc<AtomicU32>,
}

/// An application whose calls of the backend may take `budget`.
async fn start(redis: &Server, budget: Duration) -> Arc<App> {
    let backend = RedisCacheBackend::builder()
        .url(redis.url())
        .timeout(budget);
    let layer =
        CacheResponse::ttl(Duration::from_secs(60)).backend(Arc::new(backend.build().unwrap()));
    watch(&layer);
    let runs = Runs::default();
    let arrived = Arc::new(Sender::new(0));
    let awaited = Arc::new(AtomicU32::new(0));
    let handler = {
        let (runs, arrived, awaited) = (runs.clone(), Arc::clone(&arrived), Arc::clone(&awaited));
        move || {
            let (run, mut arrived, awaited) =
                (runs.add(), arrived.subscribe(), Arc::clone(&awaited));
            async move {
                let all = |n: &u32| *n >= awaited.load(Ordering::Relaxed);
                arrived.wait_for(all).await.unwrap();
                format!("run {run}")
            }
        }
    };
    let counting = {
        let arrived = Arc::clone(&arrived);
        move |request: Request| {
            arrived.send_modify(|n| *n += 1);
            ready(request)
        }
    };
    let app = Router::new()
        .route("/", get(handler))
        .layer(layer.clone())
        .layer(map_request(counting));
    Arc::new(App {
        http: Http::start(app).await,
        layer,
        runs,
        arrived,
        awaited,
    })
}

impl App {
    /// A request that must be answered in time, whatever the backend does.
    async fn in_time(&self) -> Got {
        let (got, _) = within(BUDGET + GRACE, self.http.ask_now("GET", "/", &[])).await;
        assert_eq!(got.status, 200, "{}", got.how());
        got
    }

    /// Down: each request is served by the handler; and once it is back, from the cache.
    async fn outage(self: &Arc<Self>) {
        let before = (self.runs.count(), self.layer.stats().backend_errors);
        for _ in 0..5 {
            let got = self.in_time().await;
            assert!(got.how().ends_with("detail=backend-down"), "{}", got.how());
        }
        assert!(self.runs.count() > before.0);
        assert!(self.layer.stats().backend_errors > before.1);
        settled().await;
        // Coalescing still protects the handler, which is not done before all are there.
        let before = self.runs.count();
        self.arrived.send_replace(0);
        self.awaited.store(50, Ordering::Relaxed);
        let mut asking = JoinSet::new();
        for _ in 0..50 {
            let app = Arc::clone(self);
            asking.spawn(async move { app.in_time().await });
        }
        while let Some(got) = asking.join_next().await {
            assert!(got.unwrap().how().contains("backend-down"));
        }
        self.awaited.store(0, Ordering::Relaxed);
        // Who tries whether the server is back hears of it later than the others.
        assert!((1..=2).contains(&(self.runs.count() - before)));
    }

    /// Asks until it is served from the cache.
    async fn back(&self) {
        let asking = async {
            while !self.in_time().await.is_hit() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        within(Duration::from_secs(20), asking).await;
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back() {
    let mut redis = Server::start();
    let app = start(&redis, BUDGET).await;
    app.back().await;
    redis.kill();
    app.outage().await;
    redis.start_again();
    app.back().await;
}

#[tokio::test]
async fn a_server_that_does_not_answer() {
    let redis = Server::start();
    let app = start(&redis, BUDGET).await;
    app.back().await;
    redis.pause();
    app.outage().await;
    redis.resume();
    app.back().await;
}

#[tokio::test]
async fn a_server_that_was_never_there() {
    let mut redis = Server::start();
    redis.kill();
    let app = start(&redis, BUDGET).await;
    app.outage().await;
    redis.start_again();
    app.back().await;
}

/// It keeps answering, but takes no writes: what it has is served, what it lacks comes from the handler.
#[tokio::test]
async fn a_server_that_is_full() {
    let redis = Server::start();
    let app = start(&redis, Duration::from_secs(20)).await;
    app.http.get("/").await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(app.http.get("/").await.is_hit());
    for run in 2..5 {
        let got = app.http.get(&format!("/?{run}")).await;
        assert_eq!((got.status, got.text()), (200, &*format!("run {run}")));
    }
    assert!(app.layer.stats().backend_errors >= 3);
    assert_eq!(app.runs.count(), 4);
}
