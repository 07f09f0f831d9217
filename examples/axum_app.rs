//! A dashboard with an artificially slow query, cached.
//!
//! ```sh
//! cargo run --release --example axum_app --features response
//! curl -i localhost:3000/dashboard
//! ```
//!
//! | route | is |
//! |---|---|
//! | `/dashboard` | the slow query; run once a minute, however many ask |
//! | `/reports/monthly?page=1` | in a nested router, under the prefix `reports`, for two minutes; its entries have the tag `reports` |
//! | `/me` | one entry for each tenant (`x-tenant`) and language |
//! | `/news` | the response's own `Cache-Control` governs |
//! | `POST /refresh` | purges the tag `reports` |
//! | `/metrics` | counters |
//!
//! `CACHE_BACKEND`, `REDIS_URL` and the other variables choose the backend: memory, if nothing is said. `PORT` is 3000.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::routing::{get, post};
use nori_cache::response::{CacheResponse, ResponseStats};
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// How often the slow query really ran.
#[derive(Default)]
struct Database {
    queries: AtomicU64,
}

impl Database {
    async fn query(&self) -> u64 {
        sleep(Duration::from_millis(800)).await;
        self.queries.fetch_add(1, Ordering::Relaxed) + 1
    }
}

struct App {
    database: Database,
    reports: CacheResponse,
    dashboard: CacheResponse,
}

async fn dashboard(State(app): State<Arc<App>>) -> String {
    format!("dashboard after {} queries\n", app.database.query().await)
}

async fn monthly(
    State(app): State<Arc<App>>,
    Query(query): Query<HashMap<String, String>>,
) -> ([(&'static str, &'static str); 1], String) {
    let page = query.get("page").map_or("1", String::as_str);
    let queries = app.database.query().await;
    (
        [("cache-tag", "reports")],
        format!("report, page {page}, after {queries} queries\n"),
    )
}

async fn me(State(app): State<Arc<App>>, headers: HeaderMap) -> String {
    let said = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("none")
            .to_owned()
    };
    let queries = app.database.query().await;
    format!(
        "tenant {}, language {}, after {queries} queries\n",
        said("x-tenant"),
        said("accept-language")
    )
}

async fn news() -> ([(&'static str, &'static str); 2], &'static str) {
    let said = "max-age=10, stale-while-revalidate=30, stale-if-error=300";
    (
        [("cache-control", said), ("etag", "\"today\"")],
        "no news is good news\n",
    )
}

async fn refresh(State(app): State<Arc<App>>) -> &'static str {
    match app.reports.purge_tag("reports").await {
        Ok(()) => "reports will be made anew\n",
        Err(_) => "the cache cannot be reached\n",
    }
}

async fn metrics(State(app): State<Arc<App>>) -> String {
    let lines = |name: &str, stats: ResponseStats| {
        format!(
            "{name}_hits {}\n{name}_misses {}\n{name}_collapsed {}\n{name}_stored {}\n{name}_backend_errors {}\n",
            stats.hits, stats.misses, stats.collapsed, stats.stored, stats.backend_errors
        )
    };
    let queries = app.database.queries.load(Ordering::Relaxed);
    lines("dashboard", app.dashboard.stats())
        + &lines("reports", app.reports.stats())
        + &format!("queries {queries}\n")
}

/// Who is asking; not a secret, and no proof of anything.
fn tenant(request: &Parts) -> String {
    let tenant = request
        .headers
        .get("x-tenant")
        .and_then(|tenant| tenant.to_str().ok());
    tenant.unwrap_or("none").to_owned()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dashboard_cache = CacheResponse::ttl(Duration::from_secs(60));
    let reports_cache = CacheResponse::ttl(Duration::from_secs(120))
        .key_prefix("reports")
        .allow_query(["page"]);
    let me_cache = CacheResponse::ttl(Duration::from_secs(60))
        .key_fn(tenant)
        .vary_on([header::ACCEPT_LANGUAGE]);
    let app = Arc::new(App {
        database: Database::default(),
        reports: reports_cache.clone(),
        dashboard: dashboard_cache.clone(),
    });
    let reports = Router::new().route("/monthly", get(monthly).layer(reports_cache));
    let router = Router::new()
        .route("/dashboard", get(dashboard).layer(dashboard_cache))
        .nest("/reports", reports)
        .route("/me", get(me).layer(me_cache))
        .route("/news", get(news).layer(CacheResponse::from_headers()))
        .route("/refresh", post(refresh))
        .route("/metrics", get(metrics))
        .with_state(app);

    // At start-up, rather than at the first request.
    nori_cache::get_backend()?.verify().await?;
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://{}/dashboard", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}
