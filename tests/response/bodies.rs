//! How caches in front of applications fail, the other half: methods, bodies, headers, stored entries and backends that are not
//! as they should be.

use crate::support::{
    Cached, Runs, World, assert_never_stored, cached, constant, get, modes, poisons, request, with,
};
use http::Response;
use nori_cache::response::CacheResponse;
use std::sync::atomic::Ordering::SeqCst;

#[tokio::test]
async fn head_is_not_stored() {
    for world in World::both() {
        for layer in modes(&world) {
            let runs = Runs::default();
            let service = cached(&layer, &runs, |request, run| async move {
                let body = if request.method() == "HEAD" {
                    String::new()
                } else {
                    format!("run {run}")
                };
                with(&[("cache-control", "max-age=60")], body)
            });
            assert_eq!(service.ask(request("HEAD", "/", &[])).await.text(), "");
            assert_eq!(service.get("/").await.text(), "run 2");
            assert_eq!(
                service
                    .ask(request("HEAD", "/", &[]))
                    .await
                    .header("content-length"),
                Some("5")
            );
            assert_eq!(runs.count(), 2);
        }
    }
}

#[tokio::test]
async fn parts_are_not_stored_as_wholes() {
    for world in World::both() {
        for layer in modes(&world) {
            let service = cached(&layer, &Runs::default(), |request, _| async move {
                let range = request.headers().contains_key("range");
                let (status, body) = if range { (206, "01") } else { (200, "0123") };
                let mut response = with(&[("cache-control", "max-age=60")], body);
                *response.status_mut() = status.try_into().unwrap();
                if range {
                    response
                        .headers_mut()
                        .insert("content-range", "bytes 0-1/4".parse().unwrap());
                }
                response
            });
            let part = service.get_with("/", &[("range", "bytes=0-1")]).await;
            assert_eq!((part.status, part.text()), (206, "01"));
            assert_eq!(service.get("/").await.text(), "0123");
            assert!(
                service
                    .get_with("/", &[("range", "bytes=0-1")])
                    .await
                    .is_hit()
            );
        }
    }
}

#[tokio::test]
async fn bodies_over_the_limit_pass_through() {
    for world in World::both() {
        for told in [true, false] {
            for layer in modes(&world) {
                let layer = layer.max_body(10).key_prefix(format!("{told}"));
                let service = layer_of_pieces(&layer, told);
                for _ in 0..2 {
                    let response = tower::ServiceExt::oneshot(service.clone(), get("/", &[]))
                        .await
                        .unwrap();
                    let got = crate::support::Got::from(response).await;
                    assert_eq!((got.status, got.body.len()), (200, 40));
                    assert!(!got.is_hit());
                }
            }
        }
    }
}

/// Forty bytes in ten frames, with or without a length.
fn layer_of_pieces(
    layer: &CacheResponse,
    told: bool,
) -> impl tower::Service<
    http::Request<crate::support::Nothing>,
    Response = Response<impl http_body::Body<Data = bytes::Bytes, Error: std::fmt::Debug>>,
    Error = std::convert::Infallible,
