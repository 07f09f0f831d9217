//! Clusters whose hash slots move and whose primaries fail: copies of what another node has by now are not used.

use crate::races::{BOUND, reader, writer};
use crate::server::{Cluster, Sentinels, Server, wait_until};
use crate::{MINUTE, POLITE, built, caught_up, has_copy, other, read_after, tiers};
use nori_cache::{CacheBackend, CacheBackendExt, Coherence, Error, Ttl};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Calls until there is an answer.
async fn answered<T>(call: impl AsyncFn() -> Result<T, Error>) -> T {
    loop {
        match call().await {
            Err(error) if error.is_connection() => sleep(POLITE).await,
            answer => return answer.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hash_slots_move_while_others_write() {
    let cluster = Cluster::start();
    slots_move(&cluster, Coherence::Tracking).await;
    slots_move(&cluster, Coherence::Backplane).await;
}

async fn slots_move(cluster: &Cluster, coherence: Coherence) {
    const KEYS: u32 = 100;
    let prefix = format!("{coherence:?}:");
    let near = reader(&cluster.url(), coherence, &prefix);
    let far = writer(&cluster.url(), coherence, &prefix);
    let key = |nth: u32| format!("k{nth}");
    for nth in 0..KEYS {
        far.set(&key(nth), 0, MINUTE).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 0..2 {
        let (near, stop) = (Arc::clone(&near), Arc::clone(&stop));
        readers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                for nth in 0..KEYS {
                    near.get::<u32>(&format!("k{nth}")).await.unwrap();
                }
                sleep(POLITE).await;
            }
        });
    }
    let mut round = 0;
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let moving = cluster.reshard(from, to);
        loop {
            let moved = moving.is_finished();
            round += 1;
            for nth in 0..KEYS {
                far.set(&key(nth), round, MINUTE).await.unwrap();
                let written = (Some(round), Instant::now());
                let value = read_after(&near, coherence, &key(nth), written, BOUND).await;
                assert_eq!(value, Some(round), "{}", key(nth));
            }
            if moved {
                break;
            }
        }
        moving.join().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    readers.join_all().await;
    assert!(near.tier_stats().near_hits > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over() {
    let mut cluster = Cluster::with_replicas(1);
    let (near, far) = (built(tiers(cluster.url())), other(cluster.url()));
    far.set("k", 1, Ttl::Never).await.unwrap();
    has_copy(&near, "k").await;
    let (primary, replica) = cluster.primary_and_replica();
    cluster.nodes[primary].kill();
    let takeover = ["CLUSTER", "FAILOVER", "TAKEOVER"];
    assert_eq!(cluster.nodes[replica].ask(&takeover), "OK");
    answered(async || far.set("k", 2, Ttl::Never).await).await;
    caught_up(&near, "k").await;
    assert_eq!(near.get::<u8>("k").await.unwrap(), Some(2));
    has_copy(&near, "k").await;
}

/// A primary becomes a replica, and everybody's connections stay: what it announces from then on is not all there is, and it does
/// not prove anything any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_demoted() {
    let cluster = Cluster::with_replicas(1);
    let bound = Duration::from_millis(400);
    let (near, far) = (
        built(tiers(cluster.url()).max_staleness(bound)),
        other(cluster.url()),
    );
    far.set("k", 1, Ttl::Never).await.unwrap();
    has_copy(&near, "k").await;
    let holds = |node: &Server| {
        node.ask(&["ROLE"]).starts_with("master") && node.ask(&["GET", "cache:k"]) == "1"
    };
    let primary = cluster.nodes.iter().position(holds).unwrap();
    let replica = 3 + primary;
    wait_until("the replica is in step, and takes over", || {
        let info = cluster.nodes[replica].ask(&["INFO", "replication"]);
        if info.contains("role:slave") && info.contains("master_link_status:up") {
            cluster.nodes[replica].ask(&["CLUSTER", "FAILOVER"]);
        }
        cluster.nodes[primary].ask(&["ROLE"]).starts_with("slave")
    });
    // Nobody asks the server anything here, and nobody has written.
    wait_until("the copy is not used", || !near.read_now("k", &mut |_| ()));
    answered(async || far.set("k", 2, Ttl::Never).await).await;
    assert_eq!(answered(async || near.get::<u8>("k").await).await, Some(2));
    has_copy(&near, "k").await;
}

/// The sentinels promote the replica, and the primary lives on: nobody is shown what it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_name_another_primary() {
    let sentinels = Sentinels::start();
    let (url, replica) = (sentinels.url(), &sentinels.replica);
    let bound = Duration::from_millis(400);
    let near = built(tiers(&url).max_staleness(bound));
    let far = other(&url);
    answered(async || far.set("k", 1, Ttl::Never).await).await;
    near.verify().await.unwrap();
    has_copy(&near, "k").await;
    sentinels.fail_over();
    // Until the old primary is told, it takes writes that will be lost.
    while replica.ask(&["GET", "cache:k"]) != "2" {
        answered(async || far.set("k", 2, Ttl::Never).await).await;
    }
    wait_until("the copy is not used", || !near.read_now("k", &mut |_| ()));
    while answered(async || near.get::<u8>("k").await).await != Some(2) {
        // The connection to the old primary, which has not been told.
        sleep(POLITE).await;
    }
    while replica.ask(&["GET", "cache:k"]) != "3" {
        answered(async || near.set("k", 3, Ttl::Never).await).await;
    }
    has_copy(&near, "k").await;
    assert_eq!(near.get::<u8>("k").await.unwrap(), Some(3));
}

/// The primary is gone before the sentinels name another: errors until then, and no copy of what it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_replace_a_primary_that_was_killed() {
    for coherence in [Coherence::Tracking, Coherence::Backplane] {
        let mut sentinels = Sentinels::start();
        let near = reader(&sentinels.url(), coherence, "cache:");
        let far = writer(&sentinels.url(), coherence, "cache:");
        far.set("k", 1, Ttl::Never).await.unwrap();
        has_copy(&near, "k").await;
        wait_until("the replica has it", || {
            sentinels.replica.ask(&["GET", "cache:k"]) == "1"
        });
        sentinels.primary.kill();
        let error = loop {
            match near.get::<u8>("k").await {
                Ok(value) => assert_eq!(value, Some(1)),
                Err(error) => break error,
            }
            sleep(POLITE).await;
        };
        assert!(error.is_connection(), "{error}");
        assert!(!near.read_now("k", &mut |_| ()));
        sentinels.fail_over();
        answered(async || far.set("k", 2, Ttl::Never).await).await;
        let written = (Some(2), Instant::now());
        assert_eq!(
            read_after(&near, coherence, "k", written, BOUND).await,
            Some(2)
        );
        has_copy(&near, "k").await;
        // Whoever writes is heard there, too.
        far.set("k", 3, Ttl::Never).await.unwrap();
        let written = (Some(3), Instant::now());
        assert_eq!(
            read_after(&near, coherence, "k", written, BOUND).await,
            Some(3)
        );
    }
}

