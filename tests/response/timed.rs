//! Timed mode: what is cached, under which key, for how long, and what comes out.

use crate::support::{Cached, Runs, World, cached, constant, get, request, with};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use nori_cache::response::{CacheResponse, CacheTags};
use std::time::Duration;

#[tokio::test]
async fn the_handler_runs_once_for_each_window() {
    for world in World::both() {
        let runs = Runs::default();
        let service = constant(
            &world.timed(60),
            &runs,
            &[("content-type", "text/plain"), ("x-own", "1")],
        );
        let first = service.get("/a?b=1").await;
        assert_eq!(first.text(), "run 1");
        assert_eq!(
            first.how(),
            "nori-cache; fwd=uri-miss; fwd-status=200; stored"
        );
        world.advance(59);
        let second = service.get("/a?b=1").await;
        assert_eq!((second.status, second.text()), (200, "run 1"));
        assert_eq!(second.header("age"), Some("59"));
        assert_eq!(second.header("content-type"), Some("text/plain"));
        assert_eq!(second.header("x-own"), Some("1"));
        assert_eq!(second.how(), "nori-cache; hit; ttl=1");
        world.advance(1);
        assert_eq!(service.get("/a?b=1").await.text(), "run 2");
        assert_eq!(service.get("/a?b=2").await.text(), "run 3");
        assert_eq!(service.get("/a").await.text(), "run 4");
        assert_eq!(service.get("/b?b=1").await.text(), "run 5");
        assert_eq!(runs.count(), 5);
    }
}

#[tokio::test]
async fn only_get_is_cached_and_all_else_passes_through() {
    for world in World::both() {
        let runs = Runs::default();
        let service = constant(&world.timed(60), &runs, &[]);
        for method in [
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
            Method::PATCH,
        ] {
            for _ in 0..2 {
                let got = service.ask(request(method.as_str(), "/a", &[])).await;
                assert!(!got.headers.contains_key("cache-status"));
            }
        }
        assert_eq!(runs.count(), 10);
        service.get("/a").await;
        service.ask(request("POST", "/a", &[])).await;
        assert!(service.get("/a").await.is_hit());
    }
}

#[tokio::test]
async fn statuses_that_are_no_success_are_not_stored_unless_they_have_a_ttl() {
    for world in World::both() {
        let runs = Runs::default();
        let layer = world
            .timed(60)
            .status_ttl(StatusCode::NOT_FOUND, Duration::from_secs(50))
            .status_ttl(StatusCode::ACCEPTED, Duration::ZERO);
        let service = cached(&layer, &runs, |request, _| async move {
            let status: u16 = request.uri().path()[1..].parse().unwrap();
            Response::builder()
                .status(status)
                .body(Full::default())
                .unwrap()
        });
        for (status, stored) in [
            (200, true),
            (201, true),
            (202, false),
            (203, true),
            (204, false),
            (205, false),
            (206, false),
            (301, false),
            (302, false),
            (304, false),
            (400, false),
            (404, true),
            (410, false),
            (500, false),
            (503, false),
        ] {
            let uri = format!("/{status}");
            service.get(&uri).await;
            let again = service.get(&uri).await;
            assert_eq!(again.is_hit(), stored, "{status}: {}", again.how());
            assert_eq!(again.status, status);
        }
        world.advance(50);
        assert!(!service.get("/404").await.is_hit());
    }
}

#[tokio::test]
async fn headers_can_only_make_it_less() {
    for world in World::both() {
        for (headers, seconds) in [
            (&[("cache-control", "max-age=100")][..], 100),
            (&[("cache-control", "max-age=100, s-maxage=200")], 200),
            (&[("cache-control", "max-age=6000")], 600),
            (&[("cache-control", "max-age=100"), ("age", "40")], 60),
            (&[("cache-control", "max-age=0")], 0),
            (&[("expires", "0")], 0),
            (&[("cache-control", "no-cache")], 0),
            (&[("cache-control", "public, immutable")], 600),
        ] {
            let runs = Runs::default();
            let layer = world.timed(600).key_prefix(format!("{headers:?}"));
            let service = constant(&layer, &runs, headers);
            service.get("/").await;
            if seconds > 0 {
                world.advance(seconds - 1);
                assert!(service.get("/").await.is_hit(), "{headers:?}");
                world.advance(1);
            }
            assert!(!service.get("/").await.is_hit(), "{headers:?}");
        }
    }
}

