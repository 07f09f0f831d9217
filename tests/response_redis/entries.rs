//! Entries as they lie in Redis: the original reads ours, we read its own, and nobody is harmed by what is neither.

use crate::support::loopback::{Server as Http, counted};
use crate::support::real::backend;
use crate::support::real::server::{Cluster, Server};
use crate::support::{Cached, Runs, World, cached, constant, poisons, settled, with};
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::get;
use bytes::Bytes;
use http::header::ACCEPT_LANGUAGE;
use nori_cache::ManualClock;
use serde_json::Value as Json;
use std::time::Duration;

/// A server of its own, with the prefix that the original has.
fn world() -> (Server, World) {
    let server = Server::start();
    let world = World {
        clock: ManualClock::new(),
        backend: backend(&server.url(), "cache:"),
    };
    (server, world)
}

/// Exactly what the original wrote to a Redis.
fn put_originals(server: &Server) {
    let entries = include_str!("../fixtures/original-entries.json");
    let entries: serde_json::Map<String, Json> = serde_json::from_str(entries).unwrap();
    for (key, text) in &entries {
        server.ask(&["SET", key, text.as_str().unwrap()]);
    }
}

#[tokio::test]
async fn both_shapes_of_the_original_are_served() {
    let (redis, world) = world();
    put_originals(&redis);
    let runs = Runs::default();
    let app = Router::new()
        .route("/products", get(counted(&runs)))
        .route("/old", get(counted(&runs)))
        .layer(world.timed(60))
        .route(
            "/v",
            get(counted(&runs)).layer(world.timed(60).vary_on([ACCEPT_LANGUAGE])),
        )
        .route(
            "/r.pdf",
            get(counted(&runs)).layer(world.timed(60).key_prefix("reports")),
        );
    let http = Http::start(app).await;
    let new = http.get("/products?page=1").await;
    assert_eq!(new.text(), r#"{"from":"python","ü":"✓"}"#);
    assert_eq!(new.header("content-type"), Some("application/json"));
    assert_eq!(new.how(), "nori-cache; hit");
    let old = http.get("/old").await;
    assert_eq!(old.text(), "viejo ü");
    assert_eq!(
        old.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let varied = http.ask("GET", "/v", &[("accept-language", "es")]).await;
    assert_eq!(varied.text(), "hola");
    let pdf = http.get("/r.pdf").await;
    assert_eq!(pdf.header("content-type"), Some("application/pdf"));
    assert_eq!(pdf.body, (0..=255).collect::<Vec<u8>>());
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn what_is_stored_is_json_that_the_original_reads() {
    let (redis, world) = world();
    let app = Router::new().route(
        "/products",
        get(|| async {
            let headers = [
                ("content-type", "text/html; charset=utf-8"),
                ("cache-tag", "a, b"),
                ("x-latin", "x"),
            ];
            (headers, &b"<p>\xff\x00"[..])
        })
        .layer(world.timed(60).vary_on([ACCEPT_LANGUAGE])),
    );
    let http = Http::start(app).await;
    let headers = [("accept-language", "es"), ("host", "shop.example")];
    http.ask("GET", "/products?page=1", &headers).await;
    let key = "cache:view:/products:page=1:vary=accept-language=es";
    let text = redis.ask(&["GET", key]);
    let json: Json = serde_json::from_str(&text).unwrap();
    // Each tag has the version, and the response the count, that lies in the store.
    for (nth, tag) in ["a", "b"].into_iter().enumerate() {
        let version = redis.ask(&["GET", &format!("cache:#tag:{tag}")]);
        let version: Json = serde_json::from_str(&version).unwrap();
        assert_eq!(json["nori"]["tags"][nth][1], version[1]);
        assert_eq!(version[1].as_str().unwrap().len(), 32);
    }
    let count = redis.ask(&["GET", "cache:nori-cache:purges:tags"]);
    assert_eq!(json["nori"]["counted"].to_string(), count);
    let (born, date) = (
        &json["nori"]["born"],
        json["nori"]["headers"][3][1].as_str().unwrap(),
    );
    let want = format!(
        concat!(
            r#"{{"body_b64":"PHA+/wA=","status_code":200,"media_type":"text/html","#,
            r#""nori":{{"length":5,"headers":[["content-type","text/html; charset=utf-8"],"#,
            r#"["cache-tag","a, b"],["x-latin","x"],["date","{date}"]],"#,
            r#""born":{born},"seen":0,"fresh":60000,"swr":0,"sie":0,"authorized":false,"strict":false,"mode":"timed","#,
            r#""host":"shop.example","target":"/products?page=1","own":null,"#,
            r#""vary":[["accept-language","es"]],"family":0,"#,
            r#""tags":[["a",{a}],["b",{b}]],"counted":{counted}}}}}"#,
        ),
        date = date,
        born = born,
        a = json["nori"]["tags"][0][1],
        b = json["nori"]["tags"][1][1],
        counted = json["nori"]["counted"],
    );
    assert_eq!(text, want);
    assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
    let hit = http.ask("GET", "/products?page=1", &headers).await;
    assert!(hit.is_hit());
    assert_eq!(&hit.body[..], b"<p>\xff\x00");
}

#[tokio::test]
async fn bodies_of_any_bytes_come_back_as_they_were() {
    let (redis, world) = world();
    let bytes = |seed: usize| -> Vec<u8> {
        let bytes = (0..seed * 1000).map(|at| (at * at / 7 + seed) as u8);
        (0..=255).chain(bytes).collect()
    };
    let app = Router::new()
        .route(
            "/{seed}",
            get(move |Path(seed)| async move { Body::from(bytes(seed)) }),
        )
        .layer(world.timed(60));
    let http = Http::start(app).await;
    for seed in [0, 1, 2, 3, 500] {
        let path = format!("/{seed}");
        let made = http.get(&path).await;
        let hit = http.get(&path).await;
        assert!(hit.is_hit() && !made.is_hit());
        assert_eq!(
            (&made.body, &hit.body),
            (&hit.body, &Bytes::from(bytes(seed)))
        );
        let stored = redis.ask(&["GET", &format!("cache:view:{path}:")]);
        assert!(stored.is_ascii());
    }
}

#[tokio::test]
async fn poisoned_and_truncated_entries_are_replaced() {
    let (redis, world) = world();
    let text = [("content-type", "text/plain")];
    constant(
        &world.timed(60),
        &Runs::default(),
        &[("content-type", "text/plain")],
    )
    .get("/")
    .await;
    let entry = redis.ask(&["GET", "cache:view:/:"]);
    let replaced: [&[u8]; 2] = [b"\xff\xfe{}", b"\x80\x04\x95"];
    let poisons = poisons(&entry).into_iter().map(String::into_bytes);
    for poison in poisons.chain(replaced.map(Vec::from)) {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, move |_, run| async move {
            with(&text, format!("run {run}"))
        });
        for key in ["cache:view:/:", "cache:#variants:view:/:"] {
            redis.ask_bytes(&[b"SET", key.as_bytes(), &poison]);
        }
        let shown = String::from_utf8_lossy(&poison);
        let got = service.get("/").await;
        assert_eq!((got.status, got.text()), (200, "run 1"), "{shown}");
        let hit = service.get("/").await;
        assert_eq!((hit.text(), hit.is_hit()), ("run 1", true), "{shown}");
        let stored: Json = serde_json::from_str(&redis.ask(&["GET", "cache:view:/:"])).unwrap();
        assert_eq!(stored["body_b64"], "cnVuIDE=", "{shown}");
    }
}

/// Asks all of them; of a cluster, only one holds the key.
fn ask_all(nodes: &[Server], command: &[&str]) -> Vec<String> {
    let answers = nodes.iter().map(|node| node.ask(command));
    let lines = answers.flat_map(|answer| answer.lines().map(str::to_owned).collect::<Vec<_>>());
    lines.collect()
}

/// Lists where texts are meant to be: of the entry, of what leads to its variants, and of what purges leave.
async fn replaces_keys_of_another_type(nodes: &[Server], url: &str) {
    for vary in ["", "accept-language"] {
        ask_all(nodes, &["FLUSHALL"]);
        let world = World {
            clock: ManualClock::new(),
            backend: backend(url, "cache:"),
        };
        let layer = world.timed(60);
        let service = cached(&layer, &Runs::default(), move |_, run| async move {
            with(&[("vary", vary), ("cache-tag", "t")], format!("run {run}"))
        });
        service.get("/").await;
        layer.purge_key("view:/:").await.unwrap();
        layer.purge_tag("t").await.unwrap();
        layer.purge_prefix("view:/").await.unwrap();
        service.get("/").await;
        let keys = ask_all(nodes, &["KEYS", "*"]);
        assert!(keys.len() >= 5, "{keys:?}");
        let spoil = |key: &str| {
            ask_all(nodes, &["DEL", key]);
            ask_all(nodes, &["RPUSH", key, "a", "b"]);
        };
        for key in &keys {
            spoil(key);
            let first = service.get("/").await;
            assert_eq!(first.status, 200);
            let is_down = first.how().contains("backend-down");
            assert!(!is_down, "{key}: {}", first.how());
            let second = service.get("/").await;
            assert!(second.is_hit(), "{key}: {}", second.how());
            spoil(key);
            layer.purge_key("view:/:").await.unwrap();
            assert!(!service.get("/").await.is_hit(), "{key}");
            layer.purge_tag("t").await.unwrap();
            assert!(!service.get("/").await.is_hit(), "{key}");
            assert!(service.get("/").await.is_hit(), "{key}");
        }
        assert_eq!(layer.stats().backend_errors, 0);
    }
}

#[tokio::test]
async fn keys_of_another_type_are_replaced() {
    let redis = Server::start();
    let url = redis.url();
    replaces_keys_of_another_type(&[redis], &url).await;
}

#[tokio::test]
async fn keys_of_another_type_are_replaced_on_a_cluster() {
    let cluster = Cluster::start();
    let url = cluster.url();
    replaces_keys_of_another_type(&cluster.nodes, &url).await;
}

/// As long as an entry can be of use: fresh, stale, or to be revalidated.
#[tokio::test]
async fn keys_live_as_long_as_their_entries() {
    let (redis, world) = world();
    let day = 24 * 3600;
    // So long that what a slow machine takes off is less than what tells one from the other.
    let (timed, swr, sie) = (
        world.timed(60_000),
        Duration::from_secs(30_000),
        Duration::from_secs(120_000),
    );
    let stale = timed.clone().stale_while_revalidate(swr);
    let both = stale.clone().stale_if_error(sie);
    let headers = world.by_headers();
    for (path, layer, said, seconds) in [
        ("/timed", &timed, "x=y", 60_000),
        ("/less", &timed, "max-age=50000", 50_000),
        ("/stale", &stale, "x=y", 90_000),
        ("/both", &both, "x=y", 180_000),
        ("/strict", &both, "must-revalidate", 60_000),
        (
            "/headers",
            &headers,
            "max-age=40000, stale-while-revalidate=10000",
            50_000,
        ),
        ("/validated", &headers, "s-maxage=7000", day + 7_000),
    ] {
        let etag = if path == "/validated" { "\"e\"" } else { "" };
        for vary in ["", "accept"] {
            let service = cached(layer, &Runs::default(), move |_, _| async move {
                let mut response = with(&[("cache-control", said), ("vary", vary)], "x");
                if !etag.is_empty() {
                    response.headers_mut().insert("etag", etag.parse().unwrap());
                }
                response
            });
            let path = format!("{path}{vary}");
            service.get(&path).await;
            let keys = redis.ask(&["KEYS", &format!("cache:*view:{path}:*")]);
            assert_eq!(
                keys.lines().count(),
                if vary.is_empty() { 1 } else { 2 },
                "{keys}"
            );
            for key in keys.lines() {
                let left: i64 = redis.ask(&["PTTL", key]).parse().unwrap();
                let most = seconds * 1000;
                assert!((most - 5_000_000..=most).contains(&left), "{key}: {left}");
            }
        }
    }
    settled().await;
    // Nothing stays for ever but the list of purges and the count.
    timed.purge_key("view:/timed:").await.unwrap();
    timed.purge_prefix("view:/other").await.unwrap();
    timed.purge_tag("t").await.unwrap();
    let tagged = constant(&timed, &Runs::default(), &[("cache-tag", "t")]);
    tagged.get("/tagged").await;
    settled().await;
    let for_ever = ["cache:nori-cache:purges", "cache:nori-cache:purges:tags"];
    let mut met = 0;
    for key in redis.ask(&["KEYS", "*"]).lines() {
        let left: i64 = redis.ask(&["PTTL", key]).parse().unwrap();
        assert_eq!(left < 0, for_ever.contains(&key), "{key}: {left}");
        met += usize::from(left < 0 || key == "cache:#tag:t");
    }
    assert_eq!(met, 3);
}
