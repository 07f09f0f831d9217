//! What one kind of layer, or one kind of request, has stored is not for another.

use crate::support::{Cached, Headers, Runs, World, cached, get, with};
use http::StatusCode;
use http::header::LOCATION;

/// What may be stored depends on who says so. Three layers that share a store and a prefix each have their own.
#[tokio::test]
async fn what_another_mode_has_stored_is_not_served() {
    const FOR_ALL: Headers = &[
        ("cache-control", "max-age=600"),
        ("cdn-cache-control", "max-age=600"),
    ];
    const FOR_CDN: Headers = &[
        ("cache-control", "private"),
        ("cdn-cache-control", "max-age=600"),
    ];
    for world in World::both() {
        let layers = [
            world.timed(60),
            world.by_headers(),
            world.by_headers().cdn_cache_control(true),
        ];
        for (nth, (status, headers, stores)) in [
            (200, FOR_ALL, [true, true, true]),
            (500, FOR_ALL, [false, true, true]),
            (200, FOR_CDN, [false, false, true]),
            (
                404,
                &[("cache-control", "max-age=600")][..],
                [false, true, true],
            ),
            (200, &[], [true, false, false]),
        ]
        .into_iter()
        .enumerate()
        {
            for (first, is_stored) in stores.into_iter().enumerate() {
                let prefix = format!("{nth}{first}");
                let service = |layer: usize, body: &'static str| {
                    let layer = layers[layer].clone().key_prefix(&*prefix);
                    crate::support::watch(&layer);
                    cached(&layer, &Runs::default(), move |_, _| async move {
                        let mut response = with(headers, body);
                        *response.status_mut() = StatusCode::from_u16(status).unwrap();
                        response
                    })
                };
                service(first, "first").get("/").await;
                let again = service(first, "again").get("/").await;
                assert_eq!(again.is_hit(), is_stored, "{status} {headers:?} {first}");
                for other in (0..layers.len()).filter(|other| *other != first) {
                    let got = service(other, "second").get("/").await;
                    assert_eq!(got.text(), "second", "{status} {headers:?} {first} {other}");
                }
            }
        }
    }
}

/// A handler that sends clients to where what they say is encrypted.
#[tokio::test]
async fn what_was_asked_for_by_one_scheme_is_not_served_for_another() {
    for world in World::both() {
        let service = cached(
            &world.by_headers(),
            &Runs::default(),
            |request, run| async move {
                let mut response = with(&[("cache-control", "max-age=60")], format!("run {run}"));
                if request.uri().scheme_str() == Some("http") {
                    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
                    let target = "https://victim.example/".parse().unwrap();
                    response.headers_mut().insert(LOCATION, target);
                }
                response
            },
        );
        let host = [("host", "victim.example")];
        let kinds = [
            ("http://victim.example/", 301, "run 1"),
            ("https://victim.example/", 200, "run 2"),
            ("/", 200, "run 3"),
        ];
        for is_hit in [false, true] {
            for (uri, status, body) in kinds {
                let got = service.ask(get(uri, &host)).await;
                assert_eq!(
                    (got.is_hit(), got.status, got.text()),
                    (is_hit, status, body),
                    "{uri}"
                );
            }
        }
    }
}