#[tokio::test]
async fn keys_are_those_of_the_wire_format() {
    let (world, remote) = World::remote();
    let plain = world.timed(60);
    let named = world
        .timed(60)
        .key_prefix("reports")
        .key_fn(|request| request.headers["x-tenant"].to_str().unwrap().to_owned())
        .vary_on([http::header::ACCEPT_LANGUAGE, http::header::ACCEPT]);
    let request = get(
        "/v?a=1&b",
        &[("x-tenant", "acme"), ("accept-language", "es")],
    );
    assert_eq!(plain.key_of(&request).unwrap(), "view:/v:a=1&b");
    let key = "reports:acme:/v:a=1&b:vary=accept-language=es,accept=";
    assert_eq!(named.key_of(&request).unwrap(), key);
    let service = constant(
        &named,
        &Runs::default(),
        &[("content-type", "text/plain; charset=utf-8")],
    );
    service.ask(request).await;
    let json = remote.json(key).await.unwrap();
    assert_eq!(json["body_b64"], "cnVuIDE=");
    assert_eq!(json["status_code"], 200);
    assert_eq!(json["media_type"], "text/plain");
    assert_eq!(json["nori"]["headers"][0][1], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn both_shapes_of_the_original_are_read() {
    let (world, remote) = World::remote();
    let runs = Runs::default();
    let service = constant(&world.timed(60), &runs, &[]);
    let entries: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(include_str!("../fixtures/original-entries.json")).unwrap();
    for (key, text) in &entries {
        remote
            .put(key.strip_prefix("cache:").unwrap(), text.as_str().unwrap())
            .await;
    }
    let new = service.get("/products?page=1").await;
    assert_eq!(new.text(), r#"{"from":"python","ü":"✓"}"#);
    assert_eq!(new.header("content-type"), Some("application/json"));
    assert_eq!(new.how(), "nori-cache; hit");
    let old = service.get("/old").await;
    assert_eq!(old.text(), "viejo ü");
    assert_eq!(
        old.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let varied = world.timed(60).vary_on([http::header::ACCEPT_LANGUAGE]);
    let varied = constant(&varied, &runs, &[]);
    assert_eq!(
        varied
            .get_with("/v", &[("accept-language", "es")])
            .await
            .text(),
        "hola"
    );
    let reports = constant(&world.timed(60).key_prefix("reports"), &runs, &[]);
    let pdf = reports.get("/r.pdf").await;
    assert_eq!(pdf.body, (0..=255).collect::<Vec<u8>>());
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn queries_can_be_sorted_and_sifted() {
    let world = World::memory();
    let runs = Runs::default();
    let service = constant(
        &world.timed(60).sort_query(true).allow_query(["a", "b"]),
        &runs,
        &[],
    );
    service.get("/?b=2&a=1&utm=x").await;
    assert!(service.get("/?a=1&b=2&utm=y").await.is_hit());
    assert!(!service.get("/?a=2&a=1&b=2").await.is_hit());
    assert!(!service.get("/?a=1&a=2&b=2").await.is_hit());
}

#[tokio::test]
async fn head_conditions_and_ranges_are_answered_from_one_get() {
    for world in World::both() {
        let runs = Runs::default();
        let headers = &[
            ("etag", "\"v1\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("content-type", "text/plain"),
            ("vary", "accept"),
        ];
        let service = cached(&world.timed(60), &runs, |_, _| async {
            with(headers, "0123456789")
        });
        service.get("/").await;
        let head = service.ask(request("HEAD", "/", &[])).await;
        assert_eq!(
            (head.status, head.text(), head.header("content-length")),
            (200, "", Some("10"))
        );
        for condition in [
            ("if-none-match", "W/\"v1\""),
            ("if-none-match", "\"x\", \"v1\""),
            ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            let got = service.get_with("/", &[condition]).await;
            assert_eq!((got.status, got.text()), (304, ""), "{condition:?}");
            assert_eq!(got.header("etag"), Some("\"v1\""));
            assert_eq!(got.header("vary"), Some("accept"));
            assert!(got.header("date").is_some() && got.header("content-type").is_none());
            assert!(got.is_hit());
        }
        let changed = [
            ("if-none-match", "\"v2\""),
            ("if-modified-since", "Sun, 06 Nov 2094 08:49:37 GMT"),
        ];
        assert_eq!(service.get_with("/", &changed).await.status, 200);
        let part = service.get_with("/", &[("range", "bytes=2-4")]).await;
        assert_eq!((part.status, part.text()), (206, "234"));
        assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
        assert_eq!(part.header("content-length"), Some("3"));
        let beyond = service.get_with("/", &[("range", "bytes=10-")]).await;
        assert_eq!(
            (beyond.status, beyond.header("content-range")),
            (416, Some("bytes */10"))
        );
        let other = [("range", "bytes=2-4"), ("if-range", "\"v2\"")];
        assert_eq!(service.get_with("/", &other).await.text(), "0123456789");
        assert_eq!(runs.count(), 1);
    }
}

#[tokio::test]
async fn a_conditional_miss_fills_the_cache_and_is_answered_304() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, |request, _| async move {
            assert!(!request.headers().contains_key("if-none-match"));
            with(&[("etag", "\"v1\"")], "whole")
        });
        let got = service.get_with("/", &[("if-none-match", "\"v1\"")]).await;
        assert_eq!((got.status, got.text()), (304, ""));
        assert_eq!(service.get("/").await.text(), "whole");
        assert_eq!(runs.count(), 1);
    }
}

#[tokio::test]
async fn several_variants_live_side_by_side() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, |request, _| async move {
            let language = request.headers().get("accept-language");
            let language = language
                .map_or("none", |language| language.to_str().unwrap())
                .to_owned();
            with(&[("vary", "Accept-Language , accept")], language)
        });
        let ask = async |language: &str| {
            service
                .get_with("/", &[("accept-language", language)])
                .await
        };
        for _ in 0..2 {
            assert_eq!(ask("es").await.text(), "es");
            assert_eq!(ask("de, en;q=0.5").await.text(), "de, en;q=0.5");
            assert_eq!(service.get("/").await.text(), "none");
        }
        assert_eq!(runs.count(), 3);
        assert!(
            ask("de,en;q=0.5").await.is_hit(),
            "white space is no difference"
        );
        assert_eq!(
            ask("fr").await.how(),
            "nori-cache; fwd=vary-miss; fwd-status=200; stored"
        );
    }
}

