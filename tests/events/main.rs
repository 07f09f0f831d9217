//! Each request that is handled is one event `answered`, which says how; each read of what cannot be decoded one event
//! `undecodable`. Calls on Redis, loads and attempts to connect have spans. Whether anybody listens is known for the whole
//! process, so these tests have one of their own.

#![cfg(all(feature = "response", feature = "tracing"))]

#[path = "../support/listening.rs"]
mod listening;
#[cfg(feature = "redis")]
#[path = "../support/scripted.rs"]
mod scripted;
#[cfg(feature = "redis")]
mod spans;
#[path = "../support/response/mod.rs"]
mod support;
#[cfg(feature = "redis")]
#[path = "../support/watchdog.rs"]
mod watchdog;

use http::{Request, StatusCode};
use listening::Listening;
use nori_cache::response::CacheResponse;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use support::{Cached, Got, Nothing, Runs, World, cached, constant, get, request, with};
use tokio::time::sleep;
use tower::{Layer, ServiceExt};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// What was told on this thread, as texts.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("nori_cache::")
    }
    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = *event.metadata().level();
        let text = match level {
            Level::WARN => format!("warning: {}", text.message),
            _ => format!("{}:{}", text.message, text.fields),
        };
        self.0.lock().unwrap().push(text);
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields += &format!(" {name}={value:?}"),
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl Told {
    fn listen() -> (Self, Listening) {
        let told = Self::default();
        let listening = listening::listen(told.clone());
        (told, listening)
    }

    /// Since the last time.
    fn all(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn answers(&self) -> Vec<String> {
        let all = self.all().into_iter();
        let answers = all.filter_map(|text| Some(text.strip_prefix("answered: ")?.to_owned()));
        answers.collect()
    }
}

const HIT: &str = "how=hit detail= key=view:/: backend_down=false";
const MISS: &str = "how=miss detail= key=view:/: backend_down=false";

#[tokio::test]
async fn misses_hits_and_what_is_stored() {
    for world in World::both() {
        let (told, _guard) = Told::listen();
        let service = constant(&world.timed(60), &Runs::default(), &[]);
        service.get("/").await;
        // In which order depends on whether the store takes waiting.
        let mut all = told.all();
        all.sort();
        let stored = "stored: key=view:/: bytes=5";
        assert_eq!(all, [format!("answered: {MISS}").as_str(), stored]);
        for _ in 0..2 {
            service.get("/").await;
            assert_eq!(told.all(), [format!("answered: {HIT}")]);
        }
        for headers in [("range", "bytes=0-1"), ("if-modified-since", "x")] {
            service.get_with("/", &[headers]).await;
            assert_eq!(told.all(), [format!("answered: {HIT}")]);
        }
        service.ask(request("HEAD", "/other", &[])).await;
        let head = "answered: how=miss detail=head key=view:/other: backend_down=false";
        assert_eq!(told.all(), [head]);
    }
}

#[tokio::test(start_paused = true)]
async fn followers() {
    for world in World::both() {
        let (told, _guard) = Told::listen();
        let service = cached(&world.timed(60), &Runs::default(), |_, _| async {
            sleep(Duration::from_millis(10)).await;
            with(&[], "an answer")
        });
        tokio::join!(service.get("/"), service.get("/"));
        let collapsed = "how=collapsed detail= key=view:/: backend_down=false";
        let mut answers = told.answers();
        answers.sort();
        assert_eq!(answers, [collapsed, MISS]);
    }
}

#[tokio::test]
async fn stale_entries() {
    for world in World::both() {
        let (told, _guard) = Told::listen();
        let layer = world
            .timed(60)
            .stale_while_revalidate(Duration::from_secs(60));
        let service = constant(&layer, &Runs::default(), &[]);
        service.get("/").await;
        world.advance(61);
        told.all();
        service.get("/").await;
        // The handler that replaces it answers nobody.
        let stale = "how=stale detail= key=view:/: backend_down=false";
        let all = told.all();
        assert_eq!(
            all,
            [
                format!("answered: {stale}"),
                "stored: key=view:/: bytes=5".into()
            ]
        );
        service.get("/").await;
        assert_eq!(told.answers(), [HIT]);
    }
}

#[tokio::test]
async fn stale_entries_in_the_place_of_errors() {
    for world in World::both() {
        let (told, _guard) = Told::listen();
        let layer = world.timed(60).stale_if_error(Duration::from_secs(60));
        let service = cached(&layer, &Runs::default(), |_, run| async move {
            let mut response = with(&[], "an answer");
            if run > 1 {
                *response.status_mut() = StatusCode::BAD_GATEWAY;
            }
            response
        });
        service.get("/").await;
        world.advance(61);
        told.all();
        service.get("/").await;
        let instead = "how=stale-if-error detail= key=view:/: backend_down=false";
        assert_eq!(told.answers(), [instead]);
    }
}

#[tokio::test]
async fn revalidated_entries() {
    for world in World::both() {
        let (told, _guard) = Told::listen();
        let service = cached(
            &world.by_headers(),
            &Runs::default(),
            |request, _| async move {
                let headers = [("etag", "\"e\""), ("cache-control", "max-age=60")];
                let mut response = with(&headers, "an answer");
                if request.headers().contains_key("if-none-match") {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                }
                response
            },
        );
        service.get("/").await;
        assert_eq!(told.answers(), [MISS]);
        world.advance(61);
        service.get("/").await;
        let revalidated = "how=revalidated detail= key=view:/: backend_down=false";
        assert_eq!(told.answers(), [revalidated]);
        service
            .get_with("/", &[("cache-control", "only-if-cached, min-fresh=99")])
            .await;
        let required = "how=only-if-cached detail= key=view:/: backend_down=false";
        assert_eq!(told.answers(), [required]);
    }
}

#[tokio::test]
async fn what_may_not_be_stored() {
    for world in World::both() {
        let (told, _guard) = Told::listen();
        let private = &[("cache-control", "private")];
        let service = constant(&world.timed(60), &Runs::default(), private);
        // Known to be uncacheable, the second time.
        for _ in 0..2 {
            service.get("/").await;
            let refused = "not stored: key=view:/: detail=private";
            let answer = "answered: how=uncacheable detail=private key=view:/: backend_down=false";
            assert_eq!(told.all(), [refused, answer]);
        }
    }
}

#[tokio::test]
async fn what_passes_by() {
    for world in World::both() {
        let (told, _guard) = Told::listen();
        let layer = world
            .timed(60)
            .bypass_if(|request| request.headers.contains_key("x-preview"));
        let service = constant(&layer, &Runs::default(), &[]);
        service.get_with("/a", &[("x-preview", "1")]).await;
        assert_eq!(told.all(), ["answered: how=bypass detail=hook path=/a"]);
        service.get_with("/a", &[("if-match", "\"e\"")]).await;
        let precondition = "answered: how=bypass detail=precondition path=/a";
        assert_eq!(told.all(), [precondition]);
        for layer in support::modes(&world) {
            let service = constant(&layer, &Runs::default(), &[]);
            for method in ["POST", "OPTIONS"] {
                service.ask(request(method, "/a", &[])).await;
                assert_eq!(told.all(), ["answered: how=bypass detail=method path=/a"]);
            }
        }
    }
}

/// An axum that is not this crate's.
mod axum {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// The body of its requests, which is empty.
    #[derive(Default)]
    pub struct Body;

    impl http_body::Body for Body {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            Poll::Ready(None)
        }

        fn is_end_stream(&self) -> bool {
            true
        }
    }
}

