//! Loads of many keys: how often they ask the server, and for what.

use crate::scripted::{Asked, Reply, Scripted};
use crate::server::{Server, shared_cluster};
use crate::watchdog::{block_on, ends};
use nori_cache::{CacheBackendExt, RedisCacheBackend, Ttl};
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn on(url: impl Into<String>) -> RedisCacheBackend {
    let builder = RedisCacheBackend::builder().url(url);
    builder.timeout(MINUTE).build().unwrap()
}

async fn load(
    backend: &RedisCacheBackend,
    keys: &[&str],
    value: u64,
) -> Result<Vec<Option<u64>>, nori_cache::Error> {
    let loader = |missing: Vec<&str>| {
        let loaded: Vec<_> = missing
            .into_iter()
            .map(|key| (key.to_owned(), value))
            .collect();
        async move { Ok::<_, Infallible>(loaded) }
    };
    backend.get_or_load_many(keys, MINUTE, loader).await
}

/// A server that has no key, knows no script until it has seen its text, and writes down what it is asked.
fn forgetful(asked: &Arc<Mutex<Vec<String>>>) -> Scripted {
    let asked = Arc::clone(asked);
    let known = AtomicUsize::new(0);
    Scripted::start(move |command: &Asked| {
        let words = match command.name() {
            "MGET" => command.words.join(" "),
            name => format!("{name} {}", command.words[3]),
        };
        asked.lock().unwrap().push(words);
        match command.name() {
            "MGET" => {
                let none = "_\r\n".repeat(command.words.len() - 1);
                Reply::Say(format!("*{}\r\n{none}", command.words.len() - 1).into_bytes())
            }
            "EVALSHA" if known.load(Ordering::SeqCst) == 0 => {
                Reply::error("NOSCRIPT No matching script.")
            }
            "EVAL" => {
                known.fetch_add(1, Ordering::SeqCst);
                Reply::integer(1)
            }
            _ => Reply::integer(1),
        }
    })
}

#[test]
fn what_the_server_is_asked() {
    ends(|| {
        let asked = Arc::default();
        let server = forgetful(&asked);
        let backend = on(server.url());
        let take = || std::mem::take(&mut *asked.lock().unwrap());
        let loaded = block_on(load(&backend, &["a", "b"], 1));
        assert_eq!(loaded.unwrap(), [Some(1), Some(1)]);
        assert_eq!(
            take(),
            [
                "MGET cache:a cache:b",
                "MGET cache:a cache:b",
                "EVALSHA cache:a",
                "EVALSHA cache:b",
                "EVAL cache:a",
                "EVAL cache:b",
            ]
        );
        // Now the script is known.
        let loaded = block_on(load(&backend, &["a", "c"], 1));
        assert_eq!(loaded.unwrap(), [Some(1), Some(1)]);
        assert_eq!(
            take(),
            [
                "MGET cache:a cache:c",
                "MGET cache:a cache:c",
                "EVALSHA cache:a",
                "EVALSHA cache:c",
            ]
        );
    });
}

#[test]
fn hits_are_one_round_trip() {
    ends(|| {
        let server = Scripted::well();
        let loaded = block_on(load(&on(server.url()), &["a", "b", "a"], 7));
        assert_eq!(loaded.unwrap(), [Some(1), Some(1), Some(1)]);
        assert_eq!(server.commands(), 1);
    });
}

#[tokio::test]
async fn on_a_real_server() {
    let server = Server::start();
    let backend = on(server.url());
    backend.set("b", 5, Ttl::Never).await.unwrap();
    server.ask(&["SET", "cache:c", "no number"]);
    let loaded = load(&backend, &["a", "b", "c", "a"], 7).await.unwrap();
    assert_eq!(loaded, [Some(7), Some(5), Some(7), Some(7)]);
    for (key, value) in [("cache:a", "7"), ("cache:b", "5"), ("cache:c", "7")] {
        assert_eq!(server.ask(&["GET", key]), value);
    }
    assert!(server.ask(&["PTTL", "cache:a"]).parse::<i64>().unwrap() > 0);
    assert_eq!(server.ask(&["PTTL", "cache:b"]), "-1");
    // Another process writes during the load: that stays.
    let loader = |missing: Vec<&'static str>| {
        server.ask(&["SET", "cache:e", "9"]);
        async move { Ok::<_, Infallible>(missing.into_iter().map(|key| (key, 1_u64))) }
    };
    let loaded = backend.get_or_load_many(&["d", "e"], MINUTE, loader).await;
    assert_eq!(loaded.unwrap(), [Some(1), Some(1)]);
    assert_eq!(server.ask(&["MGET", "cache:d", "cache:e"]), "1\n9");
    // What is not ours is no value, and is not written over.
    server.ask(&["LPUSH", "cache:list", "x"]);
    let error = load(&backend, &["list", "f"], 1).await.unwrap_err();
    assert!(error.is_wrong_type(), "{error}");
    assert!(error.to_string().contains("\"list\""), "{error}");
    assert_eq!(server.ask(&["LLEN", "cache:list"]), "1");
    assert_eq!(server.ask(&["GET", "cache:f"]), "1");
}

#[tokio::test]
async fn over_the_nodes_of_a_cluster_that_have_forgotten_the_script() {
    let cluster = shared_cluster();
    let builder = RedisCacheBackend::builder().url(cluster.url());
    let backend = builder
        .prefix("load_many:")
        .timeout(MINUTE)
        .build()
        .unwrap();
    let keys: Vec<String> = (0..1_500).map(|nth| format!("k{nth}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    backend
        .set_many(keys[..100].iter().map(|key| (*key, 3)), Ttl::Never)
        .await
        .unwrap();
    for node in &cluster.nodes {
        node.ask(&["SCRIPT", "FLUSH"]);
    }
    let mut expected = vec![Some(4); keys.len()];
    expected[..100].fill(Some(3));
    assert_eq!(load(&backend, &keys, 4).await.unwrap(), expected);
    assert_eq!(backend.get_many::<u64>(&keys).await.unwrap(), expected);
}
