//! Several processes on one Redis: each a layer with a connection, and a clock, of its own.

use crate::support::loopback::Server as Http;
use crate::support::real::backend;
use crate::support::real::server::Server;
use crate::support::{Cached, Runs, cached, settled, with};
use axum::Router;
use axum::routing::get;
use nori_cache::response::CacheResponse;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// All are behind one name.
const HOST: [(&str, &str); 1] = [("host", "shop.example")];
const MINUTE: Duration = Duration::from_secs(60);

fn process(redis: &Server) -> CacheResponse {
    let layer = CacheResponse::ttl(MINUTE).backend(backend(&redis.url(), "cache:"));
    crate::support::watch(&layer);
    layer
}

#[tokio::test]
async fn one_run_for_each_process_and_then_none() {
    let redis = Server::start();
    let runs = Runs::default();
    let gate = std::sync::Arc::new(Semaphore::new(0));
    let app = |layer: CacheResponse| {
        let (runs, gate) = (runs.clone(), gate.clone());
        let handler = move || async move {
            let run = runs.add();
            // All have missed by then.
            gate.acquire().await.unwrap().forget();
            format!("run {run}")
        };
        Router::new().route("/", get(handler).layer(layer))
    };
    let mut asking = JoinSet::new();
    let processes = [process(&redis), process(&redis), process(&redis)];
    for layer in &processes {
        let http = Http::start(app(layer.clone())).await;
        for _ in 0..50 {
            let http = http.clone();
            asking.spawn(async move { http.ask_now("GET", "/", &HOST).await });
        }
    }
    let waiting = || processes.iter().all(|layer| layer.stats().misses == 1);
    while !waiting() || runs.count() < 3 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(100);
    while let Some(got) = asking.join_next().await {
        let got = got.unwrap();
        assert!(got.text().starts_with("run "), "{}", got.how());
    }
    settled().await;
    assert_eq!(runs.count(), 3);
    // What is stored is one of them, and all have the same; so does a process that has just started.
    let mut texts = std::collections::HashSet::new();
    for layer in processes.iter().cloned().chain([process(&redis)]) {
        let http = Http::start(app(layer)).await;
        let got = http.ask("GET", "/", &HOST).await;
        assert!(got.is_hit());
        texts.insert(got.body);
    }
    assert_eq!(texts.len(), 1);
    assert_eq!(runs.count(), 3);
}

/// What one process purges is gone for the others.
#[tokio::test]
async fn purges_hold_in_all_processes() {
    let redis = Server::start();
    let (here, there) = (process(&redis), process(&redis));
    for vary in ["", "accept"] {
        for purge in ["key", "prefix", "tag"] {
            let runs = Runs::default();
            let serve = |layer: &CacheResponse| {
                let service = cached(layer, &runs, move |_, run| async move {
                    with(
                        &[("cache-tag", "a, t"), ("vary", vary)],
                        format!("run {run}"),
                    )
                });
                let other = cached(layer, &Runs::default(), |_, _| async { with(&[], "other") });
                (service, other)
            };
            let ((ours, other), (theirs, _)) = (serve(&here), serve(&there));
            other.get("/other").await;
            for accept in ["x", "y"] {
                ours.get_with("/page", &[("accept", accept)]).await;
                assert!(
                    theirs
                        .get_with("/page", &[("accept", accept)])
                        .await
                        .is_hit()
                );
            }
            let before = runs.count();
            match purge {
                "key" => assert!(there.purge_key("view:/page:").await.unwrap()),
                "prefix" => there.purge_prefix("view:/pa").await.unwrap(),
                _ => there.purge_tag("t").await.unwrap(),
            }
            for service in [&ours, &theirs] {
                for accept in ["x", "y"] {
                    let got = service.get_with("/page", &[("accept", accept)]).await;
                    let run: usize = got.text()[4..].parse().unwrap();
                    assert!(run > before, "{purge} {vary:?}: {}", got.how());
                }
            }
            assert!(other.get("/other").await.is_hit(), "{purge}");
            here.purge_key("view:/page:").await.unwrap();
        }
    }
}

/// A handler was started here before a purge there: its response reaches its client, and nobody else.
#[tokio::test]
async fn a_purge_wins_over_a_handler_that_runs_elsewhere() {
    let redis = Server::start();
    let (here, there) = (process(&redis), process(&redis));
    for purge in ["key", "prefix", "tag"] {
        let runs = Runs::default();
        let gate = std::sync::Arc::new(Semaphore::new(0));
        let held = gate.clone();
        let service = cached(&here, &runs, move |_, run| {
            let held = held.clone();
            async move {
                if run == 1 {
                    held.acquire().await.unwrap().forget();
                }
                with(&[("cache-tag", "t")], format!("run {run}"))
            }
        });
        let running = tokio::spawn({
            let service = service.clone();
            async move { service.get("/").await }
        });
        while runs.count() == 0 {
            tokio::task::yield_now().await;
        }
        match purge {
            "key" => assert!(!there.purge_key("view:/:").await.unwrap()),
            "prefix" => there.purge_prefix("view:/").await.unwrap(),
            _ => there.purge_tag("t").await.unwrap(),
        }
        gate.add_permits(1);
        assert_eq!(running.await.unwrap().text(), "run 1");
        let after = service.get("/").await;
        assert_eq!(after.text(), "run 2", "{purge}");
        there.purge_key("view:/:").await.unwrap();
    }
}
