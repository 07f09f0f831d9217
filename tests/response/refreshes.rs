//! Who is served a stale response has started its refresh, or comes while one is under way; and nobody is served one for longer
//! than its window.

use crate::support::{Body, Cached, Headers, Runs, World, cached, get, request, with};
use http::{Request, Response, StatusCode};
use nori_cache::response::CacheResponse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const ANA: (&str, &str) = ("authorization", "Bearer ana");
const PUBLIC: Headers = &[("cache-control", "public")];

/// A minute, then an hour in which stale responses are served.
fn layer(world: &World) -> CacheResponse {
    world.timed(60).stale_while_revalidate(HOUR)
}

/// As a handler that heeds its requests: a part for a range, nothing new for who has it.
fn page(request: &Request<()>, headers: Headers, run: usize) -> Response<Body> {
    let mut response = with(headers, format!("run {run}"));
    response
        .headers_mut()
        .insert("etag", format!("\"{run}\"").parse().unwrap());
    if request.headers().contains_key("range") {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

#[tokio::test]
async fn whoever_is_served_a_stale_response_starts_its_refresh() {
    let all: [(&str, Headers); 5] = [
        ("a caller with credentials", &[ANA]),
        ("a part", &[("range", "bytes=0-2")]),
        ("a part, with credentials", &[ANA, ("range", "bytes=0-2")]),
        ("on a condition", &[("if-none-match", "\"1\"")]),
        ("nothing special", &[]),
    ];
    for world in World::both() {
        for (who, headers) in all {
            let runs = Runs::default();
            let layer = layer(&world).key_prefix(who);
            let service = cached(&layer, &runs, |request, run| async move {
                page(&request, PUBLIC, run)
            });
            service.get("/").await;
            for round in 1..10 {
                world.advance(61);
                let stale = service.get_with("/", headers).await;
                assert!(
                    stale.how().ends_with("detail=stale"),
                    "{who}: {}",
                    stale.how()
                );
                assert_eq!(runs.count(), round + 1, "{who}");
                let fresh = service.get("/").await;
                assert!(
                    fresh.how().contains("; hit; ttl=6"),
                    "{who}: {}",
                    fresh.how()
                );
                assert_eq!(fresh.text(), format!("run {}", round + 1), "{who}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_wants_no_waiting_does_not_keep_the_refresh_from_waiting() {
    // What the client says of this cache is not said to the next one.
    for world in World::both() {
        let runs = Runs::default();
        let layer = world.by_headers();
        let service = cached(&layer, &runs, |request, run| async move {
            let said = request.headers().get("cache-control");
            let mut response = page(
                &request,
                &[("cache-control", "max-age=60, stale-while-revalidate=3600")],
                run,
            );
            if said.is_some_and(|said| said.to_str().unwrap().contains("only-if-cached")) {
                *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
            }
            response
        });
        service.get("/").await;
        world.advance(61);
        let only = [("cache-control", "only-if-cached")];
        let stale = service.get_with("/", &only).await;
        assert!(stale.how().ends_with("detail=stale"), "{}", stale.how());
        let fresh = service.get_with("/", &only).await;
        assert_eq!((fresh.status, fresh.text()), (200, "run 2"));
    }
}

/// Who asks for what cannot be stored for all cannot start a refresh, and gets the handler's answer.
#[tokio::test]
async fn who_cannot_start_a_refresh_is_answered_by_the_handler() {
    for world in World::both() {
        for (method, headers) in [
            ("HEAD", &[][..]),
            ("HEAD", &[ANA]),
            ("GET", &[("cache-control", "no-store")]),
        ] {
            let runs = Runs::default();
            let layer = world
                .by_headers()
                .key_prefix(format!("{method} {headers:?}"));
            let service = cached(&layer, &runs, |request, run| async move {
                let public = "public, max-age=60, stale-while-revalidate=3600";
                // Always the same: what HEAD shows to be another one is not served again.
                let mut response = page(&request, &[], 1.min(run));
                response
                    .headers_mut()
                    .insert("cache-control", public.parse().unwrap());
                response
                    .headers_mut()
                    .insert("x-method", request.method().as_str().parse().unwrap());
                response
            });
            service.get("/").await;
            world.advance(61);
            let got = service.ask(request(method, "/", headers)).await;
            assert!(!got.is_hit(), "{}", got.how());
            assert_eq!(got.header("x-method"), Some(method));
            // What must not be stored is not.
            assert!(service.get("/").await.how().ends_with("detail=stale"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_refresh_is_under_way_everyone_is_served_the_stale_response() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&layer(&world), &runs, |request, run| async move {
            if run > 1 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            page(&request, PUBLIC, run)
        });
        service.get("/").await;
        world.advance(61);
        for method in ["GET", "HEAD", "GET", "HEAD"] {
            let got = service.ask(request(method, "/", &[])).await;
            assert!(got.how().ends_with("detail=stale"), "{}", got.how());
        }
        assert_eq!(runs.count(), 2);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(service.get("/").await.text(), "run 2");
    }
}

#[tokio::test]
async fn a_refresh_that_may_not_be_shared_ends_the_stale_response() {
    let all: [Headers; 3] = [
        &[("cache-control", "private")],
        &[("cache-control", "no-store")],
        &[("set-cookie", "a=b")],
    ];
    for world in World::both() {
        for answers in all {
            let runs = Runs::default();
            let layer = layer(&world).key_prefix(format!("{answers:?}"));
            let service = cached(&layer, &runs, move |request, run| async move {
                let headers = if run == 1 { PUBLIC } else { answers };
                page(&request, headers, run)
            });
            service.get("/").await;
            world.advance(61);
            let stale = service.get("/").await;
            assert_eq!(stale.text(), "run 1");
            // The handler has said something else since then.
            let got = service.get("/").await;
            assert_eq!(got.text(), "run 3", "{answers:?}");
            // And nobody got what the refresh brought.
            let other = service.get("/").await;
            assert!(
                !other.is_hit() && other.text() == "run 4",
                "{}",
                other.how()
            );
        }
    }
}

#[tokio::test]
async fn a_refresh_that_fails_ends_nothing_before_the_window_does() {
    for world in World::both() {
        for status in [500, 503, 429] {
            let runs = Runs::default();
            let failing = Arc::new(AtomicBool::new(false));
            let layer = layer(&world).key_prefix(format!("{status}"));
            let fails = Arc::clone(&failing);
            let service = cached(&layer, &runs, move |request, run| {
                let fails = fails.load(SeqCst);
                async move {
                    let mut response = page(&request, PUBLIC, run);
                    if fails {
                        *response.status_mut() = status.try_into().unwrap();
                    }
                    response
                }
            });
            service.get("/").await;
            failing.store(true, SeqCst);
            for asked in 0..59 {
                world.advance(61);
                let stale = service.get("/").await;
                assert_eq!((stale.status, stale.text()), (200, "run 1"));
                assert_eq!(runs.count(), asked + 2);
            }
            world.advance(60 + 3600 - 59 * 61);
            assert_eq!(service.get("/").await.status, status);
        }
    }
}

/// What a newer response has replaced while a refresh was under way stays.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_ends_late_takes_nothing_newer_along() {
    for world in World::both() {
        let runs = Runs::default();
        let layer = layer(&world);
        let service = cached(&layer, &runs, |request, run| async move {
            if run == 2 {
                // That of the caller with credentials.
                tokio::time::sleep(Duration::from_secs(5)).await;
                return page(&request, &[("cache-control", "private")], run);
            }
            page(&request, PUBLIC, run)
        });
        service.get("/").await;
        world.advance(61);
        assert_eq!(service.get_with("/", &[ANA]).await.text(), "run 1");
        // An anonymous one is asked for beside it, and comes first.
        assert_eq!(service.get("/").await.text(), "run 1");
        assert_eq!(service.get("/").await.text(), "run 3");
        tokio::time::sleep(Duration::from_secs(10)).await;
        let hit = service.get("/").await;
        assert!(hit.is_hit() && hit.text() == "run 3", "{}", hit.how());
    }
}

/// Without a runtime nothing can go on behind the client's back.
#[test]
fn without_a_runtime_a_refresh_is_waited_for() {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    let world = World::memory();
    let runs = Runs::default();
    let service = cached(&layer(&world), &runs, |request, run| async move {
        page(&request, PUBLIC, run)
    });
    let ask = || {
        let asked = tower::ServiceExt::oneshot(service.clone(), get("/", &[]));
        match pin!(asked).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => response.unwrap(),
            Poll::Pending => panic!("in memory nothing waits"),
        }
    };
    drop(ask());
    world.advance(61);
    let answered = ask();
    assert_eq!(runs.count(), 2);
    let status = answered
        .headers()
        .get_all("cache-status")
        .iter()
        .next_back();
    assert_eq!(
        status.unwrap(),
        "nori-cache; fwd=stale; fwd-status=200; stored"
    );
}