#[tokio::test]
async fn an_axum_whose_paths_cannot_be_seen_is_warned_of_once() {
    let world = World::memory();
    let (told, _guard) = Told::listen();
    let layer = world.timed(60);
    let answer = |_: Request<axum::Body>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(support::Body::default()))
    };
    let ask = async |layer: &CacheResponse| {
        let service = layer.layer(tower::service_fn(answer));
        let request = Request::get("/a").body(axum::Body).unwrap();
        let response = service.oneshot(request).await.unwrap();
        let status = response.headers()["cache-status"].to_str().unwrap();
        assert_eq!(
            status,
            "nori-cache; fwd=bypass; detail=original-uri-unknown"
        );
    };
    let answered = "answered: how=bypass detail=original-uri-unknown path=/a";
    ask(&layer).await;
    let all = told.all();
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(
        all[0].starts_with("warning: nothing is cached: "),
        "{all:?}"
    );
    assert!(all[0].contains("`CacheResponse::original_uri`"), "{all:?}");
    assert_eq!(all[1], answered);
    // Neither again, nor by a clone of the layer.
    ask(&layer).await;
    ask(&layer.clone()).await;
    assert_eq!(told.all(), [answered, answered]);
    // Another layer tells it as well: it is on another route.
    ask(&world.timed(60)).await;
    assert_eq!(told.all().len(), 2);
    // A request that says where its path is needs no warning.
    let told_where = world.timed(60).original_uri::<Arc<http::Uri>>();
    let service = told_where.layer(tower::service_fn(answer));
    let mut request = Request::get("/a").body(axum::Body).unwrap();
    let whole = Arc::new(http::Uri::from_static("/whole/a"));
    request.extensions_mut().insert(whole);
    let response = service.oneshot(request).await.unwrap();
    let status = response.headers()["cache-status"].to_str().unwrap();
    assert!(status.contains("fwd=uri-miss"), "{status}");
    assert!(told.all().iter().all(|text| !text.starts_with("warning")));
}

