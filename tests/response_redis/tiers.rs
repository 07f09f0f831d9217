//! Two tiers: responses from this process's memory, which other processes replace and purge.

use crate::support::real::server::Server;
use crate::support::{Cached, Runs, cached, settled, watch, with};
use nori_cache::response::CacheResponse;
use nori_cache::{
    CacheBackend, CacheBackendExt, Coherence, LoadOptions, RedisCacheBackend, TieredCacheBackend,
};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn process(redis: &Server, coherence: Coherence) -> (Arc<TieredCacheBackend>, CacheResponse) {
    // Budgets that hold on a busy machine, too.
    // Fail-safe is for loads alone: no response is one.
    let options = LoadOptions::new().fail_safe(HOUR);
    let far = RedisCacheBackend::builder().url(redis.url()).timeout(HOUR);
    let far = far.load_options(options);
    let tiers = TieredCacheBackend::builder().redis(far).near_ttl(HOUR);
    let tiers = tiers.max_staleness(HOUR).coherence(coherence);
    let backend = Arc::new(tiers.build().unwrap());
    let layer = CacheResponse::ttl(HOUR).backend(backend.clone());
    watch(&layer);
    (backend, layer)
}

/// A hit asks nobody. What another process purges is gone here, once this one has caught up.
#[tokio::test]
async fn responses_from_memory_and_purges_by_others() {
    for coherence in [Coherence::Tracking, Coherence::Broadcast] {
        let redis = Server::start();
        let (near, here) = process(&redis, coherence);
        let (_, there) = process(&redis, coherence);
        for vary in ["", "accept"] {
            for purge in ["key", "prefix", "tag"] {
                let runs = Runs::default();
                let service = cached(&here, &runs, move |_, run| async move {
                    let headers = [("cache-tag", "a, t"), ("vary", vary)];
                    with(&headers, format!("run {run}"))
                });
                let get = async || service.get_with("/page", &[("accept", "x")]).await;
                get().await;
                settled().await;
                // Of what was written only just now there are no copies yet.
                while near.tier_stats().far_reads > {
                    let before = near.tier_stats().far_reads;
                    assert!(get().await.is_hit());
                    before
                } {}
                let before = near.tier_stats();
                for _ in 0..20 {
                    let got = get().await;
                    assert!(
                        got.is_hit() && got.text().starts_with("run "),
                        "{}",
                        got.how()
                    );
                }
                let after = near.tier_stats();
                assert_eq!(after.far_reads, before.far_reads, "{purge} {vary:?}");
                assert!(after.near_hits > before.near_hits);
                let ran = runs.count();
                match purge {
                    "key" => assert!(there.purge_key("view:/page:").await.unwrap()),
                    "prefix" => there.purge_prefix("view:/pa").await.unwrap(),
                    _ => there.purge_tag("t").await.unwrap(),
                }
                near.ttl("whatever").await.unwrap();
                let got = get().await;
                assert!(!got.is_hit(), "{purge} {vary:?}: {}", got.how());
                assert_eq!(runs.count(), ran + 1);
                settled().await;
                here.purge_key("view:/page:").await.unwrap();
            }
        }
    }
}

/// What was last known of a far tier that is down is for nobody's response: the handler answers.
#[tokio::test]
async fn what_is_last_known_is_no_response() {
    for coherence in [Coherence::Tracking, Coherence::Broadcast] {
        let mut redis = Server::start();
        let (near, here) = process(&redis, coherence);
        let runs = Runs::default();
        let service = cached(&here, &runs, move |_, run| async move {
            with(&[("cache-tag", "t")], format!("run {run}"))
        });
        let get = async || service.get_with("/page", &[]).await;
        get().await;
        settled().await;
        while !get().await.is_hit() {}
        while near.tier_stats().far_reads > {
            let before = near.tier_stats().far_reads;
            assert!(get().await.is_hit());
            before
        } {}
        redis.kill();
        // Until the end of the connection is known there are hits.
        while get().await.is_hit() {
            tokio::task::yield_now().await;
        }
        assert!(near.last_known("view:/page:").is_some());
        for _ in 0..10 {
            let ran = runs.count();
            let got = get().await;
            assert!(!got.is_hit(), "{}", got.how());
            assert!(got.how().contains("backend-down"), "{}", got.how());
            assert_eq!(got.text(), format!("run {}", ran + 1));
            assert_eq!(runs.count(), ran + 1);
            settled().await;
        }
    }
}