/// A node that nobody replaces: its keys are errors, and those of the others are near as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed() {
    let mut cluster = Cluster::start();
    let near = built(tiers(cluster.url()));
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for key in keys {
        near.set(key, 1, Ttl::Never).await.unwrap();
    }
    let is_there = |node: &Server, key: &str| node.ask(&["GET", &format!("cache:{key}")]) == "1";
    let (lost, kept): (Vec<_>, Vec<_>) =
        (keys.into_iter()).partition(|key| is_there(&cluster.nodes[0], key));
    assert!(!lost.is_empty() && !kept.is_empty());
    for key in keys {
        has_copy(&near, key).await;
    }
    cluster.nodes[0].kill();
    for key in &lost {
        while let Ok(value) = near.get::<u8>(key).await {
            assert_eq!(value, Some(1));
            sleep(POLITE).await;
        }
        assert!(!near.read_now(key, &mut |_| ()));
    }
    let before = near.tier_stats().far_reads;
    for key in &kept {
        assert_eq!(near.get::<u8>(key).await.unwrap(), Some(1));
    }
    assert_eq!(near.tier_stats().far_reads, before);
    cluster.nodes[0].start_again();
    for key in &lost {
        caught_up(&near, key).await;
        let answer = answered(async || near.get::<u8>(key).await).await;
        assert_eq!(answer, None);
    }
}
