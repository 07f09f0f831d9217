//! Tags of responses: how many there may be, how many purges, and what a purge of one does to the others.

use crate::support::{Cached, Runs, World, cached, constant, get, real, settled, watch, with};
use nori_cache::response::{CacheResponse, CacheTags};
use nori_cache::{CacheBackend, CacheBackendExt, View};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Each purge is one of its own, however many there are, and leaves nothing where nothing is stored with its tag.
#[tokio::test]
async fn purges_by_tag_are_never_folded() {
    for world in World::both() {
        let (layer, purger) = (world.timed(3600), world.timed(3600));
        let tagged = constant(&layer, &Runs::default(), &[("cache-tag", "t, u")]);
        let plain = constant(&layer, &Runs::default(), &[]);
        tagged.get("/tagged").await;
        plain.get("/plain").await;
        let purges = if real::IS_USED { 1_000 } else { 10_000 };
        for nth in 1..=purges {
            purger.purge_tag(&format!("other {nth}")).await.unwrap();
        }
        let last = format!("#tag:other {purges}");
        let left = world.backend.get_value(&last).await.unwrap();
        assert!(left.is_none());
        let another = world.timed(3600);
        let theirs = constant(&another, &Runs::default(), &[("cache-tag", "t, u")]);
        assert!(tagged.get("/tagged").await.is_hit());
        assert!(theirs.get("/tagged").await.is_hit());
        assert!(plain.get("/plain").await.is_hit());
        purger.purge_tag("u").await.unwrap();
        assert!(!theirs.get("/tagged").await.is_hit());
        assert!(tagged.get("/tagged").await.is_hit());
        assert!(plain.get("/plain").await.is_hit());
        world.backend.flush().await.unwrap();
    }
}

/// A purge of one of many tags, by somebody who has never seen the response.
#[tokio::test]
async fn any_of_the_tags_will_do() {
    for world in World::both() {
        for vary in ["", "accept"] {
            let layer = world.timed(60);
            let names = move |at: usize| format!("{vary} tag {at:03}");
            let service = cached(&layer, &Runs::default(), move |_, run| async move {
                let mut response = with(&[("vary", vary)], format!("run {run}"));
                // Some of them twice.
                let tags = CacheTags::new((0..256).chain(0..10).map(names));
                response.extensions_mut().insert(tags);
                response
            });
            for (nth, at) in [0, 7, 100, 255].into_iter().enumerate() {
                let got = service.get("/").await;
                assert_eq!(got.text(), format!("run {}", nth + 1));
                settled().await;
                assert!(service.get("/").await.is_hit(), "{at}");
                world.timed(60).purge_tag(&names(at)).await.unwrap();
            }
            layer.purge_key("view:/:").await.unwrap();
        }
    }
}

#[tokio::test]
async fn there_is_a_limit_for_tags() {
    for world in World::both() {
        for (count, length, is_stored) in [
            (256, 1, true),
            (257, 1, false),
            (1, 1024, true),
            (1, 1025, false),
        ] {
            let layer = world.timed(60);
            let name = move |at: usize| format!("{at:0length$}");
            let service = cached(&layer, &Runs::default(), move |_, run| async move {
                let mut response = with(&[], format!("run {run}"));
                let tags = CacheTags::new((0..count).map(name));
                response.extensions_mut().insert(tags);
                response
            });
            let got = service.get("/").await;
            settled().await;
            let stored = "nori-cache; fwd=uri-miss; fwd-status=200; stored";
            let refused = "nori-cache; fwd=uri-miss; fwd-status=200; detail=tags";
            assert_eq!(got.how(), if is_stored { stored } else { refused });
            assert_eq!(service.get("/").await.is_hit(), is_stored);
            layer.purge_tag(&name(0)).await.unwrap();
            assert!(!service.get("/").await.is_hit());
            layer.purge_key("view:/:").await.unwrap();
        }
    }
}

/// A service whose handlers, from the second on, wait to be let go.
fn held(layer: &CacheResponse, tag: &'static str) -> (impl Cached + use<>, Arc<Semaphore>, Runs) {
    let (go, runs) = (Arc::new(Semaphore::new(0)), Runs::default());
    let gate = Arc::clone(&go);
    let service = cached(layer, &runs, move |_, run| {
        let gate = Arc::clone(&gate);
        async move {
            if run > 1 {
                drop(gate.acquire().await);
            }
            with(&[("cache-tag", tag)], format!("run {run}"))
        }
    });
    (service, go, runs)
}

