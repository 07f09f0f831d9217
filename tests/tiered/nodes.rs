//! Clusters whose hash slots move and whose primaries fail: copies of what another node has by now are not used.

use crate::server::{Cluster, Sentinels, Server, wait_until};
use crate::{MINUTE, POLITE, built, caught_up, has_copy, other, tiers};
use nori_cache::{CacheBackend, CacheBackendExt, Error, Ttl};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    const KEYS: u32 = 100;
    let cluster = Cluster::start();
    let (near, far) = (built(tiers(cluster.url())), other(cluster.url()));
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
    let ids: Vec<String> = (cluster.nodes.iter())
        .map(|node| node.ask(&["CLUSTER", "MYID"]))
        .collect();
    let mut round = 0;
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let mut moving = Command::new("redis-cli")
            .args(["--cluster", "reshard", &cluster.nodes[0].address()])
            .args(["--cluster-yes", "--cluster-slots", "500"])
            .args(["--cluster-from", &ids[from], "--cluster-to", &ids[to]])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        loop {
            let moved = moving.try_wait().unwrap();
            round += 1;
            for nth in 0..KEYS {
                far.set(&key(nth), round, MINUTE).await.unwrap();
                caught_up(&near, &key(nth)).await;
                let value = near.get::<u32>(&key(nth)).await.unwrap();
                assert_eq!(value, Some(round), "{}", key(nth));
            }
            if let Some(moved) = moved {
                assert!(moved.success());
                break;
            }
        }
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
    let holds = |node: &Server| {
        node.ask(&["ROLE"]).starts_with("master") && node.ask(&["GET", "cache:k"]) == "1"
    };
    let primary = cluster.nodes.iter().position(holds).unwrap();
    let replica = 3 + primary;
    wait_until("the replica has it", || {
        let keys = cluster.nodes[replica].ask(&["DBSIZE"]);
        let info = cluster.nodes[replica].ask(&["INFO", "replication"]);
        info.contains("master_link_status:up") && keys == "1"
    });
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
    let bound = std::time::Duration::from_millis(400);
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
    let bound = std::time::Duration::from_millis(400);
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
