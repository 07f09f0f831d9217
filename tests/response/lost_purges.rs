//! What purges leave in the store may be taken from it, or set back: the layer that purged makes up for it.

use crate::support::{Cached, Runs, World, cached, get, with};
use nori_cache::response::CacheResponse;
use nori_cache::{Ttl, Value};
use std::sync::Arc;
use tokio::sync::Semaphore;

const LIST: &str = "nori-cache:purges";
/// All that purges by prefix and by tag leave.
const LEFT: [&str; 3] = [LIST, "nori-cache:purges:tags", "#tag:t"];

async fn purge(layer: &CacheResponse, by_tag: bool) {
    let purged = match by_tag {
        true => layer.purge_tag("t").await,
        false => layer.purge_prefix("view:/").await,
    };
    purged.unwrap();
}

/// Puts back what was there before. What was not there is taken away.
async fn set_back(world: &World, before: Vec<Option<Value>>) {
    for (key, value) in LEFT.into_iter().zip(before) {
        match value {
            Some(value) => world
                .backend
                .set_value(key, value, Ttl::Never)
                .await
                .unwrap(),
            None => drop(world.backend.delete_value(key).await.unwrap()),
        }
    }
}

/// What purges left is gone, or is as it was before. That is made up for, once.
#[tokio::test]
async fn what_was_lost_is_made_up_for() {
    for world in World::both() {
        for by_tag in [false, true] {
            for is_set_back in [false, true] {
                for purged_again in [false, true] {
                    let case = format!("{by_tag} {is_set_back} {purged_again}");
                    let layer = world.timed(60);
                    let service = cached(&layer, &Runs::default(), |_, run| async move {
                        with(&[("cache-tag", "t")], format!("run {run}"))
                    });
                    layer.purge_tag("another").await.unwrap();
                    layer.purge_prefix("another").await.unwrap();
                    service.get("/").await;
                    assert!(service.get("/").await.is_hit(), "{case}");
                    let before = world.backend.get_values(&LEFT).await.unwrap();
                    assert!(before.iter().all(Option::is_some), "{case}");
                    purge(&layer, by_tag).await;
                    if is_set_back {
                        set_back(&world, before).await;
                    } else {
                        let gone = world.backend.delete_values(&LEFT).await.unwrap();
                        assert_eq!(gone, 3, "{case}");
                    }
                    if purged_again {
                        layer.purge_tag("another").await.unwrap();
                        layer.purge_prefix("another").await.unwrap();
                    }
                    assert_eq!(service.get("/").await.text(), "run 2", "{case}");
                    assert!(service.get("/").await.is_hit(), "{case}");
                    layer.purge_tag("another").await.unwrap();
                    layer.purge_prefix("another").await.unwrap();
                    assert!(service.get("/").await.is_hit(), "{case}");
                    assert_eq!(layer.stats().backend_errors, 0);
                    layer.purge_key("view:/:").await.unwrap();
                }
            }
        }
    }
}

/// What was stored before the first purge has seen none, and does not show that anything was lost.
#[tokio::test]
async fn what_was_stored_before_the_first_purge_does_not_come_back() {
    for world in World::both() {
        for by_tag in [false, true] {
            for is_set_back in [false, true] {
                let layer = world.timed(60);
                let service = cached(&layer, &Runs::default(), |_, run| async move {
                    with(&[("cache-tag", "t")], format!("run {run}"))
                });
                world.backend.delete_values(&LEFT).await.unwrap();
                service.get("/").await;
                let before = world.backend.get_values(&LEFT).await.unwrap();
                purge(&layer, by_tag).await;
                if is_set_back {
                    set_back(&world, before).await;
                } else {
                    world.backend.delete_values(&LEFT).await.unwrap();
                }
                let after = service.get("/").await;
                assert_eq!(after.text(), "run 2", "{by_tag} {is_set_back}");
                assert!(service.get("/").await.is_hit(), "{by_tag} {is_set_back}");
                layer.purge_key("view:/:").await.unwrap();
            }
        }
    }
}

/// One of them alone is enough.
#[tokio::test]
async fn a_version_or_a_count_that_was_lost_makes_a_miss() {
    for world in World::both() {
        for lost in &LEFT[1..] {
            for vary in ["", "accept"] {
                let layer = world.timed(60);
                let tagged = cached(&layer, &Runs::default(), move |_, run| async move {
                    let headers = [("cache-tag", "a, t"), ("vary", vary)];
                    with(&headers, format!("run {run}"))
                });
                let plain = cached(&layer, &Runs::default(), |_, _| async {
                    with(&[], "plain")
                });
                plain.get("/plain").await;
                for run in 1..4 {
                    let got = tagged.get("/").await;
                    assert_eq!((got.text(), got.is_hit()), (&*format!("run {run}"), false));
                    assert!(tagged.get("/").await.is_hit(), "{lost} {vary:?}");
                    assert!(world.backend.delete_value(lost).await.unwrap(), "{lost}");
                }
                // What has no tags is not touched.
                assert!(plain.get("/plain").await.is_hit(), "{lost}");
                assert_eq!(layer.stats().backend_errors, 0);
                layer.purge_key("view:/:").await.unwrap();
            }
        }
    }
}

/// A handler that runs meanwhile has seen no stamp, and sees none when it ends.
#[tokio::test]
async fn a_stamp_that_was_lost_was_counted() {
    for world in World::both() {
        let layer = world.timed(60);
        let (started, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (starts, goes) = (Arc::clone(&started), Arc::clone(&go));
        let service = cached(&layer, &Runs::default(), move |_, run| {
            let (starts, goes) = (Arc::clone(&starts), Arc::clone(&goes));
            async move {
                if run == 1 {
                    starts.add_permits(1);
                    drop(goes.acquire().await);
                }
                with(&[], format!("run {run}"))
            }
        });
        let running = tokio::spawn(service.ask(get("/", &[])));
        drop(started.acquire().await);
        layer.purge_key("view:/:").await.unwrap();
        let stamps: Vec<String> = (0..4096).map(|nth| format!("{LIST}:{nth}")).collect();
        let stamps: Vec<&str> = stamps.iter().map(String::as_str).collect();
        assert_eq!(world.backend.delete_values(&stamps).await.unwrap(), 1);
        go.add_permits(1);
        assert_eq!(running.await.unwrap().text(), "run 1");
        assert_eq!(service.get("/").await.text(), "run 2");
        assert!(service.get("/").await.is_hit());
    }
}
