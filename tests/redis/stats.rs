//! What a backend on Redis counts.

use crate::scripted::{Reply, Scripted, ScriptedCluster};
use crate::server::Server;
use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{
    BackendStats, BreakerState, CacheBackend, CacheBackendExt, Operation, RedisCacheBackend, Ttl,
};
use std::pin::pin;
use std::thread::sleep;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);

fn on(url: impl Into<String>) -> RedisCacheBackend {
    let builder = RedisCacheBackend::builder().url(url).timeout(HOUR);
    builder.build().unwrap()
}

/// Calls, hits and misses of each operation that was called.
fn counts(stats: &BackendStats) -> Vec<(&'static str, u64, u64, u64)> {
    let all = stats.operations();
    let all = all.map(|(operation, it)| (operation.name(), it.calls, it.hits, it.misses));
    all.filter(|(_, calls, ..)| *calls > 0).collect()
}

#[test]
fn each_call_is_counted_and_timed_as_what_it_is() {
    ends(|| {
        let server = Server::start();
        let backend = on(server.url());
        block_on(async {
            backend.verify().await.unwrap();
            backend.set("a", 1, MINUTE).await.unwrap();
            backend
                .set_many([("b", 1), ("c", 2)], MINUTE)
                .await
                .unwrap();
            assert_eq!(backend.get::<u8>("a").await.unwrap(), Some(1));
            assert_eq!(backend.get::<u8>("x").await.unwrap(), None);
            let many = backend.get_many::<u8>(&["a", "x", "b", "y", "z"]).await;
            assert_eq!(many.unwrap().iter().flatten().count(), 2);
            assert!(backend.delete("a").await.unwrap());
            assert!(!backend.delete("a").await.unwrap());
            assert_eq!(backend.delete_many(&["b", "x"]).await.unwrap(), 1);
            assert_eq!(backend.incr("n", MINUTE).await.unwrap(), 1);
            assert!(backend.ttl("n").await.unwrap().is_some());
            let add = async |n: Option<u8>| n.unwrap_or(0) + 1;
            backend.atomic_update("n", None, add).await.unwrap();
            backend.set("text", "text", Ttl::Never).await.unwrap();
            assert!(backend.incr("text", MINUTE).await.is_err());
            let load = || async { Ok::<_, nori_cache::Error>(1) };
            assert_eq!(
                backend.get_or_load("loaded", MINUTE, load).await.unwrap(),
                1
            );
            backend.flush().await.unwrap();
        });
        let stats = backend.stats();
        assert_eq!(
            counts(&stats),
            [
                ("get", 5, 2, 3),
                ("get_many", 1, 2, 3),
                ("set", 2, 0, 0),
                ("set_many", 1, 0, 0),
                ("delete", 2, 1, 1),
                ("delete_many", 1, 1, 0),
                ("flush", 1, 0, 0),
                ("incr", 2, 0, 0),
                ("compare_and_set", 2, 2, 0),
                ("ttl", 1, 1, 0),
                ("verify", 1, 0, 0),
            ]
        );
        for (operation, it) in stats.operations() {
            assert_eq!(it.latency.count(), it.calls, "{operation:?}");
            assert!(it.latency.total() > Duration::ZERO, "{operation:?}");
        }
        assert_eq!(stats[Operation::Get].missed_again, 1);
        assert_eq!(stats[Operation::Get].hit_ratio(), 0.5);
        assert_eq!(stats[Operation::Incr].errors.wrong_type, 1);
        assert_eq!(stats[Operation::Incr].succeeded(), 1);
        assert_eq!((stats.memory, stats.entries), (None, None));
        assert_eq!(counts(&backend.stats_since(&stats)), []);
    });
}

#[test]
fn calls_that_are_dropped_are_abandoned() {
    ends(|| {
        let server = Scripted::well();
        let backend = on(server.url());
        server.pause();
        {
            let mut get = pin!(backend.get::<u8>("k"));
            assert!(poll_once(get.as_mut()).is_none());
            assert_eq!(counts(&backend.stats()), []);
        }
        // One that was never polled has not begun.
        drop(backend.get::<u8>("k"));
        let get = backend.stats()[Operation::Get];
        assert_eq!((get.calls, get.abandoned, get.succeeded()), (1, 1, 0));
        assert_eq!(get.latency.count(), 0);
        server.resume();
    });
}

#[test]
fn a_link_that_breaks_and_comes_back() {
    ends(|| {
        let server = Scripted::well();
        let backend = on(server.url());
        let link = || backend.stats().links[0].clone();
        assert_eq!(link().address, server.address());
        assert_eq!(
            (link().breaker, link().is_connected),
            (BreakerState::Closed, false)
        );
        block_on(backend.get::<u8>("k")).unwrap();
        assert_eq!((link().is_connected, link().reconnects), (true, 0));

        // A break is no outage.
        server.stop();
        server.start_again();
        while block_on(backend.set("k", 1, MINUTE)).is_err() {
            sleep(POLITE);
        }
        assert_eq!((link().is_connected, link().reconnects), (true, 1));
        assert!(link().opened <= link().failures);
        let before = backend.stats();

        server.stop();
        for failures in 1..=3 {
            while link().failures - before.links[0].failures < failures {
                assert!(block_on(backend.get::<u8>("k")).is_err());
                sleep(POLITE);
            }
        }
        assert_ne!(link().breaker, BreakerState::Closed);
        assert!(!link().is_connected);
        server.start_again();
        while block_on(backend.get::<u8>("k")).is_err() {
            sleep(POLITE);
        }
        let since = backend.stats_since(&before);
        let link = &since.links[0];
        assert_eq!(
            (link.breaker, link.is_connected),
            (BreakerState::Closed, true)
        );
        assert_eq!(link.reconnects, 1);
        assert!(link.failures >= 3, "{link:?}");
        assert_eq!(link.opened, 1, "one outage");
        let get = since[Operation::Get];
        assert_eq!(get.calls, get.errors.connection + 1);

        block_on(backend.close()).unwrap();
        assert_eq!(backend.stats().links[0].breaker, BreakerState::Open);
        assert_eq!(
            backend.stats().links[0].opened,
            link.opened + before.links[0].opened
        );
        assert!(block_on(backend.get::<u8>("k")).is_err());
        assert_eq!(backend.stats()[Operation::Get].errors.closed, 1);
    });
}

#[test]
fn a_cluster_has_a_link_to_each_node() {
    ends(|| {
        let cluster = ScriptedCluster::start(3, |_, asked| Reply::well(asked));
        let backend = on(cluster.url());
        let keys: Vec<String> = (0..32).map(|n| n.to_string()).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        block_on(backend.get_many::<u8>(&keys)).unwrap();
        let links = backend.stats().links;
        let mut servers: Vec<String> = cluster.nodes.iter().map(Scripted::address).collect();
        servers.sort();
        let addresses: Vec<&str> = links.iter().map(|it| it.address.as_str()).collect();
        assert_eq!(addresses, servers);
        assert!(links.iter().all(|it| it.is_connected));
        assert_eq!(backend.stats()[Operation::GetMany].hits, 32);
    });
}

#[test]
fn no_secret_is_in_them() {
    let backend = on("redis://ana:hunter2@127.0.0.1:1");
    assert!(block_on(backend.get::<u8>("k")).is_err());
    let stats = format!("{:?}", backend.stats());
    assert!(stats.contains("127.0.0.1:1"), "{stats}");
    assert!(
        !stats.contains("hunter2") && !stats.contains("ana"),
        "{stats}"
    );
}
