//! Nothing that was asked for before a purge is served or stored after it, whoever purges: this layer, or another on the same
//! backend, as another process has it, whose clock says something else.

use crate::support::remote::Stop;
use crate::support::{Cached, Runs, World, cached, constant, with};
use http::HeaderValue;
use nori_cache::ManualClock;
use nori_cache::response::CacheResponse;
use std::time::Duration;
use tokio::time::sleep;

#[derive(Debug, Clone, Copy)]
enum Purge {
    Key,
    Prefix,
    Tag,
}

const PURGES: [Purge; 3] = [Purge::Key, Purge::Prefix, Purge::Tag];

impl Purge {
    async fn by(self, layer: &CacheResponse) {
        match self {
            Self::Key => drop(layer.purge_key("view:/:").await.unwrap()),
            Self::Prefix => layer.purge_prefix("view:").await.unwrap(),
            Self::Tag => layer.purge_tag("t").await.unwrap(),
        }
    }
}

/// A layer, and others that may purge: a clone, and one whose clock is an hour behind.
fn layers(world: &World) -> (CacheResponse, [CacheResponse; 2]) {
    let layer = world.timed(60);
    let other = world.timed(60).clock(ManualClock::new());
    world.advance(3600);
    (layer.clone(), [layer, other])
}

/// Takes a second, and says how often it ran.
fn slow(layer: &CacheResponse, runs: &Runs) -> impl Cached + Sync {
    cached(layer, runs, |_, run| async move {
        sleep(Duration::from_secs(1)).await;
        with(&[("cache-tag", "t")], format!("run {run}"))
    })
}

