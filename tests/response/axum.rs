//! Layers anywhere in an axum application keep its routes apart, without a word about it.

use crate::support::loopback::Server;
use crate::support::{Got, World, with};
use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, Request};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use http::Uri;
use http_body_util::Limited;
use nori_cache::response::CacheResponse;
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::timeout;
use tower::{Layer, ServiceBuilder, ServiceExt};

/// Answers with what only the whole path tells.
async fn whole(uri: OriginalUri) -> String {
    format!("of {}", uri.path())
}

/// Each path is answered with what is its own, from the handler and then from the cache, under the wire format's key.
async fn assert_apart(world: &World, app: Router, layer: &CacheResponse, paths: &[&str]) {
    let server = Server::start(app).await;
    for hit in [false, true] {
        for path in paths {
            let got = server.get(path).await;
            assert_eq!(got.text(), format!("of {path}"), "{}", got.how());
            assert_eq!(got.is_hit(), hit, "{path}: {}", got.how());
        }
    }
    for path in paths {
        let stored = world.backend.get_value(&format!("view:{path}:")).await;
        assert!(stored.unwrap().is_some(), "{path}");
    }
    assert_eq!(layer.stats().hits, paths.len() as u64);
}

#[tokio::test]
async fn routes_of_the_same_name_in_nested_routers() {
    for world in World::both() {
        let layer = world.timed(60);
        let inner = || Router::new().route("/{id}", get(whole).layer(layer.clone()));
        let app = Router::new()
            .nest("/users", inner())
            .nest("/orders", inner())
            .nest("/api", Router::new().nest("/users", inner()));
        let paths = ["/users/1", "/orders/1", "/api/users/1", "/api/users/2"];
        assert_apart(&world, app, &layer, &paths).await;
    }
}

#[tokio::test]
async fn one_router_nested_under_a_parameter() {
    for world in World::both() {
        let layer = world.timed(60);
        let tenants = Router::new().route("/list", get(whole).layer(layer.clone()));
        let app = Router::new().nest("/tenants/{tenant}", tenants);
        let paths = ["/tenants/a/list", "/tenants/b/list"];
        assert_apart(&world, app, &layer, &paths).await;
    }
}

#[tokio::test]
async fn layers_of_nested_routers_and_of_their_routes() {
    for world in World::both() {
        let layer = world.timed(60);
        let inner = || {
            let routes = Router::new()
                .route("/", get(whole))
                .route("/list", get(whole));
            [
                routes.clone().layer(layer.clone()),
                routes.route_layer(layer.clone()),
            ]
        };
        let [all, routes] = inner();
        let [deep_all, deep_routes] = inner();
        let app = Router::new()
            .nest("/a", all)
            .nest("/b", routes)
            .nest("/c", Router::new().nest("/a", deep_all))
            .nest("/d", Router::new().nest("/b", deep_routes));
        let paths = [
            "/a",
            "/a/list",
            "/b",
            "/b/list",
            "/c/a",
            "/c/a/list",
            "/d/b",
            "/d/b/list",
        ];
        assert_apart(&world, app, &layer, &paths).await;
    }
}

/// The inner one must not wait for the handler that the outer one has started: for itself.
#[tokio::test]
async fn one_layer_on_a_router_and_on_its_route() {
    for world in World::both() {
        let layer = world.timed(60);
        let route = get(whole).layer(layer.clone());
        let app = Router::new().route("/page", route).layer(layer.clone());
        let server = Server::start(app).await;
        let patience = Duration::from_secs(60);
        let got = timeout(patience, server.get("/page")).await;
        let got = got.expect("the inner layer does not wait");
        assert_eq!(got.text(), "of /page");
        let inner = got.headers["cache-status"].to_str().unwrap();
        assert!(inner.contains("detail=within"), "{inner}");
        assert!(server.get("/page").await.is_hit());
        assert_eq!(layer.stats().misses, 1);
    }
}

#[tokio::test]
async fn fallbacks_of_nested_routers() {
    for world in World::both() {
        let layer = world.timed(60);
        let inner = || Router::new().fallback(whole).layer(layer.clone());
        let app = Router::new()
            .nest("/a", inner())
            .nest("/b", inner())
            .fallback(get(whole).layer(layer.clone()));
        let paths = ["/a/x", "/b/x", "/x", "/c/x"];
        assert_apart(&world, app, &layer, &paths).await;
    }
}

