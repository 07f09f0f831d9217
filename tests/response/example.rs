//! The example that the layer was asked for with, word for word, and what a reader expects of it.

use crate::support::loopback::Server;
use crate::support::{Runs, World};
use axum::Router;
use axum::routing::get;
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use http::request::Parts;
use nori_cache::response::CacheResponse;
use nori_cache::{MemoryCacheBackend, set_backend};
use std::sync::Arc;
use std::time::Duration;

fn tenant(request: &Parts) -> String {
    let tenant = request.headers.get("x-tenant");
    tenant.map_or(String::new(), |tenant| {
        tenant.to_str().unwrap_or("").to_owned()
    })
}

fn said(headers: &HeaderMap) -> String {
    let said = |name: &str| format!("{:?}", headers.get(name));
    said("x-tenant") + &said("accept-language") + &said("authorization")
}

async fn me(headers: HeaderMap) -> String {
    said(&headers)
}

#[allow(clippy::redundant_closure, reason = "as a user would write it")]
#[tokio::test]
async fn dashboards_reports_and_me() {
    set_backend(Arc::new(MemoryCacheBackend::new(1000)));
    let runs = Runs::default();
    let counted = || crate::support::loopback::counted(&runs);
    let (dashboard, monthly) = (counted(), counted());
    let app = Router::new()
        .route(
            "/dashboard",
            get(dashboard).layer(CacheResponse::ttl(Duration::from_secs(60))),
        )
        .route(
            "/reports/monthly",
            get(monthly).layer(CacheResponse::ttl(Duration::from_secs(120)).key_prefix("reports")),
        )
        .route(
            "/me",
            get(me).layer(
                CacheResponse::ttl(Duration::from_secs(60))
                    .key_fn(|req| tenant(req))
                    .vary_on([ACCEPT_LANGUAGE]),
            ),
        );
    let server = Server::start(app).await;
    for (path, text) in [("/dashboard", "run 1"), ("/reports/monthly", "run 2")] {
        for hit in [false, true] {
            let got = server.get(path).await;
            assert_eq!((got.text(), got.is_hit()), (text, hit), "{path}");
        }
    }
    for hit in [false, true] {
        for tenant in ["a", "b"] {
            for language in ["de", "es"] {
                let headers = [("x-tenant", tenant), ("accept-language", language)];
                let got = server.ask("GET", "/me", &headers).await;
                let own = format!("Some({tenant:?})Some({language:?})None");
                assert_eq!((got.text(), got.is_hit()), (&*own, hit));
            }
        }
    }
    // Who has said who they are gets an answer of their own, and is told why.
    for _ in 0..2 {
        for caller in ["ana", "bo"] {
            let headers = [("x-tenant", "a"), ("authorization", caller)];
            let got = server.ask("GET", "/me", &headers).await;
            assert!(got.text().contains(caller));
            assert!(
                got.how().ends_with("; detail=authorization"),
                "{}",
                got.how()
            );
        }
    }
}

/// Where the key function knows the caller, it can be said so.
#[tokio::test]
async fn me_for_callers_who_say_who_they_are() {
    for world in World::both() {
        let caller = |request: &Parts| {
            let said = request.headers.get("authorization");
            said.map_or(String::new(), |said| said.to_str().unwrap_or("").to_owned())
        };
        let layer = world.timed(60).key_fn(caller).authorized_by_key(true);
        let server = Server::start(Router::new().route("/me", get(me).layer(layer))).await;
        for hit in [false, true] {
            for caller in ["ana", "bo"] {
                let got = server.ask("GET", "/me", &[("authorization", caller)]).await;
                assert!(got.text().contains(caller));
                assert_eq!(got.is_hit(), hit, "{}", got.how());
            }
        }
    }
}

/// A key that has nothing of the caller in it cannot tell callers apart.
#[tokio::test]
async fn saying_that_the_key_knows_the_caller_does_not_make_it_so() {
    for world in World::both() {
        let layer = world.timed(60).authorized_by_key(true);
        let server = Server::start(Router::new().route("/me", get(me).layer(layer))).await;
        for _ in 0..2 {
            for caller in ["ana", "bo"] {
                let got = server.ask("GET", "/me", &[("authorization", caller)]).await;
                assert!(got.text().contains(caller), "{}", got.how());
            }
        }
    }
}