#[tokio::test]
async fn a_backend_that_is_down() {
    let (world, remote) = World::remote();
    let (told, _guard) = Told::listen();
    let service = constant(&world.timed(60), &Runs::default(), &[]);
    remote.down.store(true, SeqCst);
    service.get("/").await;
    let warning = "warning: the cache's backend failed; the handler answers";
    let answer = "answered: how=miss detail= key=view:/: backend_down=true";
    // Looking, then storing.
    assert_eq!(told.all(), [warning, warning, answer]);
}

#[tokio::test]
async fn handlers_that_fail() {
    let world = World::memory();
    let (told, _guard) = Told::listen();
    let layer: CacheResponse = world.timed(60);
    let failing = layer.layer(tower::service_fn(|request: Request<Nothing>| async move {
        assert_eq!(request.uri().path(), "/", "a panic");
        Err::<http::Response<support::Body>, _>("an error")
    }));
    assert_eq!(
        failing.clone().oneshot(get("/", &[])).await.map(drop),
        Err("an error")
    );
    let failed = "how=failed detail=error key=view:/: backend_down=false";
    assert_eq!(told.answers(), [failed]);
    let panicking = tokio::spawn(failing.oneshot(get("/panic", &[])));
    assert!(panicking.await.map(drop).unwrap_err().is_panic());
    let failed = "how=failed detail=panic key=view:/panic: backend_down=false";
    assert_eq!(told.answers(), [failed]);
}

