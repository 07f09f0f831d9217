//! Servers that answer, and say that they cannot serve: a master that was demoted, and others.

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

/// A master, its replica, and a sentinel that names whichever of them the test says.
struct Pair {
    nodes: [Server; 2],
    master: usize,
    named: Arc<AtomicU16>,
    sentinel: Scripted,
}

impl Pair {
    fn start() -> Self {
        let master = Server::start();
        let replica = Server::with(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
        let named = Arc::new(AtomicU16::new(master.port));
        let says = Arc::clone(&named);
        let sentinel = Scripted::start(move |asked| match asked.name() {
            "SENTINEL" => Reply::list(&["127.0.0.1", &says.load(Ordering::SeqCst).to_string()]),
            _ => Reply::error("ERR unknown command"),
        });
        let pair = Self {
            nodes: [master, replica],
            master: 0,
            named,
            sentinel,
        };
        pair.wait_until_in_step();
        pair
    }

    fn wait_until_in_step(&self) {
        wait_until("the replica is in step", || {
            let info = self.nodes[1 - self.master].ask(&["INFO", "replication"]);
            info.contains("role:slave") && info.contains("master_link_status:up")
        });
    }

    fn url(&self) -> String {
        format!("redis+sentinel://{}/main", self.sentinel.address())
    }

    /// The other one becomes the master. No client is disconnected.
    fn swap(&mut self) {
        let (old, new) = (self.master, 1 - self.master);
        assert_eq!(self.nodes[new].ask(&["REPLICAOF", "NO", "ONE"]), "OK");
        let port = self.nodes[new].port;
        let follow = ["REPLICAOF", "127.0.0.1", &port.to_string()];
        assert_eq!(self.nodes[old].ask(&follow), "OK");
        self.master = new;
        self.named.store(port, Ordering::SeqCst);
        self.wait_until_in_step();
    }
}

/// After a failover a call is refused once at most: then the backend has found the new master.
async fn finds_the_new_master(
    name: &str,
    call: impl AsyncFn(&RedisCacheBackend) -> Result<(), Error>,
) {
    let mut pair = Pair::start();
    let backend = on(pair.url());
    for round in 1..=3 {
        backend.set("k", 1, Ttl::Never).await.unwrap();
        call(&backend)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        backend
            .set_many([("k", 1), ("l", round)], Ttl::Never)
            .await
            .unwrap();
        wait_until("the replica has it", || {
            pair.nodes[1 - pair.master].ask(&["GET", "cache:l"]) == round.to_string()
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

#[tokio::test]
async fn a_demoted_master_under_set_many() {
    finds_the_new_master("set_many", async |backend| {
        backend.set_many([("a", 1), ("b", 2)], MINUTE).await
    })
    .await;
}

#[tokio::test]
async fn a_demoted_master_under_delete_many() {
    finds_the_new_master("delete_many", async |backend| {
        backend.delete_many(&["k", "l"]).await.map(drop)
    })
    .await;
}

#[tokio::test]
async fn a_demoted_master_under_flush() {
    finds_the_new_master("flush", async |backend| backend.flush().await).await;
}

#[tokio::test]
async fn a_demoted_master_under_scripts() {
    finds_the_new_master("incr", async |backend| {
        backend.incr("n", MINUTE).await.map(drop)
    })
    .await;
    finds_the_new_master("atomic_update", async |backend| {
        let update = async |n: Option<u64>| n.unwrap_or(0) + 1;
        backend.atomic_update("u", None, update).await.map(drop)
    })
    .await;
}

/// A server that answers the first command on its first connection with a refusal, and all else with OK; how many connections
/// the backend has made after two calls.
async fn connections_after(
    refusal: &'static str,
    sentinel: bool,
    call: impl AsyncFn(&RedisCacheBackend) -> Result<(), Error>,
) -> (Error, u64) {
    let refused = AtomicBool::new(false);
    let server = Scripted::start(move |asked| match asked.name() {
        "ROLE" => Reply::list(&["master"]),
        _ if !refused.swap(true, Ordering::SeqCst) => Reply::error(refusal),
        _ => Reply::ok(),
    });
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    let names = Scripted::start(move |_| Reply::list(&["127.0.0.1", &port]));
    let url = match sentinel {
        true => format!("redis+sentinel://{}/main", names.address()),
        false => server.url(),
    };
    let backend = on(url);
    let error = call(&backend).await.unwrap_err();
    call(&backend).await.unwrap();
    (error, server.connections())
}

/// What becomes of a connection by which a refusal has come, the same for one command and for many.
#[tokio::test]
async fn refusals_and_connections() {
    // The refusal; whether a new connection is made after it, on one server and under sentinels; what it is to the caller.
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
    for (refusal, alone, under_sentinels, is) in table {
        for (sentinel, anew) in [(false, alone), (true, under_sentinels)] {
            let one = connections_after(refusal, sentinel, async |backend| {
                backend.set("k", 1, Ttl::Never).await
            });
            let many = connections_after(refusal, sentinel, async |backend| {
                backend.set_many([("k", 1), ("l", 2)], Ttl::Never).await
            });
            for (error, connections) in [one.await, many.await] {
                assert!(is(&error), "{error}");
                assert_eq!(connections, 1 + u64::from(anew), "{refusal}, {sentinel}");
            }
        }
    }
}
