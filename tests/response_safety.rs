//! How caches in front of applications fail, each a test; in both modes, on memory and on a store that keeps JSON.

#![cfg(feature = "response")]

mod response;

use http::Response;
use http_body_util::Full;
use nori_cache::response::CacheResponse;
use response::{Cached, Runs, World, cached, constant, get, request, with};
use std::sync::atomic::Ordering::SeqCst;

/// Both modes; the handlers of the second must say how long.
fn modes(world: &World) -> [CacheResponse; 2] {
    [
        world.timed(60).key_prefix("t"),
        world.by_headers().key_prefix("h"),
    ]
}

type Headers = &'static [(&'static str, &'static str)];

async fn assert_never_stored(headers: Headers) {
    for world in World::both() {
        for layer in modes(&world) {
            let runs = Runs::default();
            let service = constant(&layer, &runs, headers);
            for run in 1..4 {
                let got = service.get("/").await;
                assert_eq!(got.text(), format!("run {run}"), "{headers:?}");
                for (name, value) in headers {
                    let all: Vec<_> = got.headers.get_all(*name).iter().collect();
                    assert!(all.iter().any(|other| other == value), "{headers:?}");
                }
            }
        }
    }
}

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
                    let got = response::Got::from(response).await;
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
    http::Request<()>,
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
        tower::service_fn(move |_: http::Request<()>| async move {
            let body = Pieces(vec!["abcd"; 10].into(), told);
            let response = Response::builder()
                .header("cache-control", "max-age=60")
                .body(body);
            Ok(response.unwrap())
        }),
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
    let mut poisons: Vec<String> = (0..entry.len())
        .step_by(7)
        .map(|end| entry[..end].to_owned())
        .collect();
    for (from, to) in [
        ("200", "99"),
        ("200", "9999"),
        ("200", "101"),
        ("200", "\"200\""),
        ("\"content-type\",\"text", "\"content-type\",\"\\n"),
        ("\"length\":5", "\"length\":6"),
        ("\"born\":", "\"born\":-"),
        ("\"fresh\":60000", "\"fresh\":99999999999999999999"),
        ("\"headers\":[", "\"headers\":[7,"),
        ("cnVuIDE=", "%%%"),
        ("\"vary\":[]", "\"vary\":[[\"\",1]]"),
    ] {
        let poison = entry.replacen(from, to, 1);
        assert_ne!(poison, entry, "{from}");
        poisons.push(poison);
    }
    poisons.extend([
        "null".into(),
        "[]".into(),
        "{}".into(),
        "7".into(),
        "\"\"".into(),
        "[".repeat(5000),
    ]);
    for poison in poisons {
        let runs = Runs::default();
        let service = constant(&world.timed(60), &runs, &[]);
        remote.put("view:/:", &poison).await;
        remote.put("view:/::variants", &poison).await;
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