/// Purges of other tags are nothing to a handler that runs, to its followers, or to what it answers.
#[tokio::test(start_paused = true)]
async fn a_purge_of_another_tag_keeps_nothing_from_being_stored() {
    for world in World::both() {
        let (layer, purger) = (world.timed(60), world.timed(60));
        let (service, go, runs) = held(&layer, "t");
        // The tag gets its version.
        service.get("/other").await;
        let leader = tokio::spawn(service.ask(get("/", &[])));
        while runs.count() < 2 {
            tokio::task::yield_now().await;
        }
        for nth in 0..10 {
            let tag = format!("other {nth}");
            purger.purge_tag(&tag).await.unwrap();
            layer.purge_tag(&tag).await.unwrap();
        }
        let follower = tokio::spawn(service.ask(get("/", &[])));
        tokio::time::sleep(Duration::from_millis(1)).await;
        go.add_permits(10);
        assert_eq!(leader.await.unwrap().text(), "run 2");
        assert_eq!(follower.await.unwrap().text(), "run 2");
        let stored = service.get("/").await;
        assert_eq!((stored.text(), stored.is_hit()), ("run 2", true));
        for key in ["view:/:", "view:/other:"] {
            layer.purge_key(key).await.unwrap();
        }
    }
}

/// Nobody can tell whether a tag that has no version was purged, if any was. But it has one then, and the next response is stored,
/// whatever else is purged meanwhile.
#[tokio::test(start_paused = true)]
async fn a_tag_that_is_new_is_stored_under_in_the_end() {
    for world in World::both() {
        let (layer, purger) = (world.timed(60), world.timed(60));
        let (service, go, runs) = held(&layer, "new");
        service.get("/").await;
        layer.purge_key("view:/:").await.unwrap();
        world.backend.delete_value("#tag:new").await.unwrap();
        for (run, is_stored) in [(2, false), (3, true)] {
            let leader = tokio::spawn(service.ask(get("/", &[])));
            while runs.count() < run {
                tokio::task::yield_now().await;
            }
            purger.purge_tag("other").await.unwrap();
            go.add_permits(1);
            assert_eq!(leader.await.unwrap().text(), format!("run {run}"));
            assert_eq!(layer.stats().stored, if is_stored { 2 } else { 1 });
        }
        assert!(service.get("/").await.is_hit());
        layer.purge_key("view:/:").await.unwrap();
    }
}

/// Tags of values are others.
#[tokio::test]
async fn values_and_responses_have_tags_of_their_own() {
    for world in World::both() {
        let (layer, backend) = (world.timed(60), &world.backend);
        let service = constant(&layer, &Runs::default(), &[("cache-tag", "t")]);
        let minute = Duration::from_secs(60);
        service.get("/").await;
        backend
            .set_tagged("value", 1, minute, &["t"])
            .await
            .unwrap();
        backend.remove_by_tag("t").await.unwrap();
        assert_eq!(backend.get::<i32>("value").await.unwrap(), None);
        assert!(service.get("/").await.is_hit());
        backend
            .set_tagged("value", 1, minute, &["t"])
            .await
            .unwrap();
        layer.purge_tag("t").await.unwrap();
        assert_eq!(backend.get::<i32>("value").await.unwrap(), Some(1));
        assert!(!service.get("/").await.is_hit());
        layer.purge_key("view:/:").await.unwrap();
    }
}

/// On a backend that encrypts, and in a namespace, whose entries have tags of their own.
#[tokio::test]
async fn purges_by_tag_on_a_view() {
    for world in World::both() {
        for view in views(&world.backend) {
            let of_view = || CacheResponse::ttl(Duration::from_secs(60)).backend(Arc::clone(&view));
            let (layer, purger) = (of_view(), of_view());
            watch(&layer);
            let service = constant(&layer, &Runs::default(), &[("cache-tag", "t, u")]);
            for purger in [&layer, &purger, &purger, &layer] {
                assert!(!service.get("/").await.is_hit());
                settled().await;
                purger.purge_tag("other").await.unwrap();
                assert!(service.get("/").await.is_hit());
                purger.purge_tag("u").await.unwrap();
            }
            assert!(!service.get("/").await.is_hit());
            assert_eq!(layer.stats().backend_errors, 0);
            world.backend.flush_values().await.unwrap();
        }
    }
}

fn views(backend: &Arc<dyn CacheBackend>) -> Vec<Arc<dyn CacheBackend>> {
    let view = || View::of(Arc::clone(backend));
    let mut views: Vec<Arc<dyn CacheBackend>> = vec![Arc::new(view().make_namespace("tenant:7"))];
    #[cfg(feature = "encryption")]
    {
        use nori_cache::{Codec, Keys};

        let codec = Codec::json().encrypted(Keys::new(7, &[7; 32]));
        views.push(Arc::new(view().use_codec(&codec)));
    }
    views
}
