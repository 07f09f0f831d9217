//! A real axum server on a loopback socket, and a real HTTP client.

use crate::support::loopback::{Server, counted};
use crate::support::{Runs, World, settled};
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn routes_and_routers_are_cached() {
    for world in World::both() {
        let runs = Runs::default();
        let route = Router::new().route("/one", get(counted(&runs)).layer(world.timed(60)));
        let router = Router::new()
            .route("/two", get(counted(&runs)).post(|| async { "changed" }))
            .layer(world.timed(60).key_prefix("router"));
        let server = Server::start(route.merge(router)).await;
        for path in ["/one", "/two"] {
            let first = server.get(path).await;
            assert!(!first.is_hit());
            let second = server.get(path).await;
            assert!(second.is_hit(), "{}", second.how());
            assert_eq!(first.body, second.body);
            assert_eq!(
                second.header("content-type"),
                Some("text/plain; charset=utf-8")
            );
            assert_eq!(second.header("content-length"), Some("5"));
            let head = server.ask("HEAD", path, &[]).await;
            assert_eq!(
                (head.status, head.header("content-length"), head.text()),
                (200, Some("5"), "")
            );
            let part = server.ask("GET", path, &[("range", "bytes=-1")]).await;
            assert_eq!((part.status, part.body), (206, first.body.slice(4..)));
        }
        assert_eq!(server.ask("POST", "/two", &[]).await.text(), "changed");
        assert_eq!(runs.count(), 2);
        assert_eq!(server.get("/missing").await.status, 404);
    }
}

#[tokio::test]
async fn bodies_come_byte_for_byte() {
    for world in World::both() {
        let app = Router::new()
            .route(
                "/{size}",
                get(|Path(size): Path<usize>| async move {
                    let body: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
                    Body::from(body).into_response()
                }),
            )
            .layer(world.timed(60));
        let server = Server::start(app).await;
        for (size, stored) in [
            (0, true),
            (1, true),
            (100_000, true),
            (2 << 20, true),
            ((2 << 20) + 1, false),
        ] {
            let path = format!("/{size}");
            let first = server.get(&path).await;
            let second = server.get(&path).await;
            assert_eq!(second.is_hit(), stored, "{size}");
            assert_eq!(first.body.len(), size);
            assert_eq!(first.body, second.body);
        }
    }
}

#[tokio::test]
async fn a_thousand_cold_requests_over_sockets_run_the_handler_once() {
    for world in World::both() {
        let runs = Runs::default();
        let counted = runs.clone();
        let slow = move || {
            let run = counted.add();
            async move {
                sleep(Duration::from_millis(700)).await;
                format!("run {run}")
            }
        };
        let layer = world.timed(60).patience(Duration::from_secs(60));
        let app = Router::new().route("/", get(slow).layer(layer));
        let server = Server::start(app).await;
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let server = server.clone();
                tokio::spawn(async move { server.get("/").await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap().text(), "run 1");
        }
        assert_eq!(runs.count(), 1);
    }
}

#[tokio::test]
async fn the_first_byte_is_not_delayed() {
    let world = World::memory();
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let pieces = Arc::new(Mutex::new(Some(Pieces(receiver))));
    let app = Router::new().route(
        "/",
        get(async move || Body::new(pieces.lock().unwrap().take().expect("it runs once")))
            .layer(world.timed(60)),
    );
    let server = Server::start(app).await;
    let uri = format!("http://{}/", server.address).parse().unwrap();
    sender.send("first".into()).await.unwrap();
    let first = async {
        let mut body = server.client.get(uri).await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "first");
        body
    };
    let patience = Duration::from_secs(60);
    let body = timeout(patience, first)
        .await
        .expect("the first piece comes alone");
    // It has come, and there is no more yet.
    sender.send("last".into()).await.unwrap();
    drop(sender);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "last");
    settled().await;
    assert_eq!(server.get("/").await.text(), "firstlast");
}

struct Pieces(tokio::sync::mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok(http_body::Frame::data(piece))))
    }
}

#[tokio::test]
async fn headers_govern_where_asked_to() {
    for world in World::both() {
        let runs = Runs::default();
        let handler = counted(&runs);
        let page = move || {
            let text = handler();
            async {
                (
                    [("cache-control", "max-age=60"), ("etag", "\"e\"")],
                    text.await,
                )
            }
        };
        let app = Router::new()
            .route("/", get(page))
            .route(
                "/private",
                get(|| async { ([("cache-control", "private")], "mine") }),
            )
            .route("/gone", post(|| async { StatusCode::NO_CONTENT }))
            .layer(world.by_headers());
        let server = Server::start(app).await;
        server.get("/").await;
        assert_eq!(server.get("/").await.text(), "run 1");
        assert_eq!(
            server
                .ask("GET", "/", &[("if-none-match", "\"e\"")])
                .await
                .status,
            304
        );
        server.get("/private").await;
        assert!(!server.get("/private").await.is_hit());
    }
}
