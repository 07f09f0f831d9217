//! A scenario that makes every metric there is: `users` in a typed cache, `sessions` in memory, `shop` on Redis, `pages` in a
//! response layer.

use crate::recorder::{Kept, Number};
use crate::scripted::Scripted;
use crate::support::{Cached, Runs, World, constant};
use nori_cache::metrics::{METRICS, Publisher, describe};
use nori_cache::{Cache, CacheBackend, CacheBackendExt, Error, MemoryCacheBackend};
use nori_cache::{RedisCacheBackend, Ttl};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What was recorded after all of it has happened.
pub async fn play() -> Kept {
    // 1. A typed cache.
    let users: Cache<u64, String> = Cache::new(10);
    users.insert(1, "ana".to_owned());
    users.get(&1);
    users.get(&2);
    users.get_or_insert_with(&2, || "bo".to_owned());

    // 2. A backend in memory.
    let sessions = Arc::new(MemoryCacheBackend::new(10));
    sessions.set("text", "text", Ttl::Never).await.unwrap();
    assert_eq!(sessions.get::<u64>("text").await.unwrap(), None);
    assert!(sessions.incr("text", Ttl::Never).await.is_err());
    let load = || async { Ok::<_, Error>(1_u8) };
    sessions.get_or_load("a", Ttl::Never, load).await.unwrap();

    // 3. One on Redis, which goes away.
    let server = Scripted::well();
    let shop = RedisCacheBackend::builder().url(server.url());
    let shop = Arc::new(shop.timeout(Duration::from_secs(3600)).build().unwrap());
    assert_eq!(shop.get::<u8>("a").await.unwrap(), Some(1));
    server.stop();
    while shop.stats().links[0].opened == 0 {
        assert!(shop.get::<u8>("a").await.is_err());
    }
    assert_eq!(shop.get_or_load("b", Ttl::Never, load).await.unwrap(), 1);

    // 4. A response layer.
    let layer = World::memory().timed(60);
    let service = constant(&layer, &Runs::default(), &[]);
    service.get("/").await;
    service.get("/").await;

    let publisher = Publisher::new()
        .cache("users", &users)
        .backend("sessions", sessions)
        .backend("shop", shop)
        .responses("pages", &layer);
    let kept = Kept::default();
    kept.during(|| {
        describe();
        assert!(publisher.publish());
    });
    kept
}

#[tokio::test]
async fn every_metric_is_published_and_described_as_what_it_is() {
    let kept = play().await;
    let numbers = kept.numbers();
    let published: BTreeSet<&str> = numbers.keys().map(|(name, _)| name.as_str()).collect();
    let listed: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(published, listed);
    assert_eq!(listed.len(), METRICS.len(), "a name is there twice");
    for ((name, labels), number) in &numbers {
        let metric = METRICS.iter().find(|metric| metric.name == name).unwrap();
        let labels: Vec<&str> = labels.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(
            (labels.as_slice(), number.kind()),
            (metric.labels, metric.kind),
            "{name}"
        );
    }
    let descriptions = kept.descriptions();
    assert_eq!(descriptions.len(), METRICS.len());
    for metric in METRICS {
        let want = (
            metric.kind,
            Some(metric.unit),
            metric.description.to_owned(),
        );
        assert_eq!(descriptions[metric.name], want);
    }
}

#[tokio::test]
async fn names_are_as_prometheus_wants_them() {
    use nori_cache::metrics::Kind;

    for metric in METRICS {
        let name = metric.name;
        let is_plain = |char: char| char.is_ascii_lowercase() || char == '_';
        assert!(
            name.starts_with("nori_cache_") && name.chars().all(is_plain),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{name}"
        );
        let unit = match metric.unit {
            metrics::Unit::Seconds => "_seconds",
            metrics::Unit::Bytes => "_bytes",
            _ => "",
        };
        assert!(name.ends_with(unit), "{name}");
        assert_eq!(metric.labels[0], "cache", "{name}");
        assert!(metric.description.ends_with('.'), "{name}");
    }
}

/// Neither what is stored nor under which key.
#[tokio::test]
async fn no_key_is_in_a_label() {
    let kept = play().await;
    for ((name, labels), _) in kept.numbers() {
        for (label, value) in labels {
            let is_word = |value: &str| {
                let plain = |char: char| char.is_ascii_lowercase() || "_-".contains(char);
                value.chars().all(plain) && value.len() > 1
            };
            let is_server = label == "server" && value.starts_with("127.0.0.1:");
            assert!(is_word(&value) || is_server, "{name}: {label}={value}");
            assert_ne!(value, "text", "{name}");
        }
    }
}

#[tokio::test]
async fn what_there_is_of_each_cache() {
    let kept = play().await;
    let lookups = "nori_cache_lookups_total";
    for (labels, count) in [
        ("cache=users,operation=get,outcome=hit", 1),
        ("cache=sessions,operation=get,outcome=hit", 1),
        // The load looked twice, for one caller.
        ("cache=sessions,operation=get,outcome=miss", 1),
        ("cache=shop,operation=get,outcome=hit", 1),
        ("cache=shop,operation=delete,outcome=miss", 0),
    ] {
        assert_eq!(kept.count(lookups, labels), count, "{labels}");
    }
    let errors = "nori_cache_errors_total";
    assert_eq!(
        kept.count(errors, "cache=sessions,operation=incr,error=wrong_type"),
        1
    );
    assert!(kept.count(errors, "cache=shop,operation=get,error=connection") > 0);
    assert_eq!(
        kept.count(
            "nori_cache_undecodable_total",
            "cache=sessions,reason=malformed"
        ),
        1
    );
    assert_eq!(
        kept.count("nori_cache_loads_total", "cache=users,outcome=succeeded"),
        1
    );
    assert_eq!(
        kept.count("nori_cache_loads_total", "cache=sessions,outcome=succeeded"),
        1
    );
    // While its server was away.
    for outcome in ["unread", "unstored"] {
        let labels = format!("cache=shop,outcome={outcome}");
        assert_eq!(kept.count("nori_cache_storeless_loads_total", &labels), 1);
    }
    assert_eq!(
        kept.count("nori_cache_responses_total", "cache=pages,outcome=hit"),
        1
    );
    assert_eq!(
        kept.count(
            "nori_cache_response_stores_total",
            "cache=pages,outcome=stored"
        ),
        1
    );
    assert_eq!(
        kept.number("nori_cache_entries", "cache=users"),
        Number::Gauge(2.0)
    );
    let timed = |(name, labels): &(String, Vec<(String, String)>)| {
        name == "nori_cache_operation_duration_seconds" && labels[0].1 != "shop"
    };
    assert!(!kept.numbers().keys().any(timed), "memory is not timed");
    let ok = "nori_cache_operations_total";
    assert_eq!(kept.count(ok, "cache=shop,operation=get,outcome=ok"), 1);
}
