//! Tags of responses: how many there may be, how many purges, and what a purge of one does to the others.

use crate::support::remote::Stop;
use crate::support::{Cached, Runs, World, cached, constant, settled, with};
use nori_cache::response::{CacheResponse, CacheTags};
use nori_cache::{CacheBackend, CacheBackendExt};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const COUNT: &str = "nori-cache:purges:tags";

/// Each purge is one of its own, however many there are, and leaves nothing where nothing is stored with its tag.
#[tokio::test]
async fn purges_by_tag_are_never_folded() {
    for world in World::both() {
        let (layer, purger) = (world.timed(3600), world.timed(3600));
        let tagged = constant(&layer, &Runs::default(), &[("cache-tag", "t, u")]);
        let plain = constant(&layer, &Runs::default(), &[]);
        tagged.get("/tagged").await;
        plain.get("/plain").await;
        for nth in 0..10_000 {
            purger.purge_tag(&format!("other {nth}")).await.unwrap();
        }
        let left = world.backend.get_value("#tag:other 9999").await.unwrap();
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
        let leader = tokio::spawn(service.ask(crate::support::get("/", &[])));
        while runs.count() < 2 {
            tokio::task::yield_now().await;
        }
        for nth in 0..10 {
            let tag = format!("other {nth}");
            purger.purge_tag(&tag).await.unwrap();
            layer.purge_tag(&tag).await.unwrap();
        }
        let follower = tokio::spawn(service.ask(crate::support::get("/", &[])));
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
            let leader = tokio::spawn(service.ask(crate::support::get("/", &[])));
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

/// The writer has found no version, and is about to make one, or has just made it.
#[tokio::test(start_paused = true)]
async fn a_purge_while_a_version_is_being_made() {
    for tag in ["t", "other"] {
        for by_another in [false, true] {
            for made in [false, true] {
                let (world, remote) = World::remote();
                let layer = world.timed(60);
                let purger = match by_another {
                    true => world.timed(60),
                    false => layer.clone(),
                };
                // There is a count already.
                constant(&layer, &Runs::default(), &[("cache-tag", "first")])
                    .get("/first")
                    .await;
                let service = constant(&layer, &Runs::default(), &[("cache-tag", "t")]);
                let stop = Stop::default();
                *remote.stop_comparing.lock().unwrap() = Some(stop.clone());
                let running = tokio::spawn(service.ask(crate::support::get("/", &[])));
                for (at, now) in [(&stop.before, !made), (&stop.after, made)] {
                    at.meet().await;
                    if now {
                        purger.purge_tag(tag).await.unwrap();
                    }
                    at.go().await;
                }
                assert_eq!(running.await.unwrap().text(), "run 1");
                // It is not known of which tag the purge was.
                let after = service.get("/").await;
                assert_eq!(after.text(), "run 2", "{tag} {by_another} {made}");
                assert!(service.get("/").await.is_hit());
            }
        }
    }
}

/// Two who make a version at the same time: one of them does.
#[tokio::test(start_paused = true)]
async fn two_make_a_version_at_the_same_time() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = cached(&layer, &Runs::default(), |_, run| async move {
        with(&[("cache-tag", "t, u")], format!("run {run}"))
    });
    service.get("/first").await;
    for key in ["#tag:t", "#tag:u"] {
        assert!(remote.delete_value(key).await.unwrap());
    }
    let stop = Stop::default();
    *remote.stop_comparing.lock().unwrap() = Some(stop.clone());
    let slow = tokio::spawn(service.ask(crate::support::get("/slow", &[])));
    stop.before.meet().await;
    // Another one makes both.
    service.get("/quick").await;
    stop.before.go().await;
    stop.after.meet().await;
    stop.after.go().await;
    slow.await.unwrap();
    settled().await;
    for path in ["/slow", "/quick"] {
        assert!(service.get(path).await.is_hit(), "{path}");
    }
    assert!(!service.get("/first").await.is_hit());
    layer.purge_tag("u").await.unwrap();
    for path in ["/slow", "/quick", "/first"] {
        assert!(!service.get(path).await.is_hit(), "{path}");
    }
}

/// Whatever lies there, nothing that is stored comes back, hits come back with the second request, and purges work.
#[tokio::test]
async fn a_count_or_a_version_that_is_not_ours_is_replaced() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[("cache-tag", "t")]);
    let id = "0123456789abcdef0123456789abcdef";
    let anything = [
        json!(0),
        json!(1),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1.5),
        json!("x"),
        json!(null),
        json!([]),
        json!({}),
    ];
    let versions = [
        json!([i64::MAX, id]),
        json!([0, id]),
        json!([1]),
        json!([1, "x"]),
        json!([-1, id]),
        json!(["x", id]),
        json!([1, "00000000000000000000000000000000"]),
    ];
    let counts = anything.iter().map(|planted| (COUNT, planted));
    let versions = anything.iter().chain(&versions);
    let versions = versions.map(|planted| ("#tag:t", planted));
    for (key, planted) in counts.chain(versions) {
        service.get("/").await;
        assert!(service.get("/").await.is_hit(), "{key} {planted}");
        remote.put(key, &planted.to_string()).await;
        assert!(!service.get("/").await.is_hit(), "{key} {planted}");
        assert!(service.get("/").await.is_hit(), "{key} {planted}");
        assert_ne!(remote.json(key).await.as_ref(), Some(planted));
        // Purged while it lies there.
        remote.put(key, &planted.to_string()).await;
        layer.purge_tag("t").await.unwrap();
        assert!(!service.get("/").await.is_hit(), "{key} {planted}");
        assert!(service.get("/").await.is_hit(), "{key} {planted}");
        layer.purge_tag("t").await.unwrap();
        assert!(!service.get("/").await.is_hit(), "{key} {planted}");
        assert_eq!(layer.stats().backend_errors, 0);
    }
}

