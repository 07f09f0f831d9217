//! What a response that is not stored does to the one that is.

use crate::support::{Body, Cached, Runs, World, cached, get, settled, with};
use http::{Response, StatusCode};
use nori_cache::response::CacheResponse;
use std::time::Duration;
use tokio::time::sleep;

type Made = Response<Body>;

fn refused(status: u16, headers: &[(&str, &str)]) -> Made {
    let mut response = with(headers, "refused");
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// A page that is fresh for long, of a handler that has no page for those who say `x-odd`.
fn page(layer: &CacheResponse, runs: &Runs, odd: fn() -> Made) -> impl Cached + use<> {
    cached(layer, runs, move |request, run| async move {
        match request.headers().contains_key("x-odd") {
            true => odd(),
            false => with(
                &[("cache-control", "public, max-age=600"), ("etag", "\"1\"")],
                format!("run {run}"),
            ),
        }
    })
}

const ODD: &[fn() -> Made] = &[
    || refused(406, &[]),
    || refused(400, &[("cache-control", "no-store")]),
    || refused(401, &[]),
    || refused(403, &[("cache-control", "private")]),
    || refused(404, &[]),
    || refused(200, &[("cache-control", "private")]),
    || {
        refused(
            200,
            &[("set-cookie", "a=1"), ("cache-control", "max-age=60")],
        )
    },
    || refused(304, &[("cache-control", "private")]),
    || refused(304, &[("etag", "\"other\"")]),
];

#[tokio::test]
async fn a_request_that_is_refused_leaves_a_fresh_entry_where_it_is() {
    for world in World::both() {
        for (nth, odd) in ODD.iter().enumerate() {
            for more in [None, Some(("authorization", "x"))] {
                let runs = Runs::default();
                let layer = world.by_headers().key_prefix(format!("{nth}{more:?}"));
                let service = page(&layer, &runs, *odd);
                service.get("/").await;
                let mut headers = vec![("cache-control", "no-cache"), ("x-odd", "")];
                headers.extend(more);
                service.get_with("/", &headers).await;
                assert_eq!(runs.count(), 2);
                let got = service.get("/").await;
                assert!(got.is_hit(), "{nth} {more:?}: {}", got.how());
                assert_eq!(got.text(), "run 1");
            }
        }
    }
}

/// What one caller is refused says nothing of what others will get, so they go on waiting for each other.
#[tokio::test(start_paused = true)]
async fn a_client_error_does_not_keep_others_from_waiting_for_one() {
    const ASKED: usize = 20;
    for (odd, want) in [
        (ODD[0], 1),
        (ODD[2], 1),
        (ODD[3], 1),
        // Of a key whose responses may not be stored, all run at once.
        (ODD[4], ASKED),
        (ODD[5], ASKED),
    ] {
        let world = World::memory();
        let runs = Runs::default();
        let service = cached(&world.by_headers(), &runs, move |request, run| async move {
            if request.headers().contains_key("x-odd") {
                return odd();
            }
            sleep(Duration::from_secs(1)).await;
            with(&[("cache-control", "max-age=600")], format!("run {run}"))
        });
        service.get_with("/", &[("x-odd", "")]).await;
        let asked: Vec<_> = (0..ASKED)
            .map(|_| tokio::spawn(service.ask(get("/", &[]))))
            .collect();
        for answer in asked {
            answer.await.unwrap();
        }
        assert_eq!(runs.count() - 1, want);
    }
}

/// RFC 9111 §3.5: what is for one caller only.
#[tokio::test]
async fn what_an_authorized_caller_gets_leaves_a_stale_entry_to_the_others() {
    let answers: [fn() -> Made; 3] = [
        || refused(401, &[("cache-control", "no-store")]),
        || refused(200, &[]),
        || refused(200, &[("cache-control", "private")]),
    ];
    for world in World::both() {
        for (nth, answer) in answers.into_iter().enumerate() {
            let runs = Runs::default();
            let layer = world
                .timed(60)
                .stale_while_revalidate(Duration::from_secs(600))
                .key_prefix(format!("{nth}"));
            let service = cached(&layer, &runs, move |request, run| async move {
                match request.headers().contains_key("authorization") {
                    true => answer(),
                    false => with(&[("cache-control", "public")], format!("run {run}")),
                }
            });
            service.get("/").await;
            world.advance(61);
            let got = service.get_with("/", &[("authorization", "x")]).await;
            assert_eq!((got.text(), got.is_hit()), ("run 1", true));
            settled().await;
            let got = service.get("/").await;
            assert_eq!((got.text(), got.is_hit()), ("run 1", true), "{}", got.how());
            settled().await;
            // Those for all bring a new one.
            let got = service.get("/").await;
            assert_eq!((got.text(), got.is_hit()), ("run 3", true), "{}", got.how());
        }
    }
}

#[tokio::test]
async fn a_stale_entry_goes_when_what_came_instead_is_not_stored() {
    for world in World::both() {
        for (nth, odd) in ODD.iter().enumerate().take(7) {
            let runs = Runs::default();
            let layer = world
                .by_headers()
                .stale_if_error(Duration::from_secs(6000))
                .key_prefix(format!("{nth}"));
            let service = page(&layer, &runs, *odd);
            service.get("/").await;
            world.advance(601);
            service.get_with("/", &[("x-odd", "")]).await;
            let got = service.get_with("/", &[("cache-control", "max-stale, only-if-cached")]);
            assert_eq!(got.await.status, 504, "{nth}");
        }
    }
}