#[tokio::test]
async fn nested_services_that_are_no_routers() {
    for world in World::both() {
        let layer = world.timed(60);
        let inner = || {
            let handler = tower::service_fn(|request: Request| async move {
                let whole = request.extensions().get::<OriginalUri>().unwrap();
                Ok::<_, Infallible>(with(&[], format!("of {}", whole.path())))
            });
            ServiceBuilder::new().layer(layer.clone()).service(handler)
        };
        let app = Router::new()
            .nest_service("/a", inner())
            .nest_service("/b", inner());
        assert_apart(&world, app, &layer, &["/a/x", "/b/x"]).await;
    }
}

#[tokio::test]
async fn a_layer_around_the_whole_application() {
    for world in World::both() {
        let layer = world.timed(60);
        let inner = || Router::new().route("/list", get(whole));
        let app = Router::new().nest("/a", inner()).nest("/b", inner());
        let around = ServiceBuilder::new().layer(layer.clone()).service(app);
        let app = Router::new().fallback_service(around);
        assert_apart(&world, app, &layer, &["/a/list", "/b/list"]).await;
    }
}

/// Where the handler is sent to another path than the client named, both count.
#[tokio::test]
async fn what_a_middleware_rewrites_stays_apart() {
    for world in World::both() {
        let layer = world.timed(60);
        let to_tenant = |mut request: Request, next: Next| async move {
            let tenant = request.headers()["x-tenant"].to_str().unwrap();
            let rewritten = format!("/{tenant}{}", request.uri());
            *request.uri_mut() = rewritten.parse::<Uri>().unwrap();
            next.run(request).await
        };
        let seen = |uri: Uri| async move { uri.to_string() };
        let app = Router::new()
            .route("/page", get(seen))
            .layer(ServiceBuilder::new().layer(from_fn(to_tenant)).layer(layer));
        let server = Server::start(app).await;
        for hit in [false, true] {
            for tenant in ["a", "b"] {
                let got = server
                    .ask("GET", "/page?n=1", &[("x-tenant", tenant)])
                    .await;
                assert_eq!(got.text(), format!("/{tenant}/page?n=1"));
                assert_eq!(got.is_hit(), hit, "{}", got.how());
            }
        }
    }
}

/// The original's entries have the whole path too.
#[tokio::test]
async fn entries_of_the_original_are_found_under_nested_routers() {
    let (world, remote) = World::remote();
    let entry = r#"{"body_b64": "aG9sYQ==", "status_code": 200, "media_type": "text/plain"}"#;
    remote.put("view:/a/list:", entry).await;
    let inner = || Router::new().route("/list", get(whole).layer(world.timed(60)));
    let server = Server::start(Router::new().nest("/a", inner()).nest("/b", inner())).await;
    assert_eq!(server.get("/a/list").await.text(), "hola");
    assert_eq!(server.get("/b/list").await.text(), "of /b/list");
}

#[tokio::test]
async fn parameters_of_nested_routers_are_in_the_key() {
    let world = World::memory();
    let layer = world.timed(60).key_prefix("p").allow_query(["page"]);
    let list = |Path(path): Path<HashMap<String, String>>| async move { format!("{path:?}") };
    let inner = Router::new().route("/{id}", get(list).layer(layer));
    let server = Server::start(Router::new().nest("/t/{tenant}", inner)).await;
    server.get("/t/a/1?page=2&x=3").await;
    let stored = world.backend.get_value("p:/t/a/1:page=2").await.unwrap();
    assert!(stored.is_some());
    assert!(server.get("/t/a/1?page=2&x=4").await.is_hit());
    assert!(!server.get("/t/b/1?page=2").await.is_hit());
}

/// As under another axum than the one that this crate knows: its routers keep the whole path where it cannot be found.
#[tokio::test]
async fn without_the_whole_path_nothing_is_cached() {
    let world = World::memory();
    let layer = world.timed(60);
    let service = layer.layer(tower::service_fn(|_: http::Request<Limited<Body>>| async {
        Ok::<_, Infallible>(with(&[], "an answer"))
    }));
    for _ in 0..2 {
        let request = http::Request::get("/list");
        let request = request.body(Limited::new(Body::empty(), 9)).unwrap();
        let got = Got::from(service.clone().oneshot(request).await.unwrap()).await;
        assert_eq!(
            got.how(),
            "nori-cache; fwd=bypass; detail=original-uri-unknown"
        );
    }
    assert_eq!(layer.stats().bypassed, 2);
}
