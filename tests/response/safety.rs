//! How caches in front of applications fail, each a test; in both modes, on memory and on a store that keeps JSON.

use crate::support::{
    Cached, Headers, Runs, World, assert_never_stored, cached, constant, modes, with,
};
use http_body_util::Full;

#[tokio::test]
async fn private_and_no_store_are_honoured_however_they_are_written() {
    let all: [Headers; 9] = [
        &[("cache-control", "private, max-age=60")],
        &[("cache-control", "max-age=60, PRIVATE")],
        &[
            ("cache-control", "max-age=60"),
            ("cache-control", "Private"),
        ],
        &[
            ("cache-control", "max-age=60"),
            ("cache-control", "foo"),
            ("cache-control", "No-Store"),
        ],
        &[("cache-control", "max-age=60,private=\"x\"")],
        &[("cache-control", "max-age=60 , no-store , public")],
        &[("cache-control", "max-age=60, x=\"unclosed")],
        &[("cache-control", "max-age=60,no-store=1")],
        &[("cache-control", "max-age=60, ,,\tno-store")],
    ];
    for headers in all {
        assert_never_stored(headers).await;
    }
}

#[tokio::test]
async fn set_cookie_is_neither_stored_nor_replayed() {
    assert_never_stored(&[
        ("cache-control", "public, max-age=60"),
        ("set-cookie", "id=1"),
    ])
    .await;
}

#[tokio::test]
async fn vary_star_is_never_reused() {
    assert_never_stored(&[("cache-control", "max-age=60"), ("vary", "*")]).await;
    assert_never_stored(&[("cache-control", "max-age=60"), ("vary", "accept ,  * ")]).await;
    assert_never_stored(&[
        ("cache-control", "max-age=60"),
        ("vary", "accept"),
        ("vary", "*"),
    ])
    .await;
    assert_never_stored(&[("cache-control", "max-age=60"), ("vary", "a b")]).await;
}

#[tokio::test]
async fn event_streams_are_not_collected() {
    assert_never_stored(&[
        ("cache-control", "max-age=60"),
        ("content-type", "text/Event-Stream; x"),
    ])
    .await;
}

#[tokio::test]
async fn one_callers_answer_is_not_given_to_another() {
    for world in World::both() {
        for layer in modes(&world) {
            let runs = Runs::default();
            let service = constant(&layer, &runs, &[("cache-control", "max-age=60")]);
            let ana = [("authorization", "Bearer ana")];
            let bo = [("authorization", "Bearer bo")];
            assert_eq!(service.get_with("/", &ana).await.text(), "run 1");
            assert_eq!(service.get_with("/", &bo).await.text(), "run 2");
            assert_eq!(service.get("/").await.text(), "run 3");
            // Nor is an anonymous one to who has said who they are.
            assert_eq!(service.get_with("/", &ana).await.text(), "run 4");
            assert!(service.get("/").await.is_hit());
        }
    }
}

#[tokio::test]
async fn rfc9111_3_5_what_says_it_may_be_shared_is() {
    for said in [
        "public, max-age=60",
        "s-maxage=60",
        "must-revalidate, max-age=60",
    ] {
        for world in World::both() {
            for layer in modes(&world) {
                let service = cached(&layer, &Runs::default(), move |_, run| async move {
                    with(&[("cache-control", said)], format!("run {run}"))
                });
                assert_eq!(
                    service
                        .get_with("/", &[("authorization", "a")])
                        .await
                        .text(),
                    "run 1"
                );
                assert_eq!(
                    service
                        .get_with("/", &[("authorization", "b")])
                        .await
                        .text(),
                    "run 1"
                );
                assert_eq!(service.get("/").await.text(), "run 1");
            }
        }
    }
}

#[tokio::test]
async fn keys_that_tell_callers_apart_may_be_trusted() {
    let world = World::memory();
    let caller = |request: &http::request::Parts| {
        let said = request.headers.get("authorization");
        said.map_or(String::new(), |said| said.to_str().unwrap().to_owned())
    };
    let runs = Runs::default();
    let service = constant(
        &world.timed(60).key_fn(caller).authorized_by_key(true),
        &runs,
        &[],
    );
    for _ in 0..2 {
        assert_eq!(
            service
                .get_with("/", &[("authorization", "a")])
                .await
                .text(),
            "run 1"
        );
        assert_eq!(
            service
                .get_with("/", &[("authorization", "b")])
                .await
                .text(),
            "run 2"
        );
    }
}

