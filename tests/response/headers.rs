//! Header-driven mode: a shared cache as RFC 9111 has it.

use crate::support::{Cached, Runs, World, cached, constant, lives, request, with};
use http::{Response, StatusCode};
use std::time::{Duration, SystemTime};

#[tokio::test]
async fn rfc9111_4_2_1_freshness_lifetimes() {
    for (headers, seconds) in [
        (&[("cache-control", "max-age=10")][..], 10),
        (&[("cache-control", "max-age=10, s-maxage=20")], 20),
        (&[("cache-control", "s-maxage=20")], 20),
        (
            &[
                ("cache-control", "max-age=10"),
                ("expires", "Sat, 06 Nov 2094 08:49:37 GMT"),
            ],
            10,
        ),
        (
            &[
                ("expires", "Sun, 06 Nov 1994 08:50:07 GMT"),
                ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ],
            0,
        ),
        (&[("expires", "Sat, 06 Nov 2094 08:49:37 GMT")], 200),
        (&[("expires", "0")], 0),
        (&[("expires", "tomorrow")], 0),
        (&[("cache-control", "max-age=10"), ("age", "4")], 6),
        (&[("cache-control", "max-age=10"), ("age", "10")], 0),
        (&[("cache-control", "max-age=10"), ("age", "x")], 10),
        (&[("cache-control", "max-age=10"), ("age", "-4")], 10),
        (&[("cache-control", "max-age=10"), ("age", "4.5")], 10),
        (&[("cache-control", "max-age=10"), ("age", "4;x=9")], 10),
        (&[("cache-control", "max-age=10"), ("age", "4, 9")], 6),
        (
            &[("cache-control", "max-age=10"), ("age", "4"), ("age", "9")],
            6,
        ),
        (&[("cache-control", "max-age=10"), ("age", "2147483649")], 0),
        (&[("cache-control", "public")], 0),
        (&[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], 0),
        (&[], 0),
    ] {
        assert_eq!(
            lives(World::by_headers, headers).await,
            seconds,
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn rfc9111_4_2_2_heuristics_only_when_asked_for() {
    let heuristics = |world: &World| world.by_headers().heuristics(true);
    let changed = &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
    assert_eq!(lives(heuristics, changed).await, 200);
    assert_eq!(lives(heuristics, &[]).await, 0);
}

#[tokio::test]
async fn rfc9111_5_2_1_requests_can_ask_for_less() {
    for world in World::both() {
        let runs = Runs::default();
        let service = constant(
            &world.by_headers(),
            &runs,
            &[("cache-control", "max-age=60")],
        );
        service.get("/").await;
        world.advance(30);
        let mut run = 1;
        for (said, hit) in [
            ("max-age=31", true),
            ("max-age=29", false),
            ("min-fresh=60", true),
            ("min-fresh=61", false),
            ("no-cache", false),
            ("max-age=0", false),
            ("no-store", true),
            ("max-stale", true),
        ] {
            let got = service.get_with("/", &[("cache-control", said)]).await;
            assert_eq!(got.is_hit(), hit, "{said}: {}", got.how());
            run += usize::from(!hit);
            assert_eq!(got.text(), format!("run {run}"));
        }
        assert!(
            !service
                .get_with("/", &[("pragma", "no-cache")])
                .await
                .is_hit()
        );
        let got = service
            .get_with("/new", &[("cache-control", "only-if-cached")])
            .await;
        assert_eq!((got.status, got.how()), (504, "nori-cache; fwd=uri-miss"));
        service
            .get_with("/new", &[("cache-control", "no-store")])
            .await;
        assert!(!service.get("/new").await.is_hit());
    }
}

#[tokio::test]
async fn rfc9111_5_2_1_2_requests_can_ask_for_stale_entries() {
    for world in World::both() {
        for (said, allows) in [
            ("max-age=10", true),
            ("max-age=10, must-revalidate", false),
            ("max-age=10, proxy-revalidate", false),
            ("s-maxage=10", false),
            ("max-age=10, no-cache", false),
        ] {
            let headers = [("cache-control", said), ("etag", "\"v\"")];
            let headers = Vec::leak(headers.to_vec());
            let layer = world.by_headers().key_prefix(said);
            let service = constant(&layer, &Runs::default(), headers);
            service.get("/").await;
            world.advance(20);
            for (asks, will_do) in [
                ("only-if-cached", false),
                ("only-if-cached, max-stale=9", false),
                ("only-if-cached, max-stale=10", true),
                ("only-if-cached, max-stale", true),
                ("only-if-cached, max-stale, max-age=19", false),
                ("only-if-cached, max-stale, min-fresh=1", false),
            ] {
                let got = service.get_with("/", &[("cache-control", asks)]).await;
                assert_eq!(got.is_hit(), allows && will_do, "{said} {asks}");
                if got.is_hit() {
                    assert_eq!(got.how(), "nori-cache; hit; ttl=-10; detail=max-stale");
                }
            }
        }
    }
}

#[tokio::test]
async fn rfc9111_4_3_stale_entries_are_revalidated() {
    for world in World::both() {
        for validator in [
            ("etag", "\"v1\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            let runs = Runs::default();
            let layer = world.by_headers().key_prefix(validator.0);
            let service = cached(&layer, &runs, move |request, run| async move {
                let headers = request.headers();
                let asked = headers.contains_key("if-none-match")
                    || headers.contains_key("if-modified-since");
                let named = [
                    validator,
                    ("cache-control", "max-age=10"),
                    ("x-run", if asked { "2" } else { "1" }),
                ];
                let mut response = with(
                    &named,
                    if asked {
                        String::new()
                    } else {
                        format!("run {run}")
                    },
                );
                if asked {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                }
                response
            });
            service.get("/").await;
            world.advance(11);
            let fresh = service.get("/").await;
            assert_eq!(
                (fresh.status, fresh.text(), fresh.header("x-run")),
                (200, "run 1", Some("2"))
            );
            assert_eq!(fresh.how(), "nori-cache; fwd=stale; fwd-status=304; stored");
            assert_eq!(fresh.header("age"), Some("0"));
            world.advance(9);
            let hit = service.get("/").await;
            assert!(hit.is_hit());
            assert_eq!(
                (hit.header("age"), hit.header("x-run")),
                (Some("9"), Some("2"))
            );
            assert_eq!(runs.count(), 2);
            assert_eq!(layer.stats().revalidated, 1);
        }
    }
}

#[tokio::test]
async fn rfc9111_5_2_2_4_no_cache_is_stored_and_revalidated_each_time() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.by_headers(), &runs, |request, _| async move {
            let mut response = with(
                &[("etag", "\"v\""), ("cache-control", "no-cache, max-age=60")],
                "body",
            );
            if request
                .headers()
                .get("if-none-match")
                .is_some_and(|tag| tag == "\"v\"")
            {
                response = with(
                    &[("etag", "\"v\""), ("cache-control", "no-cache, max-age=60")],
                    "",
                );
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            }
            response
        });
        for run in 1..4 {
            let got = service.get("/").await;
            assert_eq!((got.status, got.text(), got.is_hit()), (200, "body", false));
            assert_eq!(runs.count(), run);
        }
        assert!(service.get("/").await.how().contains("fwd-status=304"));
    }
}

#[tokio::test]
async fn rfc9111_4_3_3_a_full_response_replaces_the_stale_one() {
    for world in World::both() {
        let headers = &[("etag", "\"v\""), ("cache-control", "max-age=5")];
        let service = constant(&world.by_headers(), &Runs::default(), headers);
        service.get("/").await;
        world.advance(6);
        assert_eq!(service.get("/").await.text(), "run 2");
        assert_eq!(service.get("/").await.text(), "run 2");
    }
}

#[tokio::test]
async fn rfc5861_3_stale_while_revalidate() {
    for world in World::both() {
        for said in [
            "max-age=10, stale-while-revalidate=5",
            "s-maxage=10, stale-while-revalidate=5",
        ] {
            let layer = world.by_headers().key_prefix(said);
            let service = cached(&layer, &Runs::default(), move |_, run| async move {
                with(&[("cache-control", said)], format!("run {run}"))
            });
            service.get("/").await;
            world.advance(14);
            assert_eq!(service.get("/").await.text(), "run 1");
            let next = service.get("/").await;
            assert_eq!((next.text(), next.header("age")), ("run 2", Some("0")));
            world.advance(15);
            assert_eq!(service.get("/").await.text(), "run 3");
        }
    }
}

#[tokio::test]
async fn rfc5861_4_stale_if_error_but_not_with_must_revalidate() {
    for world in World::both() {
        for (said, serves) in [
            ("max-age=10, stale-if-error=60", true),
            ("max-age=10, stale-if-error=60, must-revalidate", false),
            ("max-age=10, stale-if-error=60, proxy-revalidate", false),
            ("max-age=10", false),
        ] {
            let layer = world.by_headers().key_prefix(said);
            let service = cached(&layer, &Runs::default(), move |_, run| async move {
                let mut response = with(&[("cache-control", said)], format!("run {run}"));
                if run > 1 {
                    *response.status_mut() = StatusCode::BAD_GATEWAY;
                }
                response
            });
            service.get("/").await;
            world.advance(20);
            let got = service.get("/").await;
            assert_eq!(got.status, if serves { 200 } else { 502 }, "{said}");
        }
    }
}

#[tokio::test]
async fn rfc9111_4_4_unsafe_methods_invalidate_when_they_succeed() {
    for world in World::both() {
        for method in ["POST", "PUT", "DELETE", "PATCH", "MOVE"] {
            let layer = world.by_headers().key_prefix(method);
            let service = cached(&layer, &Runs::default(), |request, run| async move {
                let mut response = with(&[("cache-control", "max-age=60")], format!("run {run}"));
                if request.method() != "GET" {
                    let headers = response.headers_mut();
                    headers.insert("location", "/other".parse().unwrap());
                    headers.insert("content-location", "http://evil/far".parse().unwrap());
                }
                if request.headers().contains_key("x-fail") {
                    *response.status_mut() = StatusCode::BAD_REQUEST;
                }
                response
            });
            for uri in ["/a", "/other", "/far"] {
                service.get(uri).await;
            }
            service.ask(request(method, "/a", &[("x-fail", "1")])).await;
            assert!(service.get("/a").await.is_hit(), "{method}");
            let changed = service.ask(request(method, "/a", &[])).await;
            assert_eq!(changed.how(), "nori-cache; fwd=method");
            assert!(!service.get("/a").await.is_hit(), "{method}");
            assert!(!service.get("/other").await.is_hit(), "{method}");
            assert!(service.get("/far").await.is_hit(), "{method}");
        }
    }
}

#[tokio::test]
async fn rfc9111_3_any_final_status_that_says_how_long() {
    for world in World::both() {
        let service = cached(
            &world.by_headers(),
            &Runs::default(),
            |request, _| async move {
                let status: u16 = request.uri().path()[1..].parse().unwrap();
                let said = [("cache-control", request.uri().query().unwrap().to_owned())];
                let mut response = Response::builder().status(status);
                for (name, value) in said {
                    response = response.header(name, value);
                }
                response.body(crate::support::Body::default()).unwrap()
            },
        );
        for (uri, stored) in [
            ("/200?max-age=90", true),
            ("/204?max-age=90", true),
            ("/301?max-age=90", true),
            ("/404?max-age=90", true),
            ("/500?max-age=90", true),
            ("/599?max-age=90", true),
            ("/206?max-age=90", false),
            ("/304?max-age=90", false),
            ("/200?max-age=90,no-store,must-understand", true),
            ("/599?max-age=90,must-understand", false),
            ("/599?max-age=90,no-store,must-understand", false),
        ] {
            service.get(uri).await;
            assert_eq!(service.get(uri).await.is_hit(), stored, "{uri}");
        }
    }
}

#[tokio::test]
async fn rfc9111_4_2_3_a_date_in_the_past_is_age() {
    let world = World::memory();
    let date = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(30));
    let service = cached(&world.by_headers(), &Runs::default(), move |_, _| {
        std::future::ready(with(
            &[("cache-control", "max-age=600"), ("date", &date)],
            "",
        ))
    });
    service.get("/").await;
    let age: u64 = service
        .get("/")
        .await
        .header("age")
        .unwrap()
        .parse()
        .unwrap();
    // And what this machine takes.
    assert!((30..300).contains(&age), "{age}");
}

#[tokio::test]
async fn rfc9211_2_what_other_caches_said_stays() {
    let world = World::memory();
    let headers = &[
        ("cache-control", "max-age=9"),
        ("cache-status", "upstream; hit"),
    ];
    let service = constant(&world.by_headers(), &Runs::default(), headers);
    service.get("/").await;
    let hit = service.get("/").await;
    let all: Vec<_> = hit.headers.get_all("cache-status").iter().collect();
    assert_eq!(all, ["upstream; hit", "nori-cache; hit; ttl=9"]);
}
