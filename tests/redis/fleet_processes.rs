//! One load for all processes, with processes: each runs the last test of this file, and plays the part that it is told to.

use crate::server::Server;
use nori_cache::{
    CacheBackend, CacheBackendExt, Error, Outcome, RedisCacheBackend, TieredCacheBackend, Ttl,
};
use std::env;
use std::future::pending;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(200);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);
const PROCESSES: u64 = 4;
const LOADS: u64 = 250;

fn on(url: &str, is_tiered: bool) -> Arc<dyn CacheBackend> {
    // A budget that holds on a busy machine, too.
    let redis = RedisCacheBackend::builder().url(url).timeout(MINUTE);
    if is_tiered {
        Arc::new(TieredCacheBackend::builder().redis(redis).build().unwrap())
    } else {
        Arc::new(redis.build().unwrap())
    }
}

/// Starts a process that plays this part.
fn start(server: &Server, part: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "fleet_processes::a_process_of_the_fleet",
            "--nocapture",
        ])
        .env("NORI_CACHE_TEST_FLEET", server.url())
        .env("NORI_CACHE_TEST_PART", part)
        .spawn()
        .unwrap()
}

/// Waits until a counter on the server, which is no part of any tier, is this high.
async fn reaches(backend: &dyn CacheBackend, counter: &str, least: u64) {
    loop {
        let value = backend.latest_value(counter).await.unwrap();
        let count: Option<u64> = value.map(|value| value.to().unwrap());
        if count.unwrap_or(0) >= least {
            return;
        }
        tokio::time::sleep(POLITE).await;
    }
}

#[tokio::test]
async fn four_processes_load_a_cold_key_once() {
    for part in ["plain", "tiered"] {
        let server = Server::start();
        let processes: Vec<Child> = (0..PROCESSES).map(|_| start(&server, part)).collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success(), "{part}");
        }
        assert_eq!(server.ask(&["GET", "cache:loads"]), "1", "{part}");
        assert_eq!(server.ask(&["GET", "cache:begun"]), PROCESSES.to_string());
    }
}

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced() {
    for is_tiered in [false, true] {
        let server = Server::start();
        let backend = on(&server.url(), is_tiered);
        let mut leader = start(&server, "dies");
        reaches(&*backend, "loads", 1).await;
        leader.kill().unwrap();
        leader.wait().unwrap();
        let load = backend.load("cold").fleet_single_flight();
        let answer = load.answer_or_load(async |_| Ok::<u64, Error>(2));
        let answer = answer.await.unwrap();
        assert!(matches!(answer.outcome(), Outcome::Loaded));
        assert_eq!(backend.get::<u64>("cold").await.unwrap(), Some(2));
    }
}

/// One of the processes of the tests above; does nothing by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_the_fleet() {
    let Ok(url) = env::var("NORI_CACHE_TEST_FLEET") else {
        return;
    };
    let part = env::var("NORI_CACHE_TEST_PART").unwrap();
    let backend = on(&url, part == "tiered");
    if part == "dies" {
        let load = backend.load("cold").fleet_single_flight();
        let counter = backend.clone();
        let load = load.fleet_lease(SHORT).or_load(async move |_| {
            counter.incr("loads", Ttl::Never).await?;
            pending::<Result<u64, Error>>().await
        });
        load.await.unwrap();
        return;
    }
    backend.incr("begun", Ttl::Never).await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..LOADS {
        let backend = backend.clone();
        tasks.spawn(async move {
            let source = backend.clone();
            let load = backend.load("cold").fleet_single_flight();
            let load = load.fleet_lease(HOUR).or_load(async move |_| {
                reaches(&*source, "begun", PROCESSES).await;
                let loads = source.incr("loads", Ttl::Never).await?;
                Ok::<u64, Error>(loads.unsigned_abs())
            });
            assert_eq!(load.await.unwrap(), 1);
        });
    }
    tasks.join_all().await;
}