#[tokio::test]
async fn purges_by_key_prefix_and_tag() {
    for world in World::both() {
        let runs = Runs::default();
        let layer = world.timed(60);
        let service = cached(&layer, &runs, |request, run| async move {
            let mut response = with(
                &[("cache-tag", "all, page"), ("vary", "accept")],
                format!("{run}"),
            );
            let path = request.uri().path().to_owned();
            response.extensions_mut().insert(CacheTags::new([path]));
            response
        });
        let uris = ["/a", "/ab", "/b"];
        let hits = async || {
            world.advance(1);
            let mut hits = Vec::new();
            for uri in uris {
                hits.push(service.get(uri).await.is_hit());
            }
            hits
        };
        assert_eq!(hits().await, [false, false, false]);
        assert_eq!(hits().await, [true, true, true]);
        assert!(layer.purge_key("view:/a:").await.unwrap());
        assert!(!layer.purge_key("view:/a:").await.unwrap());
        assert_eq!(hits().await, [false, true, true]);
        layer.purge_prefix("view:/a").await.unwrap();
        assert_eq!(hits().await, [false, false, true]);
        layer.purge_tag("/b").await.unwrap();
        assert_eq!(hits().await, [true, true, false]);
        layer.purge_tag("page").await.unwrap();
        assert_eq!(hits().await, [false, false, false]);
        assert_eq!(hits().await, [true, true, true]);
    }
}

