//! What a backend does while its server is down, paused, restarted, full, or holds something else.

use crate::server::{Cluster, Server};
use crate::within::within;
use nori_cache::{CacheBackend, CacheBackendExt, Error, RedisCacheBackend, Ttl};
use std::cell::Cell;
use std::collections::HashSet;
use std::env;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
const BUDGET: Duration = Duration::from_millis(500);
/// What a busy machine may add to it.
const GRACE: Duration = Duration::from_millis(500);
/// How soon a backend must work again once its server does.
const RECOVERY: Duration = Duration::from_secs(1);

fn on(url: impl Into<String>) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(BUDGET);
    Arc::new(builder.build().unwrap())
}

fn patient(url: impl Into<String>) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(MINUTE);
    Arc::new(builder.build().unwrap())
}

/// Runs a call, which must end in time, and says how long it took.
async fn timed<T>(call: impl Future<Output = Result<T, Error>>) -> (Result<T, Error>, Duration) {
    within(BUDGET + GRACE, call).await
}

fn is_lost(error: &Error) -> bool {
    error.is_connection() || error.is_timeout()
}

/// Calls until it works, which it must within `limit`.
async fn works(backend: &RedisCacheBackend, key: &str, limit: Duration) {
    let calling = async {
        while let Err(error) = timed(backend.set(key, 1, Ttl::Never)).await.0 {
            assert!(is_lost(&error), "{error}");
            sleep(Duration::from_millis(5)).await;
        }
    };
    within(limit, calling).await;
}

