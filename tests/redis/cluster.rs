//! What only real clusters and sentinels can show: nodes that are lost, hash slots that move, failovers. Nothing here goes by the
//! clock: a failover is asked for, and calls are made until they work.

use crate::server::{Cluster, Sentinels, Server, wait_until};
use nori_cache::{CacheBackend, CacheBackendExt, Error, RedisCacheBackend, Ttl};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);

/// A budget that holds on a busy machine, too.
fn on(url: &str) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(MINUTE);
    Arc::new(builder.build().unwrap())
}

/// A key that lives on each node.
async fn keys_by_node(cluster: &Cluster) -> Vec<String> {
    let backend = on(&cluster.url());
    let mut keys = Vec::new();
    for node in &cluster.nodes {
        for nth in 0.. {
            let key = format!("on:{nth}");
            backend.set(&key, nth, Ttl::Never).await.unwrap();
            if node.ask(&["GET", &format!("cache:{key}")]) == nth.to_string() {
                keys.push(key);
                break;
            }
        }
    }
    keys
}

/// Calls until there is an answer. Until then each error is a broken connection, or none at all: no call runs out of time.
async fn answered<T>(call: impl AsyncFn() -> Result<T, Error>) -> T {
    loop {
        match call().await {
            Err(error) if error.is_connection() => sleep(POLITE).await,
            answer => return answer.unwrap(),
        }
    }
}

async fn works(backend: &RedisCacheBackend, key: &str) {
    answered(async || backend.set(key, 1, Ttl::Never).await).await;
}

/// A node is killed, and comes back where it was. Who is not there says so at once: all this takes no patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_lost_and_comes_back() {
    let mut cluster = Cluster::start();
    for node in &cluster.nodes {
        // What the others have stays in use.
        node.ask(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let keys = keys_by_node(&cluster).await;
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let backend = on(&cluster.url());
    for key in &keys {
        backend.set(key, 1, Ttl::Never).await.unwrap();
    }
    cluster.nodes[1].kill();
    let rounds = async |rounds: u32| {
        for round in 0..rounds {
            let error = backend.get::<u32>(&keys[1]).await.unwrap_err();
            assert!(error.is_connection(), "{error}");
            // Never a miss, not for one among many either.
            backend.get_many::<u32>(&names).await.unwrap_err();
            for other in [&keys[0], &keys[2]] {
                let value = backend.get::<u32>(other).await;
                let value = value.unwrap_or_else(|error| panic!("{round}: {error}"));
                assert_eq!(value, Some(1));
            }
        }
    };
    // As long as the others only miss it, and when they have given it up.
    rounds(20).await;
    cluster.set_node_timeout(1_000);
    let seen_by = |nth: usize, what: &str| cluster.nodes[nth].ask(&["CLUSTER", what]);
    wait_until("the others have given it up", || {
        [0, 2]
            .iter()
            .all(|&nth| seen_by(nth, "NODES").contains("master,fail,"))
    });
    cluster.set_node_timeout(60_000);
    wait_until("the others have not given each other up", || {
        [0, 2].iter().all(|&nth| {
            !seen_by(nth, "NODES").contains("fail?") && seen_by(nth, "INFO").contains("state:ok")
        })
    });
    rounds(20).await;
    backend.flush().await.unwrap_err();
    // Twice as long they do not believe that it is back.
    cluster.set_node_timeout(1_000);
    cluster.nodes[1].start_again();
    cluster.stay_whole();
    works(&backend, &keys[1]).await;
    backend.verify().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over() {
    let mut cluster = Cluster::with_replicas(1);
    let backend = on(&cluster.url());
    works(&backend, "k").await;
    let (primary, replica) = cluster.primary_and_replica();
    cluster.nodes[primary].kill();
    let error = backend.get::<u8>("k").await.unwrap_err();
    assert!(error.is_connection(), "{error}");
    // Not when the others have given the primary up, which is a matter of time, but now.
    let takeover = ["CLUSTER", "FAILOVER", "TAKEOVER"];
    assert_eq!(cluster.nodes[replica].ask(&takeover), "OK");
    let value = answered(async || backend.get::<u8>("k").await).await;
    assert_eq!(value, Some(1));
    works(&backend, "k").await;
    assert_eq!(cluster.nodes[replica].ask(&["GET", "cache:k"]), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_while_keys_are_in_use() {
    let cluster = Cluster::start();
    let backend = on(&cluster.url());
    let keys: Vec<String> = (0..500).map(|nth| format!("k{nth}")).collect();
    let entries = keys.iter().map(|key| (key.as_str(), 0));
    backend.set_many(entries, Ttl::Never).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicU64::new(0));
    let counting = {
        let (backend, stop, keys) = (Arc::clone(&backend), Arc::clone(&stop), keys.clone());
        let counted = Arc::clone(&rounds);
        tokio::spawn(async move {
            let mut rounds = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                for key in &keys {
                    backend.incr(key, Ttl::Never).await.unwrap();
                }
                let names: Vec<&str> = keys.iter().map(String::as_str).collect();
                rounds += 1;
                let all = backend.get_many::<u64>(&names).await.unwrap();
                assert!(all.iter().all(|n| *n == Some(rounds)), "{all:?}");
                counted.store(rounds, Ordering::Relaxed);
            }
        })
    };
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        cluster.reshard(from, to).join().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    counting.await.unwrap();
    assert!(rounds.load(Ordering::Relaxed) > 0);
    backend.flush().await.unwrap();
    let sizes = cluster.nodes.iter().map(|node| node.ask(&["DBSIZE"]));
    assert!(sizes.into_iter().all(|size| size == "0"));
}

#[tokio::test]
async fn one_server_is_no_cluster() {
    let server = Server::start();
    let backend = on(&format!("redis+cluster://{}", server.address()));
    let error = backend.verify().await.unwrap_err();
    assert!(
        error.is_rejected() && error.to_string().contains("cluster support disabled"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_name_another_primary() {
    let mut sentinels = Sentinels::start();
    let at = |service: &str| on(&sentinels.url_of(service));
    let backend = at("main");
    works(&backend, "k").await;
    assert_eq!(sentinels.primary.ask(&["GET", "cache:k"]), "1");
    wait_until("the replica has it", || {
        sentinels.replica.ask(&["GET", "cache:k"]) == "1"
    });
    let error = at("other").verify().await.unwrap_err();
    assert!(
        error.is_connection() && error.to_string().contains("knows no master \"other\""),
        "{error}"
    );

    sentinels.primary.kill();
    let error = backend.set("k", 1, Ttl::Never).await.unwrap_err();
    assert!(error.is_connection(), "{error}");
    sentinels.fail_over();
    works(&backend, "k").await;
    assert_eq!(sentinels.replica.ask(&["GET", "cache:k"]), "1");
}