#[tokio::test]
async fn the_bypass_hook_keeps_the_cache_out() {
    let world = World::memory();
    let runs = Runs::default();
    let layer = world
        .timed(60)
        .bypass_if(|request| request.headers.contains_key("x-preview"));
    let service = constant(&layer, &runs, &[]);
    service.get("/").await;
    let past = service.get_with("/", &[("x-preview", "1")]).await;
    assert_eq!(
        (past.text(), past.how()),
        ("run 2", "nori-cache; fwd=bypass")
    );
    assert_eq!(service.get("/").await.text(), "run 1");
}

#[tokio::test]
async fn stale_windows_of_the_layers_own() {
    for world in World::both() {
        let runs = Runs::default();
        let layer = world
            .timed(10)
            .stale_while_revalidate(Duration::from_secs(5))
            .stale_if_error(Duration::from_secs(20));
        let service = cached(&layer, &runs, |_, run| async move {
            let mut response = with(&[], format!("run {run}"));
            if run > 2 {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
        });
        service.get("/").await;
        world.advance(12);
        let stale = service.get("/").await;
        assert_eq!(
            (stale.text(), stale.how()),
            ("run 1", "nori-cache; hit; ttl=-2; detail=stale")
        );
        assert_eq!(service.get("/").await.text(), "run 2");
        world.advance(25);
        let instead = service.get("/").await;
        assert_eq!((instead.status, instead.text()), (200, "run 2"));
        assert_eq!(
            instead.how(),
            "nori-cache; hit; ttl=-15; detail=stale-if-error"
        );
        world.advance(10);
        assert_eq!(service.get("/").await.status, 503);
    }
}

/// A response can make its life shorter, and no longer: for how long it is served stale, too.
#[tokio::test]
async fn a_response_has_no_longer_windows_than_the_layer() {
    for world in World::both() {
        for (nth, (headers, window, stale_for)) in [
            ("stale-while-revalidate=86400", 0, 0),
            ("max-age=10, stale-while-revalidate=86400", 0, 0),
            ("stale-while-revalidate=86400", 5, 5),
            ("stale-while-revalidate=3", 5, 3),
            ("stale-if-error=86400", 0, 0),
            ("stale-if-error=86400", 5, 5),
            ("stale-if-error=3", 5, 3),
        ]
        .into_iter()
        .enumerate()
        {
            let ttl = if headers.contains("max-age") { 10 } else { 60 };
            for after in [1, 4, 6, 3600] {
                let runs = Runs::default();
                let window = Duration::from_secs(window);
                let layer = world.timed(60).key_prefix(format!("{nth} {after}"));
                let layer = match headers.contains("error") {
                    true => layer.stale_if_error(window),
                    false => layer.stale_while_revalidate(window),
                };
                let service = cached(&layer, &runs, move |_, run| async move {
                    let mut response = with(&[("cache-control", headers)], "");
                    if run > 1 {
                        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    }
                    response
                });
                service.get("/").await;
                world.advance(ttl + after - 1);
                let got = service.get("/").await;
                let is_stale = after - 1 < stale_for;
                assert_eq!(got.is_hit(), is_stale, "{headers} {window:?} {after}");
            }
        }
    }
}

#[tokio::test]
async fn a_hit_shares_the_stored_bytes() {
    let world = World::memory();
    let runs = Runs::default();
    let body = Bytes::from(vec![7; 1 << 20]);
    let source = body.clone();
    let service = cached(&world.timed(60), &runs, move |_, _| {
        let body = source.clone();
        async move { with(&[], body) }
    });
    service.get("/").await;
    let hit = service.get("/").await;
    assert!(hit.is_hit());
    assert_eq!(hit.body.as_ptr(), body.as_ptr());
}

#[test]
fn without_a_backend_of_its_own_a_layer_finds_one() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let runs = Runs::default();
        let service = constant(&CacheResponse::ttl(Duration::from_secs(60)), &runs, &[]);
        service.get("/own").await;
        assert!(service.get("/own").await.is_hit());
    });
}
