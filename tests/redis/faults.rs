//! What only a real server can show of trouble: persistence over a kill, restarts, scripts that are gone, memory that is full,
//! other types under our keys, other processes. Nothing here goes by the clock; what depends on time is in `outages` and `nodes`.

use crate::server::{Server, shared_cluster, wait_until};
use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend, Ttl, Value};
use std::collections::HashSet;
use std::env;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);

/// A budget that holds on a busy machine, too.
fn on(url: impl Into<String>) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(MINUTE);
    Arc::new(builder.build().unwrap())
}

/// Calls until it works.
async fn works(backend: &RedisCacheBackend, key: &str) {
    while let Err(error) = backend.set(key, 1, Ttl::Never).await {
        assert!(error.is_connection(), "{error}");
        sleep(POLITE).await;
    }
}

/// Waits until a count has come so far.
async fn reaches(count: &watch::Sender<u64>, value: u64) {
    let mut count = count.subscribe();
    count.wait_for(|count| *count >= value).await.unwrap();
}

/// Counters on a server that keeps everything, while it is killed and comes back: what was acknowledged is there, and nothing was
/// done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back() {
    const TASKS: u64 = 64;
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let backend = on(server.url());
    let acknowledged = Arc::new(watch::Sender::new(0));
    // The tasks that were told that the server is not there, and not only that their connection broke.
    let turned_away = Arc::new(watch::Sender::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (backend, stop) = (Arc::clone(&backend), Arc::clone(&stop));
        let (acknowledged, turned_away) = (Arc::clone(&acknowledged), Arc::clone(&turned_away));
        tasks.spawn(async move {
            let (mut unknown, mut failures) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                match backend.incr("n", Ttl::Never).await {
                    Ok(_) => {
                        acknowledged.send_modify(|count| *count += 1);
                        failures = 0;
                    }
                    Err(error) => {
                        assert!(error.is_connection(), "{error}");
                        // What was on its way may have taken place. What came while there was no connection has not.
                        unknown += u64::from(failures == 0);
                        failures += 1;
                        turned_away.send_modify(|count| *count += u64::from(failures == 2));
                        sleep(POLITE).await;
                    }
                }
            }
            unknown
        });
    }
    reaches(&acknowledged, 10 * TASKS).await;
    server.kill();
    reaches(&turned_away, TASKS).await;
    server.start_again();
    works(&backend, "other").await;
    let before = *acknowledged.borrow();
    reaches(&acknowledged, before + 10 * TASKS).await;
    stop.store(true, Ordering::Relaxed);
    let unknown: u64 = tasks.join_all().await.into_iter().sum();
    let acknowledged = *acknowledged.borrow();
    let stored = on(server.url()).get::<u64>("n").await.unwrap().unwrap();
    assert!(stored >= acknowledged, "{stored} of {acknowledged}");
    assert!(
        stored <= acknowledged + unknown,
        "{stored} of {acknowledged} + {unknown}: something was done twice"
    );
}

#[tokio::test]
async fn a_restart_between_calls_goes_unnoticed() {
    let mut server = Server::start();
    let backend = on(server.url());
    backend.set("k", 1, Ttl::Never).await.unwrap();
    for _ in 0..3 {
        server.restart();
        // A read: that the old connection is gone may not be known yet.
        assert_eq!(backend.get::<u8>("k").await.unwrap(), None);
        assert_eq!(backend.incr("k", MINUTE).await.unwrap(), 1);
    }
}

/// Scripts that the server has forgotten are sent again; of a connection that the server has closed, readers notice nothing.
#[tokio::test]
async fn scripts_that_were_flushed_and_clients_that_were_killed() {
    let server = Server::start();
    let backend = on(server.url());
    for nth in 1..50 {
        assert_eq!(backend.incr("n", MINUTE).await.unwrap(), nth);
        server.ask(&["SCRIPT", "FLUSH"]);
        let update = async |n: Option<u8>| n.unwrap_or(0);
        backend.atomic_update("u", None, update).await.unwrap();
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        let mut readers = JoinSet::new();
        for _ in 0..8 {
            let backend = Arc::clone(&backend);
            readers.spawn(async move { backend.get::<i64>("n").await });
        }
        for value in readers.join_all().await {
            assert_eq!(value.unwrap(), Some(nth));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_full() {
    let server = Server::with(&["--maxmemory-policy", "noeviction"]);
    let backend = on(server.url());
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
    wait_until("the memory is back", || {
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
    let backend = on(server.url());
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
    let backend = on(server.url());
    // Not as a string: in tests JSON takes its time, and `codec` has tests of its own.
    let value = Value::encoded(format!("\"{}\"", "v".repeat(64 << 20)));
    let never = Ttl::Never;
    backend
        .set_value("big", value.clone(), never)
        .await
        .unwrap();
    let found = backend.get_value("big").await.unwrap().unwrap();
    assert!(found.is_same(&value));
    assert!(backend.delete("big").await.unwrap());
    drop((found, value));

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
    let error = backend.strict().get::<Vec<u8>>(&long).await.unwrap_err();
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
    let cluster = RedisCacheBackend::builder().url(shared_cluster().url());
    let cluster = cluster.prefix("flushed:").timeout(MINUTE).build().unwrap();
    for (backend, foreign) in [
        (on(server.url()), vec![&server]),
        (Arc::new(cluster), Vec::new()),
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
    let backend = on(server.url());
    assert_eq!(backend.get::<u64>("n").await.unwrap(), Some(8_000));
    assert_eq!(backend.get::<u64>("u").await.unwrap(), Some(800));
    // The first of them gave it its time to live; nobody has changed that.
    assert!(matches!(backend.ttl("n").await.unwrap(), Some(Ttl::After(left)) if left <= HOUR));
}

/// One of the two processes of the test above; does nothing by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_counts() {
    let Ok(url) = env::var("NORI_CACHE_TEST_URL") else {
        return;
    };
    let backend = on(url);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            let mut seen = HashSet::new();
            for _ in 0..500 {
                assert!(seen.insert(backend.incr("n", HOUR).await.unwrap()));
            }
            for _ in 0..50 {
                let add = async |n: Option<u64>| n.unwrap_or(0) + 1;
                backend.atomic_update("u", None, add).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}