/// Every call fails, in time and with the name of what was tried.
async fn every_call_fails(backend: &RedisCacheBackend) {
    let calls: [(&str, Result<(), Error>); 9] = [
        ("get", timed(backend.get::<u8>("k")).await.0.map(drop)),
        ("set", timed(backend.set("k", 1, MINUTE)).await.0),
        ("delete", timed(backend.delete("k")).await.0.map(drop)),
        ("incr", timed(backend.incr("k", MINUTE)).await.0.map(drop)),
        ("ttl", timed(backend.ttl("k")).await.0.map(drop)),
        (
            "get_many",
            timed(backend.get_many::<u8>(&["k", "l"])).await.0.map(drop),
        ),
        (
            "set_many",
            timed(backend.set_many([("k", 1), ("l", 2)], MINUTE))
                .await
                .0,
        ),
        ("flush", timed(backend.flush()).await.0),
        ("verify", timed(backend.verify()).await.0),
    ];
    for (name, answer) in calls {
        let error = answer.expect_err(name);
        assert!(is_lost(&error), "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    // A port of a service that nobody runs any more. It refuses at once: this takes no patience.
    let backend = patient("redis://127.0.0.1:1");
    every_call_fails(&backend).await;
    // With the breaker open, at once.
    let calls = async {
        for _ in 0..1_000 {
            assert!(backend.get::<u8>("k").await.unwrap_err().is_connection());
        }
    };
    within(Duration::from_secs(1), calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_back_is_used_at_once() {
    let mut server = Server::start();
    let backend = on(server.url());
    works(&backend, "k", MINUTE).await;
    server.kill();
    every_call_fails(&backend).await;
    server.start_again();
    works(&backend, "k", RECOVERY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back() {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let backend = on(server.url());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let (backend, stop) = (Arc::clone(&backend), Arc::clone(&stop));
        let acknowledged = Arc::clone(&acknowledged);
        tasks.spawn(async move {
            let (mut unknown, mut failed) = (0, false);
            while !stop.load(Ordering::Relaxed) {
                match timed(backend.incr("n", Ttl::Never)).await.0 {
                    Ok(_) => {
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        failed = false;
                    }
                    Err(error) => {
                        assert!(is_lost(&error), "{error}");
                        // What was on its way may have taken place, also on a server that a busy disk holds up; what came
                        // while there was no connection has not.
                        unknown += u64::from(!failed || error.is_timeout());
                        failed = error.is_connection();
                        sleep(Duration::from_millis(2)).await;
                    }
                }
            }
            unknown
        });
    }
    sleep(Duration::from_millis(300)).await;
    server.kill();
    sleep(Duration::from_millis(700)).await;
    every_call_fails(&backend).await;
    server.start_again();
    // It writes to a disk that others may be busy with.
    works(&backend, "other", MINUTE).await;
    sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    let unknown: u64 = tasks.join_all().await.into_iter().sum();
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    let stored = patient(server.url()).get::<u64>("n").await;
    let stored = stored.unwrap().unwrap();
    assert!(stored >= acknowledged, "{stored} of {acknowledged}");
    assert!(
        stored <= acknowledged + unknown,
        "{stored} of {acknowledged} + {unknown}: something was done twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_paused() {
    let server = Server::start();
    let backend = on(server.url());
    works(&backend, "k", MINUTE).await;
    server.pause();
    let error = timed(backend.get::<u8>("k")).await.0.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    every_call_fails(&backend).await;
    // One waits for the next attempt, nobody else.
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            let (answer, took) = timed(backend.get::<u8>("k")).await;
            answer.unwrap_err();
            took > BUDGET / 2
        });
    }
    let waited = tasks.join_all().await.into_iter().filter(|waited| *waited);
    assert!(waited.count() <= 2);
    server.resume();
    works(&backend, "k", RECOVERY).await;
    let value = patient(server.url()).get::<u8>("k").await;
    assert_eq!(value.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_command_does_not_take_others_along() {
    let server = Server::start();
    let backend = patient(server.url());
    // Under way when the server stops for less than a call may take.
    let mut tasks = JoinSet::new();
    for nth in 0..32 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            sleep(Duration::from_millis(nth * 3)).await;
            timed(backend.incr("n", MINUTE)).await.0.unwrap();
        });
    }
    sleep(Duration::from_millis(20)).await;
    server.pause();
    sleep(Duration::from_millis(150)).await;
    server.resume();
    tasks.join_all().await;
    assert_eq!(backend.get::<u8>("n").await.unwrap(), Some(32));
}

#[tokio::test]
async fn a_restart_between_calls_goes_unnoticed() {
    let mut server = Server::start();
    let backend = patient(server.url());
    backend.set("k", 1, Ttl::Never).await.unwrap();
    server.restart();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(backend.get::<u8>("k").await.unwrap(), None);
    assert_eq!(backend.incr("k", MINUTE).await.unwrap(), 1);
}

#[tokio::test]
async fn scripts_that_were_flushed_and_clients_that_were_killed() {
    let server = Server::start();
    let backend = patient(server.url());
    for nth in 1..50 {
        assert_eq!(backend.incr("n", MINUTE).await.unwrap(), nth);
        server.ask(&["SCRIPT", "FLUSH"]);
        backend
            .atomic_update("u", None, async |n: Option<u8>| n.unwrap_or(0))
            .await
            .unwrap();
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        // The news has to arrive, and the connection's task to read it.
        sleep(Duration::from_millis(5)).await;
        for _ in 0..10 {
            yield_now().await;
        }
    }
}

#[tokio::test]
async fn readers_do_not_notice_that_clients_are_killed() {
    let server = Server::start();
    let backend = patient(server.url());
    backend.set("k", 1, Ttl::Never).await.unwrap();
    let reads = Cell::new(0_u32);
    let killer = async {
        let mut kills = 0;
        while kills < 100 || reads.get() < 100 {
            server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
            kills += 1;
            sleep(Duration::from_millis(3)).await;
        }
    };
    let reader = async {
        loop {
            // A second break in the middle of the second try is bad luck.
            match backend.get::<u8>("k").await {
                Ok(value) => assert_eq!(value, Some(1)),
                Err(error) => assert!(error.is_connection(), "{error}"),
            }
            reads.set(reads.get() + 1);
            yield_now().await;
        }
    };
    let both = async {
        tokio::select! {
            () = killer => {}
            () = reader => {}
        }
    };
    within(MINUTE, both).await;
}

#[tokio::test]
async fn a_server_that_is_full() {
    let server = Server::with(&["--maxmemory-policy", "noeviction"]);
    let backend = patient(server.url());
    backend.set("old", 1, Ttl::Never).await.unwrap();
    backend
        .set("big", "x".repeat(4 << 20), Ttl::Never)
        .await
        .unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", "3mb"]);
    for error in [
        backend.set("old", 2, MINUTE).await.unwrap_err(),
        backend.incr("old", MINUTE).await.unwrap_err(),
        backend.incr("new", MINUTE).await.unwrap_err(),
        backend
            .set_many([("a", 1), ("b", 2)], MINUTE)
            .await
            .unwrap_err(),
        backend
            .atomic_update("old", None, async |_: Option<u8>| 3)
            .await
            .unwrap_err(),
    ] {
        assert!(error.is_rejected(), "{error}");
        assert!(error.to_string().contains("OOM"), "{error}");
    }
    assert_eq!(backend.get::<u8>("old").await.unwrap(), Some(1));
    assert!(backend.delete("big").await.unwrap());
    crate::server::wait_until("the memory is back", || {
        server
            .ask(&["INFO", "memory"])
            .contains("lazyfree_pending_objects:0")
            && server.ask(&["SET", "probe", "1"]) == "OK"
    });
    backend.set("old", 2, MINUTE).await.unwrap();
}

#[tokio::test]
async fn something_else_under_our_key() {
    let server = Server::start();
    let backend = patient(server.url());
    server.ask(&["RPUSH", "cache:list", "a"]);
    for error in [
        backend.get::<u8>("list").await.unwrap_err(),
        backend.incr("list", MINUTE).await.unwrap_err(),
        backend
            .atomic_update("list", None, async |_: Option<u8>| 1)
            .await
            .unwrap_err(),
    ] {
        assert!(error.is_wrong_type(), "{error}");
        assert!(error.to_string().contains("\"list\""), "{error}");
    }
    assert_eq!(server.ask(&["TYPE", "cache:list"]), "list");
    assert_eq!(backend.get_many::<u8>(&["list"]).await.unwrap(), [None]);
    assert!(backend.delete("list").await.unwrap());
    server.ask(&["RPUSH", "cache:list", "a"]);
    backend.set("list", 1, MINUTE).await.unwrap();
    assert_eq!(backend.get::<u8>("list").await.unwrap(), Some(1));
}

#[tokio::test]
async fn large_values_and_long_and_odd_keys() {
    let server = Server::start();
    let backend = patient(server.url());
    let value = "v".repeat(64 << 20);
    backend.set("big", value.clone(), MINUTE).await.unwrap();
    assert!(backend.get::<String>("big").await.unwrap().unwrap() == value);
    drop(value);

    let long = "k".repeat(1 << 20);
    let odd = [
        "",
        " ",
        "a\nb\r\nc",
        "\0",
        "*?[a-z]\\^",
        "ü✓日本",
        "{",
        "{}",
        "}{",
        &long,
    ];
    for (nth, key) in (0_u32..).zip(odd) {
        backend.set(key, nth, MINUTE).await.unwrap();
    }
    let found = backend.get_many::<u32>(&odd).await.unwrap();
    assert!(
        found
            .into_iter()
            .zip(0..)
            .all(|(found, nth)| found == Some(nth))
    );
    let error = backend.get::<Vec<u8>>(&long).await.unwrap_err();
    assert!(error.to_string().len() < 500);
    for key in odd {
        assert_eq!(
            backend.incr(key, MINUTE).await.unwrap(),
            backend.get::<i64>(key).await.unwrap().unwrap()
        );
        assert!(backend.delete(key).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_keys_flushed_while_others_write() {
    let server = Server::start();
    let cluster = Cluster::start();
    for (backend, foreign) in [
        (patient(server.url()), vec![&server]),
        (patient(cluster.url()), Vec::new()),
    ] {
        for server in &foreign {
            server.ask(&["SET", "cach", "stays"]);
            server.ask(&["SET", "cachet:", "stays"]);
        }
        let keys: Vec<String> = (0..10_000).map(|nth| format!("k{nth}")).collect();
        let entries = keys.iter().map(|key| (key.as_str(), 1));
        backend.set_many(entries, Ttl::Never).await.unwrap();
        let writer = {
            let backend = Arc::clone(&backend);
            tokio::spawn(async move {
                for nth in 0..2_000 {
                    backend
                        .set(&format!("new{nth}"), nth, MINUTE)
                        .await
                        .unwrap();
                }
            })
        };
        backend.flush().await.unwrap();
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let left = backend.get_many::<u8>(&names).await.unwrap();
        assert!(left.iter().all(Option::is_none));
        writer.await.unwrap();
        for server in &foreign {
            assert_eq!(server.ask(&["MGET", "cach", "cachet:"]), "stays\nstays");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_count_and_update() {
    let server = Server::start();
    let children: Vec<_> = (0..2)
        .map(|_| {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "faults::a_process_that_counts", "--nocapture"])
                .env("NORI_CACHE_TEST_URL", server.url())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let backend = patient(server.url());
    assert_eq!(backend.get::<u64>("n").await.unwrap(), Some(8_000));
    assert_eq!(backend.get::<u64>("u").await.unwrap(), Some(800));
    // The first of them gave it its time to live; nobody has changed that.
    assert!(matches!(backend.ttl("n").await.unwrap(), Some(Ttl::After(left)) if left <= MINUTE));
}

/// One of the two processes of the test above; does nothing by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_counts() {
    let Ok(url) = env::var("NORI_CACHE_TEST_URL") else {
        return;
    };
    let backend = patient(url);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            let mut seen = HashSet::new();
            for _ in 0..500 {
                assert!(seen.insert(backend.incr("n", MINUTE).await.unwrap()));
            }
            for _ in 0..50 {
                let add = async |n: Option<u64>| n.unwrap_or(0) + 1;
                backend.atomic_update("u", None, add).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}
