//! A service whose caches can be watched.
//!
//! ```sh
//! cargo run --release -p nori-cache-observe
//! curl localhost:3000/users/1; curl localhost:3000/news; curl localhost:3000/metrics
//! ```
//!
//! | route | is |
//! |---|---|
//! | `/users/{id}` | from a typed cache, which loads it |
//! | `/carts/{id}` | from a backend, with single flight: memory, or what `CACHE_BACKEND` and `REDIS_URL` say |
//! | `/news` | cached by the response layer |
//! | `/metrics` | what all of them count, for Prometheus; `docs/grafana.json` is a dashboard for it |
//!
//! With `OTEL=1` the same statistics go to OpenTelemetry as well, here to the standard output every ten seconds. `PORT` is 3000.

mod otel;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use nori_cache::metrics::{BUCKETS, Publisher, describe};
use nori_cache::response::CacheResponse;
use nori_cache::{Cache, CacheBackend, CacheBackendExt, get_backend};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);

struct App {
    users: Cache<u64, Arc<str>>,
    backend: Arc<dyn CacheBackend>,
    publisher: Publisher,
    prometheus: PrometheusHandle,
}

/// A source that takes its time.
async fn query(what: &str, id: u64) -> String {
    sleep(Duration::from_millis(20)).await;
    format!("{what} {id}")
}

async fn user(State(app): State<Arc<App>>, Path(id): Path<u64>) -> String {
    let load = async || Arc::from(query("user", id).await);
    let user = app.users.get_or_insert_async(&id, load).await;
    user.to_string()
}

async fn cart(
    State(app): State<Arc<App>>,
    Path(id): Path<u64>,
) -> Result<String, (StatusCode, String)> {
    let load = || async move { Ok::<_, nori_cache::Error>(query("cart", id).await) };
    let key = format!("cart:{id}");
    let cart = app.backend.get_or_load(&key, MINUTE, load).await;
    cart.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
}

async fn news() -> String {
    query("news", 1).await
}

/// What has been counted since the last scrape is published, and then rendered.
async fn metrics(State(app): State<Arc<App>>) -> String {
    app.publisher.publish();
    app.prometheus.render()
}

/// Prometheus gets the buckets that durations are counted in.
fn prometheus() -> Result<PrometheusBuilder, BuildError> {
    let durations = Matcher::Suffix("_duration_seconds".to_owned());
    PrometheusBuilder::new().set_buckets_for_metric(durations, &BUCKETS)
}

/// The routes, and what they are cached in. The recorder that `prometheus` renders is installed.
fn app(backend: Arc<dyn CacheBackend>, prometheus: PrometheusHandle) -> Router {
    describe();
    let users = Cache::new(10_000);
    let pages = CacheResponse::ttl(MINUTE).backend(Arc::clone(&backend));
    let publisher = Publisher::new()
        .cache("users", &users)
        .backend("main", Arc::clone(&backend))
        .responses("pages", &pages);
    let state = Arc::new(App {
        users,
        backend,
        publisher,
        prometheus,
    });
    Router::new()
        .route("/users/{id}", get(user))
        .route("/carts/{id}", get(cart))
        .route("/news", get(news).layer(pages))
        .route("/metrics", get(metrics))
        .with_state(state)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let recorder = prometheus()?.install_recorder()?;
    let backend = get_backend()?;
    // Dropped at the end, when it exports for the last time.
    let _exporting = std::env::var_os("OTEL").map(|_| otel::to_standard_output(&backend));
    // Histograms that nobody scrapes would pile up.
    let upkeep = recorder.clone();
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(10)).await;
            upkeep.run_upkeep();
        }
    });
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse::<u16>()?)).await?;
    println!("http://{}/metrics", listener.local_addr()?);
    axum::serve(listener, app(backend, recorder)).await?;
    Ok(())
}