#[tokio::test(start_paused = true)]
async fn a_purge_wins_over_a_handler_that_runs() {
    for world in World::both() {
        let (layer, purgers) = layers(&world);
        let runs = Runs::default();
        let service = slow(&layer, &runs);
        for purger in &purgers {
            for purge in PURGES {
                let running = tokio::spawn({
                    let service = service.clone();
                    async move { service.get("/").await }
                });
                sleep(Duration::from_millis(500)).await;
                purge.by(purger).await;
                // Who comes now waits for no answer of before.
                let before = runs.count();
                let after = service.get("/").await;
                assert_eq!(after.text(), format!("run {}", before + 1), "{purge:?}");
                assert_eq!(running.await.unwrap().text(), format!("run {before}"));
                // What is stored is the answer of after.
                let stored = service.get("/").await;
                assert_eq!(stored.text(), format!("run {}", before + 1), "{purge:?}");
                assert!(stored.is_hit());
                layer.purge_key("view:/:").await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_after_a_purge_is_not_stored() {
    for world in World::both() {
        let (layer, purgers) = layers(&world);
        let runs = Runs::default();
        let service = slow(&layer, &runs);
        for purger in &purgers {
            for purge in PURGES {
                let before = runs.count();
                let (_, ()) = tokio::join!(service.get("/"), async {
                    sleep(Duration::from_millis(500)).await;
                    purge.by(purger).await;
                });
                let after = service.get("/").await;
                assert_eq!(after.text(), format!("run {}", before + 2), "{purge:?}");
                layer.purge_key("view:/:").await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_before_does_not_touch_one_of_after() {
    for world in World::both() {
        let (layer, purgers) = layers(&world);
        for purger in &purgers {
            let runs = Runs::default();
            let service = cached(&layer, &runs, |_, run| async move {
                sleep(Duration::from_secs(if run == 1 { 3 } else { 1 })).await;
                with(&[], format!("run {run}"))
            });
            let (old, new) = tokio::join!(service.get("/"), async {
                sleep(Duration::from_millis(500)).await;
                Purge::Key.by(purger).await;
                service.get("/").await
            });
            assert_eq!((old.text(), new.text()), ("run 1", "run 2"));
            let stored = service.get("/").await;
            assert_eq!((stored.text(), stored.is_hit()), ("run 2", true));
            Purge::Key.by(&layer).await;
        }
    }
}

/// The writer has looked whether there was a purge, and is about to write, or has just written.
#[tokio::test(start_paused = true)]
async fn a_purge_while_a_response_is_being_stored() {
    for purge in PURGES {
        for variants in [false, true] {
            for written in [false, true] {
                let (world, remote) = World::remote();
                let (layer, [_, purger]) = layers(&world);
                let vary = if variants { "x" } else { "" };
                let service = cached(&layer, &Runs::default(), move |_, run| async move {
                    with(&[("cache-tag", "t"), ("vary", vary)], format!("run {run}"))
                });
                let stop = Stop::default();
                *remote.stop.lock().unwrap() = Some(stop.clone());
                let running = tokio::spawn({
                    let service = service.clone();
                    async move { service.get("/").await }
                });
                for (at, now) in [(&stop.before, !written), (&stop.after, written)] {
                    at.meet().await;
                    if now {
                        purge.by(&purger).await;
                    }
                    at.go().await;
                }
                assert_eq!(running.await.unwrap().text(), "run 1");
                let after = service.get("/").await;
                assert_eq!(after.text(), "run 2", "{purge:?} {variants} {written}");
            }
        }
    }
}

#[tokio::test]
async fn other_keys_stay() {
    for world in World::both() {
        let (layer, purgers) = layers(&world);
        let service = constant(&layer, &Runs::default(), &[]);
        for path in ["/a", "/b"] {
            service.get(path).await;
        }
        for purger in &purgers {
            assert!(purger.purge_key("view:/a:").await.unwrap());
            assert!(!purger.purge_key("view:/a:").await.unwrap());
            assert!(!service.get("/a").await.is_hit());
            assert!(service.get("/b").await.is_hit());
            purger.purge_prefix("view:/a").await.unwrap();
            assert!(!service.get("/a").await.is_hit());
            assert!(service.get("/b").await.is_hit());
        }
    }
}

/// Older ones by prefix are folded into one of everything; it covers what came before it, and nothing that came after.
#[tokio::test]
async fn many_purges_by_prefix_are_folded() {
    for world in World::both() {
        let (layer, [_, purger]) = layers(&world);
        let service = constant(&layer, &Runs::default(), &[]);
        service.get("/").await;
        for nth in 0..1000 {
            purger.purge_prefix(&format!("other {nth}")).await.unwrap();
        }
        assert!(!service.get("/").await.is_hit());
        assert!(service.get("/").await.is_hit());
        purger.purge_prefix("view:").await.unwrap();
        assert!(!service.get("/").await.is_hit());
    }
}

#[tokio::test]
async fn what_purges_leave_can_be_broken() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[("cache-tag", "t")]);
    for broken in ["[1", "null", "{}", "\"x\"", "[\"x\",[]]"] {
        remote.put("nori-cache:purges", broken).await;
        remote.put("nori-cache:purges:tags", broken).await;
        remote.put("#tag:t", broken).await;
        for bucket in 0..4096 {
            let key = format!("nori-cache:purges:{bucket}");
            remote.put(&key, broken).await;
        }
        service.get("/").await;
        assert!(service.get("/").await.is_hit(), "{broken}");
        layer.purge_tag("t").await.unwrap();
        assert!(!service.get("/").await.is_hit(), "{broken}");
        assert!(service.get("/").await.is_hit(), "{broken}");
        layer.purge_prefix("view:").await.unwrap();
        assert!(!service.get("/").await.is_hit(), "{broken}");
        assert!(service.get("/").await.is_hit(), "{broken}");
        assert!(layer.purge_key("view:/:").await.unwrap(), "{broken}");
        assert!(!service.get("/").await.is_hit(), "{broken}");
        assert!(service.get("/").await.is_hit(), "{broken}");
        assert!(layer.purge_key("view:/:").await.unwrap(), "{broken}");
    }
}

/// A tag that is not ASCII is one like any other, and does not hide those beside it; a purge that could miss one misses none.
#[tokio::test]
async fn tags_beside_strange_ones_count() {
    let bytes = |line: &[&[u8]]| HeaderValue::from_bytes(&line.concat()).unwrap();
    for world in World::both() {
        for (nth, (line, tag, stored)) in [
            (bytes(&[b"product-42, caf\xc3\xa9"]), "product-42", true),
            (bytes(&[b"product-42, caf\xc3\xa9"]), "caf\u{e9}", true),
            (
                bytes(&[b"caf\xc3\xa9\t,,\tproduct-42 "]),
                "product-42",
                true,
            ),
            (bytes(&[b"product-42, caf\xe9"]), "product-42", false),
            (bytes(&[b"\xff"]), "product-42", false),
        ]
        .into_iter()
        .enumerate()
        {
            let layer = world.timed(60).key_prefix(format!("{nth}"));
            let service = cached(&layer, &Runs::default(), move |_, run| {
                let mut response = with(&[], format!("run {run}"));
                response
                    .headers_mut()
                    .append("cache-tag", HeaderValue::from_static("t"));
                response.headers_mut().append("cache-tag", line.clone());
                async move { response }
            });
            let got = service.get("/").await;
            let kept = "nori-cache; fwd=uri-miss; fwd-status=200; stored";
            let refused = "nori-cache; fwd=uri-miss; fwd-status=200; detail=malformed";
            assert_eq!(got.how(), if stored { kept } else { refused });
            assert_eq!(service.get("/").await.is_hit(), stored, "{tag}");
            layer.purge_tag(tag).await.unwrap();
            assert!(!service.get("/").await.is_hit(), "{tag}");
        }
    }
}
