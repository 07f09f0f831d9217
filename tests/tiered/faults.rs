//! Servers that are killed, restarted, emptied and full: what was copied from them is not used any more.

use crate::server::{Server, wait_until};
use crate::{MINUTE, POLITE, TOLD, TRACKED, built, caught_up, has_copy, other, tiers};
use nori_cache::{
    CacheBackend, CacheBackendExt, Outcome, RedisCacheBackend, TieredCacheBackend, Ttl,
};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Filled, and with a copy of `k`.
async fn filled(server: &Server) -> Arc<TieredCacheBackend> {
    let near = built(tiers(server.url()));
    near.set("k", 1, Ttl::Never).await.unwrap();
    has_copy(&near, "k").await;
    near
}

/// A server that is down is an error, never a miss, and no reason to show what it was the last to vouch for.
#[tokio::test]
async fn a_server_that_is_killed() {
    let mut server = Server::start();
    let near = filled(&server).await;
    server.kill();
    // Until the end of the connection is known there are hits.
    let error = loop {
        match near.get::<u8>("k").await {
            Ok(value) => assert_eq!(value, Some(1)),
            Err(error) => break error,
        }
        sleep(POLITE).await;
    };
    assert!(error.is_connection(), "{error}");
    for _ in 0..100 {
        near.get::<u8>("k").await.unwrap_err();
        assert!(!near.read_now("k", &mut |_| ()));
    }
    server.start_again();
    caught_up(&near, "k").await;
    assert_eq!(near.get::<u8>("k").await.unwrap(), None);
    near.set("k", 2, Ttl::Never).await.unwrap();
    has_copy(&near, "k").await;
    assert_eq!(near.get::<u8>("k").await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_server_that_is_restarted() {
    let mut server = Server::start();
    let near = filled(&server).await;
    for value in 2..6 {
        server.restart();
        caught_up(&near, "k").await;
        assert_eq!(near.get::<u8>("k").await.unwrap(), None);
        near.set("k", value, Ttl::Never).await.unwrap();
        has_copy(&near, "k").await;
    }
}

/// One that writes down each write before it acknowledges it, so that it has its values when it is started again.
fn lasting() -> Server {
    Server::with(&["--appendonly", "yes", "--appendfsync", "always"])
}

/// What was to be removed while the server was down is removed when it is back: to others soon, and to this process from the first
/// read. What this process has written since stays.
#[tokio::test]
async fn a_removal_that_failed_takes_effect_when_the_server_is_back() {
    let mut server = lasting();
    for coherence in TRACKED {
        let near = built(tiers(server.url()).coherence(coherence));
        let far = other(server.url());
        for key in ["deleted", "set", "both", "counter", "kept"] {
            far.set(key, ["old"], Ttl::Never).await.unwrap();
            has_copy(&near, key).await;
        }
        far.set("counter", 7, Ttl::Never).await.unwrap();
        server.kill();
        near.delete("deleted").await.unwrap_err();
        near.set("set", ["new"], Ttl::Never).await.unwrap_err();
        near.delete("both").await.unwrap_err();
        near.delete("counter").await.unwrap_err();
        assert_eq!(near.tier_stats().repairs_pending, 4);
        server.start_again();
        while let Err(error) = near.set("both", ["newer"], Ttl::Never).await {
            assert!(error.is_connection(), "{error}");
            sleep(POLITE).await;
        }
        assert_eq!(near.get::<Vec<String>>("deleted").await.unwrap(), None);
        assert_eq!(near.get::<Vec<String>>("set").await.unwrap(), None);
        while near.tier_stats().repairs_pending > 0 {
            sleep(POLITE).await;
        }
        caught_up_far(&far).await;
        for key in ["deleted", "set"] {
            assert_eq!(far.get::<Vec<String>>(key).await.unwrap(), None, "{key}");
        }
        for (key, left) in [("both", "newer"), ("kept", "old")] {
            for read in [near.get(key).await, far.get::<Vec<String>>(key).await] {
                assert_eq!(read.unwrap(), Some(vec![left.to_owned()]));
            }
        }
        // It may be a counter that others have gone on with.
        assert_eq!(near.incr("counter", Ttl::Never).await.unwrap(), 8);
        let stats = near.tier_stats();
        // What was deleted and then set may have been removed before it was.
        assert!(matches!(stats.repairs_done, 2 | 3), "{stats:?}");
        assert_eq!(stats.repairs_dropped, 1, "{stats:?}");
    }
}

/// Until it has a connection again.
async fn caught_up_far(far: &RedisCacheBackend) {
    while far.ttl("other").await.is_err() {
        sleep(POLITE).await;
    }
}

/// A load whose source is down, too, goes away with what this process was the last to see, until that is known to be removed; with tags,
/// if none of them is.
#[tokio::test]
async fn what_was_last_known_is_returned_while_the_server_is_down() {
    const TAG: &str = "nori-cache:tag:t";
    for coherence in TRACKED {
        let mut server = lasting();
        let near = built(tiers(server.url()).coherence(coherence));
        let far = other(server.url());
        let load = async |key: &str, source: Result<u8, String>| {
            let mut load = near.load(key).ttl(MINUTE).fail_safe(MINUTE);
            if key == "tagged" {
                load = load.tags(["t"]);
            }
            load.answer_or_load(|_| ready(source)).await
        };
        for key in ["plain", "tagged", "removed"] {
            load(key, Ok(1)).await.unwrap();
            has_copy(&near, key).await;
        }
        has_copy(&near, TAG).await;
        far.delete("removed").await.unwrap();
        caught_up(&near, "removed").await;
        server.kill();
        for key in ["plain", "tagged"] {
            let answer = loop {
                let answer = load(key, Err("down".to_owned())).await.unwrap();
                // Until the end of the connection is known there are hits.
                if !matches!(answer.outcome(), Outcome::Hit) {
                    break answer;
                }
                sleep(POLITE).await;
            };
            let outcome = answer.outcome();
            assert!(matches!(outcome, Outcome::FailSafe(_)), "{outcome:?}");
            assert!(answer.store_error().is_some() && *answer.value() == 1);
            near.get::<u8>(key).await.unwrap_err();
        }
        assert_eq!(
            load("removed", Err("down".to_owned())).await.unwrap_err(),
            "down"
        );
        // What this process removes is gone for it, though it cannot be removed.
        near.remove_by_tag("t").await.unwrap_err();
        near.delete("plain").await.unwrap_err();
        for key in ["plain", "tagged"] {
            let error = load(key, Err("down".to_owned())).await.unwrap_err();
            assert!(error.contains("down"), "{error}");
        }
        server.start_again();
        caught_up(&near, "other").await;
        for key in ["plain", "tagged"] {
            assert_eq!(near.get::<u8>(key).await.unwrap(), None, "{key}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_emptied() {
    for coherence in TRACKED {
        for command in [["FLUSHALL", "SYNC"], ["FLUSHDB", "ASYNC"]] {
            let server = Server::start();
            let near = built(tiers(server.url()).coherence(coherence));
            near.set("k", 1, Ttl::Never).await.unwrap();
            has_copy(&near, "k").await;
            server.ask(&command);
            caught_up(&near, "k").await;
            assert_eq!(near.get::<u8>("k").await.unwrap(), None, "{coherence:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_evicts() {
    let server = Server::with(&["--maxmemory-policy", "allkeys-lru"]);
    let near = filled(&server).await;
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    wait_until("it has evicted everything", || {
        server.ask(&["SET", "other", "1"]);
        server.ask(&["DBSIZE"]) == "0"
    });
    caught_up(&near, "k").await;
    assert_eq!(near.get::<u8>("k").await.unwrap(), None);
}

/// A server that is full takes no writes: what is stored stays, here and there, and is read after the failure.
#[tokio::test]
async fn a_server_that_is_full() {
    for coherence in TOLD {
        let server = Server::with(&["--maxmemory-policy", "noeviction"]);
        let near = built(tiers(server.url()).coherence(coherence));
        near.set("k", 1, Ttl::Never).await.unwrap();
        has_copy(&near, "k").await;
        server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        let update = async |n: Option<u8>| n.unwrap_or(0) + 1;
        for error in [
            near.set("k", 2, MINUTE).await.unwrap_err(),
            near.incr("k", MINUTE).await.unwrap_err(),
            near.atomic_update("k", None, update).await.unwrap_err(),
            near.set_many([("a", 1), ("k", 2)], MINUTE)
                .await
                .unwrap_err(),
        ] {
            assert!(
                error.is_rejected() && error.to_string().contains("OOM"),
                "{error}"
            );
            assert_eq!(near.get::<u8>("k").await.unwrap(), Some(1));
        }
        has_copy(&near, "k").await;
        assert!(near.delete("k").await.unwrap());
        assert_eq!(near.get::<u8>("k").await.unwrap(), None);
        server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
        near.set("k", 3, MINUTE).await.unwrap();
        assert_eq!(near.get::<u8>("k").await.unwrap(), Some(3));
    }
}

/// The server can remember fewer keys than are read. It tells of those that it forgets.
#[tokio::test]
async fn a_server_that_forgets_what_it_tracks() {
    const KEYS: u32 = 500;
    let server = Server::with(&["--tracking-table-max-keys", "10"]);
    let (near, far) = (built(tiers(server.url())), other(server.url()));
    for nth in 0..KEYS {
        far.set(&format!("k{nth}"), 1, Ttl::Never).await.unwrap();
    }
    for value in 2..5 {
        for nth in 0..KEYS {
            near.get::<u32>(&format!("k{nth}")).await.unwrap();
        }
        for nth in 0..KEYS {
            far.set(&format!("k{nth}"), value, Ttl::Never)
                .await
                .unwrap();
        }
        caught_up(&near, "k0").await;
        for nth in 0..KEYS {
            let read = near.get::<u32>(&format!("k{nth}")).await.unwrap();
            assert_eq!(read, Some(value), "k{nth}");
        }
    }
}

/// Scripts that the server has forgotten are sent again; copies have nothing to do with them.
#[tokio::test]
async fn scripts_that_were_flushed() {
    let server = Server::start();
    let near = built(tiers(server.url()));
    for nth in 1..20 {
        server.ask(&["SCRIPT", "FLUSH"]);
        assert_eq!(near.incr("n", MINUTE).await.unwrap(), nth);
        assert_eq!(near.get::<i64>("n").await.unwrap(), Some(nth));
    }
}

/// Four processes count and update beside each other, and all their connections are killed on the way: nothing that was acknowledged
/// is lost, and nothing is done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_and_updates_of_four_processes() {
    const PROCESSES: u64 = 4;
    const TASKS: u64 = 8;
    const INCREMENTS: u64 = 64_000 / PROCESSES / TASKS;
    const UPDATES: u64 = 8_000 / PROCESSES / TASKS;
    let server = Arc::new(Server::start());
    let mut tasks = JoinSet::new();
    let done = Arc::new(AtomicU64::new(0));
    for _ in 0..PROCESSES {
        let near = built(tiers(server.url()));
        for _ in 0..TASKS {
            let (near, done) = (Arc::clone(&near), Arc::clone(&done));
            tasks.spawn(async move {
                // Acknowledged, and not known.
                let (mut sums, mut updates) = ([0_u64; 2], [0_u64; 2]);
                for nth in 0..INCREMENTS {
                    match near.incr("n", Ttl::Never).await {
                        Ok(_) => sums[0] += 1,
                        Err(error) if error.is_connection() => sums[1] += 1,
                        Err(error) => panic!("{error}"),
                    }
                    // Copies come and go.
                    let _ = near.get::<u64>("n").await;
                    if nth % (INCREMENTS / UPDATES) == 0 {
                        let update = async |n: Option<u64>| n.unwrap_or(0) + 1;
                        match near.atomic_update("u", None, update).await {
                            Ok(_) => updates[0] += 1,
                            Err(error) if error.is_connection() => updates[1] += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                (sums, updates)
            });
        }
    }
    let all = PROCESSES * TASKS * INCREMENTS;
    for tenth in 1..8 {
        while done.load(Ordering::Relaxed) < all * tenth / 10 {
            sleep(POLITE).await;
        }
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    }
    let (mut sums, mut updates) = ([0, 0], [0, 0]);
    for (sum, update) in tasks.join_all().await {
        for nth in 0..2 {
            sums[nth] += sum[nth];
            updates[nth] += update[nth];
        }
    }
    for (key, [acknowledged, unknown]) in [("n", sums), ("u", updates)] {
        let stored = other(server.url()).get::<u64>(key).await.unwrap().unwrap();
        println!("{key}: {stored} of {acknowledged} acknowledged, {unknown} not known");
        assert!(stored >= acknowledged && stored <= acknowledged + unknown);
    }
    assert!(sums[0] > all / 2);
}
