//! The contract on a real server and on a real cluster, and what is on the wire.

use crate::server::{Server, shared_cluster, wait_until};
use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend, Ttl, Value};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// A time to live of which much is left, however slow the machine is.
const DAY: Duration = Duration::from_secs(24 * 3600);

fn on(url: String) -> Arc<RedisCacheBackend> {
    // A budget that holds on a busy machine, too.
    let builder = RedisCacheBackend::builder().url(url);
    Arc::new(builder.timeout(MINUTE).build().unwrap())
}

#[tokio::test]
async fn keys_and_values_are_on_the_server_as_they_should() {
    let server = Server::start();
    let backend = on(server.url());
    backend.verify().await.unwrap();

    backend
        .set("k", json!({"a": [1, null, "ü"]}), DAY)
        .await
        .unwrap();
    assert_eq!(server.ask(&["GET", "cache:k"]), r#"{"a":[1,null,"ü"]}"#);
    let left: u64 = server.ask(&["PTTL", "cache:k"]).parse().unwrap();
    let day = 24 * 3600 * 1000;
    assert!((day / 2..=day).contains(&left), "{left}");

    backend.set("k", "text", Ttl::Never).await.unwrap();
    assert_eq!(server.ask(&["GET", "cache:k"]), r#""text""#);
    assert_eq!(server.ask(&["PTTL", "cache:k"]), "-1");

    backend.incr_by("n", 41, DAY).await.unwrap();
    backend.incr("n", Ttl::Never).await.unwrap();
    assert_eq!(server.ask(&["GET", "cache:n"]), "42");
    assert!(server.ask(&["PTTL", "cache:n"]).parse::<i64>().unwrap() > 0);
    assert_eq!(backend.get::<u8>("n").await.unwrap(), Some(42));

    let other = RedisCacheBackend::builder()
        .url(server.url())
        .prefix("other:")
        .timeout(MINUTE)
        .build()
        .unwrap();
    assert_eq!(other.get::<u8>("n").await.unwrap(), None);
    other.set("n", 1, Ttl::Never).await.unwrap();
    assert_eq!(server.ask(&["GET", "other:n"]), "1");
    // Servers before 7 do not say.
    let clients = server.ask(&["CLIENT", "LIST"]);
    let mut ours = clients.lines().filter(|line| !line.contains("cmd=client"));
    assert!(ours.all(|line| !line.contains("resp=2")), "{clients}");
}

#[tokio::test]
async fn entries_of_the_original_read_as_they_should() {
    let server = Server::start();
    let backend = on(server.url());
    let entries: BTreeMap<String, String> =
        serde_json::from_str(include_str!("../fixtures/original-entries.json")).unwrap();
    for (key, bytes) in &entries {
        server.ask(&["SET", key, bytes]);
    }
    let get = async |key: &str| {
        backend
            .get::<serde_json::Value>(key)
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(get("py:counter").await, 3);
    assert_eq!(get("py:raw").await, "plain-string-not-json");
    assert_eq!(get("py:str").await, "plain");
    let dict = json!({"name": "Ana", "age": 30, "tags": ["a", null, true], "ü": "✓", "f": 1.5});
    assert_eq!(get("py:dict").await, dict);
    assert_eq!(get("view:/old:").await["body"], "viejo ü");
    assert_eq!(backend.incr("py:counter", MINUTE).await.unwrap(), 4);
    assert_eq!(server.ask(&["PTTL", "cache:py:counter"]), "-1");
    let wrong = backend.incr("py:str", MINUTE).await.unwrap_err();
    assert!(wrong.is_wrong_type(), "{wrong}");
    server.ask_bytes(&[b"SET", b"cache:bytes", b"\xff\xfe"]);
    assert_eq!(backend.get::<String>("bytes").await.unwrap(), None);
    let error = backend.strict().get::<String>("bytes").await.unwrap_err();
    assert!(error.is_decoding(), "{error}");
}

async fn every_call(backend: &RedisCacheBackend) {
    assert_eq!(backend.get::<u8>("a").await.unwrap(), None);
    assert_eq!(backend.ttl("a").await.unwrap(), None);
    assert!(!backend.delete("a").await.unwrap());
    backend.set("a", 1, DAY).await.unwrap();
    let left = backend.ttl("a").await.unwrap().unwrap();
    assert!(matches!(left, Ttl::After(left) if left <= DAY && left > DAY / 2));
    backend.set("a", 2, Duration::MAX).await.unwrap();
    assert_eq!(backend.ttl("a").await.unwrap(), Some(Ttl::Never));
    backend.set("a", 3, Duration::ZERO).await.unwrap();
    assert_eq!(backend.get::<u8>("a").await.unwrap(), None);

    // Many, in their order, over all nodes.
    let keys: Vec<String> = (0..2_500).map(|nth| format!("many:{nth}")).collect();
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let entries = names.iter().zip(0_u32..).map(|(key, nth)| (*key, nth));
    backend.set_many(entries, DAY).await.unwrap();
    let mut asked = names.clone();
    asked.insert(7, "none");
    let mut found = backend.get_many::<u32>(&asked).await.unwrap();
    assert_eq!(found.remove(7), None);
    assert!(
        found
            .iter()
            .zip(0..)
            .all(|(found, nth)| *found == Some(nth))
    );
    assert_eq!(backend.delete_many(&asked[..1_001]).await.unwrap(), 1_000);
    assert_eq!(backend.get_many::<u32>(&[]).await.unwrap(), []);
    assert_eq!(backend.delete_many(&[]).await.unwrap(), 0);
    backend
        .set_many([("twice", 1), ("twice", 2)], DAY)
        .await
        .unwrap();
    assert_eq!(backend.get::<u8>("twice").await.unwrap(), Some(2));
    backend.flush().await.unwrap();
    assert!(
        backend
            .get_many::<u32>(&asked)
            .await
            .unwrap()
            .iter()
            .all(Option::is_none)
    );

    // Counters.
    assert_eq!(backend.incr_by("n", 0, Duration::ZERO).await.unwrap(), 0);
    assert_eq!(backend.ttl("n").await.unwrap(), None);
    assert_eq!(backend.incr_by("n", i64::MAX, DAY).await.unwrap(), i64::MAX);
    assert!(backend.incr("n", DAY).await.unwrap_err().is_overflow());
    assert_eq!(backend.incr_by("n", -1, DAY).await.unwrap(), i64::MAX - 1);
    assert_eq!(backend.incr_by("n", i64::MIN, DAY).await.unwrap(), -2);
    backend.set("text", "1.0", DAY).await.unwrap();
    let error = backend.incr("text", DAY).await.unwrap_err();
    assert!(error.is_wrong_type(), "{error}");
    assert_eq!(backend.get::<String>("text").await.unwrap().unwrap(), "1.0");

    // Compare and set.
    let (one, two) = (Value::integer(1), Value::integer(2));
    let set = |expected, new: &Value, ttl| backend.compare_and_set("c", expected, new.clone(), ttl);
    assert!(!set(Some(&one), &two, None).await.unwrap());
    assert!(set(None, &one, None).await.unwrap());
    assert!(!set(None, &two, None).await.unwrap());
    assert_eq!(backend.ttl("c").await.unwrap(), Some(Ttl::Never));
    assert!(set(Some(&one), &two, Some(DAY.into())).await.unwrap());
    assert!(set(Some(&two), &one, None).await.unwrap());
    assert!(matches!(
        backend.ttl("c").await.unwrap(),
        Some(Ttl::After(_))
    ));
    assert!(
        set(Some(&one), &two, Some(Ttl::After(Duration::ZERO)))
            .await
            .unwrap()
    );
    assert_eq!(backend.get::<u8>("c").await.unwrap(), None);
}

#[tokio::test]
async fn every_call_on_one_server() {
    let server = Server::start();
    every_call(&on(server.url())).await;
}

/// The permissions that docs/redis.md lists are enough.
#[tokio::test]
async fn every_call_by_a_user_who_may_little() {
    let server = Server::start();
    let may = "+get +mget +set +unlink +pttl +incrby +exists +eval +evalsha +scan +ping +hello";
    let mut rules = vec!["ACL", "SETUSER", "ana", "on", ">secret", "~cache:*"];
    rules.extend(may.split(' '));
    assert_eq!(server.ask(&rules), "OK");
    let backend = on(format!("redis://ana:secret@{}", server.address()));
    every_call(&backend).await;
    let other = RedisCacheBackend::builder()
        .prefix("other:")
        .timeout(MINUTE);
    let other = other.url(format!("redis://ana:secret@{}", server.address()));
    let error = other.build().unwrap().get::<u8>("k").await.unwrap_err();
    assert!(error.is_rejected(), "{error}");
}

#[tokio::test]
async fn every_call_on_a_cluster() {
    let builder = RedisCacheBackend::builder().url(shared_cluster().url());
    let builder = builder.prefix("every call:").timeout(MINUTE);
    let backend = builder.build().unwrap();
    backend.verify().await.unwrap();
    every_call(&backend).await;
    // Keys that belong together can be kept together.
    backend
        .set_many([("{u}:a", 1), ("{u}:b", 2)], DAY)
        .await
        .unwrap();
    assert_eq!(
        backend.get_many::<u8>(&["{u}:b", "{u}:a"]).await.unwrap(),
        [Some(2), Some(1)]
    );
}

#[tokio::test]
async fn a_flush_leaves_foreign_keys() {
    let server = Server::start();
    let own = RedisCacheBackend::builder()
        .url(server.url())
        .prefix("a*[b]?\\:")
        .timeout(MINUTE)
        .build()
        .unwrap();
    for foreign in ["other", "a*[b]?\\", "ab", "axb:", "a*b?\\:x", "cache:k"] {
        server.ask(&["SET", foreign, "stays"]);
    }
    for key in ["", "1", "*", "a\nb\0c", "ü", "[x]"] {
        own.set(key, "goes", Ttl::Never).await.unwrap();
    }
    assert_eq!(server.ask(&["DBSIZE"]), "12");
    own.flush().await.unwrap();
    assert_eq!(server.ask(&["DBSIZE"]), "6");
    assert_eq!(server.ask(&["GET", "axb:"]), "stays");
}

#[tokio::test]
async fn what_json_cannot_say_changes_nothing() {
    let server = Server::start();
    let backend = on(server.url());
    backend.set("k", 1.5, Ttl::Never).await.unwrap();
    assert!(
        backend
            .set("k", f64::NAN, Ttl::Never)
            .await
            .unwrap_err()
            .is_encoding()
    );
    let map = HashMap::from([(1, 2)]);
    let error = backend
        .set_many([("j", map.clone()), ("k", map)], MINUTE)
        .await
        .unwrap_err();
    assert!(error.is_encoding());
    assert_eq!(server.ask(&["GET", "cache:k"]), "1.5");
    assert_eq!(server.ask(&["EXISTS", "cache:j"]), "0");
}

#[tokio::test]
async fn closing_is_final_and_lets_go_of_the_connection() {
    let server = Server::start();
    let backend = on(server.url());
    backend.set("k", 1, Ttl::Never).await.unwrap();
    assert!(server.ask(&["CLIENT", "LIST"]).contains("resp=3"));
    backend.close().await.unwrap();
    let error = backend.get::<u8>("k").await.unwrap_err();
    assert!(error.is_closed());
    assert_eq!(error.to_string(), r#"get "k": the backend is closed"#);
    backend.close().await.unwrap();
    wait_until("no connection is left", || {
        !server.ask(&["CLIENT", "LIST"]).contains("resp=3")
    });
}

#[test]
fn a_backend_outlives_its_runtime() {
    let server = Server::start();
    let backend = on(server.url());
    for nth in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            assert_eq!(backend.incr("n", MINUTE).await.unwrap(), nth + 1);
        });
    }
}
