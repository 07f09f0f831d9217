//! The response layer beside the layers one would take instead, and beside no layer at all: service calls without a socket.
//!
//! ```sh
//! cargo run -p nori-cache-benches --profile bench --bin response -- --rounds 9 --millis 200
//! ```
//!
//! Every subject wraps the same axum handler, which returns static bytes and says `max-age=3600`. A call is: make a request,
//! await readiness, call, read the body to its end. Rounds are interleaved, the order rotates, medians are shown, the ratio to
//! the handler without a layer, and how often a handler ran for each call: never, if all were hits. The row `the call alone`
//! has a service that gives back a ready body: that much of each figure is the benchmark's own.

#![forbid(unsafe_code)]

use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use lexopt::ValueExt as _;
use nori_cache::MemoryCacheBackend;
use nori_cache::response::CacheResponse;
use nori_cache_benches::runner::stats::median;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt};

const TTL: Duration = Duration::from_secs(3600);

type Runs = Arc<AtomicU64>;

/// Makes a number of calls; the second argument says whether each is for another URI.
type Calls = Box<dyn FnMut(&Runtime, usize, bool)>;

struct Row {
    name: &'static str,
    calls: Calls,
    made: u64,
    /// How often its handler ran.
    runs: Runs,
    /// Nanoseconds a call, in each round.
    nanos: Vec<f64>,
}

fn handler(size: usize, runs: &Runs) -> MethodRouter {
    let body = Bytes::from(vec![b'x'; size]);
    let runs = Arc::clone(runs);
    get(move || {
        let body = body.clone();
        let runs = Arc::clone(&runs);
        async move {
            // Relaxed: only counted.
            runs.fetch_add(1, Ordering::Relaxed);
            let headers = [
                ("cache-control", "max-age=3600"),
                ("content-type", "application/json"),
            ];
            (headers, body).into_response()
        }
    })
}

fn row<S, R>(name: &'static str, service: impl FnOnce(&Runs) -> S) -> Row
where
    S: Service<Request<Body>, Response = Response<R>> + 'static,
    S::Error: Debug,
    R: http_body::Body<Error: Debug>,
{
    let runs = Runs::default();
    let mut service = service(&runs);
    let mut number = 0_u64;
    let calls: Calls = Box::new(move |runtime, count, cold| {
        runtime.block_on(async {
            for _ in 0..count {
                let mut request = Request::get("/api/reports/monthly?page=1");
                if cold {
                    number += 1;
                    request = request.uri(format!("/api/reports/monthly?page={number}"));
                }
                let request = request.header("host", "localhost").header("accept", "*/*");
                let request = request.body(Body::empty()).expect("it is a request");
                let ready = service.ready().await.expect("it is ready");
                let response = ready.call(request).await.expect("it answers");
                let body = response.into_body().collect().await.expect("it has a body");
                assert!(body.to_bytes().len() >= 1024);
            }
        });
    });
    Row {
        name,
        calls,
        made: 0,
        runs,
        nanos: Vec::new(),
    }
}

fn rows(size: usize) -> Vec<Row> {
    let keys = 20_000;
    let backend = Arc::new(MemoryCacheBackend::new(keys));
    let ours = CacheResponse::ttl(TTL).backend(backend.clone());
    let headers = CacheResponse::from_headers()
        .key_prefix("h")
        .backend(backend);
    let axum = axum_response_cache::CacheLayer::with_lifespan(TTL);
    let tower = tower_http_cache::layer::CacheLayer::builder(
        tower_http_cache::prelude::InMemoryBackend::new(keys as u64),
    )
    .ttl(TTL)
    .build();
    let moka = http_cache_tower_server::ServerCacheLayer::new(http_cache::MokaManager::default());
    // It asks for bodies that are Sync, which axum's are not: so it gets a plainer handler.
    let plain = move |runs: &Runs| {
        let body = Bytes::from(vec![b'x'; size]);
        let runs = Arc::clone(runs);
        tower::service_fn(move |_: Request<Body>| {
            // Relaxed: only counted.
            runs.fetch_add(1, Ordering::Relaxed);
            let body = Full::new(body.clone());
            let response = Response::builder()
                .header("cache-control", "max-age=3600")
                .body(body);
            std::future::ready(Ok::<_, Infallible>(response.expect("it is a response")))
        })
    };
    let alone = move |_: &Runs| {
        let body = Bytes::from(vec![b'x'; size]);
        tower::service_fn(move |_: Request<Body>| {
            let response = Response::new(Full::new(body.clone()));
            std::future::ready(Ok::<_, Infallible>(response))
        })
    };
    vec![
        row("handler, no layer", |runs| handler(size, runs)),
        row("nori-cache, timed", |runs| ours.layer(handler(size, runs))),
        row("nori-cache, by headers", |runs| {
            headers.layer(handler(size, runs))
        }),
        row("axum-response-cache", |runs| {
            axum.layer(handler(size, runs))
        }),
        row("tower-http-cache", |runs| tower.layer(plain(runs))),
        row("http-cache-tower-server", |runs| {
            moka.layer(handler(size, runs))
        }),
        row("the call alone", alone),
    ]
}

fn round(row: &mut Row, runtime: &Runtime, millis: u64, cold: bool) {
    let end = Duration::from_millis(millis);
    let start = Instant::now();
    let mut calls = 0_u32;
    while start.elapsed() < end {
        (row.calls)(runtime, 20, cold);
        calls += 20;
    }
    row.made += u64::from(calls);
    row.nanos
        .push(start.elapsed().as_nanos() as f64 / f64::from(calls));
}

fn main() {
    let (mut rounds, mut millis) = (9_u64, 200_u64);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next().expect("arguments are text") {
        let place = match argument {
            lexopt::Arg::Long("rounds") => &mut rounds,
            lexopt::Arg::Long("millis") => &mut millis,
            _ => panic!("--rounds and --millis are what there is"),
        };
        let value = arguments.value().expect("it has a value");
        *place = value.parse().expect("it is a number");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("there is a runtime");
    for (title, size, cold) in [
        ("hit, 1 KiB", 1 << 10, false),
        ("hit, 1 MiB", 1 << 20, false),
        ("miss, 1 KiB", 1 << 10, true),
    ] {
        let mut rows = runtime.block_on(async { rows(size) });
        for row in &mut rows {
            // Fills the cache.
            (row.calls)(&runtime, 20, cold);
            row.runs.store(0, Ordering::Relaxed);
        }
        for turn in 0..rounds as usize {
            for at in 0..rows.len() {
                let row = (at + turn) % rows.len();
                round(&mut rows[row], &runtime, millis, cold);
            }
        }
        println!("\n{title}\n");
        let bare = median(rows[0].nanos.clone());
        for row in &mut rows {
            let nanos = median(std::mem::take(&mut row.nanos));
            let (ratio, runs) = (nanos / bare, row.runs.load(Ordering::Relaxed));
            let runs = runs as f64 / row.made as f64;
            println!(
                "{:<26} {nanos:>12.0} ns   x {ratio:.2}   {runs:.3} runs",
                row.name
            );
        }
    }
}