#[tokio::test]
async fn as_many_answers_as_requests() {
    for world in World::both() {
        for layer in support::modes(&world) {
            let (told, _guard) = Told::listen();
            let headers = &[("cache-control", "max-age=60"), ("vary", "accept")];
            let service = constant(&layer, &Runs::default(), headers);
            let mut asked = 0;
            for method in ["GET", "HEAD", "POST"] {
                for header in [
                    "accept",
                    "range",
                    "if-none-match",
                    "authorization",
                    "upgrade",
                ] {
                    for value in ["*", "bytes=0-1"] {
                        let asking = request(method, "/", &[(header, value)]);
                        let got: Got = service.ask(asking).await;
                        assert!(got.status < 500);
                        asked += 1;
                    }
                }
            }
            assert_eq!(told.answers().len(), asked);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_any_longer_is_told_when_it_is_given_up() {
    let second = Duration::from_secs(1);
    for world in World::both() {
        let (told, _guard) = Told::listen();
        for (max, detail) in [(0, "detached-limit"), (1, "detached-timeout")] {
            let layer = world.timed(60).max_detached(max).key_prefix(detail);
            let service = cached(&layer, &Runs::default(), |_, _| std::future::pending());
            let asked = tokio::time::timeout(second, service.get("/"));
            assert!(asked.await.is_err());
            sleep(61 * second).await;
            let want = format!("not stored: key={detail}:/: detail={detail}");
            assert_eq!(told.all(), [want]);
        }
    }
}

/// A body of one piece that has no end.
struct Unending(Option<String>);

impl http_body::Body for Unending {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        match self.0.take() {
            Some(piece) => Poll::Ready(Some(Ok(http_body::Frame::data(piece.into())))),
            None => Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_given_up_is_told_as_well() {
    let second = Duration::from_secs(1);
    for world in World::both() {
        let (told, _guard) = Told::listen();
        for (max, buffered, detail) in [
            (0, 100, "detached-limit"),
            (1, 100, "detached-timeout"),
            (1, 1, "buffers"),
        ] {
            let layer = world.timed(60).max_detached(max).key_prefix(detail);
            let layer = layer.max_buffered(buffered * 1000);
            let service = layer.layer(tower::service_fn(|_: Request<Nothing>| {
                let body = Unending(Some("x".repeat(2000)));
                std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(body)))
            }));
            let response = service.oneshot(get("/", &[])).await.unwrap();
            if detail != "buffers" {
                drop(response);
                sleep(61 * second).await;
            }
            sleep(second).await;
            let mut all = told.all();
            all.sort();
            assert_eq!(all.len(), 2, "{all:?}");
            assert_eq!(
                all[1],
                format!("not stored: key={detail}:/: detail={detail}")
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decoded() {
    use nori_cache::{CacheBackendExt, Codec, MemoryCacheBackend, Ttl};

    let (told, _guard) = Told::listen();
    let backend = MemoryCacheBackend::new(10);
    backend
        .set("secret key", "secret", Ttl::Never)
        .await
        .unwrap();
    assert_eq!(backend.get::<u64>("secret key").await.unwrap(), None);
    assert_eq!(
        told.all(),
        ["undecodable: operation=get why=malformed wanted=u64"]
    );
    let raw = backend.with_codec(&Codec::bytes());
    assert_eq!(
        raw.get_many::<String>(&["secret key"]).await.unwrap(),
        [None]
    );
    let foreign = "undecodable: operation=get_many why=foreign wanted=alloc::string::String";
    assert_eq!(told.all(), [foreign]);
    // Errors tell it themselves.
    assert!(backend.strict().get::<u64>("secret key").await.is_err());
    backend.set("secret key", 7, Ttl::Never).await.unwrap();
    assert_eq!(backend.get::<u64>("secret key").await.unwrap(), Some(7));
    assert!(told.all().is_empty());
    forged(&told).await;
}

#[cfg(feature = "encryption")]
async fn forged(told: &Told) {
    use nori_cache::{CacheBackend, CacheBackendExt, Codec, Keys, MemoryCacheBackend, Ttl};

    let codec = Codec::json().encrypted(Keys::new(1, &[7; 32]));
    let backend = MemoryCacheBackend::builder().codec(codec);
    let backend = backend.build().unwrap();
    backend.set("a", "secret", Ttl::Never).await.unwrap();
    let copied = backend.get_value("a").await.unwrap().unwrap();
    backend.set_value("b", copied, Ttl::Never).await.unwrap();
    assert_eq!(backend.get::<String>("b").await.unwrap(), None);
    assert_eq!(told.all(), ["warning: undecodable"]);
}

#[cfg(not(feature = "encryption"))]
async fn forged(_: &Told) {}