> + Clone {
    use http_body::Frame;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    struct Pieces(VecDeque<&'static str>, bool);
    impl http_body::Body for Pieces {
        type Data = bytes::Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<bytes::Bytes>, std::io::Error>>> {
            let piece = self.0.pop_front();
            Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
        }
        fn size_hint(&self) -> http_body::SizeHint {
            match self.1 {
                true => http_body::SizeHint::with_exact(self.0.len() as u64 * 4),
                false => http_body::SizeHint::default(),
            }
        }
    }
    tower::Layer::layer(
        layer,
        tower::service_fn(
            move |_: http::Request<crate::support::Nothing>| async move {
                let body = Pieces(vec!["abcd"; 10].into(), told);
                let response = Response::builder()
                    .header("cache-control", "max-age=60")
                    .body(body);
                Ok(response.unwrap())
            },
        ),
    )
}

#[tokio::test]
async fn a_content_length_that_does_not_hold_is_not_stored() {
    assert_never_stored(&[("cache-control", "max-age=60"), ("content-length", "99")]).await;
}

#[tokio::test]
async fn encodings_keep_their_label() {
    for (world, remote) in [(World::memory(), None), {
        let (world, remote) = World::remote();
        (world, Some(remote))
    }] {
        for layer in modes(&world) {
            let service = cached(&layer, &Runs::default(), |request, _| async move {
                let gzip = request.headers().contains_key("accept-encoding");
                let coded: &[(&str, &str)] = &[
                    ("vary", "accept-encoding"),
                    ("cache-control", "max-age=60"),
                    ("content-encoding", "gzip"),
                ];
                with(
                    &coded[..if gzip { 3 } else { 2 }],
                    if gzip { "\x1f.." } else { "plain" },
                )
            });
            for _ in 0..2 {
                let coded = service.get_with("/", &[("accept-encoding", "gzip")]).await;
                assert_eq!(
                    (coded.text(), coded.header("content-encoding")),
                    ("\x1f..", Some("gzip"))
                );
                let plain = service.get("/").await;
                assert_eq!(
                    (plain.text(), plain.header("content-encoding")),
                    ("plain", None)
                );
            }
            // The original knows of neither: under the key it would find it, there is nothing.
            if let Some(remote) = &remote {
                assert!(remote.json("t:/:").await.is_none() && remote.json("h:/:").await.is_none());
            }
        }
    }
}

#[tokio::test]
async fn hop_by_hop_headers_are_not_stored() {
    for world in World::both() {
        let headers = &[
            ("connection", "x-hop, keep-alive"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("proxy-authenticate", "Basic"),
            ("upgrade", "h2c"),
            ("x-end", "2"),
            ("x-end", "3"),
        ];
        let service = constant(&world.timed(60), &Runs::default(), headers);
        service.get("/").await;
        let hit = service.get("/").await;
        for name in [
            "connection",
            "x-hop",
            "keep-alive",
            "te",
            "proxy-authenticate",
            "upgrade",
        ] {
            assert_eq!(hit.header(name), None, "{name}");
        }
        let all: Vec<_> = hit.headers.get_all("x-end").iter().collect();
        assert_eq!(all, ["2", "3"]);
    }
}

#[tokio::test]
async fn abuse_of_headers_and_queries_does_no_harm() {
    for world in World::both() {
        let runs = Runs::default();
        let layer = world.timed(60).vary_on([http::header::ACCEPT_LANGUAGE]);
        let service = cached(&layer, &runs, |request, _| async move {
            let said = request
                .headers()
                .get("accept-language")
                .map(|said| said.as_bytes().to_vec());
            with(&[("vary", "x-any")], format!("{} {said:?}", request.uri()))
        });
        let long = format!("/?{}", "x".repeat(10_000));
        for _ in 0..2 {
            assert_eq!(
                service.get(&long).await.how(),
                "nori-cache; fwd=bypass; detail=key-too-long"
            );
        }
        let bytes = |bytes: &'static [u8]| {
            let mut request = get("/", &[]);
            let value = http::HeaderValue::from_bytes(bytes).unwrap();
            request.headers_mut().insert("accept-language", value);
            request
        };
        let mut answers = std::collections::HashSet::new();
        for request in [
            bytes(b"\xff\xfe"),
            bytes(b"\xff"),
            bytes(b"\xc3\xbf"),
            get("/?a=%00", &[]),
            get("/?a=1&a=2", &[]),
            get("/?a=2&a=1", &[]),
            get("/?a=1", &[]),
            get("/?%61=1", &[]),
            get("/%2f", &[]),
            get("//", &[]),
        ] {
            let first = service.ask(request.clone()).await;
            assert!(!first.is_hit());
            assert!(service.ask(request).await.is_hit());
            answers.insert(first.body);
        }
        assert_eq!(answers.len(), 10);
    }
}

#[tokio::test]
async fn poisoned_and_truncated_entries_are_replaced() {
    let (world, remote) = World::remote();
    let good = constant(
        &world.timed(60),
        &Runs::default(),
        &[("content-type", "text/plain")],
    );
    good.get("/").await;
    let entry = remote.json("view:/:").await.unwrap().to_string();
    for poison in poisons(&entry) {
        let runs = Runs::default();
        let service = constant(&world.timed(60), &runs, &[]);
        remote.put("view:/:", &poison).await;
        remote.put("#variants:view:/:", &poison).await;
        let got = service.get("/").await;
        assert_eq!((got.status, runs.count()), (200, 1), "{poison}");
        assert!(service.get("/").await.is_hit(), "{poison}");
    }
}

#[tokio::test]
async fn a_backend_that_is_down_fails_no_request() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[]);
    service.get("/").await;
    remote.down.store(true, SeqCst);
    let got = service.get("/").await;
    assert_eq!((got.status, got.text()), (200, "run 2"));
    assert_eq!(
        got.how(),
        "nori-cache; fwd=uri-miss; fwd-status=200; detail=backend-down"
    );
    assert!(layer.stats().backend_errors >= 2);
    // Coalescing still protects the handler.
    let asks: Vec<_> = (0..50).map(|_| service.get("/")).collect();
    let all = join_all(asks).await;
    assert!(all.iter().all(|got| got.text() == "run 3"));
    remote.down.store(false, SeqCst);
    assert!(service.get("/").await.is_hit());
}

async fn join_all<F: Future<Output: Send + 'static> + Send>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().map(Option::unwrap).collect()
}
