//! Header-driven mode: what a 304 makes of a stored response.

use crate::support::{Body, Cached, Got, Headers, Runs, World, cached, with};
use http::{Request, Response, StatusCode};
use nori_cache::response::CacheResponse;

const FRESH: (&str, &str) = ("cache-control", "max-age=10");

fn not_modified(headers: Headers) -> Response<Body> {
    let mut response = with(headers, "");
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

fn is_conditional(request: &Request<()>) -> bool {
    let headers = request.headers();
    headers.contains_key("if-none-match") || headers.contains_key("if-modified-since")
}

/// What a client gets when a stored response (`first`) is revalidated by a 304 with these headers, and what the next one gets.
async fn revalidated(
    layer: &CacheResponse,
    world: &World,
    first: Headers,
    then: Headers,
) -> [Got; 2] {
    let service = cached(layer, &Runs::default(), move |request, run| async move {
        match is_conditional(&request) {
            true => not_modified(then),
            false => with(first, format!("run {run}")),
        }
    });
    service.get("/").await;
    world.advance(11);
    let validated = service.get("/").await;
    assert!(
        validated.how().contains("fwd-status=304"),
        "{}",
        validated.how()
    );
    [validated, service.get("/").await]
}

#[tokio::test]
async fn rfc9111_3_2_a_304_updates_all_fields_but_those_of_the_stored_body() {
    for world in World::both() {
        let first = &[
            FRESH,
            ("etag", "\"v\""),
            ("content-type", "text/plain"),
            ("content-location", "/a"),
            ("x-frame-options", "deny"),
            ("x-kept", "1"),
            ("x-lines", "1"),
            ("content-length", "5"),
        ];
        let then = &[
            ("cache-control", "max-age=20"),
            ("etag", "\"v\""),
            ("content-type", "text/plain;charset=utf-8"),
            ("content-location", "/b"),
            ("x-frame-options", "sameorigin"),
            ("x-lines", "2"),
            ("x-lines", "3"),
            ("content-length", "10"),
            ("content-encoding", "gzip"),
        ];
        for got in revalidated(&world.by_headers(), &world, first, then).await {
            assert_eq!((got.status, got.text()), (200, "run 1"));
            for (name, value) in [
                ("cache-control", "max-age=20"),
                ("content-type", "text/plain;charset=utf-8"),
                ("content-location", "/b"),
                ("x-frame-options", "sameorigin"),
                ("x-kept", "1"),
                ("content-length", "5"),
            ] {
                assert_eq!(got.header(name), Some(value), "{name}");
            }
            assert_eq!(got.header("content-encoding"), None);
            let lines: Vec<_> = got.headers.get_all("x-lines").iter().collect();
            assert_eq!(lines, ["2", "3"]);
        }
    }
}

#[tokio::test]
async fn rfc9111_4_3_4_a_304_about_another_response_updates_nothing() {
    let changed = "Sun, 06 Nov 1994 08:49:37 GMT";
    let earlier = "Sat, 05 Nov 1994 08:49:37 GMT";
    for (validator, other, updates) in [
        (("etag", "\"v\""), ("etag", "\"v\""), true),
        (("etag", "W/\"v\""), ("etag", "\"v\""), true),
        (("etag", "\"v\""), ("last-modified", changed), true),
        (("etag", "\"v\""), ("x-none", ""), true),
        (("etag", "\"v\""), ("etag", "\"w\""), false),
        (("etag", "W/\"v\""), ("etag", "W/\"w\""), false),
        (("last-modified", changed), ("last-modified", changed), true),
        (
            ("last-modified", changed),
            ("last-modified", earlier),
            false,
        ),
        (("last-modified", changed), ("etag", "\"w\""), false),
    ] {
        for world in World::both() {
            let runs = Runs::default();
            let service = cached(&world.by_headers(), &runs, move |request, run| async move {
                let mut response = with(&[FRESH, validator], format!("run {run}"));
                if is_conditional(&request) {
                    response = with(&[FRESH, other, ("x-new", "1")], "");
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                }
                response
            });
            service.get("/").await;
            world.advance(11);
            let got = service.get("/").await;
            assert_eq!((got.status, got.text()), (200, "run 1"));
            assert_eq!(
                got.header("x-new").is_some(),
                updates,
                "{validator:?} {other:?}"
            );
            assert_eq!(got.header(validator.0), Some(validator.1));
            // What was not updated is not used again.
            let next = service.get("/").await;
            assert_eq!(next.is_hit(), updates, "{validator:?} {other:?}");
            assert_eq!(next.text(), if updates { "run 1" } else { "run 3" });
        }
    }
}

#[tokio::test]
async fn rfc9111_4_2_3_the_age_of_a_304_counts() {
    for world in World::both() {
        let first = &[FRESH, ("etag", "\"v\""), ("age", "2")];
        let [got, next] =
            revalidated(&world.by_headers(), &world, first, &[FRESH, ("age", "4")]).await;
        assert_eq!(got.header("age"), Some("4"));
        assert_eq!(next.header("age"), Some("4"));
        world.advance(6);
        let [got, _] = revalidated(
            &world.by_headers().key_prefix("none"),
            &world,
            first,
            &[FRESH],
        )
        .await;
        assert_eq!(got.header("age"), Some("0"));
    }
}

#[tokio::test]
async fn rfc9111_7_3_a_cookie_in_a_304_reaches_its_client_only() {
    for world in World::both() {
        let first = &[FRESH, ("etag", "\"v\"")];
        let then = &[FRESH, ("set-cookie", "id=1"), ("set-cookie", "who=me")];
        let [got, next] = revalidated(&world.by_headers(), &world, first, then).await;
        let cookies: Vec<_> = got.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["id=1", "who=me"]);
        assert!(next.is_hit());
        assert_eq!(next.header("set-cookie"), None);
        let then = &[("cache-control", "private"), ("set-cookie", "id=2")];
        let layer = world.by_headers().key_prefix("private");
        let [got, next] = revalidated(&layer, &world, first, then).await;
        assert_eq!(got.header("set-cookie"), Some("id=2"));
        assert_eq!((next.is_hit(), next.header("set-cookie")), (false, None));
    }
}