/// A version from beyond the count does not keep responses from being stored for longer than one.
#[tokio::test]
async fn a_version_that_nobody_has_counted_is_replaced() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[("cache-tag", "t")]);
    service.get("/").await;
    let version = remote.json("#tag:t").await.unwrap();
    let count = version[0].as_u64().unwrap();
    let beyond = json!([count + 1000, version[1]]);
    remote.put("#tag:t", &beyond.to_string()).await;
    layer.purge_key("view:/:").await.unwrap();
    assert!(!service.get("/").await.is_hit());
    assert!(service.get("/").await.is_hit());
    assert_eq!(remote.json("#tag:t").await.unwrap()[0], version[0]);
}

/// As earlier versions stored them: with tags they have no versions, and count as missing; without, there is no difference.
#[tokio::test]
async fn responses_of_the_layout_before_versions() {
    const KEY: &str = "view:/:";
    let (world, remote) = World::remote();
    for (tags, is_served) in [(&["t"][..], false), (&[], true)] {
        let layer = world.timed(60);
        let service = cached(&layer, &Runs::default(), move |_, run| async move {
            let mut response = with(&[], format!("run {run}"));
            let tags = CacheTags::new(tags.iter().copied());
            response.extensions_mut().insert(tags);
            response
        });
        service.get("/").await;
        let mut entry = remote.json(KEY).await.unwrap();
        let ours = entry["nori"].as_object_mut().unwrap();
        assert_eq!(ours.remove("counted").is_some(), !is_served);
        let before = ours.insert("tags".into(), json!(tags)).unwrap();
        assert_eq!(before == Json::Array(Vec::new()), is_served, "{before}");
        remote.put(KEY, &entry.to_string()).await;
        let got = service.get("/").await;
        assert_eq!((got.is_hit(), got.status), (is_served, 200));
        assert!(service.get("/").await.is_hit());
        assert_eq!(layer.stats().backend_errors, 0);
        layer.purge_key(KEY).await.unwrap();
    }
}

/// What is in a tag's place in an entry that was planted.
#[tokio::test]
async fn tags_that_are_none_are_not_read() {
    const KEY: &str = "view:/:";
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[("cache-tag", "t")]);
    service.get("/").await;
    let entry = remote.json(KEY).await.unwrap();
    let pair = entry["nori"]["tags"][0].clone();
    let id = pair[1].clone();
    let many: Vec<Json> = (0..257).map(|nth| json!([format!("{nth}"), id])).collect();
    for (name, planted) in [
        ("tags", json!([["t", null]])),
        ("tags", json!([["t", "x"]])),
        ("tags", json!([["t", id], "u"])),
        ("tags", json!([["t", id], ["u", id]])),
        ("tags", json!([["u", id]])),
        ("tags", json!([[7, id]])),
        ("tags", json!([[]])),
        ("tags", json!(many)),
        ("tags", json!([["x".repeat(1025), id]])),
        ("counted", json!(null)),
        ("counted", json!("x")),
        ("counted", json!(0)),
        ("counted", json!(-1)),
        ("counted", json!(i64::MAX)),
        ("counted", json!(u64::MAX)),
    ] {
        let mut entry = remote.json(KEY).await.unwrap();
        entry["nori"][name] = planted.clone();
        remote.put(KEY, &entry.to_string()).await;
        assert!(!service.get("/").await.is_hit(), "{name} {planted}");
        assert!(service.get("/").await.is_hit(), "{name} {planted}");
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
