//! Servers that are killed, restarted, emptied and full: what was copied from them is not used any more.

use crate::server::{Server, wait_until};
use crate::{MINUTE, POLITE, TRACKED, built, caught_up, has_copy, other, tiers};
use nori_cache::{CacheBackend, CacheBackendExt, TieredCacheBackend, Ttl};
use tokio::time::sleep;

/// Filled, and with a copy of `k`.
async fn filled(server: &Server) -> std::sync::Arc<TieredCacheBackend> {
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

/// The server can remember fewer keys than are read. It tells of those that it forgets.
#[tokio::test]
async fn a_server_that_forgets_what_it_tracks() {
    const KEYS: u32 = 500;
    let server = Server::with(&["--tracking-table-max-keys", "10"]);
    let (near, far) = (built(tiers(server.url())), other(server.url()));
    for nth in 0..KEYS {
        far.set(&format!("k{nth}"), 1, MINUTE).await.unwrap();
    }
    for value in 2..5 {
        for nth in 0..KEYS {
            near.get::<u32>(&format!("k{nth}")).await.unwrap();
        }
        for nth in 0..KEYS {
            far.set(&format!("k{nth}"), value, MINUTE).await.unwrap();
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
