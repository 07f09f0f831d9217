//! The versions of tags, and the count of purges: who makes them beside whom, and what else may lie in their place.

use crate::support::remote::Stop;
use crate::support::{Cached, Runs, World, cached, constant, get, settled, with};
use nori_cache::CacheBackend;
use nori_cache::response::CacheTags;
use serde_json::{Value as Json, json};

const COUNT: &str = "nori-cache:purges:tags";

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
                let running = tokio::spawn(service.ask(get("/", &[])));
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
    let slow = tokio::spawn(service.ask(get("/slow", &[])));
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
