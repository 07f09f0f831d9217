use super::*;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use nori_cache::MemoryCacheBackend;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, SdkMeterProvider};
use tower::ServiceExt;

async fn ask(app: &Router, path: &str) -> String {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn prometheus_scrapes_what_was_counted() {
    let recorder = prometheus().unwrap().build_recorder();
    let handle = recorder.handle();
    // For this thread, on which all of the test runs.
    let _guard = ::metrics::set_default_local_recorder(&recorder);
    let app = app(Arc::new(MemoryCacheBackend::new(100)), handle);
    for path in ["/users/1", "/carts/1", "/news"] {
        let first = ask(&app, path).await;
        assert_eq!(ask(&app, path).await, first);
    }
    for _ in 0..2 {
        let page = ask(&app, "/metrics").await;
        for line in [
            "# TYPE nori_cache_lookups_total counter",
            "# HELP nori_cache_entries Entries in memory.",
            r#"nori_cache_lookups_total{cache="users",operation="get",outcome="hit"} 1"#,
            r#"nori_cache_loads_total{cache="main",outcome="succeeded"} 1"#,
            r#"nori_cache_responses_total{cache="pages",outcome="hit"} 1"#,
            r#"nori_cache_load_duration_seconds_bucket{cache="users",le="+Inf"} 1"#,
            r#"nori_cache_load_duration_seconds_bucket{cache="users",le="0.004096"} 0"#,
            r#"nori_cache_load_duration_seconds_count{cache="users"} 1"#,
        ] {
            assert!(page.lines().any(|it| it == line), "no {line} in\n{page}");
        }
    }
}

#[tokio::test]
async fn opentelemetry_is_told_the_same() {
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(100));
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder().with_periodic_exporter(exporter.clone());
    let provider = provider.build();
    otel::observe(&provider.meter("nori-cache"), "main", &backend);
    backend.set("a", 1, MINUTE).await.unwrap();
    backend.get::<u8>("a").await.unwrap();
    provider.force_flush().unwrap();

    let exported = exporter.get_finished_metrics().unwrap();
    let metrics: Vec<_> = exported
        .iter()
        .flat_map(|resource| resource.scope_metrics())
        .flat_map(|scope| scope.metrics())
        .collect();
    let names: Vec<&str> = metrics.iter().map(|metric| metric.name()).collect();
    for name in [
        "operations",
        "lookups",
        "operation.time",
        "loads",
        "links.connected",
    ] {
        assert!(names.contains(&&*format!("nori_cache.{name}")), "{names:?}");
    }
    let lookups = metrics
        .iter()
        .find(|it| it.name() == "nori_cache.lookups")
        .unwrap();
    let AggregatedMetrics::U64(MetricData::Sum(sum)) = lookups.data() else {
        panic!("{:?}", lookups.data());
    };
    let hits: u64 = sum
        .data_points()
        .filter(|point| {
            let is = |key: &str, value: &str| {
                let mut attributes = point.attributes();
                attributes.any(|it| it.key.as_str() == key && it.value.as_str() == value)
            };
            is("outcome", "hit") && is("operation", "get") && is("cache", "main")
        })
        .map(|point| point.value())
        .sum();
    assert_eq!(hits, 1);
}
