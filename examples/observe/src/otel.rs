//! The statistics of a backend as OpenTelemetry's instruments. They are observable: the SDK asks for them when it exports, and
//! nothing is done while the cache works.

use nori_cache::CacheBackend;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use std::sync::Arc;
use std::time::Duration;

/// Exports every ten seconds, until the provider is dropped.
pub fn to_standard_output(backend: &Arc<dyn CacheBackend>) -> SdkMeterProvider {
    let exporter = opentelemetry_stdout::MetricExporter::default();
    let reader = PeriodicReader::builder(exporter).with_interval(Duration::from_secs(10));
    let provider = SdkMeterProvider::builder().with_reader(reader.build());
    let provider = provider.build();
    observe(&provider.meter("nori-cache"), "main", backend);
    provider
}

/// Makes the instruments; `name` is the attribute `cache` of all they say.
pub fn observe(meter: &Meter, name: &'static str, backend: &Arc<dyn CacheBackend>) {
    let of = move |more: &[(&'static str, &'static str)]| -> Vec<KeyValue> {
        let more = more.iter().map(|(key, value)| KeyValue::new(*key, *value));
        std::iter::once(KeyValue::new("cache", name))
            .chain(more)
            .collect()
    };

    let it = Arc::clone(backend);
    meter
        .u64_observable_counter("nori_cache.operations")
        .with_unit("{call}")
        .with_description("Calls that have ended.")
        .with_callback(move |observer| {
            for (operation, stats) in it.stats().operations() {
                for (outcome, count) in [
                    ("ok", stats.succeeded()),
                    ("error", stats.errors.total()),
                    ("abandoned", stats.abandoned),
                ] {
                    let attributes = [("operation", operation.name()), ("outcome", outcome)];
                    observer.observe(count, &of(&attributes));
                }
            }
        })
        .build();

    let it = Arc::clone(backend);
    meter
        .u64_observable_counter("nori_cache.lookups")
        .with_unit("{key}")
        .with_description("Keys that were looked for.")
        .with_callback(move |observer| {
            for (operation, stats) in it.stats().operations() {
                for (outcome, count) in [("hit", stats.hits), ("miss", stats.misses)] {
                    let attributes = [("operation", operation.name()), ("outcome", outcome)];
                    observer.observe(count, &of(&attributes));
                }
            }
        })
        .build();

    let it = Arc::clone(backend);
    meter
        .f64_observable_counter("nori_cache.operation.time")
        .with_unit("s")
        .with_description("How long calls took, all together. Over their number it is the mean.")
        .with_callback(move |observer| {
            for (operation, stats) in it.stats().operations() {
                let total = stats.latency.total().as_secs_f64();
                observer.observe(total, &of(&[("operation", operation.name())]));
            }
        })
        .build();

    let it = Arc::clone(backend);
    meter
        .u64_observable_counter("nori_cache.loads")
        .with_unit("{load}")
        .with_description("Loaders, by what became of them.")
        .with_callback(move |observer| {
            let loads = it.stats().loads;
            for (outcome, count) in [
                ("succeeded", loads.succeeded),
                ("failed", loads.failed),
                ("panicked", loads.panicked),
                ("abandoned", loads.abandoned),
                ("coalesced", loads.coalesced),
            ] {
                observer.observe(count, &of(&[("outcome", outcome)]));
            }
        })
        .build();

    let it = Arc::clone(backend);
    meter
        .u64_observable_gauge("nori_cache.links.connected")
        .with_unit("{server}")
        .with_description("Servers that there is a connection to.")
        .with_callback(move |observer| {
            let links = it.stats().links;
            let up = links.iter().filter(|link| link.is_connected);
            observer.observe(up.count() as u64, &of(&[]));
        })
        .build();
}