#[tokio::test]
async fn rfc9111_4_3_5_a_head_that_shows_another_response_removes_the_stored_one() {
    for (then, kept) in [
        (&[("etag", "\"v\""), ("content-length", "5")][..], true),
        (&[("x-none", "")], true),
        (&[("etag", "\"w\""), ("content-length", "5")], false),
        (&[("etag", "\"v\""), ("content-length", "6")], false),
        (&[("content-length", "x")], false),
    ] {
        for world in World::both() {
            for status in [200, 404] {
                let layer = world.by_headers().key_prefix(status.to_string());
                let service = cached(&layer, &Runs::default(), move |request, run| async move {
                    if request.method() == "GET" {
                        return with(&[FRESH, ("etag", "\"v\"")], format!("run {run}"));
                    }
                    let mut response = with(then, "");
                    *response.status_mut() = status.try_into().unwrap();
                    response
                });
                service.get("/").await;
                let head = crate::support::request("HEAD", "/", &[("cache-control", "no-cache")]);
                let head = service.ask(head).await;
                assert_eq!(
                    head.how(),
                    format!("nori-cache; fwd=request; fwd-status={status}")
                );
                let hit = service.get("/").await.is_hit();
                assert_eq!(hit, kept || status != 200, "{then:?} {status}");
            }
        }
    }
}

#[tokio::test]
async fn rfc9110_14_4_content_range_means_nothing_with_a_200() {
    for world in World::both() {
        let headers = &[FRESH, ("content-range", "x")];
        let service = crate::support::constant(&world.by_headers(), &Runs::default(), headers);
        service.get("/").await;
        let hit = service.get("/").await;
        assert!(hit.is_hit());
        assert_eq!(hit.header("content-range"), Some("x"));
        let part = service.get_with("/", &[("range", "bytes=0-1")]).await;
        assert_eq!((part.status, part.text()), (206, "ru"));
        assert_eq!(part.header("content-range"), Some("bytes 0-1/5"));
    }
}
