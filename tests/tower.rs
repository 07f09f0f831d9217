//! The feature `tower` without `axum`: other services are cached, and axum's routers are not, because their whole paths are not
//! known.

#![cfg(all(feature = "tower", not(feature = "axum")))]

#[path = "support/response/mod.rs"]
mod support;

use axum::Router;
use axum::extract::OriginalUri;
use axum::routing::get;
use support::loopback::{Server, counted};
use support::{Cached, Runs, World, constant};

#[tokio::test]
async fn other_services_are_cached() {
    for world in World::both() {
        let service = constant(&world.timed(60), &Runs::default(), &[]);
        service.get("/").await;
        assert!(service.get("/").await.is_hit());
    }
}

#[tokio::test]
async fn nothing_is_cached_where_a_path_may_have_been_shortened() {
    for world in World::both() {
        let runs = Runs::default();
        let list = || Router::new().route("/list", get(counted(&runs)).layer(world.timed(60)));
        let app = Router::new().nest("/a", list()).nest("/b", list());
        let server = Server::start(app).await;
        for (nth, path) in ["/a/list", "/b/list", "/a/list"].iter().enumerate() {
            let got = server.get(path).await;
            assert_eq!(got.text(), format!("run {}", nth + 1));
            assert_eq!(
                got.how(),
                "nori-cache; fwd=bypass; detail=original-uri-unknown"
            );
        }
    }
}

#[tokio::test]
async fn unless_it_is_said_where_the_whole_path_is() {
    for world in World::both() {
        let runs = Runs::default();
        let layer = world.timed(60).original_uri::<OriginalUri>();
        let list = || Router::new().route("/list", get(counted(&runs)).layer(layer.clone()));
        let app = Router::new().nest("/a", list()).nest("/b", list());
        let server = Server::start(app).await;
        for _ in 0..2 {
            assert_eq!(server.get("/a/list").await.text(), "run 1");
            assert_eq!(server.get("/b/list").await.text(), "run 2");
        }
    }
}
