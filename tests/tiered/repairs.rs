//! What could not be written while the far tier was down is repaired when it is back: on a server that does what it is told to, and
//! says how it is asked.

use crate::scripted::{Asked, Reply, Scripted};
use crate::{MINUTE, POLITE, built, tiers};
use nori_cache::{
    CacheBackend, CacheBackendExt, TierStats, TieredCacheBackend, TieredCacheBackendBuilder, Ttl,
    Value,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::sleep;

/// As much of a server as is asked here, with text for values, which outlives its connections.
#[derive(Clone)]
struct Store {
    values: Arc<Mutex<BTreeMap<String, String>>>,
    /// What another client writes between the look and the removal of a repair.
    between: Arc<Mutex<Option<(String, String)>>>,
}

impl Store {
    fn answer(&self, asked: &Asked) -> Reply {
        let mut values = self.values.lock();
        let word = |nth: usize| asked.words.get(nth).cloned().unwrap_or_default();
        let text = |value: Option<&String>| value.map_or_else(Reply::nil, |it| Reply::text(it));
        match asked.name() {
            "GET" => text(values.get(&word(1))),
            "SET" => {
                values.insert(word(1), word(2));
                Reply::ok()
            }
            "UNLINK" => {
                let keys = &asked.words[1..];
                let there = keys.iter().filter(|key| values.remove(*key).is_some());
                Reply::integer(there.count() as i64)
            }
            "PTTL" => Reply::integer(if values.contains_key(&word(1)) {
                -1
            } else {
                -2
            }),
            // Compare and set, with a lease if it removes.
            "EVALSHA" => {
                let removes = word(2) == "2";
                if removes && let Some((key, value)) = self.between.lock().take() {
                    values.insert(key, value);
                }
                let (key, at) = (word(3), if removes { 7 } else { 6 });
                if values.get(&key) != asked.words.get(at) {
                    return Reply::integer(0);
                }
                if removes {
                    values.remove(&key);
                } else {
                    values.insert(key, word(4));
                }
                Reply::integer(1)
            }
            "SCAN" => {
                let is_lease = word(3).contains('?');
                let keys: Vec<&String> = values.keys().filter(|_| !is_lease).collect();
                let mut reply = format!("*2\r\n$1\r\n0\r\n*{}\r\n", keys.len());
                for key in keys {
                    reply.push_str(&format!("${}\r\n{key}\r\n", key.len()));
                }
                Reply::Say(reply.into_bytes())
            }
            _ => Reply::well(asked),
        }
    }

    fn put(&self, key: &str, value: &str) {
        let (key, value) = (format!("cache:{key}"), value.to_owned());
        self.values.lock().insert(key, value);
    }

    fn has(&self, key: &str) -> Option<String> {
        self.values.lock().get(&format!("cache:{key}")).cloned()
    }
}

fn start() -> (Scripted, Store) {
    let store = Store {
        values: Arc::default(),
        between: Arc::default(),
    };
    let answering = store.clone();
    let server = Scripted::start(move |asked| answering.answer(asked));
    (server, store)
}

fn near(server: &Scripted) -> TieredCacheBackendBuilder {
    tiers(server.url())
}

/// Until there is nothing to be repaired any more.
async fn repaired(near: &TieredCacheBackend) -> TierStats {
    while near.tier_stats().repairs_pending > 0 {
        sleep(POLITE).await;
    }
    near.tier_stats()
}

fn counts(stats: TierStats) -> (usize, u64, u64) {
    (
        stats.repairs_pending,
        stats.repairs_done,
        stats.repairs_dropped,
    )
}

#[tokio::test]
async fn what_could_not_be_written_is_removed_when_the_server_is_back() {
    let (server, store) = start();
    let near = built(near(&server));
    for key in ["set", "delete", "m1", "m2", "d1", "d2", "other"] {
        store.put(key, "\"old\"");
    }
    near.set_tagged("tagged", "x", MINUTE, &["t"])
        .await
        .unwrap();
    server.stop();
    near.set("set", "new", Ttl::Never).await.unwrap_err();
    near.delete("delete").await.unwrap_err();
    near.delete("delete").await.unwrap_err();
    let many = [("m1", "new"), ("m2", "new")];
    near.set_many(many, MINUTE).await.unwrap_err();
    near.delete_many(&["d1", "d2"]).await.unwrap_err();
    near.remove_by_tag("t").await.unwrap_err();
    assert_eq!(counts(near.tier_stats()), (7, 0, 0));
    server.start_again();
    assert_eq!(counts(repaired(&near).await), (0, 7, 0));
    for key in ["set", "delete", "m1", "m2", "d1", "d2"] {
        assert_eq!(store.has(key), None, "{key}");
    }
    assert_eq!(store.has("nori-cache:tag:t"), None);
    assert_eq!(store.has("other").unwrap(), "\"old\"");
    assert!(store.has("tagged").is_some());
}

/// Increments and updates are not repaired, and what may be a counter is not removed.
#[tokio::test]
async fn counters_and_updates_stay() {
    let (server, store) = start();
    let near = built(near(&server));
    store.put("n", "41");
    store.put("u", "[1]");
    server.stop();
    near.incr("n", MINUTE).await.unwrap_err();
    let value = Value::encoded(*b"[1]");
    let update = near.compare_and_set("u", Some(&value), Value::encoded(*b"[2]"), None);
    update.await.unwrap_err();
    let update = vec![("u", Some(&value), Value::encoded(*b"[2]"))];
    near.compare_and_set_many(update, None).await.unwrap_err();
    assert_eq!(counts(near.tier_stats()), (0, 0, 0));
    near.delete("n").await.unwrap_err();
    assert_eq!(counts(near.tier_stats()), (1, 0, 0));
    // Another has gone on counting.
    store.put("n", "42");
    server.start_again();
    assert_eq!(counts(repaired(&near).await), (0, 0, 1));
    assert_eq!(store.has("n").unwrap(), "42");
    assert_eq!(store.has("u").unwrap(), "[1]");
}

/// An increment or an update that fails leaves what was to be done before.
#[tokio::test]
async fn an_update_that_fails_takes_nothing_out() {
    let (server, store) = start();
    let near = built(near(&server));
    store.put("u", "[1]");
    server.stop();
    near.delete("u").await.unwrap_err();
    near.incr("u", MINUTE).await.unwrap_err();
    let value = Value::encoded(*b"[1]");
    let update = vec![("u", Some(&value), Value::encoded(*b"[2]"))];
    near.compare_and_set_many(update, None).await.unwrap_err();
    assert_eq!(counts(near.tier_stats()), (1, 0, 0));
    server.start_again();
    assert_eq!(counts(repaired(&near).await), (0, 1, 0));
    assert_eq!(store.has("u"), None);
}

/// Who reads first does not see what was to be removed, however soon it is.
#[tokio::test]
async fn a_read_of_this_process_repairs_first() {
    let (server, store) = start();
    let near = built(near(&server));
    for nth in 0..20 {
        let key = format!("k{nth}");
        store.put(&key, "[1]");
        assert_eq!(near.get::<Vec<u8>>(&key).await.unwrap(), Some(vec![1]));
        server.stop();
        near.delete(&key).await.unwrap_err();
        assert!(near.get::<Vec<u8>>(&key).await.is_err());
        server.start_again();
        // Alone, and among others.
        let read = loop {
            let read = if nth % 2 == 0 {
                near.get::<Vec<u8>>(&key).await
            } else {
                let read = near.get_many::<Vec<u8>>(&["other", &key]).await;
                read.map(|mut read| read.remove(1))
            };
            match read {
                Ok(read) => break read,
                Err(error) => assert!(error.is_connection(), "{error}"),
            }
            sleep(POLITE).await;
        };
        assert_eq!((read, store.has(&key)), (None, None), "{key}");
        assert_eq!(counts(near.tier_stats()), (0, nth + 1, 0));
    }
}

/// What this process writes later is not undone, whichever comes first when the server is back.
#[tokio::test]
async fn a_later_write_of_this_process_stays() {
    for nth in 0..20 {
        let (server, store) = start();
        let near = built(near(&server));
        store.put("k", "[1]");
        server.stop();
        near.delete("k").await.unwrap_err();
        server.start_again();
        loop {
            let written = match nth % 3 {
                0 => near.set("k", [2], Ttl::Never).await,
                1 => near.set_many([("k", [2])], Ttl::Never).await,
                _ => {
                    let update = async |_: Option<Vec<u8>>| vec![2];
                    near.atomic_update("k", Some(Ttl::Never), update)
                        .await
                        .map(drop)
                }
            };
            match written {
                Ok(()) => break,
                Err(error) => assert!(error.is_connection(), "{error}"),
            }
            sleep(POLITE).await;
        }
        repaired(&near).await;
        assert_eq!(near.get::<Vec<u8>>("k").await.unwrap(), Some(vec![2]));
        assert_eq!(store.has("k").unwrap(), "[2]");
    }
}

/// What another writes between the look and the removal stays at first, and is looked at again.
#[tokio::test]
async fn what_changes_meanwhile_is_looked_at_again() {
    for (between, dropped) in [("[2]", 0), ("2", 1)] {
        let (server, store) = start();
        let near = built(near(&server));
        store.put("k", "[1]");
        server.stop();
        near.delete("k").await.unwrap_err();
        *store.between.lock() = Some(("cache:k".to_owned(), between.to_owned()));
        server.start_again();
        assert_eq!(counts(repaired(&near).await), (0, 1 - dropped, dropped));
        let left = (dropped == 1).then(|| between.to_owned());
        assert_eq!(store.has("k"), left);
    }
}

#[tokio::test]
async fn there_is_a_limit_and_one_may_have_none() {
    for most in [0, 1, 3] {
        let (server, store) = start();
        let near = built(near(&server).max_repairs(most));
        for nth in 0..5 {
            store.put(&format!("k{nth}"), "[1]");
        }
        server.stop();
        for _ in 0..2 {
            for nth in 0..5 {
                near.delete(&format!("k{nth}")).await.unwrap_err();
            }
        }
        let dropped = if most == 0 { 0 } else { 2 * (5 - most as u64) };
        assert_eq!(counts(near.tier_stats()), (most, 0, dropped));
        server.start_again();
        assert_eq!(counts(repaired(&near).await), (0, most as u64, dropped));
        let left = (0..5).filter(|nth| store.has(&format!("k{nth}")).is_some());
        assert_eq!(left.collect::<Vec<_>>(), (most..5).collect::<Vec<_>>());
    }
}

/// A flush that failed is done later: all but counters, and what this process has written since.
#[tokio::test]
async fn a_flush_that_failed() {
    let (server, store) = start();
    let near = built(near(&server));
    store.put("old", "[1]");
    store.put("n", "7");
    store
        .values
        .lock()
        .insert("another's".to_owned(), "1".to_owned());
    server.stop();
    near.flush().await.unwrap_err();
    assert_eq!(counts(near.tier_stats()), (1, 0, 0));
    server.start_again();
    while near.set("new", [2], Ttl::Never).await.is_err() {
        sleep(POLITE).await;
    }
    // What could not be written behind it is repaired by itself.
    let stats = repaired(&near).await;
    assert!(
        stats.repairs_done >= 1 && stats.repairs_dropped == 0,
        "{stats:?}"
    );
    assert_eq!(
        (store.has("old"), store.has("n").unwrap()),
        (None, "7".to_owned())
    );
    assert!(store.values.lock().contains_key("another's"));
    assert_eq!(store.has("new").unwrap(), "[2]");
}

/// A flush that works leaves nothing to be done of what failed before it.
#[tokio::test]
async fn a_flush_that_works() {
    let (server, store) = start();
    let near = built(near(&server));
    store.put("k", "7");
    server.stop();
    near.delete("k").await.unwrap_err();
    near.flush().await.unwrap_err();
    server.start_again();
    while near.flush().await.is_err() {
        sleep(POLITE).await;
    }
    assert_eq!(near.tier_stats().repairs_pending, 0);
    near.set("k", [2], Ttl::Never).await.unwrap();
    assert_eq!(repaired(&near).await.repairs_pending, 0);
    assert_eq!(store.has("k").unwrap(), "[2]");
}

/// The server says no: that does not pass, and is not tried for ever.
#[tokio::test]
async fn a_server_that_refuses() {
    let server = Scripted::start(|asked| match asked.name() {
        "EVALSHA" => {
            Reply::error("NOPERM this user has no permissions to run the 'evalsha' command")
        }
        "GET" => Reply::text("[1]"),
        _ => Reply::well(asked),
    });
    let near = built(near(&server));
    server.stop();
    near.delete("k").await.unwrap_err();
    server.start_again();
    assert_eq!(counts(repaired(&near).await), (0, 0, 1));
}

/// The task does not keep the backend, nor a closed one busy.
#[tokio::test]
async fn a_backend_that_is_closed_or_dropped() {
    let (server, store) = start();
    let closed = built(near(&server));
    store.put("k", "[1]");
    server.stop();
    closed.delete("k").await.unwrap_err();
    closed.close().await.unwrap();
    assert_eq!(counts(closed.tier_stats()), (0, 0, 1));
    assert!(closed.delete("k").await.unwrap_err().is_closed());
    assert_eq!(counts(closed.tier_stats()), (0, 0, 1));
    let dropped = built(near(&server));
    dropped.delete("k").await.unwrap_err();
    drop(dropped);
    server.start_again();
    let other = built(near(&server));
    while other.get::<Vec<u8>>("k").await.is_err() {
        sleep(POLITE).await;
    }
    assert_eq!(store.has("k").unwrap(), "[1]");
}
