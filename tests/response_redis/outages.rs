//! The server goes away and comes back, or answers no more: clients notice nothing but the handler's pace. Nothing here goes by the
//! clock: a server that is gone says so at once, one that is silent is waited for a moment, and what comes in the end is waited for.

use crate::support::loopback::Server as Http;
use crate::support::real::server::Server;
use crate::support::{Got, Runs, settled, watch};
use axum::Router;
use axum::routing::get;
use nori_cache::RedisCacheBackend;
use nori_cache::response::CacheResponse;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A call of the backend that must end may take this long.
const MINUTE: Duration = Duration::from_secs(60);
/// A call of the backend that must not end may take this long.
const MOMENT: Duration = Duration::from_millis(50);

/// Runs a test, under a watchdog.
async fn ends(test: impl Future<Output = ()>) {
    let patience = Duration::from_secs(300);
    timeout(patience, test).await.expect("it hangs");
}

/// An application on a Redis.
struct App {
    http: Http,
    layer: CacheResponse,
    /// How often its handler ran.
    runs: Runs,
    /// Whether the handler may answer.
    open: Arc<Sender<bool>>,
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
    let open = Arc::new(Sender::new(true));
    let handler = {
        let (runs, open) = (runs.clone(), Arc::clone(&open));
        move || {
            let (run, mut open) = (runs.add(), open.subscribe());
            async move {
                open.wait_for(|open| *open).await.unwrap();
                format!("run {run}")
            }
        }
    };
    let app = Router::new().route("/", get(handler)).layer(layer.clone());
    Arc::new(App {
        http: Http::start(app).await,
        layer,
        runs,
        open,
    })
}

impl App {
    /// A request, which is answered whatever the backend does.
    async fn get(&self) -> Got {
        let got = self.http.ask_now("GET", "/", &[]).await;
        assert_eq!(got.status, 200, "{}", got.how());
        got
    }

    fn errors(&self) -> u64 {
        self.layer.stats().backend_errors
    }

    /// Down: each request is served by the handler.
    async fn outage(self: &Arc<Self>) {
        let before = (self.runs.count(), self.errors());
        for _ in 0..5 {
            let got = self.get().await;
            assert!(got.how().ends_with("detail=backend-down"), "{}", got.how());
            settled().await;
        }
        assert_eq!(self.runs.count(), before.0 + 5);
        assert!(self.errors() >= before.1 + 5);
        self.coalesces().await;
    }

    /// Coalescing still protects the handler, which here is not done before all others have found that the backend is down.
    async fn coalesces(self: &Arc<Self>) {
        const FOLLOWERS: u64 = 49;
        self.open.send_replace(false);
        let mut asking = JoinSet::new();
        let mut ask = || {
            let app = Arc::clone(self);
            asking.spawn(async move { app.get().await });
        };
        let runs = self.runs.count();
        ask();
        comes_true(|| self.runs.count() > runs).await;
        let errors = self.errors();
        (0..FOLLOWERS).for_each(|_| ask());
        comes_true(|| self.errors() >= errors + FOLLOWERS).await;
        self.open.send_replace(true);
        while let Some(got) = asking.join_next().await {
            assert!(got.unwrap().how().contains("backend-down"));
        }
        settled().await;
        assert_eq!(self.runs.count(), runs + 1);
    }

    /// Asks until it is served from the cache. What is read may have been stored by a flight that has yet to look whether it was
    /// purged meanwhile, and which others would share.
    async fn back(&self) {
        while !self.get().await.is_hit() {
            sleep(Duration::from_millis(1)).await;
        }
        settled().await;
    }
}

/// Waits for what happens in the end.
async fn comes_true(what: impl Fn() -> bool) {
    while !what() {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back() {
    ends(async {
        let mut redis = Server::start();
        let app = start(&redis, MINUTE).await;
        app.back().await;
        redis.kill();
        app.outage().await;
        redis.start_again();
        app.back().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_does_not_answer() {
    ends(async {
        let redis = Server::start();
        let app = start(&redis, MOMENT).await;
        app.back().await;
        redis.pause();
        app.outage().await;
        redis.resume();
        app.back().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_was_never_there() {
    ends(async {
        let mut redis = Server::start();
        redis.kill();
        let app = start(&redis, MINUTE).await;
        app.outage().await;
        redis.start_again();
        app.back().await;
    })
    .await;
}

/// It keeps answering, but takes no writes: what it has is served, what it lacks comes from the handler.
#[tokio::test]
async fn a_server_that_is_full() {
    let redis = Server::start();
    let app = start(&redis, MINUTE).await;
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
