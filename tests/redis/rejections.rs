//! Servers that answer, and say that they cannot serve: a primary that was demoted, and others.

use crate::scripted::{Reply, Scripted};
use crate::server::{Server, wait_until};
use nori_cache::{CacheBackendExt, Error, RedisCacheBackend, Ttl};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn on(url: impl Into<String>) -> RedisCacheBackend {
    let builder = RedisCacheBackend::builder().url(url).timeout(MINUTE);
    builder.build().unwrap()
}

/// A primary, its replica, and a sentinel that names whichever of them the test says.
struct Pair {
    nodes: [Server; 2],
    primary: usize,
    named: Arc<AtomicU16>,
    sentinel: Scripted,
}

impl Pair {
    fn start() -> Self {
        // A replica that comes is served at once.
        let at_once = ["--repl-diskless-sync-delay", "0"];
        let primary = Server::with(&at_once);
        let port = primary.port.to_string();
        let of_primary = ["--replicaof", "127.0.0.1", &port];
        let replica = Server::with(&[&at_once[..], &of_primary].concat());
        let named = Arc::new(AtomicU16::new(primary.port));
        let says = Arc::clone(&named);
        let sentinel = Scripted::start(move |asked| match asked.name() {
            "SENTINEL" => Reply::list(&["127.0.0.1", &says.load(Ordering::SeqCst).to_string()]),
            _ => Reply::error("ERR unknown command"),
        });
        let pair = Self {
            nodes: [primary, replica],
            primary: 0,
            named,
            sentinel,
        };
        pair.wait_until_in_step();
        pair
    }

    fn wait_until_in_step(&self) {
        wait_until("the replica is in step", || {
            let info = self.nodes[1 - self.primary].ask(&["INFO", "replication"]);
            info.contains("role:slave") && info.contains("master_link_status:up")
        });
    }

    fn url(&self) -> String {
        format!("redis+sentinel://{}/main", self.sentinel.address())
    }

    /// The other one becomes the primary. No client is disconnected.
    fn swap(&mut self) {
        let (old, new) = (self.primary, 1 - self.primary);
        assert_eq!(self.nodes[new].ask(&["REPLICAOF", "NO", "ONE"]), "OK");
        let port = self.nodes[new].port;
        let follow = ["REPLICAOF", "127.0.0.1", &port.to_string()];
        assert_eq!(self.nodes[old].ask(&follow), "OK");
        self.primary = new;
        self.named.store(port, Ordering::SeqCst);
        self.wait_until_in_step();
    }
}

/// A backend that is connected to the primary finds the new one after a failover: its call is rejected once at most.
async fn finds_the_new_primary(
    name: &str,
    pair: &mut Pair,
    call: impl AsyncFn(&RedisCacheBackend) -> Result<(), Error>,
) {
    let backend = on(pair.url());
    for round in 1..=2 {
        call(&backend)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let entries = [("k", round), ("l", round)];
        backend.set_many(entries, Ttl::Never).await.unwrap();
        wait_until("the replica has it", || {
            pair.nodes[1 - pair.primary].ask(&["GET", "cache:l"]) == round.to_string()
        });
        pair.swap();
        if let Err(error) = call(&backend).await {
            assert!(error.to_string().contains("READONLY"), "{name}: {error}");
        }
        call(&backend)
            .await
            .unwrap_or_else(|error| panic!("{name}, after a failover: {error}"));
    }
}

/// Real servers: what a primary that was demoted says to each kind of call.
#[tokio::test]
async fn a_primary_that_was_demoted() {
    let mut pair = Pair::start();
    finds_the_new_primary("set", &mut pair, async |backend| {
        backend.set("a", 1, MINUTE).await
    })
    .await;
    finds_the_new_primary("set_many", &mut pair, async |backend| {
        backend.set_many([("a", 1), ("b", 2)], MINUTE).await
    })
    .await;
    finds_the_new_primary("delete_many", &mut pair, async |backend| {
        backend.delete_many(&["k", "l"]).await.map(drop)
    })
    .await;
    finds_the_new_primary("flush", &mut pair, async |backend| backend.flush().await).await;
    finds_the_new_primary("incr", &mut pair, async |backend| {
        backend.incr("n", MINUTE).await.map(drop)
    })
    .await;
    finds_the_new_primary("atomic_update", &mut pair, async |backend| {
        let update = async |n: Option<u64>| n.unwrap_or(0) + 1;
        backend.atomic_update("u", None, update).await.map(drop)
    })
    .await;
}

/// A server that answers the first command on its first connection with a rejection, and all else with OK; how many connections
/// the backend has made after two calls.
async fn connections_after(
    rejection: &'static str,
    sentinel: bool,
    call: impl AsyncFn(&RedisCacheBackend) -> Result<(), Error>,
) -> (Error, u64) {
    let rejected = AtomicBool::new(false);
    let server = Scripted::start(move |asked| match asked.name() {
        "ROLE" => Reply::list(&["master"]),
        _ if !rejected.swap(true, Ordering::SeqCst) => Reply::error(rejection),
        _ => Reply::ok(),
    });
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    let names = Scripted::start(move |_| Reply::list(&["127.0.0.1", &port]));
    let url = if sentinel {
        format!("redis+sentinel://{}/main", names.address())
    } else {
        server.url()
    };
    let backend = on(url);
    let error = call(&backend).await.unwrap_err();
    call(&backend).await.unwrap();
    (error, server.connections())
}

/// What becomes of a connection by which a rejection has come, the same for one command and for many.
#[tokio::test]
async fn rejections_and_connections() {
    // The rejection; whether a new connection is made after it, on one server and under sentinels; what it is to the caller.
    type Row = (&'static str, bool, bool, fn(&Error) -> bool);
    let table: [Row; 11] = [
        (
            "READONLY You can't write against a read only replica.",
            false,
            true,
            Error::is_rejected,
        ),
        (
            "MASTERDOWN Link with MASTER is down",
            false,
            true,
            Error::is_connection,
        ),
        (
            "NOAUTH Authentication required.",
            true,
            true,
            Error::is_rejected,
        ),
        (
            "LOADING Redis is loading the dataset in memory",
            false,
            false,
            Error::is_connection,
        ),
        (
            "CLUSTERDOWN The cluster is down",
            false,
            false,
            Error::is_connection,
        ),
        (
            "TRYAGAIN Multiple keys request during rehashing of slot",
            false,
            false,
            Error::is_connection,
        ),
        (
            "OOM command not allowed when used memory > 'maxmemory'.",
            false,
            false,
            Error::is_rejected,
        ),
        (
            "MISCONF Redis is configured to save RDB snapshots",
            false,
            false,
            Error::is_rejected,
        ),
        (
            "BUSY Redis is busy running a script.",
            false,
            false,
            Error::is_rejected,
        ),
        (
            "NOPERM User ana has no permissions",
            false,
            false,
            Error::is_rejected,
        ),
        (
            "WRONGTYPE Operation against a key",
            false,
            false,
            Error::is_wrong_type,
        ),
    ];
    for (rejection, alone, under_sentinels, is) in table {
        for (sentinel, anew) in [(false, alone), (true, under_sentinels)] {
            let one = connections_after(rejection, sentinel, async |backend| {
                backend.set("k", 1, Ttl::Never).await
            });
            let many = connections_after(rejection, sentinel, async |backend| {
                backend.set_many([("k", 1), ("l", 2)], Ttl::Never).await
            });
            for (error, connections) in [one.await, many.await] {
                assert!(is(&error), "{error}");
                assert_eq!(connections, 1 + u64::from(anew), "{rejection}, {sentinel}");
            }
        }
    }
}