#[tokio::test]
async fn different_hosts_share_nothing() {
    for world in World::both() {
        for layer in modes(&world) {
            let runs = Runs::default();
            let service = cached(&layer, &runs, |request, _| async move {
                let host = request
                    .headers()
                    .get("host")
                    .map(|host| host.to_str().unwrap().to_owned());
                let host = host.or_else(|| request.uri().host().map(str::to_owned));
                with(&[("cache-control", "max-age=60")], host.unwrap_or_default())
            });
            for _ in 0..2 {
                assert_eq!(
                    service.get_with("/", &[("host", "a.example")]).await.text(),
                    "a.example"
                );
                assert_eq!(
                    service.get_with("/", &[("host", "b.example")]).await.text(),
                    "b.example"
                );
                assert_eq!(
                    service
                        .get_with("/", &[("host", "b.example:8080")])
                        .await
                        .text(),
                    "b.example:8080"
                );
                assert_eq!(service.get("http://c.example/").await.text(), "c.example");
                assert_eq!(service.get("/").await.text(), "");
            }
            assert_eq!(runs.count(), 5);
            assert!(
                service
                    .get_with("/", &[("host", "A.Example")])
                    .await
                    .is_hit()
            );
        }
    }
}

#[tokio::test]
async fn two_hosts_in_one_request_are_none() {
    let world = World::memory();
    let runs = Runs::default();
    let service = constant(&world.timed(60), &runs, &[]);
    for _ in 0..2 {
        let got = service.get_with("/", &[("host", "a"), ("host", "b")]).await;
        assert_eq!(got.how(), "nori-cache; fwd=bypass; detail=host");
    }
}

#[tokio::test]
async fn requests_that_are_more_than_a_get_are_not_answered_from_the_cache() {
    for world in World::both() {
        for layer in modes(&world) {
            let service = constant(&layer, &Runs::default(), &[("cache-control", "max-age=60")]);
            service.get("/").await;
            for (header, detail) in [
                (("content-length", "7"), "content"),
                (("transfer-encoding", "chunked"), "content"),
                (("upgrade", "websocket"), "upgrade"),
                (("if-match", "\"a\""), "precondition"),
                (
                    ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
                    "precondition",
                ),
            ] {
                let got = service.get_with("/", &[header]).await;
                assert_eq!(
                    got.how(),
                    format!("nori-cache; fwd=bypass; detail={detail}")
                );
            }
            assert_eq!(
                service
                    .get_with("/", &[("content-length", "0")])
                    .await
                    .text(),
                "run 1"
            );
        }
    }
}

#[tokio::test]
async fn parts_of_the_key_cannot_pass_for_each_other() {
    for world in World::both() {
        let runs = Runs::default();
        let layer = world
            .timed(60)
            .vary_on([http::header::ACCEPT, http::header::ACCEPT_LANGUAGE]);
        let service = cached(&layer, &runs, |request, _| async move {
            let accept = request.headers().get("accept").cloned();
            with(&[], format!("{} {accept:?}", request.uri()))
        });
        let mut answers = std::collections::HashSet::new();
        for _ in 0..2 {
            answers.insert(service.get("/a:b?c").await.body);
            answers.insert(service.get("/a?b:c").await.body);
            answers.insert(
                service
                    .get("/a?b:c:vary=accept=,accept-language=")
                    .await
                    .body,
            );
            answers.insert(
                service
                    .get_with("/a?b:c", &[("accept", "x,accept-language=y")])
                    .await
                    .body,
            );
            answers.insert(
                service
                    .get_with(
                        "/a?b:c",
                        &[("accept", "x"), ("accept-language", "y,accept-language=")],
                    )
                    .await
                    .body,
            );
        }
        assert_eq!(answers.len(), 5);
    }
}

#[tokio::test]
async fn a_file_extension_makes_nothing_cacheable() {
    let world = World::memory();
    let runs = Runs::default();
    let service = cached(&world.by_headers(), &runs, |_, run| async move {
        let response = with(&[("content-type", "text/css")], format!("run {run}"));
        let _: &Full<_> = response.body();
        response
    });
    service.get("/account/x.css").await;
    assert!(!service.get("/account/x.css").await.is_hit());
}
