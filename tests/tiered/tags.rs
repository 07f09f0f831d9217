//! Tags on two tiers: versions are near, as what has them is, and a removal by another process takes both out of use.

use crate::server::Server;
use crate::{MINUTE, TRACKED, built, caught_up, has_copy, other, tiers};
use nori_cache::{CacheBackendExt, Coherence, Error, TieredCacheBackend};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const TAGS: [&str; 4] = ["a", "b", "c", "d"];

/// Reads until the entry and the versions of its tags are near.
async fn is_near(backend: &TieredCacheBackend, key: &str) {
    has_copy(backend, key).await;
    for tag in TAGS {
        has_copy(backend, &format!("nori-cache:tag:{tag}")).await;
    }
}

#[tokio::test]
async fn a_hit_with_tags_asks_nobody() {
    for coherence in TRACKED {
        let server = Server::start();
        let near = built(tiers(server.url()).coherence(coherence));
        near.set_tagged("n", 1_u64, MINUTE, &TAGS).await.unwrap();
        is_near(&near, "n").await;
        let before = near.tier_stats();
        for _ in 0..100 {
            assert_eq!(near.get("n").await.unwrap(), Some(1_u64));
            assert_eq!(*near.get_shared::<u64>("n").await.unwrap().unwrap(), 1);
            assert_eq!(near.get_many::<u64>(&["n"]).await.unwrap(), [Some(1)]);
            let load = near.load("n").tags(TAGS);
            let load = load.or_load(|_| ready(Err::<u64, _>("it is there".to_owned())));
            assert_eq!(load.await.unwrap(), 1);
        }
        let after = near.tier_stats();
        assert_eq!(after.far_reads, before.far_reads);
        // The versions were looked up now and then.
        let looks = after.near_hits - before.near_hits;
        assert!((400..400 * 5).contains(&looks), "{looks} looks");
    }
}

#[tokio::test]
async fn a_removal_is_seen_here_at_once_and_elsewhere_when_it_is_announced() {
    for coherence in TRACKED {
        let server = Server::start();
        let near = built(tiers(server.url()).coherence(coherence));
        let (twin, far) = (
            built(tiers(server.url()).coherence(coherence)),
            other(server.url()),
        );
        for tag in TAGS {
            near.set_tagged("n", 1_u64, MINUTE, &TAGS).await.unwrap();
            is_near(&near, "n").await;
            is_near(&twin, "n").await;
            near.remove_by_tag(tag).await.unwrap();
            assert_eq!(near.get::<u64>("n").await.unwrap(), None);
            caught_up(&twin, &format!("nori-cache:tag:{tag}")).await;
            assert_eq!(twin.get::<u64>("n").await.unwrap(), None);
            // And one that keeps no copies removes it for those that do.
            near.set_tagged("n", 2_u64, MINUTE, &TAGS).await.unwrap();
            is_near(&near, "n").await;
            far.remove_by_tag(tag).await.unwrap();
            caught_up(&near, &format!("nori-cache:tag:{tag}")).await;
            assert_eq!(near.get::<u64>("n").await.unwrap(), None);
        }
    }
}

/// Without announcements a removal by others is seen when the copies' time is over, and what is stored meanwhile with an old version
/// is a miss to those who know better.
#[tokio::test]
async fn without_announcements() {
    let server = Server::start();
    let tiers = tiers(server.url()).coherence(Coherence::NearTtl);
    let near = built(tiers.near_ttl(Duration::from_millis(50)));
    let far = other(server.url());
    near.set_tagged("n", 1_u64, MINUTE, &TAGS).await.unwrap();
    assert_eq!(near.get("n").await.unwrap(), Some(1_u64));
    far.remove_by_tag("a").await.unwrap();
    near.set_tagged("m", 2_u64, MINUTE, &TAGS).await.unwrap();
    assert!(matches!(far.get::<u64>("m").await.unwrap(), None | Some(2)));
    assert_eq!(far.get::<u64>("n").await.unwrap(), None);
    while near.get::<u64>("n").await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    near.remove_by_tag("b").await.unwrap();
    assert_eq!(near.get::<u64>("m").await.unwrap(), None);
}

/// The far tier is gone: a removal says so, and what has tags is used for as long as it and they can be vouched for, and no longer.
#[tokio::test]
async fn a_far_tier_that_is_down() {
    let mut server = Server::start();
    let near = built(tiers(server.url()));
    near.set_tagged("n", 1_u64, MINUTE, &TAGS).await.unwrap();
    is_near(&near, "n").await;
    server.kill();
    let error = near.remove_by_tag("a").await.unwrap_err();
    assert!(error.is_connection() || error.is_timeout(), "{error}");
    // Not known whether it took place: the far tier would have to say.
    assert!(near.get::<u64>("n").await.is_err());
}

/// Loads and reads here, removals elsewhere: whoever has spoken to the server since gets nothing that was loaded before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loads_beside_removals_by_another_process() {
    const REMOVALS: u64 = 300;
    let server = Server::start();
    for coherence in TRACKED {
        let near = built(tiers(server.url()).coherence(coherence));
        let far = other(server.url());
        let (source, removed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for reader in 0..4_u64 {
            let near = Arc::clone(&near);
            let (source, removed) = (Arc::clone(&source), Arc::clone(&removed));
            tasks.spawn(async move {
                let mut reads = 0_u64;
                loop {
                    let least = removed.load(Ordering::SeqCst);
                    if least == REMOVALS && reads > 100 {
                        return reads;
                    }
                    reads += 1;
                    tokio::task::yield_now().await;
                    let key = ["a", "b"][((reads + reader) % 2) as usize];
                    let found = if reads.is_multiple_of(2) {
                        near.get::<u64>(key).await.unwrap()
                    } else {
                        let source = Arc::clone(&source);
                        let load = near.load(key).ttl(MINUTE).tags(["tag", key]);
                        let number =
                            |_| async move { Ok::<_, Error>(source.load(Ordering::SeqCst)) };
                        Some(load.or_load(number).await.unwrap())
                    };
                    assert!(
                        found.is_none_or(|found| found >= least),
                        "{found:?} after {least}"
                    );
                }
            });
        }
        for number in 1..=REMOVALS {
            source.store(number, Ordering::SeqCst);
            far.remove_by_tag("tag").await.unwrap();
            caught_up(&near, "nori-cache:tag:tag").await;
            removed.store(number, Ordering::SeqCst);
        }
        println!(
            "{coherence:?}: {:?}, {:?}",
            tasks.join_all().await,
            near.tier_stats()
        );
        assert!(near.tier_stats().near_hits > 0);
        near.flush().await.unwrap();
    }
}
