//! Clusters and sentinels that lose nodes, move slots and fail over.
#![cfg(feature = "redis")]

#[path = "redis/server.rs"]
mod server;

use nori_cache::{CacheBackend, CacheBackendExt, Error, RedisCacheBackend, Ttl};
use server::{Cluster, Server, free_port, wait_until};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const BUDGET: Duration = Duration::from_millis(500);
const GRACE: Duration = Duration::from_millis(500);

fn on(url: &str) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(BUDGET);
    Arc::new(builder.build().unwrap())
}

async fn timed<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let started = Instant::now();
    let answer = call.await;
    assert!(
        started.elapsed() < BUDGET + GRACE,
        "took {:?}",
        started.elapsed()
    );
    answer
}

/// A key that lives on each node.
async fn keys_by_node(cluster: &Cluster, backend: &RedisCacheBackend) -> Vec<String> {
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

async fn works_soon(backend: &RedisCacheBackend, key: &str, limit: Duration) {
    let started = Instant::now();
    while let Err(error) = timed(backend.set(key, 1, Ttl::Never)).await {
        assert!(error.is_connection() || error.is_timeout(), "{error}");
        assert!(started.elapsed() < limit, "not yet back: {error}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_lost_and_comes_back() {
    let mut cluster = Cluster::start();
    for node in &cluster.nodes {
        // What the others have stays in use.
        node.ask(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let backend = on(&cluster.url());
    let keys = keys_by_node(&cluster, &backend).await;
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    cluster.nodes[1].kill();
    for round in 0..200 {
        let error = timed(backend.get::<u32>(&keys[1])).await.unwrap_err();
        assert!(error.is_connection() || error.is_timeout(), "{error}");
        // Never a miss, not for one among many either.
        timed(backend.get_many::<u32>(&names)).await.unwrap_err();
        for other in [&keys[0], &keys[2]] {
            let value = timed(backend.get::<u32>(other)).await;
            assert!(
                value
                    .unwrap_or_else(|error| panic!("{round}: {error}"))
                    .is_some()
            );
        }
    }
    timed(backend.flush()).await.unwrap_err();
    cluster.nodes[1].start_again();
    cluster.wait_until_whole();
    works_soon(&backend, &keys[1], Duration::from_secs(1)).await;
    backend.verify().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_paused() {
    let cluster = Cluster::start();
    for node in &cluster.nodes {
        node.ask(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
        node.ask(&["CONFIG", "SET", "cluster-node-timeout", "60000"]);
    }
    let backend = on(&cluster.url());
    let keys = keys_by_node(&cluster, &backend).await;
    cluster.nodes[0].pause();
    for _ in 0..20 {
        timed(backend.get::<u32>(&keys[0])).await.unwrap_err();
        for other in &keys[1..] {
            assert!(timed(backend.get::<u32>(other)).await.unwrap().is_some());
        }
    }
    let many: Vec<String> = (0..900).map(|nth| format!("many:{nth}")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    for _ in 0..3 {
        timed(backend.get_many::<u32>(&names)).await.unwrap_err();
        timed(backend.delete_many(&names)).await.unwrap_err();
    }
    // Of a cluster that does not answer at all, neither.
    cluster.nodes.iter().for_each(Server::pause);
    let other = on(&cluster.url());
    for backend in [&backend, &other, &other] {
        timed(backend.get_many::<u32>(&names)).await.unwrap_err();
        timed(backend.get::<u32>(&keys[1])).await.unwrap_err();
        timed(backend.flush()).await.unwrap_err();
        timed(backend.verify()).await.unwrap_err();
    }
    cluster.nodes.iter().for_each(Server::resume);
    works_soon(&backend, &keys[0], Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over() {
    let mut cluster = Cluster::with_replicas(1);
    let backend = on(&cluster.url());
    backend.set("k", 1, Ttl::Never).await.unwrap();
    let holds = |node: &Server| {
        node.ask(&["ROLE"]).starts_with("master") && node.ask(&["GET", "cache:k"]) == "1"
    };
    let master = cluster.nodes.iter().position(holds).unwrap();
    wait_until("the replicas are in step", || {
        let is_behind = |node: &Server| {
            let info = node.ask(&["INFO", "replication"]);
            info.contains("role:slave") && !info.contains("master_link_status:up")
        };
        !cluster.nodes.iter().any(is_behind)
    });
    cluster.nodes[master].kill();
    let started = Instant::now();
    works_soon(&backend, "k", Duration::from_secs(30)).await;
    println!(
        "a replica was in use {:?} after the kill",
        started.elapsed()
    );
    assert_eq!(backend.get::<u8>("k").await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_while_keys_are_in_use() {
    let cluster = Cluster::start();
    let builder = RedisCacheBackend::builder().url(cluster.url());
    let backend = Arc::new(builder.timeout(Duration::from_secs(20)).build().unwrap());
    let keys: Vec<String> = (0..500).map(|nth| format!("k{nth}")).collect();
    let entries = keys.iter().map(|key| (key.as_str(), 0));
    backend.set_many(entries, Ttl::Never).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let counting = {
        let (backend, stop, keys) = (Arc::clone(&backend), Arc::clone(&stop), keys.clone());
        tokio::spawn(async move {
            let mut rounds = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                for key in &keys {
                    backend.incr(key, 1, Ttl::Never).await.unwrap();
                }
                let names: Vec<&str> = keys.iter().map(String::as_str).collect();
                rounds += 1;
                let all = backend.get_many::<u64>(&names).await.unwrap();
                assert!(all.iter().all(|n| *n == Some(rounds)), "{all:?}");
            }
            rounds
        })
    };
    let ids: Vec<String> = cluster
        .nodes
        .iter()
        .map(|node| node.ask(&["CLUSTER", "MYID"]))
        .collect();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let moved = Command::new("redis-cli")
            .args([
                "--cluster",
                "reshard",
                &cluster.nodes[0].address(),
                "--cluster-yes",
            ])
            .args([
                "--cluster-from",
                &ids[from],
                "--cluster-to",
                &ids[to],
                "--cluster-slots",
                "1500",
            ])
            .stdout(Stdio::null())
            .status();
        assert!(moved.unwrap().success());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(counting.await.unwrap() > 0);
    backend.flush().await.unwrap();
    let sizes = cluster.nodes.iter().map(|node| node.ask(&["DBSIZE"]));
    assert!(sizes.into_iter().all(|size| size == "0"));
}

#[tokio::test]
async fn one_server_is_no_cluster() {
    let server = Server::start();
    let backend = on(&format!("redis+cluster://{}", server.address()));
    let error = timed(backend.verify()).await.unwrap_err();
    assert!(
        error.is_rejected() && error.to_string().contains("cluster support disabled"),
        "{error}"
    );
}

/// A sentinel, which ends with this value.
struct Sentinel(Child, u16);

impl Sentinel {
    fn start(master: &Server) -> Self {
        let port = free_port();
        let file = server::fresh_dir().join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 3000\n",
            master.port
        );
        fs::write(&file, settings).unwrap();
        let child = Command::new("redis-server")
            .arg(file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap(), port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_name_another_master() {
    let mut master = Server::start();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    wait_until("the replica is in step", || {
        replica
            .ask(&["INFO", "replication"])
            .contains("master_link_status:up")
    });
    let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::start(&master)).collect();
    let ports: Vec<String> = sentinels
        .iter()
        .map(|s| format!("127.0.0.1:{}", s.1))
        .collect();
    let backend = on(&format!("redis+sentinel://{}/main", ports.join(",")));
    works_soon(&backend, "k", Duration::from_secs(20)).await;
    assert_eq!(master.ask(&["GET", "cache:k"]), "1");
    wait_until("the replica has it", || {
        replica.ask(&["GET", "cache:k"]) == "1"
    });
    // The sentinels have to find each other and the replica first.
    sleep(Duration::from_secs(3)).await;

    let unknown = on(&format!("redis+sentinel://{}/other", ports.join(",")));
    let error = timed(unknown.verify()).await.unwrap_err();
    assert!(
        error.is_connection() && error.to_string().contains("knows no master \"other\""),
        "{error}"
    );

    master.kill();
    let started = Instant::now();
    works_soon(&backend, "k", Duration::from_secs(30)).await;
    println!(
        "the other master was in use {:?} after the kill",
        started.elapsed()
    );
    assert_eq!(replica.ask(&["GET", "cache:k"]), "1");
    assert!(replica.ask(&["ROLE"]).starts_with("master"));
}
