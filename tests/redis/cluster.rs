//! Clusters and sentinels that lose nodes, move slots and fail over.

use crate::server::{Cluster, Server, free_port, wait_until};
use crate::within::within;
use nori_cache::{CacheBackend, CacheBackendExt, Error, RedisCacheBackend, Ttl};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
const BUDGET: Duration = Duration::from_millis(500);
const GRACE: Duration = Duration::from_millis(500);

fn on(url: &str) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(BUDGET);
    Arc::new(builder.build().unwrap())
}

fn patient(url: &str) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(MINUTE);
    Arc::new(builder.build().unwrap())
}

/// Runs a call, which must end in time.
async fn timed<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    within(BUDGET + GRACE, call).await.0
}

fn is_lost(error: &Error) -> bool {
    error.is_connection() || error.is_timeout()
}

/// A key that lives on each node.
async fn keys_by_node(cluster: &Cluster) -> Vec<String> {
    let backend = patient(&cluster.url());
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

/// Writes a key until that works, which it must within `limit`.
async fn works(backend: &RedisCacheBackend, key: &str, limit: Duration) {
    answered(limit, async || backend.set(key, 1, Ttl::Never).await).await;
}

/// Calls until there is an answer, which must be within `limit`.
async fn answered<T>(limit: Duration, call: impl AsyncFn() -> Result<T, Error>) -> T {
    let calling = async {
        loop {
            match timed(call()).await {
                Err(error) if is_lost(&error) => sleep(Duration::from_millis(5)).await,
                answer => return answer.unwrap(),
            }
        }
    };
    within(limit, calling).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_lost_and_comes_back() {
    let mut cluster = Cluster::start();
    for node in &cluster.nodes {
        // What the others have stays in use.
        node.ask(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let keys = keys_by_node(&cluster).await;
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    // Who is not there says so at once: all this takes no patience.
    let backend = patient(&cluster.url());
    for key in &keys {
        backend.set(key, 1, Ttl::Never).await.unwrap();
    }
    cluster.nodes[1].kill();
    for round in 0..220 {
        if round == 200 {
            // Until now the others have only missed it.
            cluster.set_node_timeout(1_000);
            wait_until("the others have given it up", || {
                let seen_by = |nth: usize| cluster.nodes[nth].ask(&["CLUSTER", "NODES"]);
                seen_by(0).contains("master,fail ") && seen_by(2).contains("master,fail ")
            });
            cluster.set_node_timeout(60_000);
        }
        let error = timed(backend.get::<u32>(&keys[1])).await.unwrap_err();
        assert!(is_lost(&error), "{error}");
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
    cluster.set_node_timeout(1_000);
    cluster.nodes[1].start_again();
    cluster.wait_until_whole();
    works(&backend, &keys[1], Duration::from_secs(1)).await;
    backend.verify().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_paused() {
    let cluster = Cluster::start();
    for node in &cluster.nodes {
        node.ask(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let keys = keys_by_node(&cluster).await;
    let backend = on(&cluster.url());
    for key in &keys {
        works(&backend, key, MINUTE).await;
    }
    cluster.nodes[0].pause();
    let mut late = 0;
    for _ in 0..20 {
        timed(backend.get::<u32>(&keys[0])).await.unwrap_err();
        for other in &keys[1..] {
            match timed(backend.get::<u32>(other)).await {
                Ok(value) => assert!(value.is_some()),
                // A machine that stands still for the whole budget makes one call late, not all of them.
                Err(error) if error.is_timeout() => {
                    late += 1;
                    timed(backend.get::<u32>(other)).await.unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert!(late <= 3, "{late} of 40 calls of nodes that answer");
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
    works(&backend, &keys[0], Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over() {
    let mut cluster = Cluster::with_replicas(1);
    let backend = on(&cluster.url());
    works(&backend, "k", MINUTE).await;
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
    cluster.set_node_timeout(5_000);
    cluster.nodes[master].kill();
    let started = Instant::now();
    works(&backend, "k", 2 * MINUTE).await;
    println!(
        "a replica was in use {:?} after the kill",
        started.elapsed()
    );
    let value = answered(MINUTE, async || backend.get::<u8>("k").await).await;
    assert_eq!(value, Some(1));
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
                    backend.incr(key, Ttl::Never).await.unwrap();
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
    let backend = patient(&format!("redis+cluster://{}", server.address()));
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
        let file = crate::server::fresh_dir().join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds main 5000\nsentinel failover-timeout main 3000\n",
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

    fn ask(&self, command: &[&str]) -> String {
        crate::server::ask_at(self.1, command).unwrap_or_default()
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
    works(&backend, "k", MINUTE).await;
    assert_eq!(master.ask(&["GET", "cache:k"]), "1");
    wait_until("the replica has it", || {
        replica.ask(&["GET", "cache:k"]) == "1"
    });
    wait_until(
        "the sentinels have found each other and the replica",
        || {
            sentinels.iter().all(|sentinel| {
                let known = sentinel.ask(&["SENTINEL", "MASTER", "main"]);
                known.contains("num-slaves\n1\n") && known.contains("num-other-sentinels\n2\n")
            })
        },
    );

    let unknown = patient(&format!("redis+sentinel://{}/other", ports.join(",")));
    let error = timed(unknown.verify()).await.unwrap_err();
    assert!(
        error.is_connection() && error.to_string().contains("knows no master \"other\""),
        "{error}"
    );

    master.kill();
    let started = Instant::now();
    works(&backend, "k", 2 * MINUTE).await;
    println!(
        "the other master was in use {:?} after the kill",
        started.elapsed()
    );
    assert_eq!(replica.ask(&["GET", "cache:k"]), "1");
    assert!(replica.ask(&["ROLE"]).starts_with("master"));
}
